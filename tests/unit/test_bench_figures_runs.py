"""The figures' runs: looking on changes nothing, the ledger is the node's, the truth is true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cl_revenue_ops.bench.arena import play
from cl_revenue_ops.bench.bound_demand import TrueDemand
from cl_revenue_ops.bench.figures_cpu import PARTS, cost, load
from cl_revenue_ops.bench.figures_play import PLAIN, RULE, TRUTH, Ledger, Play, Run, run_in
from cl_revenue_ops.bench.figures_sample import EVERY_S, FIRST_DAY, Truth
from cl_revenue_ops.bench.policy import Refused, Settled
from cl_revenue_ops.bench.rule import Rule
from cl_revenue_ops.simnode.cli import main
from cl_revenue_ops.simnode.prices import DAY_S
from tests.unit.bench_support import flat, world

DAYS, CHANNELS, SEED = 6, 4, 1001
BUSY = {"attempts_per_channel_day": 60.0, "dormant_share": 0.0}


def run(policy: str) -> Run:
    """A short run of a small busy node."""
    market, scenario = world(PLAIN, SEED, CHANNELS, DAYS, **BUSY)
    return run_in(market, scenario, Play(policy, PLAIN, SEED, DAYS, CHANNELS))


@pytest.fixture(scope="module", name="rule_run")
def _rule_run() -> Run:
    return run(RULE)


def test_looking_at_the_rule_changes_nothing_and_repeats(rule_run: Run) -> None:
    market, scenario = world(PLAIN, SEED, CHANNELS, DAYS, **BUSY)
    assert rule_run.outcome == play(market, scenario, Rule(SEED))
    again = run(RULE)
    assert again.looks == rule_run.looks
    assert np.array_equal(again.hourly_msat, rule_run.hourly_msat)


def test_the_ledger_is_the_nodes_own(rule_run: Run) -> None:
    outcome = rule_run.outcome
    assert outcome.fees_msat > 0
    by_channel = rule_run.hourly_msat.sum(axis=1)
    # What is in flight at the end settles after the last news.
    late = np.array(outcome.channel_fees_msat) - by_channel
    assert np.all(late >= 0)
    assert late.sum() <= 0.02 * outcome.fees_msat
    by_day = rule_run.hourly_msat.reshape(CHANNELS, DAYS, 24).sum(axis=(0, 2))
    assert by_day == pytest.approx(np.array(outcome.daily_fees_msat), rel=0.1, abs=20_000)
    market, _ = world(PLAIN, SEED, CHANNELS, DAYS, **BUSY)
    share = np.array(rule_run.end_local_msat) / [c.capacity_sat * 1_000 for c in market.channels]
    assert share == pytest.approx([path[-1] for path in rule_run.outcome.local_share], abs=0.05)


def test_the_ledger_passes_all_news_on() -> None:
    market, scenario = world("one_way", SEED, CHANNELS, DAYS, **BUSY, turnover_per_day=1.0)
    alone, kept = flat(1), flat(1)
    assert play(market, scenario, Ledger(kept, market)) == play(market, scenario, alone)
    assert kept.facts == alone.facts
    assert {type(fact) for fact in kept.facts} == {Settled, Refused}


def test_the_truth_is_played_without_looks() -> None:
    market, scenario = world(PLAIN, SEED, CHANNELS, DAYS, **BUSY)
    told = run(TRUTH)
    assert not told.looks
    assert told.outcome == play(market, scenario, Rule(SEED, market))


def test_looks_come_at_a_random_moment_of_every_twelve_hours(rule_run: Run) -> None:
    days = sorted({look.day for look in rule_run.looks})
    slots = [int((day - FIRST_DAY) * DAY_S // EVERY_S) for day in days]
    assert days[0] >= FIRST_DAY
    # A moment late in its slot may find its tick in the next one.
    assert len(days) == round((DAYS - FIRST_DAY) * DAY_S / EVERY_S)
    assert all(0 <= slot - place <= 1 for place, slot in enumerate(slots))
    assert len({round(day % 0.5, 3) for day in days}) > 2
    for look in rule_run.looks:
        assert look.weight >= 1_000.0
        assert look.enters.true <= look.mean.true * (1 + 1e-9)
        for guess in (look.fee, look.now):
            assert guess.low <= guess.high


def test_true_volumes_are_those_of_the_market() -> None:
    market, _ = world("season", 1001, 6, 5, whale_days=0.2)
    truth, demand = Truth(market), TrueDemand(market)
    at_s = market.start_s + 2.3 * DAY_S
    arrives = 1.0 - market.parameters.downstream_failure
    fees = np.array([20.0, 150.0])
    for peer in range(len(market.peers)):
        volume = demand.per_day(peer, at_s).volume_msat.sum()
        by_peer = truth.offered_msat(peer, np.array([at_s]))
        assert by_peer.sum() == pytest.approx(volume)
        assert np.all(by_peer[peer] == 0.0), "nothing comes back where it came from"
        taken = truth.taken(peer, at_s, fees) @ by_peer.sum(axis=0)
        assert taken == pytest.approx(demand.share(peer, at_s, fees).volume * volume * arrives)
        both_s = np.array([at_s, at_s + 0.4 * DAY_S])
        each = [truth.offered_msat(peer, np.array([one])).sum() for one in both_s]
        assert truth.offered_msat(peer, both_s).sum() == pytest.approx(np.mean(each))


def test_a_cycle_learns_values_prices_and_decides_on_every_destination() -> None:
    node = load(1001, 30)
    before = list(node.fees_ppm)
    for _ in range(3):
        spent = node.cycle()
    assert set(spent) == set(PARTS)
    assert spent["all"] == pytest.approx(sum(spent[part] for part in PARTS[:-1]))
    assert len(node.fees.desk.draws) == 30
    assert [state.decisions for state in node.fees.states.values()] == [3] * 30
    assert sum(one.seen for one in node.book.peers.values()) > 15
    assert node.fees_ppm != before
    confirmed = [state.confirmed for state in node.fees.states.values()]
    assert [fee and fee.ppm for fee in confirmed] == node.fees_ppm, "what was set stands"
    same = load(1001, 30)
    for _ in range(3):
        same.cycle()
    assert same.fees_ppm == node.fees_ppm


def test_memory_is_told_by_destination() -> None:
    found = cost(1001, 30)
    node = load(1001, 30)
    law = next(iter(node.book.posteriors.values()))
    each = law.weight.nbytes + law.rate.nbytes + law.shape.nbytes
    assert found["arrays"] == pytest.approx(each / 1024)
    assert found["arrays"] < found["traced"] < 8 * found["arrays"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "speed"], "no figure 'speed'"),
        (["--scenario", "calm"], "no scenario 'calm'"),
        (["--seeds", "x"], "seeds are whole numbers"),
        (["--only", "jump", "--days", "28"], "at least 29 days"),
        (["--only", "ramp", "--days", "23"], "at least 24 days"),
        (["--channels", "1"], "2 channels"),
        (["--jobs", "0"], "1 job"),
        (["--out", __file__], "File exists"),
    ],
)
def test_wrong_input_is_answered_in_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench-figures", *words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("bench-figures: ")
    assert told in error
    assert error.count("\n") == 1


def test_figures_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "coverage,gossip", "--scenario", "sparse,even", "--seeds", "1001"]
    size = ["--days", "5", "--channels", "3", "--jobs", "1", "--out", str(tmp_path)]
    assert main(["bench-figures", *words, *size]) == 0
    shown = capsys.readouterr().out
    for word in ("coverage: the truth", "gossip: broadcasts", "sparse", "even", "all"):
        assert word in shown
    told = json.loads((tmp_path / "figures.json").read_text())
    assert [figure["name"] for figure in told["figures"]] == ["coverage", "gossip"]
    assert told["seeds"] == [1001]
    row = told["figures"][1]["rows"][0]
    assert row["labels"] == ["sparse"]
    assert row["cells"]["mean of channels"]["by_seed"]["1001"] >= 0.0
