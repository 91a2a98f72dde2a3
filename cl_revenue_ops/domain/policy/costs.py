"""What rebalances cost and which channels they filled, from the node's list of movements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from messages.moves import OwnMove

NO_BLEEDER = (
    "without them no bleeder can be found: a peer whose channels earned less than rebalancing into"
    " them cost"
)
NOT_OFFERED = (
    "this node has no listchannelmoves, by which Core Lightning tells from v25.09 on what each"
    " payment moved"
)
DAY_S = 86_400.0


class Rebalance(NamedTuple):
    """A payment of ours to ourselves, or one part of it: `filled` is the channel that it filled."""

    filled: str
    drained: str
    amount_msat: int
    cost_msat: int


class Costs(NamedTuple):
    """What is known of a window: the rebalances since `since_s` (Unix seconds), the rest is not.

    `since_s` None means that nothing is known. `lacks` says why not the whole window is, and is
    None where it is. `unreadable` rows of the node's list were left out.
    """

    rebalances: tuple[Rebalance, ...] = ()
    since_s: float | None = None
    lacks: str | None = None
    unreadable: int = 0

    def by_channel(self) -> dict[str, int]:
        """Cost in msat by the channel that was filled."""
        total_msat: dict[str, int] = defaultdict(int)
        for made in self.rebalances:
            total_msat[made.filled] += made.cost_msat
        return dict(total_msat)


def rebalances(moves: Iterable[OwnMove]) -> tuple[Rebalance, ...]:
    """Every pair of what left and what came back: the same payment, the same amount after fees.

    lightningd gives no part number with what arrives, so the parts of a payment are told apart by
    their amounts; equal ones are matched in the order of their indexes, which cannot change what
    all of them cost. A movement belongs to one pair at most, however often it was read; what has
    no counterpart was paid to or by somebody else.
    """
    by_index = {move.created_index: move for move in moves}
    left: dict[tuple[str, int], list[OwnMove]] = defaultdict(list)
    came: dict[tuple[str, int], list[OwnMove]] = defaultdict(list)
    for index in sorted(by_index):
        move = by_index[index]
        if move.debit_msat:
            left[move.payment_hash, move.debit_msat - move.fees_msat].append(move)
        else:
            came[move.payment_hash, move.credit_msat].append(move)
    return tuple(
        Rebalance(into.channel_id, out.channel_id, into.credit_msat, out.fees_msat)
        for part, outs in left.items()
        for out, into in zip(outs, came.get(part, ()), strict=False)
    )


def within(moves: Iterable[OwnMove], since_s: float, until_s: float) -> list[OwnMove]:
    """What moved in a window, both its ends included."""
    return [move for move in moves if since_s <= move.at_s <= until_s]


def in_words(costs: Costs, until_s: float) -> str:
    """What is known, for an operator."""
    if costs.since_s is None:
        return f"rebalance costs are not known ({costs.lacks}); {NO_BLEEDER}"
    cost_sats = sum(made.cost_msat for made in costs.rebalances) // 1000
    number = len(costs.rebalances)
    text = f"{number} rebalance{'' if number == 1 else 's'} cost {cost_sats} sats"
    if costs.lacks is None:
        text += ", by the node's list of movements; each is charged to the channel that it filled"
    else:
        days = (until_s - costs.since_s) / DAY_S
        text += (
            f" in the last {days:.1f} days; what was before is not known ({costs.lacks}), so costs"
            " are at least that"
        )
    if costs.unreadable:
        text += f"; {costs.unreadable} movements could not be understood and are left out"
    return text


def figures(costs: Costs, until_s: float) -> dict[str, object]:
    """What an answer shows of it; None where nothing is known."""
    known = costs.since_s is not None
    cost_msat = sum(made.cost_msat for made in costs.rebalances)
    return {
        "rebalance_costs": in_words(costs, until_s),
        "rebalance_costs_since": None if costs.since_s is None else int(costs.since_s),
        "rebalances_in_window": len(costs.rebalances) if known else None,
        "rebalance_cost_in_window_sats": cost_msat // 1000 if known else None,
    }
