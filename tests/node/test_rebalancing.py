"""Rebalances on a triangle of nodes beside sling, simulated and real: what moves, and the books."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node import real_line
from tests.node.line import Row
from tests.node.rebalance_ring import House, RealHouse, SimulatedHouse
from tests.node.sling_ring import why_no_sling

FORWARDS = 30
DEAR_PPM = 500
WAY_PPM = 21


@pytest.fixture(scope="module")
def made(kind: str, chain: real_line.Chain | None) -> Iterator[House]:
    if chain is not None and (reason := why_no_sling()):
        pytest.skip(f"no real sling: {reason}")
    house: House = SimulatedHouse() if chain is None else RealHouse(chain)
    yield house
    house.shut_down()


@pytest.fixture
def house(made: House) -> Iterator[House]:
    yield made
    made.release()
    assert made.complaints() == []


def all_is_exact(house: House, job_id: str) -> Row:
    """The job says what the node's own payments say, so do the books, and nothing is left of it."""
    job, every = house.one_job(job_id), house.paid(0)
    # No two jobs pay the same amount.
    ((payment_msat,),) = house.query(
        f"SELECT payment_msat FROM rebalance_job WHERE number = {job['id']}"
    )
    rows = [row for row in every if row["amount_msat"] == payment_msat]
    assert {row["destination"] for row in rows} <= {house.own_id}
    assert job["moved_msat"] == sum(row["amount_msat"] for row in rows)
    assert job["cost_msat"] == sum(cost_msat(row) for row in rows)
    assert house.overview() == [] and house.call("sling-jobsettings") == {}
    told = house.reconciled()
    assert (told["unexplained_msat"], told["not_compared"]) == (0, 0)
    spent_msat = sum(cost_msat(row) for row in every)
    filled = house.channel(house.third_id)["channel_id"]
    wanted = {f"expenses:rebalance:{filled}": spent_msat} if spent_msat else {}
    assert house.booked_msat() == wanted
    money = house.money()
    assert (money["reservations"], money["daily_reserved_sats"]) == ([], 0)
    assert money["daily_spent_sats"] == -(-spent_msat // 1_000)
    costs = house.call("revenue-report", ["costs"])["rebalance_costs"]
    assert costs["total_sats"] == costs["last_24h_sats"] == round(spent_msat / 1_000)
    shown = house.call("revenue-profitability", [house.target])["profitability"]
    assert shown["rebalance_cost_sats"] == round(spent_msat / 1_000)
    assert shown["other_rebalance_cost_sats"] == 0
    assert house.clear_reservations()["kept"] == []
    return job


def cost_msat(row: Row) -> int:
    """What a payment cost beyond what arrived."""
    cost: int = row["amount_sent_msat"] - row["amount_msat"]
    return cost


def begin_held(house: House) -> tuple[str, Row]:
    """A job of two payments whose first one is on its way; its id and what it reserves."""
    house.hold()
    answer = house.order_by_hand(240_000, 24)
    assert answer["amount_sats"] == 2 * answer["payment_sats"]
    house.wait_running(answer["job_id"])
    (reservation,) = house.money()["reservations"]
    assert reservation["job_id"] == answer["job_id"]
    return answer["job_id"], reservation


def test_a_move_by_hand_ends_with_the_books_exact(house: House) -> None:
    before_msat = house.channel(house.third_id)["to_us_msat"]
    job_id = house.order_by_hand(300_000, 30)["job_id"]
    house.wait_ended(job_id)
    job = all_is_exact(house, job_id)
    assert (job["status"], job["outcome"]) == ("success", "all moved")
    assert (job["rebalance_type"], job["asked_by"]) == ("manual", "hand")
    assert 299_000 <= job["moved_sats"] < 300_000
    assert house.channel(house.third_id)["to_us_msat"] - before_msat == job["moved_msat"]
    assert WAY_PPM - 1 <= job["cost_msat"] / job["moved_msat"] * 1e6 <= WAY_PPM + 1
    (reported,) = (
        row
        for row in house.call("revenue-report", ["rebalances"])["rebalances"]
        if row["job_id"] == job_id
    )
    assert reported["outcome"] == "all moved"


def test_too_dear_a_way_ends_unmoved_and_all_is_released(house: House) -> None:
    before = house.paid(0)
    job_id = house.order_by_hand(100_000, 1)["job_id"]
    house.wait_ended(job_id)
    job = all_is_exact(house, job_id)
    assert (job["status"], job["moved_msat"], job["cost_msat"]) == ("failed", 0, 0)
    assert job["error_message"] == job["outcome"]
    assert job["outcome"] == "nothing moves any more (NoCheapRoute)"
    assert house.paid(0) == before


def test_a_kill_in_mid_job_leaves_no_orphan_and_no_reservation(house: House) -> None:
    job_id, reservation = begin_held(house)
    kept = house.clear_reservations()
    assert (kept["cleared"], [row["why"] for row in kept["kept"]]) == ([], ["its job is running"])
    (active,) = house.debug()["channels"]["active_jobs"]
    assert (active["job_id"], active["state"]) == (job_id, "running")
    house.kill_plugin()
    assert house.statuses() == ["Rebalancing"], "nobody ends it now"
    house.start_plugin()
    # The payment is on its way: its end cannot be proven, and what it may cost stays reserved.
    house.wait_state(job_id, "ending")
    house.wait_stop_asked()
    kept = house.clear_reservations()
    (row,) = kept["kept"]
    assert (kept["cleared"], row["job_id"]) == ([], job_id)
    assert "the plugin was restarted" in row["why"] and "not proven" in row["why"]
    assert house.money()["reservations"][0]["reserved_msat"] == reservation["reserved_msat"]
    house.release()
    house.wait_ended(job_id)
    house.wait_ready()
    job = all_is_exact(house, job_id)
    assert (job["status"], job["outcome"]) == ("partial", "the plugin was restarted")
    assert 119_000 <= job["moved_sats"] < 120_000, "the first payment and no other"


def test_a_kill_right_after_the_answer_leaves_nothing_either(house: House) -> None:
    job_id = house.order_by_hand(240_000, 24)["job_id"]
    house.kill_plugin()
    house.start_plugin()
    job = house.wait_ended(job_id)
    assert "restarted" in job["outcome"]
    house.wait_ready()
    all_is_exact(house, job_id)


def test_a_stop_in_mid_job_stops_sling_and_the_next_start_proves_the_end(house: House) -> None:
    job_id, _ = begin_held(house)
    house.stop_plugin()
    house.release()
    # Otherwise it would go on with the second payment, and be Balanced.
    house.wait_status("Stopped")
    assert house.query("SELECT job_id FROM budget_reservation WHERE ended_s IS NULL") == [(job_id,)]
    house.start_plugin()
    house.wait_ended(job_id)
    house.wait_ready()
    job = all_is_exact(house, job_id)
    assert (job["status"], job["outcome"]) == ("partial", "the plugin was restarted")
    assert 119_000 <= job["moved_sats"] < 120_000


def test_a_move_that_the_search_finds_worth_its_cost_ends_with_the_books_exact(
    house: House,
) -> None:
    local_msat = house.channel(house.third_id)["to_us_msat"]
    if local_msat < 300_000_000:
        house.wait_ended(house.order_by_hand(300_000, 30)["job_id"])
        local_msat = house.channel(house.third_id)["to_us_msat"]
    house.call("revenue-set-fee", [house.target, DEAR_PPM])
    for _ in range(FORWARDS):
        house.forward((local_msat - 30_000_000) // FORWARDS)
    house.age_connections()
    house.wait_ready()
    settled = [row for row in house.debug()["pairs"] if row["verdict"] == "move"]
    assert settled, house.debug()
    answer = house.call("revenue-rebalance")
    (begun,) = answer["begun"]
    assert (begun["from_channel"], begun["to_channel"]) == (house.source, house.target)
    assert begun["expected_profit_sats"] > 0
    assert WAY_PPM < begun["max_fee_ppm"] < DEAR_PPM
    house.wait_ended(begun["job_id"])
    job = all_is_exact(house, begun["job_id"])
    assert (job["status"], job["asked_by"]) == ("success", "command"), job
    assert job["moved_sats"] == begun["amount_sats"] > 200_000
    assert job["cost_msat"] / 1_000 < begun["max_fee_sats"]
