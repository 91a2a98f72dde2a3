"""What the fee controller remembers: pins, samples, quotes; and that storage keeps it exactly."""

from __future__ import annotations

from cl_revenue_ops.domain.fees import quote_book
from cl_revenue_ops.domain.fees.book import FeeBook, Situation
from cl_revenue_ops.domain.fees.facts import Conditions, FeeParameters, Pin, PriorPrice
from cl_revenue_ops.domain.fees.quote_book import FRESH_S, RETRY_S, Asked
from messages.channels import ChannelFact

A, PEER = "aa" * 32, "02" + "cc" * 32
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


def at(now_s: float) -> Situation:
    return Situation(CALM, now_s, FeeParameters())


def test_the_book_survives_storage_exactly() -> None:
    book = FeeBook(last_cycle_s=5.0)
    book.quotes[PEER] = Asked(3.0, PriorPrice(120.0, 0.5, 7))
    book.quotes["03" + "dd" * 32] = Asked(4.0, None)
    book.decide(fact(), at(1_000.0))
    book.pins[A] = Pin(77, None, "by hand", 1_001.0)
    again = FeeBook.unpack(book.header(), book.pack([A]))
    assert (again.states, again.pins, again.quotes, again.last_cycle_s) == (
        book.states,
        book.pins,
        book.quotes,
        book.last_cycle_s,
    )


def test_an_empty_store_gives_an_empty_book() -> None:
    assert FeeBook.unpack(None, {}) == FeeBook()


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
    book.forget_closed([], [PEER])
    assert (book.states, book.pins, list(book.quotes)) == ({}, {}, [PEER])


def test_an_open_channel_is_remembered() -> None:
    book = FeeBook()
    book.decide(fact(), at(0.0))
    book.forget_closed([A], [PEER])
    assert list(book.states) == [A]


def test_quotes_are_due_when_old_and_soon_after_a_failure() -> None:
    price = PriorPrice(50.0, 0.3, 3)
    book = {PEER: Asked(1_000.0, price)}
    assert not quote_book.due(book, PEER, 1_000.0 + FRESH_S - 1)
    assert quote_book.due(book, PEER, 1_000.0 + FRESH_S)
    assert quote_book.due(book, "unknown", 0.0)
    failed = {PEER: quote_book.ask_again_soon(9e6, price)}
    assert not quote_book.due(failed, PEER, 9e6 + RETRY_S - 1)
    assert quote_book.due(failed, PEER, 9e6 + RETRY_S)
    assert quote_book.price_into(failed, PEER) == price


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
