"""What the plugin reads of the node: the same fields, types and error codes on both kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.node.line import Line, Row
from tests.node.wire import RpcError

NUMBER, TEXT, FLAG, FLOAT = int, str, bool, float

CHANNEL = {
    "peer_id": TEXT,
    "peer_connected": FLAG,
    "reestablished": FLAG,
    "state": TEXT,
    "opener": TEXT,
    "private": FLAG,
    "short_channel_id": TEXT,
    "direction": NUMBER,
    "channel_id": TEXT,
    "funding_txid": TEXT,
    "funding_outnum": NUMBER,
    "lost_state": FLAG,
    "max_accepted_htlcs": NUMBER,
    "fee_base_msat": NUMBER,
    "fee_proportional_millionths": NUMBER,
    "total_msat": NUMBER,
    "to_us_msat": NUMBER,
    "spendable_msat": NUMBER,
    "receivable_msat": NUMBER,
    "our_reserve_msat": NUMBER,
    "their_reserve_msat": NUMBER,
    "minimum_htlc_out_msat": NUMBER,
    "maximum_htlc_out_msat": NUMBER,
    "in_payments_fulfilled": NUMBER,
    "out_fulfilled_msat": NUMBER,
}
UPDATE = {
    "htlc_minimum_msat": NUMBER,
    "htlc_maximum_msat": NUMBER,
    "cltv_expiry_delta": NUMBER,
    "fee_base_msat": NUMBER,
    "fee_proportional_millionths": NUMBER,
}
FORWARD = {
    "created_index": NUMBER,
    "in_channel": TEXT,
    "in_htlc_id": NUMBER,
    "in_msat": NUMBER,
    "out_channel": TEXT,
    "status": TEXT,
    "style": TEXT,
    "received_time": FLOAT,
}
SENT_ON = {"out_htlc_id": NUMBER, "out_msat": NUMBER, "fee_msat": NUMBER}
ENDED = {"updated_index": NUMBER, "resolved_time": FLOAT}
GOSSIP = {
    "source": TEXT,
    "destination": TEXT,
    "short_channel_id": TEXT,
    "amount_msat": NUMBER,
    "active": FLAG,
    "last_update": NUMBER,
    "base_fee_millisatoshi": NUMBER,
    "fee_per_millionth": NUMBER,
}
INFO = {"id": TEXT, "alias": TEXT, "version": TEXT, "network": TEXT, "blockheight": NUMBER}


def differences(row: Row, fields: Mapping[str, type]) -> list[str]:
    """The fields that are missing or of another type; a JSON bool is no number."""
    return [
        f"{name}: {row.get(name)!r}"
        for name, kind in fields.items()
        if type(row.get(name)) is not kind
    ]


def test_getinfo(line: Line) -> None:
    assert differences(line.call("getinfo"), INFO) == []


def test_listpeerchannels(line: Line) -> None:
    line.pay(1_000_000)
    for channel in (line.incoming, line.outgoing):
        assert differences(channel, CHANNEL) == []
        assert differences(channel["updates"]["local"], UPDATE) == []
        assert differences(channel["updates"]["remote"], UPDATE) == []
        assert isinstance(channel["htlcs"], list)
        assert set(channel["alias"]) == {"local", "remote"}
    assert line.call("listpeerchannels", {"id": "02" + "ab" * 32})["channels"] == []


def test_htlcs_in_flight_have_directions(line: Line) -> None:
    with line.held_payment(2_000_000):
        found = {
            (htlc["direction"], htlc["amount_msat"] >= 2_000_000)
            for channel in (line.incoming, line.outgoing)
            for htlc in channel["htlcs"]
        }
        assert found == {("in", True), ("out", True)}


def test_listforwards(line: Line) -> None:
    line.pay(1_000_000)
    line.pay(1_000_000, "failed")
    line.pay(1_000_000, "refused")
    settled, failed, refused = line.forwards()[-3:]
    for row in (settled, failed, refused):
        assert differences(row, FORWARD) == []
    for row in (settled, failed):
        assert differences(row, SENT_ON | ENDED) == []
        assert row["fee_msat"] == row["in_msat"] - row["out_msat"]
    # What the node refuses at once has no outgoing amount, no end and no update.
    assert not {*SENT_ON, *ENDED} & set(refused)
    assert (refused["out_channel"], refused["failreason"]) == ("1x1x1", "WIRE_UNKNOWN_NEXT_PEER")
    with line.held_payment(1_000_000):
        (offered,) = line.forwards("offered")
        assert differences(offered, FORWARD | SENT_ON) == []
        assert not {*ENDED} & set(offered)


def test_pages_of_forwards(line: Line) -> None:
    for number in range(4):
        line.pay(1_000 + number)
    rows = line.forwards()
    first = rows[-3]["created_index"]
    params = {"index": "created", "start": first, "limit": 2}
    page = line.call("listforwards", params)["forwards"]
    assert [row["created_index"] for row in page] == [first, first + 1]
    params = {"index": "updated", "start": rows[-1]["updated_index"], "limit": 5}
    assert [row["in_msat"] for row in line.call("listforwards", params)["forwards"]] == [
        rows[-1]["in_msat"]
    ]
    params = {"index": "created", "start": rows[-1]["created_index"] + 1, "limit": 5}
    assert line.call("listforwards", params)["forwards"] == []


def test_the_present_indexes(line: Line) -> None:
    rows = line.forwards()
    for name in ("created", "updated"):
        params = {"subsystem": "forwards", "indexname": name, "nextvalue": 0}
        newest = max(row.get(f"{name}_index", 0) for row in rows)
        assert line.call("wait", params) == {"subsystem": "forwards", name: newest}


def test_gossip(line: Line) -> None:
    rows = line.call("listchannels", {"destination": line.payee_id})["channels"]
    assert rows != []
    for row in rows:
        assert differences(row, GOSSIP) == []
        assert row["destination"] == line.payee_id


def test_feerates(line: Line) -> None:
    """Estimates may be missing; the table and its list may not."""
    reply = line.call("feerates", {"style": "perkb"})
    for row in reply["perkb"]["estimates"]:
        assert differences(row, {"blockcount": NUMBER, "feerate": NUMBER}) == []
        assert row["blockcount"] > 0 and row["feerate"] > 0
    assert reply["perkb"]["estimates"] or reply["warning_missing_feerates"]


def test_setchannel_reports_what_it_set(line: Line) -> None:
    channel_id = line.outgoing["channel_id"]
    (row,) = line.call("setchannel", {"id": channel_id, "feebase": 7, "feeppm": 70})["channels"]
    assert row["channel_id"] == channel_id
    assert (row["fee_base_msat"], row["fee_proportional_millionths"]) == (7, 70)
    update = line.outgoing["updates"]["local"]
    assert (update["fee_base_msat"], update["fee_proportional_millionths"]) == (7, 70)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("nothing-of-the-kind", {}, -32601),
        ("getinfo", {"stray": 1}, -32602),
        ("getinfo", 5, -32602),
        ("getinfo", None, -32602),
        ("setchannel", {"id": "1x1x1", "feeppm": 1}, -32602),
        ("setchannel", {"id": "OUT", "feeppm": -1}, -32602),
        ("setchannel", {"id": "OUT", "feeppm": 1.5}, -32602),
        ("setchannel", {"id": "OUT", "feeppm": 1 << 32}, -32602),
        ("listpeerchannels", {"id": "zz"}, -32602),
        ("listforwards", {"start": 1}, -32602),
        ("listforwards", {"index": "created", "start": 1, "in_channel": "OUT"}, -32602),
        ("delforward", {"in_channel": "OUT", "in_htlc_id": 9999, "status": "settled"}, 1401),
        ("delforward", {"in_channel": "OUT", "in_htlc_id": 9999, "status": "offered"}, -32602),
        ("listconfigs", {"config": "no-such-option"}, -32602),
        ("help", {"command": "nothing-of-the-kind"}, -32601),
        ("plugin", {"subcommand": "stop", "plugin": "nothing.py"}, -32602),
        ("plugin", {"subcommand": "start", "plugin": "/nothing.py"}, -32602),
    ],
)
def test_refusals_have_the_same_code(line: Line, method: str, params: Any, code: int) -> None:
    if isinstance(params, dict):
        scid = line.outgoing["short_channel_id"]
        params = {name: scid if value == "OUT" else value for name, value in params.items()}
    with pytest.raises(RpcError) as refused:
        line.call_as_is(method, params)
    assert refused.value.code == code
