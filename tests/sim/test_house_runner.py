"""The rebalance runner in the whole house, beside a simulated sling and what goes wrong in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cl_revenue_ops.simnode import sling as sling_plugin
from cl_revenue_ops.simnode.faults import Fault
from cl_revenue_ops.simnode.sling import Sling
from messages.rebalance import (
    MAYBE_STARTED,
    NOT_STARTED,
    STARTED,
    ExecutorView,
    JobOrder,
    OwnPayments,
    ReadExecutor,
    ReadMoney,
    ReadOwnPayments,
    ReadPaymentIndex,
    StartJob,
    StartOutcome,
    StopJob,
)
from tests.sim.house_asking import ask, refusal
from tests.sim.house_support import HouseNode, house_node

RUNNER, READER = "rebalance-runner", "node-reader"
PAYMENT_MSAT = 50_003_000


class Beside(HouseNode):
    """Names for what is asked of a house that has sling beside it."""

    @property
    def executor(self) -> Sling:
        assert self.sling is not None
        return self.sling

    def scid(self, number: int) -> str:
        found = sorted(c.scid for c in self.world.channels.values() if c.scid is not None)
        return found[number]

    def order(self, payments: int = 2, **changes: Any) -> JobOrder:
        order = JobOrder(
            "r1", self.scid(1), (self.scid(0),), PAYMENT_MSAT, payments * PAYMENT_MSAT,
            5_000, 10_000_000, 8,
        )  # fmt: skip
        return order._replace(**changes)

    def view(self) -> ExecutorView:
        view: ExecutorView = ask(self, RUNNER, ReadExecutor)
        return view

    def begin(self, order: JobOrder) -> StartOutcome:
        outcome: StartOutcome = ask(self, RUNNER, StartJob, order)
        return outcome

    def end(self, scid: str) -> None:
        assert ask(self, RUNNER, StopJob, scid) is None

    def own_payments(self, start: int = 0) -> OwnPayments:
        found: OwnPayments = ask(self, READER, ReadOwnPayments, start)
        return found

    def present(self, present: bool) -> None:
        self.plugins.set_present(sling_plugin.NAME, present)
        self.settle()

    def stop_cleanly(self) -> None:
        self.plugins.hosts.clear()
        self.options.unregister(self.life.path)
        self.life.end()
        self.life._read_stdout()


@contextmanager
def beside(version: str | None = sling_plugin.NEWEST, **details: Any) -> Iterator[Beside]:
    """A house with a full channel and an empty one; it has seen sling for long enough."""
    with house_node(kind=Beside, sling=version, **details) as node:
        assert isinstance(node, Beside)
        node.open("full", 1_000_000, 900_000)
        node.open("empty", 1_000_000, 50_000)
        node.wait_s(30)
        ask(node, RUNNER, ReadExecutor)
        node.wait_s(6)
        yield node


def test_a_job_is_begun_watched_and_ended_and_its_payments_are_exact() -> None:
    with beside() as node:
        before = ask(node, READER, ReadPaymentIndex)
        assert node.view().jobs == ()
        assert node.begin(node.order()).outcome == STARTED
        (job,) = node.view().jobs
        assert (job.scid, job.persistent, job.idle) == (node.scid(1), False, False)
        node.wait_s(30)
        (job,) = node.view().jobs
        assert (job.idle, job.words) == (True, "Balanced")
        found = node.own_payments(before + 1)
        assert [p.amount_msat for p in found.completed] == [PAYMENT_MSAT] * 2
        rows = node.call("listsendpays")["payments"]
        spent = sum(row["amount_sent_msat"] - row["amount_msat"] for row in rows)
        assert sum(p.cost_msat for p in found.completed) == spent > 0
        assert found.pending == () and found.next_index == before + 3
        node.end(node.scid(1))
        assert node.view().jobs == ()
        node.end(node.scid(1))


def test_a_pending_payment_is_told_until_it_has_ended() -> None:
    with beside() as node:
        node.executor.slow_payments(600.0)
        node.begin(node.order())
        node.wait_s(10)
        found = node.own_payments()
        assert found.pending == (PAYMENT_MSAT,)
        assert node.own_payments(found.next_index).pending == (PAYMENT_MSAT,)
        node.wait_s(700)
        later = node.own_payments(found.next_index)
        # sling gives a payment up after 120 s and makes another in its place: one too many.
        assert later.pending == () and len(later.completed) == 3


def test_behind_a_closed_gate_no_job_begins_and_one_that_runs_can_be_ended() -> None:
    with beside() as node:
        assert node.begin(node.order(9)).outcome == STARTED
        node.life.gate.close("paused", "by a test")
        assert "paused" in node.begin(node.order()).why
        node.end(node.scid(1))
        assert node.executor.status(node.scid(1)) == []


def test_a_lost_reply_to_the_start_counts_as_may_be_begun() -> None:
    with beside() as node:
        node.executor.lose_reply("sling-once")
        assert node.begin(node.order()).outcome == MAYBE_STARTED
        node.wait_s(30)
        assert len(node.own_payments().completed) == 2


def test_a_start_that_sling_sits_on_may_begin_later_and_is_ended_all_the_same() -> None:
    with beside() as node:
        node.executor.hang(400.0, "sling-once")
        assert node.begin(node.order(9)).outcome == MAYBE_STARTED
        assert "closed the connection" in refusal(node, RUNNER, StopJob, node.scid(1))
        node.wait_s(500)
        node.end(node.scid(1))
        assert node.executor.status(node.scid(1)) == []


def test_the_operators_jobs_are_seen_and_never_touched() -> None:
    with beside() as node:
        job = {
            "scid": node.scid(1), "direction": "pull", "amount": 10_000, "maxppm": 5_000,
            "candidates": [node.scid(0)], "target": 0.9,
        }  # fmt: skip
        node.call("sling-job", job)
        node.call("sling-go", {"scid": node.scid(1)})
        (seen,) = node.view().jobs
        assert seen.persistent
        assert node.begin(node.order()).outcome == NOT_STARTED
        node.end(node.scid(1))
        assert list(node.call("sling-jobsettings")) == [node.scid(1)]
        assert node.executor.status(node.scid(1)) != []
        assert node.calls.get("sling-stop", 0) == node.calls.get("sling-deletejob", 0) == 0


def test_a_job_deleted_right_after_a_start_of_sling_takes_no_other_with_it() -> None:
    with beside() as node:
        node.begin(node.order(9))
        job = {
            "scid": node.scid(0), "direction": "push", "amount": 10_000, "maxppm": 1,
            "outppm": 1, "target": 0.5,
        }  # fmt: skip
        node.call("sling-job", job)
        node.present(False)
        node.present(True)
        assert "less than 5 s" in refusal(node, RUNNER, StopJob, node.scid(1))
        node.wait_s(6)
        node.end(node.scid(1))
        assert list(node.call("sling-jobsettings")) == [node.scid(0)]


def test_without_sling_there_is_no_executor_in_words_and_a_job_ends_by_itself() -> None:
    with beside() as node:
        node.begin(node.order(9))
        node.present(False)
        assert node.view() == ExecutorView("sling", None, "sling is not on this node", ())
        assert node.begin(node.order()).outcome == NOT_STARTED
        node.end(node.scid(1))


def test_one_that_is_too_old_is_none() -> None:
    with beside("v3.1.0") as node:
        view = node.view()
        assert view.version is None and "v3.1.0 is too old" in str(view.trouble)
        assert node.begin(node.order()).outcome == NOT_STARTED


def test_when_sling_hangs_only_the_runner_waits_and_says_so() -> None:
    with beside() as node:
        node.executor.hang(math.inf, "sling-stats")
        assert "sling-stats" in refusal(node, RUNNER, ReadExecutor)
        assert ask(node, READER, ReadPaymentIndex) == 0
        assert node.status()["status"] == "running"


def test_on_the_way_out_what_was_begun_is_asked_to_stop_and_nothing_is_deleted() -> None:
    with beside() as node:
        node.begin(node.order(9))
        node.stop_cleanly()
        assert node.calls["sling-stop"] == 1
        assert "sling-deletejob" not in node.calls
        assert node.executor.status(node.scid(1)) == ["1:Stopped"]


@pytest.mark.parametrize("how", ["ended", "not begun", "sling came anew"])
def test_on_the_way_out_nothing_else_is_touched(how: str) -> None:
    with beside() as node:
        if how == "not begun":
            node.life.gate.close("paused", "by a test")
            node.begin(node.order())
        else:
            node.begin(node.order(9))
        if how == "ended":
            node.end(node.scid(1))
        if how == "sling came anew":
            node.present(False)
            node.present(True)
        stops = node.calls.get("sling-stop", 0)
        node.stop_cleanly()
        assert node.calls.get("sling-stop", 0) == stops


# -- money ---------------------------------------------------------------------------------------


def test_money_is_what_is_on_the_chain_and_in_usable_channels() -> None:
    with beside() as node:
        view, facts = ask(node, READER, ReadMoney)
        onchain = sum(
            o["amount_msat"]
            for o in node.call("listfunds")["outputs"]
            if o["status"] == "confirmed" and not o["reserved"]
        )
        assert (view.onchain_msat, view.channels_msat) == (onchain, 950_000_000)
        assert view.liquid_msat == onchain + 950_000_000 and view.trouble is None
        assert {fact.scid for fact in facts} == {node.scid(0), node.scid(1)}
        assert view.at_s == node.now_s
        full = next(fact for fact in facts if fact.local_msat == 900_000_000)
        node.world.disconnect(full.peer_id)
        view, facts = ask(node, READER, ReadMoney)
        assert view.channels_msat == 50_000_000 and len(facts) == 2


@pytest.mark.parametrize("method", ["listfunds", "listpeerchannels"])
def test_money_of_which_a_part_cannot_be_read_is_not_known(method: str) -> None:
    with beside() as node:
        node.faults.add(Fault("error", method))
        view, _ = ask(node, READER, ReadMoney)
        assert view.liquid_msat is None
        assert "injected fault" in str(view.trouble)
        assert (view.onchain_msat is None) == (method == "listfunds")
        assert (view.channels_msat is None) == (method != "listfunds")


def test_an_index_that_there_cannot_be_is_refused_and_kills_nobody() -> None:
    with beside() as node:
        assert refusal(node, READER, ReadOwnPayments, -1) == "no such index: -1"
        assert refusal(node, RUNNER, StopJob, "all") == "not a short channel id: 'all'"


@pytest.mark.parametrize("version", ["v23.08", "v23.11", "v25.05", "v26.06.6"])
def test_payments_are_found_in_every_era(version: str) -> None:
    with house_node(kind=Beside, version=version) as node:
        assert isinstance(node, Beside)
        first, second = node.open("full", 1_000_000, 900_000), node.open("empty", 1_000_000, 50_000)
        node.wait_s(30)
        assert ask(node, READER, ReadPaymentIndex) == 0
        for _ in range(2):
            node.world.circular_payment(first, second, 70_001_000, 900)
        assert ask(node, READER, ReadPaymentIndex) == 2
        found = node.own_payments(2)
        assert [(p.amount_msat, p.cost_msat) for p in found.completed] == [(70_001_000, 900)]
        assert found.next_index == 3
