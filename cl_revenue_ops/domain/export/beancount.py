"""The journal in beancount's text format: every account opened before its first use."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from cl_revenue_ops.domain.export import cells
from cl_revenue_ops.domain.export.tables import Record

COMMODITY = "MSAT"
OPENED = "1970-01-01"
_SHORT = 16
_HEX = re.compile(r"[0-9a-f]{64}\Z")
_SCID = re.compile(r"[0-9]+x[0-9]+x[0-9]+\Z")
_GROUPS = {
    "assets": "Assets",
    "income": "Income",
    "expenses": "Expenses",
    "equity": "Equity",
    "liabilities": "Liabilities",
}


class BeancountWriter:
    """Transactions in msat; remembers the names of accounts and nothing else.

    A channel is named by C and the first 16 digits of its channel_id, by all of them where an
    other one of the file begins alike.
    """

    def __init__(self, about: Record, scid_of: Mapping[str, str]) -> None:
        self._about = about
        self._scid_of = scid_of
        self._names: dict[str, str] = {}
        self._taken: dict[str, str] = {}

    def head(self) -> str:
        """Title and commodity."""
        words = ", ".join(f"{key} {value}" for key, value in self._about.items())
        return (
            f"; {_plain(words)}\n"
            'option "title" "Lightning node"\n'
            f'option "operating_currency" "{COMMODITY}"\n\n'
            f"{OPENED} commodity {COMMODITY}\n"
        )

    def page(self, records: Iterable[Record]) -> str:
        """These entries as transactions."""
        return "".join(part for record in records for part in self._transaction(record))

    def tail(self) -> str:
        """Nothing follows the transactions."""
        return ""

    def _transaction(self, record: Record) -> list[str]:
        postings, at_s = record["postings"], record["unix_s"]
        assert isinstance(postings, list) and isinstance(at_s, (int, float))
        opened: list[str] = []
        lines: list[str] = []
        for posting in postings:
            account = posting["account"]
            if account not in self._names:
                opened.append(self._open(account))
            lines.append(f"  {self._names[account]}  {posting['amount_msat']} {COMMODITY}\n")
        kind, key = _plain(str(record["kind"])), _plain(str(record["key"]))
        head = f'\n{cells.day(at_s)} * "{kind}" "{key}"\n  time: "{cells.iso(at_s)}"\n'
        head += f'  source: "{_plain(str(record["source"]))}"\n'
        if record["txid"] is not None:
            head += f'  txid: "{_plain(str(record["txid"]))}"\n'
        return [*opened, head, *lines]

    def _open(self, account: str) -> str:
        """Give an account its name, and the directive that opens it."""
        group, *parts = account.split(":")
        root = _GROUPS.get(group)
        if root is None:
            root, parts = "Equity", [group, *parts]
        *kind, last = [_component(part) for part in parts] or ["Other"]
        name = ":".join([root, *kind, last])
        channel = parts[-1] if parts and _HEX.match(parts[-1]) else None
        if channel is not None:
            short = ":".join([root, *kind, f"C{channel[:_SHORT]}"])
            name = short if short not in self._taken else name
        if name in self._taken:
            name += f"-{hashlib.sha256(account.encode()).hexdigest()[:_SHORT]}"
        self._taken[name] = account
        self._names[account] = name
        told = f'  channel_id: "{channel}"\n' if channel is not None else ""
        scid = self._scid_of.get(channel or "")
        told += f'  scid: "{scid}"\n' if scid is not None else ""
        return f"\n{OPENED} open {name} {COMMODITY}\n{told}"


def _component(part: str) -> str:
    """A part of a name as beancount takes it: letters, digits and dashes, a capital first."""
    if _HEX.match(part) or _SCID.match(part):
        return f"C{part}"
    words = [word.capitalize() for word in re.split(r"[^A-Za-z0-9]+", part) if word]
    return "-".join(words) or "Other"


def _plain(text: str) -> str:
    """Inside quotes, on one line."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable.replace("\\", "\\\\").replace('"', '\\"')
