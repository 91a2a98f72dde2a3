"""The post office: addresses, who reads what, delivery, and what to do when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cl_revenue_ops.ports import Clock
from cl_revenue_ops.runtime.dead_letters import DeadLetters
from cl_revenue_ops.runtime.lease import Fence
from cl_revenue_ops.runtime.mailbox import COALESCED, FULL, Mailbox
from messages.base import Command, Fact, LossyFact, Message, Refusal, Reply, Snapshot


@dataclass
class Box:
    """What the post office keeps of one address; it survives every restart of the actor."""

    mailbox: Mailbox
    fence: Fence = field(default_factory=Fence)
    failed: bool = False
    dropped: int = 0


class PostOffice:
    """Delivers by address or by type; never blocks and never raises in the sender.

    A lossy fact that finds a full mailbox is dropped and counted, and the tick that
    `catch_up` names for its type is posted in its place, so that reconciliation begins at once.
    A command to a full, failed or unknown address is refused at once. A failed address keeps
    facts for its next life up to its limit. The newest snapshot of each type is kept for those
    who boot later.
    """

    def __init__(
        self,
        clock: Clock,
        dead_letters: DeadLetters,
        catch_up: Mapping[type[Message], Message] | None = None,
    ) -> None:
        self._clock = clock
        self.dead_letters = dead_letters
        self._catch_up = dict(catch_up or {})
        self._boxes: dict[str, Box] = {}
        self._readers: dict[type[Message], tuple[str, ...]] = {}
        self._retained: dict[type[Message], Snapshot] = {}
        self.delivered: Callable[[str], object] = lambda address: None

    def add(self, address: str, box: Box, reads: Iterable[type[Message]] = ()) -> None:
        """Give an address its box and subscribe it to types of facts, for the process's life."""
        assert address not in self._boxes, f"address {address} is taken"
        self._boxes[address] = box
        for kind in reads:
            self._readers[kind] = (*self._readers.get(kind, ()), address)

    def box(self, address: str) -> Box:
        """The box of a known address; KeyError for an unknown one."""
        return self._boxes[address]

    def addresses(self) -> tuple[str, ...]:
        """All addresses in the order in which they were added."""
        return tuple(self._boxes)

    def publish(self, message: Message) -> None:
        """Deliver a fact to everyone who reads its type."""
        if isinstance(message, Snapshot):
            self._retained[type(message)] = message
        for address in self._readers.get(type(message), ()):
            self.tell(address, message)

    def retained(self, kinds: Iterable[type[Message]]) -> list[Snapshot]:
        """The newest snapshot of each of these types, where there was one."""
        return [self._retained[kind] for kind in kinds if kind in self._retained]

    def reads(self, address: str) -> list[type[Message]]:
        """The types that an address is subscribed to."""
        return [kind for kind, readers in self._readers.items() if address in readers]

    def tell(self, address: str, message: Message) -> None:
        """Deliver to one address."""
        box = self._boxes.get(address)
        if box is None or (box.failed and _declines(box, message)):
            self._undeliverable(address, message, "failed" if box else "no such address")
            return
        verdict = box.mailbox.offer(message)
        if verdict is FULL:
            self._full(address, box, message)
        elif verdict is not COALESCED:
            self.delivered(address)

    def _undeliverable(self, address: str, message: Message, reason: str) -> None:
        self.dead_letters.add(self._clock.now(), address, message, reason)
        if isinstance(message, Command):
            self.refuse(message, f"{address} is not running; see revenue-status")

    def _full(self, address: str, box: Box, message: Message) -> None:
        self.dead_letters.add(self._clock.now(), address, message, "full")
        if isinstance(message, Command):
            self.refuse(message, f"{address} is busy; try again in a moment")
        elif isinstance(message, LossyFact):
            box.dropped += 1
            tick = self._catch_up.get(type(message))
            if tick is not None and box.mailbox.offer(tick) is not COALESCED:
                self.delivered(address)

    def refuse(self, command: Command, reason: str) -> None:
        """Answer a command in place of its owner."""
        self.tell(command.reply_to, Refusal(command.call_id, reason))


def _declines(box: Box, message: Message) -> bool:
    """Whether a failed address does not take this: nobody may ever come to read it."""
    if isinstance(message, Fact) and not isinstance(message, (Snapshot, LossyFact)):
        return box.mailbox.depth() >= box.mailbox.limit
    return isinstance(message, (Command, Reply))
