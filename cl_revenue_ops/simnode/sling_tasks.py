"""How the simulated sling's tasks live: one payment after the other, sleeps, ends and no ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cl_revenue_ops.simnode.model import USABLE, Channel
from cl_revenue_ops.simnode.sling_book import JobBook
from cl_revenue_ops.simnode.sling_jobs import Job, Settings
from cl_revenue_ops.simnode.sling_routes import Routes, Try
from cl_revenue_ops.simnode.sling_stats import Failure, Stats, Success
from cl_revenue_ops.simnode.sling_ways import Choice, Pair, Ways, htlcs, ppm_of
from cl_revenue_ops.simnode.world import World

PAUSE_S = 0.02
LONG_SLEEP_S, SHORT_SLEEP_S, AFTER_SUCCESS_S = 600.0, 1.0, 1.0
FIRST_PEER = "FIRST_PEER_NOT_READY"
TIMED_OUT = "WAITSENDPAY_TIMEOUT"
ROUTE_FAILED = "WIRE_TEMPORARY_CHANNEL_FAILURE"


@dataclass
class Total:
    """What the tasks of one once-job have moved or have under way together, msat."""

    msat: int = 0


@dataclass
class Task:
    """One worker at a job. `running` is whether its loop is there, `active` what it says.

    `promised`: the payment at hand is in the once-job's total, to be given back if it fails. `way`
    is the one it has taken or would take, closed to the job's other tasks.
    """

    scid: str
    number: int
    once: bool
    job: Job
    wake_s: float
    total: Total = field(default_factory=Total)
    state: str = "Starting"
    active: bool = True
    running: bool = True
    stop: bool = False
    promised: bool = False
    flight: Flight | None = None
    way: Pair | None = None

    @property
    def in_once_loop(self) -> bool:
        """Whether it is at a once-job now; a task keeps its mark when a job takes it over."""
        return self.job.onceamount_msat is not None


@dataclass
class Flight:
    """A payment on its way: it arrives, and later all HTLCs are gone. `task` waits for it.

    What has not arrived when nobody claims it any more fails when it does.
    """

    created: int
    task: Task | None
    choice: Choice
    amount_msat: int
    arrives_s: float
    due_s: float
    ok: bool
    why: str

    def disown(self, at_s: float) -> None:
        """Nobody waits for it from now on."""
        self.task = None
        if self.arrives_s > at_s:
            self.ok, self.why = False, "WIRE_INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS"


@dataclass
class Slow:
    """A fault: the next `count` payments arrive in time, but come to rest only so much later."""

    seconds: float
    count: int
    ok: bool


class Crew:
    """All tasks and all payments on their way; everything happens in `run`, in order of time.

    `broken`: every payment is refused by the node in a way that it does not understand.
    """

    def __init__(
        self, world: World, book: JobBook, stats: Stats, routes: Routes, settings: Settings
    ) -> None:
        self.tasks: dict[str, dict[int, Task]] = {}
        self.flights: list[Flight] = []
        self.ways = Ways(world, book, routes, settings)
        self.broken = False
        self.slow: list[Slow] = []
        self._world = world
        self._book = book
        self._stats = stats
        self._settings = settings
        self._horizon_s = 0.0

    # -- time ----------------------------------------------------------------------------------

    def run(self, until_s: float) -> None:
        """Let everything happen that is due up to then."""
        self._horizon_s = until_s
        while True:
            first = min(self._due(), key=lambda due: due[:2], default=None)
            if first is None or first[0] > until_s:
                return
            self._happen(first[2], first[0])

    def _due(self) -> Iterable[tuple[float, int, Task | Flight]]:
        number = 0
        for task in self._running():
            number += 1
            yield task.wake_s, number, task
        for flight in self.flights:
            number += 1
            if flight.task is None:
                yield flight.due_s, number, flight

    def _running(self) -> Iterable[Task]:
        for tasks in list(self.tasks.values()):
            yield from (task for task in tasks.values() if task.running)

    def _happen(self, what: Task | Flight, at_s: float) -> None:
        if isinstance(what, Flight):
            self._land(what, at_s)
        elif what.flight is not None:
            self._wake_from_payment(what, what.flight, at_s)
        else:
            self._loop(what, at_s)

    def _again(self, task: Task, at_s: float, pause_s: float) -> None:
        """Come back after a short pause, or at the next event that may have changed something: so
        a task that tries again for ever does not cost a look for each second."""
        others = [t.wake_s for t in self._running() if t is not task and t.flight is not None]
        others += [f.due_s for f in self.flights if f.task is None]
        others.append(self.ways.changes_s(at_s))
        task.wake_s = max(at_s + pause_s, min([self._horizon_s, *others]))

    # -- the loop ------------------------------------------------------------------------------

    def _loop(self, task: Task, at_s: float) -> None:
        """One turn: the end, or one look at the channel and perhaps a payment."""
        job, once_msat = task.job, task.job.onceamount_msat
        if task.stop:
            self._give_back(task)
            self._rest(task, "Stopped")
            return
        if once_msat is not None and not task.promised:
            if task.total.msat + job.amount_msat > once_msat:
                self._rest(task, "Balanced")
                return
            task.total.msat += job.amount_msat
            task.promised = True
        channel = self._book.known(at_s).get(task.scid)
        if channel is None or channel.state not in USABLE:
            self._channel_gone(task, at_s)
            return
        pause = self._not_now(task, channel, at_s)
        if pause is not None:
            task.state, sleep_s = pause
            task.wake_s = at_s + sleep_s
            return
        task.state = "Rebalancing"
        self._look_for_a_way(task, channel, at_s)

    def _rest(self, task: Task, state: str) -> None:
        task.state, task.active, task.running, task.way = state, False, False, None
        if task.in_once_loop:
            (self._book.pull if task.job.pulls else self._book.push).discard(task.scid)

    def _give_back(self, task: Task) -> None:
        if task.promised:
            task.total.msat -= task.job.amount_msat
            task.promised = False

    def _channel_gone(self, task: Task, at_s: float) -> None:
        task.active, task.stop, task.state = False, True, "Error"
        self._give_back(task)
        if task.in_once_loop:
            task.wake_s = at_s + PAUSE_S
        else:
            task.running = False

    def _not_now(self, task: Task, channel: Channel, at_s: float) -> tuple[str, float] | None:
        """Why the task sleeps, and for how long."""
        job = task.job
        room_msat = channel.receivable_msat if job.pulls else channel.spendable_msat
        have_msat = channel.to_us_msat if job.pulls else channel.to_them_msat
        peer = self._world.peers[channel.peer_id]
        if have_msat >= self._target_msat(job, channel) or room_msat < job.amount_msat:
            return "Balanced", LONG_SLEEP_S
        if htlcs(channel) > self._settings.max_htlc_count:
            return "HTLCcapped", 10.0
        if not peer.connected:
            return "Disconnected", 60.0
        if self.ways.banned(task.scid, at_s):
            return "PeerNotReady", 20.0
        return None

    def _target_msat(self, job: Job, channel: Channel) -> int:
        total_msat = channel.total_msat
        if job.onceamount_msat is not None:
            return total_msat
        reserve_msat = channel.their_reserve_msat if job.pulls else channel.our_reserve_msat
        wanted = int(total_msat * (0.5 if job.target is None else job.target))
        return (
            total_msat - reserve_msat - 2_000
            if wanted >= total_msat - reserve_msat - 1_000
            else wanted
        )

    # -- one payment ---------------------------------------------------------------------------

    def _look_for_a_way(self, task: Task, channel: Channel, at_s: float) -> None:
        others = [t for t in self.tasks.get(task.scid, {}).values() if t is not task]
        taken = {t.way for t in others if t.way is not None}
        choice = self.ways.choose(task.scid, task.job, channel, at_s, taken)
        if not isinstance(choice, Choice):
            self._nothing_to_do(task, choice, at_s)
            return
        task.way = choice.pair
        if ppm_of(choice.quote.cost_msat, task.job.amount_msat) > task.job.maxppm:
            task.state, task.wake_s = "NoCheapRoute", at_s + LONG_SLEEP_S
        else:
            self._pay(task, choice, at_s)

    def _nothing_to_do(self, task: Task, state: str, at_s: float) -> None:
        task.state, task.way = state, None
        if not task.in_once_loop:
            task.wake_s = at_s + LONG_SLEEP_S
            return
        self._give_back(task)
        self._again(task, at_s, SHORT_SLEEP_S + PAUSE_S)

    def _pay(self, task: Task, choice: Choice, at_s: float) -> None:
        if self.broken:
            self._break_down(task, at_s)
            return
        out, into, _, quote = choice
        tried = self.ways.attempt(choice, task.job, at_s)
        if tried.why == FIRST_PEER:
            self._fail(task, choice, FIRST_PEER, at_s)
            self.ways.ban(out, at_s)
            self._again(task, at_s, PAUSE_S)
            return
        cost_msat = tried.cost_msat if tried.ok else quote.cost_msat
        part = (out.channel_id, into.channel_id, task.job.amount_msat, cost_msat)
        created = self._world.begin_circular([part], arrives=tried.ok, at_s=at_s)
        if created not in self._world.own_flights:
            self.ways.ban(out, at_s)
            self._fail(task, choice, ROUTE_FAILED, at_s)
            self._give_back(task)
            self._again(task, at_s, PAUSE_S)
            return
        flight = self._flight(created, task, choice, tried, at_s)
        self.flights.append(flight)
        task.flight = flight
        task.wake_s = min(flight.due_s, at_s + self._settings.timeoutpay_s)

    def _flight(self, created: int, task: Task, choice: Choice, tried: Try, at_s: float) -> Flight:
        """The way there takes as long as the way back."""
        ok, due_s = tried.ok, at_s + tried.seconds
        if self.slow:
            slow = self.slow[0]
            ok, due_s = ok and slow.ok, at_s + slow.seconds
            slow.count -= 1
            if slow.count <= 0:
                self.slow.pop(0)
        arrives_s = at_s + tried.seconds / 2
        why = tried.why or ROUTE_FAILED
        return Flight(created, task, choice, task.job.amount_msat, arrives_s, due_s, ok, why)

    def _break_down(self, task: Task, at_s: float) -> None:
        """A once-job goes on at once and for ever, another ends; both say that nothing runs."""
        task.active = False
        if not task.in_once_loop:
            task.state, task.running = "Stopped", False
            return
        task.state = "Error"
        self._give_back(task)
        self._again(task, at_s, PAUSE_S)

    # -- how a payment ends --------------------------------------------------------------------

    def _wake_from_payment(self, task: Task, flight: Flight, at_s: float) -> None:
        """It came to rest, or the task has waited long enough and leaves it to itself."""
        task.flight = task.way = None
        if flight.due_s > at_s:
            flight.disown(at_s)
            self._fail(task, flight.choice, TIMED_OUT, at_s)
            paid = False
        else:
            paid = self._land(flight, at_s)
            if not paid:
                self._fail(task, flight.choice, flight.why, at_s)
        if paid:
            task.promised = False
            cost = self._world.sendpays.rows[flight.created - 1]
            ppm = ppm_of(cost["amount_sent_msat"] - flight.amount_msat, flight.amount_msat)
            choice = flight.choice
            row = Success(int(at_s), flight.amount_msat, ppm, choice.partner, choice.quote.hops)
            self._stats.success(task.scid, row)
        else:
            self._give_back(task)
        task.wake_s = at_s + (AFTER_SUCCESS_S if not task.in_once_loop else PAUSE_S)

    def _land(self, flight: Flight, at_s: float) -> bool:
        """All HTLCs of a payment go; True if it came through."""
        self.flights.remove(flight)
        own = self._world.own_flights.get(flight.created)
        if own is not None and own.settled is None:
            self._world.end_circular(flight.created, flight.ok, at_s=at_s)
        return bool(self._world.sendpays.rows[flight.created - 1]["status"] == "complete")

    def _fail(self, task: Task, choice: Choice, reason: str, at_s: float) -> None:
        node = self._world.id if reason == TIMED_OUT else choice.outgoing.peer_id
        amount_msat, hops = task.job.amount_msat, choice.quote.hops
        row = Failure(int(at_s), amount_msat, reason, node, choice.partner, hops)
        self._stats.failure(task.scid, row)

    # -- orders from outside -------------------------------------------------------------------

    def ask_to_stop(self, scids: Iterable[str], at_s: float) -> int:
        """Ask every task of these channels to stop; how many tasks they have."""
        count = 0
        for scid in scids:
            for task in self.tasks.get(scid, {}).values():
                count += 1
                task.state, task.stop = "Stopping", True
                if task.flight is None:
                    task.wake_s = min(task.wake_s, at_s)
        return count

    def bring_to_rest(self, scids: Iterable[str], at_s: float) -> None:
        """Go on with the tasks of these channels alone, ahead of the clock, until none is active.

        What they wait for comes at its own time, and no later than their patience.
        """
        wanted = set(scids)
        while True:
            busy = [t for t in self._running() if t.scid in wanted and t.active]
            if not busy:
                return
            task = min(busy, key=lambda t: t.wake_s)
            self._happen(task, max(at_s, task.wake_s))

    @property
    def at_work(self) -> bool:
        """Whether a task runs or a payment is on its way."""
        return bool(self.flights) or any(self._running())

    def any_active(self, scids: Iterable[str]) -> bool:
        """Whether a task of these channels says that it works."""
        return any(t.active for scid in scids for t in self.tasks.get(scid, {}).values())

    def gone(self, at_s: float) -> None:
        """The process has ended: no task is left, and nothing more is claimed."""
        self.tasks.clear()
        self.ways.bans.clear()
        for flight in self.flights:
            flight.disown(at_s)
