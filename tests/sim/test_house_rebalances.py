"""Rebalances of the whole house: searched for or ordered, begun, watched, ended, accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cl_revenue_ops.domain.rebalance.score import Scoreboard
from cl_revenue_ops.simnode.errors import SimRpcError
from tests.sim.rebalance_support import RebalanceNode, rebalance_node

DAY_S = 86_400.0


@pytest.fixture
def node() -> Iterator[RebalanceNode]:
    with rebalance_node() as node:
        yield node


def test_a_move_by_hand_is_begun_at_once_and_ends_with_the_books_exact(
    node: RebalanceNode,
) -> None:
    before = node.now_s
    answer = node.by_hand(100_000)
    assert node.now_s == before
    assert (answer["status"], answer["job_id"]) == ("initiated", "r1")
    node.wait_s(60)
    (payment,) = node.paid()
    cost_msat = payment["amount_sent_msat"] - payment["amount_msat"]
    job = node.job()
    assert (job["state"], job["status"], job["outcome"]) == ("ended", "success", "all moved")
    assert (job["moved_msat"], job["cost_msat"]) == (payment["amount_msat"], cost_msat)
    assert 99_500 <= job["moved_sats"] < 100_000
    assert node.query("SELECT payment_hash, cost_msat FROM rebalance_payment") == [
        (payment["payment_hash"], cost_msat)
    ]
    money = node.budget()
    assert (money["reservations"], money["daily_reserved_sats"]) == ([], 0)
    assert money["daily_spent_sats"] == -(-cost_msat // 1_000)
    assert node.call("sling-stats", {"json": True}) == []


def test_while_it_runs_it_is_shown_and_its_budget_is_reserved(node: RebalanceNode) -> None:
    assert node.sling is not None
    node.sling.slow_payments(40.0)
    node.by_hand(100_000, 60)
    node.wait_s(10)
    (running,) = node.status()["running_rebalances"]
    assert (running["job_id"], running["state"], running["status"]) == (
        "r1",
        "running",
        "pending_async",
    )
    (reservation,) = node.budget()["reservations"]
    assert reservation["job_id"] == "r1"
    assert 300_000 < reservation["reserved_msat"] <= 360_000, "a payment may be made six times"
    assert node.states() == {"r1": "running"}
    node.wait_s(60)
    assert node.status()["running_rebalances"] == []


def test_payments_that_come_one_by_one_are_all_the_jobs(node: RebalanceNode) -> None:
    assert node.sling is not None
    node.sling.slow_payments(15.0, count=10)
    node.force(600_000, 200)
    seen = set()
    for _ in range(30):
        node.wait_s(5)
        seen.add(node.job()["moved_msat"])
    paid = node.paid()
    assert len(paid) >= 3
    assert len(seen) >= 3, "each was told as it came"
    assert node.job()["moved_msat"] == sum(row["amount_msat"] for row in paid)
    assert node.job()["cost_msat"] == sum(
        row["amount_sent_msat"] - row["amount_msat"] for row in paid
    )


def test_the_search_begins_the_best_moves_and_none_on_a_channel_twice(
    node: RebalanceNode,
) -> None:
    answer = node.call("revenue-rebalance")
    assert answer["job_ids"] == ["r1", "r2"]
    ends = [{job["from_channel"], job["to_channel"]} for job in answer["begun"]]
    assert len(set.union(*ends)) == 4
    node.wait_s(600)
    assert {job["state"] for job in node.jobs()} == {"ended"}
    assert all(job["moved_sats"] > 1_000_000 for job in node.jobs())
    for row in node.call("revenue-report", ["rebalances"])["rebalances"]:
        # pi falls in a line from 2,000 ppm at nothing to zero at all: little is left of it.
        worth_ppm = row["unsold_worth_sats"] / row["unsold_sats"] * 1e6
        assert 50 < worth_ppm < 150, "valued at the stock of now, not of before"
    assert node.orphans() == []


def test_at_most_three_jobs_at_once() -> None:
    with rebalance_node(pairs=4) as node:
        assert node.call("revenue-rebalance")["job_ids"] == ["r1", "r2", "r3"]
        taken = {job[end] for job in node.jobs() for end in ("from_channel", "to_channel")}
        (source,) = [scid for scid in map(node.scid, node.full) if scid not in taken]
        (target,) = [scid for scid in map(node.scid, node.empty) if scid not in taken]
        refused = node.call("revenue-rebalance", [source, target, 50_000, 50, True])
        assert "3 jobs are under way" in refused["error"]
        assert "3 jobs are under way" in node.call("revenue-rebalance")["message"]


def test_the_search_comes_by_itself(node: RebalanceNode) -> None:
    # The first one meets what the first fee cycle thinks of stock.
    node.wait_s(1_230)
    assert node.status()["rebalancing"]["last_search_at"] is not None
    assert [job["asked_by"] for job in node.jobs()] == ["search", "search"]


def test_one_channel_is_filled_by_the_best_move_into_it(node: RebalanceNode) -> None:
    answer = node.call("revenue-rebalance", [node.target])
    assert [job["to_channel"] for job in answer["begun"]] == [node.target]
    assert node.call("revenue-rebalance", [node.source])["message"] == (
        "nothing was begun: a job uses it already"
    )


def test_nothing_worth_moving_is_said_in_words(node: RebalanceNode) -> None:
    node.value(sold_ppm=20.0)
    answer = node.call("revenue-rebalance")
    assert answer["begun"] == []
    assert answer["message"].startswith("nothing was begun: none of 4 moves is worth its cost")
    assert node.states() == {}


@pytest.mark.parametrize("key", ["dry_run", "paused"])
def test_c12_what_would_be_moved_is_recorded_and_nothing_is_reserved_or_begun(
    node: RebalanceNode, key: str
) -> None:
    node.call("revenue-config", ["set", key, True])
    answer = node.call("revenue-rebalance")
    assert answer["begun"] == []
    assert answer["message"].startswith("nothing was begun: ")
    assert [w["message"].split(" for ")[0] for w in answer["would"]] == [
        f"would move {w['amount_sats']} sats from {w['from_channel']} to {w['to_channel']}"
        for w in answer["would"]
    ]
    refused = node.by_hand()
    assert (refused["status"], refused["success"]) == ("error", False)
    assert "would move 100000 sats" in refused["error"]
    assert node.states() == {}
    assert node.budget()["reservations"] == []
    assert node.paid() == []
    before = node.status()["rebalancing"]["would"]
    assert len(before) == 3, "two that were found, and the one by hand"
    node.restart()
    assert node.status()["rebalancing"]["would"] == before


@pytest.mark.parametrize("key", ["dry_run", "paused"])
def test_what_runs_is_ended_when_writing_is_forbidden(node: RebalanceNode, key: str) -> None:
    node.ways.failures = ["WIRE_TEMPORARY_CHANNEL_FAILURE"] * 10_000
    node.force()
    node.wait_s(20)
    assert node.states() == {"r1": "running"}
    node.call("revenue-config", ["set", key, True])
    node.wait_s(20)
    assert node.states() == {"r1": "ended"}
    assert node.job()["outcome"].startswith("nothing may be moved any more: ")
    assert (node.orphans(), node.budget()["reservations"]) == ([], [])
    assert node.call("revenue-rebalance-debug")["breakers"] == [], "it was nobody's failure"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["1x1x1"], "has no channel 1x1x1"),
        (["{source}", "{source}", 1000], "the same channel"),
        (["{source}", "{target}", 0], "amount_sats must be a whole number from 1"),
        (["{source}", "{target}", -5], "amount_sats must be a whole number from 1"),
        (["{source}", "{target}"], "amount_sats is missing"),
        (["{source}", "{target}", 9_000_000], "can send 1976748 sats at most"),
        (["{target}", "{source}", 30_000], "can receive 0 sats at most"),
        (["{source}", "{target}", 1000, -1], "max_fee_sats must be a whole number from 0"),
        (["{source}", "{target}", 1000, 1, "perhaps"], "force must be true or false"),
        (["{target}", "force=true"], "are for a move from one channel to another"),
        ({"to_channel": "{target}"}, "from_channel is missing"),
        ({"channel": "{target}"}, "unknown argument"),
    ],
)
def test_bad_input_is_refused_in_one_line(node: RebalanceNode, arguments: Any, words: str) -> None:
    def fill(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return value.format(source=node.source, target=node.target)

    if isinstance(arguments, dict):
        given: Any = {key: fill(value) for key, value in arguments.items()}
    else:
        given = [fill(value) for value in arguments]
    with pytest.raises(SimRpcError) as refused:
        node.call("revenue-rebalance", given)
    assert refused.value.code == -32602
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert node.states() == {}


@pytest.mark.parametrize("form", ["list", "object", "words"])
def test_the_three_forms_of_arguments_mean_the_same(node: RebalanceNode, form: str) -> None:
    values = {
        "from_channel": node.source,
        "to_channel": node.target,
        "amount_sats": 50_000,
        "max_fee_sats": 40,
        "force": True,
    }
    given: Any = {
        "list": list(values.values()),
        "object": values,
        "words": [node.source, *(f"{k}={v}" for k, v in list(values.items())[1:])],
    }[form]
    answer = node.call("revenue-rebalance", given)
    assert (answer["status"], answer["max_fee_sats"] <= 40) == ("initiated", True)
    assert (answer["from_channel"], answer["to_channel"]) == (node.source, node.target)


def test_a_move_that_loses_is_refused_with_its_arithmetic_unless_forced(
    node: RebalanceNode,
) -> None:
    node.value(sold_ppm=0.0)
    refused = node.by_hand(100_000, 100)
    assert refused["status"] == "error"
    assert "it is expected to lose (worth 0 sats there and 0 here, cost" in refused["error"]
    node.force()
    node.wait_s(60)
    assert node.job()["status"] == "success"


def test_force_does_not_overrule_budget_or_reserve(node: RebalanceNode) -> None:
    node.call("revenue-config", ["set", "daily_budget_sats", 10])
    refused = node.by_hand(100_000, 100, True)
    assert refused["status"] == "error"
    assert "budget" in refused["error"]
    node.call("revenue-config", ["set", "daily_budget_sats", 5000])
    node.call("revenue-config", ["set", "min_wallet_reserve", 50_000_000])
    refused = node.by_hand(100_000, 100, True)
    assert "are to be kept (min_wallet_reserve)" in refused["error"]
    node.wait_s(60)
    assert node.paid() == []
    assert set(node.states().values()) <= {"ended"}


def test_what_is_reserved_beyond_the_price_is_said(node: RebalanceNode) -> None:
    node.call("revenue-config", ["set", "daily_budget_sats", 600])
    told = node.by_hand(100_000, 100, True)
    assert "100 sats; until its end 600 sats are reserved, for 5 payments more" in told["message"]
    other = [node.scid(node.full[1]), node.scid(node.empty[1])]
    refused = node.call("revenue-rebalance", [*other, 100_000, 100, True])
    assert refused["error"].endswith("599 sats are reserved for jobs under way")
    node.wait_s(60)
    assert node.call("revenue-clear-reservations")["message"] == "nothing was reserved"


def test_a_policy_keeps_a_peer_from_being_filled_or_drained(node: RebalanceNode) -> None:
    peer = node.world.channel(node.empty[0]).peer_id
    node.call("revenue-policy", ["set", peer, "rebalance=source_only"])
    refused = node.by_hand()
    assert "policy" in refused["error"]
    debug = node.call("revenue-rebalance-debug", [node.target])
    assert debug["pairs"] == []
    assert "policy" in debug["no_destination"][node.target]


def test_no_amount_is_used_again_within_two_days(node: RebalanceNode) -> None:
    node.value(0.0)
    for _ in range(4):
        node.force(50_000, 50)
        node.wait_s(60)
    amounts = [amount for (amount,) in node.query("SELECT payment_msat FROM rebalance_job")]
    assert len(set(amounts)) == 4
    assert all(amount % 1_000 == 0 for amount in amounts)
    for _ in range(3):
        node.force(60, 1)
        node.wait_s(60)
    assert "no amount just below 60 sats is free" in node.by_hand(60, 1, True)["error"]
    node.value(0.0)
    node.advance(node.now_s + 2 * DAY_S + 60, 3_600.0)
    node.value(0.0)
    node.force(60, 1)


def test_debug_tells_every_pair_with_its_arithmetic(node: RebalanceNode) -> None:
    debug = node.call("revenue-rebalance-debug")
    assert len(debug["pairs"]) == 4
    for pair in debug["pairs"]:
        net = pair["value_msat"] - pair["loss_msat"] - pair["cost_msat"]
        expected = pair["success"] * net - pair["details"]["overhead_msat"]
        assert pair["expected_msat"] == pytest.approx(expected, abs=100)
        assert (pair["verdict"] == "move") == (pair["refusal"] is None)
        formula, _, result = pair["arithmetic"].partition(" = ")
        worked_out = eval(formula.replace("x", "*"))
        assert worked_out == pytest.approx(float(result.removesuffix(" msat")), rel=0.01)
    assert debug["capital_controls"]["effective_budget_is"] == "daily-budget-sats"
    node.call("revenue-config", ["set", "enable_proportional_budget", True])
    controls = node.budget()
    assert controls["effective_budget_sats"] == 500
    assert controls["effective_budget_is"].startswith("a tenth of daily-budget-sats: the share of")
    node.value(sold_ppm=0.0)
    for pair in node.call("revenue-rebalance-debug")["pairs"]:
        assert pair["arithmetic"] == "not worked out: no size and price can pay"
    assert sorted(pair["verdict"] for pair in debug["pairs"]) == ["leave", "leave", "move", "move"]
    assert debug["sling_available"] is True
    assert debug["executor"]["version"] == "v4.2.1"
    assert node.states() == {}, "asking begins nothing"


def test_a_job_that_moved_all_that_was_ordered_is_no_failure_of_its_route(
    node: RebalanceNode,
) -> None:
    node.force(600_000, 200)
    node.wait_s(120)
    assert node.job()["outcome"] == "all moved"
    assert node.job()["moved_sats"] < 600_000, "an amount of the job's own, a little less"
    ((text,),) = node.query("SELECT text FROM rebalance_learned WHERE name = 'routes'")
    outcomes = [one for _, _, *rows in json.loads(text)["outcomes"] for one in rows]
    assert outcomes
    payments = {row["amount_msat"] for row in node.paid()}
    for _, amount_msat, arrived, _ in outcomes:
        assert arrived and amount_msat in payments


def test_what_was_learned_outlives_a_restart(node: RebalanceNode) -> None:
    node.ways.usual = None
    node.by_hand()
    node.wait_s(120)
    assert node.job()["outcome"] == "nothing moves any more (NoRoutes)"
    assert node.job()["status"] == "failed"
    assert node.query("SELECT text FROM rebalance_learned WHERE name = 'scores'") == [
        (Scoreboard().pack(),)
    ], "of what moved nothing no score is kept"
    before = node.call("revenue-rebalance-debug")["breakers"]
    assert before
    node.restart()
    assert node.call("revenue-rebalance-debug")["breakers"] == before


def test_the_report_tells_what_each_job_promised_and_brought(node: RebalanceNode) -> None:
    node.value(0.0)
    node.force(300_000, 60)
    node.wait_s(60)
    job = node.job()
    node.world.circular_payment(node.full[0], node.empty[1], 400_000_000, 0)
    sent = (320_000_000, 320_640_000)
    node.world.forward(node.full[0], node.empty[0], *sent, node.now_s)
    node.wait_s(60)
    report = node.call("revenue-report", ["rebalances"])
    (row,) = report["rebalances"]
    assert (row["job_id"], row["from"], row["to"]) == ("r1", node.source, node.target)
    assert (row["moved_sats"], row["cost_sats"]) == (job["moved_sats"], job["cost_msat"] // 1_000)
    # 50,000 sats lay there before, less what is not ours to spend; the rest was sold of the refill.
    assert 270_000 <= row["sold_sats"] <= row["moved_sats"]
    assert row["earned_sats"] == pytest.approx(640 * row["sold_sats"] / 320_000, abs=1)
    assert row["realised_sats"] > 0
    assert report["totals"]["count"] == 1
    before = report["totals"]
    node.restart()
    node.value(0.0)
    assert node.call("revenue-report", ["rebalances"])["totals"] == before
    lines = node.call("revenue-report", ["rebalances", "format=text"])
    assert "Rebalances of all times" in str(lines)
    assert node.call("revenue-report", ["rebalances", 1])["totals"] == before


def test_what_was_never_begun_is_in_no_report(node: RebalanceNode) -> None:
    node.plugins.set_present("sling", False)
    node.by_hand()
    assert node.call("revenue-report", ["rebalances"])["rebalances"] == []
