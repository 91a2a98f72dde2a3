"""Live forwards: a sustained stream of forward_event, and its cost on the I/O thread."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from cl_revenue_ops.facade import Facade
from cl_revenue_ops.plugin import GuardedPlugin
from cl_revenue_ops.simnode.node import SimulatedNode

ENTRY = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"


def main(arguments: list[str]) -> dict[str, float]:
    """Run both parts and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=250, help="forwards a second, two events each")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args(arguments)
    figures = {**_stream(options.rate, options.seconds), **_io_thread_cost(5_000)}
    for name, value in figures.items():
        print(f"{name:<42} {value:12.3f}")
    return figures


def _two_channels(node: SimulatedNode) -> tuple[str, str]:
    ids = []
    for name in ("in", "out"):
        peer_id = node.world.add_peer(name)
        ids.append(
            node.world.open_channel(
                peer_id, 500_000_000, 250_000_000_000, established=True, at_s=time.time() - 8e6
            )
        )
    return ids[0], ids[1]


def _stream(rate: int, seconds: float) -> dict[str, float]:
    """`rate` forwards a second through the process, over its pipe."""
    node = SimulatedNode([sys.executable, str(ENTRY)])
    incoming, outgoing = _two_channels(node)
    with node:
        node.wait_until(lambda: node.call("revenue-status")["forwards"].get("caught_up", False))
        plugin = psutil.Process(node.plugin.pid)
        cpu_before = sum(plugin.cpu_times()[:2])
        started_s = time.monotonic()
        sent = 0
        while (passed_s := time.monotonic() - started_s) < seconds:
            while sent < passed_s * rate:
                node.world.forward(incoming, outgoing, 1_000_000, 1_002_000, node.clock.now())
                sent += 1
            time.sleep(0.01)
        elapsed_s = time.monotonic() - started_s
        node.wait_until(
            lambda: node.call("revenue-status")["forwards"]["hints"] >= 2 * sent, timeout_s=60
        )
        status = node.call("revenue-status")
        cpu_s = sum(plugin.cpu_times()[:2]) - cpu_before
    dropped = sum(actor["dropped"] for actor in status["actors"].values())
    assert status["forwards"]["settled"] == sent, (status["forwards"], sent)
    return {
        "events/s": 2 * sent / elapsed_s,
        "events": float(2 * sent),
        "dropped": float(dropped),
        "cpu us per event": cpu_s / (2 * sent) * 1e6,
    }


def _io_thread_cost(events: int) -> dict[str, float]:
    """CPU time of the dispatching thread for each forward_event, with the house running."""
    with SimulatedNode() as node, TemporaryDirectory() as directory:
        plugin = GuardedPlugin()
        facade = Facade(plugin, {})
        facade._init({}, {"lightning-dir": directory, "rpc-file": str(node.rpc_file)})
        times_ms = []
        for number in range(events):
            line = json.dumps(_event(number)).encode()
            before_s = time.thread_time()
            plugin._multi_dispatch([line, b""])
            times_ms.append((time.thread_time() - before_s) * 1000)
        assert facade._house is not None
        facade._house.stop("the benchmark is over", 5.0)
    return {
        "I/O thread ms per event, p50": float(np.percentile(times_ms, 50)),
        "I/O thread ms per event, p99": float(np.percentile(times_ms, 99)),
    }


def _event(number: int) -> dict[str, object]:
    body = {
        "created_index": number + 1,
        "payment_hash": f"{number:064x}",
        "in_channel": "800000x1x0",
        "in_htlc_id": number,
        "out_channel": "800001x1x0",
        "in_msat": 1_002_000,
        "out_msat": 1_000_000,
        "fee_msat": 2_000,
        "status": "offered",
        "style": "tlv",
        "received_time": 1_790_000_000.25 + number,
    }
    return {"jsonrpc": "2.0", "method": "forward_event", "params": {"forward_event": body}}


if __name__ == "__main__":
    main(sys.argv[1:])
