"""Tests of how a destination's traffic becomes evidence: which fee, for how long, and how much."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand import peer
from cl_revenue_ops.domain.demand.peer import (
    BESIDE_S,
    CLUSTER_S,
    DAY_S,
    LAG_S,
    MEMORY_DAYS,
    MOST_SIZES,
    POLICIES_KEPT,
    STALE_S,
    WINDOW_S,
    Arrival,
    Evidence,
    PeerDemand,
    Stretch,
)

NOW = 1_700_000_000.0
SIZE = 100_000_000
LONG_AGO = NOW - 10 * STALE_S


def asking(*policies: tuple[float, int, int]) -> PeerDemand:
    """A peer whose channels asked this: since when, ppm, base."""
    known = PeerDemand()
    for since_s, ppm, base_msat in policies:
        known = peer.asks(known, ppm, base_msat, since_s)
    return known


def arrival(fee_msat: int, **changes: Any) -> Arrival:
    """A forward of usual size that came now and paid this."""
    return Arrival(NOW, "somebody", SIZE, fee_msat, True)._replace(**changes)


def ppm_of(fee_msat: float) -> float:
    """ln of what a forward of usual size paid, in ppm."""
    return math.log(fee_msat * 1e6 / SIZE)


# -- which policy a forward answered to ----------------------------------------------------------


def test_a_forward_answers_to_the_policy_in_force() -> None:
    known = asking((LONG_AGO, 300, 0))
    assert peer.paid_log_fee(known, arrival(30_000)) == pytest.approx(math.log(300))
    assert peer.paid_log_fee(known, arrival(90_000)) == pytest.approx(math.log(300)), "overpaid"


def test_the_base_fee_belongs_to_what_is_asked() -> None:
    """1,000 msat of base on 100,000 sat are 10 ppm; on 1,000 sat they are 1,000."""
    known = asking((LONG_AGO, 300, 1_000))
    assert peer.paid_log_fee(known, arrival(31_000)) == pytest.approx(math.log(310))
    small = arrival(1_300, out_msat=1_000_000)
    assert peer.paid_log_fee(known, small) == pytest.approx(math.log(1_300))


def test_a_policy_with_base_is_told_from_one_without_by_the_amount() -> None:
    """For small amounts the former policy asks more, for large ones the new one does."""
    known = asking((LONG_AGO, 100, 10_000), (NOW - 60, 400, 0))
    large, small = arrival(40_000), arrival(4_000, out_msat=10_000_000)
    assert peer.paid_log_fee(known, large) == pytest.approx(math.log(400))
    assert peer.paid_log_fee(known, small) == pytest.approx(math.log(400))
    assert peer.paid_log_fee(known, arrival(20_000)) == pytest.approx(math.log(200))


def test_a_former_policy_is_what_a_sender_answers_to_who_paid_no_more() -> None:
    known = asking((LONG_AGO, 100, 0), (NOW - 600, 300, 0))
    assert peer.paid_log_fee(known, arrival(10_000)) == pytest.approx(math.log(100))
    assert peer.paid_log_fee(known, arrival(29_999)) == pytest.approx(math.log(100))
    assert peer.paid_log_fee(known, arrival(30_000)) == pytest.approx(math.log(300))


def test_who_still_pays_the_higher_former_fee_answers_to_it() -> None:
    known = asking((LONG_AGO, 300, 0), (NOW - 600, 100, 0))
    assert peer.paid_log_fee(known, arrival(30_000)) == pytest.approx(math.log(300))
    assert peer.paid_log_fee(known, arrival(10_000)) == pytest.approx(math.log(100))


@pytest.mark.parametrize(("age_s", "expected"), [(STALE_S - 1, 300), (STALE_S + 1, 100)])
def test_a_policy_is_forgotten_when_it_is_stale(age_s: float, expected: int) -> None:
    """Stale counts from when it was replaced, not from when it began."""
    known = asking((LONG_AGO, 300, 0), (NOW - age_s, 100, 0))
    assert peer.paid_log_fee(known, arrival(30_000)) == pytest.approx(math.log(expected))


def test_a_policy_that_came_later_is_not_what_was_answered_to() -> None:
    known = asking((LONG_AGO, 100, 0), (NOW + 60, 200, 0))
    assert peer.paid_log_fee(known, arrival(20_000)) == pytest.approx(math.log(100))


def test_where_all_ask_more_it_answers_to_the_one_that_asks_least() -> None:
    known = asking((LONG_AGO, 300, 0), (NOW - 60, 200, 0))
    assert peer.paid_log_fee(known, arrival(1_000)) == pytest.approx(math.log(200))


def test_without_any_policy_what_was_paid_is_the_fee() -> None:
    assert peer.paid_log_fee(PeerDemand(), arrival(12_500)) == pytest.approx(math.log(125))
    assert peer.paid_log_fee(PeerDemand(), arrival(0)) == 0.0


def test_before_the_first_policy_known_it_is_that_one() -> None:
    known = asking((NOW + 60, 100, 0), (NOW + 120, 300, 0))
    assert peer.paid_log_fee(known, arrival(30_000)) == pytest.approx(math.log(100))


def test_the_same_policy_again_is_no_new_one_and_old_ones_are_let_go() -> None:
    known = asking((LONG_AGO, 100, 0), (NOW, 100, 0))
    assert [entry.since_s for entry in known.policies] == [LONG_AGO]
    known = asking((LONG_AGO, 100, 0), (NOW, 100, 1))
    assert len(known.policies) == 2
    many = asking(*((NOW + place, place, 0) for place in range(3 * POLICIES_KEPT)))
    assert len(many.policies) == POLICIES_KEPT
    assert many.policies[-1].ppm == 3 * POLICIES_KEPT - 1


# -- what was on offer for how long --------------------------------------------------------------


def offers(known: PeerDemand, from_s: float, until_s: float, carried_s: float) -> dict[int, float]:
    """Seconds on offer by ppm, forwards being of usual size."""
    stretch = Stretch(from_s, until_s, carried_s)
    found = peer.on_offer(known, 0, stretch, carried_s, float(SIZE))
    return {round(math.exp(entry.log_fee)): entry.days * DAY_S for entry in found}


def test_a_policy_is_on_offer_for_the_time_that_could_carry() -> None:
    assert offers(asking((LONG_AGO, 100, 0)), NOW - 7_200, NOW, 7_200) == {
        100: pytest.approx(7_200)
    }
    assert offers(asking((LONG_AGO, 100, 0)), NOW - 7_200, NOW, 900) == {100: pytest.approx(900)}
    assert offers(asking((LONG_AGO, 100, 1_000)), NOW - 7_200, NOW, 900) == {
        110: pytest.approx(900)
    }


def test_a_new_policy_takes_its_time_to_be_known() -> None:
    known = asking((LONG_AGO, 100, 0), (NOW - 2 * LAG_S, 300, 0))
    assert offers(known, NOW - 4 * LAG_S, NOW, 4 * LAG_S) == {
        300: pytest.approx(LAG_S),
        100: pytest.approx(3 * LAG_S),
    }
    known = asking((LONG_AGO, 100, 0), (NOW - 0.5 * LAG_S, 300, 0))
    assert offers(known, NOW - LAG_S, NOW, LAG_S) == {100: pytest.approx(LAG_S)}


def test_a_policy_known_long_since_is_all_that_is_on_offer() -> None:
    known = asking((LONG_AGO, 100, 0), (NOW - 5 * LAG_S, 300, 0))
    assert offers(known, NOW - 2 * LAG_S, NOW, 2 * LAG_S) == {300: pytest.approx(2 * LAG_S)}


def test_nothing_is_on_offer_without_time_or_policy() -> None:
    known = asking((LONG_AGO, 100, 0))
    assert offers(known, NOW - 60, NOW, 0.0) == {}
    assert offers(known, NOW, NOW, 60.0) == {}
    assert offers(PeerDemand(), NOW - 60, NOW, 60.0) == {}


def test_a_busy_season_counts_as_more_time() -> None:
    stretch = Stretch(NOW - 3_600, NOW, 1_800, 1.5)
    found, _ = peer.evidence(asking((LONG_AGO, 100, 0)), 0, [], stretch, float(SIZE))
    assert found.offered[0].days * DAY_S == pytest.approx(2_700)


moments = st.lists(st.floats(-5e5, 5e4), min_size=1, max_size=12).map(sorted)


@given(moments, st.floats(1.0, 2e5), st.floats(0.001, 1.0))
def test_the_spans_on_offer_add_up_to_the_time_carried(
    since: list[float], length_s: float, part: float
) -> None:
    known = asking(*((NOW + at_s, place + 2, 0) for place, at_s in enumerate(since)))
    stretch = Stretch(NOW - length_s, NOW, part * length_s)
    found = peer.on_offer(known, 3, stretch, stretch.carried_s, float(SIZE))
    total_s = sum(entry.days for entry in found) * DAY_S
    assert total_s == pytest.approx(stretch.carried_s, rel=1e-6, abs=1e-3)
    assert all(entry.days > 0.0 and entry.place == 3 for entry in found)
    # Nothing that became known only after the stretch.
    latest = [entry for entry in known.policies[1:] if entry.since_s + LAG_S >= NOW]
    asked = {round(math.exp(entry.log_fee)) for entry in found}
    assert not asked & {entry.ppm for entry in latest}


# -- what a stretch says -------------------------------------------------------------------------

KNOWN = asking((LONG_AGO, 300, 0))
HOUR = Stretch(NOW - 3_600, NOW, 3_600)
EMPTY = HOUR._replace(carried_s=0.0)


def said(
    arrivals: list[Arrival], stretch: Stretch = HOUR, known: PeerDemand = KNOWN
) -> tuple[Evidence, float]:
    """The evidence of a stretch and the days on offer in it."""
    found, _ = peer.evidence(known, 0, arrivals, stretch, float(SIZE))
    return found, sum(entry.days for entry in found.offered)


def test_forwards_count_by_volume_up_to_a_multiple_of_the_usual() -> None:
    small, huge = arrival(3, out_msat=10_000), arrival(10**9, out_msat=10**12)
    found, _ = said([small, arrival(30_000), huge])
    assert found.volume_msat == pytest.approx(10_000 + SIZE + MOST_SIZES * SIZE)
    assert found.count == 3.0
    assert sum(entry.volume_msat for entry in found.seen) == pytest.approx(found.volume_msat)


def test_volume_is_put_down_under_the_fee_that_it_answered_to() -> None:
    known = asking((LONG_AGO, 100, 0), (NOW - 600, 300, 0))
    came = [arrival(10_000), arrival(30_000), arrival(30_000)]
    found, _ = said(came, HOUR, known)
    by_fee = {round(math.exp(entry.log_fee)): entry.volume_msat for entry in found.seen}
    assert by_fee == {100: pytest.approx(SIZE), 300: pytest.approx(2 * SIZE)}


def test_a_forward_weighs_as_much_as_it_is_trusted() -> None:
    found, _ = said([arrival(30_000, weight=0.25), arrival(30_000, weight=1.5)])
    assert found.volume_msat == pytest.approx(1.75 * SIZE)
    assert found.count == pytest.approx(1.75)


def test_without_balance_there_is_no_exposure_but_beside_refusals() -> None:
    assert said([], HOUR)[1] == pytest.approx(3_600 / DAY_S)
    assert said([], EMPTY)[1] == 0.0
    assert said([arrival(30_000)], EMPTY)[1] == 0.0
    short = EMPTY._replace(from_s=NOW - 0.5 * BESIDE_S)
    assert said([arrival(30_000, settled=False)], short)[1] == pytest.approx(0.5 * BESIDE_S / DAY_S)
    assert said([arrival(30_000, settled=False, watched=False)], EMPTY)[1] == 0.0


def test_a_long_time_that_nobody_watched_is_not_held_against_one_refusal() -> None:
    """The plugin was down for days; the first thing that it sees is a refusal."""
    long = Stretch(NOW - 5 * DAY_S, NOW, 600.0)
    once, twice = NOW - 2 * CLUSTER_S, NOW - 0.5 * CLUSTER_S
    for moments_s, beside_s in (((once,), BESIDE_S), ((once, twice), 2 * BESIDE_S)):
        came = [arrival(30_000, at_s=at_s, settled=False) for at_s in moments_s]
        assert said(came, long)[1] == pytest.approx((600.0 + beside_s) / DAY_S)


def test_no_more_time_is_carried_than_there_was() -> None:
    assert said([], HOUR._replace(carried_s=9_000.0))[1] == pytest.approx(3_600 / DAY_S)


def test_what_nobody_watched_is_no_evidence() -> None:
    found, _ = said([arrival(30_000, watched=False)])
    assert (found.seen, found.count, found.volume_msat) == ([], 0.0, 0.0)


@pytest.mark.parametrize(("gap_s", "counted"), [(CLUSTER_S - 1, 1), (CLUSTER_S + 1, 4)])
def test_retries_of_one_payer_count_once(gap_s: float, counted: int) -> None:
    came = [arrival(30_000, at_s=NOW + place * gap_s, settled=False) for place in range(4)]
    assert said(came)[0].count == counted


def test_the_last_refusal_is_remembered_and_what_settles_is_no_retry() -> None:
    came = [arrival(30_000, settled=False), arrival(30_000, at_s=NOW + 1), arrival(30_000)]
    found, after = peer.evidence(KNOWN, 0, came, HOUR, float(SIZE))
    assert found.count == 3.0
    assert after.refused_at_s == NOW
    again = [arrival(30_000, at_s=NOW + 0.5 * CLUSTER_S, settled=False)]
    found, later = peer.evidence(after, 0, again, EMPTY, float(SIZE))
    assert (found.count, found.offered) == (0.0, [])
    assert later.refused_at_s == NOW + 0.5 * CLUSTER_S


# -- sizes, entries, windows ---------------------------------------------------------------------


def test_the_usual_size_is_the_nodes_until_the_peer_has_its_own() -> None:
    assert peer.size_msat(PeerDemand(), 5e7) == pytest.approx(5e7)
    some = peer.take_sizes(PeerDemand(), [arrival(1, out_msat=SIZE)], NOW)
    assert 5e7 < peer.size_msat(some, 5e7) < SIZE
    many = peer.take_sizes(PeerDemand(), [arrival(1)] * 1_000, NOW)
    assert peer.size_msat(many, 5e7) == pytest.approx(SIZE, rel=0.01)


def test_entries_and_sizes_are_of_what_settled_watched_or_not() -> None:
    came = [
        arrival(1, entered="a", out_msat=3_000_000),
        arrival(1, entered="a", out_msat=1_000_000, weight=0.5),
        arrival(1, entered="b", out_msat=2_000_000, watched=False),
        arrival(1, entered="c", out_msat=9_000_000, settled=False),
    ]
    found = peer.take_sizes(PeerDemand(), came, NOW)
    assert found.entered == {"a": pytest.approx(3_500_000), "b": pytest.approx(2_000_000)}
    assert found.size_sum_msat == pytest.approx(6_000_000)
    assert found.size_count == pytest.approx(3.0)


def test_entries_and_sizes_fade_and_vanish() -> None:
    before = peer.take_sizes(PeerDemand(), [arrival(1, entered="a")], NOW)
    later_s = NOW + MEMORY_DAYS * DAY_S
    after = peer.take_sizes(before, [arrival(1, entered="b")], later_s)
    assert after.entered["a"] == pytest.approx(SIZE / math.e)
    assert after.entered["b"] == pytest.approx(SIZE)
    assert after.size_count == pytest.approx(1.0 + 1.0 / math.e)
    assert after.size_sum_msat == pytest.approx(SIZE * (1.0 + 1.0 / math.e))
    much_later_s = NOW + 40 * MEMORY_DAYS * DAY_S
    assert set(peer.take_sizes(after, [arrival(1, entered="c")], much_later_s).entered) == {"c"}


def test_windows_gather_what_came_beside_what_was_expected() -> None:
    found, _ = said([arrival(30_000), arrival(30_000)])
    known, ended = peer.windowed(KNOWN, found, 1.5 * SIZE, NOW)
    assert ended is None
    known, ended = peer.windowed(known, found, 0.5 * SIZE, NOW + WINDOW_S - 1)
    assert ended is None
    known, ended = peer.windowed(known, said([])[0], 1.0 * SIZE, NOW + WINDOW_S)
    assert ended is not None
    assert ended.volume_msat == pytest.approx(4 * SIZE)
    assert ended.mean_msat == pytest.approx(3 * SIZE)
    assert known.seen == pytest.approx(4.0)
    known, ended = peer.windowed(known, found, 1.5 * SIZE, NOW + WINDOW_S + 60)
    assert ended is None, "a new window begins where the last one ended"
    assert known.window.volume_msat == pytest.approx(2 * SIZE)


def test_the_part_of_the_volume_that_fits_is_that_of_log_normal_amounts() -> None:
    drawn = np.random.default_rng(3).lognormal(-0.5 * peer.AMOUNT_SD**2, peer.AMOUNT_SD, 400_000)
    for room in (0.25, 1.0, 4.0):
        both = [drawn[drawn <= most].sum() for most in (room, 50.0)]
        part = peer.fitting(room * 1e8, 1e8, 1e10)
        assert part == pytest.approx(both[0] / both[1], abs=0.02)


def test_nothing_fits_into_nothing_and_half_a_channel_has_room_for_all() -> None:
    assert peer.fitting(0.0, 1e8, 1e10) == 0.0
    assert peer.fitting(-5.0, 1e8, 1e10) == 0.0
    assert peer.fitting(5e9, 1e8, 1e10) == 1.0
    assert peer.fitting(5e3, 1e12, 1e4) == 1.0
    assert 0.0 < peer.fitting(1.0, 1e12, 1e4) <= 1.0
