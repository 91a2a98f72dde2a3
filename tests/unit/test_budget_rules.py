"""The day's budget as pure rules: what a day may cost, what counts, when something is promised."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cl_revenue_ops.config import default_config
from cl_revenue_ops.domain.budget import rules
from cl_revenue_ops.domain.budget.rules import Terms
from cl_revenue_ops.domain.budget.shown import in_status
from messages.budget import BudgetState, Reservation, SelfPayment

NOW_S = 1_700_000_000.0
DAY_S = 86_400
FIXED = Terms(1_000, 50_000, None)
SHARED = Terms(1_000, 50_000, 0.5)


def paid(completed_s: float, cost_msat: int) -> SelfPayment:
    return SelfPayment("aa" * 32, "1.0", int(completed_s), 100_000, cost_msat)


def held(reserved_msat: int, committed_msat: int = 0, opened_s: float = NOW_S) -> Reservation:
    return Reservation(f"r{reserved_msat}", "rebalancer", opened_s, reserved_msat, committed_msat)


def at_now(
    terms: Terms | None = FIXED,
    reservations: tuple[Reservation, ...] = (),
    ended: tuple[SelfPayment, ...] = (),
    revenue_msat: int | None = 0,
    trouble: str | None = None,
) -> BudgetState:
    return rules.state(NOW_S, terms, reservations, ended, revenue_msat, trouble)


class TestEffective:
    def test_the_settings_make_the_terms(self) -> None:
        config = replace(default_config(), daily_budget_sats=7, min_wallet_reserve=9)
        assert Terms.of(config) == (7_000, 9_000, 0.30)
        assert Terms.of(replace(config, enable_proportional_budget=False)).share is None

    def test_a_fixed_budget_does_not_look_at_the_revenue(self) -> None:
        assert {rules.effective_msat(FIXED, msat) for msat in (0, 10**12)} == {1_000}

    @pytest.mark.parametrize(
        ("revenue_msat", "effective_msat"),
        [(0, 100), (199, 100), (200, 100), (202, 101), (1_000, 500), (1_999, 999), (2_002, 1_000)],
    )
    def test_a_share_of_the_revenue_between_a_tenth_and_all(
        self, revenue_msat: int, effective_msat: int
    ) -> None:
        assert rules.effective_msat(SHARED, revenue_msat) == effective_msat

    @given(st.integers(0, 10**13), st.floats(0, 1), st.integers(0, 10**15))
    def test_it_is_never_above_what_is_configured(
        self, configured_msat: int, share: float, revenue_msat: int
    ) -> None:
        found = rules.effective_msat(Terms(configured_msat, 0, share), revenue_msat)
        assert configured_msat // 10 <= found <= configured_msat


class TestTheDay:
    @given(st.floats(1.6e9, 1.8e9), st.floats(0, 2 * DAY_S))
    @example(NOW_S + 0.9, DAY_S - 0.05)
    def test_what_completed_within_24_hours_counts(self, now_s: float, age_s: float) -> None:
        payment = paid(math.floor(now_s - age_s), 5)
        counts = rules.spent_msat([payment], now_s) == 5
        if now_s - (now_s - age_s) < DAY_S:
            assert counts
        if age_s > DAY_S + 2:
            assert not counts

    def test_a_payment_dated_after_now_counts(self) -> None:
        assert rules.spent_msat([paid(NOW_S + 40 * DAY_S, 5)], NOW_S) == 5

    def test_a_clock_that_is_set_back_frees_nothing(self) -> None:
        payments = [paid(NOW_S - hours * 3_600, 1 + hours) for hours in range(40)]
        before = rules.spent_msat(payments, NOW_S)
        for hours in range(60):
            assert rules.spent_msat(payments, NOW_S - hours * 3_600) >= before

    def test_an_open_reservation_counts_in_full_at_any_age(self) -> None:
        for opened_s in (NOW_S, NOW_S - 90 * DAY_S):
            assert at_now(reservations=(held(300, 120, opened_s),)).reserved_msat == 300

    def test_or_by_its_payments_where_they_are_more(self) -> None:
        assert at_now(reservations=(held(300, 301),)).reserved_msat == 301

    def test_what_is_free_is_the_rest_and_never_less_than_nothing(self) -> None:
        state = at_now(reservations=(held(300),), ended=(paid(NOW_S - 5, 250),))
        assert (state.spent_msat, state.reserved_msat, state.free_msat) == (250, 300, 450)
        assert at_now(reservations=(held(3_000),)).free_msat == 0


class TestGrant:
    def refusal(
        self,
        state: BudgetState,
        amount_msat: int = 100,
        liquid_msat: int | None = 10**9,
        read_s: float = NOW_S,
    ) -> str | None:
        found = rules.refusal(state, amount_msat, liquid_msat, read_s)
        assert found is None or "\n" not in found
        return found

    def test_up_to_the_last_millisatoshi(self) -> None:
        state = at_now(reservations=(held(300),), ended=(paid(NOW_S - 5, 250),))
        assert self.refusal(state, 450) is None
        assert self.refusal(state, 451) == (
            "451 msat are more than the 450 msat left of the day's budget (1000 msat less 250 msat"
            " spent in 24 hours and 300 msat reserved)"
        )

    def test_a_budget_that_was_lowered_promises_nothing_more(self) -> None:
        state = at_now(Terms(100, 0, None), reservations=(held(300),))
        assert "more than the 0 msat left" in str(self.refusal(state, 1))

    @pytest.mark.parametrize("amount_msat", [0, -1, -(10**30)])
    def test_only_positive_amounts(self, amount_msat: int) -> None:
        assert "positive" in str(self.refusal(at_now(), amount_msat))

    def test_c11_what_the_node_holds_must_be_known(self) -> None:
        assert "could not be read" in str(self.refusal(at_now(), liquid_msat=None))

    @pytest.mark.parametrize("age_s", [60.5, 3_600.0, -0.5, math.nan, math.inf])
    def test_and_read_within_a_minute(self, age_s: float) -> None:
        assert "was read" in str(self.refusal(at_now(), read_s=NOW_S - age_s))

    @pytest.mark.parametrize("age_s", [0.0, 59.0, 60.0])
    def test_a_minute_is_enough(self, age_s: float) -> None:
        assert self.refusal(at_now(), read_s=NOW_S - age_s) is None

    def test_the_wallet_reserve_stays_whatever_all_promises_cost(self) -> None:
        state = at_now(reservations=(held(300), held(200, 250)))
        enough_msat = 50_000 + 300 + 250 + 100
        assert self.refusal(state, 100, enough_msat) is None
        assert "wallet reserve" in str(self.refusal(state, 100, enough_msat - 1))

    def test_settings_that_are_not_known(self) -> None:
        state = at_now(terms=None)
        assert (state.trouble, state.free_msat) == (rules.NO_SETTINGS, 0)
        assert self.refusal(state) == f"the budget is shut: {rules.NO_SETTINGS}"

    def test_revenue_that_is_not_known(self) -> None:
        state = at_now(SHARED, revenue_msat=None)
        assert (state.trouble, state.free_msat) == (rules.NO_REVENUE, 0)
        assert self.refusal(state) == f"the budget is shut: {rules.NO_REVENUE}"
        assert self.refusal(at_now(FIXED, revenue_msat=None)) is None

    def test_any_other_trouble(self) -> None:
        state = at_now(trouble="the disk is full")
        assert (state.trouble, state.free_msat) == ("the disk is full", 0)
        assert self.refusal(state) == "the budget is shut: the disk is full"

    def test_a_promise_counts_at_once(self) -> None:
        state = rules.with_promise(at_now(reservations=(held(300),)), held(400))
        assert state == at_now(reservations=(held(300), held(400)))


class TestPayments:
    def test_what_can_be_booked(self) -> None:
        assert rules.unsound([paid(NOW_S, 0), paid(NOW_S, 2**63 - 1)]) is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"payment_hash": ""}, {"cost_msat": -1}, {"cost_msat": 2**63}, {"amount_msat": -1},
            {"amount_msat": 2**63}, {"completed_s": -1}, {"completed_s": 2**63},
        ],
        ids=str,
    )  # fmt: skip
    def test_what_cannot(self, changes: dict[str, object]) -> None:
        wrong = paid(NOW_S, 5)._replace(**changes)  # type: ignore[arg-type]  # the test's own
        assert rules.unsound([paid(NOW_S, 5), wrong]) is not None


def test_clients_read_whole_satoshis_on_the_safe_side() -> None:
    state = rules.state(
        NOW_S, Terms(9_000, 2_000, None), (held(1_001, 7),), (paid(NOW_S, 2_001),), 77
    )
    shown = in_status(state)
    assert shown["daily_spent_sats"] == 3
    assert shown["daily_reserved_sats"] == 2
    assert shown["budget_remaining_sats"] == 5
    assert shown["remaining_msat"] == 9_000 - 1_001 - 2_001
    assert (shown["daily_budget_sats"], shown["effective_budget_sats"]) == (9, 9)
    assert shown["wallet_reserve_sats"] == 2
    assert shown["revenue_msat_per_day"] == 77
    assert shown["trouble"] is None
    assert shown["reservations"] == [
        {
            "job_id": "r1001", "spender": "rebalancer", "opened_at": NOW_S,
            "reserved_msat": 1_001, "committed_msat": 7,
        }
    ]  # fmt: skip
