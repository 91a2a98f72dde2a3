"""The rebalance runner: begins and ends jobs at their executor, for those who must not block."""

from __future__ import annotations

from collections.abc import Mapping

from actors.base import HouseActor, handles
from cl_revenue_ops.ports import Executor, ExecutorAbsent, PortError
from cl_revenue_ops.runtime.actor import Context
from messages.rebalance import (
    NOT_STARTED,
    ExecutorTouched,
    ExecutorView,
    ReadExecutor,
    StartJob,
    StopJob,
)

LEAVING_S = 0.25


class RebalanceRunner(HouseActor):
    """Blocks on the executor, maybe for minutes; nobody else waits. It decides nothing.

    `executors` are all there are, by the names that the setting takes. A job is stopped where it
    was begun; where that is not known, at every one of them.
    """

    def __init__(self, context: Context, *, executors: Mapping[str, Executor]) -> None:
        super().__init__(context)
        self._executors = executors
        self._begun: dict[str, str] = {}

    @handles(ReadExecutor)
    def _read(self, message: ReadExecutor) -> None:
        executor = self._chosen()
        try:
            version = executor.version()
            view = ExecutorView(executor.name, version, None, executor.jobs())
        except ExecutorAbsent as error:
            view = ExecutorView(executor.name, None, str(error), ())
        except PortError as error:
            self.refuse(message, str(error))
            return
        self.answer(message, view)

    @handles(StartJob)
    def _start(self, message: StartJob) -> None:
        executor, scid = self._chosen(), message.order.scid
        before = self._begun.get(scid)
        self._begun[scid] = executor.name
        outcome = executor.start(message.order)
        if outcome.outcome == NOT_STARTED:
            # Then what was there before, if anything, is still there.
            self._restore(scid, before)
        self.answer(message, outcome)

    @handles(StopJob)
    def _stop_job(self, message: StopJob) -> None:
        begun_by = self._begun.get(message.scid)
        try:
            for name, executor in self._executors.items():
                if begun_by in (None, name):
                    executor.stop(message.scid)
        except PortError as error:
            self.refuse(message, str(error))
            return
        except ValueError as error:
            self.refuse(message, str(error), invalid=True)
            return
        self._begun.pop(message.scid, None)
        self.answer(message, None)

    @handles(ExecutorTouched)
    def _touched(self, message: ExecutorTouched) -> None:
        """What it had begun for us ended with it; a job of this scid would be another's."""
        executor = self._executors.get(message.name)
        if executor is not None:
            executor.touched()
        self._begun = {s: name for s, name in self._begun.items() if name != message.name}

    def close_down(self) -> None:
        """Ask that what was begun in this life be stopped; whether it was heard is found out at
        the next start."""
        clock = self.context.clock
        until_s = clock.monotonic() + LEAVING_S
        for scid, name in self._begun.items():
            if clock.monotonic() >= until_s:
                break
            self._executors[name].stop_without_waiting(scid)

    def _chosen(self) -> Executor:
        return self._executors[self.config.rebalancer_plugin]

    def _restore(self, scid: str, before: str | None) -> None:
        if before is None:
            del self._begun[scid]
        else:
            self._begun[scid] = before
