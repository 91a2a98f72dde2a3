"""The other parsers: live shapes old and new, single values, any JSON value without a raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cl_revenue_ops.adapters.parse import (
    parse_channel,
    parse_fee_set,
    parse_feerate_estimate,
    parse_forward,
    parse_gossip_channel,
    parse_info,
    parse_plugin,
    parse_slots,
)
from cl_revenue_ops.adapters.validate import (
    ascii_line,
    parse_channel_id,
    parse_count,
    parse_msat,
    parse_msat_bound,
    parse_pubkey,
    parse_scid,
    parse_time,
    parse_word,
)
from messages.channels import ChannelFact, Policy
from tests.unit.test_adapter_forwards import SETTLED_ROW, anything

PEER = "03" + "81" * 32
CHANNEL = "aa4e" * 16
LIMIT = 1 << 63

NEW_CHANNEL: dict[str, Any] = {
    "peer_id": PEER,
    "peer_connected": True,
    "reestablished": True,
    "channel_type": {"bits": [12, 22], "names": ["static_remotekey/even", "anchors/even"]},
    "updates": {
        "local": {
            "htlc_minimum_msat": 1,
            "htlc_maximum_msat": 990_000_000,
            "cltv_expiry_delta": 6,
            "fee_base_msat": 1000,
            "fee_proportional_millionths": 250,
        },
        "remote": {
            "htlc_minimum_msat": 0,
            "htlc_maximum_msat": 2**64 - 1,
            "cltv_expiry_delta": 40,
            "fee_base_msat": 0,
            "fee_proportional_millionths": 900,
        },
    },
    "last_stable_connection": 1795355500,
    "state": "CHANNELD_NORMAL",
    "owner": "channeld",
    "short_channel_id": "103x1x0",
    "alias": {"local": "5000000x99999x7", "remote": "1x2x3"},
    "direction": 1,
    "channel_id": CHANNEL,
    "opener": "remote",
    "private": False,
    "to_us_msat": 600_000_000,
    "total_msat": 1_000_000_000,
    "fee_base_msat": 1000,
    "fee_proportional_millionths": 250,
    "their_max_htlc_value_in_flight_msat": 2**64 - 1,
    "our_reserve_msat": 10_000_000,
    "spendable_msat": 580_000_000,
    "receivable_msat": 380_000_000,
    "minimum_htlc_out_msat": 1,
    "maximum_htlc_out_msat": 990_000_000,
    "max_accepted_htlcs": 30,
    "out_payments_fulfilled": 12,
    "htlcs": [
        {"direction": "out", "id": 1, "amount_msat": 5, "state": "SENT_ADD_ACK_REVOCATION"},
        {"direction": "in", "id": 0, "amount_msat": 6, "state": "RCVD_ADD_ACK_REVOCATION"},
        {"direction": "out", "id": 2, "amount_msat": 7, "state": "SENT_ADD_ACK_REVOCATION"},
    ],
}

INFO: dict[str, Any] = {
    "id": PEER,
    "alias": "SLEEPYFIRE \u2603",
    "version": "v26.06-12-gabcdef-modded",
    "blockheight": 103,
    "network": "regtest",
    "fees_collected_msat": 5005,
}


def test_a_channel_of_a_current_node() -> None:
    assert parse_channel(NEW_CHANNEL) == ChannelFact(
        channel_id=CHANNEL,
        peer_id=PEER,
        state="CHANNELD_NORMAL",
        connected=True,
        reestablished=True,
        scid="103x1x0",
        alias_scid="5000000x99999x7",
        opener="remote",
        private=False,
        capacity_msat=1_000_000_000,
        local_msat=600_000_000,
        spendable_msat=580_000_000,
        receivable_msat=380_000_000,
        our_reserve_msat=10_000_000,
        htlcs_in=1,
        htlcs_out=2,
        slots_in=30,
        slots_out=30,
        fee_base_msat=1000,
        fee_ppm=250,
        htlc_min_msat=1,
        htlc_max_msat=990_000_000,
        remote=Policy(0, 900, 0, LIMIT - 1),
        last_stable_connection_s=1795355500,
        out_fulfilled=12,
        lost_state=False,
    )


def test_a_channel_of_an_old_node() -> None:
    """v23.05: no updates, reestablished or last_stable_connection; earlier, amounts as text."""
    missing = ("updates", "reestablished", "last_stable_connection", "alias")
    old = {key: value for key, value in NEW_CHANNEL.items() if key not in missing}
    old["max_total_htlc_in_msat"] = 2**64 - 1
    old["to_us_msat"] = "600000000msat"
    fact = parse_channel(old)
    assert fact is not None
    assert fact.reestablished
    assert fact.local_msat == 600_000_000
    assert (fact.remote, fact.last_stable_connection_s, fact.alias_scid) == (None, None, None)
    offline = parse_channel({**old, "peer_connected": False})
    assert offline is not None
    assert not offline.reestablished


def test_a_channel_that_waits_for_its_peer_is_not_reestablished() -> None:
    fact = parse_channel({**NEW_CHANNEL, "reestablished": False, "lost_state": True})
    assert fact is not None
    assert fact.connected
    assert not fact.reestablished
    assert fact.lost_state


def test_the_least_that_a_channel_can_say() -> None:
    row = {"peer_id": PEER, "peer_connected": False, "state": "OPENINGD", "features": []}
    assert parse_channel(row) is None
    fact = parse_channel({**row, "channel_id": CHANNEL, "state": "SOME_NEW_STATE"})
    assert fact == ChannelFact(CHANNEL, PEER, "SOME_NEW_STATE", False, False)
    assert (fact.slots_in, fact.slots_out, fact.fee_ppm) == (483, 483, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channel_id", "103x1x0"),
        ("peer_id", CHANNEL),
        ("state", ""),
        ("state", "with space"),
        ("state", "line\nbreak"),
        ("peer_connected", "yes"),
        ("to_us_msat", -5),
        ("total_msat", 1e9),
        ("spendable_msat", True),
        ("short_channel_id", 103),
        ("alias", ["1x1x1"]),
        ("opener", "both"),
        ("max_accepted_htlcs", "483"),
        ("htlcs", {"direction": "out"}),
        ("fee_proportional_millionths", 1.5),
    ],
)
def test_a_channel_with_a_wrong_field_is_left_out(field: str, value: object) -> None:
    assert parse_channel({**NEW_CHANNEL, field: value}) is None


def test_a_peers_wrong_terms_do_not_cost_the_channel() -> None:
    updates = {"remote": {"fee_base_msat": "much", "fee_proportional_millionths": 1}}
    fact = parse_channel({**NEW_CHANNEL, "updates": updates})
    assert fact is not None
    assert fact.remote is None


def test_more_slots_than_the_protocol_allows_do_not_exist() -> None:
    fact = parse_channel({**NEW_CHANNEL, "max_accepted_htlcs": 65535})
    assert fact is not None
    assert (fact.slots_in, fact.slots_out) == (483, 483)


def test_any_sync_warning_counts() -> None:
    info = parse_info(INFO)
    assert info is not None
    assert info == (PEER, "regtest", "v26.06-12-gabcdef-modded", 103, None, 5005)
    for name in ("warning_bitcoind_sync", "warning_lightningd_sync"):
        for text in ("Bitcoind is not\nup-to-date", "", None):
            warned = parse_info({**INFO, name: text})
            assert warned is not None
            assert warned.sync_warning is not None
            assert warned.sync_warning.startswith(name)
            assert warned.sync_warning.isprintable()


@pytest.mark.parametrize(
    "parser",
    [
        parse_forward,
        parse_channel,
        parse_slots,
        parse_info,
        parse_gossip_channel,
        parse_feerate_estimate,
        parse_plugin,
        parse_fee_set,
        parse_count,
        parse_msat,
        parse_msat_bound,
        parse_scid,
        parse_channel_id,
        parse_pubkey,
        parse_time,
        parse_word,
    ],
)
def test_no_json_value_makes_a_parser_raise(parser: Callable[[object], object]) -> None:
    fields = sorted(
        {*SETTLED_ROW, *NEW_CHANNEL, *INFO}
        | {"active", "source", "destination", "name", "blockcount", "feerate"}
    )
    rows = st.dictionaries(st.sampled_from(fields), anything, max_size=12)

    @given(value=anything | rows)
    @example(value={**NEW_CHANNEL, "htlcs": [None, 1, {"direction": []}]})
    @example(value="9" * 5000 + "msat")
    @example(value="\ud800x1x1")
    def parses(value: object) -> None:
        parser(value)

    parses()


@pytest.mark.parametrize(
    "value", [True, 1.0, -1, LIMIT, None, "", "1", "1sat", "-1msat", "1msat\n"]
)
def test_these_are_no_amounts(value: object) -> None:
    assert parse_msat(value) is None


def test_amounts_up_to_the_limit_are_taken() -> None:
    assert parse_msat(LIMIT - 1) == parse_msat(f"{LIMIT - 1}msat") == LIMIT - 1
    assert parse_msat(f"{LIMIT}msat") is None
    assert parse_msat("0msat") == parse_msat(0) == 0
    assert parse_msat("\u0661msat") is None
    assert parse_msat_bound(2**64 - 1) == LIMIT - 1
    assert parse_msat_bound(-1) is None


@pytest.mark.parametrize(
    "value",
    [
        "16777216x0x0",
        "0x16777216x0",
        "0x0x65536",
        "01x1x1",
        "1x1x1\n",
        "1x1",
        "1:1:1",
        "\u0661x1x1",
    ],
)
def test_these_are_no_scids(value: str) -> None:
    assert parse_scid(value) is None
    assert parse_scid("16777215x16777215x65535") == "16777215x16777215x65535"


def test_ids_have_one_spelling() -> None:
    assert parse_pubkey(PEER) == PEER
    assert parse_pubkey("04" + "81" * 32) is None
    assert parse_pubkey(PEER.replace("81", "AB")) is None
    assert parse_channel_id(CHANNEL) == CHANNEL
    assert parse_channel_id(CHANNEL.upper()) is None
    assert parse_channel_id(PEER) is None


@given(text=st.text(max_size=500), limit=st.integers(3, 300))
def test_outside_text_becomes_one_plain_line(text: str, limit: int) -> None:
    line = ascii_line(text, limit)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= limit
