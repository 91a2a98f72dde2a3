"""What holds for every baseline: names, repeatable draws, whole fees, channels that come and go."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES
from tests.unit.baseline_support import DAY_S, FakeNode, channel, forward, quote, refusal, run

# The most ppm that each rule may ask by its own bounds; clboss and feeadjuster know none.
MOST_PPM = {
    "static-100": 100,
    "proportional": 1_000,
    "feeadjuster-global": 70,
    "lndg": 2_500,
    "lndmanage": 5_000,
    "eclair": 5_000,
    "eclair-low": 5_000,
    "nodeguard": 3_000,
    "lnoperator": 1_500,
    "feelancer": 2_500,
    "feelancer-fast": 2_500,
    "brln": 2_000,
    "earlier": 5_000,
    "earlier-frozen": 5_000,
}

# How often each rule runs; feeadjuster and fixed fees have no timer that matters.
INTERVAL_S = {
    "proportional": 3_600.0,
    "clboss": 600.0,
    "lndg": 3_600.0,
    "lndmanage": 604_800.0,
    "eclair": 3_600.0,
    "nodeguard": 1_800.0,
    "lnoperator": 7_200.0,
    "feelancer": 900.0,
    "brln": 3_600.0,
    "earlier": 1_800.0,
}

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["forward", "refuse", "balance", "close", "open", "wait"]),
        st.integers(0, 4),
        st.floats(0, 1),
    ),
    max_size=25,
)


def _play(name: str, seed: int, events: list[tuple[str, int, float]]) -> FakeNode:
    quotes = {f"peer{k}": [quote(90 * k), quote(4_000, 3_000_000, "b", 7)] for k in range(4)}
    node = FakeNode(*(channel(k, k / 4) for k in range(5)), quotes=quotes)
    policy = BASELINES[name](seed)
    assert policy.name == name and policy.interval_s > 0
    policy.begin(node)
    due_s = node.now_s + policy.interval_s
    for kind, index, share in events:
        if kind == "forward":
            policy.settled(forward(node.now_s, index, 4 - index, 1 + round(share * 1e6)), node)
        elif kind == "refuse":
            policy.refused(refusal(node.now_s, index), node)
        elif kind == "balance" and index in node.open:
            node.balance(index, share)
        elif kind == "close":
            node.open.pop(index, None)
        elif kind == "open":
            node.open.setdefault(index, channel(index, share))
        node.now_s += 600 + share * 0.7 * DAY_S
        while due_s <= node.now_s:
            policy.tick(node)
            due_s += policy.interval_s
    return node


@pytest.mark.parametrize("name", BASELINES)
@settings(max_examples=15, deadline=None)
@given(events=EVENTS, seed=st.integers(0, 9))
def test_fees_are_whole_within_bounds_and_repeatable(
    name: str, seed: int, events: list[tuple[str, int, float]]
) -> None:
    node = _play(name, seed, events)
    for _, ppm, base_msat in node.sets:
        assert type(ppm) is int and type(base_msat) is int
        assert 0 <= ppm <= MOST_PPM.get(name, 2**32 - 1) and base_msat >= 0
    assert node.sets == _play(name, seed, events).sets


@pytest.mark.parametrize("name", ["clboss", "clboss-nosize", "earlier"])
def test_the_seed_decides_the_draws(name: str) -> None:
    events = [("wait", 0, 1.0)] * 12
    assert _play(name, 1, events).sets != _play(name, 2, events).sets


@pytest.mark.parametrize("name", BASELINES)
def test_a_node_without_channels_is_left_alone(name: str) -> None:
    node = FakeNode()
    policy = BASELINES[name](1)
    policy.begin(node)
    run(policy, node, 8 * DAY_S)
    policy.settled(forward(node.now_s), node)
    policy.refused(refusal(node.now_s), node)
    run(policy, node, 8 * DAY_S)
    assert node.sets == []


@pytest.mark.parametrize("name", INTERVAL_S)
def test_a_rule_runs_as_often_as_the_tool(name: str) -> None:
    assert BASELINES[name](1).interval_s == INTERVAL_S[name]


def test_the_bounds_name_real_baselines() -> None:
    assert set(MOST_PPM) <= set(BASELINES)
    assert set(BASELINES) - set(MOST_PPM) == {
        "static",
        "feeadjuster-median",
        "feeadjuster-median-base0",
        "clboss",
        "clboss-nosize",
    }
