"""Traffic over a house's node, and what the house must know of it: the truth of ingestion tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from actors import accountant
from cl_revenue_ops.simnode.forward_log import FAILED, History
from cl_revenue_ops.simnode.forward_log import SETTLED as SETTLED_CODE
from cl_revenue_ops.simnode.identity import scid_number
from messages.forwards import SETTLED
from tests.sim.house_support import HouseNode, house_node

# Longer than the house lets pass between two readings of the node's list, with retries.
CATCH_UP_S = accountant.CATCH_UP_S + 4 * accountant.RETRY_S

Key = tuple[str, int]


class Row(NamedTuple):
    """What must agree to the msat."""

    status: str
    out_scid: str | None
    in_msat: int
    out_msat: int | None
    fee_msat: int | None


class Traffic:
    """A node with two channels that forwards; `seen` are the resolved rows that must be kept."""

    def __init__(self, node: HouseNode) -> None:
        self.node = node
        self.one = node.open("alice", 10_000_000, 5_000_000)
        self.two = node.open("bob", 10_000_000, 5_000_000)
        self.pending: list[int] = []
        self.seen: dict[Key, Row] = {}
        self._amount_msat = 1_000_000

    def pay(self, outcome: str, way: int = 0) -> None:
        """One forward: settled, failed, pending, or local_failed because it pays too little."""
        ends = (self.one, self.two) if way % 2 == 0 else (self.two, self.one)
        self._amount_msat += 1_009
        if outcome == "local_failed":
            self.node.pay(*ends, self._amount_msat, fee_msat=0)
            return
        row = self.node.pay(*ends, self._amount_msat, outcome=outcome)
        if outcome == "pending":
            self.pending.append(row.created_index)

    def resolve(self, outcome: str) -> None:
        """The oldest pending forward ends."""
        if self.pending:
            self.node.world.resolve(self.pending.pop(0), outcome)

    def preload(self, count: int, failed_every: int = 5) -> None:
        """Forwards from before the house was installed, two seconds apart."""
        world = self.node.world
        one, two = (scid_number(world.channels[c].scid or "") for c in (self.one, self.two))
        numbers = np.arange(count)
        out_msat = 1_000_000 + 1_013 * numbers
        received_s = (self.node.now_s - 2.0 * count + 2.0 * numbers).astype(np.float64)
        status = np.where(numbers % failed_every == failed_every - 1, FAILED, SETTLED_CODE)
        world.preload_forwards(
            History(
                in_scid=np.full(count, one, np.uint64),
                out_scid=np.full(count, two, np.uint64),
                in_msat=(out_msat + 7 + numbers % 11).astype(np.uint64),
                out_msat=out_msat.astype(np.uint64),
                status=status.astype(np.uint8),
                received_s=received_s,
                resolved_s=(received_s + 0.5).astype(np.float64),
            )
        )
        world.channels[self.one].next_in_id += count

    def shown(self) -> dict[Key, Row]:
        """Every row that the node lists now, by its natural key."""
        rows = self.node.call("listforwards")["forwards"]
        names = ("status", "out_channel", "in_msat", "out_msat", "fee_msat")
        return {
            (row["in_channel"], row["in_htlc_id"]): _row(*(row.get(name) for name in names))
            for row in rows
        }

    def resolved(self) -> dict[Key, Row]:
        """Those of them that are resolved."""
        return {key: row for key, row in self.shown().items() if row.status != "offered"}

    def delete_seen(self, by_hand: bool = False) -> None:
        """The node deletes what is resolved (all of it was seen): by its age, or one by one."""
        assert self.resolved().keys() <= self.seen.keys()
        if not by_hand:
            for subsystem in ("succeededforwards", "failedforwards"):
                self.node.call("autoclean-once", [subsystem, 1])
            return
        for (scid, htlc_id), row in self.resolved().items():
            self.node.call("delforward", [scid, htlc_id, row.status])

    def see(self) -> None:
        """The house has read all that the node shows now."""
        self.seen.update(self.resolved())

    # -- what the house has stored --------------------------------------------------------------

    def stored(self) -> dict[Key, Row]:
        """The forward log of the house."""
        rows = self.node.query(
            "SELECT in_scid, in_htlc_id, status, out_scid, in_msat, out_msat, fee_msat"
            " FROM forward_log"
        )
        return {(row[0], row[1]): _row(*row[2:]) for row in rows}

    def open(self) -> set[Key]:
        """The forwards that the house believes to be under way."""
        return set(self.node.query("SELECT in_scid, in_htlc_id FROM forward_open"))

    def check(self) -> None:
        """After catch-up: the log is the truth, and the totals are its sums."""
        wanted = {**self.seen, **self.resolved()}
        stored = self.stored()
        assert stored == wanted
        settled = [row for row in stored.values() if row.status == SETTLED]
        totals = self.node.status()["forwards"]
        assert totals["settled"] == len(settled)
        assert totals["failed"] == len(stored) - len(settled)
        assert totals["volume_msat"] == sum(row.out_msat or 0 for row in settled)
        assert totals["fees_msat"] == sum(row.fee_msat or 0 for row in settled)
        assert totals["log_seq"] == len(stored)
        assert totals["offered"] == len(self.open())
        assert self.open() == set(self.shown()) - set(stored)


def _row(status: str, out_scid: str | None, in_msat: int, *ends_msat: int | None) -> Row:
    """Where a failed forward would have gone, the node does not have to say."""
    if status != SETTLED:
        return Row(status, None, in_msat, None, None)
    return Row(status, out_scid, in_msat, *ends_msat)


@contextmanager
def traffic(*, history: int = 0, start: bool = True, **details: Any) -> Iterator[Traffic]:
    """A running house beside a node with two channels and `history` forwards of the past."""
    with house_node(start=False, **details) as node:
        made = Traffic(node)
        if history:
            made.preload(history)
        if start:
            node.start()
            node.settle()
        yield made
