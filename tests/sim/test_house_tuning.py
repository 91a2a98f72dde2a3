"""Settings that change fee decisions while the house runs, as an operator changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cl_revenue_ops.config import BY_KEY
from tests.sim.house_learning import (
    CYCLE_S,
    QUOTES_PPM,
    channel,
    cycle_s,
    learning,
    made,
    recorded,
    rivals_ask,
    verdicts,
)
from tests.sim.house_support import START_S, HouseNode
from tests.sim.test_house_retention import file_away, old

DAY_S = 86_400.0
CALM_PERKW, SPIKE_PERKW = 3_571, 50_000


def configure(node: HouseNode, key: str, value: object) -> None:
    assert node.call("revenue-config", ["set", key, value])["status"] == "success"


def setconfig(node: HouseNode, key: str, value: object) -> None:
    node.call("setconfig", [BY_KEY[key].option, str(value).lower()])


def ppm(node: HouseNode, name: str) -> int:
    return int(node.world.channel(channel(node, name)).policy.ppm)


def after_cycle(node: HouseNode, number: int) -> None:
    """Go on until that cycle has been decided."""
    node.advance(cycle_s(number) + 20.0)


# -- bounds and the budget of updates -----------------------------------------------------------


@pytest.mark.parametrize("change", [configure, setconfig])
def test_a_fee_outside_new_bounds_moves_into_them_at_once_whatever_the_budget(
    change: Callable[[HouseNode, str, object], None],
) -> None:
    with learning() as node:
        after_cycle(node, 7)
        assert recorded(node, "bob")["code"] == "budget_spent"
        before = ppm(node, "bob")
        change(node, "max_fee_ppm", before - 5)
        after_cycle(node, 8)
        assert (ppm(node, "bob"), recorded(node, "bob")["code"]) == (before - 5, "bounds")
        change(node, "max_fee_ppm", 5_000)
        change(node, "min_fee_ppm", before + 40)
        after_cycle(node, 9)
        assert recorded(node, "bob")["code"] == "bounds"
        assert before + 40 <= ppm(node, "bob") <= 1.5 * (before + 40)


def test_as_many_updates_a_day_as_are_set() -> None:
    with learning() as node:
        configure(node, "fee_updates_per_day", 2)
        after_cycle(node, 5)
        assert (ppm(node, "bob"), recorded(node, "bob")["code"]) == (22, "budget_spent")
        configure(node, "fee_updates_per_day", 3)
        after_cycle(node, 6)
        assert ppm(node, "bob") == 33
        after_cycle(node, 7)
        assert (ppm(node, "bob"), recorded(node, "bob")["code"]) == (33, "budget_spent")
        configure(node, "fee_updates_per_day", 48)
        after_cycle(node, 9)
        assert ppm(node, "bob") == 73


# -- the prior ----------------------------------------------------------------------------------


def rates(node: HouseNode, name: str) -> list[float]:
    belief = recorded(node, name)["inputs"]["facts"]["market"]["worth"]["belief"]
    return [float(rate) for rate in belief["rates"]]


def met(node: HouseNode, name: str, cycle: int) -> None:
    """A channel with a new peer opens shortly before the cycle."""
    node.advance(cycle_s(cycle) - 6.0)
    node.open(name, 10_000_000, 5_000_000)
    rivals_ask(node, node.world.add_peer(name), *QUOTES_PPM["bob"])
    after_cycle(node, cycle)


def test_the_target_flow_is_what_is_expected_of_a_new_destination_from_then_on() -> None:
    """Twice of it at a fee of zero: half of the demand is kept at the prior price."""
    with learning() as node:
        met(node, "dora", 3)
        assert max(rates(node, "dora")) == pytest.approx(2.0 * 100_000_000, rel=0.05)
        configure(node, "target_flow", 1_000_000)
        met(node, "eve", 4)
        assert max(rates(node, "eve")) == pytest.approx(2.0 * 1_000_000_000, rel=0.05)
        assert max(rates(node, "dora")) < 2.0 * 100_000_000, "it was met before"


# -- the mempool --------------------------------------------------------------------------------


def spike(node: HouseNode, cycle: int) -> None:
    """The mempool is dear for exactly one cycle."""
    node.advance(cycle_s(cycle) - 10.0)
    node.world.set_feerate(SPIKE_PERKW)
    after_cycle(node, cycle)
    node.world.set_feerate(CALM_PERKW)


def test_the_vegas_reflex_raises_fees_in_the_cycle_that_sees_the_spike() -> None:
    with learning() as node:
        node.world.set_feerate(CALM_PERKW)
        spike(node, 8)
        assert verdicts(node, "carol")["vegas"]["code"] == "mempool_spike"
        record = recorded(node, "carol")
        assert (record["action"], record["code"]) == ("set", "bounds")
        floor_ppm = verdicts(node, "carol")["vegas"]["numbers"]["floor_ppm"]
        assert ppm(node, "carol") == max(floor_ppm, record["wanted"]["ppm"]) >= 30


def test_without_the_reflex_a_spike_changes_nothing() -> None:
    with learning() as node:
        node.world.set_feerate(CALM_PERKW)
        after_cycle(node, 6)
        configure(node, "enable_vegas_reflex", False)
        before = ppm(node, "carol")
        spike(node, 8)
        assert verdicts(node, "carol")["vegas"]["code"] == "vegas_off"
        assert (recorded(node, "carol")["action"], ppm(node, "carol")) == ("none", before)


def test_the_reflex_switched_off_in_a_spike_ends_it_at_the_next_cycle() -> None:
    with learning() as node:
        node.world.set_feerate(CALM_PERKW)
        spike(node, 8)
        configure(node, "enable_vegas_reflex", False)
        after_cycle(node, 9)
        assert verdicts(node, "carol")["vegas"]["code"] == "vegas_off"
        assert verdicts(node, "carol")["bounds"]["numbers"]["floor_ppm"] == 10


@pytest.mark.parametrize(
    ("decay", "left"), [(None, 0.85 ** (CYCLE_S / 420.0)), (1.0, 1.0), (0.5, 0.0514), (0.0, None)]
)
def test_the_decay_says_how_long_a_spike_is_felt(decay: float | None, left: float | None) -> None:
    with learning() as node:
        node.world.set_feerate(CALM_PERKW)
        spike(node, 8)
        if decay is not None:
            configure(node, "vegas_decay_rate", decay)
        after_cycle(node, 9)
        felt = recorded(node, "carol")["inputs"]["facts"]["spike"]
        if left is None:
            assert felt is None
        else:
            assert felt["intensity"] == pytest.approx(left, abs=1e-3)


# -- scarcity -----------------------------------------------------------------------------------


def test_scarcity_can_be_switched_off_and_its_threshold_moved() -> None:
    with learning() as node:
        node.open("dora", 10_000_000, 1_000_000)
        rivals_ask(node, node.world.add_peer("dora"), *QUOTES_PPM["bob"])
        after_cycle(node, 2)
        share_pct = verdicts(node, "dora")["scarcity"]["numbers"]["share_pct"]
        assert verdicts(node, "dora")["scarcity"]["code"] == "scarce"
        guarded = verdicts(node, "dora")["scarcity"]["ppm"]
        configure(node, "scarcity_threshold", share_pct / 100.0 / 2.0)
        after_cycle(node, 3)
        assert verdicts(node, "dora")["scarcity"]["code"] == "not_scarce"
        assert verdicts(node, "dora")["scarcity"]["ppm"] < guarded
        configure(node, "scarcity_threshold", 0.9)
        after_cycle(node, 4)
        assert verdicts(node, "dora")["scarcity"]["code"] == "scarce"
        assert verdicts(node, "dora")["scarcity"]["ppm"] > guarded
        configure(node, "enable_scarcity_pricing", False)
        after_cycle(node, 5)
        assert verdicts(node, "dora")["scarcity"]["code"] == "scarcity_off"


# -- reputation ---------------------------------------------------------------------------------


def counted(node: HouseNode, name: str) -> float:
    """What the forwards for a peer have counted so far as evidence."""
    return float(made(node).learned[node.world.add_peer(name)]["peer"]["seen"])


def seen_of(node: HouseNode, came: str, cycle: int) -> float:
    """What one forward to bob counts that came from this peer just before the cycle."""
    node.advance(cycle_s(cycle) - 100.0)
    before = counted(node, "bob")
    node.pay(channel(node, came), channel(node, "bob"), 20_000_000, outcome="settled")
    after_cycle(node, cycle)
    return counted(node, "bob") - before


def test_a_forward_counts_by_the_reputation_of_its_peer_only_while_that_is_enabled() -> None:
    with learning() as node:
        for minute in range(20):
            node.advance(START_S + 300.0 + 60.0 * minute)
            for came, outcome in (("alice", "failed"), ("carol", "settled")):
                ends = channel(node, came), channel(node, "bob")
                node.pay(*ends, 20_000_000, outcome=outcome)
        after_cycle(node, 4)
        doubtful, sound = seen_of(node, "alice", 5), seen_of(node, "carol", 6)
        assert doubtful < 0.5 < 1.2 < sound
        configure(node, "enable_reputation", False)
        assert seen_of(node, "alice", 7) == pytest.approx(1.0)
        assert seen_of(node, "carol", 8) == pytest.approx(1.0)
        configure(node, "enable_reputation", True)
        assert seen_of(node, "alice", 9) < 0.6
        assert seen_of(node, "carol", 10) > 1.2


# -- the record ---------------------------------------------------------------------------------


def test_decisions_are_kept_as_long_as_is_set_now() -> None:
    with learning() as node:
        after_cycle(node, 1)
        file_away(node, 80 * DAY_S, 20)
        after_cycle(node, 3)
        assert old(node) == 20
        configure(node, "decision_retention_days", 81)
        after_cycle(node, 4)
        assert old(node) == 20
        configure(node, "decision_retention_days", 79)
        after_cycle(node, 5)
        assert old(node) == 0


# -- all of them survive ------------------------------------------------------------------------


def test_what_was_set_holds_after_a_kill() -> None:
    changes: dict[str, Any] = {
        "fee_updates_per_day": 7,
        "target_flow": 5_000,
        "vegas_decay_rate": 0.5,
        "enable_vegas_reflex": False,
        "scarcity_threshold": 0.2,
        "max_fee_ppm": 900,
    }
    with learning() as node:
        for key, value in changes.items():
            configure(node, key, value)
        node.restart()
        after_cycle(node, 1)
        parameters = recorded(node, "bob")["inputs"]["parameters"]
        assert {key: parameters[key] for key in changes if key in parameters} == {
            key: value
            for key, value in changes.items()
            if key not in ("target_flow", "vegas_decay_rate")
        }
        assert max(rates(node, "bob")) == pytest.approx(2.0 * 5_000_000, rel=0.2)
