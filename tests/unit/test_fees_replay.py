"""A market lived through: every decision's record alone gives the same fee again."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from cl_revenue_ops.domain.fees import vegas
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.domain.fees.facts import Conditions, Fee, FeeParameters, Pin, Spike, market
from cl_revenue_ops.domain.fees.record import decide_again, replay, to_record
from cl_revenue_ops.domain.fees.stages import SEQUENCE
from messages.policies import PeerPolicy
from tests.unit.fees_support import HOUR_S, WELL, unrecorded
from tests.unit.fees_world import House, quotes, world

SEEDS = (11, 12)
HOURS = 110
CHANNELS = 7


class Life:
    """A house among writers, operators, spikes, crowds and peers that come and go; seeded."""

    def __init__(self, seed: int) -> None:
        node = world(seed)
        # Many and small: only where much is expected can nothing be a surprise.
        node.demands = [
            replace(demand, per_day=15.0 * demand.per_day, size_msat=0.04 * demand.size_msat)
            for demand in node.demands
        ]
        self.house = House(node, root=seed)
        self.rng = np.random.default_rng([seed, 2])
        self.mempool = vegas.VegasState()

    def chance(self, part: float) -> bool:
        return bool(self.rng.random() < part)

    def pick(self) -> int:
        return int(self.rng.integers(CHANNELS))

    def hour(self, number: int) -> None:
        """What may happen to a node in an hour, then the hour itself."""
        house, now_s = self.house, self.house.world.now_s
        if number % 6 == 0:
            quotes(house, float(self.rng.lognormal(0.0, 0.1)))
        house.world.away = frozenset({self.pick()} if self.chance(0.15) else ())
        house.world.slots_used = {self.pick(): 430} if self.chance(0.1) else {}
        if self.chance(0.08):
            house.world.fees[self.pick()] = Fee(int(self.rng.integers(1, 3000)), 0)
        if self.chance(0.1):
            policy = self.policy(house.world.peer(self.pick()), now_s)
            house.book.policies = {**house.book.policies, policy.peer_id: policy}
        if self.chance(0.05):
            until_s = now_s + float(self.rng.uniform(1.0, 9.0)) * HOUR_S
            pin = Pin(int(self.rng.integers(0, 900)), None, "static", now_s, until_s)
            house.book.pins[f"{self.pick():064x}"] = pin
        writers = ("CLBoss",) if self.chance(0.2) else ()
        house.conditions = Conditions(not self.chance(0.03), self.chance(0.03), False, writers)
        if number == 70:
            # Half of what the market was used to send comes no more.
            demands = house.world.demands
            demands[::2] = [replace(demand, per_day=1e-6) for demand in demands[::2]]
        self.look_at_the_mempool(200.0 if number % 40 in (20, 21) else 10.0)
        house.hour()
        if house.world.slots_used:
            slots = {f"{n:064x}": used for n, used in house.world.slots_used.items()}
            house.book.sample_slots(slots, house.world.now_s + 60.0, house.parameters)

    def policy(self, peer_id: str, now_s: float) -> PeerPolicy:
        """Any policy, for some hours."""
        low, high = sorted(int(ppm) for ppm in self.rng.integers(5, 1500, 2))
        times = sorted(round(float(one), 2) for one in self.rng.uniform(0.3, 3.0, 2))
        return PeerPolicy(
            peer_id,
            str(self.rng.choice(["dynamic", "dynamic", "dynamic", "static", "hive", "passive"])),
            fee_ppm=low,
            fee_multiplier_min=times[0] if self.chance(0.3) else None,
            fee_multiplier_max=times[1] if self.chance(0.3) else None,
            min_fee_ppm=low if self.chance(0.4) else None,
            max_fee_ppm=high if self.chance(0.4) else None,
            updated_at_s=now_s,
            expires_at_s=now_s + float(self.rng.uniform(1.0, 12.0)) * HOUR_S,
        )

    def look_at_the_mempool(self, sat_per_vb: float) -> None:
        now_s = self.house.world.now_s
        rate = sat_per_vb * float(self.rng.uniform(0.9, 1.1))
        draw = float(self.rng.random())
        self.mempool, verdict = vegas.observe(self.mempool, rate, now_s, draw, 0.85)
        left = round(vegas.intensity_at(self.mempool, now_s, 0.85), 4)
        spike = Spike(left, vegas.floor_multiplier(left), rate, verdict.mean_sat_per_vb)
        self.house.book.spike = spike if spike.multiplier > 1.0 else None


@cache
def lived(seed: int) -> tuple[FeeDecision, ...]:
    """All decisions of a life."""
    life = Life(seed)
    life.house.parameters = FeeParameters(min_fee_ppm=25, max_fee_ppm=2500)
    for number in range(HOURS):
        life.hour(number)
    return tuple(life.house.decisions)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_decision_of_a_life_follows_from_its_record_alone(seed: int) -> None:
    decisions = lived(seed)
    assert len(decisions) == HOURS * CHANNELS
    for decision in decisions:
        text = json.dumps(to_record(decision))
        record: dict[str, Any] = json.loads(text)
        inputs_only = {name: record[name] for name in ("version", "at_s", "inputs")}
        ppm = None if decision.target is None else decision.target.ppm
        assert replay(inputs_only) == ppm, f"seed {seed}: {decision.sentence}"
        assert json.dumps(to_record(decide_again(inputs_only))) == text, f"seed {seed}"


@pytest.mark.parametrize("seed", SEEDS)
def test_every_number_of_every_sentence_of_a_life_stands_in_its_record(seed: int) -> None:
    for decision in lived(seed):
        assert unrecorded(decision) == [], f"seed {seed}: {decision.sentence}"


def test_a_life_of_this_kind_reaches_what_there_is_to_decide() -> None:
    """So the two laws above are not held by dull days."""
    decisions = [decision for seed in SEEDS for decision in lived(seed)]
    assert len(decisions) > 1000
    acted = {v.stage for decision in decisions for v in decision.verdicts if v.acted}
    assert acted == {stage.name for stage in SEQUENCE}
    assert {decision.code for decision in decisions} >= {
        "first_contact", "unchanged", "worth_gossip", "small_change", "small_gain", "budget_spent",
        "bounds", "congestion_enter", "congestion_leave", "pin", "foreign_fee_held", "rewritten",
        "paused", "node_not_in_sync", "peer_disconnected", "passive", "policy_bound",
    }  # fmt: skip
    markets = [d.facts.market for d in decisions if d.facts.market is not None]
    assert {market.priced.redrawn for market in markets} >= {
        "", "first", "hold_over", "band_crossed", "surprise", "target_moved",
    }  # fmt: skip
    assert min(market.multiplier for market in markets) < 1.0


def test_the_same_seed_lives_the_same_life_and_another_root_draws_other_fees() -> None:
    one, same, other = Life(5), Life(5), Life(5)
    other.house.root = 6
    for number in range(12):
        for life in (one, same, other):
            life.hour(number)
    texts = [
        [json.dumps(to_record(d)) for d in life.house.decisions] for life in (one, same, other)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_where_peers_are_priced_together_or_alone_makes_no_difference() -> None:
    """The record prices one peer alone: to the last digit what the house priced with all."""
    life = Life(21)
    for number in range(20):
        life.hour(number)
    life.house.world.away = frozenset()
    life.house.conditions = WELL
    facts = life.house.price(())
    desk = life.house.book.desk
    assert len(desk.markets) == CHANNELS - 1
    for fact in facts:
        made = desk.markets[fact.peer_id]
        assert market(*made[:-1]) == made
