"""What the fee controller remembers: pins, samples, quotes; and that storage keeps it exactly."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from cl_revenue_ops.domain.fees import quote_book
from cl_revenue_ops.domain.fees.book import FeeBook, Situation
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.domain.fees.facts import Conditions, FeeParameters, Pin, PriorPrice, Spike
from cl_revenue_ops.domain.fees.quote_book import FRESH_S, RETRY_S, SPREAD, Asked, fresh_s
from cl_revenue_ops.domain.policy.terms import Limits
from messages.channels import ChannelEntry, ChannelFact
from messages.policies import PeerPolicy

A, B, PEER = "aa" * 32, "bb" * 32, "02" + "cc" * 32
CALM = Conditions(node_in_sync=True, paused=False, safe_mode=False)


def fact(fee_ppm: int = 100, htlcs_out: int = 0) -> ChannelFact:
    return ChannelFact(
        A,
        PEER,
        "CHANNELD_NORMAL",
        True,
        True,
        scid="1x1x0",
        opener="local",
        capacity_msat=10_000_000_000,
        local_msat=5_000_000_000,
        htlcs_out=htlcs_out,
        fee_base_msat=0,
        fee_ppm=fee_ppm,
    )


def entry(
    channel_id: str = A, *, closed: bool = False, state: str = "CHANNELD_NORMAL"
) -> ChannelEntry:
    last = replace(fact(), channel_id=channel_id, state=state)
    return ChannelEntry(channel_id, PEER, (), 0.0, closed, last)


def at(now_s: float) -> Situation:
    return Situation(CALM, now_s, FeeParameters())


def test_the_book_survives_storage_exactly() -> None:
    book = FeeBook(last_cycle_s=5.0)
    book.quotes[PEER] = Asked(3.0, PriorPrice(120.0, 0.5, 7))
    book.quotes["03" + "dd" * 32] = Asked(4.0, None)
    book.decide(fact(), at(1_000.0))
    book.pins[A] = Pin(77, None, "by hand", 1_001.0)
    book.desk.meet([fact()], {PEER: PriorPrice(120.0, 0.5, 7)}, 100_000_000)
    book.desk.cursor = 41
    again = FeeBook.unpack(book.header(), book.pack([A]), book.desk.pack(), 2_000.0)
    assert (again.desk.pack(), again.desk.header()) == (book.desk.pack(), book.desk.header())
    assert again.unreadable == ()
    assert (again.states, again.pins, again.quotes, again.last_cycle_s) == (
        book.states,
        book.pins,
        book.quotes,
        book.last_cycle_s,
    )


def test_an_empty_store_gives_an_empty_book() -> None:
    assert FeeBook.unpack(None, {}, {}, 0.0) == FeeBook()


def test_a_pin_decides_the_fee_and_restoring_takes_it_back() -> None:
    book = FeeBook()
    book.decide(fact(), at(0.0))
    before = book.pins.get(A), book.state(A)
    book.pins[A] = Pin(321, None, "by hand", 10.0)
    decision = book.decide(fact(), at(10.0))
    assert (decision.action, decision.target and decision.target.ppm) == ("set", 321)
    book.restore(A, *before)
    assert (book.pins, book.state(A)) == ({}, before[1])


def test_two_samples_above_the_threshold_turn_a_channel() -> None:
    book = FeeBook()
    book.decide(fact(), at(0.0))
    parameters = FeeParameters()
    first = book.sample_slots({A: 480}, 60.0, parameters)
    second = book.sample_slots({A: 480}, 120.0, parameters)
    assert (first.turned, first.busy, second.turned) == ((), True, (A,))
    assert book.sample_slots({}, 180.0, parameters).turned == (A,)


def test_half_of_the_threshold_is_busy_and_less_is_calm() -> None:
    book = FeeBook()
    book.decide(fact(), at(0.0))
    parameters = FeeParameters()
    assert book.sample_slots({A: 200}, 60.0, parameters).busy
    assert not book.sample_slots({A: 100}, 120.0, parameters).busy


def test_closed_channels_and_strangers_are_forgotten() -> None:
    book = FeeBook(quotes={PEER: Asked(0.0, None), "03" + "dd" * 32: Asked(0.0, None)})
    book.decide(fact(), at(0.0))
    book.pins[A] = Pin(1, None, "by hand", 0.0)
    book.forget_closed([entry(closed=True, state="ONCHAIN"), entry(B)], 1.0)
    assert (book.states, book.pins, list(book.quotes)) == ({}, {}, [PEER])
    book.forget_closed([entry(closed=True, state="ONCHAIN")], 2.0)
    assert book.quotes == {}


def test_one_reading_that_leaves_a_channel_out_costs_no_pin() -> None:
    book = FeeBook(quotes={PEER: Asked(0.0, None)})
    book.decide(fact(), at(0.0))
    book.pins[A] = Pin(1, None, "by hand", 0.0)
    for read_at_s, closed in ((1.0, True), (1.0, True), (2.0, False), (3.0, True)):
        book.forget_closed([entry(closed=closed)], read_at_s)
        assert (list(book.states), list(book.pins), list(book.quotes)) == ([A], [A], [PEER])
    book.forget_closed([entry(closed=True)], 4.0)
    assert (book.states, book.pins, book.quotes) == ({}, {}, {})


def test_an_open_channel_is_remembered() -> None:
    book = FeeBook()
    book.decide(fact(), at(0.0))
    book.forget_closed([entry()], 1.0)
    book.forget_closed([entry()], 2.0)
    assert list(book.states) == [A]


def test_quotes_are_due_when_old_and_soon_after_a_failure() -> None:
    price = PriorPrice(50.0, 0.3, 3)
    book = {PEER: Asked(1_000.0, price)}
    assert not quote_book.due(book, PEER, 1_000.0 + fresh_s(PEER) - 1)
    assert quote_book.due(book, PEER, 1_000.0 + fresh_s(PEER))
    assert quote_book.due(book, "unknown", 0.0)
    failed = {PEER: quote_book.ask_again_soon(PEER, 9e6, price)}
    assert not quote_book.due(failed, PEER, 9e6 + RETRY_S - 1)
    assert quote_book.due(failed, PEER, 9e6 + RETRY_S)
    assert quote_book.price_into(failed, PEER) == price


def priced(book: FeeBook, now_s: float) -> FeeDecision:
    book.desk.meet([fact()], {}, 100_000_000)
    book.desk.price([fact()], lambda purpose, number: 0.1 + 0.15 * number, now_s)
    return book.decide(fact(), at(now_s))


def test_a_peers_fees_lie_within_settings_orders_and_policies() -> None:
    book, parameters, now_s = FeeBook(), FeeParameters(), 1_000.0
    facts = [fact(100), replace(fact(200), channel_id=B)]

    def limits() -> Limits:
        return book.limits(facts, parameters, now_s)[PEER]

    assert limits() == (10, 5_000)
    book.policies[PEER] = PeerPolicy(PEER, "dynamic", min_fee_ppm=50, max_fee_ppm=800)
    assert limits() == (50, 800)
    book.policies[PEER] = PeerPolicy(PEER, "dynamic", fee_multiplier_max=0.5)
    assert limits() == (10, 5_000), "a multiple of what nobody knows bounds nothing"
    book.desk.meet(facts, {PEER: PriorPrice(400.0, 0.2, 40)}, 10**9)
    neutral = book.desk.demand.neutral_ppm(PEER, now_s)
    assert neutral is not None and limits() == (10, int(0.5 * neutral))
    priced(book, now_s)
    assert neutral == pytest.approx(math.exp(book.desk.markets[PEER].priced.neutral), rel=1e-5)
    assert limits() == (10, int(0.5 * neutral)), "nothing that a restart forgets plays a part"
    book.policies[PEER] = PeerPolicy(PEER, "static", fee_ppm=70)
    assert limits() == (70, 70)
    book.pins[A] = Pin(9_000, None, "by hand", 900.0)
    assert limits() == (70, 9_000)
    book.pins.clear()
    book.policies[PEER] = PeerPolicy(PEER, "passive")
    assert limits() == (100, 200), "whatever others have set there"
    book.policies[PEER] = PeerPolicy(PEER, "hive")
    assert limits() == (book.hive_fee_ppm, book.hive_fee_ppm)


def test_stock_is_worth_no_more_than_the_fee_that_a_policy_orders() -> None:
    """Whatever demand would pay: what it is sold for is what a refill of it can earn."""
    found = {}
    for strategy in ("dynamic", "static"):
        book = FeeBook()
        book.policies[PEER] = PeerPolicy(PEER, strategy, fee_ppm=20)
        emptied = replace(fact(), local_msat=0)
        book.desk.meet([emptied], {PEER: PriorPrice(900.0, 0.2, 40)}, 5_000_000_000)
        for step in range(50):
            limits = book.limits([emptied], FeeParameters(), float(step))
            book.desk.price([emptied], lambda purpose, number: 0.5, float(step), limits)
        told = book.desk.stock_curves([emptied], 50.0, limits)
        found[strategy] = told.curves[PEER].knots[0][1]
    entering = book.desk.markets[PEER].worth.entering_ppm
    assert found["static"] <= 20.0 + max(0.0, entering) + 1.0
    assert found["dynamic"] > 100.0


def test_a_decision_is_told_of_its_peers_market_and_of_the_spike() -> None:
    book = FeeBook(spike=Spike(1.0, 3.0, 80.0, 20.0))
    decision = priced(book, 1_000.0)
    assert decision.facts.market == book.desk.markets[PEER]
    assert decision.facts.spike == book.spike
    assert [v.reason.code for v in decision.verdicts[3:6:2]] == ["mempool_spike", "drawn"]
    book.desk.markets.clear()
    assert book.decide(fact(), at(2_000.0)).facts.market is None


def test_waking_lets_every_held_draw_go_and_a_new_one_is_drawn() -> None:
    book = FeeBook()
    first = priced(book, 1_000_000.0).facts.market
    held = priced(book, 1_001_000.0).facts.market
    assert book.wake() == 1
    woken = priced(book, 1_002_000.0).facts.market
    assert first is not None
    assert held is not None
    assert woken is not None
    assert held.priced.draw == first.priced.draw
    assert (woken.priced.redrawn, woken.priced.draw.number) == ("hold_over", 2)
    assert woken.priced.draw.z != first.priced.draw.z


def test_giving_a_channel_back_ends_the_hold_on_a_foreign_fee() -> None:
    book = FeeBook()
    book.decide(fact(), at(0.0))
    assert book.decide(fact(900), at(1_800.0)).code == "foreign_fee_held"
    assert not book.give_back(fact(900))
    assert book.decide(fact(900), at(3_600.0)).whose == "ours"


def test_giving_a_channel_back_ends_its_pin() -> None:
    book = FeeBook()
    book.decide(fact(), at(0.0))
    book.pins[A] = Pin(321, None, "by hand", 10.0)
    assert book.give_back(fact(321))
    assert book.pins == {}


def test_answers_of_one_hour_are_not_all_due_in_one_hour() -> None:
    peers = [f"02{number:064x}" for number in range(200)]
    fresh = [fresh_s(peer_id) for peer_id in peers]
    assert min(fresh) >= FRESH_S
    assert max(fresh) <= FRESH_S * (1.0 + SPREAD)
    assert max(fresh) - min(fresh) > 0.9 * SPREAD * FRESH_S
    assert len({int(seconds) for seconds in fresh}) > 150


def test_a_quote_from_the_future_is_asked_for_again() -> None:
    book = {PEER: Asked(30 * 86_400.0, None)}
    assert quote_book.due(book, PEER, 0.0)
    assert not quote_book.due(book, PEER, 30 * 86_400.0 - 60.0), "a small step back costs nothing"


def test_a_hold_from_the_future_begins_now_and_is_reported_once() -> None:
    book = FeeBook()
    book.decide(fact(), at(9e6))
    assert book.decide(fact(900), at(9e6)).newly_foreign
    held = book.decide(fact(900), at(1_000.0))
    assert (held.code, held.newly_foreign) == ("foreign_fee_held", False)
    assert book.decide(fact(900), at(1_000.0 + 86_000.0)).code == "foreign_fee_held"
    assert book.decide(fact(900), at(1_000.0 + 86_401.0)).code != "foreign_fee_held"


def packed(**changes: Any) -> str:
    book = FeeBook()
    book.decide(fact(), at(1_000.0))
    book.pins[A] = Pin(77, None, "by hand", 1_001.0)
    row = json.loads(book.pack([A])[A])
    row["state"].update(changes)
    return json.dumps(row)


DAMAGED = (
    "x", "", "{}", "[]", "null", "5", '{"state": null, "pin": null}', packed(version=4),
    packed(version=0), packed(draws=1.5), packed(draws=None), packed(draws=True),
    packed(target_draws=0.5),
    packed(observed_s=None), packed(updates_s=[None]), packed(target=[1, 2]), packed(extra=1),
    packed(decisions="many"), packed(target={"ppm": None, "base_msat": 0}), packed(found=3),
    packed(left_alone=1), packed(left_alone=None),
    packed(congestion={"active": False, "above": None, "sampled_at_s": 0.0}),
    packed(decided_at_s=float("inf")), packed(calm_ppm=1.5), packed(forced_by=[]),
    packed().replace("77", '"77"'), packed().replace("1001.0", "null"), "[" * 100_000,
)  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_row_starts_fresh_alone(text: str) -> None:
    book = FeeBook.unpack(None, {A: text, B: packed()}, {}, 2_000.0)
    assert (list(book.states), list(book.pins), book.unreadable) == ([B], [B], (A,))


@pytest.mark.parametrize(
    "text",
    [
        "x", "[]", "{}", "null", '{"last_cycle_s": "5", "quotes": {}}',
        '{"last_cycle_s": 5.0, "quotes": {"02": null}}', '{"last_cycle_s": NaN, "quotes": {}}',
        '{"last_cycle_s": 5.0, "quotes": {"02": [null, null]}}',
        '{"last_cycle_s": 5.0, "quotes": {"02": [1.0, [1.0, null, 3]]}}',
    ],
)  # fmt: skip
def test_a_damaged_header_gets_defaults(text: str) -> None:
    book = FeeBook.unpack(text, {A: packed()}, {}, 2_000.0)
    assert (book.last_cycle_s, book.quotes, book.unreadable) == (None, {}, ("header",))
    assert list(book.states) == [A]
