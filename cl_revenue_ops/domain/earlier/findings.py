"""What the rows of the earlier database say, summed up as they are read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.earlier import values
from cl_revenue_ops.domain.ledger import accounts
from messages.exchange import ImportedChannel, ImportedFee

Row = Mapping[str, Any]

CLAMP_SAT = 50_000
"""No on-chain fee above it was recorded: whatever was more was cut to this."""

_MOST_FIGURES = 40


class Cost(NamedTuple):
    """One cost of a channel; `doubt` says why it is an estimate only, None where it is not."""

    key: str
    account: str
    what: str
    channel: str
    at_s: int
    msat: int
    doubt: str | None
    evidence: str


@dataclass
class Findings:
    """Everything but the changes of fees, which are passed on page by page.

    Earnings are by UTC day and scid; `misread` counts rows of each table that make no sense.
    """

    now_s: float
    policies: list[Row] = field(default_factory=list)
    forwards: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    daily: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    costs: list[Cost] = field(default_factory=list)
    closed: dict[str, ImportedChannel] = field(default_factory=dict)
    seen: dict[str, ImportedChannel] = field(default_factory=dict)
    funding: dict[str, object] = field(default_factory=dict)
    settings: list[str] = field(default_factory=list)
    misread: Counter[str] = field(default_factory=Counter)

    def take(self, table: str, row: Row) -> None:
        """Take one row of a table in; one that makes no sense is counted and left."""
        if not _READERS[table](self, row):
            self.misread[table] += 1

    # -- tables: True where the row was understood ---------------------------------------------

    def _policy(self, row: Row) -> bool:
        self.policies.append(row)
        return True

    def _setting(self, row: Row) -> bool:
        key, value = values.words(row.get("key"), 60), values.words(row.get("value"), 60)
        self.settings.append(f"{key}={value}")
        return key is not None

    def _forward(self, row: Row) -> bool:
        return self._earned(self.forwards, row["out_channel"], row["timestamp"], row["fee_msat"])

    def _daily(self, row: Row) -> bool:
        return self._earned(self.daily, row["channel_id"], row["date"], row["total_fee_msat"])

    def _earned(
        self, sums: dict[int, Counter[str]], named: object, time: object, fee: object
    ) -> bool:
        scid, at_s = values.channel(named), values.moment_s(time, self.now_s)
        msat = values.amount_msat(fee)
        if scid is None or at_s is None or msat is None:
            return False
        if msat:
            sums[at_s // values.DAY_S][scid] += msat
        return True

    def _opening(self, row: Row) -> bool:
        doubt = _doubt(row["open_cost_sats"], 5_000)
        return self._cost("opening", row, row["opened_at"], row["open_cost_sats"], doubt)

    def _closure(self, row: Row) -> bool:
        self._note_funding(row)
        sats = row["total_closure_cost_sats"]
        doubt = _doubt(sats, 3_000)
        if doubt is None and row.get("resolution_complete", 1) == 0:
            doubt = "recorded before the close was resolved"
        return self._cost("closure", row, row["closed_at"], sats, doubt)

    def _splice(self, row: Row) -> bool:
        doubt = _doubt(row["fee_sats"], 2_000)
        return self._cost("splice", row, row["timestamp"], row["fee_sats"], doubt)

    def _rebalance(self, row: Row) -> bool:
        return self._cost("rebalance", row, row["timestamp"], row["cost_sats"], None)

    def _cost(self, what: str, row: Row, time: object, sats: object, doubt: str | None) -> bool:
        name, msat = values.channel(row["channel_id"]), values.amount_of_sat(sats)
        if name is None or msat is None:
            return False
        if msat == 0:
            return True
        at_s = values.moment_s(time, self.now_s)
        if at_s is None:
            return False
        key = f"import:{what}:{name}"
        if "id" in row:
            key += f":{at_s}:{row['id']}"
        evidence = jsontext.dumps({k: v for k, v in row.items() if _plain(v)})
        cost = Cost(key, _ACCOUNTS[what], what, name, at_s, msat, doubt, evidence)
        self.costs.append(cost)
        return True

    def _closed(self, row: Row) -> bool:
        self._note_funding(row)
        return self._channel(self.closed, row, row.get("capacity_sats"))

    def _state(self, row: Row) -> bool:
        return self._channel(self.seen, row, row.get("capacity"))

    def _channel(self, found: dict[str, ImportedChannel], row: Row, capacity: object) -> bool:
        scid = values.channel(row["channel_id"])
        if scid is None:
            return False
        figures = {k: v for k, v in row.items() if _plain(v) and v is not None}
        found[scid] = ImportedChannel(
            scid,
            None,
            values.node_id(row.get("peer_id")),
            values.amount_of_sat(capacity),
            values.moment_s(row.get("opened_at"), self.now_s),
            values.moment_s(row.get("closed_at"), self.now_s),
            values.words(row.get("close_type"), _MOST_FIGURES),
            jsontext.dumps(figures),
        )
        return True

    def _note_funding(self, row: Row) -> None:
        scid, txid = values.channel(row["channel_id"]), row.get("funding_txid")
        if scid is not None and txid:
            self.funding[scid] = txid


_ACCOUNTS = {
    "opening": accounts.OPENING,
    "closure": accounts.CLOSURE,
    "splice": accounts.SPLICE,
    "rebalance": accounts.OTHER_REBALANCE,
}

_READERS: Mapping[str, Callable[[Findings, Row], bool]] = {
    "peer_policies": Findings._policy,
    "config_overrides": Findings._setting,
    "forwards": Findings._forward,
    "daily_forwarding_stats": Findings._daily,
    "channel_costs": Findings._opening,
    "channel_closure_costs": Findings._closure,
    "splice_costs": Findings._splice,
    "rebalance_costs": Findings._rebalance,
    "closed_channels": Findings._closed,
    "channel_states": Findings._state,
}
READ_IN_ORDER = tuple(_READERS)


def _doubt(sats: object, estimate_sat: int) -> str | None:
    if values.whole(sats) == estimate_sat:
        return f"exactly its estimate of {estimate_sat} sats"
    if values.whole(sats) == CLAMP_SAT:
        return f"exactly the {CLAMP_SAT} sats to which it cut higher fees"
    return None


def _plain(value: object) -> bool:
    return value is None or isinstance(value, (int, float, str))


def fee_change(row: Row, now_s: float) -> ImportedFee | None:
    """A change of a fee; None where the row makes no sense."""
    number, scid = values.whole(row["id"]), values.channel(row["channel_id"])
    at_s = values.moment_s(row["timestamp"], now_s)
    if number is None or scid is None or at_s is None:
        return None
    return ImportedFee(
        number,
        scid,
        values.node_id(row.get("peer_id")),
        at_s,
        values.whole(row.get("old_fee_ppm")),
        values.whole(row["new_fee_ppm"]),
        bool(values.whole(row.get("manual"))),
        values.words(row.get("reason")) or "",
    )
