"""Fees that were held back: what they add up to, and what the report says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand.belief import Interval
from cl_revenue_ops.domain.demand.curve import FEES
from cl_revenue_ops.domain.fees.shadow_report import Names, Raw, report
from cl_revenue_ops.domain.fees.shadow_tally import (
    Shadow,
    Tally,
    Window,
    difference_msat,
    independent,
)
from cl_revenue_ops.ports import FEE_SET, StoredDecision
from tests.unit.shadow_support import (
    CELL,
    CELL_PRICE,
    CELL_STEEP,
    CHANNEL,
    DRY,
    HOUR_S,
    NOW,
    belief,
    body,
    priced,
    stored,
)

NET = 30.0
OTHER = "cd" * 32
# The day from NOW on; a decision speaks for two hours after its last repetition.
DAY = Window(NOW, NOW + 24 * HOUR_S, 2 * HOUR_S)
CERTAIN = body(priced(belief(CELL)))
BLIND = body(None)


def earned_msat(ppm: float) -> float:
    """A day's worth of a fee by the demand curve, written down once more."""
    return float(1e9 / (1.0 + (ppm / CELL_PRICE) ** CELL_STEEP) * (ppm - NET) / 1e6)


def tallied(*rows: StoredDecision, window: Window = DAY) -> Shadow:
    shadow = Shadow(window)
    for row in rows:
        shadow.take(row)
    shadow.finish()
    return shadow


def tally(*rows: StoredDecision, window: Window = DAY) -> Tally:
    return tallied(*rows, window=window).tallies[CHANNEL]


def told(*rows: StoredDecision, earned: dict[str, Raw] | None = None, **names: Any) -> Any:
    known = {"scids": {CHANNEL: "1x1x1"}, "peers": {}, "channels": {}, **names}
    answer = report(tallied(*rows), Names(**known), earned or {}, NOW - 2e6)
    return json.loads(json.dumps(answer, allow_nan=False))


# -- what a difference is worth --------------------------------------------------------------------


def test_a_difference_is_what_the_demand_curve_says() -> None:
    found = difference_msat(json.loads(CERTAIN), 300, 2.0)
    assert found is not None
    assert found.mid == pytest.approx(2.0 * (earned_msat(300) - earned_msat(200)), rel=1e-9)
    assert found.low < found.mid < found.high or found.low > found.mid > found.high


def test_the_net_value_of_the_stock_counts() -> None:
    dear = json.loads(body(priced(belief(CELL), own_ppm=520.0)))
    cheap = difference_msat(json.loads(CERTAIN), 400, 1.0)
    found = difference_msat(dear, 400, 1.0)
    assert found is not None and cheap is not None
    assert found.mid > cheap.mid


def test_a_base_fee_in_force_counts_at_a_forward_of_usual_size() -> None:
    """1000 msat on 100,000 sat are 10 ppm."""
    record = json.loads(CERTAIN)
    record["seen"]["base_msat"] = 1_000
    found = difference_msat(record, 300, 1.0)
    assert found is not None
    assert found.mid == pytest.approx(earned_msat(300) - earned_msat(210), rel=1e-9)


def test_the_fee_in_force_is_worth_no_difference_to_itself() -> None:
    assert difference_msat(json.loads(CERTAIN), 200, 3.0) == Interval(0.0, 0.0, 0.0)


def test_doubt_about_the_price_shows_in_the_interval() -> None:
    """Where one cell says dearer and the other says cheaper, nobody knows the sign."""
    record = json.loads(body(priced(belief(CELL - 30, CELL + 30))))
    found = difference_msat(record, 350, 1.0)
    assert found is not None
    assert found.low < 0.0 < found.high
    narrow = difference_msat(json.loads(CERTAIN), 350, 1.0)
    assert narrow is not None
    assert found.high - found.low > 3.0 * (narrow.high - narrow.low)


def test_doubt_about_the_rate_shows_in_the_interval() -> None:
    vague = difference_msat(json.loads(body(priced(belief(CELL, shape=0.5)))), 100, 1.0)
    sharp = difference_msat(json.loads(CERTAIN), 100, 1.0)
    assert vague is not None and sharp is not None
    assert vague.mid == pytest.approx(sharp.mid)
    assert abs(vague.high - vague.low) > 3.0 * abs(sharp.high - sharp.low)


def test_the_bounds_cover_what_they_say() -> None:
    """Against draws from the belief: cells by their weights, rates by a lognormal law."""
    cells = (CELL - 20, CELL, CELL + 4, CELL + 22)
    found = difference_msat(json.loads(body(priced(belief(*cells, shape=4.0)))), 320, 1.0)
    assert found is not None
    seed = 11
    rng = np.random.default_rng(seed)
    place = rng.choice(cells, 200_000)
    price, steep = np.exp(place // 5 * 0.15), np.array([1.5, 2.3, 3.5, 5.5, 9.0])[place % 5]
    variance = np.log1p(1.0 / 4.0) + 0.15**2 / 12.0
    rate = 1e9 * np.exp(np.sqrt(variance) * rng.standard_normal(200_000) - variance / 2)
    worth = [rate / (1 + (f / price) ** steep) * (f - NET) / 1e6 for f in (320.0, 200.0)]
    inside = np.mean((worth[0] - worth[1] > found.low) & (worth[0] - worth[1] < found.high))
    assert 0.77 < inside < 0.83, f"seed {seed}: {inside}"


def test_known_demand_has_no_doubt() -> None:
    held = replace(belief(CELL), known=np.linspace(1e9, 0.0, FEES))
    found = difference_msat(json.loads(body(priced(held))), 300, 1.0)
    assert found is not None
    assert found.low == found.mid == found.high != 0.0


@pytest.mark.parametrize("text", [BLIND, '{"seen": {}}', "[]", "7"])
def test_without_a_posterior_there_is_no_difference(text: str) -> None:
    record = json.loads(text)
    assert difference_msat(record if isinstance(record, dict) else {}, 300, 1.0) is None


# -- which fee would stand, and for how long -------------------------------------------------------


def test_a_fee_speaks_until_the_next_decision() -> None:
    found = tally(
        stored(1, 0.0, 200, 300, CERTAIN, until_h=5.0),
        stored(2, 6.0, 200, 240, CERTAIN, until_h=24.0),
    )
    assert found.days == pytest.approx(1.0)
    assert found.held_days == pytest.approx(1.0)
    assert found.in_force == pytest.approx(200.0)
    assert found.would == pytest.approx(0.25 * 300 + 0.75 * 240)
    mid = 0.25 * earned_msat(300) + 0.75 * earned_msat(240) - earned_msat(200)
    assert found.difference.mid == pytest.approx(mid)


def test_bounds_of_one_channel_add_up_over_time() -> None:
    whole = tally(stored(1, 0.0, 200, 300, CERTAIN, until_h=24.0)).difference
    halves = tally(
        stored(1, 0.0, 200, 300, CERTAIN, until_h=11.0),
        stored(2, 12.0, 200, 300, CERTAIN, until_h=24.0),
    ).difference
    assert halves == pytest.approx(whole)


def test_beyond_its_time_a_decision_says_nothing() -> None:
    """The plugin was away for most of the day."""
    found = tally(stored(1, 0.0, 200, 300, CERTAIN, until_h=1.0))
    assert found.days == pytest.approx(3 / 24)
    found = tally(
        stored(1, 0.0, 200, 300, CERTAIN), stored(2, 20.0, 200, 200, CERTAIN, code="unchanged")
    )
    assert found.days == pytest.approx(4 / 24)


def test_only_what_lies_in_the_window_counts() -> None:
    found = tally(
        stored(1, -9.0, 200, 300, CERTAIN, until_h=11.5),
        stored(2, 12.0, 200, 240, CERTAIN, until_h=70.0),
    )
    assert found.days == pytest.approx(1.0)
    assert found.would == pytest.approx(0.5 * (300 + 240))


def test_a_fee_that_was_set_is_in_force_and_not_held_back() -> None:
    shadow = tallied(
        stored(1, 0.0, 200, 300, CERTAIN, outcome=FEE_SET),
        stored(2, 0.5, 300, 300, CERTAIN, code="unchanged", until_h=24.0),
    )
    found = shadow.tallies[CHANNEL]
    assert (found.held_days, shadow.held_by) == (0.0, {})
    assert found.in_force == found.would == pytest.approx(300.0)
    assert found.difference == Interval(0.0, 0.0, 0.0)


def test_a_fee_held_back_would_still_stand_when_nothing_new_is_wanted() -> None:
    """A draw is worth trying out once; after that the record only says that it gains little."""
    found = tally(
        stored(1, 0.0, 200, 300, CERTAIN),
        stored(2, 0.5, 200, 200, body(priced(belief(CELL)), 300), code="small_gain", until_h=24.0),
    )
    assert found.held_days == pytest.approx(1.0)
    assert found.would == pytest.approx(300.0)


@pytest.mark.parametrize(("wanted", "stands"), [(312, 300), (320, 320), (286, 300), (280, 280)])
def test_it_follows_what_is_wanted_where_that_is_worth_gossip(wanted: int, stands: int) -> None:
    text = body(priced(belief(CELL)), wanted)
    found = tally(
        stored(1, -1.0, 200, 300, CERTAIN),
        stored(2, 0.0, 200, 200, text, code="small_change", until_h=24.0),
    )
    assert found.would == pytest.approx(stands)


def test_back_at_the_fee_in_force_nothing_is_held_back_any_more() -> None:
    found = tally(
        stored(1, 0.0, 200, 300, CERTAIN),
        stored(2, 1.0, 200, 200, body(priced(belief(CELL)), 200), code="unchanged", until_h=24.0),
    )
    assert found.held_days == pytest.approx(1 / 24)


def test_another_writers_fee_ends_it() -> None:
    found = tally(
        stored(1, 0.0, 200, 300, CERTAIN),
        stored(2, 1.0, 777, 777, CERTAIN, code="small_change", until_h=24.0),
    )
    assert found.held_days == pytest.approx(1 / 24)
    assert found.would == pytest.approx(300 / 24 + 777 * 23 / 24)


def test_time_in_which_a_channel_is_not_free_counts_for_nothing() -> None:
    found = tally(
        stored(1, 0.0, 200, 300, CERTAIN),
        stored(2, 1.0, 200, 200, CERTAIN, code="peer_disconnected", until_h=24.0),
    )
    assert found.not_free_days == pytest.approx(23 / 24)
    assert found.held_days == pytest.approx(1 / 24)
    mid = (earned_msat(300) - earned_msat(200)) / 24
    assert found.difference.mid == pytest.approx(mid)


def test_an_order_that_failed_was_never_the_controllers_will() -> None:
    found = tally(stored(1, 0.0, 200, 900, CERTAIN, by_hand=True, until_h=24.0))
    assert found.held_days == 0.0
    assert found.would == pytest.approx(200.0)


@pytest.mark.parametrize("outcome", [None, "unknown: no answer within 5 s"])
def test_where_nobody_knows_what_stands_nothing_is_counted(outcome: str | None) -> None:
    rows = stored(1, 0.0, 200, 300, CERTAIN, outcome=outcome, until_h=24.0)
    assert not tallied(rows).tallies


def test_days_without_a_posterior_are_told() -> None:
    found = tally(stored(1, 0.0, 200, 300, BLIND, until_h=24.0))
    assert found.blind_days == found.held_days == pytest.approx(1.0)
    assert found.difference == Interval(0.0, 0.0, 0.0)
    assert tally(stored(1, 0.0, 200, 300, "{", until_h=24.0)).blind_days == pytest.approx(1.0)


def test_a_decision_that_is_repeated_while_it_is_read_counts_once() -> None:
    found = tally(
        stored(1, 0.0, 200, 300, CERTAIN, until_h=10.0),
        stored(1, 0.0, 200, 300, CERTAIN, until_h=12.0),
    )
    assert found.days == pytest.approx(14 / 24)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 4.0),
            st.sampled_from([180, 200, 300]),
            st.sampled_from(["set", "held", "small_gain", "paused", "unknown"]),
        ),
        max_size=12,
    )
)
def test_days_never_exceed_the_window_and_parts_never_the_whole(
    steps: list[tuple[float, int, str]],
) -> None:
    rows, at_h = [], -3.0
    for number, (gap_h, ppm, kind) in enumerate(steps):
        outcome = {"set": FEE_SET, "held": DRY}.get(kind)
        code = kind if kind in ("small_gain", "paused") else None
        new = 200 if code else ppm
        rows.append(stored(number, at_h, 200, new, CERTAIN, outcome=outcome, code=code))
        at_h += gap_h
    found = tallied(*rows).tallies.get(CHANNEL, Tally())
    assert 0.0 <= found.held_days + found.not_free_days <= found.days + 1e-9 <= 1.0 + 2e-9
    assert 180 * found.days <= found.would + 1e-6 and found.would <= 300 * found.days + 1e-6


# -- the answer ------------------------------------------------------------------------------------


def test_nothing_held_back_is_said() -> None:
    answer = told(stored(1, 0.0, 200, 300, CERTAIN, outcome=FEE_SET, until_h=24.0))
    assert answer["nothing_held_back"] is True
    assert "nothing was held back" in answer["message"]
    assert answer["held_back_by"] == {}
    (row,) = answer["channels"]
    assert row["fee_in_force_ppm"] == row["fee_decided_ppm"] == 300.0
    assert row["by_the_posterior"] == {"difference_msat": 0, "low_msat": 0, "high_msat": 0}


def test_what_held_fees_back_is_named() -> None:
    answer = told(stored(1, 0.0, 200, 300, CERTAIN, until_h=24.0))
    assert answer["nothing_held_back"] is False
    assert answer["held_back_by"] == {DRY: 1.0}
    assert answer["total"]["by_the_posterior"]["difference_msat"] == round(
        earned_msat(300) - earned_msat(200)
    )


def test_an_empty_window_is_answered() -> None:
    answer = told()
    assert answer["channels"] == []
    assert answer["message"] == "no fee was decided in the window"
    assert answer["total"]["raw"] == {"before_msat_per_day": 0, "within_msat_per_day": 0}


def test_two_channels_of_a_peer_share_its_demand() -> None:
    rows = [
        stored(n, 0.0, 200, 300, CERTAIN, until_h=24.0, channel_id=channel)
        for n, channel in enumerate((CHANNEL, OTHER))
    ]
    alone = told(rows[0])["total"]["by_the_posterior"]
    shared = told(*rows, peers={CHANNEL: "p", OTHER: "p"})
    apart = told(*rows, peers={CHANNEL: "p", OTHER: "q"})
    assert shared["total"]["by_the_posterior"] == alone
    halves = [row["by_the_posterior"]["difference_msat"] for row in shared["channels"]]
    assert halves == pytest.approx([alone["difference_msat"] / 2] * 2, abs=1)
    total = apart["total"]["by_the_posterior"]
    assert total["difference_msat"] == pytest.approx(2 * alone["difference_msat"], abs=1)
    above = alone["high_msat"] - alone["difference_msat"]
    assert total["high_msat"] - total["difference_msat"] == pytest.approx(2**0.5 * above, abs=2)


def test_errors_of_different_peers_are_independent() -> None:
    found = independent([Interval(-3.0, 0.0, 6.0), Interval(6.0, 10.0, 18.0)])
    assert found == (10.0 - 5.0, 10.0, 10.0 + 10.0)


def test_raw_earnings_are_those_of_all_scids_of_a_channel() -> None:
    earned = {"1x1x1": Raw(1_000, 24_000), "9x9x9": Raw(500, 0), "8x8x8": Raw(7, 9)}
    channels = {"1x1x1": CHANNEL, "9x9x9": CHANNEL}
    answer = told(stored(1, 0.0, 200, 300, CERTAIN), earned=earned, channels=channels)
    (row,) = answer["channels"]
    assert row["raw"] == {"before_msat_per_day": 1_500, "within_msat_per_day": 24_000}
    assert answer["total"]["raw"] == {"before_msat_per_day": 1_507, "within_msat_per_day": 24_009}


def test_raw_earnings_are_told_by_the_day() -> None:
    shadow = tallied(window=Window(NOW, NOW + 7 * 24 * HOUR_S, 7200.0))
    answer: Any = report(shadow, Names({}, {}, {"a": CHANNEL}), {"a": Raw(70, 7_000)}, None)
    assert answer["channels"][0]["raw"] == {
        "before_msat_per_day": 10,
        "within_msat_per_day": 1_000,
    }
    assert answer["raw_before_is_whole"] is False


@pytest.mark.parametrize(("begins_h", "whole"), [(-24.0, True), (-23.0, False), (5.0, False)])
def test_a_log_that_began_too_late_is_told(begins_h: float, whole: bool) -> None:
    answer = report(tallied(), Names({}, {}, {}), {}, NOW + begins_h * HOUR_S)
    assert answer["raw_before_is_whole"] is whole


def test_the_notes_say_which_figure_is_which() -> None:
    notes = " ".join(told()["notes"])
    for words in ("By the posterior", "not a measurement", "fully correlated", "Raw", "cause"):
        assert words in notes
