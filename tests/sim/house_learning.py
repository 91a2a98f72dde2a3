"""The same hours of traffic over a house's node every time, and what the house made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cl_revenue_ops.simnode.gossip import Edge
from cl_revenue_ops.simnode.model import Policy
from tests.sim.house_support import START_S, HouseNode, house_node

CYCLE_S, FIRST_S = 1_800.0, 90.0
NAMES = ("alice", "bob", "carol")
QUOTES_PPM = {"alice": (150, 160, 170), "bob": (300, 310, 320), "carol": (40, 45, 50)}

Go = Callable[[float], object]


class Made(NamedTuple):
    """What a house has made of its time, from its file and from the node.

    `sets` are the fees that it decided to set, by channel: when, from, to; `others` what else it
    decided: from when to when, how often, why, the fee; `fees` (ppm, base) on the node at the end;
    `learned` the stored beliefs by peer; `cursor` where the log was read to.
    """

    sets: list[tuple[str, float, int, int]]
    others: list[tuple[Any, ...]]
    fees: dict[str, tuple[int, int]]
    learned: dict[str, dict[str, Any]]
    cursor: int


def rivals_ask(node: HouseNode, peer_id: str, *prices_ppm: int) -> None:
    """Others charge these prices into the peer."""
    for number, ppm in enumerate(prices_ppm):
        scid, source = f"60000{number}x{int(peer_id[2:6], 16)}x0", "03" + f"{number:02x}" * 32
        terms = Policy(0, ppm)
        edge = Edge(scid, source, peer_id, 10_000_000_000, terms, int(node.now_s))
        node.world.gossip.update(edge)


@contextmanager
def learning(**details: Any) -> Iterator[HouseNode]:
    """A house with three channels, whose peers are quoted prices, just started."""
    with house_node(start=False, **details) as node:
        for name in NAMES:
            node.open(name, 10_000_000, 5_000_000)
            rivals_ask(node, node.world.add_peer(name), *QUOTES_PPM[name])
        node.start()
        node.settle()
        yield node


def channel(node: HouseNode, name: str) -> str:
    """The channel_id of the channel with this peer."""
    peer_id = node.world.add_peer(name)
    return next(c.channel_id for c in node.world.channels.values() if c.peer_id == peer_id)


def cycle_s(number: int) -> float:
    """When the house's fee cycle of this number (0 is the first) begins, if nothing goes wrong."""
    return START_S + FIRST_S + number * CYCLE_S


def pay_until(node: HouseNode, from_s: float, until_s: float, go: Go) -> None:
    """Forwards of this span, one every five minutes: more to bob, every seventh fails further on;
    each pays the fee that is in force.
    """
    begin, end = (int((at_s - START_S) // 300.0) for at_s in (from_s, until_s))
    for number in range(begin, end):
        go(START_S + 300.0 * number + 17.0)
        way = ("alice", "bob"), ("carol", "bob"), ("bob", "alice"), ("alice", "carol")
        came, went = (channel(node, name) for name in way[number % 4])
        outcome = "failed" if number % 7 == 3 else "settled"
        node.pay(came, went, 20_000_000 + 1_013_000 * (number % 11), outcome=outcome)
    go(until_s)


def made(node: HouseNode) -> Made:
    """Look at what there is now."""
    sql = "SELECT channel_id, {} FROM fee_decision WHERE action {} 'set' ORDER BY channel_id, id"
    ((header,),) = node.query("SELECT header FROM fee_header")
    rows = node.query("SELECT peer_id, body FROM fee_demand ORDER BY peer_id")
    return Made(
        node.query(sql.format("last_at_s, old_ppm, new_ppm", "=")),
        node.query(sql.format("at_s, last_at_s, repeats, code, new_ppm", "!=")),
        {c.channel_id: (c.policy.ppm, c.policy.base_msat) for c in node.world.channels.values()},
        {peer_id: json.loads(body) for peer_id, body in rows},
        json.loads(header)["desk"]["cursor"],
    )


def recorded(node: HouseNode, name: str) -> dict[str, Any]:
    """The newest decision of the channel with this peer, as it was recorded."""
    (row,) = node.call("revenue-fee-debug", [channel(node, name)])["channels"]
    record: dict[str, Any] = row["record"]
    return record


def verdicts(node: HouseNode, name: str) -> dict[str, dict[str, Any]]:
    """What each stage said in it."""
    return {verdict["stage"]: verdict for verdict in recorded(node, name)["verdicts"]}


def controller(node: HouseNode) -> Any:
    """The running FeeController, for a look at what it is about."""
    runtime: Any = node.life.house.runtime
    return runtime._actors["fee-controller"]


class SuddenDeath:
    """The process dies at its `nth` call of a method: before the node hears of it, or (`taken`)
    before it hears of the answer. What lay on the disk then is what the next life finds.
    """

    def __init__(
        self, node: HouseNode, aside: Path, method: str, nth: int = 1, *, taken: bool = False
    ) -> None:
        self._node, self._aside, self._method = node, aside, method
        self._left, self._taken = nth, taken
        self._whole = node.answer
        node.answer = self._answer  # type: ignore[method-assign]

    @property
    def struck(self) -> bool:
        """Whether it has happened."""
        return self._left <= 0

    def _answer(self, request: bytes, before_send: Callable[[], None] | None) -> bytearray | None:
        if not self.struck and json.loads(request)["method"] == self._method:
            self._left -= 1
            if self.struck:
                self._keep_files()
                if self._taken:
                    self._whole(request, before_send)
        if self.struck:
            # The rest of that life has no effect on the world.
            raise ConnectionRefusedError(111, "Connection refused")
        return self._whole(request, before_send)

    def _keep_files(self) -> None:
        for path in self._node.network_dir.iterdir():
            if path.is_file():
                shutil.copy(path, self._aside)

    def revive(self) -> None:
        """Start the house again, now, on the files as they were."""
        node = self._node
        assert self.struck, f"{self._method} was not called {self._left} times more"
        node.answer = self._whole  # type: ignore[method-assign]
        died_at_s = node.life.runtime.clock.now()
        node.kill()
        for path in node.network_dir.iterdir():
            if path.is_file():
                path.unlink()
        for path in self._aside.iterdir():
            if not path.name.endswith("-shm"):
                shutil.copy(path, node.network_dir)
        node._start_at(died_at_s)
