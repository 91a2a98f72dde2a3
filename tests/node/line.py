"""A line of three nodes whose middle one runs the plugin: what every acceptance case works on."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.node import wire
from tests.node.wire import NodeGone, RpcError

PLUGIN = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"
PATIENCE_S = 90.0

Row = dict[str, Any]


def wait_for(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> Any:
    """The first truthy value of `condition`, which may raise RpcError or NodeGone meanwhile."""
    ends_s = time.monotonic() + patience_s
    while True:
        seen: object = None
        try:
            seen = condition()
        except (RpcError, NodeGone) as error:
            seen_instead: object = error
        else:
            if seen:
                return seen
            seen_instead = seen
        if time.monotonic() > ends_s:
            raise AssertionError(f"waited in vain for {what}: {seen_instead!r}")
        time.sleep(0.05)


@dataclass
class Tally:
    """What the payers know of the forwards that they caused: the truth for all counting."""

    settled: int = 0
    volume_msat: int = 0
    fees_msat: int = 0
    failed: int = 0
    offered: int = 0

    def as_counted(self) -> dict[str, int]:
        """The same in the words of revenue-status."""
        return dict(vars(self))


class Line(ABC):
    """payer -> middle -> payee, one announced channel each, all funds on the payer's side of
    the first and on the middle's side of the second. Amounts are msat, capacities sat.

    Verbs wait until what they ask for has happened. `tally` is kept by the paying verbs.
    """

    payer_id: str
    payee_id: str
    socket: Path

    def __init__(self) -> None:
        self.tally = Tally()
        self.plugin_path = str(PLUGIN)

    # -- what differs between the two ---------------------------------------------------------

    @abstractmethod
    def pay(self, amount_msat: int, ending: str = "settled") -> None:
        """Pay through the middle, at its present fee.

        `failed`: the payee refuses it. `refused`: the middle knows no such next channel.
        """

    @abstractmethod
    def hold(self, amount_msat: int) -> Callable[[], None]:
        """Begin a payment that the payee holds back; the result lets it settle and waits."""

    @abstractmethod
    def pay_itself(self, amount_msat: int, fee_msat: int) -> Row:
        """The middle pays itself, for that fee to others; the channel that was filled.

        What comes back must be the payee's, so pay it first.
        """

    @abstractmethod
    def pay_by_gossip(self, amount_msat: int) -> int:
        """Let the payer find its own way by the gossip that it has; the fee that it paid."""

    @abstractmethod
    def neighbours_view_ppm(self) -> int | None:
        """The ppm that gossip gives the payer for the middle's channel to the payee."""

    @abstractmethod
    def splice_in(self, amount_sat: int) -> None:
        """Begin a splice that adds our funds to the channel to the payee."""

    @abstractmethod
    def close_to_payee(self) -> None:
        """Close the channel to the payee mutually and confirm it."""

    @abstractmethod
    def mine(self, blocks: int) -> None:
        """Mine blocks and wait until the middle has seen them."""

    @abstractmethod
    def disconnect_payee(self) -> None:
        """Break the connection to the payee, and keep it broken until `reconnect_payee`."""

    @abstractmethod
    def reconnect_payee(self) -> None:
        """Connect again and wait until the channel is usable."""

    @abstractmethod
    def restart_node(self) -> None:
        """lightningd goes down in good order and comes back, with the plugin at boot."""

    @abstractmethod
    def stop_node(self) -> None:
        """lightningd goes down in good order."""

    @abstractmethod
    def start_node(self) -> None:
        """lightningd comes back; its channels are usable."""

    @abstractmethod
    def crash_node(self) -> None:
        """lightningd is gone without a word; `start_node` brings it back."""

    @abstractmethod
    def plugin_pid(self) -> int | None:
        """The process of the plugin, None where there is none."""

    @abstractmethod
    def kill_plugin(self) -> None:
        """SIGKILL, and wait until the node has noticed."""

    @abstractmethod
    def unclean_exits(self) -> list[str]:
        """What tells that a stop of the plugin needed force or ended with an error."""

    @abstractmethod
    def complaints(self) -> list[str]:
        """What the node logged as BROKEN, and tracebacks of the plugin."""

    @abstractmethod
    def shut_down(self) -> None:
        """End everything."""

    # -- calls --------------------------------------------------------------------------------

    def call(self, method: str, params: object = None, timeout_s: float = PATIENCE_S) -> Any:
        """The result of any method of the middle node; raises RpcError."""
        return wire.call(self.socket, method, {} if params is None else params, timeout_s)

    def call_as_is(self, method: str, params: object) -> Any:
        """Like `call`, with whatever JSON value as params, null included."""
        return wire.call(self.socket, method, params, PATIENCE_S)

    def status(self) -> Row:
        """revenue-status."""
        answer: Row = self.call("revenue-status")
        return answer

    def setting(self, key: str) -> Row:
        """revenue-config get."""
        answer: Row = self.call("revenue-config", ["get", key])
        return answer

    def forwards(self, status: str | None = None) -> list[Row]:
        """listforwards."""
        rows: list[Row] = self.call("listforwards", {} if status is None else {"status": status})[
            "forwards"
        ]
        return rows

    def channel_with(self, peer_id: str) -> Row:
        """The one channel with that peer, as listpeerchannels shows it."""
        rows = self.call("listpeerchannels", {"id": peer_id})["channels"]
        (row,) = (r for r in rows if r["state"] not in ("ONCHAIN", "CLOSINGD_COMPLETE"))
        found: Row = row
        return found

    @property
    def incoming(self) -> Row:
        """The channel with the payer."""
        return self.channel_with(self.payer_id)

    @property
    def outgoing(self) -> Row:
        """The channel with the payee."""
        return self.channel_with(self.payee_id)

    def fee_msat(self, amount_msat: int) -> int:
        """What the middle asks for forwarding `amount_msat` to the payee, as configured now."""
        out = self.outgoing
        ppm: int = out["fee_proportional_millionths"]
        base_msat: int = out["fee_base_msat"]
        return base_msat + amount_msat * ppm // 1_000_000

    def usable(self) -> bool:
        """True if both channels can carry payments now."""
        rows = [self.incoming, self.outgoing]
        return all(
            row["peer_connected"]
            and row.get("reestablished", True)
            and row["state"] in ("CHANNELD_NORMAL", "CHANNELD_AWAITING_SPLICE")
            for row in rows
        )

    # -- payments -----------------------------------------------------------------------------

    def note(self, ending: str, amount_msat: int, fee_msat: int) -> None:
        """Put a finished payment into the tally."""
        tally = self.tally
        if ending == "settled":
            tally.settled += 1
            tally.volume_msat += amount_msat
            tally.fees_msat += fee_msat
        else:
            tally.failed += 1

    @contextmanager
    def held_payment(self, amount_msat: int) -> Iterator[None]:
        """A payment that is on its way inside the block and settles at its end."""
        fee_msat = self.fee_msat(amount_msat)
        release = self.hold(amount_msat)
        self.tally.offered += 1
        try:
            yield
        finally:
            release()
            self.tally.offered -= 1
            self.note("settled", amount_msat, fee_msat)

    # -- the plugin ---------------------------------------------------------------------------

    def start_plugin(self, options: Mapping[str, object] | None = None) -> None:
        """`plugin start` and wait until it has caught up."""
        params = {"subcommand": "start", "plugin": self.plugin_path, **(options or {})}
        self.call("plugin", params)
        self.wait_ready()

    def stop_plugin(self) -> None:
        """`plugin stop`; it returns when the process has ended."""
        self.call("plugin", {"subcommand": "stop", "plugin": self.plugin_path})

    def listed(self) -> list[Row]:
        """The plugin's entries in `plugin list`."""
        rows = self.call("plugin", {"subcommand": "list"})["plugins"]
        return [row for row in rows if "cl-revenue-ops" in row["name"]]

    def wait_ready(self) -> None:
        """Wait until every actor works, forwards are caught up and both channels are known."""
        wait_for(self._ready, "a plugin that is ready")

    def _ready(self) -> bool:
        status = self.status()
        states = {actor["state"] for actor in status["actors"].values()}
        known = {row["scid"] for row in status["channel_states"]}
        wanted = {row.get("short_channel_id") for row in self.call("listpeerchannels")["channels"]}
        return (
            states == {"ready"}
            and bool(status["forwards"].get("caught_up"))
            and wanted - {None} <= known
        )

    def wait_counted(self) -> Row:
        """Wait until the plugin counts exactly what the payers know; the forwards it shows."""
        wanted = self.tally.as_counted()

        def counted() -> object:
            shown = self.status()["forwards"]
            return shown if {name: shown.get(name) for name in wanted} == wanted else None

        try:
            found: Row = wait_for(counted, f"the forwards {wanted}", 45.0)
        except AssertionError as error:
            raise AssertionError(f"{error}; shown: {self.status()['forwards']}") from None
        return found
