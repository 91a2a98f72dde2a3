"""The answer of revenue-report costs: what each kind of cost came to, over four windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cl_revenue_ops.domain.reports import money
from cl_revenue_ops.domain.reports.ground import Ground
from cl_revenue_ops.domain.reports.money import Sums, sats
from messages.books import Books, CostEntry

# (name, days before today); None is all there is.
WINDOWS: tuple[tuple[str, int | None], ...] = (
    ("last_24h", 1),
    ("last_7d", 7),
    ("last_30d", 30),
    ("total", None),
)
ESTIMATES = {"channel_open_sats": 5_000, "channel_close_sats": 3_000, "splice_sats": 2_000}
_KINDS = ("opening", "closure", "splice", "rebalance")


def costs(
    ground: Ground, books: Mapping[str, Books], entries: Iterable[CostEntry]
) -> dict[str, object]:
    """The whole answer; `books` by the names of WINDOWS, which are whole UTC days and today."""
    sums = {name: money.summed(found.channels) for name, found in books.items()}
    answer: dict[str, object] = {"type": "costs"}
    for kind in _KINDS:
        answer[f"{kind}_costs"] = {
            f"{name}_sats": sats(_of(kind, sums[name])) for name, _ in WINDOWS
        }
    splices = answer["splice_costs"]
    assert isinstance(splices, dict)
    splices["summary"] = splice_summary(entries, sums["total"])
    answer["all_costs"] = {f"{name}_sats": sats(sums[name].costs_msat) for name, _ in WINDOWS}
    answer["wallet_fees_total_sats"] = sats(books["total"].wallet_fees_msat)
    answer["estimated_defaults"] = dict(ESTIMATES)
    today = money.day_of(ground.now_s)
    answer["covers"] = {
        name: money.covers(books[name], None if days is None else today - days)
        for name, days in WINDOWS
    }
    answer["generated_at"] = int(ground.now_s)
    return answer


def _of(kind: str, sums: Sums) -> int:
    return int(getattr(sums, f"{kind}_msat"))


def splice_summary(entries: Iterable[CostEntry], sums: Sums) -> dict[str, object]:
    """How many splices there were and what they moved, each transaction of a channel once."""
    moved: dict[tuple[str, str | None], int | None] = {}
    for entry in entries:
        if entry.what == "splice":
            key = (entry.channel_id, entry.txid)
            known = moved.get(key)
            moved[key] = entry.moved_msat if known is None else known
    into = [amount for amount in moved.values() if amount is not None and amount > 0]
    out = [-amount for amount in moved.values() if amount is not None and amount < 0]
    return {
        "splice_count": len(moved),
        "splice_in_count": len(into),
        "splice_out_count": len(out),
        "splice_unknown_count": len(moved) - len(into) - len(out),
        "total_splice_in_sats": sats(sum(into)),
        "total_splice_out_sats": sats(sum(out)),
        "total_fees_sats": sats(sums.splice_msat),
    }
