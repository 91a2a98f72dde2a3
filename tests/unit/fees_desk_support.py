"""A house of three peers for tests of the pricing desk: its channels, its log, its readings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cl_revenue_ops.domain.demand.belief import mean_volumes_at
from cl_revenue_ops.domain.demand.curve import log_fee
from cl_revenue_ops.domain.fees.desk import PricingDesk
from cl_revenue_ops.domain.fees.facts import Market, PriorPrice
from cl_revenue_ops.domain.reputation import Trust
from cl_revenue_ops.runtime.rng import uniform
from messages.channels import ChannelFact
from messages.forwards import SETTLED, LoggedForward
from tests.unit.fees_support import HALF_HOUR_S, NOW

SHOP, MINER, CAFE = (f"02{name * 32}" for name in ("aa", "bb", "cc"))
PEERS = (SHOP, MINER, CAFE)
QUOTE = PriorPrice(300.0, 0.6, 5)
EVERYBODY = Trust(None)
FLOW_MSAT = 100_000_000
SIZE_MSAT = 100_000_000


def fact(peer_id: str, number: int | None = None, **changes: Any) -> ChannelFact:
    """A half-full channel at 300 ppm; the channel and its scid are numbered."""
    number = PEERS.index(peer_id) if number is None else number
    ordinary = ChannelFact(
        f"{number:064x}",
        peer_id,
        "CHANNELD_NORMAL",
        True,
        True,
        scid=f"{number}x1x0",
        capacity_msat=10_000_000_000,
        local_msat=5_000_000_000,
        spendable_msat=4_900_000_000,
        receivable_msat=4_900_000_000,
        our_reserve_msat=100_000_000,
        fee_ppm=300,
        fee_base_msat=0,
    )
    return replace(ordinary, **changes)


HOUSE = (fact(SHOP), fact(MINER), fact(CAFE))
SCIDS = {f"{number}x1x0": f"{number:064x}" for number in range(9)}


def row(
    at_s: float,
    out: str | None = "0x1x0",
    into: str = "1x1x0",
    *,
    status: str = SETTLED,
    failcode: int | None = None,
    msat: int | None = SIZE_MSAT,
) -> LoggedForward:
    """A forward from the miner to the shop that paid 300 ppm."""
    fee = None if msat is None else msat * 300 // 1_000_000
    paid = SIZE_MSAT if msat is None else msat + (fee or 0)
    return LoggedForward(1, into, out, paid, msat, fee, status, at_s, failcode)


def many(count: int, from_s: float, until_s: float, **changes: Any) -> list[LoggedForward]:
    step_s = (until_s - from_s) / (count + 1)
    return [row(from_s + (n + 1) * step_s, **changes) for n in range(count)]


def learn(
    desk: PricingDesk,
    rows: Sequence[LoggedForward],
    now_s: float,
    facts: Iterable[ChannelFact] = HOUSE,
    trust: Trust = EVERYBODY,
) -> None:
    desk.learn(rows, SCIDS, {one.channel_id: one.peer_id for one in facts}, trust, now_s)


def begun(facts: Sequence[ChannelFact] = HOUSE, now_s: float = NOW) -> PricingDesk:
    """A desk that has met the peers, seen its channels and learned of nothing so far."""
    desk = PricingDesk()
    desk.meet(facts, dict.fromkeys(PEERS, QUOTE), FLOW_MSAT)
    desk.ask(facts, now_s)
    desk.look(facts, now_s)
    learn(desk, (), now_s, facts)
    return desk


def watched(
    desk: PricingDesk, hours: float, facts: Sequence[ChannelFact] = HOUSE, from_s: float = NOW
) -> float:
    """Read the channels every half hour; returns when the last reading was."""
    at_s = from_s
    for number in range(1, round(2 * hours) + 1):
        at_s = from_s + number * HALF_HOUR_S
        desk.look(facts, at_s)
    return at_s


def volume_msat(desk: PricingDesk, peer_id: str, ppm: float = 300.0) -> float:
    """What is expected to leave to a peer in a day."""
    (told,) = desk.demand.believed([peer_id], NOW)
    return mean_volumes_at(told, [log_fee(ppm)])[0]


def laws(desk: PricingDesk, peer_id: str = SHOP) -> list[list[float]]:
    """The posterior of a peer, value by value."""
    return [
        np.asarray(one).ravel().tolist() for one in vars(desk.demand.posteriors[peer_id]).values()
    ]


def priced(
    desk: PricingDesk, now_s: float, facts: Iterable[ChannelFact] = HOUSE, root: int = 7
) -> dict[str, Market]:
    desk.price(facts, lambda purpose, number: uniform(root, purpose, number), now_s)
    return desk.markets
