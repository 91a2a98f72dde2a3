"""What the tests of the books port share: the port over a scripted node, rows of its lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cl_revenue_ops.adapters.books import LightningBooks
from cl_revenue_ops.adapters.capabilities import (
    Capabilities,
)
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.ports import Books
from tests.unit.test_adapter_server import Bench, Step, a_bench, result

A, B, PEER = "aa" * 32, "bb" * 32, "02" + "cc" * 32
HASH, TXID, OTHER = "da" * 32, "7e" * 32, "8f" * 32
NOW = 1_795_000_000


class Desk:
    """The books on a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.capabilities = Capabilities(bench.clock)
        self.left_out = Tally()
        self.books: Books = LightningBooks(bench.rpc, self.capabilities, self.left_out)

    def script(self, *steps: Step) -> None:
        """What the node will answer, in turn; everything after that is a lost connection."""
        self.bench.node.steps = list(steps)

    @property
    def asked(self) -> list[tuple[str, dict[str, Any]]]:
        """Method and parameters of each request so far."""
        return [(request["method"], request["params"]) for request in self.bench.node.requests]


@contextmanager
def a_desk(folder: Path) -> Iterator[Desk]:
    """The books beside a scripted node of this folder."""
    with a_bench(folder) as bench:
        yield Desk(bench)


def routed(index: object, account: object = A, **changes: object) -> dict[str, Any]:
    """Half a forward as listchannelmoves has it."""
    return {
        "created_index": index, "account_id": account, "credit_msat": 1_010, "debit_msat": 0,
        "timestamp": NOW, "primary_tag": "routed", "payment_hash": HASH, "fees_msat": 10, **changes,
    }  # fmt: skip


def invoice(index: object, **changes: object) -> dict[str, Any]:
    """What a payment of ours took out of a channel."""
    paid = {"credit_msat": 0, "debit_msat": 5_551, "fees_msat": 551, "part_id": 0, "group_id": 1}
    return {**routed(index), "primary_tag": "invoice", **paid, **changes}


def spent(index: object, **changes: object) -> dict[str, Any]:
    """An output of the wallet that was spent."""
    return {
        "created_index": index, "account_id": "wallet", "credit_msat": 0, "debit_msat": 9_000,
        "timestamp": NOW, "primary_tag": "withdrawal", "extra_tags": [], "utxo": f"{TXID}:1",
        "spending_txid": OTHER, "output_msat": 9_000, "blockheight": 124, **changes,
    }  # fmt: skip


def moves(*rows: object) -> Step:
    return result({"channelmoves": list(rows)})


def chain(*rows: object) -> Step:
    return result({"chainmoves": list(rows)})


def event(kind: str, tag: str, credit: int, debit: int, **more: object) -> dict[str, Any]:
    """One event as bkpr-listaccountevents has it."""
    return {
        "account": A, "type": kind, "tag": tag, "credit_msat": credit, "debit_msat": debit,
        "currency": "bcrt", "timestamp": NOW, **more,
    }  # fmt: skip
