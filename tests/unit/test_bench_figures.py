"""The figures of the rule: windows, ratios, what an attack costs, gossip, and their table."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from cl_revenue_ops.bench.attack import FIRST_DAY
from cl_revenue_ops.bench.figures_attack import attack, profit_sat
from cl_revenue_ops.bench.figures_coverage import coverage, measured
from cl_revenue_ops.bench.figures_gossip import gossip
from cl_revenue_ops.bench.figures_play import (
    DOWN,
    JUMP_DAY,
    JUMP_FACTOR,
    PLAIN,
    RULE,
    TRUTH,
    UP,
    WORLDS,
    Play,
    Run,
    Runs,
    Setting,
)
from cl_revenue_ops.bench.figures_sample import Guess, Look
from cl_revenue_ops.bench.figures_table import (
    NUMBER,
    Estimate,
    Figure,
    Row,
    print_figure,
    ratio,
)
from cl_revenue_ops.bench.figures_time import jump, ramp
from cl_revenue_ops.bench.outcome import Outcome
from cl_revenue_ops.bench.scenarios import busiest_peers
from cl_revenue_ops.simnode.prices import LEVEL_BOUNDS_LOG

SETTING = Setting((1001, 1002), 45, 3, (PLAIN, "jumpy"))
PEERS = (4, 7, 4)

Take = Callable[[Runs, Setting], Figure]


def run(daily_msat: list[list[int]], **changed: object) -> Run:
    """A run whose channels (rows) earn so much on each day, all in the last hour of it."""
    days = len(daily_msat[0])
    hourly = np.zeros((len(daily_msat), days * 24), dtype=np.int64)
    hourly[:, 23::24] = daily_msat
    outcome = Outcome(
        *("rule", "x", 1001, days, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        broadcasts=(0, 0, 0),
        channel_days=3.0 * days,
        depleted_share=0.0,
        daily_fees_msat=(),
        channel_fees_msat=(),
        sample_s=(),
        fee_path_ppm=(),
        local_share=(),
    )
    made = Run(hourly, (0, 0, 0), PEERS, 4, 0, (100.0, 200.0, 100.0), (0, 0, 0), outcome, ())
    return replace(made, **changed)  # type: ignore[arg-type]  # what is changed is any field


def flat(*msat: int, days: int = 45) -> list[list[int]]:
    """Channels that earn the same every day."""
    return [[one] * days for one in msat]


def runs_of(**by_policy_and_world: Run) -> dict[Play, Run]:
    """The same run for every seed, by `policy__world`."""
    found = {}
    for name, one in by_policy_and_world.items():
        policy, place = name.split("__")
        found.update({SETTING.play(policy, place, seed): one for seed in SETTING.seeds})
    return found


def means(figure: Figure) -> dict[tuple[str, ...], list[float]]:
    """The means of a figure by labels."""
    return {row.labels: [cell.interval.mean for cell in row.cells] for row in figure.rows}


def test_a_window_of_days_is_summed_over_the_channels_that_are_asked_for() -> None:
    one = run([[1, 2, 3, 4], [10, 20, 30, 40], [100, 200, 300, 400]])
    assert one.earned_msat(0, 1) == 111
    assert one.earned_msat(1, 3) == (222 + 333) / 2
    assert one.earned_msat(1, 3, (1,)) == 25
    assert one.busiest_channels == (0, 2)


def test_ramp_sets_the_first_days_against_the_last_and_against_the_truth() -> None:
    rule, truth = np.full((3, 45), 10), np.full((3, 45), 20)
    rule[:, :3] = [2, 4, 6]
    truth[:, :3] = 16
    found = means(
        ramp(
            runs_of(
                rule__no_attack=run(rule.tolist()),
                truth__no_attack=run(truth.tolist()),
            ),
            SETTING,
        )
    )
    assert found["day 3",] == pytest.approx([0.6, 0.8, 6 / 16, 0.75])
    assert found["days 1-3",] == pytest.approx([0.4, 0.8, 0.25, 0.5])
    assert found["last 10 days",] == pytest.approx([1.0, 1.0, 0.5, 1.0])


def test_jump_looks_at_the_node_and_at_the_peer_in_three_windows() -> None:
    slow = np.array(flat(30, 50, 20))
    slow[[0, 2], JUMP_DAY : JUMP_DAY + 4] = 10
    slow[[0, 2], JUMP_DAY + 4 : JUMP_DAY + 14] = 22
    runs = runs_of(
        rule__jump_up=run(slow.tolist()),
        truth__jump_up=run(flat(25, 50, 25)),
        rule__no_attack=run(flat(12, 20, 8)),
        truth__no_attack=run(flat(12, 26, 12)),
    )
    found = means(jump(runs, SETTING))
    up = f"up x{JUMP_FACTOR}"
    assert found[up, "node", "10 days before"][0] == pytest.approx(1.0)
    assert found[up, "node", "first 4 days"][:3] == pytest.approx([0.7, 0.7 / 0.8, 2.0])
    its_peer = found[up, "its peer", "first 4 days"]
    assert its_peer == pytest.approx([0.4, 0.4 * 24 / 20, 50 / 24, 0.05])
    assert found[up, "its peer", "10 days from then"][0] == pytest.approx(0.88)
    assert np.isnan(found[f"down /{JUMP_FACTOR}", "node", "first 4 days"][0]), "no such runs"


def test_the_price_of_the_busiest_peer_jumps_and_rivals_follow() -> None:
    still = WORLDS[PLAIN].market(1001, 5, 20)
    best = busiest_peers(still)[0]
    for name, factor in ((UP, JUMP_FACTOR), (DOWN, 1.0 / JUMP_FACTOR)):
        moved = WORLDS[name].market(1001, 5, 20)
        gap = moved.levels.log_ppm - still.levels.log_ppm
        assert np.all(gap[: JUMP_DAY * 24] == 0.0)
        assert np.all(np.delete(gap, best, axis=1) == 0.0)
        whole = (moved.levels.log_ppm > LEVEL_BOUNDS_LOG[0]) & (
            moved.levels.log_ppm < LEVEL_BOUNDS_LOG[1]
        )
        after = gap[JUMP_DAY * 24 :, best][whole[JUMP_DAY * 24 :, best]]
        assert len(after)
        assert after == pytest.approx(np.log(factor))
        assert moved.rivals.levels is moved.levels
        assert moved.pair_rate_per_day == pytest.approx(still.pair_rate_per_day)


def test_an_attack_is_paid_for_by_what_is_lost_and_by_the_stock_that_is_gone() -> None:
    peace = run(flat(1_000_000, 500_000, 0), end_local_msat=(9_000_000_000, 10**9, 0))
    war = run(flat(800_000, 500_000, 0), end_local_msat=(5_000_000_000, 3 * 10**9, 0))
    war = replace(war, outcome=replace(war.outcome, attack_fees_msat=40_000_000))
    figure = attack(runs_of(rule__no_attack=peace, rule__drain_attack=war), SETTING)
    found = means(figure)
    month = 30.0 / (45 - FIRST_DAY)
    # 4,000,000 sat less at 100 ppm: 400 sat; 2,000,000 more elsewhere at 200 ppm: 400 sat.
    gone = 400.0 * month / 30_000.0
    target = found["target channel",]
    assert target[:4] == pytest.approx([30_000, 24_000, -0.2, -0.2 - gone])
    assert target[4] == pytest.approx(40_000 * month)
    assert found["its peer",][3] == pytest.approx(-0.2 - gone)
    node = found["node",]
    assert node[:4] == pytest.approx([45_000, 39_000, -6 / 45, -6 / 45])


def test_an_attack_counts_from_its_first_day_on() -> None:
    daily = np.zeros((3, 45), dtype=np.int64)
    daily[:, :FIRST_DAY] = 10**9
    daily[:, FIRST_DAY:] = 1_000
    assert profit_sat(run(daily.tolist()), 45, (0,)) == pytest.approx(30.0)


def test_gossip_is_per_day_that_a_channel_is_open() -> None:
    plain = run(flat(0, 0, 0))
    outcome = replace(plain.outcome, broadcasts=(45, 60, 70), channel_days=45 + 45 + 35)
    one = replace(plain, outcome=outcome, opens_day=(0, 0, 10))
    calm = replace(plain, outcome=replace(outcome, broadcasts=(0, 0, 0)))
    figure = gossip(runs_of(rule__no_attack=one, rule__jumpy=calm), SETTING)
    found = means(figure)
    assert found[PLAIN,] == pytest.approx([175 / 125, 2.0])
    assert found["jumpy",] == [0.0, 0.0]
    assert found["all",] == pytest.approx([175 / 250, 2.0])
    assert [row.cells[1].pooled for row in figure.rows] == [2.0, 0.0, 2.0]


def look(day: float, weight: float, guess: Guess) -> Look:
    """A look with the same guess of everything."""
    return Look(day, 0, weight, guess, guess, guess, guess)


def test_coverage_counts_looks_and_weighs_them_by_revenue() -> None:
    inside, below, above = (Guess(1.0, 2.0, 4.0, true) for true in (2.0, 0.5, 8.0))
    looks = {
        1001: (
            look(4.0, 6_000.0, inside),
            look(5.0, 1_000.0, below),
            look(6.0, 3_000.0, above),
            look(9.0, 1e9, above),
        ),
        1002: (look(9.0, 1.0, inside),),
    }
    cells = measured(looks, lambda one: one.fee, 3.0, 7.0)
    assert all(set(cell.by_seed) == {1001} for cell in cells), "a seed without looks says nothing"
    log2 = np.log(2.0)
    assert [cell.by_seed[1001] for cell in cells] == pytest.approx(
        [1 / 3, 0.6, 1 / 3, 1 / 3, 2 * log2, 0.0, 0.1 * 2 * log2 - 0.3 * 2 * log2, 3]
    )
    assert measured(looks, lambda one: one.fee, 0.0, 10.0)[0].by_seed == {1001: 0.25, 1002: 1.0}


def test_a_ratio_leaves_out_seeds_without_a_whole_and_pools_the_others() -> None:
    found = ratio({1: 1.0, 2: 30.0, 3: 5.0}, {1: 2.0, 2: 40.0, 3: 0.0})
    assert found.by_seed == {1: 0.5, 2: 0.75}
    assert found.pooled == pytest.approx(31 / 42)
    assert ratio({1: 1.0}, {}).pooled is None


def test_a_figure_is_a_table_and_plain_data() -> None:
    cells = (Estimate({1: 0.5, 2: 0.7}, pooled=0.65), Estimate({1: 3.0}, NUMBER), Estimate({}))
    figure = Figure("f", "about it", ("of", "a", "b", "c"), (Row(("all",), cells),), ("a note",))
    console = Console(file=io.StringIO(), width=100)
    print_figure(console, figure)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    for word in ("about it", "60.0% ±127.1% (65.0%)", "3.00", " - ", "a note"):
        assert word in shown
    told = json.loads(json.dumps(figure.as_json(), allow_nan=False))
    assert list(told["rows"][0]["cells"]) == ["a", "b", "c"]
    assert told["rows"][0]["cells"]["a"]["by_seed"] == {"1": 0.5, "2": 0.7}
    assert told["rows"][0]["cells"]["b"]["low"] is None
    assert told["rows"][0]["cells"]["c"]["mean"] is None


@pytest.mark.parametrize("take", [ramp, jump, coverage, attack, gossip])
def test_no_two_columns_of_a_figure_have_one_head(take: Take) -> None:
    figure = take({}, SETTING)
    assert len(set(figure.heads)) == len(figure.heads)
    assert figure.rows
    for row in figure.rows:
        assert len(row.labels) + len(row.cells) == len(figure.heads)


def test_a_setting_names_each_run_once() -> None:
    plays = SETTING.plays((RULE, TRUTH), (PLAIN, UP))
    assert len(plays) == len(set(plays)) == 8
    assert {play.seed for play in plays} == {1001, 1002}
    assert plays[0] == Play(RULE, PLAIN, 1001, 45, 3)
