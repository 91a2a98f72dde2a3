"""The port of the node's own payments against a real socket, with the answers of several eras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.adapters.capabilities import Capabilities
from cl_revenue_ops.adapters.payments import PAGE, LightningPayments, parse_sent_part
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.ports import CircuitOpen, MalformedReply, NodeRefused, PaymentNode, TimedOut
from messages.budget import SelfPayment
from messages.rebalance import OwnPayments
from tests.unit.test_adapter_server import Bench, Step, a_bench, hang_up, refusal, result

OWN, OTHER, HASH = "0381" + "ab" * 31, "0200" + "cd" * 31, "5894" * 16
NO_WAIT = refusal(-32602, "unknown subsystem sendpays")
NO_INDEX = refusal(-32602, "unknown parameter: index")
INFO = result(
    {"id": OWN, "network": "regtest", "version": "v26.06.6", "blockheight": 9,
     "fees_collected_msat": 0}
)  # fmt: skip


class Desk:
    """A LightningPayments on a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.capabilities = Capabilities(bench.clock)
        self.left_out = Tally()
        self.payments: PaymentNode = LightningPayments(bench.rpc, self.capabilities, self.left_out)

    def script(self, *steps: Step) -> None:
        self.bench.node.steps = list(steps)

    def own(self, start: int, *steps: Step) -> OwnPayments:
        """What is read from an index on, with these answers."""
        self.script(INFO, *steps)
        return self.payments.own_payments(start)

    @property
    def asked(self) -> list[tuple[str, dict[str, Any]]]:
        return [(request["method"], request["params"]) for request in self.bench.node.requests]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_bench(tmp_path) as bench:
        yield Desk(bench)


def row(index: int, status: str = "complete", **changes: object) -> dict[str, Any]:
    """A part of a payment to ourselves that cost 3 sats."""
    good = {
        "created_index": index,
        "id": index,
        "payment_hash": HASH,
        "groupid": 1,
        "partid": 0,
        "status": status,
        "destination": OWN,
        "amount_msat": 100_007_000,
        "amount_sent_msat": 100_010_000,
        "created_at": 1_795_000_000,
        "completed_at": 1_795_000_060,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def paid(part: str = "1.0", at_s: int = 1_795_000_060) -> SelfPayment:
    return SelfPayment(HASH, part, at_s, 100_007_000, 3_000)


def page(*rows: object) -> Step:
    return result({"payments": list(rows)})


# -- the newest index ----------------------------------------------------------------------------


def test_the_newest_index_is_what_the_node_counts(desk: Desk) -> None:
    desk.script(result({"subsystem": "sendpays", "created": 17, "sendpays": {}}))
    assert desk.payments.newest_payment() == 17
    asked = {"subsystem": "sendpays", "indexname": "created", "nextvalue": 0}
    assert desk.asked == [("wait", asked)]


def test_a_release_that_cannot_wait_is_asked_for_its_list_and_that_is_remembered(
    desk: Desk,
) -> None:
    old = [row(i, created_index=None) for i in (4, 9, 2)]
    desk.script(NO_WAIT, page(*old), page())
    assert desk.payments.newest_payment() == 9
    assert desk.payments.newest_payment() == 0
    assert [method for method, _ in desk.asked] == ["wait", "listsendpays", "listsendpays"]


def test_any_other_refusal_of_the_index_is_no_zero(desk: Desk) -> None:
    desk.script(refusal(-1, "no"), result({"created": "x"}), hang_up)
    with pytest.raises(NodeRefused):
        desk.payments.newest_payment()
    with pytest.raises(MalformedReply):
        desk.payments.newest_payment()
    with pytest.raises(TimedOut):
        desk.payments.newest_payment()


# -- payments to ourselves -----------------------------------------------------------------------


def test_completed_ones_have_their_exact_cost_and_others_are_none_of_ours(desk: Desk) -> None:
    found = desk.own(
        5,
        page(
            row(5),
            row(6, destination=OTHER),
            row(7, "failed"),
            row(8, partid=2, groupid=3),
            row(9, destination=None),
        ),
    )
    assert found == OwnPayments((paid(), paid("3.2")), (), 10)
    asked = {"index": "created", "start": 5, "limit": PAGE}
    assert desk.asked == [("getinfo", {}), ("listsendpays", asked)]
    assert desk.left_out.counts() == {}


def test_the_next_reading_never_begins_after_a_pending_one(desk: Desk) -> None:
    found = desk.own(
        3, page(row(4), row(5, "pending"), row(6), row(7, "pending", amount_msat=5_000))
    )
    assert found == OwnPayments((paid(), paid()), (100_007_000, 5_000), 5)


def test_a_payment_to_somebody_else_that_hangs_holds_nothing_up(desk: Desk) -> None:
    assert desk.own(3, page(row(4, "pending", destination=OTHER), row(5))).next_index == 6


def test_a_pending_one_that_cannot_be_read_holds_the_next_reading_all_the_same(desk: Desk) -> None:
    found = desk.own(3, page(row(4, "pending", amount_msat="much"), row(5)))
    assert found == OwnPayments((paid(),), (), 4)
    assert desk.left_out.counts() == {"listsendpays": 1}


def test_without_anything_new_the_next_reading_begins_where_this_one_did(desk: Desk) -> None:
    assert desk.own(12, page()) == OwnPayments((), (), 12)


def test_a_long_list_is_read_page_by_page(desk: Desk) -> None:
    first = [row(i, "failed") for i in range(1, PAGE + 1)]
    found = desk.own(1, page(*first), page(row(PAGE + 7)))
    assert found == OwnPayments((paid(),), (), PAGE + 8)
    assert [params["start"] for _, params in desk.asked[1:]] == [1, PAGE + 1]


def test_a_page_that_does_not_go_on_is_no_endless_loop(desk: Desk) -> None:
    with pytest.raises(MalformedReply, match="does not grow"):
        desk.own(5_000, page(*[row(i) for i in range(1, PAGE + 1)]))


def test_before_v23_11_the_whole_list_is_read_by_id(desk: Desk) -> None:
    old = [row(i, created_index=None, amount_msat="100007000msat") for i in (1, 2, 3)]
    assert desk.own(2, NO_INDEX, page(*old)) == OwnPayments((paid(), paid()), (), 4)
    desk.script(page(*old, row(4, "pending", created_index=None)))
    assert desk.payments.own_payments(4).next_index == 4
    methods = [method for method, _ in desk.asked]
    assert methods == ["getinfo", "listsendpays", "listsendpays", "listsendpays"]
    assert desk.asked[-1] == ("listsendpays", {})


def test_a_part_without_the_time_of_its_end_has_that_of_its_beginning(desk: Desk) -> None:
    found = desk.own(1, page(row(1, completed_at=None, groupid=None, partid=None)))
    assert found.completed == (paid("0.0", 1_795_000_000),)


@pytest.mark.parametrize(
    "change",
    [
        {"amount_msat": None},
        {"amount_sent_msat": None},
        {"amount_sent_msat": 100_006_999},
        {"payment_hash": "no hash"},
        {"completed_at": "soon"},
        {"completed_at": None, "created_at": None},
        {"partid": -1},
    ],
    ids=str,
)
def test_a_completed_one_that_cannot_be_read_is_counted(desk: Desk, change: dict[str, Any]) -> None:
    assert desk.own(1, page(row(1, **change), row(2))).completed == (paid(),)
    assert desk.left_out.counts() == {"listsendpays": 1}


def test_a_row_without_a_place_in_the_list_ends_the_reading(desk: Desk) -> None:
    for bad in (None, {}, row(1, created_index=None, id=None)):
        with pytest.raises(MalformedReply):
            desk.own(1, page(bad))


def test_its_outages_are_not_those_of_the_forwards(desk: Desk) -> None:
    desk.script(INFO, hang_up, hang_up, hang_up, result({"created": 1}))
    for _ in range(2):
        with pytest.raises(TimedOut):
            desk.payments.own_payments(1)
    with pytest.raises(TimedOut):
        desk.payments.newest_payment()
    with pytest.raises(CircuitOpen):
        desk.payments.newest_payment()
    assert desk.bench.rpc.call("wait")


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_value_in_any_field_is_read_or_left_out(value: object) -> None:
    for name in row(1):
        part = parse_sent_part({**row(1), name: value})
        assert part is None or part.payment is None or part.payment.cost_msat >= 0
    assert parse_sent_part(value) is None


# -- the chain -----------------------------------------------------------------------------------


def test_only_confirmed_and_unreserved_outputs_count(desk: Desk) -> None:
    def output(msat: object, status: str = "confirmed", reserved: object = False) -> object:
        return {"amount_msat": msat, "status": status, "reserved": reserved}

    desk.script(
        result(
            {
                "outputs": [
                    output(7_000),
                    output("5000msat"),
                    output(100, reserved=True),
                    output(100, "unconfirmed"),
                    output(100, "immature"),
                    output(100, "spent"),
                    output(None),
                    None,
                ]
            }
        )
    )
    assert desk.payments.onchain_msat() == 12_000
    assert desk.left_out.counts() == {"listfunds": 2}


def test_an_answer_without_outputs_is_not_an_empty_wallet(desk: Desk) -> None:
    desk.script(result({"channels": []}))
    with pytest.raises(MalformedReply):
        desk.payments.onchain_msat()
