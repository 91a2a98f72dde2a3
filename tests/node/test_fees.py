"""A fee set by hand stands on the node and in its neighbours' gossip, pinned until given back."""

from __future__ import annotations

import pytest

from tests.node.line import Line, Row, wait_for
from tests.node.wire import RpcError

KINDS = ("simulated", "elder", "real")


def set_fee(line: Line, ppm: object, *rest: object) -> Row:
    answer: Row = line.call("revenue-set-fee", [line.outgoing["short_channel_id"], ppm, *rest])
    return answer


def decision(line: Line) -> Row:
    """The last fee decision for the channel to the payee."""
    scid = line.outgoing["short_channel_id"]
    (row,) = line.call("revenue-fee-debug", {"channel_id": scid})["channels"]
    found: Row = row
    return found


def fee_of(channel: Row) -> tuple[int, int]:
    return channel["fee_base_msat"], channel["fee_proportional_millionths"]


def test_a_fee_set_by_hand_stands_on_the_node_and_in_gossip(line: Line) -> None:
    old_ppm = line.outgoing["fee_proportional_millionths"]
    answer = set_fee(line, 777)
    assert (answer["status"], answer["success"]) == ("success", True)
    assert (answer["old_fee_ppm"], answer["new_fee_ppm"]) == (old_ppm, 777)
    assert answer["channel"] == line.outgoing["short_channel_id"]
    assert "error" not in answer
    assert fee_of(line.outgoing) == (0, 777)
    wait_for(lambda: line.neighbours_view_ppm() == 777, "777 ppm in a neighbour's gossip")


def test_only_the_channel_that_was_named_changes(line: Line) -> None:
    before = fee_of(line.incoming)
    set_fee(line, 640)
    assert fee_of(line.incoming) == before


def test_payments_pay_the_fee_that_was_set(line: Line) -> None:
    set_fee(line, 1_000)
    assert line.fee_msat(5_000_000) == 5_000
    line.pay(5_000_000)
    line.wait_counted()


def test_a_sender_that_reads_gossip_pays_the_fee_that_was_set(line: Line) -> None:
    set_fee(line, 2_000)
    wait_for(lambda: line.neighbours_view_ppm() == 2_000, "2000 ppm in a neighbour's gossip")
    # A sender's router may lag behind what its node lists; the former fee is honoured meanwhile.
    wait_for(lambda: line.pay_by_gossip(3_000_000) == 6_000, "a sender that knows the fee")
    line.wait_counted()


def test_the_change_is_told(line: Line) -> None:
    set_fee(line, 500)
    set_fee(line, 501)
    newest = line.status()["recent_fee_changes"][0]
    assert newest["channel_id"] == line.outgoing["short_channel_id"]
    assert (newest["old_fee_ppm"], newest["new_fee_ppm"], newest["manual"]) == (500, 501, 1)
    assert "501" in newest["reason"]
    row = decision(line)
    assert (row["target_ppm"], row["by_hand"], row["outcome"]) == (501, True, "set")


def test_a_channel_may_be_named_by_its_peer_or_channel_id(line: Line) -> None:
    channel = line.outgoing
    for ppm, name in ((321, channel["peer_id"]), (322, channel["channel_id"])):
        line.call("revenue-set-fee", {"channel_id": name, "fee_ppm": ppm})
        assert line.outgoing["fee_proportional_millionths"] == ppm


def test_the_same_fee_again_writes_nothing(line: Line) -> None:
    set_fee(line, 450)
    changes = line.status()["recent_fee_changes"]
    answer = set_fee(line, 450)
    assert (answer["success"], answer["written"]) == (True, False)
    assert line.status()["recent_fee_changes"] == changes


@pytest.mark.parametrize("ppm", [0, 9, 5_001, 100_000])
def test_a_fee_out_of_range_needs_force(line: Line, ppm: int) -> None:
    set_fee(line, 300)
    with pytest.raises(RpcError) as refused:
        set_fee(line, ppm)
    assert refused.value.code == -32602
    assert "force" in refused.value.message
    assert fee_of(line.outgoing)[1] == 300
    answer = set_fee(line, ppm, True)
    assert answer["new_fee_ppm"] == ppm
    assert fee_of(line.outgoing)[1] == ppm
    wait_for(lambda: line.neighbours_view_ppm() == ppm, f"{ppm} ppm in a neighbour's gossip")


@pytest.mark.parametrize("ppm", [10, 5_000])
def test_the_ends_of_the_range_are_in_it(line: Line, ppm: int) -> None:
    set_fee(line, ppm)
    assert fee_of(line.outgoing)[1] == ppm


def test_a_pin_takes_back_what_another_writer_set(line: Line) -> None:
    set_fee(line, 888)
    line.call("setchannel", {"id": line.outgoing["channel_id"], "feeppm": 4})
    assert fee_of(line.outgoing)[1] == 4
    answer = set_fee(line, 888)
    assert (answer["old_fee_ppm"], answer["written"]) == (4, True)
    assert fee_of(line.outgoing)[1] == 888


def test_a_pin_outlives_a_stop_and_a_kill(line: Line) -> None:
    set_fee(line, 654)
    line.stop_plugin()
    line.start_plugin()
    line.kill_plugin()
    line.start_plugin()
    assert fee_of(line.outgoing)[1] == 654
    answer = set_fee(line, "auto")
    assert answer["success"] is True
    assert answer["pinned"] is False
    assert "again" in answer["message"]


def test_auto_gives_the_channel_back_once(line: Line) -> None:
    set_fee(line, 600)
    assert "again" in set_fee(line, "auto")["message"]
    assert "not pinned" in set_fee(line, "AUTO")["message"]


def test_a_fee_is_set_while_the_peer_is_away_or_refused_truthfully(line: Line) -> None:
    set_fee(line, 200)
    line.disconnect_payee()
    answer = set_fee(line, 210)
    stands = fee_of(line.outgoing)[1]
    assert answer["success"] is (stands == 210)
    assert ("error" in answer) is (stands != 210)
    line.reconnect_payee()
    wait_for(lambda: set_fee(line, 220)["success"], "a fee after the peer is back")
    assert fee_of(line.outgoing)[1] == 220


def test_dry_run_and_pause_write_nothing(line: Line) -> None:
    set_fee(line, 250)
    for key in ("dry_run", "paused"):
        line.call("revenue-config", ["set", key, True])
        answer = set_fee(line, 260)
        assert (answer["status"], answer["success"]) == ("error", False)
        assert answer["error"]
        assert fee_of(line.outgoing)[1] == 250
        line.call("revenue-config", ["reset", key])
    set_fee(line, 270)
    assert fee_of(line.outgoing)[1] == 270
