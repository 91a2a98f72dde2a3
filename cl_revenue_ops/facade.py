"""The facade: lightningd on one side, the house on the other; it translates and decides nothing."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Mapping

from cl_revenue_ops.adapters.notifications import Notifications, topics
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.bootstrap import ACCOUNTANT, CHANNEL_REGISTRY, Core, House
from cl_revenue_ops.callbook import INVALID_PARAMS, CallBook, failure
from cl_revenue_ops.commands.binding import BadInput, usage
from cl_revenue_ops.commands.desk import BUSY, VERSION, FrontDesk, HandOn, NotServed
from cl_revenue_ops.commands.settings import order
from cl_revenue_ops.commands.table import COMMANDS, RpcCommand
from cl_revenue_ops.config import SettingRefused, option_declarations, set_value
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.plugin import GuardedPlugin, PluginRequest, RpcException
from cl_revenue_ops.runtime.clock import SystemClock, VirtualClock
from cl_revenue_ops.runtime.stepped import SteppedRuntime
from cl_revenue_ops.settings_view import SettingsView
from cl_revenue_ops.virtual_time import (
    ADVANCE,
    VIRTUAL_CLOCK,
    BadEnvironment,
    advance,
    seed_from,
    start_from,
)
from messages.calls import CallOpened
from messages.channels import ChannelsTouched
from messages.forwards import CatchUpWanted
from messages.settings import SettingConfigured

GATEWAY = "gateway"
STOP_PATIENCE_S = 4.5
# How long a busy thread may keep the interpreter while a client waits for its answer.
SWITCH_S = 0.0005


class Facade:
    """One per process. Everything here runs on pyln's dispatch thread and never blocks."""

    def __init__(self, plugin: GuardedPlugin, environment: Mapping[str, str]) -> None:
        self._plugin = plugin
        start_s = start_from(environment)
        self._seed = seed_from(environment)
        self._core = Core(SystemClock() if start_s is None else VirtualClock(start_s))
        self._calls = CallBook()
        self._gate = WriteGate()
        self._malformed = Tally()
        self._left_out = Tally()
        self._notifications = Notifications(self._malformed)
        self._options: dict[str, object] = {}
        self._house: House | None = None
        self._desk: FrontDesk | None = None
        self._starting: threading.Thread | None = None
        self._announce(start_s is not None)

    # -- the manifest -------------------------------------------------------------------------

    def _announce(self, virtual: bool) -> None:
        plugin = self._plugin
        for option in option_declarations():
            plugin.add_option(
                option.name,
                option.default,
                option.description,
                opt_type=option.type,
                dynamic=option.dynamic,
                on_change=self._configured if option.dynamic else None,
            )
        for command in COMMANDS:
            line = usage("", command.all_params).removeprefix("usage:").strip()
            words = line if command.params else ""
            plugin.serve(command.name, words, command.help, self._handler(command))
        if virtual:
            plugin.serve(ADVANCE, "until", "Move the virtual clock.", self._advance)
        for topic in (*topics(), "shutdown"):
            plugin.listen(topic)
        plugin.notified = self._notified
        plugin.child_init = self._init

    # -- start and stop -----------------------------------------------------------------------

    def _init(
        self, options: dict[str, object], configuration: dict[str, object], **kwargs: object
    ) -> dict[str, str] | None:
        """lightningd's init: answered before anything touches the disk or the node."""
        from cl_revenue_ops.wiring import Wiring

        self._options = dict(options)
        view = SettingsView(self._core.board, self._options)
        self._wiring = wiring = Wiring(
            core=self._core,
            calls=self._calls,
            gate=self._gate,
            view=view,
            options=self._options,
            lightning_dir=str(configuration["lightning-dir"]),
            rpc_file=str(configuration["rpc-file"]),
            log=_NodeLog(self._plugin),
            left_out=self._left_out,
        )
        self._desk = FrontDesk(
            board=self._core.board,
            gate=self._gate,
            clock=self._core.clock,
            post=self._core.post,
            book=lambda: view.book,
            calls=self._calls,
            breakers=wiring.breaker_states,
            counters=self._counters,
            started_at_s=self._core.clock.now(),
        )
        self._view = view
        self._house = wiring.house(self._seed)
        self._house.start()
        if isinstance(self._house.runtime, SteppedRuntime):
            # The house boots after init is answered and before the next message.
            self._plugin.before = self._house.runtime.run
        return None

    def leave(self, reason: str) -> None:
        """Stop the house within the patience that lightningd has, then end the process."""
        if self._house is not None:
            self._house.stop(reason, STOP_PATIENCE_S)
            self._wiring.close()
        sys.stdout.flush()
        os._exit(0)

    # -- what comes in ------------------------------------------------------------------------

    def _handler(self, command: RpcCommand):  # type: ignore[no-untyped-def]
        return lambda request: self._command(command, request)

    def _command(self, command: RpcCommand, request: PluginRequest) -> None:
        desk = self._desk
        try:
            args = command.bind(request.params)
            if desk is None:
                raise NotServed("the plugin is not initialised yet")
            outcome = command.run(desk, args)
        except BadInput as fault:
            request.error(INVALID_PARAMS, str(fault))
            return
        except NotServed as reason:
            request.result(failure(str(reason)))
            return
        if not isinstance(outcome, HandOn):
            request.result(outcome)
        elif self._calls.full():
            request.result(failure(BUSY))
        else:
            self._hand_on(outcome, request)

    def _hand_on(self, work: HandOn, request: PluginRequest) -> None:
        deadline_s = self._core.clock.monotonic() + work.patience_s
        call_id = self._calls.open(request, deadline_s)
        post = self._core.post
        post.tell(GATEWAY, CallOpened(call_id, deadline_s))
        post.tell(work.address, work.build(call_id, GATEWAY, deadline_s))
        if self._run_if_stepped() and call_id in self._calls.deadlines():
            self._calls.refuse(call_id, "busy: virtual time must advance first", False)

    def _notified(self, topic: str, params: object) -> None:
        if topic == "shutdown":
            self.leave("lightningd asked for it")
        message = self._notifications.read(topic, params)
        if message is None:
            return
        post = self._core.post
        if isinstance(message, ChannelsTouched):
            post.tell(CHANNEL_REGISTRY, message)
            if topic == "connect":
                post.tell(ACCOUNTANT, CatchUpWanted("a peer connected"))
        else:
            post.publish(message)
        self._run_if_stepped()

    def _configured(self, plugin: object, option: str, raw: object) -> None:
        """lightningd's setconfig wants the verdict at once; the Settings actor hears of it."""
        outcome = set_value(self._view.book, option, raw, "setconfig")
        if isinstance(outcome, SettingRefused):
            raise RpcException(outcome.text, code=INVALID_PARAMS)
        book, change = outcome
        ticket = order(self._gate, change)
        self._view.accept(book)
        self._options[option] = raw
        self._core.post.tell("settings", SettingConfigured(change.key, raw, ticket))
        self._run_if_stepped()

    # -- virtual time -------------------------------------------------------------------------

    def _advance(self, request: PluginRequest) -> None:
        assert self._house is not None and isinstance(self._house.runtime, SteppedRuntime)
        advance(self._house.runtime, request)

    def _run_if_stepped(self) -> bool:
        house = self._house
        if house is None or not isinstance(house.runtime, SteppedRuntime):
            return False
        house.runtime.run()
        return True

    def _counters(self) -> dict[str, object]:
        return {
            "malformed": self._malformed.counts(),
            "replies_left_out": self._left_out.counts(),
            "lines_skipped": self._plugin.skipped,
            "handlers_failed": self._plugin.failed,
        }


class _NodeLog:
    """ports.Log over the plugin protocol. Never level error: lightningd calls that BROKEN."""

    def __init__(self, plugin: GuardedPlugin) -> None:
        self._plugin = plugin

    def info(self, text: str) -> None:
        self._say(text, "info")

    def warn(self, text: str) -> None:
        self._say(text, "warn")

    def _say(self, text: str, level: str) -> None:
        # Whoever logs has more important things to do than to fail because of it: the pipe may
        # be gone already.
        with contextlib.suppress(OSError, ValueError):
            self._plugin.log(text, level=level)


def main() -> None:
    """Serve lightningd until it closes our standard input; run by hand, print the usage."""
    sys.setswitchinterval(SWITCH_S)
    try:
        facade = Facade(plugin := GuardedPlugin(), os.environ)
    except BadEnvironment as fault:
        # Nobody reads our log before the manifest; lightningd shows standard error.
        if sys.__stderr__ is not None:
            sys.__stderr__.write(f"cl-revenue-ops: {fault}\n")
        sys.exit(2)
    plugin.run()
    if os.environ.get("LIGHTNINGD_PLUGIN") == "1":
        facade.leave("lightningd closed the connection")


__all__ = ["VERSION", "VIRTUAL_CLOCK", "Facade", "main"]
