"""CPU of one flow analysis and one fee cycle over many channels, with and without a history."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from cl_revenue_ops.simnode.forward_log import STATUSES, History
from cl_revenue_ops.simnode.identity import scid_number
from cl_revenue_ops.simnode.node import SimulatedNode

ENTRY = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"
START_S = 1_790_000_000.0


def main(arguments: list[str]) -> dict[str, float]:
    """Run the benchmark for a short and a long history and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=1_000)
    parser.add_argument("--history", type=int, default=200_000)
    options = parser.parse_args(arguments)
    figures: dict[str, float] = {}
    for history in (0, options.history):
        for name, value in _measure(options.channels, history).items():
            figures[f"{name}, history of {history}"] = value
    for name, value in figures.items():
        print(f"{name:<52} {value:12.3f}")
    return figures


def _measure(channels: int, history: int) -> dict[str, float]:
    options = {"revenue-ops-flow-interval": "100000", "revenue-ops-fee-interval": "100000"}
    node = SimulatedNode([sys.executable, str(ENTRY)], start_s=START_S, options=options)
    scids = [_open(node, number) for number in range(channels)]
    if history:
        node.world.forwards.preload(_old_forwards(scids, history))
    with node:
        node.advance(START_S + 10)
        plugin = psutil.Process(node.plugin.pid)
        node.call("revenue-analyze")
        for warm_s in (200, 1_200, 2_000):
            node.advance(START_S + warm_s)
            node.call("revenue-analyze")
        node.advance(START_S + 3_000)
        flow_s = _cpu_of(plugin, lambda: node.call("revenue-analyze"))
        idle_s = _cpu_of(plugin, lambda: node.advance(START_S + 4_000))
        # The first cycle asked gossip about every peer; the next one decides only.
        node.call("revenue-config", ["set", "fee_interval", 5_000])
        node.advance(START_S + 5_080)
        writes_s = _cpu_of(plugin, lambda: node.advance(START_S + 5_100))
        # Every channel had its first draw; the next cycle decides only.
        node.call("revenue-config", ["set", "paused", "true"])
        node.advance(START_S + 10_080)
        fees_s = _cpu_of(plugin, lambda: node.advance(START_S + 10_100))
        memory_mb = plugin.memory_info().rss / 2**20
        decided = len(node.call("revenue-fee-debug")["channels"])
    assert decided == channels, decided
    return {
        f"flow analysis of {channels} channels, cpu s": flow_s,
        f"fee cycle over {channels} channels that writes nothing, cpu s": fees_s,
        f"fee cycle that changes all {channels} fees, cpu s": writes_s,
        "1000 s of virtual time without a cycle, cpu s": idle_s,
        "resident MB": memory_mb,
    }


def _cpu_of(process: psutil.Process, action: object) -> float:
    before = sum(process.cpu_times()[:2])
    action()  # type: ignore[operator]
    time.sleep(0.05)
    return float(sum(process.cpu_times()[:2]) - before)


def _open(node: SimulatedNode, number: int) -> int:
    peer_id = node.world.add_peer(f"peer {number}")
    channel_id = node.world.open_channel(
        peer_id, 5_000_000, 2_500_000_000, established=True, at_s=START_S - 8e6 + number * 600
    )
    scid = node.world.channel(channel_id).scid
    assert scid is not None
    return scid_number(scid)


def _old_forwards(scids: list[int], count: int) -> History:
    rng = np.random.default_rng(1)
    out_msat = rng.lognormal(np.log(5e7), 1.2, count).astype(np.uint64) + np.uint64(1000)
    received_s = np.sort(START_S - rng.random(count) * 200 * 86_400 - 60)
    return History(
        in_scid=rng.choice(np.array(scids, np.uint64), count),
        out_scid=rng.choice(np.array(scids, np.uint64), count),
        in_msat=out_msat + out_msat // np.uint64(4000),
        out_msat=out_msat,
        status=np.full(count, STATUSES.index("settled"), np.uint8),
        received_s=received_s,
        resolved_s=received_s + 1.5,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
