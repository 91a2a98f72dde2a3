"""What happens to channels: a peer goes and comes, a splice, a close; in this order on one line."""

from __future__ import annotations

import pytest

from tests.node.line import Line, Row, wait_for
from tests.node.wire import RpcError

LOCK_BLOCKS, FORGET_BLOCKS = 6, 101


def shown(line: Line, channel_id: str) -> Row | None:
    """The channel in revenue-status."""
    rows = line.status()["channel_states"]
    return next((row for row in rows if row["full_channel_id"] == channel_id), None)


def test_a_peer_that_goes_and_comes_is_seen(line: Line) -> None:
    channel_id = line.outgoing["channel_id"]

    def connected() -> object:
        row = shown(line, channel_id)
        return None if row is None else row["connected"]

    line.disconnect_payee()
    wait_for(lambda: connected() is False, "the peer shown as away")
    assert line.status()["safe_mode"] is False
    line.reconnect_payee()
    wait_for(lambda: connected() is True, "the peer shown as connected")
    line.pay(100_000)
    line.wait_counted()


def test_a_channel_is_itself_through_a_splice(line: Line) -> None:
    before = line.outgoing
    old_scid, channel_id = before["short_channel_id"], before["channel_id"]
    line.pay(11_000_000)
    line.call("revenue-set-fee", [old_scid, 444])
    line.splice_in(200_000)
    wait_for(lambda: line.outgoing["state"] == "CHANNELD_AWAITING_SPLICE", "the splice")
    line.pay(22_000_000)
    line.wait_counted()
    state = wait_for(lambda: shown(line, channel_id), "the channel in revenue-status")
    assert state["scid"] == old_scid
    line.mine(LOCK_BLOCKS)
    wait_for(lambda: line.outgoing["short_channel_id"] != old_scid, "the new scid")
    wait_for(line.usable, "the spliced channel")
    new_scid = line.outgoing["short_channel_id"]
    assert line.outgoing["channel_id"] == channel_id
    line.pay(33_000_000)
    line.wait_counted()
    filed = {row["out_channel"] for row in line.forwards("settled")}
    assert {old_scid, new_scid} <= filed
    row = wait_for(lambda: _named(line, channel_id, new_scid), "the new scid in revenue-status")
    assert row["capacity"] == before["total_msat"] // 1000 + 200_000
    line.call("revenue-analyze")
    answers = [line.call("revenue-analyze", [name]) for name in (old_scid, new_scid, channel_id)]
    assert [answer["channel"] for answer in answers] == [new_scid] * 3
    analysis = answers[0]["analysis"]
    assert analysis["forward_count"] == line.tally.settled
    assert analysis["sats_out"] == line.tally.volume_msat // 1000


def _named(line: Line, channel_id: str, scid: str) -> Row | None:
    row = shown(line, channel_id)
    return row if row is not None and row["scid"] == scid else None


def test_a_fee_can_be_set_by_the_scid_from_before_the_splice(line: Line) -> None:
    filed = {row["out_channel"] for row in line.forwards("settled")}
    (old_scid,) = filed - {line.outgoing["short_channel_id"]}
    answer = line.call("revenue-set-fee", [old_scid, 456])
    assert answer["channel"] == line.outgoing["short_channel_id"]
    assert line.outgoing["fee_proportional_millionths"] == 456
    wait_for(lambda: line.neighbours_view_ppm() == 456, "456 ppm in gossip of the new scid")


def test_the_splice_outlives_a_kill(line: Line) -> None:
    line.kill_plugin()
    line.start_plugin()
    line.wait_counted()
    filed = {row["out_channel"] for row in line.forwards("settled")}
    new_scid = line.outgoing["short_channel_id"]
    for scid in filed:
        answer = line.call("revenue-analyze", [scid])
        assert answer["channel"] == new_scid
    assert answer["analysis"]["forward_count"] == line.tally.settled


def test_a_closed_channel_leaves_and_its_forwards_stay(line: Line) -> None:
    channel = line.outgoing
    scid, channel_id = channel["short_channel_id"], channel["channel_id"]
    line.close_to_payee()
    wait_for(lambda: _closing(line, channel_id), "a channel that is no longer shown as usable")
    with pytest.raises(RpcError) as refused:
        line.call("setchannel", {"id": channel_id, "feeppm": 1})
    assert refused.value.code == -32602
    answer = line.call("revenue-set-fee", [scid, 300])
    assert (answer["status"], answer["success"]) == ("error", False)
    line.mine(FORGET_BLOCKS)
    wait_for(lambda: shown(line, channel_id) is None, "the channel's end in revenue-status")
    for method in ("revenue-analyze", "revenue-fee-debug"):
        with pytest.raises(RpcError) as closed:
            line.call(method, [scid])
        assert closed.value.code == -32602
        assert "closed" in closed.value.message
    line.wait_counted()
    assert line.status()["safe_mode"] is False
    line.stop_plugin()
    line.start_plugin()
    line.wait_counted()


def _closing(line: Line, channel_id: str) -> bool:
    row = shown(line, channel_id)
    return row is None or row["channel_state"] not in ("CHANNELD_NORMAL", "CHANNELD_SHUTTING_DOWN")
