"""Runs policies x scenarios x seeds over worker processes, and keeps what is finished."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cl_revenue_ops.bench.outcome import Outcome
from cl_revenue_ops.bench.registry import (
    BOUND_NAME,
    BOUNDS,
    REBALANCING_BOUND,
    Spec,
    fingerprint,
    parse,
    play_spec,
)
from cl_revenue_ops.bench.scenarios import ALL_SCENARIOS

CELLS_FILE = "cells.jsonl"


class Cell(NamedTuple):
    """One run to be made: a policy's label (or that of a bound) in one world, by which code."""

    label: str
    scenario: str
    seed: int
    days: int
    channels: int
    code: str


@dataclass(frozen=True)
class Results:
    """Everything that was asked for: outcomes and bounds (msat) by their cells, and failures.

    `failures` holds one line each.
    """

    outcomes: dict[Cell, Outcome]
    bounds_msat: dict[Cell, float]
    failures: tuple[str, ...]


Told = Callable[[int, int, str], None]


def cells_of(
    specs: Sequence[Spec],
    scenarios: Sequence[str],
    seeds: Sequence[int],
    days: int,
    channels: int,
    bound: bool = True,
    rebalancing: bool = False,
) -> list[Cell]:
    """Return the runs of a whole bench, seed by seed, so that a part of them compares already.

    With `bound` that of each world is among them, with `rebalancing` also the one with refills.
    """
    named = [(spec.label, fingerprint(spec.name)) for spec in specs]
    if bound:
        bounds = BOUNDS if rebalancing else (BOUND_NAME,)
        named += [(name, fingerprint(name)) for name in bounds]
    return [
        Cell(label, scenario, seed, days, channels, code)
        for seed in seeds
        for scenario in scenarios
        for label, code in named
    ]


def work(cell: Cell) -> dict[str, Any]:
    """Make one run and return its record as JSON can hold it."""
    scenario = ALL_SCENARIOS[cell.scenario]
    market = scenario.market(cell.seed, cell.channels, cell.days)
    if cell.label == BOUND_NAME:
        from cl_revenue_ops.bench.bound import fluid_bound

        return {"bound_msat": fluid_bound(market).total_msat}
    if cell.label == REBALANCING_BOUND:
        from cl_revenue_ops.bench.routes import rebalancing_bound

        return {"bound_msat": rebalancing_bound(market).total_msat}
    return {"outcome": play_spec(parse(cell.label), market, scenario).as_json()}


class Kept:
    """The finished runs of a folder, one JSON line each; the last line of a cell counts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / CELLS_FILE
        self._records: dict[Cell, dict[str, Any]] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            row = json.loads(line)
            self._records[Cell(**row["cell"])] = row["record"]
        except (ValueError, KeyError, TypeError):
            # The line that an interrupted run was writing; its cell is run again.
            return

    def __contains__(self, cell: Cell) -> bool:
        return cell in self._records

    def __getitem__(self, cell: Cell) -> dict[str, Any]:
        return self._records[cell]

    def add(self, cell: Cell, record: dict[str, Any]) -> None:
        """Keep a finished run, on the disk first."""
        line = json.dumps({"cell": cell._asdict(), "record": record}, separators=(",", ":"))
        with self._path.open("a", encoding="utf-8") as file:
            # Begins with a new line: the last one may have been cut off.
            file.write(f"\n{line}\n")
        self._records[cell] = record


def run(cells: Sequence[Cell], folder: Path, jobs: int, told: Told) -> Results:
    """Make the runs that `folder` does not have yet, with `jobs` processes, and return all.

    `told(done, of, what)` hears of every finished run. A run that fails stops no other.
    """
    kept = Kept(folder)
    missing = [cell for cell in cells if cell not in kept]
    done = len(cells) - len(missing)
    told(done, len(cells), f"{done} kept from before" if done else "")
    failures: list[str] = []
    for cell, outcome in _finished(missing, jobs):
        done += 1
        if isinstance(outcome, str):
            failures.append(f"{cell.label} in {cell.scenario}, seed {cell.seed}: {outcome}")
        else:
            kept.add(cell, outcome)
        told(done, len(cells), f"{cell.label}, {cell.scenario}, seed {cell.seed}")
    return _results(cells, kept, failures)


def _finished(cells: Sequence[Cell], jobs: int) -> Iterable[tuple[Cell, dict[str, Any] | str]]:
    if jobs == 1 or len(cells) < 2:
        for cell in cells:
            yield cell, _attempt(cell)
        return
    # Not forked: the parent may have threads (a progress bar), and a lock of theirs held.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(cells)), mp_context=context) as pool:
        waiting: dict[Future[dict[str, Any] | str], Cell] = {
            pool.submit(_attempt, cell): cell for cell in cells
        }
        try:
            for future in as_completed(waiting):
                # Only the end of a worker process comes out of a future as an exception.
                lost = future.exception()
                yield waiting[future], future.result() if lost is None else str(lost)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _attempt(cell: Cell) -> dict[str, Any] | str:
    """Return the record of a run, or in one line why there is none."""
    try:
        return work(cell)
    except Exception as error:  # noqa: BLE001  # the other runs go on, and the line is shown
        return f"{type(error).__name__}: {error}".splitlines()[0]


def _results(cells: Sequence[Cell], kept: Kept, failures: Sequence[str]) -> Results:
    found = [cell for cell in cells if cell in kept]
    return Results(
        outcomes={
            cell: Outcome.from_json(kept[cell]["outcome"])
            for cell in found
            if cell.label not in BOUNDS
        },
        bounds_msat={
            cell: float(kept[cell]["bound_msat"]) for cell in found if cell.label in BOUNDS
        },
        failures=tuple(failures),
    )
