"""Tests of the book of demand: how beliefs begin, what moves them, and what stock is worth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cl_revenue_ops.domain.demand import belief, birth, posterior, season
from cl_revenue_ops.domain.demand.birth import Birth, Opinion
from cl_revenue_ops.domain.demand.book import (
    MIX_WEIGHT,
    PRIOR_SHAPE,
    SEASONED_DAYS,
    STEEPNESS_MOVED,
    DemandBook,
    Stock,
    Surprise,
)
from cl_revenue_ops.domain.demand.curve import CELL_LOG_PRICE
from cl_revenue_ops.domain.demand.peer import DAY_S, MOST_SIZES, Arrival
from cl_revenue_ops.domain.demand.pool import TYPICAL_MSAT
from cl_revenue_ops.domain.demand.posterior import Posterior
from cl_revenue_ops.domain.demand.rivals import Ask
from tests.unit.demand_support import SIZE_MSAT, START_S, STEP_S, Watched, world

HOUR_S = 3_600.0


def log_price(law: Posterior) -> tuple[float, float]:
    """Mean and standard deviation of ln c."""
    weight = law.weight[0].astype(np.float64)
    mean = float(weight @ CELL_LOG_PRICE)
    return mean, math.sqrt(float(weight @ (CELL_LOG_PRICE - mean) ** 2))


def volume(law: Posterior) -> float:
    """The expected volume a day at no fee."""
    return float((law.weight.astype(np.float64) * law.rate).sum())


def met(**born: float | None) -> DemandBook:
    """A book that has met one peer."""
    book = DemandBook()
    birth = {"quote_ppm": None, "quotes": 8, "found_ppm": None, "rate_msat": 1e9, **born}
    book.meet({"them": Birth(**birth)})  # type: ignore[arg-type]
    return book


# -- beginning -----------------------------------------------------------------------------------


def test_belief_begins_where_the_births_say() -> None:
    told = birth.opinions({"them": Birth(100.0, 8, 400.0, 1e9)})["them"]
    mean, sd = log_price(met(quote_ppm=100.0, found_ppm=400.0).posteriors["them"])
    assert mean == pytest.approx(told.log_price, abs=0.02)
    assert sd == pytest.approx(math.sqrt(told.variance), rel=0.03)


def test_newcomers_hear_what_the_node_has_learned_since() -> None:
    book = met(quote_ppm=100.0)
    book.posteriors["them"] = posterior.shifted(book.posteriors["them"], 2.0)
    learned = Opinion(*log_price(book.posteriors["them"])[:1], 0.0)
    learned = learned._replace(variance=log_price(book.posteriors["them"])[1] ** 2)
    book.meet({"new": Birth(None, 0, 100.0, 1e9)})
    told = birth.opinions({"new": Birth(None, 0, 100.0, 1e9)}, [learned])["new"]
    assert log_price(book.posteriors["new"])[0] == pytest.approx(told.log_price, abs=0.02)
    assert told.log_price > math.log(100.0) + 0.2


def test_volume_begins_where_it_is_told_and_is_hardly_trusted() -> None:
    law = met(rate_msat=7e8).posteriors["them"]
    assert volume(law) == pytest.approx(7e8, rel=1e-5)
    assert law.shape[0] == pytest.approx(PRIOR_SHAPE)


def test_whom_we_know_we_do_not_meet_again() -> None:
    book = met(quote_ppm=300.0)
    kept = book.posteriors["them"]
    book.meet({"them": Birth(5.0, 8, 5.0, 1.0)})
    assert book.posteriors["them"] is kept


def test_newcomers_begin_with_the_steepness_that_the_node_has_learned() -> None:
    book = met()
    weights = tuple(np.arange(1.0, 1.0 + len(book.pool.steepness)).tolist())
    book.pool = book.pool._replace(steepness=weights)
    book.meet({"new": Birth(None, 8, None, 1e9)})
    found = posterior.steepness(book.posteriors["new"])[0]
    assert found == pytest.approx(np.array(weights) / sum(weights), rel=1e-4)


def test_whom_we_forget_leaves_nothing_behind() -> None:
    book = played(1)
    name = next(iter(book.peers))
    book.appraise([Stock(name, 1e9, 2e9)], START_S)
    assert name in book.values and name in book.surprises
    book.forget(name)
    assert not (book.peers or book.posteriors or book.values or book.surprises)
    book.forget(name)


# -- quotes --------------------------------------------------------------------------------------


def test_the_price_follows_where_rivals_have_moved() -> None:
    book = met(quote_ppm=200.0)
    before, _ = log_price(book.posteriors["them"])
    book.hear("them", [Ask("1x1x1", 50, 10**9), Ask("2x1x1", 3_000, 10**9)], START_S)
    assert log_price(book.posteriors["them"])[0] == before, "where they stand is no move"
    book.hear("them", [Ask("1x1x1", 100, 10**9), Ask("2x1x1", 6_000, 10**9)], START_S + 1.0)
    after, _ = log_price(book.posteriors["them"])
    assert after - before == pytest.approx(math.log(2.0), abs=0.05)
    kept = book.posteriors["them"]
    book.hear("them", [Ask("1x1x1", 100, 10**9), Ask("2x1x1", 6_000, 10**9)], START_S + 2.0)
    assert book.posteriors["them"] is kept, "the same news is no news"


def test_what_rivals_asked_before_we_met_says_where_later_moves_start() -> None:
    book = DemandBook()
    book.hear("them", [Ask("1x1x1", 100, 10**9)], START_S)
    book.meet({"them": Birth(None, 8, 100.0, 1e9)})
    kept = log_price(book.posteriors["them"])[0]
    book.hear("them", [Ask("1x1x1", 50, 10**9)], START_S + 1.0)
    moved = log_price(book.posteriors["them"])[0] - kept
    assert moved == pytest.approx(-math.log(2.0), abs=0.08)


def test_the_price_goes_its_own_way_by_less_where_rivals_tell_of_theirs() -> None:
    told, silent = met(quote_ppm=200.0), met(quote_ppm=200.0)
    for number, ppm in enumerate((100, 110, 121)):
        told.hear("them", [Ask("1x1x1", ppm, 10**9)], START_S + number)
        told.posteriors["them"] = silent.posteriors["them"]
    for book in (told, silent):
        book.learn({}, {}, START_S)
        book.learn({}, {}, START_S + 2 * 86_400.0)
    assert log_price(told.posteriors["them"])[1] < log_price(silent.posteriors["them"])[1]


# -- learning ------------------------------------------------------------------------------------


def played(peers: int, days: float = 2.0) -> DemandBook:
    """A book that has watched some peers."""
    watched = Watched([world(seed, 20.0) for seed in range(peers)])
    for _ in range(int(days * DAY_S / STEP_S)):
        watched.vary()
        watched.step()
    return watched.book


def forward(at_s: float, ppm: int = 150, **changes: object) -> Arrival:
    """A forward of usual size."""
    fee = SIZE_MSAT * ppm // 1_000_000
    return Arrival(at_s, "somebody", SIZE_MSAT, fee, True)._replace(**changes)  # type: ignore[arg-type]


def watched_for(days: float, per_day: int) -> DemandBook:
    """A book with one peer that has brought the same every day."""
    book = met(quote_ppm=300.0)
    book.learned_s = START_S
    book.ask("them", 150, 0, START_S)
    for hour in range(int(24 * days)):
        from_s = START_S + hour * HOUR_S
        gap_s = DAY_S / per_day
        came = [
            forward(at_s)
            for at_s in np.arange(START_S, START_S + days * DAY_S, gap_s)
            if from_s < at_s <= from_s + HOUR_S
        ]
        book.learn({"them": came}, {"them": HOUR_S}, from_s + HOUR_S)
    return book


def surprise(book: DemandBook, came: int, days: float) -> Surprise:
    """What the book says of so much in its next days."""
    assert book.learned_s is not None
    until_s = book.learned_s + days * DAY_S
    arrivals = {"them": [forward(until_s - 1.0)] * came}
    book.learn(arrivals, {"them": days * DAY_S}, until_s)
    return book.surprises["them"]


def test_what_comes_as_it_came_is_no_surprise() -> None:
    found = surprise(watched_for(5, 24), 24, 1.0)
    assert found.count == pytest.approx(24.0, rel=0.05)
    assert found.mean == pytest.approx(24.0, rel=0.3)
    assert min(found.p_low, found.p_high) > 0.2


@pytest.mark.parametrize("came", [18, 32])
def test_only_the_side_on_which_it_lies_can_surprise(came: int) -> None:
    found = surprise(watched_for(5, 24), came, 1.0)
    assert found.mean == pytest.approx(24.0, rel=0.3)
    assert (found.p_low == 1.0, found.p_high == 1.0) == (came > found.mean, came < found.mean)


def test_silence_surprises_on_the_low_side_and_a_flood_on_the_high_one() -> None:
    silent, flooded = surprise(watched_for(5, 24), 0, 3.0), surprise(watched_for(5, 24), 300, 1.0)
    assert silent.p_low < 1e-3
    assert silent.p_high == 1.0
    assert flooded.p_high < 1e-3
    assert flooded.p_low == 1.0


def test_where_little_is_known_little_surprises() -> None:
    assert surprise(watched_for(0.25, 24), 0, 1.0).p_low > 0.05


def test_no_time_no_surprise() -> None:
    book = watched_for(1, 24)
    book.learn({}, {}, START_S + 2 * DAY_S)
    assert book.surprises == {}, "nothing could be carried: nothing was to be expected"


def test_the_hours_of_the_day_are_learned_where_it_is_looked_often() -> None:
    """Everything comes in the first half of the day; then a quiet night is no surprise."""
    book, began_s = DemandBook(), START_S - START_S % DAY_S
    book.learned_s = began_s
    for place in range(20):
        book.meet({f"peer {place}": Birth(300.0, 8, None, 1e10)})
        book.ask(f"peer {place}", 150, 0, began_s)
    carried = dict.fromkeys(book.peers, 2 * HOUR_S)
    for hour in range(0, 24 * 7, 2):
        from_s = began_s + hour * HOUR_S
        came = [forward(from_s + place) for place in range(14)] if hour % 24 < 12 else []
        book.learn(dict.fromkeys(book.peers, came), carried, from_s + 2 * HOUR_S)
    factors = [season.factor(book.season, book.learned_s + hour * HOUR_S) for hour in (7, 19)]
    assert factors[0] > 1.3 * factors[1]
    means = []
    for from_s in (book.learned_s + 4 * HOUR_S, book.learned_s + 16 * HOUR_S):
        later = replace(book, peers=dict(book.peers), posteriors=dict(book.posteriors))
        later.learned_s = from_s
        later.learn({}, carried, from_s + 2 * HOUR_S)
        means.append(later.surprises["peer 0"].mean)
    assert means[0] > 1.2 * means[1]


def test_a_long_stretch_belongs_to_no_hour() -> None:
    book = met(quote_ppm=300.0)
    book.learned_s = START_S
    book.ask("them", 150, 0, START_S)
    days = 1.1 * SEASONED_DAYS
    until_s = START_S + days * DAY_S
    book.learn({"them": [forward(START_S)]}, {"them": days * DAY_S}, until_s)
    assert book.season == season.Season()
    night = [1e3] * 12 + [1.0] * 12
    found = []
    for hours in (book.season.hour_came, tuple(night), tuple(night[::-1])):
        later = replace(book, peers=dict(book.peers), posteriors=dict(book.posteriors))
        later.season = replace(book.season, hour_came=hours)
        later.learn({}, {"them": DAY_S}, until_s + days * DAY_S)
        found.append(later.surprises["them"].mean)
    assert found[0] == found[1] == found[2] > 0.0


def test_what_could_not_enter_is_not_missed() -> None:
    """All of their traffic enters by one peer that is full half of the time."""
    found = []
    for open_share in (1.0, 0.5, 0.0):
        book = watched_for(2, 24)
        book.meet({"somebody": Birth(None, 8, None, 1e9)})
        until_s = START_S + 3 * DAY_S
        book.learn({}, {"them": DAY_S}, until_s, {"somebody": open_share})
        found.append(book.surprises["them"].mean)
    entered = 48 * SIZE_MSAT / (48 * SIZE_MSAT + MIX_WEIGHT * SIZE_MSAT)
    assert found[1] / found[0] == pytest.approx(1.0 - 0.5 * entered, abs=0.06)
    assert found[2] < 0.15 * found[0]
    DemandBook().learn({}, {}, START_S, {"somebody": 0.5})


def test_the_first_look_only_starts_the_clock() -> None:
    book = met(quote_ppm=300.0)
    book.ask("them", 150, 0, START_S)
    kept = book.posteriors["them"]
    book.learn({}, {"them": DAY_S}, START_S)
    assert book.learned_s == START_S
    assert book.posteriors["them"].weight == pytest.approx(kept.weight, rel=1e-5)
    book.learn({}, {"them": DAY_S}, START_S + DAY_S)
    assert volume(book.posteriors["them"]) < volume(kept)


def test_a_clock_that_goes_back_teaches_nothing() -> None:
    book = watched_for(2, 24)
    kept, pooled = book.posteriors["them"], book.pool
    book.learn({}, {"them": DAY_S}, START_S)
    assert book.posteriors["them"].weight == pytest.approx(kept.weight, rel=1e-4, abs=1e-9)
    assert book.learned_s == START_S
    assert book.pool.size_count == pytest.approx(pooled.size_count)


def test_a_book_of_nobody_learns_nothing_and_does_not_mind() -> None:
    book = DemandBook()
    book.learn({"them": [forward(START_S)]}, {"them": 60.0}, START_S)
    assert book.posteriors == {}
    assert book.appraise([Stock("them", 1e9, 2e9)], START_S) == {}


def test_amounts_are_learned_of_what_settles() -> None:
    book = met()
    came = [forward(START_S, out_msat=10 * SIZE_MSAT)] * 500
    came += [forward(START_S, out_msat=1, settled=False)] * 500
    book.learn({"them": came}, {}, START_S)
    assert book.pool.size_msat == pytest.approx(10 * SIZE_MSAT, rel=0.02)
    assert book.peers["them"].entered == {"somebody": pytest.approx(5_000.0 * SIZE_MSAT)}


def test_few_large_amounts_count_by_what_they_carry_beyond_what_is_evidence() -> None:
    """One of thirty times the usual size counts as evidence up to MOST_SIZES of it."""
    book = met()
    come = [forward(START_S, out_msat=int(30 * TYPICAL_MSAT))]
    before = book.pool
    book.learn({"them": come}, {}, START_S)
    assert book.pool.capped_msat - before.capped_msat == pytest.approx(MOST_SIZES * TYPICAL_MSAT)
    assert book.pool.tail == pytest.approx(
        (before.size_sum_msat + 30 * TYPICAL_MSAT)
        / (before.capped_msat + MOST_SIZES * TYPICAL_MSAT)
    )
    rates = np.array(book.believed(["them"], START_S)[0].rates)
    plain = belief.believe(book.posteriors["them"])[0]
    assert rates == pytest.approx(book.pool.tail * np.array(plain.rates), rel=1e-3)


def test_a_change_of_the_pooled_steepness_is_carried_into_every_belief() -> None:
    """Whoever learned under one pool must believe as if it had begun under the other."""
    book = met(quote_ppm=300.0)
    book.meet({"silent": Birth(300.0, 8, None, 1e9)})
    before = book.pool.steepness
    book.peers["them"] = book.peers["them"]._replace(seen=1e6)
    law = book.posteriors["them"]
    factors = np.linspace(0.1, 3.0, len(before))
    book.posteriors["them"] = posterior.reweighed(law, factors)
    book.learn({}, {}, START_S)
    after = np.array(book.pool.steepness)
    assert np.abs(after - before).max() >= STEEPNESS_MOVED
    found = posterior.steepness(book.posteriors["silent"])[0]
    assert found == pytest.approx(after / after.sum(), abs=1e-3)
