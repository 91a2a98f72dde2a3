"""Parts for a small house: actors that do what their messages say, and write all of it down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from actors.base import HouseActor, handles
from cl_revenue_ops.runtime.actor import Context
from messages.base import Command, Fact, LossyFact, Message, Snapshot, Tick


@dataclass(frozen=True)
class Act(Fact):
    """Do this in your handler."""

    run: Callable[[Part], object]


@dataclass(frozen=True)
class OtherAct(Act):
    """The same under another type."""


@dataclass(frozen=True)
class Order(Command):
    """Do this and answer with what it returns."""

    run: Callable[[Part], object]


@dataclass(frozen=True)
class Number(Fact):
    """A fact that is never dropped."""

    number: int


@dataclass(frozen=True)
class Hint(LossyFact):
    """A fact that may be dropped: then CatchUp is posted."""

    number: int


@dataclass(frozen=True)
class CatchUp(Tick):
    """A Hint was dropped."""

    number: int = 0


@dataclass(frozen=True)
class Beat(Tick):
    """A timer fell due."""

    number: int = 0


@dataclass(frozen=True)
class View(Snapshot):
    """A state with a version, in `number`."""

    number: int


@dataclass(frozen=True)
class Strange(Fact):
    """A type that no part has a handler for."""


@dataclass(frozen=True)
class StrangeOrder(Command):
    """A command that no part has a handler for."""


class Entry(NamedTuple):
    """One message handled: when, by whom, and what it was."""

    at_s: float
    address: str
    generation: int
    message: str
    detail: object


class World:
    """What the parts share: the diary of all they handled, and what each does in its boot."""

    def __init__(self) -> None:
        self.diary: list[Entry] = []
        self.on_boot: dict[str, Callable[[Part], object]] = {}
        self.on_close: dict[str, Callable[[Part], object]] = {}
        self.birth: Callable[[Part], object] = nothing


class Part(HouseActor):
    """Writes everything that it is told into the diary, then does it."""

    def __init__(self, context: Context, world: World) -> None:
        super().__init__(context)
        self.world = world
        world.birth(self)

    def recover(self) -> None:
        self.world.on_boot.get(self.context.address, nothing)(self)

    def close_down(self) -> None:
        self.world.on_close.get(self.context.address, nothing)(self)

    def on_receive(self, message: Message) -> None:
        detail = getattr(message, "number", getattr(message, "call_id", None))
        self.note(type(message).__name__, detail)
        super().on_receive(message)

    def note(self, message: str, detail: object = None) -> None:
        """Write into the diary."""
        context = self.context
        now_s = context.clock.now()
        self.world.diary.append(Entry(now_s, context.address, context.generation, message, detail))

    @handles(Act)
    def _act(self, message: Act) -> None:
        message.run(self)

    @handles(OtherAct)
    def _other_act(self, message: OtherAct) -> None:
        message.run(self)

    @handles(Order)
    def _order(self, message: Order) -> None:
        self.answer(message, message.run(self))

    @handles(Number)
    def _number(self, message: Number) -> None:
        self.note("heard", message.number)

    @handles(Hint)
    def _hint(self, message: Hint) -> None:
        self.note("heard", message.number)

    @handles(CatchUp)
    def _catch_up(self, message: CatchUp) -> None:
        self.note("heard", message.number)

    @handles(Beat)
    def _beat(self, message: Beat) -> None:
        self.note("heard", message.number)

    @handles(View)
    def _view(self, message: View) -> None:
        self.note("saw", message.number)


class Boom(Exception):
    """The fault of these tests."""


def boom(part: Part) -> None:
    """Fail as a handler does."""
    raise Boom("as told")


def nothing(part: Part) -> str:
    """Do nothing and say so."""
    return "done"
