"""What the node's own payments to itself cost, as simulated, elder and real nodes tell it."""

from __future__ import annotations

from tests.node.line import Line, Row, wait_for

KINDS = ("simulated", "elder", "real")
FEE_MSAT = 7_551


def evidence(line: Line) -> Row:
    """What suggestions rest on once the books are up to date."""
    line.call("revenue-report", ["reconcile"])
    answer: Row = line.call("revenue-policy", ["suggest"])
    found: Row = answer["evidence"]
    return found


def own_moves(line: Line) -> list[Row]:
    rows: list[Row] = line.call("listchannelmoves")["channelmoves"]
    return [row for row in rows if row["primary_tag"] == "invoice"]


def test_a_payment_to_ourselves_is_found_with_its_cost(line: Line, kind: str) -> None:
    line.call("revenue-analyze")
    line.pay(100_000_000)
    assert evidence(line)["rebalance_cost_in_window_sats"] == 0
    filled = line.pay_itself(5_000_000, FEE_MSAT)
    if kind != "elder":
        rows = wait_for(lambda: r if len(r := own_moves(line)) == 2 else None, "both movements")
        came, left = sorted(rows, key=lambda row: int(row["debit_msat"]))
        assert came["account_id"] == filled["channel_id"]
        assert (came["credit_msat"], came["debit_msat"], came["fees_msat"]) == (5_000_000, 0, 0)
        assert left["credit_msat"] == 0
        assert (left["debit_msat"], left["fees_msat"]) == (5_000_000 + FEE_MSAT, FEE_MSAT)
        assert came["payment_hash"] == left["payment_hash"]
        assert "part_id" in left and "part_id" not in came
    told = evidence(line)
    assert told["rebalance_cost_in_window_sats"] == FEE_MSAT // 1000
    # A line's records begin with it.
    assert told["rebalance_costs_since"] > told["window_from"]
    assert told["rebalance_costs"].startswith("rebalances cost at least 7 sats from ")
