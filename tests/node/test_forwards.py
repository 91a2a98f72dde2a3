"""Every forward is counted exactly once, msat for msat, whatever happens to the plugin."""

from __future__ import annotations

import threading
import time

import pytest

from tests.node.line import Line, Row, wait_for

KINDS = ("simulated", "elder", "real")
AMOUNTS_MSAT = (1, 999, 1_001, 123_457, 10_000_019, 25_000_000)


def key(row: Row) -> tuple[str, int]:
    return row["in_channel"], row["in_htlc_id"]


def pay_many(line: Line, count: int, first_msat: int) -> threading.Thread:
    """Pay one after the other on a thread of its own."""

    def work() -> None:
        for number in range(count):
            line.pay(first_msat + number)

    worker = threading.Thread(target=work)
    worker.start()
    return worker


def test_settled_forwards_equal_those_of_the_node(line: Line) -> None:
    before = {key(row) for row in line.forwards("settled")}
    first = line.wait_counted()
    for amount_msat in AMOUNTS_MSAT:
        line.pay(amount_msat)
    shown = line.wait_counted()
    rows = [row for row in line.forwards("settled") if key(row) not in before]
    assert shown["settled"] - first["settled"] == len(rows) == len(AMOUNTS_MSAT)
    assert shown["volume_msat"] - first["volume_msat"] == sum(row["out_msat"] for row in rows)
    assert shown["fees_msat"] - first["fees_msat"] == sum(row["fee_msat"] for row in rows)


def test_failed_forwards_earn_nothing(line: Line) -> None:
    line.pay(700_000)
    line.pay(800_000, "failed")
    line.pay(900_000, "refused")
    line.pay(1_000_000)
    shown = line.wait_counted()
    assert shown["malformed"] == 0


def test_a_payment_on_its_way_is_no_revenue_yet(line: Line) -> None:
    with line.held_payment(555_000):
        assert line.wait_counted()["offered"] == 1
    assert line.wait_counted()["offered"] == 0


def test_payments_while_it_was_stopped_are_found_again(line: Line) -> None:
    line.stop_plugin()
    line.pay(1_111_000)
    line.pay(1_112_000, "failed")
    line.pay(1_113_000, "refused")
    line.pay(1_114_000)
    line.start_plugin()
    line.wait_counted()


def test_a_payment_that_settled_while_it_was_stopped_is_settled(line: Line) -> None:
    with line.held_payment(222_000):
        line.wait_counted()
        line.stop_plugin()
    line.start_plugin()
    line.wait_counted()


def test_a_row_that_was_read_as_offered_is_read_again_when_it_has_changed(line: Line) -> None:
    with line.held_payment(232_000):
        line.stop_plugin()
        line.start_plugin()
        assert line.wait_counted()["offered"] == 1
        line.stop_plugin()
    line.start_plugin()
    line.wait_counted()


@pytest.mark.parametrize("end", ["kill_plugin", "stop_plugin"])
def test_an_end_in_the_middle_of_payments_loses_and_doubles_nothing(line: Line, end: str) -> None:
    for round_ in range(2):
        wanted = line.tally.settled + 4
        worker = pay_many(line, 12, 10_000 * (round_ + 1))
        while line.tally.settled < wanted and worker.is_alive():
            time.sleep(0.01)
        getattr(line, end)()
        time.sleep(0.05)
        line.start_plugin()
        worker.join()
        line.wait_counted()


def test_a_kill_while_a_payment_is_held_changes_nothing(line: Line) -> None:
    with line.held_payment(321_000):
        line.wait_counted()
        line.kill_plugin()
        line.start_plugin()
        assert line.wait_counted()["offered"] == 1
    line.wait_counted()


def test_a_restart_of_the_node_changes_nothing(line: Line) -> None:
    line.pay(2_000_000)
    line.restart_node()
    line.wait_ready()
    line.pay(3_000_000)
    line.wait_counted()


def test_rows_that_the_operator_deletes_stay_counted(line: Line) -> None:
    line.pay(400_001)
    line.wait_counted()
    row = line.forwards("settled")[-1]
    names = ("in_channel", "in_htlc_id", "status")
    line.call("delforward", {name: row[name] for name in names})
    assert key(row) not in {key(left) for left in line.forwards()}
    line.pay(400_002)
    line.wait_counted()
    line.stop_plugin()
    line.start_plugin()
    line.wait_counted()


def test_rows_that_autoclean_deletes_stay_counted(line: Line) -> None:
    line.pay(500_001)
    line.pay(500_002, "failed")
    line.wait_counted()
    # Ages are whole seconds.
    wait_for(lambda: clean(line), "an empty list of forwards")
    line.pay(500_003)
    line.wait_counted()
    line.kill_plugin()
    line.start_plugin()
    line.wait_counted()
    line.restart_node()
    line.wait_ready()
    line.wait_counted()


def clean(line: Line) -> bool:
    for subsystem in ("succeededforwards", "failedforwards"):
        line.call("autoclean-once", {"subsystem": subsystem, "age": 1})
    return line.forwards() == []
