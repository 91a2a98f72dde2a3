"""The forward log of the whole house agrees with the node to the msat, whatever happened before.

Notifications are hints: lost, late, doubled, out of order or spoiled, they change nothing. Neither
does a kill between any two messages, nor a node that fails or deletes what it has shown.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.sim.house_traffic import CATCH_UP_S, Traffic, traffic

READS = ("listforwards", "wait", "getinfo", "listpeerchannels")
SPOILING = ("wrong_type", "missing_keys", "nulls")
RPC_FAULTS = ("error", "timeout", "truncated", *SPOILING)
NEWS_FAULTS = ("lost", "late", "doubled", "reordered", "malformed")

outcomes = st.sampled_from(["settled", "settled", "failed", "local_failed", "pending"])
steps = st.one_of(
    st.tuples(st.just("pay"), outcomes, st.integers(0, 1)),
    st.tuples(st.just("pay"), outcomes, st.integers(0, 1)),
    st.tuples(st.just("resolve"), st.sampled_from(["settled", "failed", "local_failed"])),
    st.tuples(st.just("news"), st.sampled_from(NEWS_FAULTS), st.integers(1, 4)),
    st.tuples(st.just("wire"), st.sampled_from(RPC_FAULTS), st.sampled_from(READS)),
    st.tuples(st.just("burst"), st.integers(2, 9), st.integers(0, 4)),
    st.tuples(st.just("shuffle"), st.randoms(use_true_random=False)),
    st.tuples(st.just("die_after"), st.integers(0, 25)),
    st.tuples(st.just("kill")),
    st.tuples(st.just("start")),
    st.tuples(st.just("unreachable"), st.sampled_from([5.0, 50.0, 700.0])),
    st.tuples(st.just("node_restart")),
    st.tuples(st.just("splice")),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 1.0, 45.0, CATCH_UP_S])),
    st.tuples(st.just("clean"), st.booleans()),
)


class Run:
    """Carries out one drawn sequence."""

    def __init__(self, it: Traffic) -> None:
        self.it = it
        self.node = it.node
        self.known: dict[Any, Any] = {}
        self.spoilt = False

    def go(self, step: tuple[Any, ...]) -> None:
        """One step, and what holds after every step."""
        getattr(self, step[0])(*step[1:])
        if self.node.life.alive:
            self.node.settle()
        stored = self.it.stored()
        assert not set(stored) & self.it.open()
        for key, status in self.known.items():
            assert stored[key].status == status, "a resolved forward changed"
        self.known = {key: row.status for key, row in stored.items()}

    def pay(self, outcome: str, way: int) -> None:
        self.it.pay(outcome, way)

    def resolve(self, outcome: str) -> None:
        self.it.resolve(outcome)

    def news(self, kind: str, count: int) -> None:
        self.node.fault(kind, "forward_event", count=count, seconds=40.0)

    def wire(self, kind: str, method: str) -> None:
        if kind in SPOILING:
            # Rows that stay unreadable are given up after the third look.
            if self.spoilt:
                return
            self.spoilt = True
        self.node.fault(kind, method, count=2)

    def burst(self, count: int, limit: int) -> None:
        """More hints than the mailbox takes, before the house gets to run."""
        with self.node.life.held(limit):
            for number in range(count):
                self.it.pay("settled", number)

    def shuffle(self, random: Any) -> None:
        lines = self.node.life.withdraw()
        random.shuffle(lines)
        self.node.life.feed(lines)

    def die_after(self, messages: int) -> None:
        self.node.life.die_after(messages)

    def kill(self) -> None:
        self.node.life.alive = False

    def start(self) -> None:
        if not self.node.life.alive:
            self.node.kill()
            self.node.start()

    def unreachable(self, seconds: float) -> None:
        self.node.reachable = False
        self.node.wait_s(seconds)
        self.node.reachable = True

    def node_restart(self) -> None:
        self.node.kill()
        peers = [peer.id for peer in self.node.world.peers.values() if peer.connected]
        for peer in peers:
            self.node.world.disconnect(peer)
        self.node.start()
        for peer in peers:
            self.node.world.connect(peer)

    def splice(self) -> None:
        channel = self.node.world.channels[self.it.two]
        if channel.state == "CHANNELD_NORMAL":
            self.node.splice(self.it.two, 50_000)

    def wait(self, seconds: float) -> None:
        self.node.wait_s(seconds)

    def clean(self, by_hand: bool) -> None:
        """Make sure that all was seen, then let the node delete it."""
        self.catch_up()
        self.it.see()
        self.it.delete_seen(by_hand)

    def catch_up(self) -> None:
        self.node.faults.clear()
        self.start()
        self.node.life.dies_when = lambda: False
        self.node.settle()
        self.node.wait_s(CATCH_UP_S)
        self.it.check()


@settings(max_examples=60, deadline=None)
@given(deaf=st.booleans(), steps=st.lists(steps, min_size=3, max_size=30))
def test_no_forward_is_lost_or_told_twice(deaf: bool, steps: list[tuple[Any, ...]]) -> None:
    with traffic() as it:
        run = Run(it)
        if deaf:
            it.node.fault("lost", "forward_event")
        for step in steps:
            run.go(step)
        run.catch_up()
        note(f"logs {it.node.life.logs[-5:]}")


@settings(max_examples=25, deadline=None)
@given(deaf=st.booleans(), steps=st.lists(steps, min_size=3, max_size=30))
def test_nor_on_a_node_that_cannot_page(deaf: bool, steps: list[tuple[Any, ...]]) -> None:
    with traffic(version="v23.05") as it:
        run = Run(it)
        if deaf:
            it.node.fault("lost", "forward_event")
        for step in steps:
            run.go(step)
        run.catch_up()
