"""Plays the plugin in one world as lightningd would run it: a process, a pipe and a socket."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from cl_revenue_ops.bench.house import (
    NETWORK,
    HouseFailed,
    give_routes,
    run_through,
    sling_details,
)
from cl_revenue_ops.bench.outcome import Outcome, measure
from cl_revenue_ops.bench.scenarios import Scenario
from cl_revenue_ops.bench.stage import STEP_S, Stage
from cl_revenue_ops.simnode.errors import NodeDown, PluginDied, SimRpcError
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.node import SimulatedNode

PLUGIN_FILE = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"


def play_process(
    market: Market,
    scenario: Scenario,
    *,
    options: Mapping[str, str] | None = None,
    name: str = "plugin",
    plugin: Path = PLUGIN_FILE,
    step_s: float = STEP_S,
    rebalances: bool = False,
) -> Outcome:
    """Run the plugin's executable through the whole of `market`; blocks until it has ended.

    `options` are lightningd options of the plugin; `rebalances` brings sling.
    HouseFailed where the node refuses to start with them, or the plugin ends.
    """
    node = SimulatedNode(
        [sys.executable, str(plugin)],
        start_s=market.start_s,
        seed=market.seed,
        network=NETWORK,
        options=dict(options or {}),
        **sling_details(rebalances),
    )
    stage = Stage(market, scenario, node.world)
    give_routes(node, stage)
    try:
        with node:
            run_through(node, stage, step_s)
    except (PluginDied, NodeDown, SimRpcError) as error:
        raise HouseFailed(str(error)) from error
    return measure(stage, name)
