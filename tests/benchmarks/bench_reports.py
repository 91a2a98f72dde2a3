"""How long every report takes on a node with a long history, asked over the node's socket."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.fair_lock import FairLock
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from tests.benchmarks.bench_books import DAY_S, OneLease, pages

ENTRY = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"
ROUNDS = 7


def main(arguments: list[str]) -> dict[str, float]:
    """Run the benchmark and print its figures; returns them by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forwards", type=int, default=200_000)
    parser.add_argument("--channels", type=int, default=1_000)
    parser.add_argument("--days", type=float, default=400.0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="reports-") as folder:
        figures = _measure(Path(folder), options)
    for name, value in figures.items():
        print(f"{name:<52} {value:12.1f}")
    return figures


def _measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    node = SimulatedNode([sys.executable, str(ENTRY)], directory=folder)
    opened_s = time.time() - options.days * DAY_S
    scids = [_open(node, number, opened_s) for number in range(options.channels)]
    _fill(node, scids, options)
    sys.setswitchinterval(0.0005)
    with node:
        while node.call("revenue-status")["books"].get("costs_source") != "bookkeeper":
            time.sleep(0.5)
        peer_id = node.world.channels[next(iter(node.world.channels))].peer_id
        asked: dict[str, tuple[str, dict[str, Any]]] = {
                "revenue-dashboard": ("revenue-dashboard", {}),
                "revenue-dashboard, as text": ("revenue-dashboard", {"format": "text"}),
                "revenue-dashboard, 365 days": ("revenue-dashboard", {"window_days": 365}),
                "revenue-report summary": ("revenue-report", {"report_type": "summary"}),
                "revenue-report peer": (
                    "revenue-report", {"report_type": "peer", "peer_id": peer_id},
                ),
                "revenue-report channel": (
                    "revenue-report", {"report_type": "channel", "channel_id": scids[0]},
                ),
                "revenue-report costs": ("revenue-report", {"report_type": "costs"}),
                "revenue-report policies": ("revenue-report", {"report_type": "policies"}),
                "revenue-report hive": ("revenue-report", {"report_type": "hive"}),
                "revenue-history": ("revenue-history", {}),
                "revenue-profitability": ("revenue-profitability", {}),
                "revenue-profitability, as text": ("revenue-profitability", {"format": "text"}),
                "revenue-capacity-report": ("revenue-capacity-report", {}),
            }  # fmt: skip
        return {name: _ms(node, *call) for name, call in asked.items()}


def _ms(node: SimulatedNode, method: str, params: dict[str, Any]) -> float:
    """The middle one of several calls."""
    taken = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        node.call(method, params)
        taken.append((time.perf_counter() - began_s) * 1000)
    return sorted(taken)[ROUNDS // 2]


def _open(node: SimulatedNode, number: int, at_s: float) -> str:
    peer_id = node.world.add_peer(f"peer {number}")
    channel_id = node.world.open_channel(
        peer_id, 5_000_000, 2_500_000_000, established=True, at_s=at_s
    )
    scid = node.world.channel(channel_id).scid
    assert scid is not None
    return scid


def _fill(node: SimulatedNode, scids: list[str], options: argparse.Namespace) -> None:
    """The plugin's own database as if it had been there all the time."""
    base = Database(None, str(node.network_dir), FairLock(), print)
    base.open(node.world.id, node.world.network)
    store = SqliteForwardStore(base, OneLease())
    start_s = time.time() - options.days * DAY_S
    for page in pages(options.forwards, scids, options.days, start_s):
        store.ingest(page, authoritative=True)
    base.close()


if __name__ == "__main__":
    main(sys.argv[1:])
