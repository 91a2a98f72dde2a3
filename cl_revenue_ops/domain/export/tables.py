"""Rows for CSV and JSON: the columns of each kind of export, and how values are written."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.export import cells
from messages.books import Entry
from messages.exchange import ImportedFee
from messages.fees import DecisionLine
from messages.forwards import LoggedForward

Record = Mapping[str, object]

# What stands in a column: a text, a whole number, an amount in msat (its column in sats follows),
# a time in Unix seconds (its column in ISO 8601 stands before), and what only JSON has.
TEXT, WHOLE, MSAT, TIME, DEEP = "text", "whole", "msat", "time", "deep"

FORWARDS = (
    ("seq", WHOLE),
    ("unix_s", TIME),
    ("status", TEXT),
    ("in_channel", TEXT),
    ("in_channel_id", TEXT),
    ("out_channel", TEXT),
    ("out_channel_id", TEXT),
    ("in_msat", MSAT),
    ("out_msat", MSAT),
    ("fee_msat", MSAT),
    ("failcode", WHOLE),
)

POSTINGS = (
    ("key", TEXT),
    ("unix_s", TIME),
    ("kind", TEXT),
    ("source", TEXT),
    ("account", TEXT),
    ("amount_msat", MSAT),
    ("txid", TEXT),
)

DECISIONS = (
    ("origin", TEXT),
    ("number", WHOLE),
    ("unix_s", TIME),
    ("last_unix_s", TIME),
    ("channel", TEXT),
    ("channel_id", TEXT),
    ("peer_id", TEXT),
    ("action", TEXT),
    ("code", TEXT),
    ("old_ppm", WHOLE),
    ("new_ppm", WHOLE),
    ("by_hand", WHOLE),
    ("repeats", WHOLE),
    ("outcome", TEXT),
    ("reason", TEXT),
    ("record", DEEP),
)


class Writer(Protocol):
    """Turns records into text, piece by piece: head, any number of pages, tail."""

    def head(self) -> str: ...

    def page(self, records: Iterable[Record]) -> str: ...

    def tail(self) -> str: ...


class CsvWriter:
    """RFC 4180 with a header line; the columns in JSON alone are left out."""

    def __init__(self, columns: Sequence[tuple[str, str]]) -> None:
        self._columns = [(name, kind) for name, kind in columns if kind != DEEP]

    def head(self) -> str:
        """The header line."""
        names: list[str] = []
        for name, kind in self._columns:
            names += [f"{_stem(name)}time", name] if kind == TIME else [name]
            names += [f"{name.removesuffix('msat')}sat"] if kind == MSAT else []
        return _lines([names])

    def page(self, records: Iterable[Record]) -> str:
        """A line for each record."""
        return _lines(self._row(record) for record in records)

    def tail(self) -> str:
        """Nothing follows the rows."""
        return ""

    def _row(self, record: Record) -> list[str]:
        row: list[str] = []
        for name, kind in self._columns:
            value = record.get(name)
            if kind == TIME:
                known = isinstance(value, (int, float))
                row += [cells.iso(value), cells.unix(value)] if known else ["", ""]  # type: ignore[arg-type]
            elif kind == MSAT:
                row += [str(value), cells.sats(value)] if isinstance(value, int) else ["", ""]
            elif kind == WHOLE:
                row.append("" if value is None else str(int(value)))  # type: ignore[call-overload]
            else:
                row.append("" if value is None else cells.text(str(value)))
        return row


class JsonWriter:
    """One JSON object: what it is, and `rows`, an object a line."""

    def __init__(self, columns: Sequence[tuple[str, str]], about: Record) -> None:
        self._columns = columns
        self._about = about
        self._first = True

    def head(self) -> str:
        """What it is, and the beginning of the rows."""
        return f'{jsontext.dumps(dict(self._about))[:-1]},"rows":['

    def page(self, records: Iterable[Record]) -> str:
        """An object for each record, with a comma before all but the first of all."""
        parts: list[str] = []
        for record in records:
            parts.append("\n" if self._first else ",\n")
            parts.append(jsontext.dumps(self._object(record)))
            self._first = False
        return "".join(parts)

    def tail(self) -> str:
        """The end of rows and object."""
        return "\n]}\n"

    def _object(self, record: Record) -> dict[str, object]:
        made: dict[str, object] = {}
        for name, kind in self._columns:
            value = record.get(name)
            if kind == TIME:
                time = cells.iso(value) if isinstance(value, (int, float)) else None
                made[f"{_stem(name)}time"] = time
            made[name] = value
        return made


ENTRIES = (
    ("key", TEXT),
    ("unix_s", TIME),
    ("kind", TEXT),
    ("source", TEXT),
    ("postings", DEEP),
    ("txid", TEXT),
    ("evidence", DEEP),
)
"""A journal entry as one object: JSON has its postings together."""


class PostingsWriter(CsvWriter):
    """The journal for spreadsheets: each posting a row."""

    def __init__(self) -> None:
        super().__init__(POSTINGS)

    def page(self, records: Iterable[Record]) -> str:
        """The rows of all postings of these entries."""
        return super().page(row for record in records for row in _of_postings(record))


def _of_postings(record: Record) -> Iterable[Record]:
    postings = record["postings"]
    assert isinstance(postings, list)
    for posting in postings:
        yield {**record, **posting}


def _lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _stem(name: str) -> str:
    return name.removesuffix("unix_s")


# -- records -----------------------------------------------------------------------------------


def of_forward(row: LoggedForward, channel_of: Mapping[str, str]) -> Record:
    """A resolved forward; `channel_of` has the channel_id of each known scid."""
    return {
        "seq": row.seq,
        "unix_s": row.at_s,
        "status": row.status,
        "in_channel": row.in_scid,
        "in_channel_id": channel_of.get(row.in_scid),
        "out_channel": row.out_scid,
        "out_channel_id": channel_of.get(row.out_scid or ""),
        "in_msat": row.in_msat,
        "out_msat": row.out_msat,
        "fee_msat": row.fee_msat,
        "failcode": row.failcode,
    }


def of_entry(entry: Entry) -> Record:
    """A journal entry with its postings; evidence that is no JSON stays a text."""
    try:
        evidence = jsontext.loads(entry.evidence)
    except ValueError:
        evidence = entry.evidence
    return {
        "key": entry.key,
        "unix_s": entry.at_s,
        "kind": entry.kind,
        "source": entry.source,
        "postings": [{"account": name, "amount_msat": msat} for name, msat in entry.postings],
        "txid": entry.txid,
        "evidence": evidence,
    }


def of_decision(line: DecisionLine, scid_of: Mapping[str, str]) -> Record:
    """A fee decision; its record may be damaged, and then has no reason."""
    try:
        record = jsontext.loads(line.body)
        reason, peer_id = record["sentence"], record["inputs"]["facts"]["peer_id"]
    except (ValueError, TypeError, KeyError, IndexError):
        record, reason, peer_id = None, "its record cannot be read", None
    return {
        "origin": "own",
        "number": line.number,
        "unix_s": line.at_s,
        "last_unix_s": line.last_at_s,
        "channel": scid_of.get(line.channel_id),
        "channel_id": line.channel_id,
        "peer_id": peer_id,
        "action": line.action,
        "code": line.code,
        "old_ppm": line.old_ppm,
        "new_ppm": line.new_ppm,
        "by_hand": line.by_hand,
        "repeats": line.repeats,
        "outcome": line.outcome,
        "reason": reason,
        "record": record,
    }


def of_imported_fee(number: int, fee: ImportedFee, channel_of: Mapping[str, str]) -> Record:
    """A change of a fee that the earlier plugin recorded."""
    return {
        "origin": "imported",
        "number": number,
        "unix_s": fee.at_s,
        "last_unix_s": fee.at_s,
        "channel": fee.scid,
        "channel_id": channel_of.get(fee.scid),
        "peer_id": fee.peer_id,
        "action": "set",
        "old_ppm": fee.old_ppm,
        "new_ppm": fee.new_ppm,
        "by_hand": fee.by_hand,
        "repeats": 1,
        "reason": fee.reason,
    }
