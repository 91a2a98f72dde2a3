"""The stepped house beside a node with a sling, where one channel is full and others are empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cl_revenue_ops.simnode import sling
from cl_revenue_ops.simnode.model import Policy
from cl_revenue_ops.simnode.sling_routes import RouteTable, Way
from messages.rebalance import StockCurve, StockCurves
from tests.sim.house_support import SEED, HouseNode, house_node

CAPACITY_SAT = 2_000_000
STEP_S = 5.0
WAY_PPM = 100
OPTIONS = {
    "revenue-ops-proportional-budget": "false",
    "revenue-ops-daily-budget-sats": "5000",
    "revenue-ops-min-wallet-reserve": "100000",
    "revenue-ops-rebalance-min-profit": "1",
    # What sats are worth is told by the test, and by no fee cycle in between.
    "revenue-ops-fee-interval": "86400",
}


class RebalanceNode(HouseNode):
    """`full` channels hold our sats, `empty` ones nearly none; every way costs WAY_PPM."""

    def __init__(
        self,
        folder: Path,
        seed: int = SEED,
        version: str = sling.NEWEST,
        settings: dict[str, str] | None = None,
        pairs: int = 2,
        **details: Any,
    ) -> None:
        self._told: tuple[float, float] | None = None
        self.ways = RouteTable(usual=Way((Policy(0, WAY_PPM),)))
        options = {**OPTIONS, **(settings or {})}
        super().__init__(folder, seed, sling=version, routes=self.ways, options=options, **details)
        self.full = [self.open(f"full-{n}", CAPACITY_SAT) for n in range(pairs)]
        self.empty = [
            self.open(f"empty-{n}", CAPACITY_SAT, 50_000, opener="remote") for n in range(pairs)
        ]
        for peer in self.world.peers.values():
            # Long enough ago to count as settled.
            peer.connected_s -= 10_000.0

    # -- what is done -------------------------------------------------------------------------

    def wait_s(self, seconds: float) -> None:
        """Let time pass, in steps in which sling acts; what sats are worth stays what was told,
        also after a fee cycle has said what it thinks of that."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.advance(min(until_s, self.now_s + STEP_S))
            if self._told is not None and self.life.alive:
                self.value(*self._told)

    def sleep_dead(self, seconds: float) -> None:
        """Let time pass for node and sling while no house is there."""
        assert self._virtual is not None
        self._virtual.set(self.now_s + seconds)
        self._tick()

    def value(self, sold_ppm: float = 2_000.0, evidence: float = 1e6) -> None:
        """Tell the house that sats are worth much where there are few, and nothing elsewhere."""
        self._told = (sold_ppm, evidence)
        curves = {}
        for name, top_ppm in [(n, 0.0) for n in self.full] + [(n, sold_ppm) for n in self.empty]:
            channel = self.world.channel(name)
            curves[channel.peer_id] = StockCurve(
                channel.peer_id,
                channel.to_us_msat,
                CAPACITY_SAT * 1_000,
                ((0, top_ppm), (CAPACITY_SAT * 1_000, 0.0)),
                2_000,
                100_000_000,
                WAY_PPM,
                evidence,
            )
        self.life.house.core.post.publish(StockCurves(self.now_s, 500.0, curves))
        self.settle()

    def by_hand(self, sats: int = 100_000, *more: object) -> dict[str, Any]:
        """Move sats from the first full channel to the first empty one."""
        answer: dict[str, Any] = self.call(
            "revenue-rebalance", [self.source, self.target, sats, *more]
        )
        return answer

    def force(self, sats: int = 100_000, max_fee_sats: int = 100) -> dict[str, Any]:
        """The same, whatever it is worth."""
        answer = self.by_hand(sats, max_fee_sats, True)
        assert answer.get("status") == "initiated", answer
        return answer

    def restart(self, *, kill: bool = True) -> None:
        """As any house, and it is told again what sats are worth."""
        super().restart(kill=kill)
        self.settle()
        self.value()

    # -- what is looked at --------------------------------------------------------------------

    def scid(self, channel_id: str) -> str:
        """The short name of a channel."""
        return self.world.channel(channel_id).scid or ""

    @property
    def source(self) -> str:
        """The scid of the first full channel."""
        return self.scid(self.full[0])

    @property
    def target(self) -> str:
        """The scid of the first empty one."""
        return self.scid(self.empty[0])

    def jobs(self) -> list[dict[str, Any]]:
        """The newest jobs as the status shows them, the newest first."""
        rows: list[dict[str, Any]] = self.status()["recent_rebalances"]
        return rows

    def job(self) -> dict[str, Any]:
        """The newest one."""
        return self.jobs()[0]

    def states(self) -> dict[str, str]:
        """The state of each job on the disk."""
        return {
            f"r{number}": state
            for number, state in self.query("SELECT number, state FROM rebalance_job")
        }

    def paid(self) -> list[dict[str, Any]]:
        """The completed payments of the node to itself."""
        rows = self.call("listsendpays")["payments"]
        return [row for row in rows if row["status"] == "complete"]

    def orphans(self) -> list[str]:
        """Tasks that sling has for channels without an open job of ours."""
        ours = {
            scid for (scid,) in self.query("SELECT scid FROM rebalance_job WHERE ended_s IS NULL")
        }
        rows = self.call("sling-stats", {"json": True})
        return [row["scid"] for row in rows if row["scid"] not in ours]

    def budget(self) -> dict[str, Any]:
        """What the house says of reservations and money."""
        answer: dict[str, Any] = self.call("revenue-rebalance-debug")["capital_controls"]
        return answer


@contextmanager
def rebalance_node(**details: Any) -> Iterator[RebalanceNode]:
    """A running house that knows its channels and what sats are worth in them."""
    with house_node(kind=RebalanceNode, start=False, **details) as node:
        assert isinstance(node, RebalanceNode)
        node.start()
        node.settle()
        # Past the first fee cycle: the next one that tells what sats are worth comes in a day.
        node.wait_s(100)
        node.value()
        yield node
