"""Catching up with the node, case by case: backlog, overflow, spoilt pages, old and new nodes."""

from __future__ import annotations

import itertools
import json

import pytest

from actors import accountant
from cl_revenue_ops.runtime.actor import Parked
from cl_revenue_ops.simnode.era import Era
from cl_revenue_ops.simnode.forward_log import ForwardLog
from tests.sim.house_traffic import CATCH_UP_S, traffic

OLD = "v23.05"


def test_five_hundred_events_in_one_instant_are_all_taken() -> None:
    with traffic() as it:
        it.node.fault("error", "listforwards")
        with it.node.life.held(10_000):
            for number in range(250):
                it.pay("settled", number)
        it.node.settle()
        it.check()
        health = it.node.status()["actors"]["accountant"]
        assert (health["dropped"], it.node.status()["forwards"]["hints"]) == (0, 500)


def test_a_full_mailbox_drops_hints_and_reads_the_list_at_once() -> None:
    with traffic() as it:
        with it.node.life.held(mailbox_limit=3):
            for number in range(30):
                it.pay("settled", number)
        it.node.settle()
        it.check()
        assert it.node.status()["actors"]["accountant"]["dropped"] == 57


def test_a_peer_that_connects_makes_the_house_read_at_once() -> None:
    with traffic() as it:
        it.node.fault("lost", "forward_event")
        it.pay("settled")
        it.node.settle()
        assert it.stored() == {}
        peer = it.node.world.channels[it.one].peer_id
        it.node.world.disconnect(peer)
        it.node.world.connect(peer)
        it.node.settle()
        it.check()


@pytest.mark.parametrize("outcome", ["settled", "failed", "local_failed"])
def test_without_any_notification_the_regular_reading_finds_it(outcome: str) -> None:
    with traffic() as it:
        it.node.fault("lost", "forward_event")
        it.pay("pending")
        it.pay(outcome)
        it.node.wait_s(CATCH_UP_S)
        it.check()
        it.resolve(outcome)
        it.node.wait_s(CATCH_UP_S)
        it.check()
        assert len(it.stored()) == 2


def test_a_calm_node_is_asked_for_its_newest_indexes_and_lists_nothing() -> None:
    with traffic() as it:
        it.node.wait_s(CATCH_UP_S)
        before = dict(it.node.calls)
        it.node.wait_s(12 * accountant.CATCH_UP_S)
        # Forwards every 20 minutes, movements every ten, two indexes each; one comparison.
        assert 24 + 48 <= it.node.calls["wait"] - before["wait"] <= 24 + 48 + 12
        for method in ("listforwards", "listchannelmoves", "listchainmoves"):
            assert it.node.calls[method] == before[method]


def test_a_backlog_is_read_in_pages_and_a_kill_goes_on_where_it_stopped() -> None:
    with traffic(history=5_300, start=False) as it:
        it.node.start()
        it.node.life.dies_when = lambda: it.node.any("forward_state WHERE next_created > 3000")
        it.node.settle()
        assert not it.node.life.alive
        pages = it.node.calls["listforwards"]
        it.node.restart()
        it.node.settle()
        it.check()
        # The three pages left, and what has changed since.
        assert it.node.calls["listforwards"] - pages <= 4


def test_an_old_node_gives_its_whole_list_in_pieces() -> None:
    with traffic(history=2_500, version=OLD) as it:
        it.check()
        it.node.fault("lost", "forward_event")
        it.pay("settled")
        it.node.wait_s(CATCH_UP_S)
        it.check()
        assert it.node.status()["forwards"]["trouble"] is None


def test_an_upgraded_node_is_read_by_index_whatever_its_old_list_had_shown() -> None:
    with traffic(history=2_500, version=OLD, start=False) as it:
        log = it.node.world.forwards
        in_order = log.page
        log.page = lambda *args: in_order(*args)[::-1]  # type: ignore[method-assign]
        it.node.start()
        it.node.life.dies_when = lambda: it.node.any("forward_log")
        it.node.settle()
        it.node.kill()
        assert 0 < len(it.stored()) < 2_500
        log.page = in_order  # type: ignore[method-assign]
        it.node.world.era = Era("v24.11")
        it.node.start()
        it.node.settle()
        it.check()


def test_a_node_that_stops_paging_in_the_middle_is_read_anew() -> None:
    with traffic(history=1_500) as it:
        it.node.fault("lost", "forward_event")
        it.pay("pending")
        it.node.wait_s(CATCH_UP_S)
        it.pay("settled")
        pages = itertools.count()

        def refuse_the_second(method: str) -> None:
            if method == "listforwards" and next(pages) == 1:
                it.node.fault("error", method, count=1, code=-32602)

        it.node.asked = refuse_the_second
        it.node.wait_s(CATCH_UP_S)
        assert next(pages) > 2
        # Until the house asks again whether the node can page.
        it.node.wait_s(3_600.0 + CATCH_UP_S)
        it.resolve("settled")
        it.node.wait_s(CATCH_UP_S)
        it.check()


@pytest.mark.parametrize("kind", ["wrong_type", "nulls"])
@pytest.mark.parametrize("outcome", ["local_failed", "settled", "pending"])
def test_rows_that_cannot_be_read_for_a_moment_are_looked_at_again(kind: str, outcome: str) -> None:
    for seed in range(6):
        with traffic(seed=seed) as it:
            it.node.fault("lost", "forward_event")
            it.pay(outcome)
            it.node.fault(kind, "listforwards", count=2)
            it.node.wait_s(CATCH_UP_S)
            it.check()


def test_a_row_that_never_can_be_read_is_counted_and_does_not_stop_the_rest() -> None:
    with traffic(history=1_500, start=False) as it:
        # A settled forward that names no outgoing channel cannot become revenue.
        it.node.world.forwards.out_scid[700] = 0
        it.node.start()
        it.node.settle()
        shown = it.node.status()["forwards"]
        assert (shown["log_seq"], shown["malformed"], shown["caught_up"]) == (1_499, 1, True)
        it.pay("settled")
        it.node.wait_s(CATCH_UP_S)
        assert it.node.status()["forwards"]["malformed"] == 1
        assert len(it.stored()) == 1_500


def test_a_list_that_begins_anew_is_read_from_its_start() -> None:
    with traffic() as it:
        for number in range(20):
            it.pay("settled", number)
        it.node.settle()
        it.node.wait_s(CATCH_UP_S)
        it.check()
        it.see()
        it.node.kill()
        # The node was set up again from an older copy: its list is short, its channels live on.
        it.node.world.forwards = ForwardLog()
        it.node.fault("lost", "forward_event")
        for number in range(5):
            it.pay("settled", number)
        it.pay("pending")
        it.node.start()
        it.node.settle()
        it.check()
        assert any("begin anew" in text for _, text in it.node.life.logs)
        it.resolve("settled")
        it.node.wait_s(CATCH_UP_S)
        it.check()


@pytest.mark.parametrize("kind", ["error", "timeout", "truncated"])
@pytest.mark.parametrize("method", ["wait", "listforwards"])
def test_a_reader_that_fails_is_shown_and_tried_again(kind: str, method: str) -> None:
    with traffic() as it:
        it.node.fault("lost", "forward_event")
        it.pay("settled")
        rule = it.node.fault(kind, method)
        it.node.wait_s(CATCH_UP_S)
        assert it.stored() == {}
        assert it.node.status()["forwards"]["trouble"]
        assert rule is not None
        it.node.faults.clear()
        # Where the breaker had opened, it waits a minute longer.
        it.node.wait_s(accountant.RETRY_S + (61.0 if kind == "timeout" else 1.0))
        it.check()
        assert it.node.status()["forwards"]["trouble"] is None


def test_a_reader_that_hangs_is_replaced_and_nothing_is_lost() -> None:
    with traffic() as it:
        it.node.fault("lost", "forward_event")
        it.pay("settled")
        calls = itertools.count()

        def hang_once(method: str) -> None:
            if method == "listforwards" and next(calls) == 0:
                raise Parked

        it.node.asked = hang_once
        it.node.wait_s(2 * CATCH_UP_S)
        it.check()
        assert it.node.status()["actors"]["node-reader"]["restarts"] == 1


def test_a_wrong_hint_is_corrected_by_the_list_and_corrects_nothing_itself() -> None:
    with traffic() as it:
        it.pay("settled")
        told = it.node.life.withdraw()
        it.node.life.feed([_with_a_larger_fee(line) for line in told])
        it.node.settle()
        assert [row.fee_msat for row in it.stored().values()] != [11]
        it.node.wait_s(CATCH_UP_S)
        it.check()
        it.node.life.feed([_with_a_larger_fee(line) for line in told])
        it.node.settle()
        it.check()


def _with_a_larger_fee(line: bytes) -> bytes:
    message = json.loads(line)
    event = message["params"]["forward_event"]
    event["in_msat"] += 5_000
    event["fee_msat"] += 5_000
    return json.dumps(message).encode()
