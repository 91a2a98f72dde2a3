"""The simulated node with a real plugin process: start, notifications, calls, stop, time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cl_revenue_ops.simnode.errors import NodeDown, PluginDied, SimRpcError
from cl_revenue_ops.simnode.node import SimulatedNode

START_S = 1_700_000_000.0
PLUGIN = [sys.executable, str(Path(__file__).with_name("recording_plugin.py"))]


def build(**details: Any) -> SimulatedNode:
    details.setdefault("start_s", START_S)
    details.setdefault("seed", 5)
    return SimulatedNode(PLUGIN, **details)


@pytest.fixture
def node() -> Iterator[SimulatedNode]:
    with build() as node:
        yield node


def heard(node: SimulatedNode, topic: str) -> list[dict[str, Any]]:
    told = node.call("revenue-heard", {"topic": topic})["heard"]
    return [params.get(topic, params) for _, params in told]


class TestBoot:
    """getmanifest, init and the option table."""

    def test_init_gets_typed_options_and_the_configuration(self) -> None:
        with build(options={"recording-limit": "12", "recording-switch": "true"}) as node:
            boot = node.call("revenue-boot")
            assert boot["options"] == {"recording-limit": 12, "recording-switch": True}
            assert boot["configuration"]["lightning-dir"] == str(node.network_dir)
            assert boot["configuration"]["rpc-file"] == "lightning-rpc"
            assert boot["configuration"]["startup"] is True
            shown = node.call("listconfigs", ["recording-limit"])["configs"]["recording-limit"]
            assert (shown["value_int"], shown["dynamic"]) == (12, True)
            assert shown["plugin"] == PLUGIN[1]

    @pytest.mark.parametrize("options", [{"recording-limit": "many"}, {"no-such-option": 1}])
    def test_a_bad_config_file_keeps_the_node_down(self, options: dict[str, Any]) -> None:
        with pytest.raises(SimRpcError), build(options=options):
            pass

    def test_the_plugin_is_listed_with_its_methods(self, node: SimulatedNode) -> None:
        rows = node.call("plugin", ["list"])["plugins"]
        (entry,) = (row for row in rows if not row["name"].endswith("/bookkeeper"))
        assert entry == {"name": PLUGIN[1], "active": True, "dynamic": True}
        assert node.call("help", ["revenue-echo"])["help"]

    def test_a_program_that_is_no_plugin_is_refused(self, tmp_path: Path) -> None:
        chatter = tmp_path / "chatter.py"
        chatter.write_text("print('hello')\n")
        with pytest.raises(SimRpcError) as refused:
            SimulatedNode([sys.executable, str(chatter)], start_s=START_S).start()
        assert "not JSON" in refused.value.message


class TestCalls:
    """Methods of the plugin through the node's socket."""

    def test_params_pass_through_unchanged(self, node: SimulatedNode) -> None:
        assert node.call("revenue-echo", ["a", 1.5]) == {"word": "a", "number": 1.5}
        assert node.call("revenue-echo", {"word": [1, None]})["word"] == [1, None]
        with pytest.raises(SimRpcError) as refused:
            node.call("revenue-echo", {"surprise": 1})
        assert refused.value.code == -32600

    def test_a_slow_method_holds_up_nobody_else(self, node: SimulatedNode) -> None:
        slow = threading.Thread(target=node.call, args=("revenue-sleep", {"seconds": 1.0}))
        slow.start()
        node.wait_until(lambda: "revenue-sleep" in node.calls)
        assert node.call("getinfo")["num_peers"] == 0
        assert slow.is_alive()
        slow.join()

    def test_the_plugin_can_call_the_node(self, node: SimulatedNode) -> None:
        answer = node.call("revenue-node-call", {"method": "getinfo"})
        assert answer["result"]["id"] == node.world.id
        refused = node.call("revenue-node-call", {"method": "nothing"})
        assert refused["failed"] == "RpcError"
        assert "-32601" in refused["text"]

    def test_a_plugin_that_dies_in_a_call_gives_minus_four(self, node: SimulatedNode) -> None:
        with pytest.raises(SimRpcError) as ended:
            node.call("revenue-die")
        assert ended.value.code == -4
        with pytest.raises(SimRpcError) as gone:
            node.call("revenue-echo")
        assert gone.value.code == -32601
        with pytest.raises(PluginDied, match="last words"):
            node.advance(START_S + 10)


class TestNotifications:
    """What reaches the plugin, and in which order."""

    def test_a_forward_is_told_as_lightningd_tells_it(self, node: SimulatedNode) -> None:
        one, two = node.open("a", 1_000_000, 500_000), node.open("b", 1_000_000)
        row = node.pay(one, two, 1_000_000, fee_msat=500)
        offered, settled = heard(node, "forward_event")
        assert (offered["status"], offered["created_index"]) == ("offered", 1)
        assert "updated_index" not in offered
        assert "resolved_time" not in offered
        assert (settled["status"], settled["updated_index"]) == ("settled", 1)
        assert "created_index" not in settled
        assert settled["fee_msat"] == 500
        assert len(settled["preimage"]) == 64
        assert "out_htlc_id" not in settled
        moves = [m for m in heard(node, "coin_movement") if m["primary_tag"] == "routed"]
        assert [(m["account_id"], m["debit_msat"]) for m in moves] == [(two, 1_000_000), (one, 0)]
        node.pay(one, two, 1_000_000, fee_msat=0)
        node.pay(one, two, 1_000, outcome="failed")
        refused, _, failed = heard(node, "forward_event")[2:]
        assert (refused["status"], refused["created_index"]) == ("local_failed", 2)
        assert refused["failreason"] == "WIRE_FEE_INSUFFICIENT"
        assert failed["status"] == "failed"
        assert not {"preimage", "failcode"} & set(failed)
        assert row.status == "settled"

    def test_payments_blocks_and_peers_are_told(self, node: SimulatedNode) -> None:
        one, two = node.open("a", 1_000_000, 500_000), node.open("b", 1_000_000)
        node.world.circular_payment(two, one, 1_000_000, 100)
        node.world.circular_payment(two, one, 1_000_000, 100, ok=False)
        peer = node.world.channels[one].peer_id
        node.world.disconnect(peer)
        node.world.connect(peer)
        (success,) = heard(node, "sendpay_success")
        assert success["destination"] == node.world.id
        (failure,) = heard(node, "sendpay_failure")
        assert failure["data"]["status"] == "failed"
        assert [told["id"] for told in heard(node, "disconnect")] == [peer]
        assert heard(node, "connect")[0]["address"]["type"] == "ipv4"
        assert heard(node, "block_added")[-1]["height"] == node.world.height
        states = [told["new_state"] for told in heard(node, "channel_state_changed")]
        assert states == ["CHANNELD_AWAITING_LOCKIN", "CHANNELD_NORMAL"] * 2

    def test_an_old_node_tells_flat(self) -> None:
        with build(version="v23.05") as node:
            one = node.open("a", 1_000_000)
            peer = node.world.channels[one].peer_id
            node.world.disconnect(peer)
            told = node.call("revenue-heard")["heard"]
            flat = dict(told)
            assert flat["disconnect"] == {"id": peer}
            assert flat["block_added"]["block"]["height"] == node.world.height
            assert "plugin_started" not in flat
            opened = flat["coin_movement"]["coin_movement"]
            assert opened["tags"] == ["channel_open", "opener"]
            assert not {"primary_tag", "extra_tags", "created_index", "utxo"} & set(opened)
            assert opened["utxo_txid"] == node.world.channels[one].funding_txid
            assert opened["vout"] == 0
            assert flat["channel_state_changed"]["channel_state_changed"]["channel_id"] == one

    def test_companions_come_and_go_with_news(self, node: SimulatedNode) -> None:
        node.plugins.add_companion(
            SimpleNamespace(path="/plugins/echo", methods={"echo": lambda params: params})
        )
        node.plugins.stop("echo")
        started, stopped = heard(node, "plugin_started")[-1], heard(node, "plugin_stopped")[-1]
        assert started == stopped
        assert started == {
            "plugin_name": "echo", "plugin_path": "/plugins/echo", "methods": ["echo"],
        }  # fmt: skip


class TestSetconfig:
    """The plugin decides; what it accepts wrongly brings the node down."""

    def test_an_accepted_value_is_kept_over_a_restart(self, node: SimulatedNode) -> None:
        answer = node.call("setconfig", {"config": "recording-limit", "val": 33})
        assert answer["config"]["value_int"] == 33
        node.restart()
        assert node.call("revenue-boot")["options"]["recording-limit"] == 33

    def test_a_transient_value_is_not(self, node: SimulatedNode) -> None:
        params = {"config": "recording-limit", "val": 33, "transient": True}
        assert node.call("setconfig", params)["config"]["source"] == "setconfig transient"
        node.restart()
        assert node.call("revenue-boot")["options"]["recording-limit"] == 7

    def test_a_refusal_changes_nothing(self, node: SimulatedNode) -> None:
        with pytest.raises(SimRpcError) as refused:
            node.call("setconfig", {"config": "recording-limit", "val": "many"})
        assert refused.value.code == -32602
        shown = node.call("listconfigs", ["recording-limit"])["configs"]["recording-limit"]
        assert shown["value_int"] == 7

    def test_accepting_nonsense_aborts_the_node_and_prevents_its_next_start(self) -> None:
        with build(env={"RECORDING_PLUGIN_GULLIBLE": "1"}) as node:
            with pytest.raises(NodeDown):
                node.call("setconfig", {"config": "recording-limit", "val": "many"})
            assert node.aborted is not None
            assert not node.running
            with pytest.raises(SimRpcError):
                node.start()


class TestStop:
    """plugin stop, kill, restart, node shutdown."""

    def test_without_shutdown_it_is_killed_at_once(self, node: SimulatedNode) -> None:
        host = node.plugin
        node.call("plugin", ["stop", "recording_plugin.py"])
        assert not host.alive
        assert "leaving" not in host.stderr_tail()
        with pytest.raises(SimRpcError) as unknown:
            node.call("setconfig", {"config": "recording-limit", "val": 1})
        assert unknown.value.code == -32602

    def test_with_shutdown_it_leaves_by_itself(self) -> None:
        with build(env={"RECORDING_PLUGIN_SHUTDOWN": "1"}) as node:
            host = node.plugin
            node.call("plugin", ["stop", PLUGIN[1]])
            assert "leaving" in host.stderr_tail()

    def test_it_can_be_started_again_with_options(self, node: SimulatedNode) -> None:
        with pytest.raises(SimRpcError) as twice:
            node.call("plugin", ["start", PLUGIN[1]])
        assert twice.value.code == -32602
        node.plugin.kill()
        with pytest.raises(SimRpcError) as positional:
            node.call("plugin", ["start", PLUGIN[1], "recording-word=again"])
        assert positional.value.code == -32602
        wanted = {"subcommand": "start", "plugin": PLUGIN[1], "recording-word": "again"}
        node.call("plugin", wanted)
        boot = node.call("revenue-boot")
        assert boot["options"]["recording-word"] == "again"
        assert boot["configuration"]["startup"] is False
        node.restart_plugin()
        assert "recording-word" not in node.call("revenue-boot")["options"]

    @pytest.mark.parametrize("kill", [False, True])
    def test_the_plugin_alone_can_be_restarted(self, node: SimulatedNode, kill: bool) -> None:
        old = node.plugin
        node.advance(START_S + 50)
        node.restart_plugin(kill=kill)
        assert not old.alive
        assert node.call("revenue-boot")["configuration"]["startup"] is False
        assert node.advance(START_S + 60)["now"] == START_S + 60

    @pytest.mark.parametrize("kill", [False, True])
    def test_a_restart_brings_a_new_process_to_the_same_world(
        self, node: SimulatedNode, kill: bool
    ) -> None:
        one, two = node.open("a", 1_000_000, 500_000), node.open("b", 1_000_000)
        node.pay(one, two, 1_000_000)
        node.advance(START_S + 100)
        old = node.plugin
        node.restart(kill=kill)
        assert not old.alive
        assert node.plugin.pid != old.pid
        assert len(node.call("listforwards")["forwards"]) == 1
        assert heard(node, "forward_event") == []
        assert len(heard(node, "connect")) == 2
        assert node.advance(START_S + 200)["now"] == START_S + 200


class TestTime:
    """Virtual time over the protocol."""

    def test_each_step_calls_the_market_then_the_plugin(self, node: SimulatedNode) -> None:
        spans: list[tuple[float, float]] = []
        clocks: list[float] = []

        def market(from_s: float, to_s: float) -> None:
            spans.append((from_s, to_s))
            clocks.append(node.clock.now())

        node.on_step = market
        answer = node.advance(START_S + 250, step_s=100)
        assert answer["now"] == START_S + 250
        assert spans == [
            (START_S, START_S + 100),
            (START_S + 100, START_S + 200),
            (START_S + 200, START_S + 250),
        ]
        assert clocks == [start for start, _ in spans]
        assert node.clock.now() == START_S + 250

    def test_a_clock_step_moves_the_node_and_not_the_plugin(self, node: SimulatedNode) -> None:
        node.fault("clock_step", seconds=-5000)
        assert node.clock.now() == START_S - 5000
        assert node.advance(START_S + 60)["now"] == START_S + 60
        one, two = node.open("a", 1_000_000, 500_000), node.open("b", 1_000_000)
        assert node.pay(one, two, 1000).received_s == START_S + 60 - 5000

    def test_real_time_ticks_by_itself(self) -> None:
        steps: list[tuple[float, float]] = []
        with build(start_s=None, on_step=lambda *span: steps.append(span)) as node:
            node.wait_until(lambda: len(steps) >= 2)
            assert "REVENUE" not in str(node.call("revenue-boot"))
            with pytest.raises(SimRpcError):
                node.call("dev-revenue-advance", {"until": 1})
        assert steps[0][1] == steps[1][0]
