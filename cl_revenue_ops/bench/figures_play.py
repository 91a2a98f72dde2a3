"""Plays the pricing rule for its figures and keeps what they are taken from, hour by hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cl_revenue_ops.bench.arena import play
from cl_revenue_ops.bench.figures_sample import Look, Sampled
from cl_revenue_ops.bench.outcome import Outcome
from cl_revenue_ops.bench.policy import FeePolicy, NodeView, Refused, Settled
from cl_revenue_ops.bench.rule import Rule
from cl_revenue_ops.bench.scenarios import (
    ALL_SCENARIOS,
    Scenario,
    busiest_peers,
    target_of_attack,
)
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.prices import HOUR_S, LEVEL_BOUNDS_LOG, LevelPaths, Rivals

HOURS = 24
JUMP_DAY = 15
JUMP_FACTOR = 2.2
RULE, TRUTH = "rule", "truth"
PLAIN, UP, DOWN = "no_attack", "jump_up", "jump_down"

IntArray = npt.NDArray[np.int64]


def jumped(factor: float) -> Callable[[Market], Market]:
    """Return what multiplies the price of the busiest peer's alternatives from JUMP_DAY on.

    The rivals that follow the price see the new one.
    """

    def alter(market: Market) -> Market:
        log_ppm = market.levels.log_ppm.copy()
        log_ppm[JUMP_DAY * HOURS :, busiest_peers(market)[0]] += np.log(factor)
        levels = LevelPaths(market.levels.start_s, np.clip(log_ppm, *LEVEL_BOUNDS_LOG))
        return replace(market, levels=levels, rivals=Rivals(levels, market.rivals.books))

    return alter


WORLDS: Mapping[str, Scenario] = {
    **ALL_SCENARIOS,
    UP: Scenario(UP, "the busiest peer's alternatives become dearer", alter=jumped(JUMP_FACTOR)),
    DOWN: Scenario(DOWN, "they become cheaper", alter=jumped(1.0 / JUMP_FACTOR)),
}


class Play(NamedTuple):
    """One run that a figure needs: the rule, or the rule told the true demand, in one world."""

    policy: str
    world: str
    seed: int
    days: int
    channels: int


@dataclass(frozen=True)
class Run:
    """What a figure reads of a run.

    `hourly_msat` (channels, hours) are the fees that settled, by the channel they left through;
    `end_local_msat` our balances at the end. `peers` are the peers of the channels, `busiest` is
    that which a jump concerns, `target` the channel that an attack aims at, `end_ppm` the price of
    each channel's alternatives at the end. `opens_day` is as in the
    market. `looks` is empty but for the rule itself.
    """

    hourly_msat: IntArray
    end_local_msat: tuple[int, ...]
    peers: tuple[int, ...]
    busiest: int
    target: int
    end_ppm: tuple[float, ...]
    opens_day: tuple[int, ...]
    outcome: Outcome
    looks: tuple[Look, ...]

    def earned_msat(
        self, from_day: float, until_day: float, channels: tuple[int, ...] | None = None
    ) -> float:
        """Return the mean fees a day between two days of the run, of some channels or of all."""
        hours = self.hourly_msat[:, round(from_day * HOURS) : round(until_day * HOURS)]
        chosen = hours if channels is None else hours[list(channels)]
        return float(chosen.sum()) / (until_day - from_day)

    @property
    def busiest_channels(self) -> tuple[int, ...]:
        """The channels to the busiest peer."""
        return tuple(k for k, peer in enumerate(self.peers) if peer == self.busiest)


Runs = Mapping[Play, Run]


class Ledger:
    """Passes everything on to a policy and writes down what it earns, and what it has at last."""

    def __init__(self, policy: FeePolicy, market: Market) -> None:
        self.name, self.interval_s = policy.name, policy.interval_s
        self.hourly_msat = np.zeros((len(market.channels), market.days * HOURS), dtype=np.int64)
        self.local_msat = [0] * len(market.channels)
        self._policy, self._start_s = policy, market.start_s

    def begin(self, node: NodeView) -> None:
        """Begin."""
        self._policy.begin(node)

    def tick(self, node: NodeView) -> None:
        """Let the policy act, and note the balances."""
        self._policy.tick(node)
        for channel in node.channels():
            self.local_msat[channel.index] = channel.local_msat

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Note the fee of a forward."""
        hour = int((forward.at_s - self._start_s) // HOUR_S)
        hour = min(max(hour, 0), self.hourly_msat.shape[1] - 1)
        self.hourly_msat[forward.out_index, hour] += forward.fee_msat
        self._policy.settled(forward, node)

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Pass it on."""
        self._policy.refused(forward, node)


def run_of(wanted: Play) -> Run:
    """Play a run; it takes some ten seconds of computing."""
    scenario = WORLDS[wanted.world]
    return run_in(scenario.market(wanted.seed, wanted.channels, wanted.days), scenario, wanted)


def run_in(market: Market, scenario: Scenario, wanted: Play) -> Run:
    """Play a run in a market that is drawn already."""
    told = wanted.policy == TRUTH
    policy = Rule(wanted.seed, market) if told else Sampled(wanted.seed, market)
    ledger = Ledger(policy, market)
    outcome = play(market, scenario, ledger)
    peers = tuple(channel.peer for channel in market.channels)
    return Run(
        ledger.hourly_msat,
        tuple(ledger.local_msat),
        peers,
        busiest_peers(market)[0],
        target_of_attack(market),
        tuple(market.level_ppm(peer, market.end_s) for peer in peers),
        tuple(channel.opens_day for channel in market.channels),
        outcome,
        tuple(policy.looks) if isinstance(policy, Sampled) else (),
    )


class Setting(NamedTuple):
    """What the figures are taken of: seeds, the length and size of worlds, and scenarios."""

    seeds: tuple[int, ...]
    days: int
    channels: int
    scenarios: tuple[str, ...]

    def play(self, policy: str, world: str, seed: int) -> Play:
        """Return one run of this size."""
        return Play(policy, world, seed, self.days, self.channels)

    def plays(self, policies: tuple[str, ...], worlds: tuple[str, ...]) -> list[Play]:
        """Return the runs of these policies in these worlds, seed by seed."""
        return [self.play(p, w, seed) for seed in self.seeds for w in worlds for p in policies]

    def had(self, runs: Runs, policy: str, world: str) -> dict[int, Run]:
        """Return the runs that there are of one policy in one world, by seed."""
        wanted = {seed: self.play(policy, world, seed) for seed in self.seeds}
        return {seed: runs[play] for seed, play in wanted.items() if play in runs}
