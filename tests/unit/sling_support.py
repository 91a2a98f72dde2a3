"""A simulated node in virtual time with a sling and a few channels, for tests of that sling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cl_revenue_ops.simnode import sling
from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.model import Policy
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.sling_routes import RouteTable, Way

START_S = 1_700_000_000.0
CAPACITY_SAT = 1_000_000
Row = dict[str, Any]


def slow_way(seconds: float, ppm: int = 500) -> Way:
    """A way of one hop that takes so long."""
    return Way((Policy(1, ppm),), seconds=seconds)


class Bench:
    """`full` channels hold our sats, `empty` ones none; all peers can reach each other.

    `ways.usual` may be changed; a payment costs 1 + 500 ppm on the way, and 1 + 10 ppm at its end.
    """

    def __init__(self, node: SimulatedNode, ways: RouteTable) -> None:
        self.node, self.ways = node, ways
        assert node.sling is not None
        self.sling = node.sling
        self.full = [node.open(f"full-{n}", CAPACITY_SAT) for n in range(2)]
        self.empty = [node.open(f"empty-{n}", CAPACITY_SAT, 0, opener="remote") for n in range(2)]
        self.news: list[tuple[str, Any]] = []
        node.world.listeners.append(self)
        self.wait(5)
        self.begun_s = node.clock.now()

    def told(self, topic: str) -> list[Any]:
        """The payloads of a topic, in order."""
        return [payload for name, payload in self.news if name == topic]

    def heard(self, topic: str) -> bool:
        """Be a listener of the world that wants all."""
        return True

    def hear(self, topic: str, payload: Any) -> None:
        """Take down what is told."""
        self.news.append((topic, dict(payload)))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.node.advance(self.node.clock.now() + seconds)

    def scid(self, channel_id: str) -> str:
        """The short name of a channel."""
        return self.node.world.channel(channel_id).scid or ""

    @property
    def target(self) -> str:
        """The scid of the first empty channel."""
        return self.scid(self.empty[0])

    @property
    def sources(self) -> list[str]:
        """The scids of the full ones."""
        return [self.scid(channel_id) for channel_id in self.full]

    def order(self, **changes: Any) -> Row:
        """What sling-once is asked for, with changes; ... takes a parameter out."""
        params = {
            "scid": self.target, "direction": "pull", "amount": 10_000, "maxppm": 2_000,
            "onceamount": 30_000, "candidates": self.sources, "depleteuptopercent": 0.1,
            "depleteuptoamount": 100_000, "maxhops": 8, "paralleljobs": 1, **changes,
        }  # fmt: skip
        return {key: value for key, value in params.items() if value is not ...}

    def job(self, **changes: Any) -> Row:
        """The same for sling-job."""
        return self.order(**{"onceamount": ..., "target": 0.5, **changes})

    def clear(self) -> None:
        """Leave no job and no task at the target."""
        self.node.call("sling-deletejob", {"job": self.target})

    def payments(self, status: str | None = None) -> list[Row]:
        """The node's payments to itself."""
        rows: list[Row] = self.node.call("listsendpays")["payments"]
        ours = [row for row in rows if row["destination"] == self.node.world.id]
        return [row for row in ours if status in (None, row["status"])]

    def moved_sat(self) -> int:
        """What has come through, by the node's own list."""
        return sum(int(row["amount_msat"]) for row in self.payments("complete")) // 1_000

    def status(self, scid: str | None = None) -> str | None:
        """The first status of a channel in the overview; None where it is not in it."""
        rows = self.node.call("sling-stats", {"json": True})
        wanted = scid or self.target
        return next((row["status"][0].split(":")[1] for row in rows if row["scid"] == wanted), None)


@contextmanager
def bench(version: str = sling.NEWEST, way: Way | None = None) -> Iterator[Bench]:
    """A node of four channels with that sling."""
    ways = RouteTable(usual=way or Way((Policy(1, 500),)))
    with SimulatedNode(start_s=START_S, sling=version, routes=ways) as node:
        yield Bench(node, ways)


def refused(call: Callable[[], Any]) -> SimRpcError:
    """The error of a call that must fail."""
    try:
        answer = call()
    except SimRpcError as error:
        return error
    raise AssertionError(f"not refused: {answer}")
