"""The feerate as the house reads it from the simulated node, with and without estimates."""

from __future__ import annotations

from typing import Any

from tests.sim.house_support import HouseNode, house_node


def feerate(node: HouseNode) -> float | None:
    """What the fee controller's port to the node says."""
    runtime: Any = node.life.house.runtime
    found: float | None = runtime._actors["fee-controller"]._node.feerate_sat_per_vb()
    return found


def test_the_mempools_price_arrives_in_sat_per_vb() -> None:
    with house_node() as node:
        assert feerate(node) == 10.0
        node.world.set_feerate(250 * 100)
        assert feerate(node) == 70.0


def test_a_node_without_estimates_gives_no_evidence() -> None:
    with house_node() as node:
        node.world.feerates_perkw.clear()
        assert feerate(node) is None
