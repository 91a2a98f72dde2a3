"""The RPC of the simulated node: parameters, error codes, shapes, filter, and older releases."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.gossip import Edge
from cl_revenue_ops.simnode.model import Policy
from cl_revenue_ops.simnode.node import SimulatedNode

START_S = 1_700_000_000.0


def build(version: str = "v26.06.6") -> SimulatedNode:
    node = SimulatedNode(start_s=START_S, version=version, options={"cltv-delta": 40})
    for name in ("alice", "bob"):
        node.world.open_channel(
            node.world.add_peer(name), 1_000_000, 500_000_000, established=True,
            remote_policy=Policy(5, 250),
        )  # fmt: skip
    return node


@pytest.fixture
def node() -> Iterator[SimulatedNode]:
    with build() as node:
        yield node


def refusal(node: SimulatedNode, method: str, params: Any = None) -> SimRpcError:
    with pytest.raises(SimRpcError) as refused:
        node.call(method, params)
    return refused.value


def ids(node: SimulatedNode) -> list[str]:
    return list(node.world.channels)


class TestParameters:
    """lightningd refuses what it does not know, before it does anything."""

    def test_unknown_command(self, node: SimulatedNode) -> None:
        for method in ("sling-stats", "clboss-status", "bkpr-nothing", "revenue-status"):
            assert refusal(node, method).code == -32601

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("getinfo", {"verbose": True}),
            ("getinfo", ["extra"]),
            ("feerates", {}),
            ("feerates", {"style": "sat"}),
            ("setchannel", {"feeppm": 5}),
            ("setchannel", {"id": "all", "feeppm": 1.5}),
            ("setchannel", {"id": "all", "feeppm": -1}),
            ("setchannel", {"id": "all", "feeppm": 2**32}),
            ("setchannel", {"id": "all", "feeppm": None}),
            ("setchannel", {"id": "all", "feebase": "1 pound"}),
            ("setchannel", {"id": "1x1x1", "feeppm": 5}),
            ("listpeerchannels", {"id": "02" + "ab" * 32, "short_channel_id": "1x1x1"}),
            ("listchannels", {"source": "02" + "ab" * 32, "destination": "02" + "ab" * 32}),
            ("listpeers", {"id": "not a key"}),
            ("listconfigs", {"config": "no-such-option"}),
            ("setconfig", {"config": "alias", "val": "x"}),
            ("plugin", ["dance"]),
            ("plugin", ["stop", "nobody.py"]),
            ("wait", ["forwards", "created"]),
            ("listsendpays", {"limit": 3}),
        ],
    )
    def test_bad_params(self, node: SimulatedNode, method: str, params: Any) -> None:
        assert refusal(node, method, params).code == -32602

    def test_null_skips_a_position_of_an_array(self, node: SimulatedNode) -> None:
        answer = node.call("setchannel", [ids(node)[0], None, 321])
        entry = answer["channels"][0]
        assert (entry["fee_base_msat"], entry["fee_proportional_millionths"]) == (1, 321)

    def test_amounts_with_suffixes(self, node: SimulatedNode) -> None:
        answer = node.call("setchannel", {"id": ids(node)[0], "feebase": "2sat", "htlcmax": 10_000})
        entry = answer["channels"][0]
        assert (entry["fee_base_msat"], entry["maximum_htlc_out_msat"]) == (2_000, 10_000)

    def test_the_envelope(self, node: SimulatedNode) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(node.rpc_file))
            asked = [
                b'{"jsonrpc":"2.0","id":"a","method":"getinfo","params":{}}',
                b'{"jsonrpc":"2.0","id":"b","method":"getinfo","params":null}',
                b'{"jsonrpc":"2.0","id":"c","method":"nothing","params":[]}',
                b"{nonsense}",
            ]
            for part in (asked[0][:20], asked[0][20:] + asked[1], asked[2] + b"\n\n" + asked[3]):
                line.sendall(part)
            received = b""
            while data := line.recv(65536):
                received += data
        answers = [json.loads(part) for part in received.split(b"\n\n") if part]
        assert [answer["id"] for answer in answers] == ["a", "b", "c", None]
        codes = [answer.get("error", {}).get("code") for answer in answers]
        assert codes == [None, -32602, -32601, -32600]

    def test_filter_keeps_what_is_asked_for(self, node: SimulatedNode) -> None:
        wanted = {"channels": [{"channel_id": True, "updates": {"remote": True}}]}
        shown = node.call("listpeerchannels", wanted=wanted)
        first = shown["channels"][0]
        assert set(first) == {"channel_id", "updates"}
        assert first["updates"]["remote"]["fee_proportional_millionths"] == 250
        rows = node.call("listforwards", wanted={"forwards": [{"status": True}]})
        assert rows == {"forwards": []}


class TestChannels:
    """listpeerchannels and setchannel."""

    def test_an_entry_reports_the_policy_at_once(self, node: SimulatedNode) -> None:
        name = ids(node)[1]
        node.call("setchannel", {"id": name, "feebase": 7, "feeppm": 1234})
        (entry,) = node.call("listpeerchannels", {"channel_id": name})["channels"]
        assert entry["fee_base_msat"] == 7
        assert entry["updates"]["local"]["fee_proportional_millionths"] == 1234
        assert entry["updates"]["remote"]["fee_proportional_millionths"] == 250
        assert entry["total_msat"] == 1_000_000_000
        assert entry["to_us_msat"] == 500_000_000
        assert entry["our_reserve_msat"] == 10_000_000
        assert 0 < entry["spendable_msat"] < 490_000_000
        assert entry["receivable_msat"] == 490_000_000
        assert entry["max_accepted_htlcs"] == 483

    def test_htlcs_in_flight_are_listed_and_count_only_when_resolved(
        self, node: SimulatedNode
    ) -> None:
        one, two = ids(node)
        row = node.pay(one, two, 3_000_000, outcome="pending")
        incoming, outgoing = node.call("listpeerchannels")["channels"]
        assert [h["direction"] for h in incoming["htlcs"]] == ["in"]
        assert outgoing["htlcs"][0]["amount_msat"] == 3_000_000
        assert (incoming["to_us_msat"], outgoing["to_us_msat"]) == (500_000_000, 500_000_000)
        assert incoming["receivable_msat"] == 490_000_000 - row.in_msat
        assert incoming["in_payments_offered"] == 1
        listed = node.call("listhtlcs", {"id": one})["htlcs"]
        assert [(h["direction"], h["state"]) for h in listed] == [("in", "RCVD_ADD_ACK_REVOCATION")]
        node.world.resolve(row.created_index)
        (done,) = node.call("listhtlcs", {"id": one, "index": "updated", "start": 1})["htlcs"]
        assert done["state"] == "SENT_REMOVE_ACK_REVOCATION"
        assert node.call("listpeerchannels")["channels"][0]["in_payments_fulfilled"] == 1

    def test_a_private_channel_is_in_no_gossip(self, node: SimulatedNode) -> None:
        peer = node.world.add_peer("carol")
        node.world.open_channel(peer, 500_000, private=True, established=True)
        assert node.call("listchannels", {"destination": peer})["channels"] == []
        assert node.call("listpeerchannels", {"id": peer})["channels"][0]["private"]

    def test_an_opening_channel_is_settable_but_has_no_scid(self, node: SimulatedNode) -> None:
        node.world.fund(1_000_000)
        name = node.world.open_channel(node.world.add_peer("dave"), 500_000)
        (entry,) = node.call("listpeerchannels", {"channel_id": name})["channels"]
        assert entry["state"] == "CHANNELD_AWAITING_LOCKIN"
        assert "short_channel_id" not in entry
        assert "updates" in entry
        assert "remote" not in entry["updates"]
        assert node.call("setchannel", [name, 1, 5])["channels"][0]["channel_id"] == name

    def test_setchannel_by_peer_and_by_all(self, node: SimulatedNode) -> None:
        peer = node.world.channels[ids(node)[0]].peer_id
        node.world.open_channel(peer, 700_000, established=True)
        assert len(node.call("setchannel", [peer, 0, 9])["channels"]) == 2
        assert len(node.call("setchannel", ["all", 0, 8])["channels"]) == 3
        lonely = node.world.add_peer("nobody")
        assert refusal(node, "setchannel", [lonely, 0, 9]).code == -1

    def test_a_disconnected_peer_has_no_reestablished_flag(self, node: SimulatedNode) -> None:
        peer = node.world.channels[ids(node)[0]].peer_id
        node.world.disconnect(peer)
        (entry,) = node.call("listpeerchannels", {"id": peer})["channels"]
        assert not entry["peer_connected"]
        assert "reestablished" not in entry
        assert entry["spendable_msat"] > 0
        assert node.call("setchannel", [peer, 0, 9])["channels"]


class TestMoney:
    """getinfo, listfunds, feerates, moves, gossip."""

    def test_getinfo_names_the_network_directory(self, node: SimulatedNode) -> None:
        info = node.call("getinfo")
        assert info["lightning-dir"] == str(node.network_dir)
        assert (info["num_active_channels"], info["num_peers"]) == (2, 2)
        assert "warning_lightningd_sync" not in info
        node.world.synced = False
        assert "warning_lightningd_sync" in node.call("getinfo")

    def test_feerates_scale_with_the_style_and_vanish_without_estimates(
        self, node: SimulatedNode
    ) -> None:
        node.world.set_feerate(5000)
        perkw = node.call("feerates", ["perkw"])
        perkb = node.call("feerates", {"style": "perkb"})
        assert perkw["perkw"]["estimates"][0]["feerate"] == 5000
        assert perkb["perkb"]["opening"] == 4 * perkw["perkw"]["opening"]
        assert perkw["onchain_fee_estimates"] == perkb["onchain_fee_estimates"]
        costs = perkw["onchain_fee_estimates"]
        assert costs["opening_channel_satoshis"] == 2500 * 702 // 1000
        node.world.feerates_perkw.clear()
        empty = node.call("feerates", ["perkw"])
        assert "warning_missing_feerates" in empty
        assert "onchain_fee_estimates" not in empty

    def test_listfunds_hides_spent_outputs(self, node: SimulatedNode) -> None:
        node.world.fund(50_000)
        outputs = node.call("listfunds")["outputs"]
        assert [(o["amount_msat"], o["status"]) for o in outputs] == [(50_000_000, "confirmed")]
        assert len(node.call("listfunds", {"spent": True})["outputs"]) == 3
        assert len(node.call("listfunds")["channels"]) == 2

    def test_a_routed_forward_makes_two_moves_with_one_fee(self, node: SimulatedNode) -> None:
        one, two = ids(node)
        row = node.pay(one, two, 2_000_000)
        start = node.call("wait", ["channelmoves", "created", 0])["created"] - 1
        out, into = node.call(
            "listchannelmoves", {"index": "created", "start": start, "limit": 5}
        )["channelmoves"]  # fmt: skip
        assert (out["account_id"], out["debit_msat"]) == (two, 2_000_000)
        assert (into["account_id"], into["credit_msat"]) == (one, row.in_msat)
        assert out["fees_msat"] == into["fees_msat"] == row.fee_msat
        assert out["payment_hash"] == into["payment_hash"]

    def test_rivals_are_seen_in_gossip(self, node: SimulatedNode) -> None:
        target = node.world.channels[ids(node)[0]].peer_id
        rival = node.world.add_peer("rival")
        edge = Edge("7x7x7", rival, target, 9_000_000, Policy(0, 420), int(START_S))
        node.world.gossip.update(edge)
        asked = node.call("listchannels", {"destination": target})["channels"]
        assert {e["fee_per_millionth"] for e in asked} == {420, 10}
        node.world.gossip.remove("7x7x7")
        assert len(node.call("listchannels", {"destination": target})["channels"]) == 1
        assert node.call("listnodes", {"id": rival})["nodes"][0]["alias"] == "rival"


class TestAdmin:
    """Options, help, the datastore, stop."""

    def test_listconfigs_shows_types_and_sources(self, node: SimulatedNode) -> None:
        configs = node.call("listconfigs")["configs"]
        assert configs["cltv-delta"] == {"value_int": 40, "source": "config"}
        assert configs["autoclean-cycle"]["dynamic"]
        assert node.world.channels[ids(node)[0]].policy.cltv_delta == 40

    def test_help_knows_exactly_the_commands_there_are(self, node: SimulatedNode) -> None:
        listed = [entry["command"].split()[0] for entry in node.call("help")["help"]]
        assert {"getinfo", "listpeerchannels", "wait"} <= set(listed)
        assert refusal(node, "help", ["sling-stats"]).code == -32601

    def test_a_companion_is_there_or_not(self, node: SimulatedNode) -> None:
        methods = {"clock-read": lambda params: {"asked": params}}
        node.plugins.add_companion(SimpleNamespace(path="/plugins/clock", methods=methods))
        assert node.call("clock-read", {"a": 1}) == {"asked": {"a": 1}}
        assert node.call("help", ["clock-read"])["help"] == [{"command": "clock-read"}]
        names = [entry["name"] for entry in node.call("plugin", ["list"])["plugins"]]
        assert [name for name in names if "bookkeeper" not in name] == ["/plugins/clock"]
        node.plugins.set_present("clock", False)
        assert refusal(node, "clock-read").code == -32601
        names = [entry["name"] for entry in node.call("plugin", ["list"])["plugins"]]
        assert "/plugins/clock" not in names

    def test_the_datastore_keeps_its_rules(self, node: SimulatedNode) -> None:
        key = ["revenue", "seed"]
        assert node.call("datastore", {"key": key, "string": "a"})["generation"] == 0
        assert refusal(node, "datastore", {"key": key, "string": "b"}).code == 1202
        assert refusal(node, "datastore", {"key": "revenue", "string": "b"}).code == 1205
        assert refusal(node, "datastore", {"key": [*key, "x"], "string": "b"}).code == 1206
        more = {"key": key, "mode": "must-append", "hex": "62"}
        assert refusal(node, "datastore", {**more, "generation": 5}).code == 1204
        assert node.call("datastore", {**more, "generation": 0})["string"] == "ab"
        assert refusal(node, "datastore", {**more, "key": "other"}).code == 1203
        assert node.call("listdatastore", {"key": "revenue"})["datastore"][0]["key"] == key
        assert node.call("listdatastore")["datastore"] == [{"key": ["revenue"]}]
        assert refusal(node, "deldatastore", {"key": key, "generation": 9}).code == 1201
        node.call("deldatastore", {"key": key})
        assert refusal(node, "deldatastore", {"key": key}).code == 1200

    def test_stop_answers_and_then_stops(self, node: SimulatedNode) -> None:
        assert node.call("stop") == "Shutdown complete"
        node.wait_until(lambda: not node.rpc_file.exists())
        assert not node.running


class TestOldRelease:
    """What v23.05 does not know."""

    @pytest.fixture
    def old(self) -> Iterator[SimulatedNode]:
        with build("v23.05") as node:
            yield node

    def test_commands_that_came_later_do_not_exist(self, old: SimulatedNode) -> None:
        for method in ("wait", "setconfig", "listchannelmoves", "listchainmoves"):
            assert refusal(old, method, {}).code == -32601

    def test_parameters_that_came_later_are_unknown(self, old: SimulatedNode) -> None:
        for method, params in (
            ("listforwards", {"index": "created"}),
            ("listpeerchannels", {"short_channel_id": "1x1x1"}),
            ("setchannel", {"id": "all", "ignorefeelimits": True}),
        ):
            assert refusal(old, method, params).code == -32602

    def test_fields_that_came_later_are_absent(self, old: SimulatedNode) -> None:
        one, two = ids(old)
        old.pay(one, two, 1_000_000)
        old.advance(START_S + 100)
        entry = old.call("listpeerchannels")["channels"][0]
        assert not {"updates", "reestablished", "last_stable_connection"} & set(entry)
        assert entry["max_total_htlc_in_msat"] == 2**64 - 1
        row = old.call("listforwards")["forwards"][0]
        assert not {"created_index", "updated_index"} & set(row)
        assert old.call("listconfigs")["cltv-delta"] == 40
        assert old.call("getinfo")["version"] == "v23.05"
