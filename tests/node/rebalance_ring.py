"""The ring of three whose first node runs the plugin beside sling: where real sats are moved."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

from cl_revenue_ops.simnode.plugin_host import PluginHost
from tests.node import real_line, wire
from tests.node.line import PATIENCE_S, PLUGIN, Row, wait_for
from tests.node.sling_ring import RealRing, Ring, SimulatedRing

SETTINGS = {
    "enable_proportional_budget": False,
    "min_wallet_reserve": 100_000,
    "rebalance_min_profit": 0,
    # No search but those that are asked for.
    "rebalance_interval": 86_400,
}
SETTLED_S = 5.5
AGED_S = 7_200
JOB_PATIENCE_S = 240.0
_LAST_DELAY, _HOP_DELAY = 15, 6


class House(Ring):
    """A ring with our plugin. Its database is only read."""

    @property
    def database(self) -> Path:
        """The plugin's file."""
        return self.socket.parent / "revenue_ops.db"

    @abstractmethod
    def forward(self, amount_msat: int) -> None:
        """The second node pays the third through the first, at its present fee."""

    @abstractmethod
    def hold(self) -> None:
        """From now on payments to ourselves stay on their way, until `release`."""

    @abstractmethod
    def release(self) -> None:
        """They arrive, those under way and all others."""

    @abstractmethod
    def age_connections(self) -> None:
        """Let both peers count as connected for hours."""

    @abstractmethod
    def kill_plugin(self) -> None:
        """SIGKILL, and wait until the node has noticed."""

    @abstractmethod
    def complaints(self) -> list[str]:
        """Tracebacks of the plugin, and what the node calls BROKEN."""

    # -- the plugin ---------------------------------------------------------------------------

    def start_plugin(self) -> None:
        """`plugin start`; what it does then is waited for by `wait_ready`, or otherwise."""
        self.call("plugin", {"subcommand": "start", "plugin": str(PLUGIN)})

    def stop_plugin(self) -> None:
        """`plugin stop`; it returns when the process has ended."""
        self.call("plugin", {"subcommand": "stop", "plugin": str(PLUGIN)})

    def listed(self) -> bool:
        """True while the node knows the plugin."""
        rows = self.call("plugin", {"subcommand": "list"})["plugins"]
        return any("cl-revenue-ops" in row["name"] for row in rows)

    def configure(self) -> None:
        """Put the settings of these cases."""
        for key, value in SETTINGS.items():
            self.call("revenue-config", ["set", key, value])

    def wait_ready(self) -> None:
        """Wait until every actor works, all is caught up, and sling counts as settled."""
        wait_for(self._ready, "a plugin that is ready")
        self.value_stock()
        # A sling that was seen for less is not trusted with a job.
        time.sleep(SETTLED_S)

    def value_stock(self) -> None:
        """A fee cycle now: nothing is moved before stock has a value."""
        before = self.debug()["stock_valued_at"]
        self.call("revenue-wake-all")
        wait_for(lambda: self.debug()["stock_valued_at"] not in (None, before), "a fee cycle")

    def _ready(self) -> bool:
        status = self.status()
        states = {actor["state"] for actor in status["actors"].values()}
        known = {row["scid"] for row in status["channel_states"]}
        return (
            states == {"ready"}
            and bool(status["forwards"].get("caught_up"))
            and {self.source, self.target} <= known
            and self.debug()["executor"]["trouble"] is None
        )

    def status(self) -> Row:
        """revenue-status."""
        found: Row = self.call("revenue-status")
        return found

    def debug(self) -> Row:
        """revenue-rebalance-debug."""
        found: Row = self.call("revenue-rebalance-debug")
        return found

    def money(self) -> Row:
        """What it says of budget and reservations."""
        found: Row = self.debug()["capital_controls"]
        return found

    def clear_reservations(self) -> Row:
        """revenue-clear-reservations."""
        found: Row = self.call("revenue-clear-reservations")
        return found

    # -- jobs ---------------------------------------------------------------------------------

    def order_by_hand(self, amount_sats: int, max_fee_sats: int) -> Row:
        """Move sats from the full channel to the empty one, whatever that is worth."""
        order = [self.source, self.target, amount_sats, max_fee_sats, True]
        answer: Row = self.call("revenue-rebalance", order)
        assert answer.get("status") == "initiated", answer
        return answer

    def one_job(self, job_id: str) -> Row:
        """One of the newest jobs."""
        rows = self.status()["recent_rebalances"]
        (row,) = (row for row in rows if row["job_id"] == job_id)
        found: Row = row
        return found

    def wait_ended(self, job_id: str) -> Row:
        """Wait until that job has ended."""
        return self.wait_state(job_id, "ended")

    def wait_running(self, job_id: str) -> Row:
        """Wait until a payment of that job is on its way."""
        baseline = self.baseline(job_id)
        wait_for(
            lambda: any(r["status"] == "pending" for r in self.payments(baseline)),
            "a payment on its way",
        )
        return self.wait_state(job_id, "running")

    def wait_state(self, job_id: str, state: str) -> Row:
        """Wait until that job is shown in that state; just after a start none is shown."""

        def there() -> list[Row]:
            rows = self.status()["recent_rebalances"]
            return [row for row in rows if (row["job_id"], row["state"]) == (job_id, state)]

        try:
            found: Row = wait_for(there, f"{job_id} {state}", JOB_PATIENCE_S)[0]
        except AssertionError as error:
            shown = self.status()["recent_rebalances"]
            raise AssertionError(f"{error}: {shown}") from None
        return found

    def wait_stop_asked(self) -> None:
        """Wait until sling is ending a job whose payment is on its way: all else waits behind."""
        wait_for(self._waits, "a sling that was asked to stop")

    def _waits(self) -> bool:
        try:
            wire.call(self.socket, "sling-jobsettings", {}, 1.0)
        except TimeoutError:
            return True
        return False

    def baseline(self, job_id: str) -> int:
        """The index of the node's newest payment before the job, as soon as it is stored."""
        asked = f"SELECT baseline FROM rebalance_job WHERE number = {int(job_id[1:])}"
        row = wait_for(lambda: (r := self.query(asked)) and r[0][0] >= 0 and r, "a baseline")
        return int(row[0][0])

    def paid(self, baseline: int) -> list[Row]:
        """Our completed payments to ourselves after that index."""
        return [row for row in self.payments(baseline) if row["status"] == "complete"]

    def query(self, sql: str) -> list[Any]:
        """Rows of the plugin's database."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30.0)
        ) as opened:
            return opened.execute(sql).fetchall()

    # -- books --------------------------------------------------------------------------------

    def booked_msat(self) -> dict[str, int]:
        """What the books say that rebalances have cost, by account."""
        rows = self.query(
            "SELECT name, sum(amount_msat) FROM ledger_total JOIN ledger_account"
            " ON ledger_account.id = account_id WHERE name LIKE 'expenses:%rebalance%'"
            " AND span = 0 GROUP BY name"
        )
        return {name: int(amount_msat) for name, amount_msat in rows if amount_msat}

    def reconciled(self) -> Row:
        """revenue-report reconcile, as soon as it balances."""

        def balanced() -> Row | None:
            told: Row = self.call("revenue-report", {"report_type": "reconcile"})
            return told if told["balanced"] else None

        try:
            found: Row = wait_for(balanced, "books that balance")
        except AssertionError as error:
            told = self.call("revenue-report", {"report_type": "reconcile"})
            raise AssertionError(f"{error}: {told}") from None
        return found


class SimulatedHouse(SimulatedRing, House):
    """Real time, the real plugin process, the simulated node and sling."""

    def __init__(self) -> None:
        super().__init__([sys.executable, str(PLUGIN)])
        self.hosts: list[PluginHost] = [self.node.plugin]
        self.wait_ready()
        self.configure()

    def forward(self, amount_msat: int) -> None:
        row = self.node.pay(self.source, self.target, amount_msat)
        assert row.status == "settled", row

    def hold(self) -> None:
        assert self.node.sling is not None
        self.node.sling.slow_payments(10**6, count=1)

    def release(self) -> None:
        assert self.node.sling is not None
        self.node.sling.quick_payments()

    def age_connections(self) -> None:
        for peer in self.node.world.peers.values():
            peer.connected_s -= AGED_S

    def start_plugin(self) -> None:
        super().start_plugin()
        self.hosts.append(self.node.plugin)

    def kill_plugin(self) -> None:
        self.node.plugin.kill()
        wait_for(lambda: not self.listed(), "the end of the plugin")

    def complaints(self) -> list[str]:
        return [
            f"{level}: {text}"
            for host in self.hosts
            for level, text in host.logs
            if level in ("error", "broken") or "Traceback" in text
        ]


class RealHouse(RealRing, House):
    """Three real nodes, the real sling, and the plugin."""

    between_sat = 4_000_000

    def __init__(self, chain: real_line.Chain) -> None:
        super().__init__(chain, "rebalancing", [str(PLUGIN)])
        try:
            self.wait_ready()
            self.configure()
        except BaseException:
            self.shut_down()
            raise

    def _at(self, place: int, method: str, params: object) -> Any:
        return wire.call(real_line._socket(self._nodes[place]), method, params, PATIENCE_S)

    def forward(self, amount_msat: int) -> None:
        """Over the ring whatever gossip says."""
        out = self.channel(self.third_id)
        fee_msat = out["fee_base_msat"]
        fee_msat += amount_msat * out["fee_proportional_millionths"] // 1_000_000
        label = os.urandom(8).hex()
        asked = {"amount_msat": amount_msat, "label": label, "description": label}
        invoice = self._at(2, "invoice", asked)
        first = {"id": self.own_id, "channel": self.source, "amount_msat": amount_msat + fee_msat}
        last = {"id": self.third_id, "channel": self.target, "amount_msat": amount_msat}
        route = [{**first, "delay": _LAST_DELAY + _HOP_DELAY}, {**last, "delay": _LAST_DELAY}]
        hash_ = invoice["payment_hash"]
        params = {"route": route, "payment_hash": hash_}
        self._at(1, "sendpay", {**params, "payment_secret": invoice["payment_secret"]})
        self._at(1, "waitsendpay", {"payment_hash": hash_})

    def hold(self) -> None:
        # Its lightningd decides what becomes of an HTLC; the connection is another process.
        self._nodes[2].daemon.proc.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        self._nodes[2].daemon.proc.send_signal(signal.SIGCONT)

    def age_connections(self) -> None:
        """The node has a connection's stamp in its file, and takes it in when it starts."""
        first = self._nodes[0]
        wait_for(self._calm, "channels without an HTLC")
        file = Path(self.call("getinfo")["lightning-dir"], "lightningd.sqlite3")
        first.stop(PATIENCE_S)
        with contextlib.closing(sqlite3.connect(file)) as opened, opened:
            aged_s = int(time.time()) - AGED_S
            opened.execute("UPDATE channels SET last_stable_connection = ?", (aged_s,))
        first.start()
        self._connect()

    def _calm(self) -> bool:
        return not any(row["htlcs"] for row in self.call("listpeerchannels")["channels"])

    def _connect(self) -> None:
        wait_for(self._connected, "two usable channels")

    def _connected(self) -> bool:
        first = {"id": self.own_id, "host": "127.0.0.1", "port": self._nodes[0].port}
        for place in (1, 2):
            self._at(place, "connect", first)
        rows = self.call("listpeerchannels")["channels"]
        return all(row["peer_connected"] and row.get("reestablished") for row in rows)

    def kill_plugin(self) -> None:
        pid = real_line._STARTED.findall(self._log())[-1]
        os.kill(int(pid), signal.SIGKILL)
        wait_for(lambda: not self.listed(), "the end of the plugin")

    def complaints(self) -> list[str]:
        marks = ("**BROKEN**", " BROKEN ", "Traceback")
        return [line for line in self._log().splitlines() if any(mark in line for mark in marks)]

    def _log(self) -> str:
        return Path(self._nodes[0].daemon.lightning_dir, "log").read_text("utf-8", "replace")

    def shut_down(self) -> None:
        self.release()
        super().shut_down()
