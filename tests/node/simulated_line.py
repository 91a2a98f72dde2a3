"""The line of three on the simulated node: the neighbours are the simulator's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from cl_revenue_ops.simnode.era import NEWEST
from cl_revenue_ops.simnode.errors import PluginDied
from cl_revenue_ops.simnode.model import ForwardRow
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.plugin_host import PluginHost
from tests.node.line import PATIENCE_S, PLUGIN, Line, Row, wait_for

CAPACITY_SAT = 1_000_000
UNKNOWN_SCID = "1x1x1"


class SimulatedLine(Line):
    """Real time, the real plugin process, a simulated lightningd of release `version`.

    Where `clboss` gives its release, a CLBoss stands beside it.
    """

    def __init__(self, version: str = NEWEST, clboss: str | None = None) -> None:
        super().__init__()
        self.node = SimulatedNode([sys.executable, str(PLUGIN)], version=version, clboss=clboss)
        self.node.start()
        self._hosts: list[PluginHost] = [self.node.plugin]
        self._in = self.node.open("payer", CAPACITY_SAT, 0, opener="remote")
        self._out = self.node.open("payee", CAPACITY_SAT)
        channels = self.node.world.channels
        self.payer_id = channels[self._in].peer_id
        self.payee_id = channels[self._out].peer_id
        self.socket = self.node.rpc_file
        self.wait_ready()

    # -- payments -----------------------------------------------------------------------------

    def pay(self, amount_msat: int, ending: str = "settled") -> None:
        fee_msat = self.fee_msat(amount_msat)
        target = UNKNOWN_SCID if ending == "refused" else self._out
        outcome = "failed" if ending == "failed" else "settled"
        row = self._forward(target, amount_msat, fee_msat, outcome)
        assert row.status == ("local_failed" if ending == "refused" else outcome), row
        self.note(ending, amount_msat, fee_msat)

    def _forward(self, target: str, amount_msat: int, fee_msat: int, outcome: str) -> ForwardRow:
        world = self.node.world
        now_s = world.clock.now()
        return world.forward(self._in, target, amount_msat, amount_msat + fee_msat, now_s, outcome)

    def hold(self, amount_msat: int) -> Callable[[], None]:
        row = self._forward(self._out, amount_msat, self.fee_msat(amount_msat), "pending")
        assert row.status == "offered", row
        return lambda: self._settle(row.created_index)

    def _settle(self, created_index: int) -> None:
        self.node.world.resolve(created_index)

    def pay_itself(self, amount_msat: int, fee_msat: int) -> Row:
        world = self.node.world
        row = world.circular_payment(self._out, self._in, amount_msat, fee_msat)
        assert row["status"] == "complete", row
        return self.incoming

    def pay_by_gossip(self, amount_msat: int) -> int:
        row = self._view()
        fee_msat: int = row["base_fee_millisatoshi"]
        fee_msat += amount_msat * row["fee_per_millionth"] // 1_000_000
        assert self._forward(self._out, amount_msat, fee_msat, "settled").status == "settled"
        self.note("settled", amount_msat, fee_msat)
        return fee_msat

    def neighbours_view_ppm(self) -> int | None:
        ppm: int = self._view()["fee_per_millionth"]
        return ppm

    def _view(self) -> Row:
        scid = self.outgoing["short_channel_id"]
        rows = self.call("listchannels", {"short_channel_id": scid})["channels"]
        (row,) = (row for row in rows if row["destination"] == self.payee_id)
        found: Row = row
        return found

    # -- channels -----------------------------------------------------------------------------

    def splice_in(self, amount_sat: int) -> None:
        self.node.world.fund(amount_sat + 100_000)
        self.node.world.splice(self._out, amount_sat)

    def close_to_payee(self) -> None:
        self.node.close(self._out)

    def mine(self, blocks: int) -> None:
        self.node.mine(blocks)

    def disconnect_payee(self) -> None:
        self.node.world.disconnect(self.payee_id)

    def reconnect_payee(self) -> None:
        self.node.world.connect(self.payee_id)

    # -- processes ----------------------------------------------------------------------------

    def restart_node(self) -> None:
        self.node.restart()
        self._remember()

    def stop_node(self) -> None:
        self.node.stop()

    def crash_node(self) -> None:
        for host in list(self.node.plugins.hosts):
            host.close_pipe(PATIENCE_S)
        self.node.stop()

    def start_node(self) -> None:
        self.node.start()
        self._remember()

    def _remember(self) -> None:
        self._hosts.append(self.node.plugin)

    def start_plugin(self, options: Mapping[str, object] | None = None) -> None:
        super().start_plugin(options)
        self._remember()

    def plugin_pid(self) -> int | None:
        try:
            host = self.node.plugin
        except (PluginDied, ConnectionError):
            return None
        return host.pid if host.alive else None

    def kill_plugin(self) -> None:
        self.node.plugin.kill()
        self._hosts.pop()
        wait_for(lambda: not self.listed(), "the end of the plugin")

    def unclean_exits(self) -> list[str]:
        ended = [host for host in self._hosts if not host.alive]
        codes = [host.exit_code for host in ended]
        return [f"exit code {code}" for code in codes if code != 0]

    def complaints(self) -> list[str]:
        lines = [
            f"{level}: {text}"
            for host in self._hosts
            for level, text in host.logs
            if level in ("error", "broken") or "Traceback" in text
        ]
        return lines + [host.stderr_tail() for host in self._hosts if host.stderr_tail()]

    def shut_down(self) -> None:
        self.node.__exit__(None, None, None)
