"""Every report over the whole house: real channels, real books, good and bad arguments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cl_revenue_ops.simnode.cli import shown
from cl_revenue_ops.simnode.errors import SimRpcError
from tests.sim.house_support import HouseNode, house_node

DAY_S = 86_400.0
HOUR_S = 3_600.0
FEE_MSAT = 20_001


def opened(node: HouseNode, name: str, opener: str) -> str:
    """A channel of five million sats; its channel_id."""
    world = node.world
    world.open_channel(world.add_peer(name), 5_000_000, 2_500_000_000, opener=opener)
    return list(world.channels)[-1]


@pytest.fixture
def node() -> Iterator[HouseNode]:
    """Two days of forwards and rebalances over channels of both sides, some closed by the end."""
    with house_node(start=False) as node:
        world = node.world
        for _ in range(4):
            world.fund(8_000_000)
        world.mine(2)
        names = (("alice", "local"), ("bob", "local"), ("carol", "remote"), ("dave", "local"))
        ids = [opened(node, name, opener) for name, opener in names]
        world.mine(6)
        node.start()
        node.settle()
        node.wait_s(HOUR_S)
        for number in range(24):
            at_s = node.now_s
            world.forward(ids[0], ids[1], 20_000_000, 20_000_000 + FEE_MSAT, at_s)
            if number % 6 == 0:
                world.circular_payment(ids[2], ids[3], 100_000_000, 90_000)
            node.wait_s(2 * HOUR_S)
        node.channel_ids = ids  # type: ignore[attr-defined]
        yield node


def ids_of(node: HouseNode) -> list[str]:
    found: list[str] = node.channel_ids  # type: ignore[attr-defined]
    return found


def asked(node: HouseNode, method: str, *args: object) -> dict[str, Any]:
    answer = node.call(method, list(args))
    assert isinstance(answer, dict)
    json.dumps(answer, allow_nan=False)
    assert "error" not in answer, answer
    return answer


def test_the_dashboard_has_what_the_node_earned_spent_and_holds(node: HouseNode) -> None:
    answer = asked(node, "revenue-dashboard", 30)
    period, health = answer["period"], answer["financial_health"]
    assert period["total_forwards"] == 24
    assert period["gross_revenue_sats"] == round(24 * FEE_MSAT / 1000)
    assert period["rebalance_cost_sats"] == 360
    assert period["opening_cost_sats"] > 3_000
    assert health["net_profit_sats"] == period["gross_revenue_sats"] - period["opex_sats"]
    funds = node.call("listfunds")
    onchain = sum(o["amount_msat"] for o in funds["outputs"] if o["status"] == "confirmed")
    local = sum(c["our_amount_msat"] for c in funds["channels"])
    assert health["tlv_sats"] == round((onchain + local) / 1000)
    (bleeder,) = answer["bleeder_warnings"]
    assert bleeder["channel_id"] == node.world.channels[ids_of(node)[3]].scid
    assert (bleeder["spent"], bleeder["earned"]) == (360, 0)
    assert str(bleeder["channel_id"]) in answer["warnings"][0]
    assert answer["covers"]["days"] == pytest.approx(3.0, abs=1.0)


def test_windows_are_whole_days_in_utc(node: HouseNode) -> None:
    month, day = asked(node, "revenue-dashboard"), asked(node, "revenue-dashboard", 1)
    assert month["period"]["window_days"] == 30
    since = int(node.now_s // DAY_S - 1) * 86_400
    assert day["covers"]["from"] == since
    world_fees = sum(
        row["fee_msat"] for row in node.call("listforwards")["forwards"]
        if row["resolved_time"] >= since
    )  # fmt: skip
    assert day["period"]["gross_revenue_sats"] == round(world_fees / 1000)
    assert day["period"]["total_forwards"] < month["period"]["total_forwards"]


def test_every_report_agrees_with_the_others(node: HouseNode) -> None:
    history = asked(node, "revenue-history")
    costs = asked(node, "revenue-report", "costs")
    summary = asked(node, "revenue-report", "summary")
    profit = asked(node, "revenue-profitability")
    net = history["lifetime_net_profit_sats"]
    assert summary["lifetime"]["net_profit_sats"] == net
    assert profit["lifetime_all_channels"]["net_profit_sats"] == net
    assert costs["all_costs"]["total_sats"] == history["lifetime_total_costs_sats"]
    assert sum(row["net_profit_sats"] for row in profit["channels"]) == pytest.approx(net, abs=4)
    assert summary["type"] == "summary" and summary["channels"]["open"] == 4
    assert summary["policies"]["total"] == 0
    classes = profit["channels_by_class"]
    assert sum(map(len, classes.values())) == profit["summary"]["total_channels"] == 4
    assert asked(node, "revenue-report") == {**summary, "generated_at": int(node.now_s)}


def test_a_02_report_peer_works(node: HouseNode) -> None:
    alice = node.world.channels[ids_of(node)[0]].peer_id
    node.call("revenue-policy", ["set", alice, "strategy=hive"])
    answer = asked(node, "revenue-report", "peer", alice)
    assert answer["type"] == "peer" and answer["peer_id"] == alice
    assert answer["policy"]["strategy"] == "hive"
    inbound = answer["profitability"]["inbound_flow"]
    assert inbound["payment_count"] == 24
    assert inbound["contribution_to_other_channels_sats"] == round(24 * FEE_MSAT / 1000)
    assert answer["profitability"]["channel_role"] == "inbound_gateway"
    assert answer["flow_state"]["channel_id"] == ids_of(node)[0]
    hive = asked(node, "revenue-report", "hive")
    assert (hive["type"], hive["count"], hive["peers"][0]["peer_id"]) == ("hive", 1, alice)
    policies = asked(node, "revenue-report", "policies")
    assert policies["by_strategy"] == {"hive": 1}
    assert asked(node, "revenue-report", "peer", "02" + "77" * 32)["profitability"] is None


def test_reconcile_agrees_to_the_millisatoshi(node: HouseNode) -> None:
    answer = asked(node, "revenue-report", "reconcile")
    assert answer["balanced"] is True
    assert answer["unexplained_msat"] == 0
    assert all(row["remainder_msat"] in (0, None) for row in answer["rows"])
    assert "agree to the millisatoshi" in answer["in_words"][0]


def test_a_closed_channel_is_reported_as_open_ones_are(node: HouseNode) -> None:
    world, gone = node.world, ids_of(node)[3]
    scid = str(world.channels[gone].scid)
    world.close(gone)
    node.wait_s(60.0)
    world.mine(6)
    node.wait_s(HOUR_S)
    world.mine(120)
    node.wait_s(3 * HOUR_S)
    answer = asked(node, "revenue-report", "channel", scid)
    assert answer["status"] == "closed"
    assert answer["profitability"]["rebalance_cost_sats"] == 360
    assert answer["profitability"]["closure_cost_sats"] > 0
    assert {row["what"] for row in answer["chain_costs"]} == {"opening", "closure"}
    assert answer["closed"]["close_type"] == "mutual"
    assert answer["closed"]["closer"] == "local"
    assert answer["closed"]["archived"] is True, "it archives by itself"
    one = asked(node, "revenue-profitability", gone)
    assert one["channel_id"] == scid
    assert one["profitability"]["status"] == "closed"
    history = asked(node, "revenue-history")["closed_channels_summary"]
    assert (history["channel_count"], history["archived_count"]) == (1, 1)
    assert history["total_rebalance_costs"] == 360
    again = asked(node, "revenue-cleanup-closed")
    assert (again["archived"], again["channels"], again["errors"]) == (0, [], [])
    assert "message" in again
    record = json.loads(node.query("SELECT body FROM closed_channel")[0][0])
    assert (record["close_type"], record["rebalance_msat"]) == ("mutual", 360_000)
    before = node.query("SELECT * FROM closed_channel")
    node.restart()
    node.settle()
    node.wait_s(3 * HOUR_S)
    assert node.query("SELECT * FROM closed_channel") == before


def test_b_25_the_capacity_report_changes_nothing_and_knows_pi(node: HouseNode) -> None:
    tables = ("flow_state", "flow_header", "fee_state", "fee_demand", "closed_channel")
    before = {name: node.query(f"SELECT * FROM {name}") for name in tables}
    written = node.calls.get("setchannel", 0)
    answers = [asked(node, "revenue-capacity-report") for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert {name: node.query(f"SELECT * FROM {name}") for name in tables} == before
    assert node.calls.get("setchannel", 0) == written
    assert answers[0]["mempool_recommendation"].startswith("PROCEED")
    assert answers[0]["channels_considered"] == 4
    kept = node.life.house.core.post.retained([_stock_curves()])
    peers = {channel.peer_id for channel in node.world.channels.values()}
    assert set(kept[0].curves) == peers  # type: ignore[attr-defined]


def _stock_curves() -> Any:
    from messages.rebalance import StockCurves

    return StockCurves


@pytest.mark.parametrize(
    "words",
    [
        ["revenue-dashboard", "format=text"], ["revenue-dashboard", 7, "text"],
        ["revenue-history", "format=text"], ["revenue-profitability", "format=text"],
        ["revenue-report", "summary", "format=text"], ["revenue-report", "costs", "text"],
        ["revenue-report", "policies", "text"], ["revenue-report", "hive", "text"],
        ["revenue-report", "reconcile", "format=text"],
    ],
    ids=lambda words: "-".join(map(str, words)),
)  # fmt: skip
def test_text_is_what_lightning_cli_prints(node: HouseNode, words: list[Any]) -> None:
    answer = asked(node, *words)
    assert set(answer) == {"format-hint", "text"}
    text = shown(answer)
    assert text == answer["text"]
    assert all(len(line) <= 100 for line in text.split("\n"))
    assert text.isascii() and "\\" not in text and '"' not in text


def test_peers_are_called_by_their_aliases(node: HouseNode) -> None:
    answer = asked(node, "revenue-profitability")
    assert sorted(row["alias"] for row in answer["channels"]) == ["alice", "bob", "carol", "dave"]
    assert node.calls["listnodes"] <= 8, "asked about each peer once"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["revenue-dashboard", 0], "from 1 to 3650"),
        (["revenue-dashboard", 3651], "from 1 to 3650"),
        (["revenue-dashboard", "soon"], "from 1 to 3650"),
        (["revenue-dashboard", 7, "html"], "json, text"),
        (["revenue-history", 1], "json, text"),
        (["revenue-report", "nothing"], "report_type must be one of"),
        (["revenue-report", "peer"], "peer_id is missing"),
        (["revenue-report", "peer", "me"], "peer_id must be a node id"),
        (["revenue-report", "channel"], "channel_id is missing"),
        (["revenue-report", "channel", "1x1x1"], "no channel 1x1x1"),
        (["revenue-report", "summary", "json", "more"], "too many arguments"),
        (["revenue-profitability", "x"], "channel_id must be"),
        (["revenue-profitability", "1x1x1"], "no channel 1x1x1"),
        (["revenue-capacity-report", 1], "takes no arguments"),
        (["revenue-cleanup-closed", "all"], "takes no arguments"),
    ],
    ids=lambda words: "-".join(map(str, words)) if isinstance(words, list) else "",
)
def test_bad_input_is_refused_in_one_line(node: HouseNode, words: list[Any], says: str) -> None:
    with pytest.raises(SimRpcError) as refused:
        node.call(words[0], words[1:])
    assert refused.value.code == -32602
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_while_the_node_does_not_tell_its_balances_the_rest_is_answered(node: HouseNode) -> None:
    node.reachable = False
    answer = asked(node, "revenue-dashboard")
    assert answer["financial_health"]["onchain_sats"] is None
    assert answer["financial_health"]["tlv_sats"] is None
    assert answer["period"]["total_forwards"] == 24
    assert any("could not be read from the node" in line for line in answer["warnings"])
    capacity = asked(node, "revenue-capacity-report")
    assert capacity["mempool_recommendation"].startswith("UNKNOWN")
    assert "net worth" in asked(node, "revenue-dashboard", "format=text")["text"].lower()


def test_a_node_that_is_away_for_hours_crashes_nothing() -> None:
    with house_node(start=False) as node:
        for name in ("alice", "bob"):
            node.open(name, 10_000_000, 5_000_000)
        node.start()
        node.settle()
        node.reachable = False
        node.wait_s(2 * HOUR_S)
        node.call("revenue-cleanup-closed")
        assert node.status()["actors"]["reporter"]["restarts"] == 0
        node.reachable = True
        node.world.close(next(iter(node.world.channels)))
        node.world.mine(6)
        node.wait_s(HOUR_S)
        node.world.mine(120)
        node.wait_s(60.0)
        node.fault("error", "listclosedchannels")
        answer = asked(node, "revenue-cleanup-closed")
        assert answer["archived"] + len(answer["waiting"]) + len(answer["errors"]) > 0
        assert node.status()["actors"]["reporter"]["restarts"] == 0


def test_before_the_channels_were_read_no_report_is_made() -> None:
    with house_node(start=False) as node:
        node.reachable = False
        node.start()
        node.settle()
        answer = node.call("revenue-history")
        assert answer["status"] == "error"
        assert answer["success"] is False


def test_b_14_revenue_and_costs_of_a_window_cover_the_same_days_whatever_was_let_go() -> None:
    with house_node(start=False) as node:
        for name in ("alice", "bob"):
            node.open(name, 10_000_000, 5_000_000)
        node.start()
        node.settle()
        node.call("revenue-config", ["set", "settled_forward_retention_days", 30])
        incoming, outgoing = list(node.world.channels)[:2]
        for _ in range(3):
            node.world.forward(incoming, outgoing, 10**7, 10**7 + FEE_MSAT, node.now_s)
            node.wait_s(HOUR_S)
        node.wait_s(40 * DAY_S)
        assert node.query("SELECT count(*) FROM forward_log") == [(0,)]
        period = asked(node, "revenue-dashboard", 60)["period"]
        assert period["total_forwards"] == 3
        assert period["gross_revenue_sats"] == round(3 * FEE_MSAT / 1000)
        assert asked(node, "revenue-dashboard", 7)["period"]["total_forwards"] == 0
