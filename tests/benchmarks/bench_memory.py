"""Memory over months of virtual time with a light market: what grows after the first days."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import psutil

from cl_revenue_ops.simnode.market import draw_market
from cl_revenue_ops.simnode.market_driver import MarketDriver
from cl_revenue_ops.simnode.market_parameters import MarketRanges
from cl_revenue_ops.simnode.node import SimulatedNode

ENTRY = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"
DAY_S = 86_400.0
STEP_S = 1_800.0
WARM_DAYS = 10


def main(arguments: list[str]) -> dict[str, float]:
    """Play the market, look at the plugin every ten days, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--channels", type=int, default=20)
    parser.add_argument("--attempts", type=float, default=10.0, help="per channel and day")
    options = parser.parse_args(arguments)
    began_s = time.monotonic()
    resident = _resident_mb(options.days, options.channels, options.attempts)
    for day, megabytes in resident.items():
        print(f"{f'resident on day {day}, MB':<42} {megabytes:12.3f}")
    first, last = resident[min(WARM_DAYS, options.days)], resident[options.days]
    figures = {
        f"growth from day {WARM_DAYS} to {options.days}, MB": last - first,
        "elapsed s": time.monotonic() - began_s,
    }
    for name, value in figures.items():
        print(f"{name:<42} {value:12.3f}")
    return figures


def _resident_mb(days: int, channels: int, attempts: float) -> dict[int, float]:
    """Resident memory of the plugin's process by day: each tenth, and the last."""
    market = draw_market(
        1, channels, days, ranges=MarketRanges().fixed(attempts_per_channel_day=attempts)
    )
    node = SimulatedNode([sys.executable, str(ENTRY)], start_s=market.start_s, seed=1)
    driver = MarketDriver(market, node.world)
    node.on_step = lambda from_s, to_s: driver.step(to_s)
    found = {}
    with node:
        plugin = psutil.Process(node.plugin.pid)
        for day in range(1, days + 1):
            node.advance(market.start_s + day * DAY_S, STEP_S)
            if day % WARM_DAYS == 0 or day == days:
                found[day] = plugin.memory_info().rss / 2**20
        settled = node.call("revenue-status")["forwards"]["settled"]
    print(f"{'forwards settled':<42} {settled:12d}")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
