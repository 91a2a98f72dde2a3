"""The scoreboard of refills: what a sale is credited to, and what is credited to nothing."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.rebalance.score import (
    DAY_S,
    HORIZON_S,
    Opening,
    Refill,
    Scoreboard,
    StockReading,
)
from messages.forwards import FAILED, SETTLED, LoggedForward

START_S = 1_700_000_000.0
PEER, OTHER = "02" + "aa" * 32, "03" + "bb" * 32
HERE, ALSO_HERE, THERE = "1x1x1", "2x2x2", "3x3x3"
PEER_OF = {HERE: PEER, ALSO_HERE: PEER, THERE: OTHER}


def opening(job_id: str = "r1", moved_msat: int = 1_000, **changes: object) -> Opening:
    base = Opening(job_id, PEER, START_S, 0, moved_msat, 0, 0.0, 0.0, 0)
    return base._replace(**changes)  # type: ignore[arg-type]


def sale(after_s: float, amount_msat: int, fee_msat: int = 0, scid: str = HERE) -> LoggedForward:
    """A forward that leaves by the peer."""
    at_s = START_S + after_s
    in_msat = amount_msat + fee_msat
    return LoggedForward(1, THERE, scid, in_msat, amount_msat, fee_msat, SETTLED, at_s, None)


def inflow(after_s: float, amount_msat: int, scid: str = HERE) -> LoggedForward:
    """A forward that enters by the peer."""
    at_s = START_S + after_s
    return LoggedForward(1, scid, THERE, amount_msat, amount_msat, 0, SETTLED, at_s, None)


def played(
    openings: list[Opening], rows: list[LoggedForward], readings: tuple[StockReading, ...] = ()
) -> list[Refill]:
    board = Scoreboard()
    for one in openings:
        board.open(one)
    board.advance(rows, PEER_OF, readings)
    return [scored.refill for scored in board.scores({})]


# -- the rule ------------------------------------------------------------------------------------


def test_what_stood_there_without_the_refill_is_sold_first() -> None:
    (refill,) = played([opening(stock_msat=600)], [sale(1, 600, 60), sale(2, 300, 30)])
    assert (refill.sold_msat, refill.left_msat, refill.earned_msat) == (300, 700, 30)


def test_a_sale_over_the_edge_is_credited_in_proportion() -> None:
    (refill,) = played([opening(stock_msat=600)], [sale(1, 900, 91)])
    assert (refill.sold_msat, refill.earned_msat) == (300, 30)


def test_what_comes_in_belongs_to_the_stock_of_its_own() -> None:
    rows = [sale(1, 400, 40), inflow(2, 500, ALSO_HERE), sale(3, 500, 50), sale(4, 100, 10)]
    (refill,) = played([opening()], rows)
    assert (refill.sold_msat, refill.earned_msat) == (500, 50)


def test_of_several_refills_the_oldest_is_sold_first() -> None:
    later = opening("r2", 1_000, begun_s=START_S + 5)
    older, newer = played([later, opening("r1", 500)], [sale(9, 700, 70)])
    assert (older.opening.job_id, older.sold_msat, older.earned_msat) == ("r1", 500, 50)
    assert (newer.opening.job_id, newer.sold_msat, newer.earned_msat) == ("r2", 200, 20)


def test_a_sale_of_what_nobody_saw_come_leaves_no_debt_behind() -> None:
    board = Scoreboard()
    board.open(opening())
    board.advance([sale(1, 1_500, 150), inflow(2, 200)], PEER_OF)
    board.open(opening("r2", begun_s=START_S + 5))
    board.advance([sale(9, 200, 20)], PEER_OF)
    first, second = (scored.refill for scored in board.scores({}))
    assert (first.sold_msat, first.earned_msat) == (1_000, 100)
    assert second.sold_msat == 0


def test_only_settled_forwards_after_the_start_count() -> None:
    failed = sale(1, 500, 50)._replace(status=FAILED)
    elsewhere = sale(1, 500, 50, THERE)._replace(in_scid="9x9x9")
    (refill,) = played([opening()], [sale(0, 500, 50), sale(-5, 500, 50), failed, elsewhere])
    assert refill.sold_msat == 0


def test_rows_count_in_the_order_of_their_times() -> None:
    (refill,) = played([opening()], [sale(2, 100), inflow(1, 100)])
    assert refill.sold_msat == 0


def test_after_thirty_days_nothing_is_credited_any_more_and_the_rest_is_stock() -> None:
    board = Scoreboard()
    board.open(opening())
    board.open(opening("r2", 100, begun_s=START_S + DAY_S))
    board.advance([sale(HORIZON_S - 1, 400, 40), sale(HORIZON_S, 600, 60)], PEER_OF)
    first, second = (scored.refill for scored in board.scores({}))
    assert (first.sold_msat, first.left_msat, first.earned_msat) == (400, 600, 40)
    assert first.closed_s == START_S + HORIZON_S
    assert (second.sold_msat, second.closed_s) == (0, None)
    board.advance([sale(HORIZON_S + 5, 50, 5)], PEER_OF)
    assert board.scores({})[1].refill.sold_msat == 50


# -- other changes of balance --------------------------------------------------------------------


def test_what_else_leaves_is_taken_from_the_own_stock_first_and_earns_nothing() -> None:
    reading = StockReading(PEER, START_S + 5, 700)
    (refill,) = played([opening(stock_msat=500)], [sale(9, 200, 20)], (reading,))
    assert (refill.gone_msat, refill.sold_msat) == (300, 200)
    assert refill.left_msat == 500


def test_what_leaves_beyond_the_own_stock_is_taken_once_from_the_oldest_refill() -> None:
    reading = StockReading(PEER, START_S + 5, 500)
    older, newer = played([opening("r1", 300), opening("r2", 300)], [], (reading,))
    assert (older.gone_msat, newer.gone_msat) == (100, 0)


def test_what_else_comes_is_sold_before_the_refill() -> None:
    reading = StockReading(PEER, START_S + 5, 1_200)
    (refill,) = played([opening()], [sale(9, 300, 30)], (reading,))
    assert (refill.gone_msat, refill.sold_msat, refill.earned_msat) == (0, 100, 10)


def test_a_reading_that_says_what_is_known_changes_nothing() -> None:
    rows = [sale(1, 300, 30), inflow(2, 50), sale(8, 400, 40)]
    reading = StockReading(PEER, START_S + 5, 750)
    assert played([opening()], rows, (reading,)) == played([opening()], rows)


def test_readings_of_before_the_start_and_of_other_peers_are_nothing_to_it() -> None:
    readings = (StockReading(PEER, START_S, 0), StockReading(OTHER, START_S + 5, 0))
    assert played([opening()], [], readings)[0].gone_msat == 0


# -- growth --------------------------------------------------------------------------------------


def test_a_job_grows_while_it_runs_and_never_shrinks() -> None:
    board = Scoreboard()
    board.open(opening(moved_msat=0))
    assert board.scores({}) == ()
    for moved, cost in ((400, 4), (1_000, 9), (400, 4)):
        board.open(opening(moved_msat=moved, cost_msat=cost, stock_msat=77))
    board.advance([sale(1, 100)], PEER_OF)
    (scored,) = board.scores({})
    assert (scored.refill.opening.moved_msat, scored.refill.opening.cost_msat) == (1_000, 9)
    assert scored.refill.sold_msat == 100


def test_a_job_that_moved_nothing_is_dropped_and_one_that_did_is_not() -> None:
    board = Scoreboard()
    board.open(opening("r1", 0, stock_msat=50))
    board.open(opening("r2", 5))
    board.drop("r1")
    board.drop("r2")
    assert [s.refill.opening.job_id for s in board.scores({})] == ["r2"]


def test_one_that_is_closed_does_not_grow() -> None:
    board = Scoreboard()
    board.open(opening())
    board.close(START_S + HORIZON_S, {PEER: 100.0})
    board.open(opening(moved_msat=9_999))
    (scored,) = board.scores({})
    assert scored.refill.opening.moved_msat == 1_000


# -- worth ---------------------------------------------------------------------------------------


def test_realised_is_what_was_earned_less_the_source_and_the_cost_and_the_unsold_apart() -> None:
    board = Scoreboard()
    board.open(opening(moved_msat=1_000_000, cost_msat=150, source_ppm=100.5))
    board.advance([sale(1, 400_000, 300)], PEER_OF)
    (scored,) = board.scores({PEER: 500.0})
    assert scored.refill.loss_msat == 101
    assert scored.refill.realised_msat == 300 - 101 - 150
    assert scored.unsold_msat == 300
    assert scored.net_msat == 349
    (unknown,) = board.scores({})
    assert unknown.unsold_msat == 0


def test_at_the_end_of_its_horizon_the_worth_of_the_rest_is_fixed() -> None:
    board = Scoreboard()
    board.open(opening(moved_msat=1_000_000))
    board.close(START_S + HORIZON_S + 5, {})
    assert board.scores({PEER: 50.0})[0].unsold_msat == 50
    board.close(START_S + HORIZON_S + 9, {PEER: 200.0})
    board.close(START_S + HORIZON_S + 99, {PEER: 900.0})
    assert board.scores({PEER: 900.0})[0].unsold_msat == 200
    board.forget(START_S + HORIZON_S)
    assert len(board.scores({})) == 1
    board.forget(START_S + HORIZON_S + 1)
    assert board.scores({}) == ()


# -- laws ----------------------------------------------------------------------------------------


class Story(NamedTuple):
    """Refills, forwards and readings, at whole seconds."""

    openings: list[Opening]
    rows: list[LoggedForward]
    readings: list[StockReading]


amounts = st.integers(1, 500)
rows = st.lists(
    st.one_of(
        st.builds(sale, st.integers(1, 60), amounts, st.integers(0, 50)),
        st.builds(inflow, st.integers(1, 60), amounts, st.sampled_from([HERE, ALSO_HERE])),
    ),
    max_size=12,
)
openings = st.lists(
    st.builds(
        lambda moved, stock, after_s: opening(
            moved_msat=moved, stock_msat=stock, begun_s=START_S + after_s
        ),
        st.integers(0, 900),
        st.integers(0, 300),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=4,
).map(lambda found: [one._replace(job_id=f"r{n}") for n, one in enumerate(found)])
readings = st.lists(
    st.builds(
        StockReading,
        st.just(PEER),
        st.integers(1, 60).map(lambda s: START_S + s),
        st.integers(0, 900),
    ),
    max_size=3,
)
stories = st.builds(Story, openings, rows, readings)


@given(stories)
def test_law_nothing_is_credited_that_was_not_moved_or_not_sold(story: Story) -> None:
    refills = played(story.openings, story.rows, tuple(story.readings))
    sales = [row for row in story.rows if row.out_scid == HERE]
    for refill in refills:
        assert min(refill.sold_msat, refill.gone_msat, refill.left_msat, refill.earned_msat) >= 0
        assert refill.sold_msat <= refill.opening.moved_msat
    assert sum(r.sold_msat for r in refills) <= sum(row.out_msat or 0 for row in sales)
    assert sum(r.earned_msat for r in refills) <= sum(row.fee_msat or 0 for row in sales)


@given(stories)
def test_law_a_refill_of_what_never_runs_low_earns_nothing(story: Story) -> None:
    sold_msat = sum(row.out_msat or 0 for row in story.rows)
    full = [one._replace(stock_msat=sold_msat) for one in story.openings]
    assert all(r.sold_msat == r.earned_msat == 0 for r in played(full, story.rows))


@given(st.integers(0, 300), rows)
def test_law_what_is_sold_of_one_refill_is_what_the_balance_alone_could_not_give(
    stock_msat: int, story: list[LoggedForward]
) -> None:
    """The regulator of a process held at zero: the deepest that it would have sunk."""
    ordered = sorted(story, key=lambda row: row.at_s)
    level = deepest = stock_msat
    for row in ordered:
        level += row.in_msat if row.in_scid in (HERE, ALSO_HERE) else -(row.out_msat or 0)
        deepest = min(deepest, level)
    (refill,) = played([opening(moved_msat=10**6, stock_msat=stock_msat)], story)
    assert refill.sold_msat == max(0, -deepest)


@given(stories, st.integers(0, 60))
def test_law_what_was_kept_comes_back_exactly_and_goes_on_the_same(story: Story, cut: int) -> None:
    whole = Scoreboard()
    for one in story.openings:
        whole.open(one)
    kept = Scoreboard()
    kept.read(whole.pack())
    whole.advance(story.rows, PEER_OF, story.readings)
    cut_s = START_S + cut
    for early in (True, False):
        kept.advance(
            [row for row in story.rows if (row.at_s <= cut_s) is early],
            PEER_OF,
            [r for r in story.readings if (r.at_s <= cut_s) is early],
        )
        packed = kept.pack()
        kept = Scoreboard()
        kept.read(packed)
        assert kept.pack() == packed
    assert kept.scores({PEER: 70.0}) == whole.scores({PEER: 70.0})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"shelves":[],"closed":[]}',
        '{"shelves":{"p":[1.5,0,[]]},"closed":[]}',
        '{"shelves":{"p":[1,0]},"closed":[]}',
        '{"shelves":{},"closed":[[[],0,0,0,null,0]]}',
        '{"shelves":{},"closed":[[["r",2,0,0,0,0,0,0,0],0,0,0,null,0]]}',
        '{"shelves":{},"closed":[[["r","p",0,0,0,0,0,0,0],0,0,0,null,null]]}',
        '{"shelves":{},"closed":5}',
    ],
)
def test_anything_else_is_refused_and_changes_nothing(text: str) -> None:
    board = Scoreboard()
    board.open(opening())
    before = board.pack()
    with pytest.raises((ValueError, TypeError, KeyError)):
        board.read(text)
    assert board.pack() == before
