"""The Accountant's promises on a real file: granted once, kept, ended by proof, fail closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cl_revenue_ops.domain.budget import rules
from cl_revenue_ops.ports import Unavailable
from messages.budget import NEVER_STARTED
from messages.node_books import ChannelMove
from tests.unit.budget_support import START_S, Desk
from tests.unit.test_ledger_ours import take_from

DAY_S = 86_400
A, B = "a" * 64, "b" * 64


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.base.close()


def full_disk() -> None:
    raise Unavailable("the disk is full")


class TestReserve:
    def test_a_promise_is_on_the_disk_before_it_is_told(self, desk: Desk) -> None:
        verdict = desk.reserve("r1", 400)
        assert verdict.refusal is None
        assert (verdict.state.reserved_msat, verdict.state.free_msat) == (400, 600)
        desk.reopened()
        assert desk.book.state() == verdict.state

    def test_together_never_more_than_the_day(self, desk: Desk) -> None:
        assert desk.reserve("r1", 600).refusal is None
        refused = desk.reserve("r2", 401)
        assert refused.refusal is not None and refused.state.reserved_msat == 600
        assert desk.reserve("r3", 400).refusal is None

    def test_asked_again_it_is_the_same_one(self, desk: Desk) -> None:
        first = desk.reserve("r1", 600)
        desk.clock.now_s += 5
        again = desk.reserve("r1", 600)
        assert again.refusal is None
        assert again.state.reservations == first.state.reservations

    def test_also_while_the_budget_is_shut(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.set(daily_budget_sats=0)
        assert desk.reserve("r1", 600, None).refusal is None

    def test_another_amount_or_spender_for_the_same_job_is_refused(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        for verdict in (desk.reserve("r1", 5), desk.reserve("r1", 600, spender="else")):
            assert verdict.refusal == "job r1 has a reservation of 600 msat already"
        assert desk.book.state().reserved_msat == 600

    def test_a_job_that_has_ended_gets_no_other(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.release("r1")
        assert "has ended" in str(desk.reserve("r1", 600).refusal)
        assert desk.book.state().reserved_msat == 0

    @pytest.mark.parametrize("names", [("", "rebalancer"), ("r1", "")])
    def test_it_needs_a_job_and_a_spender(self, desk: Desk, names: tuple[str, str]) -> None:
        assert "needs a job" in str(desk.reserve(names[0], 5, spender=names[1]).refusal)

    def test_what_is_refused_leaves_nothing(self, desk: Desk) -> None:
        assert desk.reserve("r1", 0).refusal is not None
        assert desk.reserve("r2", 5, None).refusal is not None
        assert desk.reserve("r3", 5, age_s=61).refusal is not None
        assert desk.reserve("r4", 5, 4).refusal is not None
        assert [desk.store.reservation(f"r{n}") for n in range(1, 5)] == [None] * 4


class TestFailClosed:
    def test_a_disk_that_takes_nothing(self, desk: Desk) -> None:
        desk.lease.on_effect = full_disk
        verdict = desk.reserve("r1", 600)
        assert verdict.refusal == "the budget is shut: the disk is full"
        assert verdict.state.reserved_msat == 0
        desk.lease.on_effect = lambda: None
        assert desk.book.state().reserved_msat == 0
        assert desk.reserve("r1", 600).refusal is None

    def test_a_store_that_cannot_be_read(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.base.close()
        state = desk.book.state()
        assert state.trouble is not None and state.free_msat == 0
        assert "the budget is shut" in str(desk.reserve("r2", 1).refusal)
        for ask in (desk.release, desk.commit):
            with pytest.raises(Unavailable):
                ask("r1")
        with pytest.raises(Unavailable):
            desk.reconcile()
        desk.reopened()
        assert desk.book.state().reserved_msat == 600

    def test_settings_that_were_never_told(self, desk: Desk) -> None:
        desk.book._terms = None
        verdict = desk.reserve("r1", 1)
        assert verdict.refusal == f"the budget is shut: {rules.NO_SETTINGS}"

    def test_a_row_that_cannot_be_read(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.base.connection().execute("PRAGMA ignore_check_constraints = 1")
        desk.base.connection().execute("UPDATE budget_reservation SET reserved_msat = 'x'")
        line = "the reservation of job r1 in the database cannot be read"
        assert desk.book.state().trouble == line
        assert desk.reserve("r2", 1).refusal == f"the budget is shut: {line}"
        assert desk.reserve("r1", 600).refusal == f"the budget is shut: {line}"
        with pytest.raises(ValueError, match="cannot be read"):
            desk.reconcile()

    def test_revenue_that_is_not_known_matters_to_a_share_of_it(self, desk: Desk) -> None:
        desk.revenue_msat = None
        assert desk.reserve("r1", 1).refusal is None
        desk.set(enable_proportional_budget=True)
        assert desk.reserve("r2", 1).refusal == f"the budget is shut: {rules.NO_REVENUE}"


class TestSettingsAndRevenue:
    def test_the_mean_of_the_last_seven_whole_days(self, desk: Desk) -> None:
        desk.set(enable_proportional_budget=True, proportional_budget_pct=0.5)
        desk.revenue_msat = 801
        state = desk.book.state()
        today = int(START_S // DAY_S)
        assert set(desk.asked_days) == {(today - 7, today)}
        assert (state.revenue_msat_per_day, state.effective_msat) == (801, 400)

    def test_a_lower_budget_ends_no_promise_and_makes_no_new_one(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.set(daily_budget_sats=0)
        assert desk.book.state().reserved_msat == 600
        assert desk.reserve("r2", 1).refusal is not None
        assert desk.commit("r1", desk.pay(1, 600)).reserved_msat == 600


class TestPaymentsAndEnds:
    def test_while_it_is_open_it_counts_in_full(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        state = desk.commit("r1", desk.pay(1, 200))
        assert (state.spent_msat, state.reserved_msat, state.free_msat) == (0, 600, 400)
        assert state.reservations[0].committed_msat == 200

    def test_afterwards_what_it_cost(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.commit("r1", desk.pay(1, 200))
        state = desk.release("r1")
        assert (state.spent_msat, state.reserved_msat, state.free_msat) == (200, 0, 800)

    def test_for_a_day_by_the_time_of_the_payment(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.commit("r1", desk.pay(1, 200, START_S - 3_600))
        desk.release("r1")
        desk.clock.now_s = START_S + 23 * 3_600 - 1
        assert desk.book.state().spent_msat == 200
        desk.clock.now_s = START_S + 23 * 3_600 + 1
        assert desk.book.state().spent_msat == 0

    def test_an_old_reservation_counts_though_its_payments_are_old(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.commit("r1", desk.pay(1, 600))
        desk.clock.now_s += 90 * DAY_S
        assert desk.book.state().reserved_msat == 600
        assert desk.release("r1").spent_msat == 0

    def test_everything_may_be_said_twice(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        payment = desk.pay(1, 200)
        assert desk.commit("r1", payment, payment) == desk.commit("r1", payment)
        assert desk.release("r1") == desk.release("r1") == desk.commit("r1", payment)
        assert desk.log.warnings == desk.log.infos == []

    def test_nobody_needs_to_have_reserved(self, desk: Desk) -> None:
        assert desk.release("r9") == desk.book.state()
        assert desk.commit("r9", desk.pay(1, 200)).spent_msat == 200
        assert desk.log.warnings == [
            "budget: job r9 has cost 200 msat, 0 msat were reserved for it"
        ]

    def test_a_late_payment_is_booked_and_counts(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.commit("r1", desk.pay(1, 200))
        desk.release("r1")
        assert desk.commit("r1", desk.pay(2, 400)).spent_msat == 600
        assert desk.log.warnings == []
        assert desk.log.infos == ["budget: a late payment of job r1, within what was reserved"]

    def test_over_the_promise_it_is_warned_about_and_counts(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        assert desk.commit("r1", desk.pay(1, 601)).reserved_msat == 601
        desk.release("r1")
        assert desk.commit("r1", desk.pay(2, 1_000)).spent_msat == 1_601
        assert desk.log.warnings == [
            f"budget: job r1 has cost {msat} msat, 600 msat were reserved for it"
            for msat in (601, 1_601)
        ]
        assert desk.reserve("r2", 1).refusal is not None

    def test_a_payment_of_two_jobs_counts_once_and_is_told(self, desk: Desk) -> None:
        desk.reserve("r1", 300)
        desk.reserve("r2", 300)
        desk.commit("r1", desk.pay(1, 100))
        assert [r.committed_msat for r in desk.commit("r2", desk.pay(1, 100)).reservations] == [
            100,
            0,
        ]
        assert "on record already" in desk.log.warnings[0]

    def test_what_cannot_be_a_payment_is_not_taken_nor_what_comes_with_it(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        with pytest.raises(ValueError, match="cannot be"):
            desk.commit("r1", desk.pay(1, 5), desk.pay(2, -5))
        with pytest.raises(ValueError, match="need a job"):
            desk.commit("", desk.pay(1, 5))
        assert desk.book.state().reservations[0].committed_msat == 0

    def test_only_the_two_proofs_end_a_reservation(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        for proof in ("", "timed out"):
            with pytest.raises(ValueError, match="no proof"):
                desk.release("r1", proof)
        assert desk.book.state().reserved_msat == 600
        assert desk.release("r1", NEVER_STARTED).reserved_msat == 0

    def test_what_has_paid_was_started(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.commit("r1", desk.pay(1, 0))
        assert desk.release("r1", NEVER_STARTED).reserved_msat == 0
        desk.reserve("r2", 600)
        desk.commit("r2", desk.pay(2, 1))
        with pytest.raises(ValueError, match="was started"):
            desk.release("r2", NEVER_STARTED)
        assert desk.book.state().reserved_msat == 600


class TestReconcile:
    def test_what_was_never_started_ends(self, desk: Desk) -> None:
        for number in (1, 2, 3):
            desk.reserve(f"r{number}", 100)
        desk.reserve("x1", 100, spender="another")
        state = desk.reconcile("r2")
        assert [row.job_id for row in state.reservations] == ["r2", "x1"]
        assert desk.reconcile("r2", "r77") == state

    def test_where_it_has_paid_that_is_told_and_counts(self, desk: Desk) -> None:
        desk.reserve("r1", 600)
        desk.commit("r1", desk.pay(1, 200))
        assert desk.reconcile().spent_msat == 200
        assert "has paid 200 msat" in desk.log.warnings[0]


class TestCharging:
    """The account of a fee follows the payments that are told, also over a crash."""

    def moves(self, desk: Desk) -> None:
        name = desk.pay(1, 3).payment_hash
        rows = [
            ChannelMove(1, B, "invoice", 100, 0, 0, int(START_S), name),
            ChannelMove(2, A, "invoice", 0, 103, 3, int(START_S), name, 0, 1),
        ]
        take_from(desk.ledger, rows, desk.store.ours)

    def account(self, desk: Desk) -> str:
        (found,) = [a for a, _ in desk.ledger.totals(0, None) if a.startswith("expenses:")]
        return found

    def test_movement_first(self, desk: Desk) -> None:
        self.moves(desk)
        assert self.account(desk) == f"expenses:other-rebalance:{B}"
        desk.commit("r1", desk.pay(1, 3))
        assert self.account(desk) == f"expenses:rebalance:{B}"
        assert desk.store.uncharged() == ()

    def test_job_first(self, desk: Desk) -> None:
        desk.commit("r1", desk.pay(1, 3))
        self.moves(desk)
        assert self.account(desk) == f"expenses:rebalance:{B}"

    @pytest.mark.parametrize("effects", [1, 2])
    @pytest.mark.parametrize("again", ["told", "born"])
    def test_a_crash_in_between(self, desk: Desk, effects: int, again: str) -> None:
        self.moves(desk)
        left = [effects]

        def die() -> None:
            left[0] -= 1
            if left[0] < 0:
                full_disk()

        desk.lease.on_effect = die
        with pytest.raises(Unavailable):
            desk.commit("r1", desk.pay(1, 3))
        assert desk.store.uncharged() != ()
        desk.lease.on_effect = lambda: None
        if again == "told":
            desk.commit("r1", desk.pay(1, 3))
        else:
            desk.reopened()
        assert desk.store.uncharged() == ()
        assert self.account(desk) == f"expenses:rebalance:{B}"
        assert desk.ledger.newest() == 3
