"""The plugins of the node: processes and companions, their methods, starts, stops and news."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cl_revenue_ops.simnode.errors import PLUGIN_ERROR, SimRpcError, bad_params
from cl_revenue_ops.simnode.faults import Faults
from cl_revenue_ops.simnode.options import BadOption, Options
from cl_revenue_ops.simnode.plugin_host import HANDSHAKE_S, PluginHost
from cl_revenue_ops.simnode.world import World


class Companion(Protocol):
    """Another plugin that this simulator plays itself, inside its own process.

    `methods` maps a method name to its handler, which gets the request's params (array or
    object) and returns the result or raises SimRpcError.
    """

    @property
    def path(self) -> str:
        """The full path that `plugin list` shows."""

    @property
    def methods(self) -> Mapping[str, Callable[[Any], Any]]:
        """The handlers by method name."""


@runtime_checkable
class Living(Protocol):
    """A companion that wants to know when its process starts and ends; `now_s` unix seconds."""

    def appeared(self, now_s: float) -> None:
        """It has started."""

    def vanished(self, now_s: float) -> None:
        """It has ended, by whatever means."""


@dataclass(frozen=True)
class Launch:
    """How a plugin process is started: command line and what is added to its environment."""

    argv: list[str]
    env: Mapping[str, str]


class Plugins:
    """Routes methods and notifications to plugins; a listener of the world.

    `hosts` are the running processes, `ended` the last one of each path that ended.
    """

    def __init__(
        self,
        world: World,
        options: Options,
        faults: Faults,
        network_dir: Path,
        environment: Callable[[], Mapping[str, str]],
    ) -> None:
        self.hosts: list[PluginHost] = []
        self.ended: dict[str, PluginHost] = {}
        self.launches: dict[str, Launch] = {}
        self._world = world
        self._options = options
        self._faults = faults
        self._network_dir = network_dir
        self._environment = environment
        self._companions: dict[str, Companion] = {}
        self._present: set[str] = set()
        self._static: set[str] = set()
        self._guard = threading.RLock()

    # -- companions ----------------------------------------------------------------------------

    def add_companion(
        self, companion: Companion, *, present: bool = True, dynamic: bool = True
    ) -> None:
        """Know a companion plugin; present ones answer their methods, absent ones do not exist.

        One that is not dynamic cannot be stopped by `plugin stop`.
        """
        name = Path(companion.path).name
        self._companions[name] = companion
        if not dynamic:
            self._static.add(name)
        if present:
            self.set_present(name, True)

    def is_present(self, name: str) -> bool:
        """True while this companion is there."""
        return name in self._present

    def set_present(self, name: str, present: bool) -> None:
        """Let a companion appear or vanish, with plugin_started or plugin_stopped."""
        companion = self._companions[name]
        if present == (name in self._present):
            return
        if present:
            self._present.add(name)
        else:
            self._present.discard(name)
        self._live(companion, present)
        self._tell_started(companion.path, list(companion.methods), present)

    def bring_back(self, path: str) -> bool:
        """Start the companion of that path if it is one and not there; False if it is not."""
        name = Path(path).name
        if name not in self._companions or self._companions[name].path != path:
            return False
        if name in self._present:
            raise bad_params(f"{path}: already registered")
        self.set_present(name, True)
        return True

    def node_lives(self, lives: bool) -> None:
        """lightningd starts or ends, and the companions that are there with it."""
        for name in sorted(self._present):
            self._live(self._companions[name], lives)

    def _live(self, companion: Companion, lives: bool) -> None:
        if isinstance(companion, Living):
            now_s = self._world.clock.now()
            (companion.appeared if lives else companion.vanished)(now_s)

    def _tell_started(self, path: str, methods: list[str], started: bool) -> None:
        if self._world.era.at_least(25, 2):
            news = {"plugin_name": Path(path).name, "plugin_path": path, "methods": methods}
            self.hear("plugin_started" if started else "plugin_stopped", news)

    # -- methods -------------------------------------------------------------------------------

    def route(self, method: str) -> Callable[[Any], Any] | None:
        """Who answers `method`: a function of the params that blocks until the answer is there."""
        for name in sorted(self._present):
            handler = self._companions[name].methods.get(method)
            if handler is not None:
                return handler
        host = self.owner(method)
        return None if host is None else lambda params: host.request(method, params)

    def owner(self, method: str) -> PluginHost | None:
        """The running process that registered `method`."""
        return next((host for host in list(self.hosts) if method in host.methods), None)

    def usages(self) -> dict[str, str]:
        """Every method of a present plugin with its usage text."""
        shown = {
            method: method for name in sorted(self._present)
            for method in self._companions[name].methods
        }  # fmt: skip
        for host in list(self.hosts):
            for entry in host.manifest.get("rpcmethods", []):
                shown[entry["name"]] = f"{entry['name']} {entry.get('usage', '')}"
        return shown

    # -- notifications -------------------------------------------------------------------------

    def heard(self, topic: str) -> bool:
        """True if a running plugin subscribed to `topic`."""
        return any(host.subscribed(topic) for host in self.hosts)

    def hear(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Send a notification to its subscribers, subject to the faults in force."""
        for params in self._faults.notifications(topic, self._envelope(topic, payload)):
            for host in list(self.hosts):
                if host.subscribed(params.topic):
                    host.notify(params.topic, params.params)

    def release_late(self, now_s: float) -> None:
        """Send the notifications that a fault held back until now."""
        for params in self._faults.due(now_s):
            for host in list(self.hosts):
                if host.subscribed(params.topic):
                    host.notify(params.topic, params.params)

    def _envelope(self, topic: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self._world.era.at_least(23, 8):
            if topic in ("connect", "disconnect"):
                return payload
            if topic == "block_added":
                return {"block": payload}
        return {topic: payload}

    # -- starting and stopping -----------------------------------------------------------------

    def start(
        self, path: str, options: Mapping[str, Any] | None = None, *, startup: bool = False
    ) -> PluginHost:
        """Start a plugin process and do getmanifest and init.

        -32602 if it runs already, -3 if it fails on the way; blocks up to 120 s for each step.
        """
        if any(host.path == path and host.alive for host in self.hosts):
            raise bad_params(f"{path}: already registered")
        if path not in self.launches and not os.access(path, os.X_OK):
            raise bad_params(f"{path} is not executable")
        launch = self.launches.get(path) or Launch(_command(path), {})
        version = {"LIGHTNINGD_PLUGIN": "1", "LIGHTNINGD_VERSION": self._world.era.version}
        host = PluginHost(
            launch.argv, path, cwd=self._network_dir,
            env={**version, **self._environment(), **launch.env}, on_exit=self._ended,
        )  # fmt: skip
        try:
            self._handshake(host, startup, options or {})
        except (SimRpcError, TimeoutError, BadOption) as wrong:
            host.kill()
            self._options.unregister(path)
            raise SimRpcError(PLUGIN_ERROR, f"{path}: {wrong}\n{host.stderr_tail()}") from wrong
        self._tell_started(path, host.methods, True)
        return host

    def _handshake(self, host: PluginHost, startup: bool, given: Mapping[str, Any]) -> None:
        asked = {"allow-deprecated-apis": False}
        host.manifest = host.request("getmanifest", asked, HANDSHAKE_S)
        if "disable" in host.manifest:
            raise BadOption(f"disabled itself: {host.manifest['disable']}")
        clash = [m for m in host.methods if self.owner(m) is not None]
        if clash:
            raise BadOption(f"method {clash[0]} is already registered")
        self._options.register(host.path, host.manifest.get("options", []), given)
        self.hosts.append(host)
        configuration = {
            "lightning-dir": str(self._network_dir), "rpc-file": "lightning-rpc",
            "startup": startup, "network": self._world.network,
            "feature_set": {"init": "08a0", "node": "88a0", "channel": "", "invoice": "02000000"},
        }  # fmt: skip
        params = {"options": self._options.for_init(host.path), "configuration": configuration}
        answer = host.request("init", params, HANDSHAKE_S)
        if isinstance(answer, dict) and "disable" in answer:
            raise BadOption(f"disabled itself: {answer['disable']}")
        host.ready = True

    def _ended(self, host: PluginHost) -> None:
        """Called on the reader's thread when a process is gone, however it came."""
        with self._guard:
            if host not in self.hosts:
                return
            self.hosts.remove(host)
        self.ended[host.path] = host
        self._options.unregister(host.path)
        if host.ready:
            self._tell_started(host.path, host.methods, False)

    def named(self, name: str) -> PluginHost:
        """The running process of that path or file name; -32602 if there is none."""
        for host in list(self.hosts):
            if name in (host.path, host.name):
                return host
        raise bad_params(f"Could not find plugin {name}")

    def stop(self, name: str) -> None:
        """`plugin stop`; -32602 for an unknown plugin or one that is not dynamic."""
        if Path(name).name in self._present:
            if Path(name).name in self._static:
                raise bad_params(f"{Path(name).name} cannot be managed when lightningd is up")
            self.set_present(Path(name).name, False)
            return
        host = self.named(name)
        if not host.dynamic:
            raise bad_params(f"{host.name} cannot be managed when lightningd is up")
        host.stop()

    def shut_down(self, grace_s: float) -> None:
        """Node shutdown: notify those that subscribed, close the pipes of the others."""
        for host in list(self.hosts):
            if host.subscribed("shutdown"):
                host.stop(grace_s)
            else:
                host.close_pipe(grace_s)

    def listed(self) -> list[dict[str, Any]]:
        """The entries of `plugin list`."""
        shown: list[dict[str, Any]] = [
            {"name": host.path, "active": host.ready, "dynamic": host.dynamic}
            for host in list(self.hosts)
        ]
        return shown + [
            {
                "name": self._companions[name].path,
                "active": True,
                "dynamic": name not in self._static,
            }
            for name in sorted(self._present)
        ]


def _command(path: str) -> list[str]:
    return [sys.executable, path] if path.endswith(".py") else [path]
