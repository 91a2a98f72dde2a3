"""The node port against a real socket: what is asked, what is understood, what is never sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.adapters.capabilities import REPROBE_AFTER_S, Capabilities
from cl_revenue_ops.adapters.node import LightningNode
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.ports import (
    FeeSet,
    GossipChannel,
    MalformedReply,
    Node,
    NodeInfo,
    NodeRefused,
    StaleGeneration,
    TimedOut,
    Unavailable,
    WriteRefused,
)
from messages.forwards import ForwardIndexes
from tests.unit.test_adapter_server import Bench, Step, a_bench, hang_up, refusal, result

PEER = "0381" + "ab" * 31
OTHER = "0200" + "cd" * 31
CHANNEL = "aa4e" * 16
UNKNOWN_PARAMETER = refusal(-32602, "unknown parameter: index")


class Desk:
    """A LightningNode on a bench, with its gate open."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.gate = WriteGate()
        self.gate.open("starting")
        self.capabilities = Capabilities(bench.clock)
        self.left_out = Tally()
        self.node: Node = LightningNode(
            bench.rpc, self.gate, bench.lease, self.capabilities, self.left_out
        )

    def script(self, *steps: Step) -> None:
        """What the node will answer, in turn; everything after that is a lost connection."""
        self.bench.node.steps = list(steps)

    @property
    def asked(self) -> list[tuple[str, dict[str, Any]]]:
        """Method and parameters of each request so far."""
        return [(request["method"], request["params"]) for request in self.bench.node.requests]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_bench(tmp_path) as bench:
        yield Desk(bench)


def row(number: int, **changes: object) -> dict[str, Any]:
    """A settled forward with this created_index."""
    good = {
        "created_index": number,
        "updated_index": number + 100,
        "in_channel": "103x1x0",
        "in_htlc_id": number,
        "out_channel": "105x1x0",
        "in_msat": 1010,
        "out_msat": 1000,
        "fee_msat": 10,
        "status": "settled",
        "received_time": 1795355619.5,
        "resolved_time": 1795355620.5,
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


def page(*rows: object) -> Step:
    return result({"forwards": list(rows)})


def fee_reply(**changes: object) -> Step:
    entry = {
        "peer_id": PEER,
        "channel_id": CHANNEL,
        "short_channel_id": "103x1x0",
        "fee_base_msat": 0,
        "fee_proportional_millionths": 250,
        "minimum_htlc_out_msat": 1,
        "maximum_htlc_out_msat": 990_000_000,
    }
    return result({"channels": [{**entry, **changes}]})


# -- writing -----------------------------------------------------------------------------------


def test_a_fee_is_set_by_channel_id_with_the_generation_held(desk: Desk) -> None:
    held: list[bool] = []

    def note(sock: Any, request: dict[str, Any]) -> None:
        held.append(desk.bench.lease.in_effect)
        fee_reply()(sock, request)

    desk.script(note)
    assert desk.node.set_fee(CHANNEL, 0, 250) == FeeSet(CHANNEL, 0, 250)
    assert desk.asked == [("setchannel", {"id": CHANNEL, "feebase": 0, "feeppm": 250})]
    assert held == [True]
    assert not desk.bench.lease.in_effect


def test_a_closed_gate_lets_nothing_out(desk: Desk) -> None:
    desk.gate.close("paused", "by the operator")
    desk.gate.close("sync", "the node is behind")
    with pytest.raises(WriteRefused, match="paused: by the operator; sync: the node is behind"):
        desk.node.set_fee(CHANNEL, 0, 250)
    assert desk.bench.node.connections == 0
    desk.gate.open("paused")
    with pytest.raises(WriteRefused):
        desk.node.set_fee(CHANNEL, 0, 250)
    assert desk.bench.node.connections == 0


def test_a_gate_that_closes_while_we_connect_lets_nothing_out(desk: Desk) -> None:
    desk.bench.lease.before_effect = lambda: desk.gate.close("paused", "just now")
    with pytest.raises(WriteRefused, match="just now"):
        desk.node.set_fee(CHANNEL, 0, 250)
    desk.bench.node.settle()
    assert desk.asked == []


def test_a_replaced_incarnation_writes_nothing(desk: Desk) -> None:
    def replaced() -> None:
        desk.bench.lease.stale = True

    desk.bench.lease.before_effect = replaced
    with pytest.raises(StaleGeneration):
        desk.node.set_fee(CHANNEL, 0, 250)
    connections = desk.bench.node.connections
    with pytest.raises(StaleGeneration):
        desk.node.set_fee(CHANNEL, 0, 250)
    desk.bench.node.settle()
    assert desk.asked == []
    assert desk.bench.node.connections == connections


@pytest.mark.parametrize("target", ["all", PEER, "103x1x0", "", CHANNEL.upper()])
def test_only_a_channel_id_names_a_channel_to_write(desk: Desk, target: str) -> None:
    with pytest.raises(ValueError, match="not a channel_id"):
        desk.node.set_fee(target, 0, 250)
    assert desk.bench.node.connections == 0


@pytest.mark.parametrize("fee", [(-1, 1), (0, -1), (2**32, 1), (0, 2**32)])
def test_fees_beyond_the_protocol_are_not_sent(desk: Desk, fee: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a fee"):
        desk.node.set_fee(CHANNEL, *fee)
    assert desk.bench.node.connections == 0


@pytest.mark.parametrize(
    "step",
    [
        fee_reply(channel_id="bb" * 32),
        fee_reply(fee_base_msat=1),
        fee_reply(fee_proportional_millionths=251),
        fee_reply(fee_proportional_millionths="250"),
        fee_reply(fee_base_msat=None),
        result({"channels": []}),
        result({"channels": [None]}),
        result({"channels": {}}),
        result({}),
    ],
)
def test_a_fee_that_is_not_confirmed_is_no_success(desk: Desk, step: Step) -> None:
    desk.script(step)
    with pytest.raises(MalformedReply):
        desk.node.set_fee(CHANNEL, 0, 250)


def test_a_second_channel_in_the_answer_is_no_success(desk: Desk) -> None:
    entry = {"channel_id": CHANNEL, "fee_base_msat": 0, "fee_proportional_millionths": 250}
    desk.script(result({"channels": [entry, {**entry, "channel_id": "bb" * 32}]}))
    with pytest.raises(MalformedReply):
        desk.node.set_fee(CHANNEL, 0, 250)


def test_a_refused_or_unanswered_write_says_which(desk: Desk) -> None:
    desk.script(refusal(-32602, "Channel is in state CLOSINGD_COMPLETE"), hang_up)
    with pytest.raises(NodeRefused, match="CLOSINGD_COMPLETE"):
        desk.node.set_fee(CHANNEL, 0, 250)
    with pytest.raises(TimedOut):
        desk.node.set_fee(CHANNEL, 0, 250)


# -- forwards ----------------------------------------------------------------------------------


def test_pages_follow_each_other_by_index(desk: Desk) -> None:
    desk.script(page(row(5), row(9)), page(row(12)), page())
    first = desk.node.forwards("created", 5, 2)
    assert [forward.in_htlc_id for forward in first.rows] == [5, 9]
    assert (first.next_start, first.last, first.malformed) == (10, False, 0)
    second = desk.node.forwards("created", 10, 2)
    assert (second.next_start, second.last) == (13, True)
    empty = desk.node.forwards("created", 13, 2)
    assert empty == ((), 13, True, 0)
    assert desk.asked[0] == ("listforwards", {"index": "created", "start": 5, "limit": 2})


def test_pages_by_update_follow_the_other_index(desk: Desk) -> None:
    desk.script(page(row(5), row(9)))
    assert desk.node.forwards("updated", 0, 2).next_start == 110


def test_malformed_rows_are_counted_and_passed_over(desk: Desk) -> None:
    bad = row(7, in_msat="much")
    desk.script(page(row(5), None, bad), page(bad, 3))
    first = desk.node.forwards("created", 0, 3)
    assert [forward.in_htlc_id for forward in first.rows] == [5]
    assert (first.next_start, first.last, first.malformed) == (8, False, 2)
    second = desk.node.forwards("created", 7, 2)
    assert (second.rows, second.next_start, second.malformed) == ((), 8, 2)
    assert desk.left_out.counts() == {"listforwards": 4}


def test_a_last_page_without_a_readable_index_keeps_the_cursor(desk: Desk) -> None:
    desk.script(page(None))
    assert desk.node.forwards("created", 7, 2) == ((), 7, True, 1)


def test_a_full_page_that_leads_nowhere_is_malformed(desk: Desk) -> None:
    desk.script(page(row(1), row(2)), page(None, None), result({"forwards": {}}))
    for _ in range(3):
        with pytest.raises(MalformedReply):
            desk.node.forwards("created", 5, 2)


def test_a_node_without_paging_gives_its_whole_list(desk: Desk) -> None:
    old = [row(n, created_index=None, updated_index=None) for n in range(3)]
    desk.script(UNKNOWN_PARAMETER, page(*old), page(*old), page(row(4)))
    for _ in range(2):
        whole = desk.node.forwards("created", 0, 1)
        assert len(whole.rows) == 3
        assert (whole.next_start, whole.last) == (0, True)
    assert [params for _, params in desk.asked[1:]] == [{}, {}]
    assert desk.node.forward_indexes() == ForwardIndexes(None, None)
    desk.bench.clock.now_s += REPROBE_AFTER_S
    assert desk.node.forwards("created", 0, 1).next_start == 5
    assert len(desk.asked) == 4


def test_a_node_that_ignores_the_index_gives_its_whole_list(desk: Desk) -> None:
    old = [row(n, created_index=None, updated_index=None) for n in range(3)]
    desk.script(page(*old), page(*old))
    whole = desk.node.forwards("created", 0, 1)
    assert (len(whole.rows), whole.last) == (3, True)


def test_other_refusals_of_a_page_are_passed_on(desk: Desk) -> None:
    desk.script(refusal(-1, "database is locked"), page(row(1)))
    with pytest.raises(NodeRefused):
        desk.node.forwards("created", 0, 10)
    assert len(desk.node.forwards("created", 0, 10).rows) == 1


def test_the_newest_indexes_are_asked_for_without_waiting(desk: Desk) -> None:
    desk.script(
        result({"subsystem": "forwards", "created": 12, "forwards": {"status": "settled"}}),
        result({"subsystem": "forwards", "updated": 0}),
    )
    assert desk.node.forward_indexes() == ForwardIndexes(12, 0)
    assert desk.asked == [
        ("wait", {"subsystem": "forwards", "indexname": name, "nextvalue": 0})
        for name in ("created", "updated")
    ]


@pytest.mark.parametrize("code", [-32601, -32602])
def test_a_node_that_cannot_wait_has_no_indexes(desk: Desk, code: int) -> None:
    desk.script(refusal(code, "no"))
    for _ in range(2):
        assert desk.node.forward_indexes() == ForwardIndexes(None, None)
    assert len(desk.asked) == 1


def test_a_wrong_index_is_malformed_and_other_refusals_pass(desk: Desk) -> None:
    desk.script(result({"created": "12"}), refusal(-1, "no"))
    with pytest.raises(MalformedReply):
        desk.node.forward_indexes()
    with pytest.raises(NodeRefused):
        desk.node.forward_indexes()


# -- channels, gossip, the node itself ---------------------------------------------------------


def channel(**changes: object) -> dict[str, Any]:
    base = {"peer_id": PEER, "peer_connected": True, "state": "CHANNELD_NORMAL"}
    return {**base, "channel_id": CHANNEL, **changes}


def test_channels_come_in_any_state_and_wrong_ones_are_counted(desk: Desk) -> None:
    opening = {"peer_id": OTHER, "peer_connected": True, "state": "OPENINGD"}
    wrong = channel(channel_id="bb" * 32, to_us_msat="plenty")
    onchain = channel(channel_id="cc" * 32, state="ONCHAIN")
    desk.script(result({"channels": [channel(), opening, wrong, None, onchain]}))
    facts = desk.node.channels().facts
    assert [fact.state for fact in facts] == ["CHANNELD_NORMAL", "ONCHAIN"]
    assert desk.left_out.counts() == {"listpeerchannels": 2}


def test_only_an_opening_may_lack_a_channel_id(desk: Desk) -> None:
    def nameless(state: object) -> dict[str, Any]:
        return {"peer_id": OTHER, "peer_connected": True, "state": state}

    states = ("OPENINGD", "DUALOPEND_OPEN_INIT", "CHANNELD_NORMAL", "DUALOPEND_AWAITING_LOCKIN", 5)
    desk.script(result({"channels": [channel(), *map(nameless, states)]}))
    reading = desk.node.channels()
    assert (len(reading.facts), reading.malformed) == (1, 3)


def test_slots_ask_for_little_and_understand_much(desk: Desk) -> None:
    """The second answer is that of a node which ignores the filter."""
    htlcs = [{"direction": "out"}, {"direction": "in"}, {"direction": "out"}]
    opening = {"peer_id": OTHER, "peer_connected": True, "state": "OPENINGD"}
    small = [{"channel_id": CHANNEL, "htlcs": htlcs}, {"channel_id": "bb" * 32}, {}]
    large = [channel(htlcs=htlcs), channel(channel_id="bb" * 32, htlcs=[]), opening]
    desk.script(result({"channels": small}), result({"channels": large}))
    for _ in range(2):
        assert desk.node.slots() == {CHANNEL: 2, "bb" * 32: 0}
    wanted = {"channels": [{"channel_id": True, "htlcs": [{"direction": True}]}]}
    assert [request["filter"] for request in desk.bench.node.requests] == [wanted, wanted]


def test_a_refused_filter_is_left_out_from_then_on(desk: Desk) -> None:
    desk.script(refusal(-32600, "unexpected member"), *[result({"channels": []})] * 2)
    for _ in range(2):
        assert desk.node.slots() == {}
    assert ["filter" in request for request in desk.bench.node.requests] == [True, False, False]


def test_a_refusal_that_is_not_about_the_filter_does_not_end_it(desk: Desk) -> None:
    desk.script(refusal(-32602, "bad id"), refusal(-32602, "bad id"), result({"channels": []}))
    with pytest.raises(NodeRefused):
        desk.node.channels_to(PEER)
    desk.node.slots()
    assert "filter" in desk.bench.node.requests[2]


def test_gossip_is_asked_for_one_destination_only(desk: Desk) -> None:
    seen = {
        "source": OTHER,
        "destination": PEER,
        "short_channel_id": "7x8x9",
        "amount_msat": 5_000_000,
        "active": True,
        "base_fee_millisatoshi": 1000,
        "fee_per_millionth": 42,
    }
    desk.script(result({"channels": [seen, {**seen, "fee_per_millionth": None}]}))
    assert desk.node.channels_to(PEER) == (
        GossipChannel(OTHER, PEER, "7x8x9", 5_000_000, True, 1000, 42),
    )
    assert desk.asked == [("listchannels", {"destination": PEER})]
    assert desk.left_out.counts() == {"listchannels": 1}
    with pytest.raises(ValueError, match="not a node id"):
        desk.node.channels_to("")
    assert len(desk.asked) == 1


def test_the_node_introduces_itself(desk: Desk) -> None:
    info = {
        "id": PEER,
        "network": "regtest",
        "version": "v23.05",
        "blockheight": 7,
        "fees_collected_msat": 3,
    }
    desk.script(result(info), result({**info, "blockheight": None}))
    assert desk.node.info() == NodeInfo(PEER, "regtest", "v23.05", 7, None, 3)
    with pytest.raises(MalformedReply):
        desk.node.info()


# -- feerates ----------------------------------------------------------------------------------


def estimates(*rows: object, **others: object) -> Step:
    return result({"perkb": {"floor": 1012, "estimates": list(rows), **others}})


def estimate(blocks: object, feerate: object) -> dict[str, object]:
    return {"blockcount": blocks, "feerate": feerate, "smoothed_feerate": 1}


def test_the_feerate_is_the_newest_estimate_for_about_an_hour(desk: Desk) -> None:
    table = [estimate(100, 2000), estimate(12, 5000), estimate(2, 15_000), estimate(6, 10_500)]
    desk.script(estimates(*table, opening=77), estimates(*(row for row in table[:3])))
    assert desk.node.feerate_sat_per_vb() == 10.5
    assert desk.node.feerate_sat_per_vb() == 5.0
    assert desk.asked == [("feerates", {"style": "perkb"})] * 2


@pytest.mark.parametrize(
    "step",
    [
        estimates(),
        estimates(estimate(2, 15_000), estimate(5, 12_000)),
        estimates(estimate(25, 2000), estimate(100, 2000)),
        result({"perkb": {"floor": 1012}, "warning_missing_feerates": "none yet"}),
        result({"perkb": {"floor": 1012, "estimates": None}}),
    ],
)
def test_without_an_estimate_there_is_no_feerate(desk: Desk, step: Step) -> None:
    """Neither haste nor a day's patience stands in: the levels differ, and a change of kind would
    look like a spike."""
    desk.script(step)
    assert desk.node.feerate_sat_per_vb() is None
    assert desk.left_out.counts() == {}


@pytest.mark.parametrize(
    "row",
    [
        None,
        {},
        estimate("6", 10_000),
        estimate(6, "10000"),
        estimate(6, 10_000.5),
        estimate(6, True),
        estimate(6, 0),
        estimate(6, -5),
        estimate(6, 2**32),
        estimate(0, 10_000),
        estimate(None, 10_000),
    ],
    ids=str,
)
def test_a_malformed_estimate_is_left_out_and_counted(desk: Desk, row: object) -> None:
    desk.script(estimates(row, estimate(12, 5000)), estimates(row))
    assert desk.node.feerate_sat_per_vb() == 5.0
    assert desk.node.feerate_sat_per_vb() is None
    assert desk.left_out.counts() == {"feerates": 2}


@pytest.mark.parametrize(
    "reply",
    [{}, {"perkw": {"estimates": []}}, {"perkb": 5}, {"perkb": []}, {"perkb": {"estimates": {}}}],
    ids=str,
)
def test_a_reply_without_a_table_is_malformed(desk: Desk, reply: dict[str, object]) -> None:
    desk.script(result(reply))
    with pytest.raises(MalformedReply, match="feerates"):
        desk.node.feerate_sat_per_vb()


def test_a_node_that_refuses_or_does_not_answer_is_passed_on(desk: Desk) -> None:
    desk.script(refusal(-1, "not now"), hang_up)
    with pytest.raises(NodeRefused):
        desk.node.feerate_sat_per_vb()
    with pytest.raises(TimedOut):
        desk.node.feerate_sat_per_vb()


def test_a_node_that_was_away_is_tried_anew(desk: Desk) -> None:
    desk.script(UNKNOWN_PARAMETER, page())
    desk.node.forwards("created", 0, 10)
    away = LightningNode(
        desk.bench.client(desk.bench.node.path + ".gone"),
        desk.gate,
        desk.bench.lease,
        desk.capabilities,
        desk.left_out,
    )
    with pytest.raises(Unavailable):
        away.info()
    desk.script(page(row(3)))
    assert desk.node.forwards("created", 0, 10).next_start == 4
