"""Plays the whole plugin in one world, in this process on the stepped runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cl_revenue_ops.bench.house_node import FOLDER, HouseNode
from cl_revenue_ops.bench.outcome import Outcome, measure
from cl_revenue_ops.bench.scenarios import Scenario
from cl_revenue_ops.bench.stage import STEP_S, Stage
from cl_revenue_ops.simnode import sling
from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.options import BadOption
from cl_revenue_ops.simnode.plugins import Companion
from cl_revenue_ops.simnode.route_market import RouteMarket
from cl_revenue_ops.simnode.sling_routes import MarketRoutes

# The demo's network: the plugin's settings are then those of a real node.
NETWORK = "bitcoin"

# How far time goes at once while sling rests (its jobs begin between two such steps), and while it
# works: the plugin looks at its jobs every ten seconds.
STEPS_S = (300.0, 30.0)

Beside = Callable[[HouseNode, Stage], Iterable[Companion]]
"""Makes ready what stands beside the plugin, and returns companions that the node does not have."""


class HouseFailed(Exception):
    """The plugin did not start or did not stay; the message says why, in one line."""


def sling_details(rebalances: bool) -> dict[str, Any]:
    """Keywords of a simulated node that has sling beside the plugin, or has not."""
    return {"sling": sling.NEWEST, "steps_s": STEPS_S} if rebalances else {}


def give_routes(node: SimulatedNode, stage: Stage) -> None:
    """Let the node's sling, if it has one, pay over the routes that every rebalancer meets."""
    if node.sling is not None:
        node.sling.routes = MarketRoutes(RouteMarket(stage.market), stage.driver.peer_ids)


def run_through(node: SimulatedNode, stage: Stage, step_s: float = STEP_S) -> None:
    """Take a started node and its plugin through the whole of the stage's market.

    HouseFailed where the plugin does not run as it was told: what it earned would not be its own
    doing.
    """
    market = stage.market
    node.on_step = lambda _, until_s: stage.step(until_s)
    stage.look(market.start_s)
    steps, now_s = 0, market.start_s
    while now_s < market.end_s:
        steps += 1
        now_s = min(market.start_s + steps * step_s, market.end_s)
        node.advance(now_s)
        stage.look(now_s)
        if steps == 1:
            _expect_well(node)
    node.on_step = None
    _expect_well(node)
    stage.finish()


def _expect_well(node: SimulatedNode) -> None:
    status = node.call("revenue-status")
    if status["safe_mode"]:
        raise HouseFailed(f"the plugin is in safe mode: {status['safe_mode_reason']}")
    if status["paused"]:
        raise HouseFailed(f"the plugin sets no fees: {'; '.join(map(str, status['problems']))}")


def play_house(
    market: Market,
    scenario: Scenario,
    *,
    options: Mapping[str, str] | None = None,
    name: str = "house",
    step_s: float = STEP_S,
    belief: object | None = None,
    rebalances: bool = False,
    companions: Mapping[str, Any] | None = None,
    beside: Beside | None = None,
) -> Outcome:
    """Run the plugin's house through the whole of `market` and return what came of it.

    `options` are lightningd options of the plugin. `belief` stands in for what the fee controller
    believes of demand: it is given on to `bootstrap.build` as a keyword of that name.
    `rebalances` brings sling, which pays over the market's routes.
    `companions` are keywords of the simulated node that bring the plugins which it plays itself
    (such as `clboss`); `beside` is asked for others before the plugin starts. What moves sats by
    the node's own payments is counted whoever did it. HouseFailed for options that lightningd
    would refuse.
    """
    parts = {} if belief is None else {"belief": belief}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=FOLDER) as folder:
        node = HouseNode(
            Path(folder),
            start_s=market.start_s,
            seed=market.seed,
            network=NETWORK,
            options=dict(options or {}),
            parts=parts,
            **sling_details(rebalances),
            **(companions or {}),
        )
        stage = Stage(market, scenario, node.world)
        give_routes(node, stage)
        try:
            for companion in beside(node, stage) if beside is not None else ():
                node.plugins.add_companion(companion)
            node.start()
            unknown = node.options.unclaimed()
            if unknown:
                raise HouseFailed(f"unrecognized option: {unknown[0]}")
            run_through(node, stage, step_s)
        except (BadOption, SimRpcError) as error:
            raise HouseFailed(str(error)) from error
        finally:
            if node.begun and node.life.ready:
                node.life.end()
            node.hang_up()
        return measure(stage, name)
