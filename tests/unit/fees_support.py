"""What the tests of fee decisions share: ordinary facts, and any facts at all."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from cl_revenue_ops.domain.demand.belief import Belief
from cl_revenue_ops.domain.demand.book import Surprise, Worth
from cl_revenue_ops.domain.demand.curve import CELLS, LOG_FEES, LOG_PRICE_STEP, STEEPNESS
from cl_revenue_ops.domain.demand.price import Draw
from cl_revenue_ops.domain.fees.alpha import Context
from cl_revenue_ops.domain.fees.decide import FeeDecision, decide, written
from cl_revenue_ops.domain.fees.facts import (
    ChannelFacts,
    ChannelFeeState,
    Conditions,
    CongestionState,
    Fee,
    FeeParameters,
    Market,
    Pin,
    PriorPrice,
    Spike,
    market,
)
from cl_revenue_ops.domain.fees.orders import orders_in
from cl_revenue_ops.domain.fees.record import to_record
from cl_revenue_ops.domain.fees.vegas import floor_multiplier
from cl_revenue_ops.domain.policy.terms import terms_of
from messages.policies import PeerPolicy

NOW = 1_700_000_000.0
HOUR_S = 3600.0
HALF_HOUR_S = 1800.0
DAY_S = 86_400.0
WELL = Conditions(node_in_sync=True, paused=False, safe_mode=False)
DEFAULTS = FeeParameters()
ORDINARY_FEE = Fee(200, 0)


def facts(**changes: Any) -> ChannelFacts:
    """A channel in good order: half full, at 200 ppm, with nobody quoting into its peer."""
    ordinary = ChannelFacts(
        channel_id="ab" * 32,
        peer_id="02" + "cd" * 32,
        scid="103x1x0",
        state="CHANNELD_NORMAL",
        connected=True,
        reestablished=True,
        lost_state=False,
        opener="local",
        capacity_msat=10_000_000_000,
        local_msat=5_000_000_000,
        our_reserve_msat=100_000_000,
        htlcs_out=3,
        slots_out=483,
        fee=ORDINARY_FEE,
        settled_out=5,
        sampled_at_s=NOW,
        prior=None,
        pin=None,
        conditions=WELL,
    )
    return ordinary._replace(**changes)


def known(fee: Fee = ORDINARY_FEE, **changes: Any) -> ChannelFeeState:
    """A channel that has been ours at `fee` for ten observed days."""
    ordinary = ChannelFeeState(
        found=fee,
        target=fee,
        confirmed=fee,
        observed_s=10 * DAY_S,
        decided_at_s=NOW - 1800.0,
    )
    return ordinary._replace(**changes)


def context(
    seen: ChannelFacts, state: ChannelFeeState | None = None, p: FeeParameters = DEFAULTS
) -> Context:
    """The context of a decision at NOW."""
    state = known() if state is None else state
    found = state.found or seen.fee or Fee(p.min_fee_ppm, 0)
    fee = None if seen.fee is None else seen.fee.ppm
    return Context(seen, state, p, orders_in(seen, NOW), found.ppm, fee)


class Node:
    """One channel's fee on a node, and the cycles that manage it."""

    def __init__(
        self,
        fee: Fee,
        state: ChannelFeeState | None = None,
        p: FeeParameters = DEFAULTS,
        **ordinary: Any,
    ) -> None:
        self.fee = fee
        self.parameters = p
        self.state = ChannelFeeState() if state is None else state
        self.ordinary = ordinary
        self.now_s = NOW
        self.updates = 0

    def cycle(
        self, *, fails: bool = False, after_s: float = HALF_HOUR_S, **changes: Any
    ) -> FeeDecision:
        """One fee cycle; a write that fails leaves the fee as it was."""
        self.now_s += after_s
        seen = facts(**{"fee": self.fee, "sampled_at_s": self.now_s, **self.ordinary, **changes})
        decision, self.state = decide(seen, self.state, self.parameters, self.now_s)
        if decision.action == "set" and not fails:
            assert decision.target is not None
            self.fee = decision.target
            self.state = written(self.state, self.now_s)
            self.updates += 1
        return decision


def belief(price_ppm: float, volume_msat: float, shape: float = 4.0) -> Belief:
    """Demand that pays about `price_ppm` (a factor of 1.6 up or down) for a volume a day."""
    middle = round(math.log(price_ppm) / LOG_PRICE_STEP)
    places = tuple(len(STEEPNESS) * (middle + away) + 2 for away in (-3, 0, 3))
    return Belief.of(places, (0.25, 0.5, 0.25), (volume_msat,) * 3, shape)


def worth(
    price_ppm: float = 300.0,
    *,
    volume_msat: float = 2e9,
    own_ppm: float = 0.0,
    entering_ppm: float = 0.0,
    surprise: Surprise | None = None,
) -> Worth:
    """What a destination is worth whose stock is worth `own_ppm`, and nothing unless told so."""
    told = belief(price_ppm, volume_msat)
    return Worth(told, own_ppm, entering_ppm, max(0.0, own_ppm), 0.0, 100.0, 1e8, surprise)


def asking(
    ppm: float, told: Worth | None = None, *, share: float = 0.5, multiplier: float = 1.0
) -> Market:
    """A market of which a new draw asks exactly so many ppm before AIMD."""
    told = worth() if told is None else told
    plain = market(told, share, None, 0.0, NOW, multiplier).priced
    drawn = (math.log(ppm) - (1.0 - plain.alpha) * plain.greedy) / plain.alpha
    return market(told, share, None, (drawn - plain.mean) / plain.sd, NOW, multiplier)


def spike(
    intensity: float, sat_per_vb: float | None = 40.0, mean_sat_per_vb: float | None = 10.0
) -> Spike:
    """The mempool's spike at an intensity."""
    return Spike(intensity, floor_multiplier(intensity), sat_per_vb, mean_sat_per_vb)


def numbers_in(value: Any) -> set[float]:
    """Every number of a record's reasons and fees, not of its inputs."""
    if isinstance(value, dict):
        return set().union(*(numbers_in(v) for k, v in value.items() if k != "inputs"), set())
    if isinstance(value, list):
        return set().union(*(numbers_in(item) for item in value), set())
    return {float(value)} if isinstance(value, int | float) else set()


def unrecorded(decision: FeeDecision) -> list[str]:
    """The numbers of a decision's sentence that do not stand in its record beside it."""
    stated = {
        key: value for key, value in to_record(decision).items() if key not in ("sentence", "at_s")
    }
    recorded = numbers_in(stated)
    told = re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", decision.sentence)
    return [text for text in told if float(text) not in recorded]


ppms = st.one_of(st.integers(0, 50), st.integers(0, 6000), st.integers(0, 2**32 - 1))
fees = st.builds(Fee, ppms, st.sampled_from([0, 0, 1, 1000, 5000]))
times = st.floats(NOW - 5 * DAY_S, NOW)
priors = st.none() | st.builds(
    PriorPrice, st.floats(0.01, 20_000), st.floats(0.01, 4.0), st.integers(1, 60)
)
pins = st.none() | st.builds(
    Pin,
    ppms,
    st.none() | st.integers(0, 5000),
    st.sampled_from(["by hand", "static", "hive"]),
    times,
    st.none() | st.floats(NOW - DAY_S, NOW + DAY_S),
)


def _belief(places: Sequence[int], weight: float, rate: float, shape: float) -> Belief:
    """Cells of any place; weights and volumes differ from cell to cell."""
    weights = [weight + number for number, _ in enumerate(places)]
    total = sum(weights)
    return Belief.of(
        tuple(places),
        tuple(round(one / total, 5) for one in weights),
        tuple(float(round(rate * (1.0 + number))) for number, _ in enumerate(places)),
        shape,
    )


def _known(free_msat: float, price_ppm: float) -> Belief:
    """Demand that is not believed but known: it falls with the fee."""
    falls = [free_msat / (1.0 + (math.exp(one) / price_ppm) ** 3) for one in LOG_FEES.tolist()]
    return Belief.of((), (), (), 1.0, tuple(falls))


beliefs = st.builds(
    _belief,
    st.lists(st.integers(0, CELLS - 1), min_size=1, max_size=6, unique=True).map(sorted),
    st.floats(0.01, 10.0),
    st.floats(1.0, 1e11),
    st.floats(0.02, 1e4),
) | st.builds(_known, st.floats(1.0, 1e11), st.floats(1.0, 9000.0))
surprises = st.none() | st.builds(
    Surprise, st.floats(0, 500), st.floats(1e-6, 500), st.floats(0, 1), st.floats(0, 1)
)
values_ppm = st.floats(-3000.0, 15_000.0).map(lambda value: round(value, 3))
worths = st.builds(
    Worth,
    beliefs,
    values_ppm,
    values_ppm,
    values_ppm,
    values_ppm,
    st.floats(1.0, 5000.0),
    st.floats(1.0, 1e10),
    surprises,
)
draws = st.builds(
    Draw,
    st.integers(1, 500),
    st.floats(-6.0, 6.0),
    st.floats(NOW - DAY_S, NOW + DAY_S),
    st.integers(0, 6),
    st.floats(0.0, 9.9),
)
markets = st.builds(
    market,
    worths,
    st.floats(0.0, 1.0),
    st.none() | draws,
    st.floats(-6.0, 6.0),
    st.just(NOW),
    st.sampled_from([1.0, 1.0, 0.85, 0.7225, 0.5]),
)
rates = st.none() | st.floats(0.1, 2000.0)
spikes = st.builds(spike, st.floats(0.0, 1.0), rates, rates)
writers = st.sampled_from([(), (), (), ("CLBoss",), ("CLBoss", "cl-hive")])
peer_policies = st.builds(
    PeerPolicy,
    peer_id=st.just("02" + "cd" * 32),
    strategy=st.sampled_from(["dynamic", "dynamic", "dynamic", "static", "hive", "passive"]),
    rebalance=st.sampled_from(["enabled", "disabled", "source_only", "sink_only"]),
    fee_ppm=st.none() | st.integers(0, 100_000),
    fee_multiplier_min=st.none() | st.floats(0.1, 2.0),
    fee_multiplier_max=st.none() | st.floats(1.0, 5.0),
    min_fee_ppm=st.none() | st.integers(0, 900),
    max_fee_ppm=st.none() | st.integers(900, 9000),
    updated_at_s=times,
    expires_at_s=st.none() | st.floats(NOW - DAY_S, NOW + DAY_S),
)
all_terms = st.builds(terms_of, st.none() | peer_policies, st.just(NOW), st.integers(0, 30))
all_facts = st.builds(
    facts,
    state=st.sampled_from(["CHANNELD_NORMAL"] * 6 + ["CHANNELD_AWAITING_SPLICE", "ONCHAIN"]),
    connected=st.sampled_from([True] * 5 + [False]),
    reestablished=st.sampled_from([True] * 5 + [False]),
    lost_state=st.sampled_from([False] * 9 + [True]),
    opener=st.sampled_from(["local", "remote", None]),
    local_msat=st.integers(0, 10_000_000_000),
    our_reserve_msat=st.sampled_from([0, 100_000_000, 20_000_000_000]),
    htlcs_out=st.integers(0, 483),
    slots_out=st.sampled_from([483, 30, 0]),
    fee=st.none() | fees,
    settled_out=st.integers(0, 3),
    prior=priors,
    pin=pins,
    terms=all_terms,
    conditions=st.builds(
        Conditions,
        st.sampled_from([True] * 9 + [False]),
        st.sampled_from([False] * 9 + [True]),
        st.sampled_from([False] * 9 + [True]),
        writers,
    ),
    market=st.none() | markets,
    spike=st.none() | spikes,
)
all_parameters = st.builds(
    lambda low, spread, **rest: FeeParameters(min_fee_ppm=low, max_fee_ppm=low + spread, **rest),
    st.integers(0, 500),
    st.integers(0, 8000),
    base_fee_msat=st.sampled_from([0, 0, 1000]),
    htlc_congestion_threshold=st.floats(0.0, 1.0),
    enable_scarcity_pricing=st.booleans(),
    scarcity_threshold=st.floats(0.0, 1.0),
    enable_vegas_reflex=st.booleans(),
    fee_updates_per_day=st.integers(0, 12),
)


@st.composite
def all_states(draw: st.DrawFn, seen: Fee | None) -> ChannelFeeState:
    """A state that may or may not know the fee that is seen."""
    some = st.none() | fees if seen is None else st.none() | fees | st.just(seen)
    target = draw(some)
    foreign = draw(some)
    return ChannelFeeState(
        found=target,
        target=target,
        confirmed=draw(some) if target else None,
        foreign=foreign,
        foreign_since_s=None if foreign is None else draw(times),
        forced_by=draw(st.sampled_from([None, None, "pin", "congestion"])),
        target_forced_by=draw(st.sampled_from([None, None, "pin", "congestion"])),
        calm_ppm=draw(st.none() | st.integers(0, 6000)),
        observed_s=draw(st.floats(0, 6 * DAY_S)),
        decided_at_s=draw(st.none() | times),
        congestion=CongestionState(
            draw(st.booleans()), draw(st.integers(0, 5)), draw(st.sampled_from([0.0, NOW]))
        ),
        updates_s=tuple(sorted(draw(st.lists(times, max_size=9)))),
        decisions=draw(st.integers(0, 1000)),
        draws=draw(st.integers(0, 500)),
        target_draws=draw(st.integers(0, 500)),
        left_alone=draw(st.sampled_from([False, False, True])),
    )
