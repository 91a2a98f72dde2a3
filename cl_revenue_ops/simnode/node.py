"""The simulated node as one object: world, socket, plugins and clock, with control verbs."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from cl_revenue_ops.simnode import clboss as clboss_plugin
from cl_revenue_ops.simnode import client
from cl_revenue_ops.simnode import sling as sling_plugin
from cl_revenue_ops.simnode.autoclean import Autoclean
from cl_revenue_ops.simnode.bookkeeper import Bookkeeper
from cl_revenue_ops.simnode.clock import Clock, RealClock, VirtualClock
from cl_revenue_ops.simnode.controls import Controls
from cl_revenue_ops.simnode.era import NEWEST
from cl_revenue_ops.simnode.errors import NodeDown, SimRpcError
from cl_revenue_ops.simnode.faults import Faults
from cl_revenue_ops.simnode.model import Policy
from cl_revenue_ops.simnode.options import Options
from cl_revenue_ops.simnode.plugin_host import STOP_GRACE_S, PluginHost
from cl_revenue_ops.simnode.plugins import Launch, Plugins
from cl_revenue_ops.simnode.rpc import Context
from cl_revenue_ops.simnode.server import Server
from cl_revenue_ops.simnode.sling_routes import Routes
from cl_revenue_ops.simnode.world import World

ADVANCE = "dev-revenue-advance"
_TICK_S = 0.25


def _temporary_directory() -> tempfile.TemporaryDirectory[str]:
    # The path of a unix socket has at most 107 bytes, so it must not lie deep.
    return tempfile.TemporaryDirectory(prefix="simnode-", ignore_cleanup_errors=True)


class SimulatedNode(Controls):
    """A node that runs the plugin of `argv` (None: no plugin) and serves its RPC socket.

    The last word of `argv` is the plugin's file. With `start_s` time is virtual: it stands there
    until `advance`, and the plugin process gets REVENUE_OPS_VIRTUAL_CLOCK and REVENUE_OPS_SEED.
    Without, time is the system's and a thread ticks. `on_step(from_s, to_s)` is called before
    each step of time, to put in the attempts of that span; it runs in the caller's thread
    (virtual) or the ticking one. Use as a context manager, or call `start` and `stop`. A
    directory that was not given is temporary. `clboss` and `sling` are the releases
    of those plugins beside it (None: not there, and unknown); sling finds its ways in `routes`;
    without `bookkeeper` that plugin is disabled, until `plugins.set_present` brings it. Within
    a step, which `on_step` is called for once, virtual time goes on by `steps_s` at most: the first
    while sling rests, the second while it works, so that who watches a job sees it move.
    """

    def __init__(
        self,
        argv: list[str] | None = None,
        *,
        start_s: float | None = None,
        seed: int = 0,
        directory: Path | None = None,
        network: str = "regtest",
        version: str = NEWEST,
        options: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        on_step: Callable[[float, float], None] | None = None,
        clboss: str | None = None,
        sling: str | None = None,
        routes: Routes | None = None,
        bookkeeper: bool = True,
        steps_s: tuple[float, float] | None = None,
    ) -> None:
        self._temporary = None if directory else _temporary_directory()
        base = directory or Path(self._temporary.name if self._temporary else "")
        self.network_dir = base.resolve() / network
        self.network_dir.mkdir(parents=True, exist_ok=True)
        self.rpc_file = self.network_dir / "lightning-rpc"
        self._virtual = VirtualClock(start_s) if start_s is not None else None
        self.clock: Clock = self._virtual or RealClock()
        self.world = World(self.clock, seed=seed, network=network, version=version)
        self.faults = Faults(seed, self.clock.now)
        self.options = Options(self.world.era, dict(options or {}))
        self._configure()
        self.plugins = Plugins(
            self.world, self.options, self.faults, self.network_dir, self._environment
        )
        self.world.listeners.append(self.plugins)
        self.autoclean = Autoclean(self.world, self.options)
        self.bookkeeper = Bookkeeper(self.world)
        self.plugins.add_companion(self.bookkeeper, present=bookkeeper, dynamic=False)
        self.clboss: clboss_plugin.Clboss | None = None
        if clboss is not None:
            self.clboss = clboss_plugin.Clboss(self.world, clboss, seed)
            self.plugins.add_companion(self.clboss, dynamic=False)
        self.sling: sling_plugin.Sling | None = None
        if sling is not None:
            folder = self.network_dir / sling_plugin.NAME
            self.sling = sling_plugin.Sling(self.world, folder, sling, routes)
            self.plugins.add_companion(self.sling)
        self.on_step = on_step
        self._steps_s = steps_s
        self.aborted: str | None = None
        self.last_advance: dict[str, Any] = {}
        self._argv = argv
        self._plugin_path: str | None = None
        if argv:
            # The process starts in the network directory, so a relative path must not reach it.
            self._plugin_path = str(Path(argv[-1]).resolve())
            launch = Launch([*argv[:-1], self._plugin_path], dict(env or {}))
            self.plugins.launches[self._plugin_path] = launch
        self._server: Server | None = None
        self._halt = threading.Event()
        self._seed = seed
        self._crashes: list[Exception] = []

    def _configure(self) -> None:
        """Give the world what the node's own options say of it."""
        value = self.options.value
        self.world.alias = value("alias")
        self.world.max_accepted_htlcs = value("max-concurrent-htlcs")
        self.world.default_policy = Policy(
            value("fee-base"), value("fee-per-satoshi"), cltv_delta=value("cltv-delta")
        )

    def _environment(self) -> Mapping[str, str]:
        if self._virtual is None:
            return {}
        return {
            "REVENUE_OPS_VIRTUAL_CLOCK": repr(self._virtual.base_s),
            "REVENUE_OPS_SEED": str(self._seed),
        }

    # -- life ----------------------------------------------------------------------------------

    def __enter__(self) -> SimulatedNode:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def running(self) -> bool:
        """True while the socket is served."""
        return self._server is not None

    def start(self) -> None:
        """Serve the socket and start the plugin; SimRpcError if the plugin cannot start."""
        self._halt.clear()
        self.aborted = None
        self.options.reboot()
        context = Context(
            self.world, self.options, self.plugins, self.autoclean, self.network_dir,
            stop_requested=threading.Event(), abort=self._abort,
            running=lambda: not self._halt.is_set(),
        )  # fmt: skip
        self._server = Server(
            self.rpc_file, context, self.faults,
            on_stop=lambda: threading.Thread(target=self.stop, daemon=True).start(),
        )  # fmt: skip
        self.plugins.node_lives(True)
        try:
            if self._plugin_path is not None:
                self.plugins.start(self._plugin_path, startup=True)
            unclaimed = self.options.unclaimed()
            if unclaimed and self._plugin_path is not None:
                raise SimRpcError(-1, f"unrecognized option: {unclaimed[0]}")
        except SimRpcError:
            self.stop()
            raise
        if self._virtual is None:
            threading.Thread(target=self._run, daemon=True).start()

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Shut down: plugins first, then the socket; raises what crashed in the simulator."""
        self._halt.set()
        self.plugins.shut_down(grace_s)
        self.plugins.node_lives(False)
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._crashes += server.crashes
        if self._crashes:
            raise self._crashes[0]

    def _abort(self, reason: str) -> None:
        """lightningd crashes: every process is killed, every connection closes."""
        self.aborted = reason
        self._halt.set()
        for host in list(self.plugins.hosts):
            host.kill()
        self.plugins.node_lives(False)
        server, self._server = self._server, None
        if server is not None:
            server.close()
        raise NodeDown(reason)

    def restart(self, *, kill: bool = False) -> None:
        """lightningd goes down and comes back: the plugin gets its shutdown, or SIGKILL.

        Former policies are forgotten; peers disconnect and reconnect; `startup` is true again.
        """
        connected = [peer.id for peer in self.world.peers.values() if peer.connected]
        if kill:
            for host in list(self.plugins.hosts):
                host.kill()
        self.stop()
        self.world.lose_memory()
        for peer_id in connected:
            self.world.disconnect(peer_id)
        self.start()
        for peer_id in connected:
            self.world.connect(peer_id)

    @property
    def calls(self) -> dict[str, int]:
        """How many requests of each method the socket has had since the start."""
        return {} if self._server is None else self._server.calls

    # -- the plugin ----------------------------------------------------------------------------

    @property
    def plugin(self) -> PluginHost:
        """The process of the plugin under test; PluginDied or NodeDown if it does not run."""
        for host in list(self.plugins.hosts):
            if host.path == self._plugin_path:
                return host
        if self._plugin_path in self.plugins.ended:
            raise self.plugins.ended[self._plugin_path].died()
        raise NodeDown("the plugin does not run")

    def restart_plugin(self, *, kill: bool = False) -> None:
        """Stop the plugin as `plugin stop` does, or by SIGKILL, and start it again."""
        host = self.plugin
        if kill:
            host.kill()
        else:
            host.stop()
        self.plugins.start(host.path)

    def call(
        self,
        method: str,
        params: Any = None,
        *,
        timeout_s: float | None = 300.0,
        wanted: Any = None,
    ) -> Any:
        """Call any RPC method over the socket; SimRpcError for an error answer."""
        return client.call(self.rpc_file, method, params, timeout_s, wanted)

    # -- time ----------------------------------------------------------------------------------

    def advance(self, until_s: float, step_s: float | None = None) -> dict[str, Any]:
        """Virtual time: go on to `until_s` in steps of at most `step_s` seconds.

        Each step first calls `on_step`, then sets the node to the end of the step, then lets the
        plugin advance to it. Returns the plugin's last answer ({} without a plugin). Raises
        PluginDied with the tail of its standard error if the plugin ended.
        """
        if self._virtual is None:
            raise ValueError("only virtual time can be advanced")
        while self._virtual.base_s < until_s:
            begin_s = self._virtual.base_s
            end_s = until_s if step_s is None else min(until_s, begin_s + step_s)
            if self.on_step is not None:
                self.on_step(begin_s, end_s)
            while self._virtual.base_s < end_s:
                self._virtual.set(self._reach_s(end_s))
                self._tick()
                self.last_advance = self._advance_plugin(self._virtual.base_s)
        return self.last_advance

    def _reach_s(self, end_s: float) -> float:
        """How far time goes at once."""
        assert self._virtual is not None
        if self._steps_s is None:
            return end_s
        works = self.sling is not None and self.sling.at_work
        return min(end_s, self._virtual.base_s + self._steps_s[works])

    def _advance_plugin(self, until_s: float) -> dict[str, Any]:
        if self._argv is None:
            return {}
        host = self.plugin
        try:
            answer: dict[str, Any] = host.request(ADVANCE, {"until": until_s})
        except SimRpcError:
            if host.alive:
                raise
            raise host.died() from None
        if self._server is not None and self._server.crashes:
            raise self._server.crashes[0]
        return answer

    def _tick(self) -> None:
        now_s = self.clock.now()
        self.autoclean.tick(now_s)
        if self.clboss is not None and self.plugins.is_present(clboss_plugin.NAME):
            self.clboss.tick(now_s)
        if self.sling is not None:
            self.sling.tick(now_s)
        self.plugins.release_late(now_s)

    def _run(self) -> None:
        last_s = self.clock.now()
        try:
            while not self._halt.wait(_TICK_S):
                now_s = self.clock.now()
                if self.on_step is not None and now_s > last_s:
                    self.on_step(last_s, now_s)
                last_s = now_s
                self._tick()
        except Exception as crash:
            self._crashes.append(crash)
            raise

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait in real time until `condition` holds; TimeoutError if it never does."""
        ends = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > ends:
                raise TimeoutError("the condition did not come true")
            time.sleep(0.01)
