"""Reputation in the whole house: counted once, faded by time alone, kept over a kill, told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cl_revenue_ops.simnode import closing as node_closing
from messages.flow import FlowReport
from tests.sim.house_support import HouseNode, house_node
from tests.sim.house_traffic import Traffic
from tests.sim.test_house_flow import analyze, analyzer, damage, logged

HOUR_S = 3_600.0
DECAY = 0.98


def reported(node: HouseNode) -> FlowReport:
    """The newest report of flow, as a reader that boots now would hear it."""
    (report,) = node.life.house.core.post.retained([FlowReport])
    assert isinstance(report, FlowReport)
    return report


def shown(node: HouseNode, channel_id: str) -> dict[str, Any]:
    """The analysis of one channel, as revenue-analyze answers it."""
    row: dict[str, Any] = node.call("revenue-analyze", [channel_id])["analysis"]
    return row


def peers(traffic: Traffic) -> tuple[str, str]:
    world = traffic.node.world
    one, two = (world.channel(channel).peer_id for channel in (traffic.one, traffic.two))
    return one, two


def mixed(node: HouseNode) -> Traffic:
    """Three settled from the first peer; one settled and two failed from the second."""
    traffic = Traffic(node)
    for way, outcome in [(0, "settled")] * 3 + [(1, "settled"), (1, "failed"), (1, "failed")]:
        traffic.pay(outcome, way)
    return traffic


def test_forwards_count_for_the_peer_that_they_came_from() -> None:
    with house_node() as node:
        traffic = mixed(node)
        traffic.pay("local_failed", 1)
        traffic.pay("pending", 1)
        node.wait_s(600)
        told = {row.peer_id: row for row in reported(node).reputations or ()}
        first, second = (told[peer_id] for peer_id in peers(traffic))
        assert first.weight == pytest.approx(3.0, rel=0.01)
        assert second.weight == pytest.approx(3.0, rel=0.01)
        assert first.score == pytest.approx(4 / 5, abs=0.005)
        assert second.score == pytest.approx(2 / 5, abs=0.005)


def test_an_analysis_by_hand_fades_nothing_more() -> None:
    weights = []
    for by_hand in (0, 40):
        with house_node() as node:
            traffic = mixed(node)
            node.wait_s(600)
            for _ in range(by_hand):
                analyze(node)
                node.wait_s(300.0 - 0.001)
            node.wait_s(40 * 300.0 - by_hand * 300.0)
            analyze(node)
            report = reported(node)
            assert report.analysed_at_s == pytest.approx(node.now_s, abs=0.01)
            (first, second) = report.reputations or ()
            weights.append((first.weight, second.weight))
            assert {first.peer_id, second.peer_id} == set(peers(traffic))
    assert weights[0] == pytest.approx(weights[1], rel=1e-6)
    assert weights[0] == pytest.approx((3 * DECAY ** (12_600 / HOUR_S),) * 2, rel=1e-3)


def test_scheduled_time_alone_fades() -> None:
    with house_node() as node:
        traffic = mixed(node)
        node.wait_s(600)
        before = analyzer(node)._reputation
        node.wait_s(10 * HOUR_S)
        after = analyzer(node)._reputation
        for peer_id in peers(traffic):
            left = after.of(peer_id).weight / before.of(peer_id).weight
            assert left == pytest.approx(DECAY ** ((after.at_s - before.at_s) / HOUR_S))
        assert after.at_s - before.at_s > 9 * HOUR_S


def test_a_kill_changes_nothing() -> None:
    with house_node() as node:
        traffic = mixed(node)
        node.wait_s(1.8 * HOUR_S)
        before = analyzer(node)._reputation
        assert set(before.records) == set(peers(traffic))
        told = reported(node).reputations
        node.restart()
        node.settle()
        assert analyzer(node)._reputation == before
        node.wait_s(60)
        assert reported(node).reputations == told


def test_no_forward_counts_twice_where_an_analysis_is_given_up() -> None:
    with house_node() as node:
        traffic = mixed(node)
        node.wait_s(600)
        first, _ = peers(traffic)
        before = analyzer(node)._reputation.of(first)
        traffic.pay("settled")
        node.wait_s(5)
        post = node.life.house.core.post
        post.box("accountant").mailbox.set_open(False)
        analyze(node)
        node.wait_s(100)
        assert analyzer(node)._reputation.of(first) == before
        post.box("accountant").mailbox.set_open(True)
        node.life.house.runtime._wake("accountant")
        node.wait_s(300)
        after = analyzer(node)._reputation.of(first)
        assert after.weight == pytest.approx(before.weight + 1.0, rel=0.01)


def test_forwards_of_a_downtime_count_from_their_own_time_on() -> None:
    with house_node() as node:
        traffic = Traffic(node)
        node.wait_s(600)
        node.kill()
        for _ in range(4):
            traffic.pay("failed")
        paid_s = node.now_s
        assert node._virtual is not None
        node._virtual.base_s += 20 * HOUR_S
        node._start_at(node.now_s)
        node.settle()
        node.wait_s(600)
        first, _ = peers(traffic)
        kept = analyzer(node)._reputation
        assert kept.of(first).settled == 0.0
        left = DECAY ** ((kept.at_s - paid_s) / HOUR_S)
        assert kept.of(first).failed == pytest.approx(4 * left, rel=1e-4)


# -- settings -----------------------------------------------------------------------------------


def test_switched_off_everything_counts_in_full_and_goes_on_being_counted() -> None:
    with house_node() as node:
        traffic = mixed(node)
        node.wait_s(600)
        on = reported(node)
        assert on.reputations is not None
        assert shown(node, traffic.two)["peer_reputation"] == pytest.approx(0.4, abs=0.005)
        node.call("revenue-config", ["set", "enable_reputation", False])
        off = reported(node)
        assert off.reputations is None
        assert len(off.channels) == 2
        assert off.version > on.version
        row = shown(node, traffic.two)
        assert row["peer_reputation"] == 1.0
        assert row["peer_reputation_weight"] == pytest.approx(3.0, rel=0.01)
        traffic.pay("settled", 1)
        node.wait_s(2 * HOUR_S)
        assert reported(node).reputations is None
        node.call("revenue-config", ["set", "enable_reputation", True])
        assert {row.peer_id for row in reported(node).reputations or ()} == set(peers(traffic))
        assert shown(node, traffic.two)["peer_reputation"] == pytest.approx(0.5, abs=0.005)


def test_it_can_be_switched_before_anything_was_analysed() -> None:
    with house_node() as node:
        Traffic(node)
        generation = analyzer(node).context.generation
        assert analyzer(node)._analysed_s is None
        node.call("revenue-config", ["set", "enable_reputation", False])
        node.wait_s(600)
        assert analyzer(node).context.generation == generation
        assert reported(node).reputations is None


def test_the_configured_decay_and_interval_hold() -> None:
    options = {"revenue-ops-reputation-decay": "0.5", "revenue-ops-flow-interval": "1800"}
    with house_node(options=options) as node:
        traffic = mixed(node)
        node.wait_s(600)
        before = analyzer(node)._reputation
        node.wait_s(3 * HOUR_S)
        after = analyzer(node)._reputation
        first, _ = peers(traffic)
        intervals = (after.at_s - before.at_s) / 1800.0
        assert intervals > 5.0
        assert after.of(first).settled == pytest.approx(before.of(first).settled * 0.5**intervals)


def test_a_peer_whose_channels_are_gone_is_forgotten_in_time() -> None:
    with house_node(options={"revenue-ops-reputation-decay": "0.5"}) as node:
        traffic = mixed(node)
        node.wait_s(600)
        first, second = peers(traffic)
        node_closing.forget(node.world, node.world.channel(traffic.two), node.now_s)
        node.wait_s(2 * HOUR_S)
        assert set(analyzer(node)._reputation.records) == {first, second}
        node.wait_s(12 * HOUR_S)
        assert set(analyzer(node)._reputation.records) == {first}
        # Settled forwards of the peer that is left fade too; its record stays.
        assert analyzer(node)._reputation.of(first).weight < 0.01


# -- records that cannot be read ------------------------------------------------------------------


@pytest.mark.parametrize("row", [5, [2, 1.0, {}], [1, 1.0, {"a": [-1.0, 0.0]}], [1, "x", {}]])
def test_an_unreadable_reputation_begins_anew_and_costs_nothing_else(row: object) -> None:
    with house_node() as node:
        traffic = mixed(node)
        node.wait_s(2 * HOUR_S)
        watched = analyzer(node)._watch
        patch = json.dumps({"reputation": row})
        damage(node, f"UPDATE flow_header SET header = json_patch(header, '{patch}')")
        assert logged(node, "stored reputation", "unreadable") == 1
        assert analyzer(node)._reputation.records == {}
        assert analyzer(node)._watch.running.keys() >= watched.running.keys()
        traffic.pay("settled")
        node.wait_s(2 * HOUR_S)
        assert node.status()["safe_mode"] is False
        assert analyzer(node)._reputation.of(peers(traffic)[0]).settled > 0.9


def test_records_of_a_version_without_reputation_are_read() -> None:
    with house_node() as node:
        mixed(node)
        node.wait_s(2 * HOUR_S)
        analysed_s = analyzer(node)._analysed_s
        damage(node, "UPDATE flow_header SET header = json_remove(header, '$.reputation')")
        assert logged(node, "unreadable") == 0
        assert analyzer(node)._analysed_s == analysed_s
        assert analyzer(node)._reputation.records == {}


def test_a_time_from_the_future_fades_again_from_now_on() -> None:
    with house_node() as node:
        traffic = mixed(node)
        node.wait_s(2 * HOUR_S)
        node.kill()
        assert node._virtual is not None
        node._virtual.base_s -= 30 * 24 * HOUR_S
        node._start_at(node.now_s)
        node.settle()
        first, _ = peers(traffic)
        before = analyzer(node)._reputation
        assert before.at_s <= node.now_s
        node.wait_s(5 * HOUR_S)
        after = analyzer(node)._reputation
        left = DECAY ** ((after.at_s - before.at_s) / HOUR_S)
        assert after.of(first).settled == pytest.approx(before.of(first).settled * left)
