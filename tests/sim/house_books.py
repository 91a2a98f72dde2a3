"""Stories about the money of a node, for tests of the books."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from cl_revenue_ops.runtime.mailbox import Mailbox
from cl_revenue_ops.runtime.post_office import Box
from cl_revenue_ops.simnode.errors import SimRpcError
from messages.base import Answer, Command
from messages.books import Assertion, Books, ReadBooks, Reconcile, Reconciliation
from tests.sim.house_support import HouseNode


def ask(node: HouseNode, kind: type[Command], **fields: Any) -> Any:
    """What the Accountant answers; a refusal fails the test."""
    post, clock = node.life.house.core.post, node.life.house.core.clock
    if "asker" not in post.addresses():
        post.add("asker", Box(Mailbox()))
        post.box("asker").mailbox.set_open(True)
    post.tell("accountant", kind("asked", "asker", clock.monotonic() + 600.0, **fields))
    node.settle()
    envelope = post.box("asker").mailbox.take()
    assert envelope is not None
    assert isinstance(envelope.message, Answer), envelope.message
    return envelope.message.result


def reconciled(node: HouseNode) -> Reconciliation:
    found = ask(node, Reconcile)
    assert isinstance(found, Reconciliation)
    return found


def wrong(found: Reconciliation) -> list[Assertion]:
    """The rows with a remainder."""
    return [row for row in found.rows if row.remainder_msat]


def books(node: HouseNode, from_day: int = 0, until_day: int | None = None) -> Books:
    found = ask(node, ReadBooks, from_day=from_day, until_day=until_day)
    assert isinstance(found, Books)
    return found


class Story:
    """Random events over the money of a node: forwards, payments, channels coming and going."""

    def __init__(self, node: HouseNode, seed: int) -> None:
        self.node = node
        self.random = random.Random(seed)
        self.peers = 0
        self.open: list[str] = []
        self.held: list[int] = []
        self.acts: list[Callable[[], object]] = [
            *[self.forward] * 6, *[self.hold] * 3, *[self.resolve] * 3, self.pay, self.be_paid,
            *[self.rebalance] * 2, self.deposit, self.withdraw, self.splice, self.open_one,
            self.close, self.force_close, self.cheat, self.blocks,
        ]  # fmt: skip
        node.deposit(30_000_000)
        for _ in range(4):
            self.open_one()

    def step(self) -> str:
        """One event; what the node refuses did not happen."""
        act = self.random.choice(self.acts)
        try:
            act()
        except (SimRpcError, ValueError) as error:
            return f"{act.__name__}: {error}"
        return act.__name__

    def _two(self) -> tuple[str, str]:
        one, two = self.random.sample(self.open, 2)
        return one, two

    def _amount_msat(self) -> int:
        return self.random.randint(1_000, 90_000_000)

    def forward(self) -> None:
        outcome = self.random.choice(["settled", "settled", "failed", None])
        self.node.pay(*self._two(), self._amount_msat(), outcome=outcome)

    def hold(self) -> None:
        row = self.node.pay(*self._two(), self._amount_msat(), outcome="pending")
        if row.status == "offered":
            self.held.append(row.created_index)

    def resolve(self) -> None:
        if self.held:
            outcome = self.random.choice(["settled", "failed"])
            self.node.world.resolve(self.held.pop(0), outcome)

    def pay(self) -> None:
        channel = self.random.choice(self.open)
        world = self.node.world
        world.send_payment(channel, world.channel(channel).peer_id, self._amount_msat(), 0)

    def be_paid(self) -> None:
        self.node.world.receive_payment(self.random.choice(self.open), self._amount_msat())

    def rebalance(self) -> None:
        parts = [
            (*self._two(), self._amount_msat(), self.random.randint(0, 5_000))
            for _ in range(self.random.randint(1, 2))
        ]
        self.node.world.circular_parts(parts)

    def deposit(self) -> None:
        self.node.deposit(self.random.randint(1_000, 900_000))

    def withdraw(self) -> None:
        self.node.withdraw(self.random.randint(1_000, 900_000))

    def splice(self) -> None:
        amount_sat = self.random.choice([-1, 1]) * self.random.randint(20_000, 90_000)
        self.node.splice(self.random.choice(self.open), amount_sat)

    def open_one(self) -> None:
        self.peers += 1
        opener = self.random.choice(["local", "remote"])
        held_sat = self.random.randint(300_000, 700_000)
        self.open.append(self.node.open(f"p{self.peers}", 1_000_000, held_sat, opener=opener))

    def _end(self) -> str:
        if len(self.open) < 4:
            raise ValueError("too few channels to close one")
        return self.open.pop(self.random.randrange(len(self.open)))

    def close(self) -> None:
        self.node.close(self._end())

    def force_close(self) -> None:
        self.node.force_close(self._end(), by=self.random.choice(["local", "remote"]))

    def cheat(self) -> None:
        if self.random.random() < 0.3:
            self.node.cheat(self._end(), self.random.randint(10_000, 100_000))

    def blocks(self) -> None:
        self.node.mine(self.random.randint(1, 150))

    def end(self) -> None:
        """Let everything that is under way come to its end."""
        for created_index in self.held:
            self.node.world.resolve(created_index, "settled")
        self.node.deposit(2_000_000)
        self.node.forget()
        self.node.mine(1)
