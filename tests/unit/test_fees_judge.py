"""What an update promises, what a day allows, which draw is in force, and who else sets fees."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.demand.curve import CELL_LOG_PRICE, CELL_STEEPNESS
from cl_revenue_ops.domain.fees.decide import FeeDecision, decide, written
from cl_revenue_ops.domain.fees.facts import (
    ChannelFeeState,
    Conditions,
    CongestionState,
    Fee,
    FeeParameters,
    Market,
    Pin,
)
from cl_revenue_ops.domain.fees.record import state_from_row, state_to_row
from tests.unit.fees_support import (
    DAY_S,
    DEFAULTS,
    HOUR_S,
    NOW,
    Node,
    asking,
    facts,
    known,
    spike,
    worth,
)

WITH_CLBOSS = Conditions(True, False, False, ("CLBoss",))
WITH_BOTH = Conditions(True, False, False, ("CLBoss", "cl-hive"))
SPENT = tuple(NOW - hours * HOUR_S for hours in (20.0, 15.0, 10.0, 5.0))
PRICE = asking(400.0)
GREEDY_PPM = round(math.exp(PRICE.priced.greedy))
TAKEN = PRICE.priced.draw.number


ONE_TODAY = (NOW - 2 * HOUR_S,)


def once(
    seen_ppm: int,
    state: ChannelFeeState | None = None,
    p: FeeParameters = DEFAULTS,
    **changes: Any,
) -> tuple[FeeDecision, ChannelFeeState]:
    """One decision on a channel whose fee, ours, is `seen_ppm`; demand asks 400 ppm."""
    fee = Fee(seen_ppm, 0)
    state = known(fee, draws=TAKEN, updates_s=ONE_TODAY) if state is None else state
    return decide(facts(**{"fee": fee, "market": PRICE, **changes}), state, p, NOW)


def value_msat(made: Market, ppm: float) -> float:
    """What a fee earns in a day over the value of what it sells, cell by cell: v S(f) (f - net)."""
    told, total = made.worth.belief, 0.0
    for place, weight, rate in zip(told.places, told.weights, told.rates, strict=True):
        price, steepness = math.exp(CELL_LOG_PRICE[place]), CELL_STEEPNESS[place]
        total += weight * rate / (1.0 + (ppm / price) ** steepness)
    net = made.worth.own_ppm - made.worth.entering_ppm
    return total * (ppm - net) / 1e6


# -- the gain ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("own_ppm", "entering_ppm"), [(0.0, 0.0), (80.0, 0.0), (80.0, 200.0)])
def test_the_gain_is_what_the_best_guess_earns_more_until_the_next_draw(
    own_ppm: float, entering_ppm: float
) -> None:
    told = worth(own_ppm=own_ppm, entering_ppm=entering_ppm, volume_msat=1e8)
    made = asking(700.0, told)
    greedy = math.exp(made.priced.greedy)
    seen_ppm = round(greedy * 1.3)
    gain = (value_msat(made, greedy) - value_msat(made, seen_ppm)) / 4.0
    assert gain > 0.0
    p = FeeParameters(least_gain_msat=gain * 1.01 + 0.1)
    held, _ = once(
        seen_ppm, known(Fee(seen_ppm, 0), draws=TAKEN, updates_s=ONE_TODAY), p, market=made
    )
    assert held.code == "small_gain"
    assert held.outcome.numbers["gain_msat"] == pytest.approx(gain, abs=0.06)
    p = FeeParameters(least_gain_msat=gain * 0.99)
    sent, _ = once(
        seen_ppm, known(Fee(seen_ppm, 0), draws=TAKEN, updates_s=ONE_TODAY), p, market=made
    )
    assert (sent.code, sent.target) == ("worth_gossip", Fee(700, 0))


def test_where_the_best_guess_stands_already_only_a_new_draw_is_worth_an_update() -> None:
    """A draw that is new promises to learn; one that was tried out and left promises no more."""
    taken, _ = once(GREEDY_PPM)
    assert (taken.action, taken.code) == ("none", "small_gain")
    assert taken.outcome.numbers["gain_msat"] == pytest.approx(0.0, abs=2.0)
    fresh, after = once(GREEDY_PPM, known(Fee(GREEDY_PPM, 0), draws=TAKEN - 1, updates_s=ONE_TODAY))
    assert (fresh.action, fresh.target) == ("set", Fee(400, 0))
    assert after.draws == TAKEN - 1, "what was not written was not tried out"
    assert written(after, NOW).draws == TAKEN


def test_to_learn_is_worth_at_most_what_the_fee_tried_out_is_expected_to_earn() -> None:
    limit = value_msat(PRICE, 400.0) / 4.0
    state = known(Fee(GREEDY_PPM, 0), draws=TAKEN - 1, updates_s=ONE_TODAY)
    for part, code in ((0.99, "worth_gossip"), (1.01, "small_gain")):
        decision, _ = once(GREEDY_PPM, state, FeeParameters(least_gain_msat=limit * part))
        assert decision.code == code
    idle = asking(400.0, worth(volume_msat=2e5))
    assert value_msat(idle, 400.0) / 4.0 < DEFAULTS.least_gain_msat
    assert once(GREEDY_PPM, state, market=idle)[0].code == "small_gain"


def test_before_demand_was_looked_at_nothing_is_known_of_a_gain() -> None:
    dear = FeeParameters(least_gain_msat=1e15)
    found = known(Fee(GREEDY_PPM, 0), updates_s=ONE_TODAY)._replace(found=Fee(400, 0))
    assert once(GREEDY_PPM, found, dear, market=None)[0].action == "set"
    assert once(GREEDY_PPM, found, dear)[0].code == "small_gain"


# -- which draw is in force -------------------------------------------------------------------


def test_the_draw_is_counted_where_its_fee_comes_into_force_or_stands_already() -> None:
    new = known(Fee(250, 0))._replace(draws=0)
    decided = once(250, new)[1]
    assert (decided.draws, decided.target_draws) == (0, TAKEN)
    assert written(decided, NOW).draws == TAKEN
    assert once(400, known(Fee(400, 0)))[0].code == "unchanged"
    assert once(400, known(Fee(400, 0)))[1].draws == TAKEN


@pytest.mark.parametrize(
    ("seen_ppm", "changes", "state", "code"),
    [
        (395, {}, {}, "small_change"),
        (250, {}, {"updates_s": SPENT}, "budget_spent"),
        (250, {"market": asking(400.0, worth(volume_msat=1e3))}, {}, "small_gain"),
        (250, {"connected": False}, {}, "peer_disconnected"),
        (250, {"market": None}, {}, "unchanged"),
        (999, {}, {"target": Fee(250, 0), "confirmed": Fee(250, 0)}, "foreign_fee_held"),
    ],
)
def test_a_draw_that_was_held_back_is_still_new(
    seen_ppm: int, changes: dict[str, Any], state: dict[str, Any], code: str
) -> None:
    before = known(Fee(seen_ppm, 0), **{"draws": 7, "updates_s": ONE_TODAY, **state})
    decision, after = once(seen_ppm, before, **changes)
    assert (decision.code, after.draws) == (code, 7)


def test_the_number_of_the_draw_is_stored_and_an_older_state_begins_at_none() -> None:
    row = jsontext.loads(jsontext.dumps(state_to_row(known(draws=12, target_draws=13))))
    assert (state_from_row(row).draws, state_from_row(row).target_draws) == (12, 13)
    before = {key: value for key, value in row.items() if not key.endswith("draws")}
    assert state_from_row({**before, "version": 1}) == known(draws=0, target_draws=0)


def test_a_draw_whose_write_failed_is_still_worth_trying() -> None:
    """What the fee tried out may teach is promised until that fee has stood on the node."""
    state = known(Fee(GREEDY_PPM, 0), draws=TAKEN - 1, updates_s=ONE_TODAY)
    node = Node(Fee(GREEDY_PPM, 0), state, market=PRICE)
    assert node.cycle(fails=True).target == Fee(400, 0)
    assert node.cycle(fails=True).target == Fee(400, 0)
    assert node.state.draws == TAKEN - 1
    node.fee = Fee(400, 0)
    assert node.cycle().code == "unchanged", "it was written after all"
    assert node.state.draws == TAKEN


# -- the budget of a day ----------------------------------------------------------------------


def test_a_day_allows_four_updates_and_the_next_day_again_four() -> None:
    node = Node(Fee(200, 0), known())
    codes = []
    for number in range(96):
        node.cycle(market=asking(1000.0 if number % 2 else 300.0))
        codes.append(node.updates)
    assert (codes[3], codes[46], codes[95]) == (4, 4, 8)


def test_the_budget_held_back_is_told_and_frees_itself() -> None:
    state = known(draws=0, updates_s=SPENT)
    held, after = once(200, state)
    assert (held.action, held.code) == ("none", "budget_spent")
    assert "4 updates" in held.sentence
    fee = facts(market=PRICE)
    assert decide(fee, after, DEFAULTS, SPENT[0] + DAY_S)[0].action == "set"
    assert decide(fee, after, DEFAULTS, SPENT[0] + DAY_S - 1.0)[0].code == "budget_spent"


URGENT: dict[str, dict[str, Any]] = {
    "pin": {"pin": Pin(210, None, "static", NOW)},
    "bounds": {"p": FeeParameters(min_fee_ppm=201)},
    "congestion_enter": {"state": {"congestion": CongestionState(True, 2, NOW)}},
    "congestion_leave": {
        "state": {"forced_by": "congestion", "target_forced_by": "congestion", "calm_ppm": 250}
    },
    "rewritten": {
        "conditions": WITH_CLBOSS,
        "state": {"target": Fee(300, 0), "confirmed": Fee(300, 0)},
    },
    "base_restored": {
        "fee": Fee(200, 7),
        "state": {"foreign": Fee(200, 7), "foreign_since_s": NOW - DAY_S},
    },
    "pin_restored": {
        "pin": Pin(210, None, "static", NOW),
        "state": {"target": Fee(210, 0), "confirmed": Fee(210, 0)},
    },
}


@pytest.mark.parametrize("code", sorted(URGENT))
def test_emergencies_are_exempt_from_budget_gain_and_hysteresis(code: str) -> None:
    """Each with the day's budget spent and a gain that nothing could reach."""
    changes = dict(URGENT[code])
    state = known(updates_s=SPENT, draws=TAKEN, **changes.pop("state", {}))
    p = replace(changes.pop("p", DEFAULTS), least_gain_msat=1e15, hysteresis=1e6)
    decision, _ = once(200, state, p, **changes)
    assert (decision.action, decision.code) == ("set", code)


def test_a_spike_that_lifts_the_floor_above_the_fee_in_force_is_an_emergency() -> None:
    state = known(Fee(50, 0), updates_s=SPENT, draws=TAKEN)
    calm: dict[str, Any] = {"market": asking(52.0), "local_msat": 9_900_000_000}
    assert once(50, state, **calm)[0].code == "small_change"
    spiked, _ = once(50, state, **calm, spike=spike(1.0))
    assert (spiked.action, spiked.code) == ("set", "bounds")
    assert spiked.target == Fee(math.ceil(math.exp(asking(52.0).priced.neutral)), 0)
    floor = spiked.target or Fee(0, 0)
    assert once(floor.ppm, known(floor), **calm, spike=spike(1.0))[0].code == "unchanged"


# -- other writers ----------------------------------------------------------------------------


def test_a_foreign_fee_is_left_alone_for_a_day_to_the_second_where_no_writer_is_known() -> None:
    node = Node(Fee(400, 0), known(Fee(400, 0)), market=PRICE)
    assert node.cycle().code == "unchanged"
    node.fee = Fee(900, 500)
    first = node.cycle()
    assert (first.code, first.whose, first.newly_foreign) == ("foreign_fee_held", "foreign", True)
    assert "another writer set 900 ppm and 500 msat" in first.sentence
    assert "where 400 ppm was ours" in first.sentence
    held = node.cycle(after_s=DAY_S - 1.0)
    assert (held.action, held.code, held.newly_foreign) == ("none", "foreign_fee_held", False)
    assert node.cycle(after_s=1.0).target == Fee(400, 0)


@pytest.mark.parametrize(
    ("conditions", "named"), [(WITH_CLBOSS, "CLBoss set"), (WITH_BOTH, "CLBoss or cl-hive set")]
)
def test_a_known_writers_fee_is_rewritten_at_once_and_reported(
    conditions: Conditions, named: str
) -> None:
    node = Node(Fee(400, 0), known(Fee(400, 0)), market=PRICE, conditions=conditions)
    assert node.cycle().code == "unchanged", "a writer who keeps still changes nothing"
    for foreign in (Fee(900, 500), Fee(404, 0), Fee(400, 1000)):
        node.fee = foreign
        back = node.cycle()
        assert (back.action, back.code, back.target) == ("set", "rewritten", Fee(400, 0))
        assert (back.whose, back.newly_foreign) == ("foreign", True)
        assert f"{named} {foreign.ppm} ppm and {foreign.base_msat} msat" in back.sentence
        assert node.state.foreign is None
        calm = node.cycle()
        assert (calm.whose, calm.code) == ("ours", "unchanged")


def test_where_a_writer_is_known_our_own_changes_are_no_emergencies() -> None:
    state = known(Fee(250, 0), draws=0)
    assert once(250, state, conditions=WITH_CLBOSS)[0].code == "worth_gossip"
    assert once(395, known(Fee(395, 0)), conditions=WITH_CLBOSS)[0].code == "small_change"
    spent = state._replace(updates_s=SPENT)
    assert once(250, spent, conditions=WITH_CLBOSS)[0].code == "budget_spent"


def test_a_known_writer_is_answered_every_time_however_many_updates_that_takes() -> None:
    node = Node(Fee(400, 0), known(Fee(400, 0)), market=PRICE, conditions=WITH_CLBOSS)
    for _ in range(3 * DEFAULTS.fee_updates_per_day):
        node.fee = Fee(900, 0)
        assert node.cycle().code == "rewritten"


def test_a_known_writer_who_sets_what_is_wanted_is_left_alone() -> None:
    node = Node(Fee(300, 0), known(Fee(300, 0)), market=PRICE, conditions=WITH_CLBOSS)
    node.fee = Fee(400, 0)
    same = node.cycle()
    assert (same.action, same.code, same.whose) == ("none", "unchanged", "foreign")
    assert node.cycle().whose == "ours"


def test_what_forbids_a_write_forbids_rewriting_and_it_is_made_up_for() -> None:
    node = Node(Fee(400, 0), known(Fee(400, 0)), market=PRICE, conditions=WITH_CLBOSS)
    node.cycle()
    node.fee = Fee(900, 0)
    assert node.cycle(connected=False).code == "peer_disconnected"
    assert node.cycle().code == "rewritten"


def test_a_rewriting_that_failed_is_tried_again_whatever_the_day_has_left() -> None:
    state = known(Fee(400, 0), updates_s=SPENT)
    node = Node(Fee(400, 0), state, market=PRICE, conditions=WITH_CLBOSS)
    node.cycle()
    node.fee = Fee(404, 0)
    for fails in (True, True, False):
        again = node.cycle(fails=fails)
        assert (again.code, again.whose, again.target) == ("rewritten", "foreign", Fee(400, 0))
    assert (node.cycle().code, node.fee) == ("unchanged", Fee(400, 0))


def test_an_order_is_restored_as_an_order_also_against_a_known_writer() -> None:
    pin = Pin(77, None, "by hand", NOW)
    node = Node(Fee(77, 0), known(Fee(77, 0)), market=PRICE, conditions=WITH_CLBOSS)
    node.cycle(pin=pin)
    node.fee = Fee(900, 0)
    assert node.cycle(pin=pin).code == "pin_restored"


def test_at_first_contact_nobody_is_rewritten() -> None:
    node = Node(Fee(137, 1000), market=PRICE, conditions=WITH_CLBOSS)
    assert node.cycle().code == "first_contact"
