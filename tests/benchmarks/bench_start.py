"""The start of the plugin: time to getmanifest, init and readiness; then idle CPU and memory."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.plugin_host import PluginHost

ENTRY = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"
PATIENCE_S = 60.0
# The first flow analysis comes 30 s after the start.
FIRST_ANALYSIS_S = 45.0


def main(arguments: list[str]) -> dict[str, float]:
    """Start the plugin several times, then watch one that is idle; prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=200)
    parser.add_argument("--starts", type=int, default=5, help="their median is told")
    parser.add_argument("--idle-s", type=float, default=20.0)
    options = parser.parse_args(arguments)
    node = SimulatedNode()
    for number in range(options.channels):
        peer_id = node.world.add_peer(f"peer {number}")
        node.world.open_channel(
            peer_id, 5_000_000, 2_500_000_000, established=True, at_s=time.time() - 8e6
        )
    with node:
        starts = [_start(node, stop=True)[0] for _ in range(options.starts)]
        figures = {name: statistics.median(s[name] for s in starts) for name in starts[0]}
        _, host = _start(node, stop=False)
        figures.update(_idle(host, options.idle_s))
        host.stop()
    for name, value in figures.items():
        print(f"{name:<46} {value:12.3f}")
    return figures


def _start(node: SimulatedNode, *, stop: bool) -> tuple[dict[str, float], PluginHost]:
    """What lightningd does with a plugin, with a watch in hand; each step in ms since the last."""
    marks = [time.monotonic()]
    host = PluginHost(
        [sys.executable, str(ENTRY)],
        str(ENTRY),
        cwd=node.network_dir,
        env={"LIGHTNINGD_PLUGIN": "1"},
        on_exit=lambda _: None,
    )
    host.manifest = host.request("getmanifest", {"allow-deprecated-apis": False}, PATIENCE_S)
    marks.append(time.monotonic())
    host.request("init", _init(node, host.manifest), PATIENCE_S)
    marks.append(time.monotonic())
    host.ready = True
    while not _is_up(host.request("revenue-status", {}, PATIENCE_S)):
        time.sleep(0.01)
    marks.append(time.monotonic())
    if stop:
        host.stop()
        marks.append(time.monotonic())
    names = ("getmanifest, ms", "init, ms", "all actors ready and caught up, ms", "stop, ms")
    return {
        name: 1000 * (after - before)
        for name, before, after in zip(names, marks, marks[1:], strict=False)
    }, host


def _init(node: SimulatedNode, manifest: dict[str, Any]) -> dict[str, Any]:
    declared = manifest["options"]
    return {
        "options": {o["name"]: o["default"] for o in declared if o.get("default") is not None},
        "configuration": {
            "lightning-dir": str(node.network_dir),
            "rpc-file": node.rpc_file.name,
            "startup": True,
            "network": node.world.network,
        },
    }


def _is_up(status: dict[str, Any]) -> bool:
    states = {actor["state"] for actor in status["actors"].values()}
    return states == {"ready"} and bool(status["forwards"].get("caught_up"))


def _idle(host: PluginHost, seconds: float) -> dict[str, float]:
    """CPU of a plugin that nobody asks for anything; memory before and after the filters came.

    The filters are loaded by the first analysis that has a stretch of time to look at: the second.
    """
    process = psutil.Process(host.pid)
    time.sleep(FIRST_ANALYSIS_S)
    before_s = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    cpu_s = sum(process.cpu_times()[:2]) - before_s
    light_mb = process.memory_info().rss / 2**20
    analysing_s = time.monotonic()
    host.request("revenue-analyze", {}, PATIENCE_S)
    analysed_s = time.monotonic()
    return {
        f"idle cpu over {seconds:.0f} s, %": 100 * cpu_s / seconds,
        "resident before the filters are loaded, MB": light_mb,
        "the analysis that loads them, ms": 1000 * (analysed_s - analysing_s),
        "resident after it, MB": process.memory_info().rss / 2**20,
        "threads": float(process.num_threads()),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
