"""Three nodes in a ring whose first one runs sling, simulated or real."""

from __future__ import annotations

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cl_revenue_ops.simnode import sling
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.sling_routes import RouteTable
from tests.node import real_line, wire
from tests.node.line import PATIENCE_S, Row, wait_for
from tests.node.wire import RpcError

CAPACITY_SAT = 1_000_000


class Ring(ABC):
    """first -> second -> third -> first, each channel funded by its first named end.

    So `source` is full on our side and `target` empty, and a payment of ours to ourselves goes by
    `source` and comes back by `target`.
    """

    socket: Path
    own_id: str
    second_id: str
    third_id: str

    def call(self, method: str, params: object = None) -> Any:
        """The result of any method of the first node; raises RpcError."""
        return wire.call(self.socket, method, {} if params is None else params, PATIENCE_S)

    @abstractmethod
    def stop_sling(self) -> None:
        """`plugin stop`."""

    @abstractmethod
    def start_sling(self) -> None:
        """`plugin start`."""

    @abstractmethod
    def shut_down(self) -> None:
        """End everything."""

    def channel(self, peer_id: str) -> Row:
        """Our channel with that node."""
        (row,) = self.call("listpeerchannels", {"id": peer_id})["channels"]
        found: Row = row
        return found

    @property
    def source(self) -> str:
        """The scid of the channel that has our sats."""
        return str(self.channel(self.second_id)["short_channel_id"])

    @property
    def target(self) -> str:
        """The scid of the channel that has none of them."""
        return str(self.channel(self.third_id)["short_channel_id"])

    def order(self, **changes: Any) -> Row:
        """What sling-once is asked for; ... takes a parameter out."""
        params = {
            "scid": self.target, "direction": "pull", "amount": 10_000, "maxppm": 5_000,
            "onceamount": 20_000, "candidates": [self.source], "depleteuptopercent": 0.1,
            "depleteuptoamount": 100_000, "maxhops": 8, "paralleljobs": 1, **changes,
        }  # fmt: skip
        return {key: value for key, value in params.items() if value is not ...}

    def job(self, **changes: Any) -> Row:
        """The same for sling-job."""
        return self.order(**{"onceamount": ..., "target": 0.9, **changes})

    def overview(self, scid: str | None = None) -> list[Row]:
        """The rows of sling-stats for a channel."""
        rows: list[Row] = self.call("sling-stats", {"json": True})
        return [row for row in rows if row["scid"] == (scid or self.target)]

    def statuses(self, scid: str | None = None) -> list[str]:
        """What the tasks of a channel say."""
        return [status.partition(":")[2] for row in self.overview(scid) for status in row["status"]]

    def wait_status(self, status: str) -> None:
        """Wait until the target's only task says so."""
        wait_for(lambda: self.statuses() == [status], f"{status} (now {self.statuses()})")

    def newest_payment(self) -> int:
        """The created_index of our newest payment."""
        asked = {"subsystem": "sendpays", "indexname": "created", "nextvalue": 0}
        newest: int = self.call("wait", asked)["created"]
        return newest

    def payments(self, baseline: int) -> list[Row]:
        """Our payments after that index."""
        asked = {"index": "created", "start": baseline + 1}
        rows: list[Row] = self.call("listsendpays", asked)["payments"]
        return rows

    def clear(self) -> None:
        """Leave no job and no task."""
        for scid in (self.target, self.source):
            self.call("sling-stop", {"scid": scid})
            # Its loop looks once more, 20 ms later; without its task it would panic.
            time.sleep(0.05)
            self.call("sling-deletejob", {"job": scid})


class SimulatedRing(Ring):
    """Real time; the two others are the simulator's own, with lightningd's usual fees."""

    def __init__(self, argv: list[str] | None = None) -> None:
        self.node = SimulatedNode(argv, sling=sling.NEWEST, routes=RouteTable())
        self.node.start()
        source = self.node.open("second", CAPACITY_SAT)
        target = self.node.open("third", CAPACITY_SAT, 0, opener="remote")
        channels = self.node.world.channels
        self.own_id = self.node.world.id
        self.second_id, self.third_id = channels[source].peer_id, channels[target].peer_id
        self.socket = self.node.rpc_file

    def stop_sling(self) -> None:
        self.call("plugin", {"subcommand": "stop", "plugin": sling.NAME})

    def start_sling(self) -> None:
        self.call("plugin", {"subcommand": "start", "plugin": sling.Sling.path})

    def shut_down(self) -> None:
        self.node.stop()


def why_no_sling() -> str | None:
    """Why no real sling can be run here; None if one can."""
    return None if shutil.which("sling") else "sling is not on the PATH"


class RealRing(Ring):
    """Three real nodes of pyln-testing, and the real sling at the first, beside other `plugins`.

    `name` is its folder's among those of the run.
    """

    between_sat = CAPACITY_SAT
    """What the second has towards the third."""

    def __init__(self, chain: real_line.Chain, name: str, plugins: Sequence[str] = ()) -> None:
        self._workers = ThreadPoolExecutor(20)
        self._path = str(shutil.which("sling"))
        factory = real_line._factory(chain, name, self._workers)
        self._nodes = factory.get_nodes(3, opts=[{"start": False} for _ in range(3)])
        self._nodes[0].daemon.opts["plugin"] = [self._path, *plugins]
        self.socket = real_line._socket(self._nodes[0])
        try:
            self._begin(chain)
        except BaseException:
            self.shut_down()
            raise

    def _begin(self, chain: real_line.Chain) -> None:
        for node in self._nodes:
            real_line._prepare(node)
            node.start()
        first, second, third = self._nodes
        self.own_id, self.second_id, self.third_id = (n.info["id"] for n in self._nodes)
        for node, peer, sat in (
            (first, second, CAPACITY_SAT),
            (second, third, self.between_sat),
            (third, first, CAPACITY_SAT),
        ):
            node.fundwallet(2 * sat)
            node.rpc.connect(peer.info["id"], "localhost", peer.port)
            node.rpc.fundchannel(peer.info["id"], sat, mindepth=1)
        chain.bitcoind.generate_block(6)
        wait_for(lambda: len(self.call("listchannels")["channels"]) == 6, "gossip of the ring")

        def heard() -> bool:
            rows = self.call("listpeerchannels")["channels"]
            return all("remote" in row.get("updates", {}) for row in rows)

        wait_for(heard, "what the peers ask")
        wait_for(self._sees_the_ring, "gossip in sling")

    def _sees_the_ring(self) -> bool:
        """It reads gossip by itself; a job that finds none, or half of it, sleeps for long."""
        self.call("sling-once", self.order(maxppm=0))
        seen = wait_for(lambda: set(self.statuses()) - {"Starting", "Rebalancing"}, "a status")
        self.clear()
        return bool(seen == {"NoCheapRoute"})

    def stop_sling(self) -> None:
        self.call("plugin", {"subcommand": "stop", "plugin": self._path})

    def start_sling(self) -> None:
        self.call("plugin", {"subcommand": "start", "plugin": self._path})

    def shut_down(self) -> None:
        for node in self._nodes:
            if node.daemon.proc is not None and node.daemon.proc.poll() is None:
                node.daemon.kill()
        self._workers.shutdown(wait=False)


def error_of(ring: Ring, method: str, params: object) -> RpcError:
    """The error of a call that must fail."""
    try:
        answer = ring.call(method, params)
    except RpcError as error:
        return error
    raise AssertionError(f"{method} {params} was not refused: {answer}")
