"""Reputation of incoming peers: what counts, how it fades, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.reputation import (
    NEGLIGIBLE,
    Fading,
    Outcome,
    Record,
    Reputation,
    Trust,
    counted,
    faded,
    from_row,
    not_after,
    outcomes,
    to_row,
    told,
    without_strangers,
)
from messages.channels import ChannelEntry, ChannelFact
from messages.forwards import FAILED, LOCAL_FAILED, OFFERED, SETTLED, LoggedForward

NOW_S = 1_700_000_000.0
HOUR_S = 3600.0
ALICE, BOB = "02" + "aa" * 32, "03" + "bb" * 32
HOURLY = Fading(0.98, HOUR_S)


def outcome(settled: bool = True, at_s: float = NOW_S, peer_id: str = ALICE) -> Outcome:
    return Outcome(peer_id, at_s, settled)


def after(settled: int, failed: int) -> Record:
    """The record of a peer with these forwards, all of this moment."""
    seen = [outcome(True)] * settled + [outcome(False)] * failed
    return counted(Reputation(), seen, NOW_S, HOURLY).of(ALICE)


# -- the score --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settled", "failed", "score"),
    [(0, 0, 0.5), (1, 0, 2 / 3), (0, 1, 1 / 3), (8, 0, 0.9), (0, 8, 0.1), (7, 1, 0.8)],
)
def test_the_score_is_laplaces_rule(settled: int, failed: int, score: float) -> None:
    record = after(settled, failed)
    assert record == (settled, failed)
    assert record.score == pytest.approx(score)
    assert record.weight == settled + failed


def test_an_unknown_peer_is_one_half_and_everything_counts_in_full_when_switched_off() -> None:
    reputation = counted(Reputation(), [outcome()], NOW_S, HOURLY)
    trust = Trust.from_told(told(reputation))
    assert trust.of(ALICE) == pytest.approx(2 / 3)
    assert trust.of(BOB) == 0.5
    off = Trust.from_told(None)
    assert (off.of(ALICE), off.of(BOB)) == (1.0, 1.0)


def test_peers_are_told_in_the_order_of_their_ids() -> None:
    seen = [outcome(peer_id=BOB), outcome(False, peer_id=ALICE)]
    rows = told(counted(Reputation(), seen, NOW_S, HOURLY))
    assert [(row.peer_id, row.weight) for row in rows] == [(ALICE, 1.0), (BOB, 1.0)]
    assert [row.score for row in rows] == pytest.approx([1 / 3, 2 / 3])


# -- who is to blame ----------------------------------------------------------------------------


def logged(status: str, in_scid: str = "1x1x1", out_scid: str | None = "2x2x2") -> LoggedForward:
    return LoggedForward(1, in_scid, out_scid, 1000, 999, 1, status, NOW_S, 4103)


CHANNELS = {"1x1x1": "a" * 64, "9x9x9": "a" * 64, "2x2x2": "b" * 64}
ENTRIES = {
    key: ChannelEntry(key, peer, (), 0.0, False, ChannelFact(key, peer, "X", True, True))
    for key, peer in (("a" * 64, ALICE), ("b" * 64, BOB))
}


@pytest.mark.parametrize(
    ("status", "seen"),
    [(SETTLED, [True]), (FAILED, [False]), (LOCAL_FAILED, []), (OFFERED, [])],
)
def test_the_incoming_peer_answers_for_what_failed_further_down_and_not_for_us(
    status: str, seen: list[bool]
) -> None:
    found = list(outcomes([logged(status)], CHANNELS, ENTRIES))
    assert found == [Outcome(ALICE, NOW_S, settled) for settled in seen]


def test_every_scid_of_a_channel_leads_to_its_peer_and_an_unknown_one_to_nobody() -> None:
    rows = [logged(SETTLED, "9x9x9"), logged(FAILED, "2x2x2", None), logged(SETTLED, "7x7x7")]
    assert [o.peer_id for o in outcomes(rows, CHANNELS, ENTRIES)] == [ALICE, BOB]
    assert list(outcomes(rows, CHANNELS, {})) == []


# -- fading -------------------------------------------------------------------------------------


def test_a_record_keeps_the_configured_share_of_each_interval() -> None:
    ten = Reputation(NOW_S, {ALICE: Record(10.0, 0.0)})
    assert faded(ten, NOW_S + HOUR_S, HOURLY).of(ALICE).settled == pytest.approx(9.8)
    assert faded(ten, NOW_S + HOUR_S / 2, HOURLY).of(ALICE).settled == pytest.approx(9.899495)
    # Whole numbers would all be gone by now.
    assert faded(ten, NOW_S + 10 * HOUR_S, HOURLY).of(ALICE).settled == pytest.approx(8.170728)
    assert faded(ten, NOW_S + HOUR_S, Fading(0.98, 1800.0)).of(ALICE).settled == pytest.approx(
        9.604
    )


def test_both_counters_fade() -> None:
    mixed = Reputation(NOW_S, {ALICE: Record(6.0, 3.0)})
    record = faded(mixed, NOW_S + 35 * HOUR_S, HOURLY).of(ALICE)
    assert record.settled / record.failed == pytest.approx(2.0)
    assert record.weight == pytest.approx(9.0 * 0.98**35)


def test_a_forward_fades_from_its_own_time_on_whenever_it_is_heard_of() -> None:
    seen = [outcome(at_s=NOW_S - 2 * HOUR_S), outcome(False, at_s=NOW_S - 1 * HOUR_S)]
    record = counted(Reputation(), seen, NOW_S, HOURLY).of(ALICE)
    assert record == pytest.approx((0.98**2, 0.98))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 1), st.floats(0.0, 1e6)), max_size=30),
    st.lists(st.floats(0.0, 1e6), max_size=10),
    st.sampled_from([0.0, 0.3, 0.98, 1.0]),
)
def test_it_does_not_matter_how_often_and_when_one_looks(
    forwards: list[tuple[bool, int, float]], looks: list[float], decay: float
) -> None:
    """Looking is what an analysis by hand does in between: it takes in what is new, and fades."""
    fading = Fading(decay, HOUR_S)
    rows = sorted(
        (outcome(settled, NOW_S + at_s, (ALICE, BOB)[who]) for settled, who, at_s in forwards),
        key=lambda o: o.at_s,
    )
    end_s = NOW_S + 1e6 + 1.0
    once = counted(Reputation(), rows, end_s, fading)
    often, taken = Reputation(NOW_S), 0
    for look_s in [*sorted(NOW_S + look for look in looks), end_s]:
        due = sum(row.at_s <= look_s for row in rows)
        often, taken = counted(often, rows[taken:due], look_s, fading), due
    assert often.at_s == once.at_s
    for peer_id in (ALICE, BOB):
        assert often.of(peer_id) == pytest.approx(once.of(peer_id), rel=1e-9, abs=1e-12)


def test_a_clock_that_was_set_back_fades_nothing_and_goes_on_from_there() -> None:
    ten = Reputation(NOW_S, {ALICE: Record(10.0, 0.0)})
    back = faded(ten, NOW_S - 1e6, HOURLY)
    assert (back.at_s, back.of(ALICE).settled) == (NOW_S - 1e6, 10.0)
    assert counted(back, [outcome(at_s=NOW_S)], NOW_S - 1e6, HOURLY).of(ALICE).settled == 11.0
    assert not_after(ten, NOW_S - 5.0) == Reputation(NOW_S - 5.0, ten.records)
    assert not_after(ten, NOW_S + 5.0) == ten


def test_a_decay_of_zero_keeps_the_present_and_one_keeps_all() -> None:
    ten = Reputation(NOW_S, {ALICE: Record(10.0, 0.0)})
    for decay, left in ((0.0, 0.0), (1.0, 10.0)):
        assert faded(ten, NOW_S + 1e9, Fading(decay, HOUR_S)).of(ALICE).settled == left
        assert faded(ten, NOW_S, Fading(decay, HOUR_S)) == ten


def test_who_has_no_channel_is_forgotten_when_next_to_nothing_is_left() -> None:
    low, high = Record(NEGLIGIBLE / 2, NEGLIGIBLE / 4), Record(NEGLIGIBLE, 0.0)
    reputation = Reputation(NOW_S, {ALICE: low, BOB: low, "04": high})
    kept = without_strangers(reputation, {ALICE})
    assert kept == Reputation(NOW_S, {ALICE: low, "04": high})
    assert low.score == pytest.approx(0.5, abs=0.002)


# -- what is kept -------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.floats(-1e7, 0.0)), max_size=30))
def test_what_is_kept_is_exact(forwards: Sequence[tuple[bool, float]]) -> None:
    seen = [outcome(settled, NOW_S + at_s) for settled, at_s in forwards]
    reputation = counted(Reputation(), seen, NOW_S, HOURLY)
    assert from_row(json.loads(json.dumps(to_row(reputation)))) == reputation
    assert from_row(json.loads(json.dumps(to_row(Reputation())))) == Reputation()


@pytest.mark.parametrize(
    "text",
    ["5", "null", '"x"', "[]", "[1, 2.0]", "[2, 2.0, {}]", "[1, 2.0, []]", '[1, "soon", {}]',
     "[1, NaN, {}]", '[1, 2.0, {"a": [1.0]}]', '[1, 2.0, {"a": [1.0, -0.1]}]',
     '[1, 2.0, {"a": [1.0, null]}]', '[1, 2.0, {"a": 5}]', '[1, 2.0, {"a": [1.0, Infinity]}]'],
)  # fmt: skip
def test_a_damaged_row_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        from_row(json.loads(text))
