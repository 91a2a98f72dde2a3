"""The budget of the whole house: promises by message, revenue from forwards, ours in the books."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from cl_revenue_ops.domain.budget import rules
from cl_revenue_ops.runtime.mailbox import Mailbox
from cl_revenue_ops.runtime.post_office import Box
from messages.base import Answer, Command, Refusal
from messages.budget import (
    STOPPED,
    BudgetState,
    CommitSpend,
    ReadBudget,
    ReconcileReservations,
    ReleaseBudget,
    ReserveBudget,
    SelfPayment,
    Verdict,
)
from tests.sim.house_books import Story, books, reconciled, wrong
from tests.sim.house_support import HouseNode, house_node

KILLS = int(os.environ.get("REVENUE_OPS_BUDGET_KILLS", "25"))
SEED = int(os.environ.get("REVENUE_OPS_BUDGET_SEED", "1"))
RICH_MSAT = 10**13
DAY_S = 86_400.0


def said(node: HouseNode, kind: type[Command], **fields: Any) -> Any:
    """The Accountant's reply; None where the house died before it came."""
    post, clock = node.life.house.core.post, node.life.house.core.clock
    if "asker" not in post.addresses():
        post.add("asker", Box(Mailbox()))
        post.box("asker").mailbox.set_open(True)
    post.tell("accountant", kind("asked", "asker", clock.monotonic() + 600.0, **fields))
    node.settle()
    envelope = post.box("asker").mailbox.take()
    return None if envelope is None else envelope.message


def told(node: HouseNode, kind: type[Command], **fields: Any) -> Any:
    """What it answers; a refusal fails the test."""
    reply = said(node, kind, **fields)
    assert isinstance(reply, Answer), reply
    return reply.result


def wanted(node: HouseNode, job_id: str, amount_msat: int) -> dict[str, Any]:
    return {
        "job_id": job_id, "spender": "tester", "amount_msat": amount_msat,
        "liquid_msat": RICH_MSAT, "read_s": node.life.runtime.clock.now(),
    }  # fmt: skip


def reserve(node: HouseNode, job_id: str, amount_msat: int) -> Verdict:
    verdict = told(node, ReserveBudget, **wanted(node, job_id, amount_msat))
    assert isinstance(verdict, Verdict)
    return verdict


def state(node: HouseNode) -> BudgetState:
    found = told(node, ReadBudget)
    assert isinstance(found, BudgetState)
    return found


def as_listed(row: dict[str, Any]) -> SelfPayment:
    """A payment to ourselves as listsendpays has it."""
    cost_msat = row["amount_sent_msat"] - row["amount_msat"]
    part = f"{row['groupid']}.{row['partid']}"
    return SelfPayment(
        row["payment_hash"], part, row["completed_at"], row["amount_msat"], cost_msat
    )


def fixed(node: HouseNode, sats: int) -> None:
    node.call("revenue-config", ["set", "enable_proportional_budget", "false"])
    node.call("revenue-config", ["set", "daily_budget_sats", sats])


def test_the_life_of_a_promise_and_what_the_status_shows() -> None:
    with house_node() as node:
        one, two = (node.open(name, 2_000_000, 1_000_000) for name in ("one", "two"))
        fixed(node, 5)
        assert reserve(node, "r1", 4_000).refusal is None
        refused = reserve(node, "r2", 1_001)
        assert refused.refusal is not None and "1000 msat left" in refused.refusal
        row = node.world.circular_payment(one, two, 1_000_000, 1_500)
        told(node, CommitSpend, job_id="r1", payments=(as_listed(row),))
        shown = node.status()["budget"]
        assert {
            "daily_budget_sats": 5, "effective_budget_sats": 5, "daily_spent_sats": 0,
            "daily_reserved_sats": 4, "budget_remaining_sats": 1, "wallet_reserve_sats": 1_000_000,
            "trouble": None,
        }.items() <= shown.items()  # fmt: skip
        assert [r["committed_msat"] for r in shown["reservations"]] == [1_500]
        ended = told(node, ReleaseBudget, job_id="r1", proof=STOPPED)
        assert (ended.spent_msat, ended.reserved_msat, ended.free_msat) == (1_500, 0, 3_500)
        assert node.status()["budget"]["spent_msat"] == 1_500
        # Time alone frees it, and the status follows without being asked for anything.
        node.wait_s(DAY_S + 700.0)
        assert node.status()["budget"]["spent_msat"] == 0


def test_what_must_not_be_asked_is_refused_and_the_house_goes_on() -> None:
    with house_node() as node:
        bad = SelfPayment("aa" * 32, "1.0", 5, 100, -1)
        for reply in (
            said(node, CommitSpend, job_id="r1", payments=(bad,)),
            said(node, ReleaseBudget, job_id="r1", proof="it is old"),
        ):
            assert isinstance(reply, Refusal) and reply.invalid
        assert node.status()["actors"]["accountant"]["restarts"] == 0


def test_a_new_setting_holds_for_the_next_promise() -> None:
    with house_node() as node:
        fixed(node, 5)
        assert reserve(node, "r1", 4_000).refusal is None
        node.call("revenue-config", ["set", "daily_budget_sats", 1])
        assert node.status()["budget"]["effective_budget_sats"] == 1
        assert state(node).reserved_msat == 4_000
        assert reserve(node, "r2", 1).refusal is not None


def test_the_wallet_reserve_of_the_settings() -> None:
    with house_node() as node:
        fixed(node, 5)
        reserve_msat = 1_000_000_000
        asked = wanted(node, "r1", 2_000) | {"liquid_msat": reserve_msat + 1_999}
        assert "wallet reserve" in str(told(node, ReserveBudget, **asked).refusal)
        assert (
            told(node, ReserveBudget, **asked | {"liquid_msat": reserve_msat + 2_000}).refusal
            is None
        )


def test_a_share_of_what_the_last_seven_whole_days_really_earned() -> None:
    with house_node() as node:
        one, two = (node.open(name, 20_000_000, 10_000_000) for name in ("one", "two"))
        node.call("revenue-config", ["set", "daily_budget_sats", 100])
        node.call("revenue-config", ["set", "proportional_budget_pct", 0.5])
        assert state(node).effective_msat == 10_000
        node.wait_s(DAY_S - node.now_s % DAY_S)
        earned: list[int] = []
        for day in range(9):
            fee_msat = 0
            for ends in ((one, two), (two, one)):
                row = node.pay(*ends, 1_000_000_000 + 200_000_000 * day)
                assert row.status == "settled"
                fee_msat += row.in_msat - row.out_msat
            earned.append(fee_msat)
            # What is earned today is for tomorrow.
            assert state(node).revenue_msat_per_day == sum(earned[:-1][-7:]) // 7
            node.wait_s(DAY_S)
            found = state(node)
            mean_msat = sum(earned[-7:]) // 7
            assert found.revenue_msat_per_day == mean_msat
            assert found.effective_msat == min(100_000, max(mean_msat // 2, 10_000))
        assert state(node).effective_msat > 10_000


def test_until_the_forwards_are_caught_up_a_share_of_them_is_nothing() -> None:
    with house_node(start=False) as node:
        node.fault("error", "listforwards")
        node.fault("error", "wait")
        node.start()
        node.settle()
        refused = reserve(node, "r1", 1)
        assert refused.refusal == f"the budget is shut: {rules.NO_REVENUE}"
        assert node.status()["budget"]["trouble"] == rules.NO_REVENUE
        fixed(node, 5)
        assert reserve(node, "r1", 1).refusal is None
        node.call("revenue-config", ["set", "enable_proportional_budget", "true"])
        assert reserve(node, "r2", 1).refusal is not None
        node.faults.clear()
        node.wait_s(300.0)
        assert reserve(node, "r3", 1).refusal is None
        assert node.status()["budget"]["trouble"] is None


def test_once_they_are_caught_up_the_status_says_so_at_once() -> None:
    with house_node() as node:
        assert node.status()["forwards"]["caught_up"] is True
        assert node.status()["budget"]["trouble"] is None


def test_on_a_full_disk_nothing_is_promised() -> None:
    with house_node() as node:
        fixed(node, 5)
        assert reserve(node, "r1", 1_000).refusal is None
        with node.life.full_disk() as make_room:
            refused = reserve(node, "r2", 1_000)
            assert refused.refusal is not None and "the budget is shut" in refused.refusal
            late = said(
                node, CommitSpend, job_id="r1", payments=(SelfPayment("aa" * 32, "1.0", 5, 9, 9),)
            )
            assert isinstance(late, Refusal) and "could not be stored" in late.reason
            assert isinstance(said(node, ReleaseBudget, job_id="r1", proof=STOPPED), Refusal)
            make_room()
            assert [row.job_id for row in state(node).reservations] == ["r1"]
            assert reserve(node, "r2", 1_000).refusal is None
        assert node.status()["actors"]["accountant"]["restarts"] == 0


def test_what_the_spender_does_not_know_of_ends_at_its_boot() -> None:
    with house_node() as node:
        fixed(node, 5)
        for number in range(3):
            reserve(node, f"r{number}", 1_000)
        node.restart()
        node.settle()
        assert state(node).reserved_msat == 3_000
        fields = {"spender": "tester", "open_jobs": ("r1",)}
        found = told(node, ReconcileReservations, **fields)
        assert [row.job_id for row in found.reservations] == ["r1"]


def ours(node: HouseNode) -> tuple[int, int]:
    """What the books have as rebalances of ours and of other tools, msat."""
    rows = books(node).channels
    return sum(c.rebalance_msat for c in rows), sum(c.other_rebalance_msat for c in rows)


@pytest.mark.parametrize("details", [{}, {"version": "v24.11"}], ids=str)
@pytest.mark.parametrize("told_first", [True, False])
def test_the_books_know_ours_from_others(told_first: bool, details: dict[str, Any]) -> None:
    with house_node(**details) as node:
        one, two = (node.open(name, 5_000_000, 2_500_000) for name in ("one", "two"))
        node.wait_s(1_000.0)
        rows = node.world.circular_parts([(one, two, 1_000_000, 700), (one, two, 2_000_000, 800)])
        node.world.circular_payment(one, two, 3_000_000, 40)
        if not told_first:
            node.wait_s(1_000.0)
            assert ours(node) == (0, 1_540)
        for row in rows:
            told(node, CommitSpend, job_id="r1", payments=(as_listed(row),))
        if told_first:
            node.wait_s(1_000.0)
        assert ours(node) == (1_500, 40)
        filled = {c.channel_id: c.rebalance_msat for c in books(node).channels}
        assert filled == {one: 0, two: 1_500}
        node.restart()
        node.settle()
        node.wait_s(1_000.0)
        assert ours(node) == (1_500, 40)
        assert not wrong(reconciled(node))


def test_what_was_recorded_and_not_charged_when_the_process_ended_is_charged_at_boot() -> None:
    with house_node() as node:
        one, two = (node.open(name, 5_000_000, 2_500_000) for name in ("one", "two"))
        row = as_listed(node.world.circular_payment(one, two, 1_000_000, 700))
        node.wait_s(1_000.0)
        node.kill()
        with closing(sqlite3.connect(node.database)) as base, base:
            base.execute(
                "INSERT INTO budget_payment (job_id, payment_hash, part, completed_s, amount_msat,"
                " cost_msat) VALUES ('r1', ?, ?, ?, ?, ?)",
                (bytes.fromhex(row.payment_hash), *row[1:]),
            )
        assert ours_by_file(node) == (0, 700)
        node.restart()
        node.settle()
        assert ours(node) == (700, 0)


def ours_by_file(node: HouseNode) -> tuple[int, int]:
    """As `ours`, while there is no house to be asked."""
    sums = dict(
        node.query(
            "SELECT substr(name, 1, 16), sum(amount_msat) FROM ledger_total JOIN ledger_account"
            " ON id = account_id WHERE span = 0 AND name LIKE 'expenses:%rebalance:%' GROUP BY 1"
        )
    )
    return sums.get("expenses:rebalan", 0), sums.get("expenses:other-r", 0)


def test_killed_anywhere_promises_payments_and_books_are_the_same_in_the_end() -> None:
    """A spender says everything until it is answered, to a house that dies again and again."""
    draw = random.Random(SEED)
    promised: dict[str, int] = {}
    paid: dict[str, list[SelfPayment]] = {}
    kills = 0

    with house_node(seed=SEED) as node:
        story = Story(node, SEED)
        fixed(node, 1_000_000)

        def until_answered(kind: type[Command], **fields: Any) -> Any:
            nonlocal kills
            while True:
                if kills < KILLS:
                    node.life.die_after(draw.randint(0, 60))
                node.wait_s(draw.choice([0.0, 30.0, 700.0]))
                if "read_s" in fields:
                    fields["read_s"] = node.life.runtime.clock.now()
                reply = said(node, kind, **fields) if node.life.alive else None
                node.life.dies_when = lambda: False
                if not node.life.alive:
                    node.restart()
                    node.settle()
                    kills += 1
                elif reply is not None:
                    assert isinstance(reply, Answer), (SEED, reply)
                    return reply.result

        number = 0
        while kills < KILLS:
            number += 1
            job, amount_msat = f"r{number}", draw.randint(10_000, 50_000)
            for _ in range(3):
                story.step()
            fields = wanted(node, job, amount_msat)
            verdict = until_answered(ReserveBudget, **fields)
            assert verdict.refusal is None, (SEED, verdict.refusal)
            promised[job] = amount_msat
            one, two = draw.sample(story.open, 2)
            row = node.world.circular_payment(one, two, 1_000_000 + number, draw.randint(1, 9_999))
            paid[job] = [as_listed(row)] if row["status"] == "complete" else []
            until_answered(CommitSpend, job_id=job, payments=tuple(paid[job]))
            if draw.random() < 0.5:
                until_answered(ReleaseBudget, job_id=job, proof=STOPPED)
                promised.pop(job)
        found = state(node)
        assert {r.job_id: r.reserved_msat for r in found.reservations} == promised, SEED
        story.end()
        node.wait_s(1.1 * DAY_S)
        cost_msat = sum(row.cost_msat for rows in paid.values() for row in rows)
        assert cost_msat > 0
        assert ours(node)[0] == cost_msat, SEED
        assert not wrong(reconciled(node)), SEED
        (stored,) = node.query("SELECT sum(cost_msat), min(charged) FROM budget_payment")
        assert stored == (cost_msat, 1)
