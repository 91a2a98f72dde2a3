"""Fee rules with rebalancers: names, what a pair is made of, and what is said of what it adds."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cl_revenue_ops.bench import pairs, registry
from cl_revenue_ops.bench.arena import play
from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.outcome import Outcome
from cl_revenue_ops.bench.policy import FeePolicy, NodeView, Refused, Settled
from cl_revenue_ops.bench.rebalancers import NATIVE, NONE, REBALANCERS, Paired
from cl_revenue_ops.bench.rebalancers.pair import Nothing
from cl_revenue_ops.bench.registry import BadPolicy, Spec, fingerprint, parse, rebalancing_names
from cl_revenue_ops.bench.routes import TrueRoutes
from cl_revenue_ops.bench.run import Cell, Results, cells_of, run, work
from cl_revenue_ops.bench.table import TOTAL, Score
from cl_revenue_ops.simnode.cli import main
from tests.unit.baseline_support import FakeNode, channel
from tests.unit.bench_support import Scripted, world

BUSY = {"attempts_per_channel_day": 60.0, "dormant_share": 0.0}


class Clocked(Scripted):
    """A policy that leaves fees alone, with an interval of its own; it notes when it is called."""

    def __init__(self, name: str, interval_s: float, calls: list[str]) -> None:
        super().__init__(None, name)
        self.interval_s = interval_s
        self._calls = calls

    def begin(self, node: NodeView) -> None:
        super().begin(node)
        self._calls.append(f"begin {self.name}")

    def tick(self, node: NodeView) -> None:
        super().tick(node)
        self._calls.append(f"tick {self.name}")


# -- one policy out of two -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"), [(3_600.0, 600.0), (1_500.0, 7_200.0), (1_800.0, 2_400.0), (250.0, 900.0)]
)
def test_each_half_of_a_pair_ticks_as_it_would_alone(one: float, other: float) -> None:
    market, scenario = world("even", 1, 3, 1)
    calls: list[str] = []
    fees, rebalancer = Clocked("fees", one, calls), Clocked("mover", other, calls)
    play(market, scenario, Paired(fees, rebalancer))
    for half in (fees, rebalancer):
        alone = Clocked("alone", half.interval_s, [])
        play(market, scenario, alone)
        assert half.ticks_s == alone.ticks_s
        assert half.facts == alone.facts


def test_the_fee_rule_comes_first() -> None:
    calls: list[str] = []
    pair = Paired(Clocked("fees", 600.0, calls), Clocked("mover", 600.0, calls))
    assert pair.name == "fees/mover"
    node = FakeNode(channel())
    pair.begin(node)
    node.now_s += 600.0
    pair.tick(node)
    assert calls == ["begin fees", "begin mover", "tick fees", "tick mover"]


def test_an_interval_is_whole_seconds() -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        Paired(Nothing(), Clocked("x", 0.5, []))


def test_a_pair_passes_news_on_to_both() -> None:
    calls: list[str] = []
    halves = Clocked("fees", 600.0, calls), Clocked("mover", 600.0, calls)
    pair, node = Paired(*halves), FakeNode(channel())
    sold, lost = Settled(1.0, 0, 1, 5, 1), Refused(2.0, 0, 1, 7)
    pair.settled(sold, node)
    pair.refused(lost, node)
    assert halves[0].facts == halves[1].facts == [sold, lost]


@pytest.mark.parametrize("name", ["static", "clboss", "lnoperator", "feeadjuster-median", "lndg"])
def test_with_none_a_fee_rule_does_what_it_does_alone(name: str) -> None:
    market, scenario = world("even", 3, 5, 4, **BUSY)
    alone = registry.play_spec(parse(name), market, scenario)
    pair = registry.play_spec(parse(f"{name}/{NONE}"), market, scenario)
    assert pair == replace(alone, policy=f"{name}/none")


@pytest.mark.parametrize("name", NATIVE)
def test_every_native_pair_plays_the_same_twice(name: str) -> None:
    market, scenario = world("even", 3, 6, 4, **BUSY)
    one = registry.play_spec(parse(name), market, scenario)
    assert one == registry.play_spec(parse(name), market, scenario)
    assert one.policy == name
    assert one.rebalance_cost_msat >= 0
    assert one.moves <= one.move_tries


@pytest.mark.parametrize("name", ["clboss/earnings", "lndg/ar", "lnoperator/budget",
                                  "static/economic", "clboss/jit"])  # fmt: skip
def test_every_rebalancer_moves_something_somewhere(name: str) -> None:
    moves = 0
    for seed in range(1, 30):
        market, scenario = world("even", seed, 6, 8, **BUSY)
        moves += registry.play_spec(parse(name), market, scenario).moves
        if moves:
            return
    raise AssertionError(f"{name} moved nothing on 29 seeds")


# -- names -----------------------------------------------------------------------------------------


def test_a_pair_is_read_from_its_name() -> None:
    spec = parse("clboss/earnings")
    assert spec == Spec("clboss/earnings")
    assert spec.is_pair and spec.label == "clboss/earnings"
    assert not parse("clboss").is_pair
    for fees in BASELINES:
        for rebalancer in REBALANCERS:
            assert parse(f"{fees}/{rebalancer}").label == f"{fees}/{rebalancer}"


@pytest.mark.parametrize(
    "text",
    ["clboss/", "/jit", "clboss/nobody", "nobody/jit", "house/jit", "plugin/none",
     "oracle-static/economic", "clboss/jit/ar", "clboss/jit+a=1"],
)  # fmt: skip
def test_a_pair_that_there_is_not(text: str) -> None:
    with pytest.raises(BadPolicy) as told:
        parse(text)
    assert "\n" not in str(told.value)


def test_the_set_has_each_pair_behind_its_fee_rule_alone() -> None:
    found = rebalancing_names()
    assert len(found) == len(set(found))
    for name in found:
        assert parse(name).label == name
        if parse(name).is_pair:
            assert found.index(registry.fees_of(name)) < found.index(name)
    wanted = {
        *("clboss/earnings", "clboss/jit", "clboss/economic", "lndg/ar", "lnoperator/budget"),
        *("static/economic", "proportional/economic", "feeadjuster-median/economic"),
    }
    assert wanted <= set(found)


def test_ours_are_in_the_set_as_soon_as_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[TrueRoutes | None] = []

    def make(fees: FeePolicy, seed: int, routes: TrueRoutes | None) -> FeePolicy:
        given.append(routes)
        return Nothing()

    monkeypatch.setitem(REBALANCERS, "ev", make)
    assert rebalancing_names()[:4] == ["rule", "rule/ev", "truth", "truth/ev"]
    market, scenario = world("even", 1, 3, 1)
    for name in ("rule/ev", "truth/ev", "static/ev"):
        registry.play_spec(parse(name), market, scenario)
    # Only the rule that is told the truth is told the prices of routes.
    assert [routes is not None for routes in given] == [False, True, False]


# -- which code a run was made by ------------------------------------------------------------------


def test_the_code_of_a_pair_is_that_of_both_halves_and_of_the_routes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("clboss", "clboss/jit", "rule", "rule/none", "bound", "bound-rebalancing", "house")
    paths = {
        "bench/rebalancers/clboss.py": {"clboss/jit", "rule/none"},
        "bench/moving.py": {"clboss/jit", "rule/none", "bound-rebalancing"},
        "bench/routes.py": {"clboss/jit", "rule/none", "bound-rebalancing"},
        "simnode/route_market.py": {"clboss/jit", "rule/none", "bound-rebalancing", "house"},
        "bench/baselines/clboss.py": {"clboss", "clboss/jit"},
        "bench/rule.py": {"rule", "rule/none"},
        "bench/bound.py": {"rule", "rule/none", "bound", "bound-rebalancing"},
        "bench/arena.py": set(names),
    }
    for path in paths:
        (tmp_path / "cl_revenue_ops" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cl_revenue_ops" / path).write_text("x = 1\n")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    for path, changed in paths.items():
        fingerprint.cache_clear()
        before = {name: fingerprint(name) for name in names}
        (tmp_path / "cl_revenue_ops" / path).write_text("x = 2\n")
        fingerprint.cache_clear()
        assert {name for name in names if fingerprint(name) != before[name]} == changed, path
    fingerprint.cache_clear()


# -- the runs --------------------------------------------------------------------------------------


def test_the_bound_with_refills_is_a_run_of_its_own(tmp_path: Path) -> None:
    specs = [parse("static"), parse("static/economic")]
    cells = cells_of(specs, ["even"], [1], 3, 4, rebalancing=True)
    assert [cell.label for cell in cells] == [
        *("static", "static/economic", "bound", "bound-rebalancing"),
    ]
    assert cells_of(specs, ["even"], [1], 3, 4, bound=False, rebalancing=True) == cells[:2]
    found = run(cells, tmp_path, 1, lambda *_: None)
    by_label = {cell.label: bound for cell, bound in found.bounds_msat.items()}
    assert 0 < by_label["bound"] <= by_label["bound-rebalancing"] * 1.005
    assert {cell.label for cell in found.outcomes} == {"static", "static/economic"}
    score = Score(found)
    assert score.rebalancing
    assert score.bounds_msat == {"even": {1: by_label["bound-rebalancing"]}}
    assert score.plain_bounds_msat == {"even": {1: by_label["bound"]}}
    plain = Score(replace(found, bounds_msat={c: b for c, b in found.bounds_msat.items()
                                              if c.label == "bound"}))  # fmt: skip
    assert not plain.rebalancing
    assert plain.bounds_msat == score.plain_bounds_msat


# -- what is said of it ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Any outcome, to be changed."""
    record = work(cells_of([parse("static")], ["even"], [1], 2, 4, bound=False)[0])
    return Outcome.from_json(record["outcome"])


Net = dict[str, dict[str, list[int]]]


def scored(outcome: Outcome, nets: Net, cost_msat: int = 100) -> Score:
    """A score in which policies earned so much, net, per scenario and seed, of a bound of 1000."""
    outcomes, bounds = {}, {}
    for label, by_scenario in nets.items():
        for scenario, values in by_scenario.items():
            for seed, net in enumerate(values, start=1):
                spent = cost_msat if "/" in label else 0
                outcomes[Cell(label, scenario, seed, 2, 4, "")] = replace(
                    outcome, policy=label, fees_msat=net + spent, rebalance_cost_msat=spent,
                    moves=6, move_tries=8, moved_msat=300, volume_msat=1_000, attack_fees_msat=0,
                )  # fmt: skip
                bounds[Cell("bound-rebalancing", scenario, seed, 2, 4, "")] = 1_000.0
                bounds[Cell("bound", scenario, seed, 2, 4, "")] = 800.0
    return Score(Results(outcomes, bounds, ()))


def _cells(score: Score) -> Iterator[tuple[Cell, Outcome]]:
    for label, scenarios in score.outcomes.items():
        for scenario, seeds in scenarios.items():
            for seed, outcome in seeds.items():
                yield Cell(label, scenario, seed, 2, 4, ""), outcome


def test_a_pair_is_held_against_its_fee_rule_seed_by_seed(outcome: Outcome) -> None:
    score = scored(
        outcome,
        {
            "clboss": {"even": [400, 600], "jumpy": [300, 500]},
            "clboss/jit": {"even": [450, 690], "jumpy": [292, 484]},
            "static": {"even": [100, 100], "jumpy": [100, 100]},
        },
    )
    found = {line.scenario: line for line in pairs.pair_lines(score)}
    assert set(found) == {"even", "jumpy", TOTAL}
    even, jumpy, total = found["even"], found["jumpy"], found[TOTAL]
    assert even.pair == "clboss/jit"
    assert even.share.mean == pytest.approx(0.57)
    assert even.gain.mean == pytest.approx(0.07)
    assert even.gain.size == 2
    assert jumpy.gain.mean == pytest.approx(-0.012)
    assert total.gain.mean == pytest.approx((0.07 - 0.012) / 2)
    assert even.spent == pytest.approx(200 / (450 + 690 + 200))
    assert (even.moves, even.arrived, even.moved) == (3.0, 0.75, 0.3)
    assert (even.harms, jumpy.harms, total.harms) == (False, True, False)
    assert pairs.worst(list(found.values()), "clboss/jit") == jumpy
    assert pairs.harmed(list(found.values())) == [jumpy]


@pytest.mark.parametrize(("net", "harms"), [(390, False), (389, True), (500, False)])
def test_more_than_a_point_below_is_pointed_at(outcome: Outcome, net: int, harms: bool) -> None:
    score = scored(outcome, {"clboss": {"even": [400]}, "clboss/jit": {"even": [net]}})
    told = io.StringIO()
    pairs.print_pairs(Console(width=160, file=told), score)
    text = told.getvalue()
    line = next(line for line in pairs.pair_lines(score) if line.scenario == "even")
    assert line.harms == harms
    assert (f"clboss/jit: {line.gain.mean:.3f} in even, below -1 point" in text) == harms


def test_without_a_bound_nothing_is_a_point_below(outcome: Outcome) -> None:
    score = scored(outcome, {"clboss": {"even": [400]}, "clboss/jit": {"even": [300]}})
    unbound = Score(Results(dict(_cells(score)), {}, ()))
    even, _ = pairs.pair_lines(unbound)
    assert even.gain.mean == pytest.approx(-0.05), "satoshi a day"
    assert not even.harms
    assert pairs.heads(False)[1] == "sat/day"


def test_without_its_fee_rule_alone_nothing_is_claimed(outcome: Outcome) -> None:
    score = scored(outcome, {"clboss/jit": {"even": [400]}})
    (even, total) = pairs.pair_lines(score)
    assert even.gain.size == total.gain.size == 0
    assert not even.harms
    assert pairs.worst([even, total], "clboss/jit") is None
    assert pairs.cells(even, True, None)[2:4] == ("-", "")


def test_a_pair_of_the_plugin_is_held_against_the_plugin_with_the_same_options() -> None:
    assert pairs.without("house/x+revenue-ops-a=b/c") == "house+revenue-ops-a=b/c"
    assert pairs.without("clboss/jit") == "clboss"
    assert pairs.without("clboss") == "clboss"


def test_how_near_the_rule_comes_to_the_truth(outcome: Outcome) -> None:
    nets = {"rule/ev": {"even": [450, 540]}, "truth/ev": {"even": [500, 600]},
            "rule": {"even": [100, 100]}}  # fmt: skip
    told = pairs.notes(scored(outcome, nets))
    assert told == [
        "Shares are of the bound with rebalancing, which is 1.25 times that without.",
        "rule/ev earns 0.900 of what truth/ev does (by seed 0.900 to 0.900).",
    ]
    assert pairs.notes(scored(outcome, {"static": {"even": [1]}}))[1:] == []


# -- the command -----------------------------------------------------------------------------------

SMALL = ["bench", "--days", "2", "--channels", "4", "--jobs", "1", "--seeds", "1-2"]


def test_a_small_bench_with_rebalancers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--policy", "static,static/economic", "--scenario", "even,sparse"]
    assert main([*SMALL, *words, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for word in ("with rebalancing against without", "static/economic", "16 of 16 runs",
                 "Shares are of the bound with rebalancing"):  # fmt: skip
        assert word in out
    page = (tmp_path / "bench.html").read_text()
    assert page.count("<svg") == 3
    for word in ("Share of the fluid bound with rebalancing", "with - without", "sparse",
                 "With rebalancing against without: all scenarios"):  # fmt: skip
        assert word in page
    assert not re.findall(r'(?:src|href)="(?!#)', page), "the page needs nothing else"


def test_rebalancing_asks_for_the_set_and_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cl_revenue_ops.bench import cli

    asked: list[Cell] = []

    def stop(cells: list[Cell], *_: object) -> None:
        asked.extend(cells)
        raise KeyboardInterrupt

    def labels(*words: str) -> list[str]:
        asked.clear()
        one = ["--scenario", "even", "--seeds", "1", "--out", str(tmp_path)]
        assert main([*SMALL, *one, *words]) == 130
        return [cell.label for cell in asked]

    monkeypatch.setattr(cli, "run", stop)
    both = ["bound", "bound-rebalancing"]
    assert labels("--rebalancing") == [*rebalancing_names(), *both]
    assert labels("--policy", "rebalancing") == [*rebalancing_names(), *both]
    assert labels("--rebalancing", "--policy", "static") == ["static", *both]
    assert labels("--policy", "static/jit") == ["static/jit", *both]
    assert labels("--policy", "static") == ["static", "bound"]
    assert labels("--policy", "static/jit", "--no-bound") == ["static/jit"]
    assert labels() == [*registry.all_names(), "bound"]
