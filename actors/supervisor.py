"""The supervisor: starts, restarts, gives up and stops its children; owns no data and no port.

It carries out the restart contract. Children boot one after another in the order in which they
were added, and stop in the reverse order. A child that crashes is restarted with growing delay;
one that crashes too often is given up: the house then runs on without it if it is optional,
and goes into safe mode if it is load-bearing. Safe mode closes the write gate, suspends those
who act, keeps answering, tries again every five minutes, and ends once every load-bearing child
has been ready for ten minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.base import HouseActor, handles
from cl_revenue_ops.gate import STOPPING, WriteGate
from cl_revenue_ops.runtime import restart
from cl_revenue_ops.runtime.actor import Context
from cl_revenue_ops.runtime.nursery import Nursery, Vital
from cl_revenue_ops.runtime.restart import ChildRecord, Intensity
from cl_revenue_ops.runtime.rng import uniform
from messages.base import Message
from messages.control import (
    BootBlocked,
    CrashReport,
    LivenessDue,
    Ready,
    RestartDue,
    Resume,
    SafeModeDue,
    StartHouse,
    Stop,
    StopHouse,
    StopOverdue,
    Stopped,
    Suspend,
)

SAFE_MODE = "safe mode"


class Supervisor(HouseActor):
    """See the module. `children` are (address, kind) in boot order; `seed` keys the jitter."""

    def __init__(
        self,
        context: Context,
        *,
        nursery: Nursery,
        gate: WriteGate,
        children: Sequence[tuple[str, str]],
        seed: int,
    ) -> None:
        super().__init__(context)
        self._nursery = nursery
        self._gate = gate
        self._seed = seed
        self._children = {address: ChildRecord(address, kind) for address, kind in children}
        self._house = Intensity(restart.HOUSE_CRASHES, restart.HOUSE_WINDOW_S)
        self._draws = 0
        self._safe_mode: str | None = None
        self._whole_since_s: float | None = None
        self._stopping: str | None = None

    def on_receive(self, message: Message) -> None:
        # The root has nobody above it: a fault of its own costs safe mode, never the house.
        try:
            super().on_receive(message)
        except BaseException as error:  # noqa: BLE001
            self.discard(message, "poison")
            self._enter_safe_mode(f"the supervisor failed on {type(message).__name__}")
            self.context.log.warn(f"supervisor failed on {type(message).__name__}: {error!r}")

    # -- starting -----------------------------------------------------------------------------

    @handles(StartHouse)
    def _start(self, message: StartHouse) -> None:
        self.context.after(restart.LIVENESS_S, LivenessDue())
        self._boot_next()

    def _boot_next(self) -> None:
        """Start the first child that waits, once all before it are ready or given up.

        Optional children that wait for the world or for their restart are not waited for.
        """
        for child in self._children.values():
            if child.state == "waiting":
                self._spawn(child)
                break
            held_up = child.state in ("blocked", "backoff")
            if child.state == "booting" or (held_up and self._bears(child)):
                break
        self._show()

    def _spawn(self, child: ChildRecord) -> None:
        child.generation = self._nursery.spawn(child.address)
        child.state = "booting"

    @handles(Ready)
    def _ready(self, message: Ready) -> None:
        child = self._current(message.address, message.generation)
        if child is None or child.state != "booting":
            return
        child.note_ready(self.context.clock.monotonic())
        if self._safe_mode is not None and child.kind == restart.SUSPENDED:
            self.context.tell(child.address, Suspend(self._safe_mode))
        self._nursery.open_lane(child.address)
        self._note_wholeness()
        self._boot_next()

    @handles(BootBlocked)
    def _blocked(self, message: BootBlocked) -> None:
        child = self._current(message.address, message.generation)
        if child is None or child.state != "booting":
            return
        now_s = self.context.clock.monotonic()
        child.state, child.reason = "blocked", message.reason
        if child.blocked_since_s is None:
            child.blocked_since_s, child.failures = now_s, 0
            self.context.log.warn(f"{child.address} waits: {message.reason}")
        patience_over = now_s - child.blocked_since_s >= restart.BLOCKED_PATIENCE_S
        if self._bears(child) and (message.damaged or patience_over):
            self._enter_safe_mode(f"{child.address}: {message.reason}")
        self._retry_later(child)
        self._boot_next()

    def _bears(self, child: ChildRecord) -> bool:
        return child.kind == restart.LOAD_BEARING

    # -- failing ------------------------------------------------------------------------------

    @handles(CrashReport)
    def _crashed(self, message: CrashReport) -> None:
        child = self._current(message.address, message.generation)
        if child is None:
            return
        if self._stopping is not None:
            self._gone(child)
        else:
            self._count_crash(child, message.poison, message.error)

    def _count_crash(self, child: ChildRecord, poison: str, error: str) -> None:
        now_s = self.context.clock.monotonic()
        # From here on nothing that the dead incarnation had sent is taken for the successor's.
        child.generation = self._nursery.fence_off(child.address)
        if self._bears(child):
            self._whole_since_s = None
        verdict = child.note_crash(now_s, poison, error)
        if self._house.note(now_s):
            verdict = f"{restart.HOUSE_CRASHES} crashes in the house, the last: {error}"
            self._enter_safe_mode(verdict)
        if verdict is None:
            child.state = "backoff"
            self._retry_later(child)
        else:
            self._give_up(child, verdict)
        self._boot_next()

    def _retry_later(self, child: ChildRecord) -> None:
        self._draws += 1
        delay_s = child.next_delay_s(uniform(self._seed, "restart", self._draws))
        due = RestartDue(child.address, child.generation)
        self.context.after(delay_s, due, key=f"restart {child.address}")

    @handles(RestartDue)
    def _restart(self, message: RestartDue) -> None:
        child = self._current(message.address, message.generation)
        if child is None or child.state not in ("backoff", "blocked") or self._stopping is not None:
            return
        child.restarts += child.state == "backoff"
        self._spawn(child)
        self._show()

    def _give_up(self, child: ChildRecord, reason: str) -> None:
        child.state, child.reason = "failed", reason
        self.context.log.warn(f"{child.address} is given up: {reason}")
        self._nursery.give_up(child.address)
        if child.kind != restart.OPTIONAL:
            self._enter_safe_mode(f"{child.address}: {reason}")
        elif self._safe_mode is None:
            self.context.after(restart.SAFE_MODE_RETRY_S, SafeModeDue())

    # -- watching -----------------------------------------------------------------------------

    @handles(LivenessDue)
    def _look(self, message: LivenessDue) -> None:
        if self._stopping is not None:
            return
        # Before anything else: a fault in what follows must not end the watch.
        self.context.after(restart.LIVENESS_S, LivenessDue())
        for vital in self._nursery.census():
            child = self._current(vital.address, vital.generation)
            if child is None or child.state not in ("ready", "booting"):
                continue
            if vital.hung_for_s > 0:
                self._replace_hung(child, vital)
            elif not vital.alive:
                self._count_crash(child, vital.in_hand, "found dead without a report")
        self._note_wholeness()
        self._show()

    def _replace_hung(self, child: ChildRecord, vital: Vital) -> None:
        self.context.log.warn(
            f"{child.address} hangs in {vital.busy_with} for {vital.busy_for_s:.0f} s and is"
            f" replaced {self._nursery.stack_of(child.address)}".rstrip()
        )
        self._count_crash(child, vital.in_hand, f"hung in {vital.busy_with}")
        abandoned = self._nursery.abandoned()
        if abandoned > restart.HUNG_MOST:
            self._enter_safe_mode(f"{abandoned} hung threads, the last in {child.address}")

    # -- safe mode ----------------------------------------------------------------------------

    def _enter_safe_mode(self, reason: str) -> None:
        self._whole_since_s = None
        if self._safe_mode is not None or self._stopping is not None:
            return
        self._safe_mode = reason
        self._gate.close(SAFE_MODE, reason)
        for child in self._children.values():
            if child.kind == restart.SUSPENDED and child.state == "ready":
                self.context.tell(child.address, Suspend(reason))
        self.context.after(restart.SAFE_MODE_RETRY_S, SafeModeDue())
        self._show()
        self.context.log.warn(f"safe mode: {reason}")

    @handles(SafeModeDue)
    def _try_again(self, message: SafeModeDue) -> None:
        failed = [child for child in self._children.values() if child.state == "failed"]
        if self._stopping is not None or (self._safe_mode is None and not failed):
            return
        self.context.after(restart.SAFE_MODE_RETRY_S, SafeModeDue())
        for child in failed:
            child.forgive()
            child.restarts += 1
            self._spawn(child)
        self._show()

    def _note_wholeness(self) -> None:
        """Leave safe mode once all load-bearing children have been ready for long enough."""
        if self._safe_mode is None:
            return
        now_s = self.context.clock.monotonic()
        if not all(c.state == "ready" for c in self._children.values() if self._bears(c)):
            self._whole_since_s = None
        elif self._whole_since_s is None:
            self._whole_since_s = now_s
        elif now_s - self._whole_since_s >= restart.SAFE_MODE_LEAVE_S:
            self._leave_safe_mode(self._safe_mode)

    def _leave_safe_mode(self, reason: str) -> None:
        self._safe_mode, self._whole_since_s = None, None
        self._gate.open(SAFE_MODE)
        for child in self._children.values():
            if child.kind == restart.SUSPENDED and child.state == "ready":
                self.context.tell(child.address, Resume())
        self.context.log.info(f"safe mode is over: {reason}")

    # -- stopping -----------------------------------------------------------------------------

    @handles(StopHouse)
    def _stop_house(self, message: StopHouse) -> None:
        if self._stopping is None:
            self._stopping = message.reason
            self._gate.close(STOPPING, message.reason)
            self._stop_next()

    def _stop_next(self) -> None:
        for child in reversed(self._children.values()):
            if child.state in ("ready", "booting", "blocked"):
                child.state = "stopping"
                self.context.tell(child.address, Stop(self._stopping or ""))
                overdue = StopOverdue(child.address)
                self.context.after(restart.STOP_PATIENCE_S, overdue, key="stop")
                self._show()
                return
        self._show()
        self._stop()
        self._nursery.finish()

    @handles(Stopped)
    def _child_stopped(self, message: Stopped) -> None:
        child = self._current(message.address, message.generation)
        if child is not None and child.state == "stopping":
            self._gone(child)

    @handles(StopOverdue)
    def _child_overdue(self, message: StopOverdue) -> None:
        child = self._children[message.address]
        if child.state == "stopping":
            self._gone(child)

    def _gone(self, child: ChildRecord) -> None:
        """It has left, died, or outstayed the end; if it was asked to go, the next one is."""
        was_asked, child.state = child.state == "stopping", "stopped"
        child.generation = self._nursery.fence_off(child.address)
        if was_asked:
            self.context.cancel("stop")
            self._stop_next()

    # -- reporting ----------------------------------------------------------------------------

    def _current(self, address: str, generation: int) -> ChildRecord | None:
        """The child, unless the message speaks of an incarnation that is replaced already."""
        child = self._children.get(address)
        return child if child is not None and child.generation == generation else None

    def _show(self) -> None:
        degraded = [c.address for c in self._children.values() if c.state == "failed"]
        self.post_notice(
            {
                "safe_mode": self._safe_mode,
                "degraded": degraded,
                "stopping": self._stopping,
                "hung_threads": self._nursery.abandoned(),
                "actors": {
                    c.address: {
                        "kind": c.kind,
                        "state": c.state,
                        "generation": c.generation,
                        "restarts": c.restarts,
                        "reason": c.reason,
                    }
                    for c in self._children.values()
                },
            }
        )
