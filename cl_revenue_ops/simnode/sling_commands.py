"""What each command of the simulated sling does, as far as its release has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cl_revenue_ops.simnode.model import USABLE, Channel
from cl_revenue_ops.simnode.sling_book import JobBook
from cl_revenue_ops.simnode.sling_jobs import Job, Settings, entry, parse_job, refuse, scid_of
from cl_revenue_ops.simnode.sling_routes import Routes
from cl_revenue_ops.simnode.sling_stats import Stats, table
from cl_revenue_ops.simnode.sling_tasks import Crew, Task, Total
from cl_revenue_ops.simnode.world import World

SUCCESS = {"result": "success"}
_NODE_ID = re.compile(r"0[23][0-9a-f]{64}\Z")


class Commands:
    """The handlers; the caller holds sling's mutex. `until_rest` blocks until the tasks of channels
    have come to rest."""

    def __init__(
        self,
        world: World,
        folder: Path,
        release: tuple[int, int],
        routes: Routes,
        settings: Settings,
        until_rest: Callable[[Iterable[str]], None],
    ) -> None:
        self.book = JobBook(world, folder, release < (4, 0))
        self.kept = Stats(world, settings)
        self.crew = Crew(world, self.book, self.kept, routes, settings)
        self._world = world
        self._elder = release < (4, 0)
        self._settings = settings
        self._until_rest = until_rest

    def _now(self) -> float:
        return self._world.clock.now()

    def statuses(self, scid: str) -> list[str]:
        """`number:status` of every task of a channel."""
        tasks = self.crew.tasks.get(scid, {})
        return [f"{number}:{tasks[number].state}" for number in sorted(tasks)]

    # -- jobs ----------------------------------------------------------------------------------

    def job(self, params: Any) -> dict[str, Any]:
        """sling-job: stops what runs for the channel, replaces its settings, starts nothing."""
        with self._world.lock:
            scid, job = parse_job(params, False, self._settings)
            self._refuse_candidates(job)
            self.book.looked = True
            self._normal(scid)
            if self._once_works(scid):
                raise refuse(f"{scid}: a once-job is at work there")
        self._stop([scid])
        with self._world.lock:
            self.book.write(scid, job, self._now())
        return SUCCESS

    def go(self, params: Any) -> dict[str, Any]:
        """sling-go: starts the tasks of all jobs, or of one, that do not work yet."""
        with self._world.lock:
            now_s = self._now()
            jobs = self.book.read(now_s)
            if not jobs:
                raise refuse("there are no jobs")
            scid = self._one_scid(params, strict=True)
            if scid is not None:
                jobs = {name: job for name, job in jobs.items() if name == scid}
            if not jobs:
                raise refuse("the channel has no job")
            self.book.looked = True
            started = failed = 0
            for name, job in jobs.items():
                if self._once_works(name):
                    failed += job.tasks(self._settings)
                else:
                    started += self._spawn(name, job, False)
        if self._elder:
            return {"jobs_started": started}
        return {"tasks_started": started, "tasks_failed_start:": failed}

    def once(self, params: Any) -> dict[str, Any]:
        """sling-once: moves an amount once. Its channel stays marked even where it is refused."""
        with self._world.lock:
            now_s = self._now()
            scid, job = parse_job(params, True, self._settings)
            self._refuse_candidates(job)
            self.book.looked = True
            channel = self._normal(scid)
            room_msat = channel.receivable_msat if job.pulls else channel.spendable_msat
            if room_msat < (job.onceamount_msat or 0):
                raise refuse(f"{scid}: too little room to {job.direction} that much")
            if scid in self.book.read(now_s):
                raise refuse(f"{scid}: has a job already")
            (self.book.pull if job.pulls else self.book.push).add(scid)
            for number in range(1, job.tasks(self._settings) + 1):
                task = self.crew.tasks.get(scid, {}).get(number)
                if task is not None and not task.once:
                    raise refuse(f"{scid}: has a job already, to be deleted first")
                if task is not None and task.active:
                    raise refuse(f"{scid}: has a job already, and it is at work")
            self._spawn(scid, job, True)
        return {"result": "started"}

    def _spawn(self, scid: str, job: Job, once: bool) -> int:
        started, total, now_s = 0, Total(), self._now()
        tasks = self.crew.tasks.setdefault(scid, {})
        for number in range(1, job.tasks(self._settings) + 1):
            before = tasks.get(number)
            if before is None or not before.active:
                # A task that was there keeps its mark as one of a once-job.
                marked = once if before is None else before.once
                tasks[number] = Task(scid, number, marked, job, now_s, total)
                started += 1
        return started

    def _once_works(self, scid: str) -> bool:
        tasks = self.crew.tasks.get(scid, {}).values()
        return any(task.once for task in tasks) and any(task.active for task in tasks)

    def _normal(self, scid: str) -> Channel:
        channel = self.book.known(self._now()).get(scid)
        if channel is None:
            raise refuse(f"{scid}: no such channel")
        if channel.state not in USABLE:
            raise refuse(f"{scid}: its state is neither normal nor that of a splice")
        return channel

    def _refuse_candidates(self, job: Job) -> None:
        closed = self.book.pull if job.pulls else self.book.push
        for candidate in job.candidates or ():
            if candidate in closed:
                raise refuse(f"candidate {candidate}: has a {job.direction}-job or is excepted")

    def stop(self, params: Any) -> dict[str, Any]:
        """sling-stop: of one channel, or of all where no channel is named, by whatever mistake."""
        scid = self._one_scid(params, strict=False)
        return {"stopped_count": self._stop(None if scid is None else [scid])}

    def _stop(self, scids: list[str] | None) -> int:
        with self._world.lock:
            wanted = list(self.crew.tasks) if scids is None else scids
            count = self.crew.ask_to_stop(wanted, self._now())
        self._until_rest(wanted)
        return count

    def deletejob(self, params: Any) -> dict[str, Any]:
        """sling-deletejob: stops, forgets the job and the tasks of a channel; of all with `all`."""
        job, forget = _deletion(params)
        if job == "all":
            self._stop(None)
            with self._world.lock:
                if not self.book.file.exists():
                    raise refuse("there is no file of jobs")
                self.book.file.unlink()
                self.crew.tasks.clear()
                self.book.pull, self.book.push = set(self.book.excepted), set(self.book.excepted)
            return SUCCESS
        scid = scid_of(job, "job")
        self._stop([scid])
        with self._world.lock:
            self.book.write(scid, None, self._now())
            if forget:
                self.kept.forget(scid)
            self.crew.tasks.pop(scid, None)
            self.book.pull.discard(scid)
            self.book.push.discard(scid)
        return SUCCESS

    # -- what it tells -------------------------------------------------------------------------

    def jobsettings(self, params: Any) -> dict[str, Any]:
        """sling-jobsettings: the persistent jobs of channels that it knows."""
        with self._world.lock:
            jobs = self.book.read(self._now())
            if isinstance(params, dict) and params and "scid" not in params:
                raise refuse("scid: is missing")
            scid = self._one_scid(params, strict=True)
            if scid is not None:
                if scid not in jobs:
                    raise refuse(f"{scid}: no such channel")
                jobs = {scid: jobs[scid]}
            return {name: entry(job, self._elder) for name, job in jobs.items()}

    def stats(self, params: Any) -> Any:
        """sling-stats: the overview, or one channel; as JSON where that is asked for."""
        scid, as_json = _stats_words(params, self._elder)
        with self._world.lock:
            if scid is not None:
                told = self.kept.of(scid, self._now())
                return told if as_json or self._elder else table([told])
            rows = self._overview()
            return rows if as_json else table(rows)

    def _overview(self) -> list[dict[str, Any]]:
        now_s = self._now()
        names = list(self.book.read(now_s))
        normal = self.book.normal(now_s)
        for scid, tasks in self.crew.tasks.items():
            if scid in normal and any(task.once for task in tasks.values()):
                names.append(scid)
        rows = [
            self.kept.overview(
                scid, normal[scid].peer_id, self.statuses(scid) or ["1:NotStarted"], now_s
            )
            for scid in names
        ]
        return sorted(rows, key=lambda row: re.sub(r"[\s@]", "", row["alias"]).lower())

    # -- exceptions ----------------------------------------------------------------------------

    def except_chan(self, params: Any) -> Any:
        """sling-except-chan: channels of the network that it leaves out; never ours."""
        command, scid = _exception(params, "scid")
        with self._world.lock:
            jobs, book = self.book.read(self._now()), self.book
            if scid is None:
                return sorted(book.excepted)
            scid = scid_of(scid)
            there = scid in book.pull or scid in book.push
            if command == "remove":
                if not there:
                    raise refuse(f"{scid}: is not excepted")
                for names in (book.pull, book.push, book.excepted):
                    names.discard(scid)
                return SUCCESS
            if there:
                raise refuse(f"{scid}: is excepted already")
            if scid in jobs or scid in book.known(self._now()):
                raise refuse(f"{scid}: is a channel of ours; candidates say which of those serve")
            for names in (book.pull, book.push, book.excepted):
                names.add(scid)
            return SUCCESS

    def except_peer(self, params: Any) -> Any:
        """sling-except-peer: nodes that it leaves out; not one with a job."""
        command, peer_id = _exception(params, "id")
        with self._world.lock:
            self.book.looked = True
            jobs, peers = self.book.read(self._now()), self.book.excepted_peers
            if peer_id is None:
                return sorted(peers)
            if not _NODE_ID.match(peer_id):
                raise refuse("id: not a node id")
            if command == "remove":
                if peer_id not in peers:
                    raise refuse(f"{peer_id}: is not excepted")
                peers.discard(peer_id)
                return SUCCESS
            if peer_id in peers or peer_id == self._world.id:
                raise refuse(f"{peer_id}: is excepted already, or ourselves")
            known = self.book.known(self._now())
            if any(known[scid].peer_id == peer_id for scid in jobs):
                raise refuse(f"{peer_id}: has a job")
            peers.add(peer_id)
            return SUCCESS

    def _one_scid(self, params: Any, *, strict: bool) -> str | None:
        """The channel of a command that takes one or none; not `strict` lets other keys pass."""
        if isinstance(params, list):
            if len(params) > 1:
                raise refuse("one channel at most")
            return scid_of(params[0]) if params else None
        if not isinstance(params, dict) or self._elder:
            raise refuse("an array is needed" if self._elder else "an array or object is needed")
        if "scid" in params:
            return scid_of(params["scid"])
        if params and strict:
            raise refuse("scid: is missing")
        return None


def _deletion(params: Any) -> tuple[str, bool]:
    if isinstance(params, list) and 1 <= len(params) <= 2:
        job, forget = params[0], params[1] if len(params) == 2 else None
    elif isinstance(params, dict):
        job, forget = params.get("job"), params.get("delete_stats")
    else:
        raise refuse("a channel or `all` is needed")
    if not isinstance(job, str):
        raise refuse("job: a text is needed")
    if forget not in (None, True, False, "true", "false") or (
        isinstance(forget, int | float) and (not isinstance(forget, bool))
    ):
        raise refuse("delete_stats: true or false is needed")
    return job, forget in (True, "true")


def _stats_words(params: Any, elder: bool) -> tuple[str | None, bool]:
    if isinstance(params, list) and len(params) <= 2:
        if not params or isinstance(params[0], bool):
            return None, bool(params and params[0])
        scid, flag = params[0], params[1] if len(params) == 2 else False
    elif isinstance(params, dict) and not elder:
        scid, flag = params.get("scid"), params.get("json", False)
        if "scid" in params and scid is None:
            raise refuse("scid: a text is needed")
    else:
        raise refuse("at most a channel and `json` are needed")
    if not isinstance(flag, bool):
        raise refuse("json: true or false is needed")
    return None if scid is None else scid_of(scid), flag


def _exception(params: Any, key: str) -> tuple[str, str | None]:
    if isinstance(params, list) and 1 <= len(params) <= 2:
        command, name = params[0], params[1] if len(params) == 2 else None
    elif isinstance(params, dict):
        command, name = params.get("command"), params.get(key)
    else:
        raise refuse("add or remove and a name, or list")
    if name is not None and not isinstance(name, str):
        raise refuse(f"{key}: a text is needed")
    if command not in ("add", "remove") if name is not None else command != "list":
        raise refuse("add or remove and a name, or list")
    return str(command), name
