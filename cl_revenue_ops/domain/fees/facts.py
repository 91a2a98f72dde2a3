"""What a fee decision is made from: facts of a channel, its kept state, and the parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from cl_revenue_ops.domain.demand.belief import mean_volumes_at
from cl_revenue_ops.domain.demand.book import Worth
from cl_revenue_ops.domain.demand.price import Draw, Priced, price
from cl_revenue_ops.domain.policy.terms import Terms
from messages.channels import ChannelFact

DAY_S = 86_400.0

Number = TypeVar("Number", int, float)


def finite(value: Number) -> Number:
    """Return a stored number as it is; raise TypeError or ValueError where it is none."""
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"not a number: {value}")
    return value


class Fee(NamedTuple):
    """A fee as lightningd keeps it: proportional ppm and base msat, both integers."""

    ppm: int
    base_msat: int


class Pin(NamedTuple):
    """A fee that somebody ordered: it is set as it stands, outside the bounds of managed fees.

    `base_msat` None means the configured base fee. `origin` says whose order it is (by hand, the
    peer's policy, leaving); `until_s` None means until it is taken back.
    """

    ppm: int
    base_msat: int | None
    origin: str
    set_at_s: float
    until_s: float | None = None


class PriorPrice(NamedTuple):
    """What others charge into the peer for a typical forward, in ppm.

    `spread` is the robust standard deviation of the natural log of their prices, `quotes` how many
    prices it rests on.
    """

    ppm: float
    spread: float
    quotes: int


class Conditions(NamedTuple):
    """What holds for the whole house at this moment. `writers` are other plugins on the node that
    are known to set fees (CLBoss, cl-hive).
    """

    node_in_sync: bool
    paused: bool
    safe_mode: bool
    writers: tuple[str, ...] = ()


class Market(NamedTuple):
    """What demand and stock ask at the channel's peer, as priced at `at_s` (Unix seconds).

    `priced` follows from the rest: the worth of the stock, our `share` of the peer's channels, the
    draw that was `held`, and the one that was drawn for the case that a new one is due.
    `multiplier` is what AIMD makes of the price.
    """

    worth: Worth
    share: float
    held: Draw | None
    fresh_z: float
    at_s: float
    multiplier: float
    priced: Priced


def market(
    worth: Worth, share: float, held: Draw | None, fresh_z: float, at_s: float, multiplier: float
) -> Market:
    """Return what demand and stock ask, with the price that follows."""
    priced = price(worth, share, held, fresh_z, at_s)
    return Market(worth, share, held, fresh_z, at_s, multiplier, priced)


def expected_values_msat(market: Market, log_fees: Sequence[float]) -> list[float]:
    """Return what each fee (ln ppm) is expected to earn in a day over the value of the stock it
    sells, in msat.
    """
    volumes = mean_volumes_at(market.worth.belief, log_fees)
    net_ppm = market.priced.net_ppm
    return [
        volume * (math.exp(log_fee) - net_ppm) / 1e6
        for volume, log_fee in zip(volumes, log_fees, strict=True)
    ]


class Spike(NamedTuple):
    """The mempool's spike as it holds now: intensity 0 to 1 and the multiplier of the floor, with
    the newest feerate and the mean that it was compared with (sat/vB, None where unknown).
    """

    intensity: float
    multiplier: float
    sat_per_vb: float | None
    mean_sat_per_vb: float | None


class ChannelFacts(NamedTuple):
    """One channel as read from the node and the forward log at `sampled_at_s` (Unix seconds).

    `local_msat` includes the reserve that we must keep. `htlcs_out` of `slots_out` outgoing HTLC
    slots are in use. `settled_out` counts forwards that left through the channel since it is
    known. `fee` is None where the node doesn't say; `prior` where nobody quotes; `pin` where no
    fee of this channel is ordered; `terms` where no policy asks anything of the peer's fees.
    """

    channel_id: str
    peer_id: str
    scid: str | None
    state: str
    connected: bool
    reestablished: bool
    lost_state: bool
    opener: str | None
    capacity_msat: int
    local_msat: int
    our_reserve_msat: int
    htlcs_out: int
    slots_out: int
    fee: Fee | None
    settled_out: int
    sampled_at_s: float
    prior: PriorPrice | None
    pin: Pin | None
    conditions: Conditions
    market: Market | None = None
    spike: Spike | None = None
    terms: Terms | None = None


class CongestionState(NamedTuple):
    """Whether outgoing slots are held to be congested, and the samples above threshold running."""

    active: bool = False
    above: int = 0
    sampled_at_s: float = 0.0


class ChannelFeeState(NamedTuple):
    """What is kept of a channel's fee between decisions; times are Unix seconds.

    `found` is the fee of the first contact. `target` is the fee last decided on (stored before it
    is written), `confirmed` the last fee seen on the node that was ours: only when they differ
    is a write unconfirmed. `foreign` is another writer's fee since `foreign_since_s`.
    `forced_by` names the stage (pin, congestion) that forced the fee in force, `target_forced_by`
    the one that forced the target, `calm_ppm` the fee that was in force before either.
    `observed_s` is the time for which the channel was seen usable, `updates_s` when our fees were
    written lately, `decisions` the number of decisions taken. `draws` is the number of the draw
    that the fee in force goes back to, `target_draws` of the one behind the target. `left_alone`
    that the peer's policy left the fee to others at the last decision, `ruled` that it had a say.
    """

    found: Fee | None = None
    target: Fee | None = None
    confirmed: Fee | None = None
    foreign: Fee | None = None
    foreign_since_s: float | None = None
    forced_by: str | None = None
    target_forced_by: str | None = None
    calm_ppm: int | None = None
    observed_s: float = 0.0
    decided_at_s: float | None = None
    congestion: CongestionState = CongestionState()
    updates_s: tuple[float, ...] = ()
    decisions: int = 0
    draws: int = 0
    target_draws: int = 0
    left_alone: bool = False
    ruled: bool = False


@dataclass(frozen=True)
class FeeParameters:
    """The operator's settings by their keys, then the constants of the rules.

    A share is a number from 0 to 1. Raises ValueError on bounds or thresholds that no rule can
    keep.
    """

    min_fee_ppm: int = 10
    max_fee_ppm: int = 5000
    base_fee_msat: int = 0
    htlc_congestion_threshold: float = 0.8
    enable_scarcity_pricing: bool = True
    scarcity_threshold: float = 0.35
    enable_vegas_reflex: bool = True
    fee_updates_per_day: int = 4

    scarcity_most: float = 3.0
    congestion_samples: int = 2
    congestion_release: float = 0.75
    hysteresis: float = 0.05
    least_gain_msat: float = 100.0
    foreign_hold_s: float = DAY_S
    young_s: float = 3 * DAY_S
    young_factor: float = 1.5
    longest_gap_s: float = 7200.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_fee_ppm <= self.max_fee_ppm:
            raise ValueError(f"fee bounds {self.min_fee_ppm} to {self.max_fee_ppm} ppm")
        if self.base_fee_msat < 0 or self.hysteresis < 0.0:
            raise ValueError("base fee and hysteresis cannot be negative")
        if self.scarcity_most < 1.0 or self.young_factor < 1.0:
            raise ValueError("scarcity_most and young_factor are multipliers of at least 1")


def channel_facts(
    fact: ChannelFact,
    *,
    settled_out: int,
    sampled_at_s: float,
    prior: PriorPrice | None,
    pin: Pin | None,
    conditions: Conditions,
    market: Market | None = None,
    spike: Spike | None = None,
    terms: Terms | None = None,
) -> ChannelFacts:
    """Return the facts of a decision from what the node reports and what the house knows."""
    known = fact.fee_ppm is not None and fact.fee_base_msat is not None
    return ChannelFacts(
        channel_id=fact.channel_id,
        peer_id=fact.peer_id,
        scid=fact.scid or fact.alias_scid,
        state=fact.state,
        connected=fact.connected,
        reestablished=fact.reestablished,
        lost_state=fact.lost_state,
        opener=fact.opener,
        capacity_msat=fact.capacity_msat,
        local_msat=fact.local_msat,
        our_reserve_msat=fact.our_reserve_msat,
        htlcs_out=fact.htlcs_out,
        slots_out=fact.slots_out,
        fee=Fee(fact.fee_ppm or 0, fact.fee_base_msat or 0) if known else None,
        settled_out=settled_out,
        sampled_at_s=sampled_at_s,
        prior=prior,
        pin=pin,
        conditions=conditions,
        market=market,
        spike=spike,
        terms=terms,
    )
