"""A small house for the tests of the restart contract, stepped; its parts are in small_parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actors.gateway import Gateway
from actors.supervisor import Supervisor
from cl_revenue_ops.callbook import CallBook
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.ports import Clock
from cl_revenue_ops.runtime.actor import Context, MailboxActor
from cl_revenue_ops.runtime.board import Board
from cl_revenue_ops.runtime.clock import VirtualClock
from cl_revenue_ops.runtime.dead_letters import DeadLetters
from cl_revenue_ops.runtime.nursery import SUPERVISOR, Birth, Factory, Nursery
from cl_revenue_ops.runtime.post_office import PostOffice
from cl_revenue_ops.runtime.restart import LOAD_BEARING, OPTIONAL, SUSPENDED
from cl_revenue_ops.runtime.stepped import Advanced, SteppedRuntime
from cl_revenue_ops.runtime.timers import Timers
from messages.base import Command, Message
from messages.calls import CallOpened
from messages.control import StartHouse, StopHouse
from tests.sim.small_parts import (
    Act,
    Beat,
    Boom,
    CatchUp,
    Entry,
    Hint,
    Number,
    Order,
    OtherAct,
    Part,
    Strange,
    StrangeOrder,
    View,
    World,
    boom,
    nothing,
)

GATEWAY = "gateway"
START_S = 1_000_000.0


# -- the house ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kid:
    """A child of the house: a Part, unless `make` says otherwise."""

    address: str
    kind: str = LOAD_BEARING
    reads: tuple[type[Message], ...] = ()
    limit: int = 10_000
    make: Callable[[Context, World], MailboxActor] = Part


class Lines:
    """ports.Log that keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def info(self, text: str) -> None:
        """Keep it."""
        self.texts.append(text)

    warn = info


@dataclass
class Client:
    """callbook.Reply that keeps every outcome; more than one would be a fault."""

    outcomes: list[object] = field(default_factory=list)

    def result(self, body: object) -> None:
        """Keep it."""
        self.outcomes.append(body)

    def error(self, code: int, text: str) -> None:
        """Keep it."""
        self.outcomes.append((code, text))


class HouseKit:
    """Supervisor, gateway and some parts on a runtime of either kind; `clock` is the test's."""

    def __init__(
        self,
        kind: Callable[..., Nursery],
        clock: Clock,
        *kids: Kid,
        strict: bool = True,
        seed: int = 7,
        **parts: Any,
    ) -> None:
        self.clock = clock
        self.world = World()
        self.log = Lines()
        self.board = Board()
        self.timers = Timers()
        self.gate = WriteGate()
        self.gate.open("starting")
        self.calls = CallBook()
        self.post = PostOffice(clock, DeadLetters(), {Hint: CatchUp()})
        self.nursery = kind(
            clock=clock,
            post=self.post,
            timers=self.timers,
            board=self.board,
            log=self.log,
            strict=strict,
            **parts,
        )
        family = (Kid(GATEWAY, make=lambda c, world: Gateway(c, calls=self.calls)), *kids)
        for kid in family:
            factory = self._factory(kid)
            self.nursery.add(kid.address, Birth(factory, kid.reads, kid.limit))
        self.nursery.add(SUPERVISOR, Birth(lambda context: self._supervisor(context, family, seed)))
        self.nursery.spawn(SUPERVISOR)
        self.nursery.open_lane(SUPERVISOR)

    def _factory(self, kid: Kid) -> Factory:
        return lambda context: kid.make(context, self.world)

    def _supervisor(self, context: Context, kids: tuple[Kid, ...], seed: int) -> MailboxActor:
        children = [(kid.address, kid.kind) for kid in kids]
        return Supervisor(
            context, nursery=self.nursery, gate=self.gate, children=children, seed=seed
        )

    # -- what a test does ---------------------------------------------------------------------

    def tell(self, address: str, message: Message) -> None:
        """Send without waiting."""
        self.post.tell(address, message)

    def order(
        self,
        address: str,
        run: Callable[[Part], object],
        patience_s: float = 60.0,
        kind: Callable[..., Command] = Order,
    ) -> Client:
        """A client's call, the way the facade hands it on; outcomes arrive in the Client."""
        client = Client()
        deadline_s = self.clock.monotonic() + patience_s
        call_id = self.calls.open(client, deadline_s)
        assert call_id is not None
        self.tell(GATEWAY, CallOpened(call_id, deadline_s))
        extra = {"run": run} if kind is Order else {}
        self.tell(address, kind(call_id, GATEWAY, deadline_s, **extra))
        return client

    # -- what a test looks at -----------------------------------------------------------------

    def notice(self) -> dict[str, Any]:
        """What the supervisor says of the house."""
        found = self.board.read(SUPERVISOR)
        assert found is not None
        body: dict[str, Any] = found.body
        return body

    def state(self, address: str) -> str:
        """How the supervisor sees this child."""
        return str(self.notice()["actors"][address]["state"])

    def generation(self, address: str) -> int:
        """Which incarnation lives there, or will."""
        return self.post.box(address).fence.generation

    def handled(self, address: str, *messages: str) -> list[object]:
        """The details of these kinds of entries of one address, oldest first."""
        return [
            entry.detail
            for entry in list(self.world.diary)
            if entry.address == address and entry.message in messages
        ]

    def letters(self, reason: str) -> list[tuple[str, str]]:
        """(address, message) of the dead letters filed under this reason, oldest first."""
        newest = self.post.dead_letters.newest(50)
        return [
            (letter.address, letter.message) for letter in newest[::-1] if letter.reason == reason
        ]


class SmallHouse(HouseKit):
    """The house in one thread, where time moves only when the test says so."""

    clock: VirtualClock
    nursery: SteppedRuntime

    def __init__(
        self,
        *kids: Kid,
        strict: bool = True,
        seed: int = 7,
        started: bool = True,
        kind: type[SteppedRuntime] = SteppedRuntime,
        **parts: Any,
    ) -> None:
        super().__init__(
            lambda **given: kind(seed, **given),
            VirtualClock(START_S),
            *kids,
            strict=strict,
            seed=seed,
            **parts,
        )
        if started:
            self.start()

    def start(self) -> None:
        """Boot everyone."""
        self.tell(SUPERVISOR, StartHouse())
        self.run()

    def stop(self) -> None:
        """Ask everyone to leave."""
        self.tell(SUPERVISOR, StopHouse("the test is over"))
        self.run()

    def run(self) -> None:
        """Handle messages until none is left."""
        self.nursery.run(limit=100_000)

    def advance(self, seconds: float) -> Advanced:
        """Let time pass."""
        return self.nursery.advance(self.clock.now() + seconds)

    def do(self, address: str, run: Callable[[Part], object], kind: type[Act] = Act) -> None:
        """Have a part do something now."""
        self.tell(address, kind(run))
        self.run()

    def crash(self, address: str, times: int = 1, apart_s: float = 0.0) -> None:
        """Crash a part so often, by turns with two types of message, `apart_s` after each boot."""
        for turn in range(times):
            self.do(address, boom, (Act, OtherAct)[turn % 2])
            if turn + 1 < times:
                self.revive(address)
                self.advance(apart_s)

    def revive(self, address: str) -> None:
        """Wait out the backoff of a part that crashed."""
        for _ in range(200):
            if self.state(address) == "ready":
                return
            self.advance(0.5)
        raise AssertionError(f"{address} does not come back: {self.notice()}")

    def read(self, address: str, run: Callable[[Part], Any]) -> Any:
        """What a living part says of itself, through a message like any other."""
        found: list[Any] = []
        self.do(address, lambda part: found.append(run(part)))
        assert len(found) == 1, f"{address} did not answer"
        return found[0]


__all__ = [
    "GATEWAY",
    "LOAD_BEARING",
    "OPTIONAL",
    "START_S",
    "SUPERVISOR",
    "SUSPENDED",
    "Act",
    "Beat",
    "Boom",
    "CatchUp",
    "Client",
    "Entry",
    "Hint",
    "HouseKit",
    "Kid",
    "Lines",
    "Number",
    "Order",
    "OtherAct",
    "Part",
    "SmallHouse",
    "Strange",
    "StrangeOrder",
    "View",
    "World",
    "boom",
    "nothing",
]
