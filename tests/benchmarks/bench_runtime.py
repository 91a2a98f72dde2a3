"""How many messages a second the two runtimes carry; prints a small table, asserts nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from actors.base import HouseActor, handles
from cl_revenue_ops.bootstrap import Core
from cl_revenue_ops.ports import Clock
from cl_revenue_ops.runtime.actor import Context
from cl_revenue_ops.runtime.clock import SystemClock, VirtualClock
from cl_revenue_ops.runtime.nursery import Birth, Nursery
from cl_revenue_ops.runtime.stepped import SteppedRuntime
from cl_revenue_ops.runtime.threads import ThreadedRuntime
from messages.base import Fact

READERS = 10
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Ball(Fact):
    """Goes back and forth until none are left."""

    left: int


@dataclass(frozen=True)
class News(Fact):
    """Goes to every reader."""

    number: int


class Player(HouseActor):
    """Returns each ball to the other player; tells the referee when the game is over."""

    def __init__(self, context: Context, other: str, over: threading.Event) -> None:
        super().__init__(context)
        self._other = other
        self._over = over

    @handles(Ball)
    def _ball(self, message: Ball) -> None:
        if message.left:
            self.context.tell(self._other, Ball(message.left - 1))
        else:
            self._over.set()


class Reader(HouseActor):
    """Counts what it hears."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.heard = 0

    @handles(News)
    def _news(self, message: News) -> None:
        self.heard += 1


class Silent:
    """ports.Log for nobody."""

    def info(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """A fault would falsify the figures."""
        raise AssertionError(text)


def nursery(kind: Callable[..., Nursery], clock: Clock, over: threading.Event) -> Nursery:
    """Two players and ten readers, born and booted."""
    core = Core(clock)
    house = kind(
        clock=clock, post=core.post, timers=core.timers, board=core.board, log=Silent(), strict=True
    )
    house.add("ping", Birth(lambda context: Player(context, "pong", over)))
    house.add("pong", Birth(lambda context: Player(context, "ping", over)))
    readers = [f"reader {number}" for number in range(READERS)]
    for address in readers:
        house.add(address, Birth(Reader, (News,)))
    for address in ("ping", "pong", *readers):
        house.spawn(address)
        house.open_lane(address)
    return house


def stepped_ping_pong(rounds: int) -> float:
    """Messages a second of two actors that only talk to each other."""
    house = nursery(SteppedRuntime, VirtualClock(0.0), threading.Event())
    assert isinstance(house, SteppedRuntime)
    house.run()
    house.post.tell("ping", Ball(rounds))
    begun = time.perf_counter()
    handled = house.run()
    return handled / (time.perf_counter() - begun)


def stepped_fan_out(facts: int) -> float:
    """Messages a second where each fact goes to ten readers."""
    house = nursery(SteppedRuntime, VirtualClock(0.0), threading.Event())
    assert isinstance(house, SteppedRuntime)
    house.run()
    begun = time.perf_counter()
    handled = 0
    for number in range(facts):
        house.post.publish(News(number))
        handled += house.run()
    return handled / (time.perf_counter() - begun)


def threaded_ping_pong(rounds: int) -> float:
    """Round trips a second between two threads."""
    over = threading.Event()
    house = nursery(ThreadedRuntime, SystemClock(), over)
    begun = time.perf_counter()
    house.post.tell("ping", Ball(2 * rounds))
    assert over.wait(PATIENCE_S)
    rate = rounds / (time.perf_counter() - begun)
    for address in house.post.addresses():
        house.fence_off(address)
    return rate


def main() -> None:
    """Run each three times and print the best."""
    rows: tuple[tuple[str, Callable[[], float]], ...] = (
        ("stepped, two actors, messages/s", lambda: stepped_ping_pong(200_000)),
        ("stepped, one to ten, messages/s", lambda: stepped_fan_out(20_000)),
        ("threads, two actors, round trips/s", lambda: threaded_ping_pong(10_000)),
    )
    for name, run in rows:
        print(f"{name:<38}{max(run() for _ in range(3)):>12,.0f}")


if __name__ == "__main__":
    main()
