"""Tests of learning: worlds with a known curve are played, and the belief is held against them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from cl_revenue_ops.domain.demand import belief, posterior
from cl_revenue_ops.domain.demand.birth import Birth
from cl_revenue_ops.domain.demand.book import DemandBook
from cl_revenue_ops.domain.demand.curve import CELL_LOG_PRICE
from cl_revenue_ops.domain.demand.peer import BESIDE_S, CLUSTER_S, DAY_S, Arrival
from cl_revenue_ops.domain.demand.pool import DISPERSION_BOUNDS
from tests.unit.demand_support import SIZE_MSAT, START_S, STEP_S, Watched, World, world

HOUR_S = 3600.0
STEP_DAYS = STEP_S / DAY_S
SEEDS = range(200)


# -- is the belief honest? ---------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1.0, 3.0], ids=["one by one", "in groups"])
def varied(request: pytest.FixtureRequest) -> Watched:
    """Eight days at varied fees, in worlds that move as the posterior assumes (none jumps)."""
    played = Watched([world(seed, group=request.param) for seed in SEEDS])
    for _ in range(int(8 / STEP_DAYS)):
        played.vary()
        played.step()
        for one in played.worlds:
            one.drift(STEP_DAYS, posterior.PRICE_DRIFT, posterior.RATE_DRIFT)
    return played


def test_eighty_percent_intervals_of_the_best_fee_cover_the_truth(varied: Watched) -> None:
    nets = (0.0, 0.8) if varied.worlds[0].group == 1.0 else (0.0,)
    for net in nets:
        missed = []
        for one, believed in zip(varied.worlds, varied.beliefs(), strict=True):
            net_ppm = net * one.price_ppm
            found = belief.best_fee(believed, net_ppm)
            if not found.low <= one.best_ppm(net_ppm) <= found.high:
                missed.append(one.name)
        coverage = 1.0 - len(missed) / len(SEEDS)
        assert 0.6 <= coverage <= 0.97, f"net {net}: {coverage:.3f}, missed {missed}"


def test_eighty_percent_intervals_of_the_volume_cover_the_truth(varied: Watched) -> None:
    """Without bursts, for which they are widened, they cover more than they say."""
    for ratio in (0.5, 1.0):
        missed = []
        for one, believed in zip(varied.worlds, varied.beliefs(), strict=True):
            ppm = ratio * one.price_ppm
            found = belief.volume_at(believed, math.log(ppm))
            if not found.low <= one.per_day * one.share(ppm) * SIZE_MSAT <= found.high:
                missed.append(one.name)
        coverage = 1.0 - len(missed) / len(SEEDS)
        assert 0.7 <= coverage <= 0.99, f"at {ratio} c: {coverage:.3f}, missed {missed}"


def test_what_came_makes_the_belief_narrower_and_better(varied: Watched) -> None:
    ignorant = Watched([world(seed, group=varied.worlds[0].group) for seed in SEEDS])
    for measure, least in ((off, 0.75), (doubt, 0.96)):
        after, before = measure(varied), measure(ignorant)
        assert after < least * before, f"seeds 0-199, {measure}: {after:.3f} after {before:.3f}"


def off(played: Watched) -> float:
    """How far the fees believed to be best are from the best ones: median over the worlds."""
    found = [
        abs(math.log(belief.best_fee(believed, 0.0).mid / one.best_ppm()))
        for one, believed in zip(played.worlds, played.beliefs(), strict=True)
    ]
    return float(np.median(found))


def doubt(played: Watched) -> float:
    """The standard deviation of ln c: median over the worlds."""
    weight = np.concatenate([played.book.posteriors[one.name].weight for one in played.worlds])
    mean = weight @ CELL_LOG_PRICE
    return float(np.median(np.sqrt(weight @ CELL_LOG_PRICE**2 - mean**2)))


def test_the_node_learns_how_bursty_its_traffic_is() -> None:
    """Groups that are geometric with mean m have a variance of (2m - 1) times the mean."""
    for group in (1.0, 3.0):
        played = Watched([world(seed, 30.0, group) for seed in range(30)])
        for _ in range(int(8 / STEP_DAYS)):
            played.vary()
            played.step()
        found = played.book.pool.dispersion
        expected = max(2.0 * group - 1.0, DISPERSION_BOUNDS[0])
        assert 0.6 * expected < found < 1.7 * expected, f"seeds 0-29, in {group}: {found:.2f}"


# -- does it find its way back? ----------------------------------------------------------------


def played_on(worlds: list[World], days: float, played: Watched | None = None) -> Watched:
    """Some days in which the fees are those that the belief asks for."""
    played = Watched(worlds) if played is None else played
    for _ in range(int(days / STEP_DAYS)):
        played.reprice()
        played.step()
    return played


@pytest.mark.parametrize("factor", [2.2, 1 / 2.2], ids=["up", "down"])
def test_a_jump_of_the_price_is_found_within_days(factor: float) -> None:
    played = played_on([world(seed, 40.0) for seed in range(40)], 12)
    before = off(played)
    for one in played.worlds:
        one.price_ppm *= factor
    wrong = off(played)
    after = off(played_on([], 6, played))
    told = f"seeds 0-39: off by {before:.3f}, {wrong:.3f}, {after:.3f}"
    assert wrong > 0.5, told
    assert after < 0.5 * wrong, told
    assert after < 0.35, told


# -- what is evidence and what is none? ----------------------------------------------------------


def one_peer(ppm: int = 150) -> DemandBook:
    """A book that watches one peer at a fee, after two days of a few forwards."""
    book = DemandBook(learned_s=START_S)
    book.meet({"them": Birth(150.0, 20, None, 5.0 * SIZE_MSAT)})
    book.ask("them", ppm, 0, START_S)
    came = [settled(START_S + day * DAY_S, ppm) for day in (0.3, 0.9, 1.2, 1.7)]
    book.learn({"them": came}, {"them": 2 * DAY_S}, START_S + 2 * DAY_S)
    return book


def settled(at_s: float, ppm: int) -> Arrival:
    """A forward of usual size that settled."""
    return Arrival(at_s, "somebody", SIZE_MSAT, SIZE_MSAT * ppm // 1_000_000, True)


def refused(at_s: float, ppm: int = 150) -> Arrival:
    """A forward of usual size that we had no balance for."""
    return settled(at_s, ppm)._replace(settled=False)


def volume(book: DemandBook) -> float:
    """The expected volume a day at no fee."""
    law = book.posteriors["them"]
    return float((law.weight.astype(np.float64) * law.rate).sum())


def after_a_day(came: list[Arrival], carried_s: float) -> tuple[DemandBook, DemandBook]:
    """The book after a day of this, and after a day of which nothing is known."""
    books = one_peer(), one_peer()
    until_s = START_S + 3 * DAY_S
    books[0].learn({"them": came}, {"them": carried_s}, until_s)
    books[1].learn({}, {}, until_s)
    return books


NOON_S = START_S + 2.5 * DAY_S


def test_an_empty_channel_tells_nothing() -> None:
    """A day without balance only makes the belief older; a silent day with balance lowers it."""
    book, before = one_peer(), one_peer()
    book.learn({}, {"them": 0.0}, START_S + 3 * DAY_S)
    aged = posterior.drifted(before.posteriors["them"], 1.0)
    assert book.posteriors["them"].weight == pytest.approx(aged.weight, rel=1e-4, abs=1e-9)
    assert book.posteriors["them"].rate == pytest.approx(aged.rate, rel=1e-4)
    assert volume(book) == pytest.approx(volume(before), rel=1e-3)
    silent, empty = after_a_day([], DAY_S)
    assert volume(silent) < 0.95 * volume(empty)


def test_refusals_alone_are_evidence_of_demand() -> None:
    """Eight that came on a day on which there was nothing to send them with."""
    came = [refused(START_S + 2 * DAY_S + hour * HOUR_S) for hour in range(1, 24, 3)]
    told, untold = after_a_day(came, 0.0)
    assert volume(told) > 1.1 * volume(untold)


def test_a_refusal_stands_for_as_much_as_a_forward() -> None:
    """In as much time as counts beside refusals."""
    hours = [START_S + 2 * DAY_S + hour * HOUR_S for hour in range(1, 24, 3)]
    told, _ = after_a_day([refused(at_s) for at_s in hours], 0.0)
    sold, _ = after_a_day([settled(at_s, 150) for at_s in hours], len(hours) * BESIDE_S)
    assert volume(told) == pytest.approx(volume(sold), rel=1e-6)


def test_a_burst_of_retries_counts_once() -> None:
    once, _ = after_a_day([refused(NOON_S)], 0.0)
    gap = 0.9 * CLUSTER_S
    burst, _ = after_a_day([refused(NOON_S + place * gap) for place in range(10)], 0.0)
    twice, _ = after_a_day([refused(NOON_S), refused(NOON_S + 1.1 * CLUSTER_S)], 0.0)
    assert volume(burst) == pytest.approx(volume(once), rel=1e-6)
    assert volume(twice) > volume(once)


def test_a_burst_that_lasts_from_one_look_to_the_next_is_still_one() -> None:
    book, other = one_peer(), one_peer()
    for one, again in ((book, [refused(NOON_S + 0.5 * CLUSTER_S)]), (other, [])):
        one.learn({"them": [refused(NOON_S)]}, {}, NOON_S)
        one.learn({"them": again}, {}, NOON_S + CLUSTER_S)
    assert volume(book) == pytest.approx(volume(other), rel=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda came: came._replace(watched=False),
        lambda came: came._replace(weight=0.0),
    ],
    ids=["nobody watched", "nobody trusts it"],
)
def test_what_is_no_evidence_changes_no_belief(change: Callable[[Arrival], Arrival]) -> None:
    came = [change(settled(NOON_S + place, 150)) for place in range(20)]
    told, untold = after_a_day(came, 0.0)
    assert volume(told) == pytest.approx(volume(untold), rel=1e-6)


def test_demand_is_learned_alike_in_one_look_or_in_many() -> None:
    """Up to what grows old, and what is learned of dispersion, between the looks."""
    at_once, slowly = one_peer(), one_peer()
    came = [settled(START_S + 2 * DAY_S + hour * HOUR_S, 150) for hour in range(2, 24, 2)]
    at_once.learn({"them": came}, {"them": DAY_S}, START_S + 3 * DAY_S)
    for hour in range(1, 25):
        now_s = START_S + 2 * DAY_S + hour * HOUR_S
        new = [one for one in came if now_s - HOUR_S < one.at_s <= now_s]
        slowly.learn({"them": new}, {"them": HOUR_S}, now_s)
    assert volume(slowly) == pytest.approx(volume(at_once), rel=0.15)
