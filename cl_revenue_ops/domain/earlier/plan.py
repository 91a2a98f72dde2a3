"""Which entries the ledger gets from the earlier database, and what could not be trusted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.earlier import values
from cl_revenue_ops.domain.earlier.findings import Cost, Findings
from cl_revenue_ops.domain.ledger import accounts
from messages.books import Books, Entry

SOURCE = "import"
PREFIX = "import:"
ESTIMATE = "estimate"
"""How the kind of an entry ends whose amount is an estimate."""

OUR_ESTIMATE, OUR_ESTIMATE_UNDONE, UNDONE = "estimate", "estimate undone", "undone:"
"""Kinds of our own estimates and of what takes them back, and how the key of the latter begins."""

_SHOWN = 5


class Ours(NamedTuple):
    """What we know ourselves: our books, the first day of our forward log (None: none), today,
    keys of entries that were imported before, what they add up to by account, and the estimates
    that stand in for records of our own.
    """

    books: Books
    first_day: int | None
    today: int
    keys: frozenset[str]
    imported: Mapping[str, int]
    estimates: tuple[Entry, ...]
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

_KINDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "opening": (("opening_msat", accounts.OPENING),),
    "closure": (("closure_msat", accounts.CLOSURE),),
    "splice": (("splice_msat", accounts.SPLICE),),
    "rebalance": (
        ("rebalance_msat", accounts.REBALANCE),
        ("other_rebalance_msat", accounts.OTHER_REBALANCE),
    ),
}

_RECORDED = "left out: the node's own records have it"
_STRANGER = "left out: it may be a channel that the node's own records have by another name"


def _costs(costs: Iterable[Cost], ours: Ours, names: Names) -> LedgerPlan:
    """Only where our own ledger has nothing of that kind for the channel, beside an estimate."""
    recorded = _recorded(ours)
    strange = {what for (channel, what) in recorded if names.stranger(channel)}
    guesses = {account: entry for entry in ours.estimates for account, _ in entry.postings}
    entries: dict[str, Entry] = {}
    undone: dict[str, Entry] = {}
    doubts: dict[tuple[str, str], list[str]] = defaultdict(list)
    msat = known = 0
    for cost in costs:
        channel = names.of(cost.channel)
        guess = guesses.get(accounts.of(cost.account, channel))
        if cost.key in ours.keys:
            known += 1
            continue
        why = _why_not(cost, channel, recorded, strange, guess)
        if why is None:
            entries[cost.key] = _spent(cost, channel)
            msat += cost.msat
            if guess is not None:
                undone[guess.key] = _undone(guess, ours.today)
            why = cost.doubt and f"{cost.doubt}; taken as an estimate"
        if why is not None:
            doubts[cost.what, why].append(cost.channel)
    told = tuple(_told(what, why, channels) for (what, why), channels in doubts.items())
    taken = {"costs": len(entries), "costs_msat": msat}
    booked = (*undone.values(), *entries.values())
    return LedgerPlan(booked, taken, {"costs": known}, told)


def _why_not(
    cost: Cost,
    channel: str,
    recorded: Mapping[tuple[str, str], int],
    strange: Collection[str],
    guess: Entry | None,
) -> str | None:
    """Why a cost is not taken; None where it is."""
    if (channel, cost.what) in recorded:
        return _RECORDED
    if channel == cost.channel and cost.what in strange:
        return _STRANGER
    if guess is not None and cost.doubt is not None:
        return f"left out: {cost.doubt}, and we have an estimate ourselves"
    return None


def _recorded(ours: Ours) -> dict[tuple[str, str], int]:
    """(channel, kind of cost) -> msat of what our ledger has beside imports and estimates."""
    other = Counter(ours.imported)
    for entry in ours.estimates:
        other.update(dict(entry.postings))
    found: dict[tuple[str, str], int] = {}
    for row in ours.books.channels:
        for what, parts in _KINDS.items():
            msat = sum(
                getattr(row, name) - other[accounts.of(kind, row.channel_id)]
                for name, kind in parts
            )
            if msat:
                found[row.channel_id, what] = msat
    return found


def _spent(cost: Cost, channel: str) -> Entry:
    kind = f"imported {cost.what}" + ("" if cost.doubt is None else f" {ESTIMATE}")
    postings = ((accounts.of(cost.account, channel), cost.msat), (accounts.IMPORTED, -cost.msat))
    return Entry(cost.key, cost.at_s, kind, SOURCE, cost.evidence, postings)


def _undone(guess: Entry, today: int) -> Entry:
    """Our own estimate taken back, where a record tells."""
    postings = tuple((account, -msat) for account, msat in guess.postings)
    evidence = jsontext.dumps({"entry": guess.key})
    at_s = today * values.DAY_S
    return Entry(UNDONE + guess.key, at_s, OUR_ESTIMATE_UNDONE, guess.source, evidence, postings)


def _told(what: str, why: str, channels: list[str]) -> str:
    names = sorted(set(channels))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    costs = "1 cost" if len(channels) == 1 else f"{len(channels)} costs"
    count = f"{costs} of {len(names)} channel{'' if len(names) == 1 else 's'}"
    return f"{what}: {count} {why}: {', '.join(names[:_SHOWN])}{more}"
