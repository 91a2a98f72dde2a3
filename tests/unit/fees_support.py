"""What the tests of fee decisions share: ordinary facts, and any facts at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from cl_revenue_ops.domain.fees.alpha import Context
from cl_revenue_ops.domain.fees.facts import (
    ChannelFacts,
    ChannelFeeState,
    Conditions,
    CongestionState,
    Fee,
    FeeParameters,
    Pin,
    PriorPrice,
    standing_pin,
)

NOW = 1_700_000_000.0
HOUR_S = 3600.0
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
        passive=False,
        conditions=WELL,
    )
    return replace(ordinary, **changes)


def known(fee: Fee = ORDINARY_FEE, **changes: Any) -> ChannelFeeState:
    """A channel that has been ours at `fee` for ten observed days."""
    ordinary = ChannelFeeState(
        found=fee,
        target=fee,
        confirmed=fee,
        observed_s=10 * DAY_S,
        decided_at_s=NOW - 1800.0,
    )
    return replace(ordinary, **changes)


def context(
    seen: ChannelFacts, state: ChannelFeeState | None = None, p: FeeParameters = DEFAULTS
) -> Context:
    """The context of a decision at NOW."""
    state = known() if state is None else state
    found = state.found or seen.fee or Fee(p.min_fee_ppm, 0)
    fee = None if seen.fee is None else seen.fee.ppm
    return Context(seen, state, p, standing_pin(seen, NOW), found.ppm, fee)


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
    passive=st.sampled_from([False] * 9 + [True]),
    conditions=st.builds(
        Conditions,
        st.sampled_from([True] * 9 + [False]),
        st.sampled_from([False] * 9 + [True]),
        st.sampled_from([False] * 9 + [True]),
    ),
)
all_parameters = st.builds(
    lambda low, spread, **rest: FeeParameters(min_fee_ppm=low, max_fee_ppm=low + spread, **rest),
    st.integers(0, 500),
    st.integers(0, 8000),
    base_fee_msat=st.sampled_from([0, 0, 1000]),
    htlc_congestion_threshold=st.floats(0.0, 1.0),
    enable_scarcity_pricing=st.booleans(),
    scarcity_threshold=st.floats(0.0, 1.0),
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
    )
