"""A node that fails in any way costs the house time and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.house_support import HouseNode, house_node
from tests.sim.house_traffic import CATCH_UP_S, traffic

METHODS = ("getinfo", "listpeerchannels", "listforwards", "wait", "setchannel", "listchannels")
KINDS = ("error", "timeout", "truncated", "wrong_type", "missing_keys", "nulls")


def crashes(node: HouseNode) -> dict[str, Any]:
    """What a whole house has none of."""
    status = node.status()
    restarts = {name: row["restarts"] for name, row in status["actors"].items() if row["restarts"]}
    poison = status["dead_letters"]["by_reason"].get("poison", 0)
    return {**restarts, **({"poison": poison} if poison else {})}


def breaker(node: HouseNode, group: str) -> dict[str, Any]:
    (row,) = [row for row in node.status()["breakers"] if row["group"] == group]
    return dict(row)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_fails_for_hours_crashes_nothing_and_is_forgotten(method: str) -> None:
    with traffic() as it:
        node = it.node
        node.wait_s(200.0)
        for number, kind in enumerate(KINDS):
            node.faults.clear()
            rule = node.fault(kind, method)
            it.pay("settled", number)
            # Every cycle has a fee to write, and every peer is asked for anew.
            node.call("revenue-config", ["set", "min_fee_ppm", 100 * number + 100])
            node.world.disconnect(node.world.channels[it.one].peer_id)
            node.world.connect(node.world.channels[it.one].peer_id)
            node.wait_s(2_000.0)
            assert rule is not None
            assert rule.hits > 0 or method == "listchannels", kind
            assert crashes(node) == {}, kind
        node.faults.clear()
        node.wait_s(3_700.0 + CATCH_UP_S)
        it.check()
        status = node.status()
        assert status["writes_allowed"] is True
        assert len(status["channel_states"]) == 2
        assert status["forwards"]["trouble"] is None
        assert {row["state"] for row in status["breakers"]} == {"closed"}
        assert min(channel.policy.ppm for channel in node.world.channels.values()) >= 600


@pytest.mark.parametrize("how", ["timeout", "refused"])
def test_a_breaker_opens_after_outages_holds_calls_back_and_closes_again(how: str) -> None:
    with traffic() as it:
        node = it.node

        def outage(stands: bool) -> None:
            node.faults.clear()
            node.reachable = how == "timeout" or not stands
            if stands and how == "timeout":
                node.fault("timeout", "*")

        outage(True)
        it.pay("settled")
        node.wait_s(2 * CATCH_UP_S)
        shown = breaker(node, "forwards")
        assert shown["opens"] >= 1
        assert shown["state"] in ("open", "half-open")
        assert "held back" in node.status()["forwards"]["trouble"] or shown["failures"] >= 3
        outage(False)
        node.wait_s(CATCH_UP_S)
        it.check()
        assert breaker(node, "forwards")["state"] == "closed"
        assert crashes(node) == {}


def test_an_open_breaker_keeps_the_node_from_being_asked() -> None:
    with house_node(options={"revenue-ops-rpc-circuit-breaker-seconds": "3600"}) as node:
        node.wait_s(60.0)
        node.fault("timeout", "*")
        node.wait_s(3_000.0)
        assert breaker(node, "forwards")["state"] == "open"
        asked = dict(node.calls)
        node.wait_s(600.0)
        assert node.calls["wait"] == asked["wait"]


def test_a_node_that_cannot_be_reached_at_the_start_means_safe_mode_and_answers() -> None:
    with house_node(start=False) as node:
        node.open("alice", 1_000_000, 500_000)
        node.reachable = False
        node.start()
        node.settle()
        assert node.status()["actors"]["settings"]["state"] == "blocked"
        assert node.status()["safe_mode"] is False
        node.wait_s(200.0)
        status = node.status()
        assert status["safe_mode"] is True
        assert "settings" in status["safe_mode_reason"]
        assert status["writes_allowed"] is False
        assert len(node.call("revenue-config", ["list"])["settings"]) > 20
        assert node.call("revenue-hive-status")["mode"] == "standalone"
        assert crashes(node) == {}
        node.reachable = True
        node.wait_s(1_000.0)
        status = node.status()
        assert (status["safe_mode"], status["writes_allowed"]) == (False, True)
        assert {row["state"] for row in status["actors"].values()} == {"ready"}


def test_a_node_that_comes_back_as_another_version_is_asked_anew() -> None:
    with traffic(version="v23.05") as it:
        node = it.node
        it.pay("settled")
        node.settle()
        assert node.status()["forwards"]["read_up_to"] == 0
        node.reachable = False
        node.wait_s(CATCH_UP_S)
        node.world.era = type(node.world.era)("v26.06.6")
        node.reachable = True
        it.pay("settled")
        # Sooner than a refusal is forgotten by itself.
        node.wait_s(300.0)
        it.check()
        assert node.status()["forwards"]["read_up_to"] == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_swarm_of_faults_is_survived(seed: int) -> None:
    with traffic(seed=seed) as it:
        node = it.node
        node.faults.swarm(chance=0.3)
        for number in range(20):
            it.pay(("settled", "failed", "pending", "local_failed")[number % 4], number)
            node.wait_s(700.0)
            node.status()
        assert crashes(node) == {}
        node.faults.clear()
        # Notifications that were held back come late, and after them the list is read once more.
        node.wait_s(CATCH_UP_S)
        node.wait_s(CATCH_UP_S)
        stored, truth = it.stored(), it.resolved()
        assert stored.items() <= truth.items()
        # A row that three readings in a row could not make out was given up, and counted.
        assert len(truth) - len(stored) <= node.status()["forwards"]["malformed"]
        node.wait_s(3_700.0)
        assert node.status()["writes_allowed"] is True
