"""Old forwards in the whole house: raw rows go when nobody needs them, and no total ever moves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from cl_revenue_ops.runtime.mailbox import Mailbox
from cl_revenue_ops.runtime.post_office import Box
from messages.base import Answer, Command, Refusal
from messages.forwards import ReadForwardFailures, ReadForwardTotals
from tests.sim.house_traffic import CATCH_UP_S, Traffic, traffic

DAY_S = 86_400.0
EVERY_DAY = {"revenue-ops-flow-interval": "80000", "revenue-ops-fee-interval": "80000"}
TWO_DAYS = {**EVERY_DAY, "revenue-ops-failed-forward-retention-days": "2"}


@contextmanager
def paid(options: dict[str, str], **details: Any) -> Iterator[Traffic]:
    """A house that has taken in three forwards of each kind over either channel."""
    with traffic(options=options, **details) as it:
        for number in range(6):
            for outcome in ("settled", "failed", "local_failed"):
                it.pay(outcome, number)
        it.node.wait_s(CATCH_UP_S)
        it.check()
        it.see()
        yield it


def ask(it: Traffic, kind: type[Command], **fields: Any) -> Any:
    """What the Accountant says to a command."""
    post, clock = it.node.life.house.core.post, it.node.life.house.core.clock
    if "asker" not in post.addresses():
        post.add("asker", Box(Mailbox()))
        post.box("asker").mailbox.set_open(True)
    post.tell("accountant", kind("asked", "asker", clock.monotonic() + 60.0, **fields))
    it.node.settle()
    envelope = post.box("asker").mailbox.take()
    assert envelope is not None
    reply = envelope.message
    assert isinstance(reply, (Answer, Refusal))
    return reply.result if isinstance(reply, Answer) else reply


def counted(it: Traffic) -> dict[str, Any]:
    """Everything that must not move when rows go."""
    shown = it.node.status()["forwards"]
    names = ("settled", "volume_msat", "fees_msat", "failed", "offered", "log_seq")
    return {
        **{name: shown[name] for name in names},
        "totals": ask(it, ReadForwardTotals),
        "total": it.node.query("SELECT * FROM forward_total ORDER BY 1, 2, 3"),
        "failure": it.node.query("SELECT * FROM forward_failure ORDER BY 1, 2, 3"),
    }


def kept(it: Traffic) -> dict[str, int]:
    """How many rows of each status are in the log."""
    rows = it.node.query("SELECT status, count(*) FROM forward_log GROUP BY status")
    return dict(rows)


ALL = {"settled": 6, "failed": 6, "local_failed": 6}


def test_failed_forwards_go_after_thirty_days_and_stay_counted() -> None:
    with paid(EVERY_DAY) as it:
        before = counted(it)
        it.node.wait_s(29.0 * DAY_S)
        assert kept(it) == ALL
        it.node.wait_s(3.0 * DAY_S)
        assert kept(it) == {"settled": 6}
        assert counted(it) == before


def test_settled_forwards_go_where_that_is_set_and_stay_counted() -> None:
    options = {**EVERY_DAY, "revenue-ops-settled-forward-retention-days": "2"}
    with paid(options) as it:
        before = counted(it)
        it.node.wait_s(4.0 * DAY_S)
        assert kept(it) == {"failed": 6, "local_failed": 6}
        assert counted(it) == before
        it.pay("settled")
        it.node.wait_s(CATCH_UP_S)
        assert kept(it) == {"settled": 1, "failed": 6, "local_failed": 6}
        assert counted(it)["settled"] == before["settled"] + 1


def test_what_is_set_now_holds_and_zero_keeps_for_ever() -> None:
    options = {**EVERY_DAY, "revenue-ops-failed-forward-retention-days": "0"}
    with paid(options) as it:
        it.node.wait_s(40.0 * DAY_S)
        assert kept(it) == ALL
        it.node.call("revenue-config", ["set", "failed_forward_retention_days", 50])
        it.node.wait_s(2.0 * DAY_S)
        assert kept(it) == ALL
        it.node.call("revenue-config", ["set", "failed_forward_retention_days", 10])
        it.node.wait_s(3_600.0)
        assert kept(it) == {"settled": 6}


def reread(it: Traffic) -> None:
    """The node's list begins anew, with all that it ever had."""
    it.node.kill()
    with closing(sqlite3.connect(it.node.database)) as connection:
        connection.execute("UPDATE forward_state SET next_created = next_created + 1000")
        connection.commit()
    it.node.start()
    it.node.settle()
    assert any("begin anew" in text for _, text in it.node.life.logs)


def test_a_list_that_begins_anew_counts_nothing_twice() -> None:
    with paid(TWO_DAYS) as it:
        before = counted(it)
        it.node.wait_s(4.0 * DAY_S)
        assert kept(it) == {"settled": 6}
        reread(it)
        assert kept(it) == {"settled": 6}
        assert counted(it) == before
        it.pay("failed")
        it.node.wait_s(CATCH_UP_S)
        assert kept(it) == {"settled": 6, "failed": 1}
        assert counted(it)["failed"] == before["failed"] + 1


def test_a_node_that_gives_its_whole_list_each_time_counts_nothing_twice() -> None:
    with paid(TWO_DAYS, version="v23.05") as it:
        before = counted(it)
        it.node.wait_s(4.0 * DAY_S)
        assert kept(it) == {"settled": 6}
        it.node.wait_s(3 * CATCH_UP_S)
        assert kept(it) == {"settled": 6}
        assert counted(it) == before


def test_a_forward_that_waited_meanwhile_is_counted_when_it_ends() -> None:
    with paid(TWO_DAYS) as it:
        it.pay("pending")
        it.pay("failed")
        it.node.wait_s(4.0 * DAY_S)
        assert kept(it) == {"settled": 6}
        before = counted(it)
        it.resolve("failed")
        it.node.wait_s(CATCH_UP_S)
        after = counted(it)
        assert kept(it) == {"settled": 6, "failed": 1}
        assert (after["failed"], after["offered"]) == (before["failed"] + 1, 0)


@pytest.mark.parametrize("reader", ["flow-analyzer", "fee-controller"])
def test_what_a_follower_has_not_read_stays(reader: str) -> None:
    with paid(TWO_DAYS) as it:
        it.node.restart()
        it.node.settle()
        mailbox = it.node.life.house.core.post.box(reader).mailbox
        mailbox.set_open(False)
        it.node.wait_s(6.0 * DAY_S)
        assert kept(it) == ALL
        mailbox.set_open(True)
        it.node.life.runtime._wake(reader)
        it.node.wait_s(3.0 * DAY_S)
        assert kept(it) == {"settled": 6}


def test_what_a_follower_has_read_goes_and_the_rest_waits_for_it() -> None:
    with paid(TWO_DAYS) as it:
        it.node.wait_s(1.0 * DAY_S)
        mailbox = it.node.life.house.core.post.box("flow-analyzer").mailbox
        mailbox.set_open(False)
        it.pay("failed")
        it.node.wait_s(6.0 * DAY_S)
        assert kept(it) == {"settled": 6, "failed": 1}


def test_nothing_goes_before_the_nodes_list_was_read_to_its_end() -> None:
    with traffic(options=TWO_DAYS, start=False) as it:
        it.node.fault("error", "listforwards")
        it.node.start()
        it.node.settle()
        it.pay("settled")
        it.pay("failed")
        it.node.wait_s(5.0 * DAY_S)
        assert kept(it) == {"settled": 1, "failed": 1}
        it.node.faults.clear()
        it.node.wait_s(3.0 * DAY_S)
        assert kept(it) == {"settled": 1}
        assert it.node.status()["forwards"]["failed"] == 1


def test_a_kill_in_the_midst_of_letting_go_loses_no_count() -> None:
    for messages in (1, 5, 20, 60):
        with paid(TWO_DAYS) as it:
            before = counted(it)
            it.node.wait_s(1.9 * DAY_S)
            it.node.life.die_after(messages)
            it.node.wait_s(DAY_S)
            it.node.restart()
            it.node.wait_s(3.0 * DAY_S)
            assert kept(it) == {"settled": 6}
            assert counted(it) == before


def test_totals_and_failures_are_told_by_scid() -> None:
    with paid(EVERY_DAY) as it:
        one, two = (it.node.world.channels[c].scid for c in (it.one, it.two))
        told = ask(it, ReadForwardTotals)
        by_scid = {row.scid: row for row in told.scids}
        assert by_scid.keys() == {one, two}
        assert [by_scid[s].settled_out for s in (one, two)] == [3, 3]
        assert [by_scid[s].failed_in + by_scid[s].local_failed_in for s in (one, two)] == [6, 6]
        fees_msat = it.node.status()["forwards"]["fees_msat"]
        assert sum(row.out_fees_msat for row in told.scids) == fees_msat > 0
        assert sum(row.in_fees_msat for row in told.scids) == fees_msat
        day, hour = int(it.node.now_s // DAY_S), int(it.node.now_s // 3_600)
        assert ask(it, ReadForwardTotals, from_day=day + 1).scids == ()
        assert ask(it, ReadForwardTotals, until_day=day + 1) == told
        failures = ask(it, ReadForwardFailures, from_hour=hour - 2, until_hour=hour + 1).counts
        assert sum(row.failed_in + row.local_failed_in for row in failures) == 12
        assert sum(row.failed_out + row.local_failed_out for row in failures) == 12
        assert ask(it, ReadForwardFailures, from_hour=hour + 1, until_hour=hour + 2).counts == ()
        refused = ask(it, ReadForwardFailures, from_hour=0, until_hour=hour)
        assert isinstance(refused, Refusal)
        assert refused.invalid
