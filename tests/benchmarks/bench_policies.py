"""How long `revenue-policy set` takes with many policies, idle and while fee cycles run."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

from cl_revenue_ops.simnode.identity import scid_number
from cl_revenue_ops.simnode.node import SimulatedNode

ENTRY = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"
BATCH = 100
PAUSE_S = 0.02
SWITCH_S = 0.0002


def main(arguments: list[str]) -> dict[str, float]:
    """Fill a plugin with policies, then set single ones and time the answers; prints figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", type=int, default=2_000)
    parser.add_argument("--channels", type=int, default=200)
    parser.add_argument("--sets", type=int, default=1_000)
    options = parser.parse_args(arguments)
    # The node answers the house from threads of this process, which the watch must not wait for.
    sys.setswitchinterval(SWITCH_S)
    node = SimulatedNode([sys.executable, str(ENTRY)])
    peers = [_open(node, number) for number in range(options.channels)]
    peers += [f"02{number:064x}" for number in range(options.policies - options.channels)]
    with node:
        node.wait_until(lambda: node.call("revenue-status")["forwards"].get("caught_up", False))
        for start in range(0, len(peers), BATCH):
            updates = [{"peer_id": p, "strategy": "hive"} for p in peers[start : start + BATCH]]
            assert node.call("revenue-policy", {"action": "batch", "updates": updates})["updated"]
        figures = _times("idle", _sets(node, peers, options.sets, 500))
        cycles, stop = [0], threading.Event()
        thread = threading.Thread(target=_cycle, args=(node, stop, cycles), daemon=True)
        thread.start()
        figures.update(_times("while fee cycles run", _sets(node, peers, options.sets, 900)))
        stop.set()
        thread.join(60.0)
        figures["fee cycles meanwhile"] = float(cycles[0])
        listed_s = time.perf_counter()
        assert node.call("revenue-policy", ["list"])["count"] == len(peers)
        figures["revenue-policy list, ms"] = 1000 * (time.perf_counter() - listed_s)
    for name, value in figures.items():
        print(f"{name:<46} {value:12.3f}")
    return figures


def _open(node: SimulatedNode, number: int) -> str:
    peer_id = node.world.add_peer(f"peer {number}")
    channel_id = node.world.open_channel(
        peer_id, 5_000_000, 2_500_000_000, established=True, at_s=time.time() - 8e6
    )
    assert scid_number(node.world.channel(channel_id).scid or "")
    return peer_id


def _sets(node: SimulatedNode, peers: list[str], count: int, first_ppm: int) -> list[float]:
    """The seconds that each of these sets took, each a change and stored; spread over all peers."""
    taken = []
    for number in range(count):
        peer_id = peers[number * 7 % len(peers)]
        words = ["set", peer_id, "dynamic", "enabled", first_ppm + number]
        before_s = time.perf_counter()
        answer = node.call("revenue-policy", words)
        taken.append(time.perf_counter() - before_s)
        assert answer["status"] == "success", json.dumps(answer)
        time.sleep(PAUSE_S)
    return taken


def _cycle(node: SimulatedNode, stop: threading.Event, cycles: list[int]) -> None:
    """Let one fee cycle over all channels follow the other."""
    while not stop.is_set():
        node.call("revenue-wake-all")
        node.call("revenue-analyze")
        cycles[0] += 1
        stop.wait(1.0)


def _times(what: str, taken: list[float]) -> dict[str, float]:
    return {
        f"set {what}, {name}, ms": 1000 * float(np.percentile(taken, share))
        for name, share in (("p50", 50), ("p99", 99), ("worst", 100))
    }


if __name__ == "__main__":
    main(sys.argv[1:])
