"""Many runs of the bench: what is kept, what is run again, and how a failure is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.bench import registry, run
from cl_revenue_ops.bench.registry import BadPolicy, Spec, fingerprint, parse
from cl_revenue_ops.bench.run import CELLS_FILE, Cell, Results, cells_of, work
from cl_revenue_ops.bench.table import TOTAL, Score, lines

DAYS, CHANNELS = 2, 4


def cells(policies: str = "static,proportional", seeds: tuple[int, ...] = (1, 2)) -> list[Cell]:
    """A small bench."""
    specs = [parse(name) for name in policies.split(",")]
    return cells_of(specs, ["even", "jumpy"], seeds, DAYS, CHANNELS, bound=False)


def run_all(folder: Path, wanted: list[Cell], jobs: int = 1) -> tuple[Results, list[str]]:
    """Run them; returns what was told of each finished run as well."""
    told: list[str] = []
    results = run.run(wanted, folder, jobs, lambda done, of, what: told.append(f"{done}/{of}"))
    return results, told


def test_every_policy_meets_every_world_and_comparable_ones_come_together() -> None:
    found = cells_of([Spec("static"), Spec("house")], ["even", "jumpy"], [3, 1], 5, 6)
    assert [(c.seed, c.scenario, c.label) for c in found[:6]] == [
        *((3, "even", label) for label in ("static", "house", "bound")),
        *((3, "jumpy", label) for label in ("static", "house", "bound")),
    ]
    assert len(found) == len(set(found)) == 12
    assert {(c.days, c.channels) for c in found} == {(5, 6)}


def test_what_is_finished_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Cell] = []

    def counted(cell: Cell) -> dict[str, Any]:
        made.append(cell)
        return work(cell)

    monkeypatch.setattr(run, "work", counted)
    first, told = run_all(tmp_path, cells(seeds=(1,)))
    assert told == ["0/4", "1/4", "2/4", "3/4", "4/4"]
    assert len(made) == 4
    again, told = run_all(tmp_path, cells(seeds=(1, 2)))
    assert told[0] == "4/8"
    assert len(made) == 8
    assert {c: o for c, o in again.outcomes.items() if c.seed == 1} == first.outcomes
    assert run_all(tmp_path, cells())[0] == again
    assert len(made) == 8


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    whole, _ = run_all(tmp_path, cells())
    file = tmp_path / CELLS_FILE
    text = file.read_text()
    file.write_text(text[: len(text) * 2 // 3])  # cut off in the middle of a line
    found, told = run_all(tmp_path, cells())
    assert found == whole
    assert 0 < int(told[0].split("/")[0]) < 8
    assert run_all(tmp_path, cells())[1] == ["8/8"]


def test_a_run_by_other_code_is_none_of_ours(tmp_path: Path) -> None:
    mine = cells("static", (1,))
    run_all(tmp_path, [cell._replace(code="0" * 16) for cell in mine])
    assert run_all(tmp_path, mine)[1][0] == "0/2"


def test_the_code_of_a_policy_is_told_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = {name: fingerprint(name) for name in ("static", "proportional", "house", "bound")}
    assert prints["static"] == prints["proportional"]
    assert len(set(prints.values())) == 3
    for path in ("simnode/market.py", "bench/arena.py", "bench/baselines/static.py"):
        target = tmp_path / "cl_revenue_ops" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("x = 1\n")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    seen: list[tuple[str, str]] = []
    for changed in ("", "simnode/market.py", "bench/baselines/static.py", "config/table.py"):
        if changed:
            target = tmp_path / "cl_revenue_ops" / changed
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(f"y = {len(seen)}\n")
        fingerprint.cache_clear()
        seen.append((fingerprint("static"), fingerprint("house")))
    fingerprint.cache_clear()
    assert [one[0] == two[0] for one, two in pairwise(seen)] == [
        *(False, False, True),
    ]
    assert [one[1] == two[1] for one, two in pairwise(seen)] == [
        *(False, True, False),
    ]


def test_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    alone, _ = run_all(tmp_path / "one", cells(seeds=(1,)))
    together, told = run_all(tmp_path / "two", cells(seeds=(1,)), jobs=2)
    assert together == alone
    assert told[-1] == "4/4"


def test_a_failure_is_one_line_and_stops_no_other(tmp_path: Path) -> None:
    wanted = cells("house+revenue-ops-nonsense=1,static", (1,))
    found, told = run_all(tmp_path, wanted)
    assert told[-1] == "4/4"
    assert len(found.outcomes) == 2
    assert found.failures == tuple(
        f"house+revenue-ops-nonsense=1 in {name}, seed 1: HouseFailed: "
        "unrecognized option: revenue-ops-nonsense"
        for name in ("even", "jumpy")
    )
    # A failed run is not kept.
    assert run_all(tmp_path, wanted)[1][0] == "2/4"


def test_the_bound_is_a_run_like_the_others(tmp_path: Path) -> None:
    wanted = cells_of([parse("static")], ["even"], [1], 3, 4)
    found, _ = run_all(tmp_path, wanted)
    ((cell, bound_msat),) = found.bounds_msat.items()
    ((_, outcome),) = found.outcomes.items()
    assert cell.label == "bound"
    score = Score(found)
    assert score.bounded
    assert score.shares("static", "even") == {1: outcome.net_msat / bound_msat}
    assert run_all(tmp_path, wanted)[0] == found


def test_what_an_attacker_pays_is_no_share_of_the_bound(tmp_path: Path) -> None:
    found, _ = run_all(tmp_path, cells_of([parse("static")], ["even"], [1], 3, 4))
    ((cell, outcome),) = found.outcomes.items()
    half_msat = outcome.fees_msat // 2
    attacked = replace(outcome, attack_fees_msat=half_msat)
    score = Score(replace(found, outcomes={cell: attacked}))
    (bound_msat,) = found.bounds_msat.values()
    assert score.shares("static", "even") == {1: (outcome.net_msat - half_msat) / bound_msat}


# -- names -----------------------------------------------------------------------------------------


def test_a_policy_is_read_from_its_name() -> None:
    assert parse("static") == Spec("static")
    spec = parse("house+revenue-ops-a=1+revenue-ops-b=x=y")
    assert spec == Spec("house", (("revenue-ops-a", "1"), ("revenue-ops-b", "x=y")))
    assert parse(spec.label) == spec
    for name in registry.all_names():
        assert parse(name).label == name
    assert "plugin" not in registry.all_names()


@pytest.mark.parametrize("text", ["", "nobody", "static+a=1", "house+", "house+a", "house+=1"])
def test_a_policy_that_there_is_not(text: str) -> None:
    with pytest.raises(BadPolicy) as told:
        parse(text)
    assert "\n" not in str(told.value)


def test_an_outcome_carries_the_name_that_was_asked_for() -> None:
    (cell,) = cells_of([parse("static-100")], ["even"], [1], 1, 3, bound=False)
    assert work(cell)["outcome"]["policy"] == "static-100"


# -- the table -------------------------------------------------------------------------------------


def test_a_table_compares_within_seeds(tmp_path: Path) -> None:
    found, _ = run_all(tmp_path, cells())
    by_key = {(line.scenario, line.policy): line for line in lines(Score(found), "static")}
    assert set(by_key) == {(s, p) for s in ("even", "jumpy", TOTAL) for p in
                           ("static", "proportional")}  # fmt: skip
    earned = {
        (cell.scenario, cell.label, cell.seed): outcome.fees_msat / 1000.0 / DAYS
        for cell, outcome in found.outcomes.items()
    }
    for scenario in ("even", "jumpy"):
        line = by_key[scenario, "proportional"]
        own = [earned[scenario, "proportional", seed] for seed in (1, 2)]
        base = [earned[scenario, "static", seed] for seed in (1, 2)]
        assert line.share.mean == pytest.approx(sum(own) / 2)
        assert line.net_sat_per_day == pytest.approx(sum(own) / 2)
        assert line.gain.mean == pytest.approx((sum(own) - sum(base)) / 2)
        assert line.gain.size == 2
        assert by_key[scenario, "static"].gain.mean == 0.0
    total = by_key[TOTAL, "proportional"]
    mean = (
        by_key["even", "proportional"].gain.mean + by_key["jumpy", "proportional"].gain.mean
    ) / 2
    assert total.gain.mean == pytest.approx(mean)
    assert total.gain.size == 2
