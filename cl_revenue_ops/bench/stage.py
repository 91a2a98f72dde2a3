"""A scenario played against a node: the market, its attacker, and what is sampled on the way."""

from __future__ import annotations

from dataclasses import dataclass

from cl_revenue_ops.bench.attack import Attacker
from cl_revenue_ops.bench.scenarios import Scenario
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.market_driver import MarketDriver
from cl_revenue_ops.simnode.prices import HOUR_S
from cl_revenue_ops.simnode.world import World

STEP_S = 600.0
SAMPLE_S = 12 * HOUR_S
DEPLETED_SHARE = 0.05


@dataclass(frozen=True)
class Sample:
    """Our ppm and our share of the balance in each channel at a moment (0 where not open)."""

    at_s: float
    ppm: tuple[int, ...]
    local_share: tuple[float, ...]


class Stage:
    """Moves the market of a scenario against `world`, whoever sets the fees there.

    The caller steps it to a moment and then lets the node and whoever sets its fees reach that
    moment; `look` then reads off where the channels stand. `finish` ends what is in flight.
    """

    def __init__(self, market: Market, scenario: Scenario, world: World) -> None:
        self.market = market
        self.scenario = scenario
        self.world = world
        self.driver = MarketDriver(market, world)
        self.samples: list[Sample] = []
        self._attacker = Attacker(self.driver) if scenario.attacked else None
        self._looks = 0
        self._depleted = 0

    @property
    def attack_msat(self) -> int:
        """What the attacker has moved."""
        return self._attacker.moved_msat if self._attacker else 0

    @property
    def attack_fees_msat(self) -> int:
        """What the attacker has paid."""
        return self._attacker.paid_msat if self._attacker else 0

    @property
    def depleted_share(self) -> float:
        """Share of the looks at open channels that found less than 5 % to send."""
        return self._depleted / max(1, self._looks)

    def step(self, until_s: float) -> None:
        """Bring everything that happens up to `until_s` (Unix seconds)."""
        # A plugin process that reads the node meanwhile sees all of a step or nothing of it.
        with self.world.lock:
            self.driver.step(until_s)
            if self._attacker is not None:
                self._attacker.act(until_s)

    def look(self, at_s: float) -> None:
        """Note where the channels stand at `at_s`, after fees were set."""
        channels = [self.world.channels.get(name) for name in self.driver.channel_ids]
        for channel in channels:
            if channel is not None and channel.usable:
                self._looks += 1
                self._depleted += channel.spendable_msat < DEPLETED_SHARE * channel.total_msat
        if not self.samples or at_s >= self.samples[-1].at_s + SAMPLE_S:
            ppm = tuple(c.policy.ppm if c else 0 for c in channels)
            share = tuple(round(c.to_us_msat / c.total_msat, 3) if c else 0.0 for c in channels)
            self.samples.append(Sample(at_s, ppm, share))

    def finish(self) -> None:
        """Resolve everything in flight and bring no more."""
        self.driver.settle()
