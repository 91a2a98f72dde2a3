"""Catch-up with a long history: time, CPU and memory of the plugin, and its answers meanwhile."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from cl_revenue_ops.simnode.forward_log import STATUSES, History
from cl_revenue_ops.simnode.identity import scid_number
from cl_revenue_ops.simnode.node import SimulatedNode

ENTRY = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"


def main(arguments: list[str]) -> dict[str, float]:
    """Run the benchmark and print its figures; returns them by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forwards", type=int, default=1_000_000)
    parser.add_argument("--channels", type=int, default=200)
    parser.add_argument("--events-per-s", type=int, default=0, help="live forwards meanwhile")
    options = parser.parse_args(arguments)
    # The node and the client that waits for the status share this process's interpreter.
    sys.setswitchinterval(0.0005)
    node = SimulatedNode([sys.executable, str(ENTRY)])
    scids = _open_channels(node, options.channels)
    node.world.forwards.preload(_history(scids, options.forwards))
    started_s = time.monotonic()
    with node:
        figures = _watch(node, options, started_s)
    for name, value in figures.items():
        print(f"{name:<42} {value:12.3f}")
    return figures


def _open_channels(node: SimulatedNode, count: int) -> list[int]:
    scids = []
    for number in range(count):
        peer_id = node.world.add_peer(f"peer {number}")
        channel_id = node.world.open_channel(
            peer_id, 5_000_000, 2_500_000_000, established=True, at_s=time.time() - 8e6
        )
        scid = node.world.channel(channel_id).scid
        assert scid is not None
        scids.append(scid_number(scid))
    return scids


def _history(scids: list[int], count: int) -> History:
    rng = np.random.default_rng(1)
    now_s = time.time()
    out_msat = rng.lognormal(np.log(5e7), 1.2, count).astype(np.uint64) + np.uint64(1000)
    received_s = np.sort(now_s - rng.random(count) * 200 * 86400 - 60)
    return History(
        in_scid=rng.choice(np.array(scids, np.uint64), count),
        out_scid=rng.choice(np.array(scids, np.uint64), count),
        in_msat=out_msat + out_msat // np.uint64(4000),
        out_msat=out_msat,
        status=np.where(
            rng.random(count) < 0.6, STATUSES.index("settled"), STATUSES.index("failed")
        ).astype(np.uint8),
        received_s=received_s,
        resolved_s=received_s + 1.5,
    )


def _watch(node: SimulatedNode, options: argparse.Namespace, started_s: float) -> dict[str, float]:
    plugin = psutil.Process(node.plugin.pid)
    answers_ms: list[float] = []
    peak_mb = 0.0
    while True:
        before_s = time.monotonic()
        status = node.call("revenue-status")
        answers_ms.append((time.monotonic() - before_s) * 1000)
        peak_mb = max(peak_mb, plugin.memory_info().rss / 2**20)
        forwards = status["forwards"]
        if forwards.get("log_seq", 0) >= options.forwards and forwards.get("caught_up"):
            break
        if time.monotonic() - started_s > 600:
            print(json.dumps(status["actors"], indent=1))
            raise SystemExit("not caught up within 600 s")
        time.sleep(0.05)
    cpu = plugin.cpu_times()
    elapsed_s = time.monotonic() - started_s
    return {
        "forwards": float(options.forwards),
        "elapsed s": elapsed_s,
        "cpu s of the plugin": cpu.user + cpu.system,
        "cpu us per forward": (cpu.user + cpu.system) / options.forwards * 1e6,
        "peak resident MB": peak_mb,
        "revenue-status p50 ms": float(np.percentile(answers_ms, 50)),
        "revenue-status p99 ms": float(np.percentile(answers_ms, 99)),
        "revenue-status worst ms": max(answers_ms),
        "revenue-status calls": float(len(answers_ms)),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
