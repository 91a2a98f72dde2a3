"""Senders: what they know, whether they come, how they remember and retry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.simnode.market import Market, draw_market
from cl_revenue_ops.simnode.market_parameters import MarketRanges
from cl_revenue_ops.simnode.model import Policy
from cl_revenue_ops.simnode.senders import (
    Offer,
    Outcome,
    OwnChannel,
    Payment,
    Senders,
    ThrottledGossip,
    payments_of,
)
from cl_revenue_ops.simnode.traffic import Attempts, all_attempts, joined

HOUR_S = 3_600.0
MARKET = draw_market(1, channels=3, days=2)
OUT, IN = 0, 1
BASE_MSAT = MARKET.peers[OUT].alternative_base_msat
START_S = MARKET.start_s


@dataclass
class Posted:
    """Policies by channel: (since, policy), oldest first."""

    history: dict[str, list[tuple[float, Policy]]]

    def policy_at(self, channel_id: str, at_s: float) -> Policy:
        known = [policy for since_s, policy in self.history[channel_id] if since_s <= at_s]
        return known[-1] if known else self.history[channel_id][0][1]


def attempts_of(*payments: Payment) -> Attempts:
    columns = zip(*payments, strict=True)
    names = [entry.name for entry in fields(Attempts)]
    return Attempts(**{name: np.array(column) for name, column in zip(names, columns, strict=True)})


def payment(at_s: float = 0.0, **changes: Any) -> Payment:
    plain = Payment(
        at_s=START_S + at_s,
        in_peer=IN,
        out_peer=OUT,
        amount_msat=10_000_000,
        limit_ppm=500.0,
        sender=7,
        propagation_s=600.0,
        throttled=False,
        hold_s=2.0,
        downstream_ok=True,
        retries=0,
        retry_gap_s=60.0,
        splits=True,
        memory_s=HOUR_S,
        tie=0.0,
        whale=False,
    )
    return plain._replace(**changes)


def brought(
    *payments: Payment,
    policies: dict[str, list[tuple[float, Policy]]],
    answer: Callable[[Offer], Outcome] = lambda offer: Outcome.TAKEN,
    until_s: float = 40 * HOUR_S,
) -> tuple[list[Offer], Senders]:
    offers: list[Offer] = []

    def forward(offer: Offer) -> Outcome:
        offers.append(offer)
        return answer(offer)

    channels = [OwnChannel(name, 50_000_000) for name in policies]
    posted = Posted(policies)
    senders = Senders(MARKET, {OUT: channels}, posted, [attempts_of(*payments)])
    senders.step(START_S + until_s, forward)
    return offers, senders


def asks(ppm: int, base_msat: int = 0, since_s: float = -1e9) -> tuple[float, Policy]:
    return (START_S + since_s, Policy(base_msat, ppm))


def test_a_payment_comes_only_below_its_limit() -> None:
    limit_msat = BASE_MSAT + 10_000_000 * 500 // 1_000_000
    below, _ = brought(payment(), policies={"a": [asks(0, limit_msat - 1)]})
    at, senders = brought(payment(), policies={"a": [asks(0, limit_msat)]})
    assert [offer.fee_msat for offer in below] == [limit_msat - 1]
    assert at == [] and senders.tally.too_dear == 1


def test_the_fee_left_is_base_plus_ppm_as_known() -> None:
    offers, _ = brought(payment(amount_msat=1_234_567), policies={"a": [asks(333, 17)]})
    assert offers[0].fee_msat == 17 + 1_234_567 * 333 // 1_000_000
    assert offers[0].out_msat == 1_234_567


def test_a_new_fee_reaches_each_sender_after_its_delay() -> None:
    policies = {"a": [asks(100), asks(200, since_s=1000.0)]}
    early = payment(1500.0, propagation_s=600.0)
    late = payment(1700.0, propagation_s=600.0, sender=8)
    slow = payment(4000.0, propagation_s=5000.0, sender=9)
    offers, _ = brought(early, late, slow, policies=policies)
    assert [offer.fee_msat for offer in offers] == [1000, 2000, 1000]


def test_the_cheapest_of_several_channels_to_a_peer_is_taken() -> None:
    policies = {"a": [asks(300)], "b": [asks(90)], "c": [asks(200)]}
    offers, _ = brought(payment(), payment(tie=0.99), policies=policies)
    assert [offer.out_channel_id for offer in offers] == ["b", "b"]


def test_equal_fees_are_chosen_among_by_the_payments_own_number() -> None:
    policies = {"a": [asks(90)], "b": [asks(90)]}
    payments = [payment(float(n), tie=n / 100, sender=n) for n in range(100)]
    offers, _ = brought(*payments, policies=policies)
    chosen = [offer.out_channel_id for offer in offers]
    assert chosen.count("a") == chosen.count("b") == 50


def test_amounts_outside_the_policy_or_the_capacity_do_not_come() -> None:
    small = Policy(0, 10, htlc_min_msat=20_000_000)
    large = Policy(0, 10, htlc_max_msat=5_000_000)
    assert brought(payment(), policies={"a": [(0.0, small)]})[0] == []
    assert brought(payment(), policies={"a": [(0.0, large)]})[0] == []
    assert brought(payment(amount_msat=50_000_001), policies={"a": [asks(10)]})[0] == []


def test_after_a_failure_for_liquidity_the_sender_stays_away_for_an_hour() -> None:
    again = [payment(minutes * 60.0, retries=0) for minutes in (0, 10, 59, 61)]
    offers, senders = brought(
        *again, policies={"a": [asks(10)]}, answer=lambda offer: Outcome.NO_LIQUIDITY
    )
    assert [round((offer.at_s - START_S) / 60) for offer in offers] == [0, 61]
    assert senders.tally.remembered == 2 and senders.tally.no_liquidity == 2


def test_the_memory_is_the_senders_own_and_only_for_that_amount_and_more() -> None:
    offers, _ = brought(
        payment(0.0),
        payment(60.0, amount_msat=9_000_000),
        payment(120.0, sender=8),
        payment(180.0, amount_msat=11_000_000),
        policies={"a": [asks(10)]},
        answer=lambda offer: Outcome.NO_LIQUIDITY if offer.at_s == START_S else Outcome.TAKEN,
    )
    assert [offer.at_s - START_S for offer in offers] == [0.0, 60.0, 120.0]


def test_a_failed_channel_is_avoided_for_another_to_the_same_peer() -> None:
    offers, _ = brought(
        payment(0.0),
        payment(60.0),
        policies={"a": [asks(10)], "b": [asks(200)]},
        answer=lambda o: Outcome.NO_LIQUIDITY if o.out_channel_id == "a" else Outcome.TAKEN,
    )
    assert [offer.out_channel_id for offer in offers] == ["a", "b"]


def test_splitting_senders_come_back_within_minutes_with_halves() -> None:
    offers, senders = brought(
        payment(retries=2, splits=True),
        policies={"a": [asks(10)]},
        answer=lambda o: Outcome.NO_LIQUIDITY if o.out_msat > 3_000_000 else Outcome.TAKEN,
    )
    assert [offer.out_msat for offer in offers][:3] == [10_000_000, 5_000_000, 2_500_000]
    # The second half of the first split is as large as one that just failed: not tried again.
    assert sorted(offer.out_msat for offer in offers) == [2_500_000] * 2 + [5_000_000, 10_000_000]
    assert offers[-1].at_s - START_S < 600
    assert senders.tally.retries == 4


def test_stubborn_senders_hammer_with_the_same_amount() -> None:
    offers, _ = brought(
        payment(retries=3, splits=False),
        policies={"a": [asks(10)]},
        answer=lambda offer: Outcome.NO_LIQUIDITY,
    )
    assert [offer.out_msat for offer in offers] == [10_000_000] * 4
    assert [offer.at_s - START_S for offer in offers] == [0.0, 60.0, 120.0, 180.0]


def test_retries_are_priced_anew() -> None:
    """A fee raised in between keeps the retry away, as it would a first try."""
    policies = {"a": [asks(100), asks(5_000, since_s=30.0)]}
    offers, senders = brought(
        payment(retries=2, splits=False, propagation_s=0.0, retry_gap_s=60.0),
        policies=policies,
        answer=lambda offer: Outcome.NO_LIQUIDITY,
    )
    assert len(offers) == 1 and senders.tally.too_dear == 1


def test_a_stale_fee_is_paid_anew_at_once_if_the_present_one_suits() -> None:
    def answer(offer: Offer) -> Outcome:
        return Outcome.STALE_FEE if offer.fee_msat < 3_000 else Outcome.TAKEN

    suits = {"a": [asks(100), asks(300, since_s=-10.0)]}
    offers, senders = brought(payment(), policies=suits, answer=answer)
    assert [offer.fee_msat for offer in offers] == [1_000, 3_000]
    assert senders.tally.stale_fee == senders.tally.taken == 1
    dear = {"a": [asks(100), asks(5_000, since_s=-10.0)]}
    offers, _ = brought(payment(), payment(9 * HOUR_S), policies=dear, answer=answer)
    assert [offer.fee_msat for offer in offers] == [1_000]


def test_what_could_not_reach_us_goes_elsewhere_for_an_hour_whatever_the_channel() -> None:
    offers, senders = brought(
        payment(0.0, retries=3, splits=False),
        payment(600.0),
        payment(1200.0, sender=8),
        payment(4200.0),
        policies={"a": [asks(10)], "b": [asks(10)]},
        answer=lambda offer: Outcome.NOT_REACHED,
    )
    assert [offer.at_s - START_S for offer in offers] == [0.0, 1200.0, 4200.0]
    assert senders.tally.not_reached == 3 and senders.tally.retries == 0


def test_steps_of_any_size_bring_the_same_payments() -> None:
    def run(step_s: float) -> list[Offer]:
        market = draw_market(5, channels=6, days=1, ranges=busy())
        senders = Senders(market, channels_of(market), Posted(posted(market, 150)))
        offers: list[Offer] = []

        def forward(offer: Offer) -> Outcome:
            offers.append(offer)
            return Outcome.NO_LIQUIDITY if offer.out_msat % 3 == 0 else Outcome.TAKEN

        at_s = market.start_s
        while at_s < market.end_s:
            at_s += step_s
            senders.step(at_s, forward)
        return offers

    assert len(run(86_400.0)) > 100
    assert run(300.0) == run(3_600.0) == run(86_400.0)


def busy() -> MarketRanges:
    return MarketRanges().fixed(attempts_per_channel_day=100.0)


def channels_of(market: Market) -> dict[int, list[OwnChannel]]:
    result: dict[int, list[OwnChannel]] = {}
    for channel in market.channels:
        own = OwnChannel(f"channel {channel.index}", channel.capacity_sat * 1_000)
        result.setdefault(channel.peer, []).append(own)
    return result


def posted(market: Market, ppm: int) -> dict[str, list[tuple[float, Policy]]]:
    return {f"channel {c.index}": [(0.0, Policy(0, ppm))] for c in market.channels}


def taken(market: Market, ppm: int) -> int:
    senders = Senders(market, channels_of(market), Posted(posted(market, ppm)))
    senders.step(market.end_s, lambda offer: Outcome.TAKEN)
    return senders.tally.taken


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), low=st.integers(0, 2000), more=st.integers(1, 3000))
def test_demand_never_grows_with_the_fee(seed: int, low: int, more: int) -> None:
    market = draw_market(seed, channels=4, days=1, ranges=busy())
    assert taken(market, low) >= taken(market, low + more), seed


def test_demand_is_nearly_all_when_free_and_nothing_when_absurd() -> None:
    market = draw_market(2, channels=8, days=2, ranges=busy())
    attempts = sum(len(day) for day in all_attempts(market))
    fitting = taken(market, 0)
    assert 0.9 * attempts < fitting <= attempts
    assert taken(market, 1_000_000) <= 0.02 * attempts
    assert taken(market, 1_000_000) < taken(market, 150) < fitting


def test_every_policy_faces_the_same_attempts() -> None:
    """Common random numbers: what senders did before changes nothing of what comes."""
    market = draw_market(3, channels=6, days=2, ranges=busy())
    before = joined(list(all_attempts(market)))
    tallies = []
    for ppm, outcome in ((1, Outcome.NO_LIQUIDITY), (4_000, Outcome.TAKEN)):

        def answer(offer: Offer, outcome: Outcome = outcome) -> Outcome:
            return outcome

        senders = Senders(market, channels_of(market), Posted(posted(market, ppm)))
        senders.step(market.end_s, answer)
        tallies.append(senders.tally)
    after = joined(list(all_attempts(market)))
    assert payments_of(before) == payments_of(after)
    assert tallies[0].attempts == tallies[1].attempts == len(before)
    assert tallies[0].offers != tallies[1].offers


def test_channels_come_and_go() -> None:
    posted_now = Posted({"a": [asks(10)], "b": [asks(10)]})
    days = [attempts_of(payment(0.0), payment(100.0), payment(200.0))]
    senders = Senders(MARKET, {OUT: [OwnChannel("a", 50_000_000)]}, posted_now, days)
    seen: list[str] = []

    def forward(offer: Offer) -> Outcome:
        seen.append(offer.out_channel_id)
        return Outcome.TAKEN

    senders.step(START_S + 50, forward)
    senders.remove("a")
    senders.step(START_S + 150, forward)
    senders.add(OUT, OwnChannel("b", 50_000_000))
    senders.step(START_S + 250, forward)
    assert seen == ["a", "b"]


def test_throttled_gossip_passes_a_burst_and_then_one_in_six_hours() -> None:
    gossip = ThrottledGossip()
    assert gossip.observe("a", Policy(0, 1), 0.0)
    passed = [gossip.observe("a", Policy(0, 2 + n), 60.0 * n) for n in range(8)]
    assert passed == [True] * 4 + [False] * 4
    assert gossip.known_at("a", 3_000.0) == Policy(0, 5)
    assert not gossip.observe("a", Policy(0, 50), 5 * HOUR_S)
    assert gossip.observe("a", Policy(0, 60), 7 * HOUR_S)
    assert gossip.known_at("a", 6.9 * HOUR_S) == Policy(0, 5)
    assert gossip.known_at("a", 7 * HOUR_S) == Policy(0, 60)
    assert gossip.known_at("b", 0.0) is None


def test_throttled_senders_miss_the_updates_that_were_dropped() -> None:
    posts: dict[str, list[tuple[float, Policy]]] = {"a": [asks(100)]}
    posts["a"] += [asks(100 + n, since_s=60.0 * n) for n in range(1, 30)]
    for throttled, expected in ((False, 1_290), (True, 1_040)):
        days = [attempts_of(payment(3 * HOUR_S, throttled=throttled))]
        senders = Senders(MARKET, {OUT: [OwnChannel("a", 50_000_000)]}, Posted(posts), days)
        fees: list[int] = []

        def forward(offer: Offer, fees: list[int] = fees) -> Outcome:
            fees.append(offer.fee_msat)
            return Outcome.TAKEN

        for minute in range(200):
            senders.step(START_S + 60.0 * minute, forward)
        assert fees == [expected], throttled


@pytest.mark.parametrize("throttled", [False, True])
def test_before_the_first_policy_the_first_is_known(throttled: bool) -> None:
    offers, _ = brought(
        payment(0.0, propagation_s=9e9, throttled=throttled), policies={"a": [asks(70)]}
    )
    assert [offer.fee_msat for offer in offers] == [700]
