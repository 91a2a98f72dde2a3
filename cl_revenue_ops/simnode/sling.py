"""sling as a companion plugin: its commands behind one mutex, its life, and what goes wrong."""

from __future__ import annotations

import contextlib
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cl_revenue_ops.simnode.errors import PLUGIN_TERMINATED, NodeDown, SimRpcError
from cl_revenue_ops.simnode.sling_commands import Commands
from cl_revenue_ops.simnode.sling_jobs import Settings
from cl_revenue_ops.simnode.sling_routes import Routes, RouteTable
from cl_revenue_ops.simnode.sling_tasks import Slow
from cl_revenue_ops.simnode.world import World

NEWEST = "v4.2.1"
NAME = "sling"
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_POLL_S = 0.05


@dataclass
class _Fault:
    """What the next `count` calls of a method meet: a hang of `seconds`, or None: a lost reply."""

    method: str
    count: int
    seconds: float | None


class Sling:
    """One sling of release `version`; implements Companion.

    It acts in `tick`. In real time a stop blocks as the real one does; in virtual time the payments
    that it waits for end at their own times, which may lie ahead of the clock. A client that would
    wait for a hang in virtual time finds its connection closed, and what it asked for is done when
    the hang is over. Its jobs lie in `folder`.
    """

    path = f"/usr/local/bin/{NAME}"

    def __init__(
        self,
        world: World,
        folder: Path,
        version: str = NEWEST,
        routes: Routes | None = None,
        settings: Settings | None = None,
    ) -> None:
        found = _VERSION.match(version)
        self.version = version
        self.release = (int(found[1]), int(found[2])) if found else (0, 0)
        self._world = world
        self._settings = settings or Settings()
        self._commands = Commands(
            world, folder, self.release, routes or RouteTable(), self._settings, self._until_rest
        )
        self._mutex = threading.Lock()
        self._faults: list[_Fault] = []
        self._late: list[tuple[float, str, Any]] = []
        self._busy_until_s = -math.inf
        self._life = 0
        self._freed = threading.Event()
        self._autogo_s: float | None = None

    @property
    def methods(self) -> Mapping[str, Callable[[Any], Any]]:
        """See Companion."""
        return {name: self._behind_mutex(name) for name in self._works()} | {
            "sling-version": lambda params: {"version": self.version}
        }

    def _works(self) -> Mapping[str, Callable[[Any], Any]]:
        work = self._commands
        return {
            "sling-job": work.job, "sling-go": work.go, "sling-stop": work.stop,
            "sling-jobsettings": work.jobsettings, "sling-deletejob": work.deletejob,
            "sling-stats": work.stats, "sling-except-chan": work.except_chan,
            "sling-except-peer": work.except_peer,
            **({"sling-once": work.once} if self.release >= (4, 0) else {}),
        }  # fmt: skip

    @property
    def routes(self) -> Routes:
        """Where it finds its ways; may be set."""
        return self._commands.crew.ways.routes

    @routes.setter
    def routes(self, routes: Routes) -> None:
        self._commands.crew.ways.routes = routes

    def status(self, scid: str) -> list[str]:
        """The statuses of a channel's tasks, as the overview has them; none without a task."""
        with self._world.lock:
            return self._commands.statuses(scid)

    @property
    def at_work(self) -> bool:
        """Whether a task runs or a payment is on its way."""
        with self._world.lock:
            return self._commands.crew.at_work

    @property
    def in_flight(self) -> list[int]:
        """The created_index of every payment of its that is on its way."""
        with self._world.lock:
            return [flight.created for flight in self._commands.crew.flights]

    # -- time and life -------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Do all that is due up to now; payments on their way come to rest even without it."""
        with self._world.lock:
            self._commands.crew.run(now_s)
            if self._autogo_s is not None and now_s >= self._autogo_s:
                self._autogo_s = None
                with contextlib.suppress(SimRpcError):
                    self._commands.go({})
        if now_s >= self._busy_until_s:
            late, self._late = self._late, []
            for _, method, params in late:
                with contextlib.suppress(SimRpcError):
                    self._works()[method](params)

    def appeared(self, now_s: float) -> None:
        """Its process has started: of the channels it knows nothing, and nothing runs."""
        with self._world.lock:
            self._commands.book.start(now_s)
            self._autogo_s = now_s + 1.0 if self._settings.autogo else None
            self._freed = threading.Event()

    def vanished(self, now_s: float) -> None:
        """Its process has ended: tasks are gone, jobs are kept, whoever waits gets an error."""
        with self._world.lock:
            self._commands.crew.run(now_s)
            self._commands.crew.gone(now_s)
            self._life += 1
            self._late.clear()
            self._busy_until_s = -math.inf
            self._freed.set()

    # -- faults --------------------------------------------------------------------------------

    def hang(self, seconds: float, method: str = "*", count: int = 1) -> None:
        """The next calls take so long (math.inf: for ever) before they are done.

        All others wait behind, but for sling-version, which asks for no lock.
        """
        self._faults.append(_Fault(method, count, seconds))

    def lose_reply(self, method: str = "*", count: int = 1) -> None:
        """The next calls are done, and then the connection breaks."""
        self._faults.append(_Fault(method, count, None))

    def free(self) -> None:
        """End the hangs under way; what was asked for is done now."""
        self._busy_until_s = -math.inf
        self._freed.set()
        self._freed = threading.Event()

    def slow_payments(self, seconds: float, count: int = 1, ok: bool = True) -> None:
        """The next payments arrive in time, but their HTLCs go only after so long; not `ok`: they
        fail then."""
        self._commands.crew.slow.append(Slow(seconds, count, ok))

    def quick_payments(self) -> None:
        """No payment is slow any more: those under way come to rest at the next tick."""
        now_s = self._world.clock.now()
        with self._world.lock:
            self._commands.crew.slow.clear()
            for flight in self._commands.crew.flights:
                flight.due_s = min(flight.due_s, max(flight.arrives_s, now_s))
                if flight.task is not None:
                    flight.task.wake_s = min(flight.task.wake_s, flight.due_s)

    def break_down(self, broken: bool = True) -> None:
        """From now on the node refuses every payment in a way that it does not understand."""
        self._commands.crew.broken = broken

    # -- calls ---------------------------------------------------------------------------------

    def _behind_mutex(self, method: str) -> Callable[[Any], Any]:
        def call(params: Any) -> Any:
            fault = self._strike(method)
            if self._world.clock.virtual:
                answer = self._call_in_steps(method, params, fault)
            else:
                answer = self._call_in_real_time(method, params, fault)
            if fault is not None and fault.seconds is None:
                raise NodeDown("the reply was lost")
            return answer

        return call

    def _strike(self, method: str) -> _Fault | None:
        for fault in self._faults:
            if fault.method in ("*", method):
                fault.count -= 1
                if fault.count <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    def _call_in_steps(self, method: str, params: Any, fault: _Fault | None) -> Any:
        now_s = self._world.clock.now()
        if fault is not None and fault.seconds is not None:
            self._busy_until_s = max(self._busy_until_s, now_s + fault.seconds)
        if now_s < self._busy_until_s:
            self._late.append((now_s, method, params))
            raise NodeDown("no answer came while the clock stood")
        return self._works()[method](params)

    def _call_in_real_time(self, method: str, params: Any, fault: _Fault | None) -> Any:
        life = self._life
        with self._mutex:
            self._die_with(life)
            if fault is not None and fault.seconds is not None:
                self._freed.wait(None if math.isinf(fault.seconds) else fault.seconds)
                self._die_with(life)
            return self._works()[method](params)

    def _die_with(self, life: int) -> None:
        if life != self._life:
            raise SimRpcError(PLUGIN_TERMINATED, "Plugin terminated before replying to RPC call.")

    def _until_rest(self, scids: Iterable[str]) -> None:
        """Block until no task of these channels is active any more."""
        crew, life, wanted = self._commands.crew, self._life, list(scids)
        if self._world.clock.virtual:
            with self._world.lock:
                crew.bring_to_rest(wanted, self._world.clock.now())
            return
        while True:
            with self._world.lock:
                self._die_with(life)
                crew.run(self._world.clock.now())
                if not crew.any_active(wanted):
                    return
            self._freed.wait(_POLL_S)
