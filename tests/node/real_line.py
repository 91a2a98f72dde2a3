"""The line of three on real nodes: lightningd and bitcoind in regtest, driven by pyln-testing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.node import holding_payee, wire
from tests.node.line import PATIENCE_S, Line, Row, wait_for
from tests.node.wire import RpcError

UNKNOWN_SCID = "1x1x1"
_STARTED = re.compile(r"started\((\d+)\) .*cl-revenue-ops\.py")
_FORCED = ("Timeout on shutdown", "failed to self-terminate in time")
_LAST_DELAY, _HOP_DELAY = 15, 6


def why_not() -> str | None:
    """Why no real node can be run here; None if one can."""
    missing = [name for name in ("lightningd", "bitcoind") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not on the PATH"
    return None if find_spec("pyln.testing") else "the package pyln-testing is not installed"


class Chain:
    """One bitcoind in regtest for the whole run."""

    def __init__(self) -> None:
        # pyln-testing passes an option of the gRPC plugin unless it is told that there is none.
        known = subprocess.run(["lightningd", "--help"], capture_output=True, text=True, check=True)
        os.environ.setdefault("RUST", "1" if "--grpc-port" in known.stdout else "0")
        from pyln.testing.utils import BitcoinD

        # The path of a unix socket has at most 107 bytes, so it must not lie deep.
        self._folder = tempfile.TemporaryDirectory(prefix="line-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.bitcoind: Any = BitcoinD(bitcoin_dir=str(self.folder))
        self.bitcoind.start()
        self.bitcoind.generate_block(101)

    def stop(self) -> None:
        """End bitcoind and remove every file of the run."""
        self.bitcoind.stop()
        self._folder.cleanup()


class RealLine(Line):
    """Three real nodes. They reconnect only when told to, so that nothing happens by itself."""

    def __init__(self, chain: Chain, name: str) -> None:
        super().__init__()
        self.bitcoind = chain.bitcoind
        self._workers = ThreadPoolExecutor(20)
        self._factory = _factory(chain, name, self._workers)
        folder = chain.folder / name
        holder = folder / "holding_payee.py"
        shutil.copy(Path(holding_payee.__file__), holder)
        holder.chmod(holder.stat().st_mode | stat.S_IXUSR)
        self.payer, self.middle, self.payee = self._factory.get_nodes(
            3, opts=[{"start": False} for _ in range(3)]
        )
        self.middle.daemon.opts["plugin"] = self.plugin_path
        self.payee.daemon.opts["plugin"] = str(holder)
        self.socket = _socket(self.middle)
        self._hold_file = _socket(self.payee).with_name("hold")
        try:
            self._begin()
        except BaseException:
            self.shut_down()
            raise

    def _begin(self) -> None:
        for node in self._nodes:
            _prepare(node)
            node.start()
        self._factory.join_nodes(self._nodes, wait_for_announce=True)
        self.payer_id = self.payer.info["id"]
        self.payee_id = self.payee.info["id"]
        self.wait_ready()

    @property
    def _nodes(self) -> list[Any]:
        return [self.payer, self.middle, self.payee]

    # -- payments -----------------------------------------------------------------------------

    def pay(self, amount_msat: int, ending: str = "settled") -> None:
        fee_msat = self.fee_msat(amount_msat)
        hash_ = self._send(amount_msat, fee_msat, ending)
        try:
            self.at(self.payer, "waitsendpay", {"payment_hash": hash_})
            ended = "settled"
        except RpcError as error:
            failure = error.body.get("data", {}).get("failcodename", error.message)
            unknown = failure == "WIRE_UNKNOWN_NEXT_PEER"
            ended = "refused" if unknown else "failed" if "UNKNOWN_PAYMENT" in failure else failure
        assert ended == ending, ended
        self.note(ending, amount_msat, fee_msat)

    def _send(self, amount_msat: int, fee_msat: int, ending: str) -> str:
        """Send over the line whatever gossip says; the payment_hash."""
        label = os.urandom(8).hex()
        invoice = self.at(
            self.payee,
            "invoice",
            {"amount_msat": amount_msat, "label": label, "description": label},
        )
        hash_ = os.urandom(32).hex() if ending == "failed" else invoice["payment_hash"]
        onward = UNKNOWN_SCID if ending == "refused" else self.outgoing["short_channel_id"]
        route = [
            {
                "id": self.middle.info["id"],
                "channel": self.incoming["short_channel_id"],
                "amount_msat": amount_msat + fee_msat,
                "delay": _LAST_DELAY + _HOP_DELAY,
            },
            {
                "id": self.payee_id,
                "channel": onward,
                "amount_msat": amount_msat,
                "delay": _LAST_DELAY,
            },
        ]
        secret = invoice["payment_secret"]
        params = {"route": route, "payment_hash": hash_, "payment_secret": secret}
        self.at(self.payer, "sendpay", params)
        return str(hash_)

    def hold(self, amount_msat: int) -> Callable[[], None]:
        self._hold_file.touch()
        hash_ = self._send(amount_msat, self.fee_msat(amount_msat), "settled")
        wait_for(lambda: self.forwards("offered"), "an offered forward")

        def release() -> None:
            self._hold_file.unlink()
            self.at(self.payer, "waitsendpay", {"payment_hash": hash_})

        return release

    def pay_itself(self, amount_msat: int, fee_msat: int) -> Row:
        # In a line the only way round is out and back by the channel to the payee.
        label, filled = os.urandom(8).hex(), self.outgoing
        hop = {"channel": filled["short_channel_id"]}
        invoice = self.call(
            "invoice", {"amount_msat": amount_msat, "label": label, "description": label}
        )
        out = {"id": self.payee_id, "amount_msat": amount_msat + fee_msat, **hop}
        back = {"id": self.middle.info["id"], "amount_msat": amount_msat, **hop}
        hash_, secret = invoice["payment_hash"], invoice["payment_secret"]
        route = [{**out, "delay": _LAST_DELAY + _HOP_DELAY}, {**back, "delay": _LAST_DELAY}]
        self.call("sendpay", {"route": route, "payment_hash": hash_, "payment_secret": secret})
        self.call("waitsendpay", {"payment_hash": hash_})
        return filled

    def pay_by_gossip(self, amount_msat: int) -> int:
        label = os.urandom(8).hex()
        invoice = {"amount_msat": amount_msat, "label": label, "description": label}
        bolt11 = self.at(self.payee, "invoice", invoice)["bolt11"]
        paid = self.at(self.payer, "xpay", {"invstring": bolt11})
        fee_msat: int = paid["amount_sent_msat"] - amount_msat
        self.note("settled", amount_msat, fee_msat)
        return fee_msat

    def neighbours_view_ppm(self) -> int | None:
        scid = self.outgoing["short_channel_id"]
        rows = self.at(self.payer, "listchannels", {"short_channel_id": scid})["channels"]
        ours = [row for row in rows if row["destination"] == self.payee_id]
        return ours[0]["fee_per_millionth"] if ours else None

    # -- channels and chain -------------------------------------------------------------------

    def splice_in(self, amount_sat: int) -> None:
        address = self.call("newaddr", {"addresstype": "bech32"})["bech32"]
        self.bitcoind.rpc.sendtoaddress(address, (amount_sat + 100_000) / 10**8)
        self.mine(1)
        channel_id = self.outgoing["channel_id"]
        done = self.call("splicein", {"channel": channel_id, "amount": f"{amount_sat}sat"})
        wait_for(lambda: done["txid"] in self.bitcoind.rpc.getrawmempool(), "the splice")

    def close_to_payee(self) -> None:
        channel_id = self.outgoing["channel_id"]
        self.call("close", {"id": channel_id})
        wait_for(self.bitcoind.rpc.getrawmempool, "the closing transaction")
        self.mine(1)
        wait_for(lambda: self._state_of(channel_id) == "ONCHAIN", "the close on chain")

    def _state_of(self, channel_id: str) -> object:
        rows = self.call("listpeerchannels")["channels"]
        return next((row["state"] for row in rows if row.get("channel_id") == channel_id), None)

    def mine(self, blocks: int) -> None:
        self.bitcoind.generate_block(blocks)
        height = self.bitcoind.rpc.getblockcount()
        wait_for(lambda: self._heights() == {height}, "the blocks")

    def _heights(self) -> set[int]:
        return {self.at(node, "getinfo")["blockheight"] for node in self._nodes}

    def disconnect_payee(self) -> None:
        self.call("disconnect", {"id": self.payee_id, "force": True})
        wait_for(lambda: not self.outgoing["peer_connected"], "the end of the connection")

    def reconnect_payee(self) -> None:
        self._connect()

    def _connect(self) -> None:
        wait_for(self._connected, "two usable channels")

    def _connected(self) -> bool:
        for node in (self.payer, self.payee):
            middle = {"id": self.middle.info["id"], "host": "127.0.0.1", "port": self.middle.port}
            self.at(node, "connect", middle)
        ends = [self.at(node, "listpeerchannels") for node in (self.payer, self.payee)]
        rows = [row for end in ends for row in end["channels"]]
        return self.usable() and all(row.get("reestablished") for row in rows)

    # -- processes ----------------------------------------------------------------------------

    def restart_node(self) -> None:
        self.stop_node()
        self.start_node()

    def stop_node(self) -> None:
        # A lightningd that stops while a settled HTLC is still being removed cannot book its fee
        # after the restart, and calls that BROKEN.
        wait_for(self._calm, "channels without an HTLC")
        self.middle.stop(PATIENCE_S)

    def _calm(self) -> bool:
        return not any(row["htlcs"] for row in self.call("listpeerchannels")["channels"])

    def crash_node(self) -> None:
        wait_for(self._calm, "channels without an HTLC")
        self.middle.daemon.kill()

    def start_node(self) -> None:
        self.middle.start()
        self._connect()

    def plugin_pid(self) -> int | None:
        started = _STARTED.findall(self._log())
        return int(started[-1]) if started and self.listed() else None

    def kill_plugin(self) -> None:
        pid = self.plugin_pid()
        assert pid is not None
        os.kill(pid, 9)
        wait_for(lambda: not self.listed(), "the end of the plugin")

    def unclean_exits(self) -> list[str]:
        return [line for line in self._log().splitlines() if any(what in line for what in _FORCED)]

    def complaints(self) -> list[str]:
        marks = ("**BROKEN**", " BROKEN ", "Traceback")
        return [line for line in self._log().splitlines() if any(mark in line for mark in marks)]

    def shut_down(self) -> None:
        for node in self._nodes:
            # One that never started, or crashed, has nothing to stop.
            with contextlib.suppress(Exception):
                node.stop(PATIENCE_S)
            if node.daemon.proc is not None and node.daemon.proc.poll() is None:
                node.daemon.kill()
        self._workers.shutdown(wait=False)

    def _log(self) -> str:
        return Path(self.middle.daemon.lightning_dir, "log").read_text("utf-8", "replace")

    def at(self, node: Any, method: str, params: object = None) -> Any:
        """The result of a method of any of the three."""
        return wire.call(_socket(node), method, {} if params is None else params, PATIENCE_S)


def _factory(chain: Chain, name: str, workers: ThreadPoolExecutor) -> Any:
    from pyln.testing.db import SqliteDbProvider
    from pyln.testing.utils import LightningNode, NodeFactory

    folder = chain.folder / name
    folder.mkdir()
    databases = SqliteDbProvider(str(folder))
    databases.start()
    return NodeFactory(
        None, name, chain.bitcoind, workers, str(folder), databases, LightningNode, {}
    )


def _prepare(node: Any) -> None:
    """The log goes to its file alone; `python3` is the interpreter that runs these tests."""
    daemon = node.daemon
    daemon.opts["log-file"] = str(Path(daemon.lightning_dir, "log"))
    here = str(Path(sys.executable).parent)
    daemon.env["PATH"] = f"{here}{os.pathsep}{daemon.env.get('PATH', '')}"


def _socket(node: Any) -> Path:
    return Path(node.daemon.lightning_dir, "regtest", "lightning-rpc")
