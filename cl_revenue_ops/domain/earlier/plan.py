"""Which entries the ledger gets from the earlier database, and what could not be trusted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cl_revenue_ops.domain.earlier import values
from cl_revenue_ops.domain.earlier.findings import Cost, Findings
from cl_revenue_ops.domain.ledger import accounts
from messages.books import Books, ChannelBooks, Entry

SOURCE = "import"
PREFIX = "import:"
ESTIMATE = "estimate"
"""How the kind of an entry ends whose amount is an estimate."""

_SHOWN = 5


class Ours(NamedTuple):
    """What we know ourselves: our books, the first day of our forward log (None: none), today,
    keys of entries that were imported before, and what they add up to by account.
    """

    books: Books
    first_day: int | None
    today: int
    keys: frozenset[str]
    imported: Mapping[str, int]
    channel_of: Mapping[str, str]


class LedgerPlan(NamedTuple):
    """Entries to book, what they are, what was known before, and what is not trusted."""

    entries: tuple[Entry, ...]
    taken: Mapping[str, int]
    already_known: Mapping[str, int]
    not_trusted: tuple[str, ...]


def plan(found: Findings, ours: Ours) -> LedgerPlan:
    """All entries, earnings first; where our books are behind there are none."""
    days, costs = _days(found), found.costs
    if ours.books.trouble is not None:
        told = (
            f"earnings and costs wait: our own books are behind ({ours.books.trouble});"
            " import again when they are not"
        )
        return LedgerPlan((), {}, {}, (told,) if days or costs else ())
    names = Names(found, ours)
    earned = _earnings(days, ours, names)
    spent = _costs(costs, ours, names)
    return LedgerPlan(
        (*earned.entries, *spent.entries),
        {**earned.taken, **spent.taken},
        {**earned.already_known, **spent.already_known},
        (*_differing(found, ours), *earned.not_trusted, *spent.not_trusted),
    )


class Names:
    """Which channel of ours a name of the earlier plugin means; it stands for itself if none."""

    def __init__(self, found: Findings, ours: Ours) -> None:
        self._channel_of = ours.channel_of
        self._funding = found.funding
        self._known = {row.channel_id for row in ours.books.channels}
        self._listed = set(ours.channel_of.values())

    def of(self, name: str) -> str:
        """Its channel_id, or the name itself."""
        return self.channel_id(name) or name

    def channel_id(self, name: str) -> str | None:
        """Its channel_id, None where it is not known."""
        channel_id = self._channel_of.get(name)
        if channel_id is None:
            derived = values.derived_channel_id(self._funding.get(name), name)
            channel_id = derived if derived in self._known or derived in self._listed else None
        return channel_id or (name if "x" not in name else None)

    def stranger(self, channel_id: str) -> bool:
        """Whether our books have a channel of which no scid is known."""
        return "x" not in channel_id and channel_id not in self._listed


# -- earnings ----------------------------------------------------------------------------------


def _days(found: Findings) -> dict[int, Mapping[str, int]]:
    """Earnings by day and scid: of the two records of a day the larger, never their sum."""
    days: dict[int, Mapping[str, int]] = {}
    for day in sorted({*found.forwards, *found.daily}):
        rows, daily = found.forwards.get(day, Counter()), found.daily.get(day, Counter())
        days[day] = rows if sum(rows.values()) > sum(daily.values()) else daily
    return days


def _differing(found: Findings, ours: Ours) -> Iterable[str]:
    end_day = _end_day(ours)
    days = [
        day
        for day in sorted(found.forwards.keys() & found.daily.keys())
        if day < end_day and sum(found.forwards[day].values()) != sum(found.daily[day].values())
    ]
    if days:
        yield (
            f"earnings: its two records differ on {len(days)} days; the larger was taken,"
            " never the sum"
        )


def _end_day(ours: Ours) -> int:
    return ours.today if ours.first_day is None else ours.first_day


def _earnings(days: Mapping[int, Mapping[str, int]], ours: Ours, names: Names) -> LedgerPlan:
    """A day of a channel is taken whole, oldest first, as long as that much is unattributed."""
    entries: list[Entry] = []
    room_msat, end_day = ours.books.unattributed_msat, _end_day(ours)
    fees_msat = known = excess_msat = later_msat = 0
    for day, sums in days.items():
        if day >= end_day:
            later_msat += sum(sums.values())
            continue
        for scid, msat in sorted(sums.items()):
            key = f"{PREFIX}forwards:{scid}:{day}"
            if key in ours.keys:
                known += 1
            elif excess_msat or msat > room_msat - fees_msat:
                excess_msat += msat
            else:
                fees_msat += msat
                entries.append(_earned(key, day, names.of(scid), msat))
    told = []
    if excess_msat:
        told.append(
            f"earnings: {excess_msat} msat more than the {room_msat} msat that this node earned"
            " before its own list begins and that no channel has yet; not taken (oldest days first)"
        )
    if later_msat:
        told.append(
            f"earnings: {later_msat} msat of days for which the node's own list is the truth;"
            " not taken"
        )
    return LedgerPlan(
        tuple(entries), {"days": len(entries), "fees_msat": fees_msat}, {"days": known}, tuple(told)
    )


def _earned(key: str, day: int, channel: str, msat: int) -> Entry:
    postings = (
        (accounts.of(accounts.IMPORTED_ROUTING, channel), -msat),
        (accounts.UNATTRIBUTED, msat),
    )
    return Entry(key, day * values.DAY_S, "imported forwards", SOURCE, "{}", postings)


# -- costs -------------------------------------------------------------------------------------

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "opening": ("opening_msat",),
    "closure": ("closure_msat",),
    "splice": ("splice_msat",),
    "rebalance": ("rebalance_msat", "other_rebalance_msat"),
}


def _costs(costs: Iterable[Cost], ours: Ours, names: Names) -> LedgerPlan:
    """Only where our own ledger has nothing of that kind for the channel."""
    own = {row.channel_id: row for row in ours.books.channels}
    strangers = [row for row in ours.books.channels if names.stranger(row.channel_id)]
    entries: dict[str, Entry] = {}
    msat = known = 0
    doubts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cost in costs:
        channel = names.of(cost.channel)
        if cost.key in ours.keys or cost.key in entries:
            known += cost.key in ours.keys
        elif _own_msat(own.get(channel), cost.what, channel, ours):
            doubts[cost.what, "left out: the node's own records have it"].append(cost.channel)
        elif channel == cost.channel and any(
            _own_msat(row, cost.what, row.channel_id, ours) for row in strangers
        ):
            why = "left out: it may be a channel that the node's own records have by another name"
            doubts[cost.what, why].append(cost.channel)
        else:
            if cost.doubt is not None:
                why = f"{cost.doubt}; taken as an estimate"
                doubts[cost.what, why].append(cost.channel)
            entries[cost.key] = _spent(cost, channel)
            msat += cost.msat
    told = tuple(_told(what, why, channels) for (what, why), channels in doubts.items())
    taken = {"costs": len(entries), "costs_msat": msat}
    return LedgerPlan(tuple(entries.values()), taken, {"costs": known}, told)


def _own_msat(row: ChannelBooks | None, what: str, channel: str, ours: Ours) -> int:
    """What our ledger has of this kind, beside what was imported."""
    if row is None:
        return 0
    kinds = {
        "opening": (accounts.OPENING,),
        "closure": (accounts.CLOSURE,),
        "splice": (accounts.SPLICE,),
        "rebalance": (accounts.REBALANCE, accounts.OTHER_REBALANCE),
    }[what]
    imported = sum(ours.imported.get(accounts.of(kind, channel), 0) for kind in kinds)
    own: int = sum(getattr(row, name) for name in _FIELDS[what])
    return own - imported


def _spent(cost: Cost, channel: str) -> Entry:
    kind = f"imported {cost.what}" + ("" if cost.doubt is None else f" {ESTIMATE}")
    postings = ((accounts.of(cost.account, channel), cost.msat), (accounts.IMPORTED, -cost.msat))
    return Entry(cost.key, cost.at_s, kind, SOURCE, cost.evidence, postings)


def _told(what: str, why: str, channels: list[str]) -> str:
    names = sorted(set(channels))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    count = f"{len(channels)} costs of {len(names)} channels"
    return f"{what}: {count} {why}: {', '.join(names[:_SHOWN])}{more}"
