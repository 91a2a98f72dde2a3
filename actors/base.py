"""What every actor of the house shares: handlers by type, boot, stop, suspension, replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from cl_revenue_ops.config import Config, config_from, default_config
from cl_revenue_ops.ports import StoreDamaged, Unavailable
from cl_revenue_ops.runtime.actor import Context, MailboxActor
from cl_revenue_ops.runtime.nursery import SUPERVISOR
from messages.base import Answer, Command, Message, Refusal
from messages.control import Boot, BootBlocked, Ready, Resume, Stop, Stopped, Suspend
from messages.settings import ConfigChanged

M = TypeVar("M", bound=Message)
Handler = Callable[[Any, Any], None]


def handles(kind: type[M]) -> Callable[[Callable[[Any, M], None]], Callable[[Any, M], None]]:
    """Mark a method as the handler of one message type."""

    def mark(method: Callable[[Any, M], None]) -> Callable[[Any, M], None]:
        method.__dict__.setdefault("_handled_types", []).append(kind)
        return method

    return mark


class HouseActor(MailboxActor):
    """An actor whose state is rebuilt by `recover` at every boot.

    A subclass says what it reads in `reads`, implements `recover` (may raise Unavailable, which
    waits and tries again) and marks its handlers with `@handles`. `__init__` only takes ports.
    """

    reads: ClassVar[tuple[type[Message], ...]] = ()
    _handlers: ClassVar[Mapping[type[Message], Handler]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        found: dict[type[Message], Handler] = {}
        for owner in reversed(cls.__mro__):
            for member in vars(owner).values():
                for kind in getattr(member, "_handled_types", ()):
                    found[kind] = member
        cls._handlers = found

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.suspended: str | None = None
        self.config = default_config()
        self.root_seed = 0

    # -- for subclasses -----------------------------------------------------------------------

    def recover(self) -> None:
        """Rebuild the state from the store and arm the timers; runs in Boot.

        The settings are known already; the newest other snapshots are heard right afterwards.
        """

    def close_down(self) -> None:
        """Last words before leaving; must be quick."""

    def configured(self, old: Config, new: Config) -> None:
        """The settings have changed; the new ones are in `self.config` already."""

    def now(self) -> float:
        """Unix seconds."""
        return self.context.clock.now()

    def post_notice(self, body: object) -> None:
        """Publish one's own state on the board; a replaced incarnation's is of no interest."""
        if self.context.lease.is_current():
            self.context.board.put(self.context.address, self.now(), body)

    def answer(self, command: Command, result: object) -> None:
        """Tell the caller that it is done."""
        self.context.tell(command.reply_to, Answer(command.call_id, result))

    def refuse(self, command: Command, reason: str, *, invalid: bool = False) -> None:
        """Tell the caller that it was not done, and why."""
        self.context.tell(command.reply_to, Refusal(command.call_id, reason, invalid))

    # -- the machinery ------------------------------------------------------------------------

    def on_receive(self, message: Message) -> None:
        if isinstance(message, Command) and message.deadline_s < self.context.clock.monotonic():
            self.discard(message, "expired")
            return
        handler = self._handlers.get(type(message))
        if handler is None:
            self.unhandled(message)
        else:
            handler(self, message)

    @handles(Boot)
    def _boot(self, message: Boot) -> None:
        context = self.context
        if message.generation != context.generation:
            # Meant for an incarnation that did not live to see it.
            return
        try:
            kinds = context.post.reads(context.address)
            self._hear([kind for kind in kinds if kind is ConfigChanged])
            self.recover()
            self._hear([kind for kind in kinds if kind is not ConfigChanged])
        except (Unavailable, StoreDamaged) as error:
            damaged = isinstance(error, StoreDamaged)
            context.tell(
                SUPERVISOR,
                BootBlocked(context.address, message.generation, str(error), damaged),
            )
            return
        context.tell(SUPERVISOR, Ready(context.address, message.generation))

    def _hear(self, kinds: list[type[Message]]) -> None:
        """Take the newest snapshots as if they had just come: the settings before recovery."""
        for snapshot in self.context.post.retained(kinds):
            handler = self._handlers.get(type(snapshot))
            if handler is not None:
                handler(self, snapshot)

    @handles(ConfigChanged)
    def _config_changed(self, message: ConfigChanged) -> None:
        old, self.config = self.config, _config_of(message)
        self.root_seed = message.root_seed
        self.configured(old, self.config)

    @handles(Suspend)
    def _suspend(self, message: Suspend) -> None:
        self.suspended = message.reason

    @handles(Resume)
    def _resume(self, message: Resume) -> None:
        self.suspended = None

    @handles(Stop)
    def _stop_now(self, message: Stop) -> None:
        context = self.context
        try:
            self.close_down()
        finally:
            self._stop()
            context.tell(SUPERVISOR, Stopped(context.address, context.generation))


class AskingActor(HouseActor):
    """An actor that asks others; what nobody waits for any more comes too late."""

    def take(self, reply: Answer | Refusal) -> bool:
        """Go on with the reply to a question; False where none of that name is open."""
        raise NotImplementedError

    @handles(Answer)
    def _answered(self, message: Answer) -> None:
        self._replied(message)

    @handles(Refusal)
    def _refused(self, message: Refusal) -> None:
        self._replied(message)

    def _replied(self, message: Answer | Refusal) -> None:
        if not self.take(message):
            self.discard(message, "late")


def _config_of(message: ConfigChanged) -> Config:
    values: dict[str, Any] = dict(message.values)
    return config_from(values, message.version)
