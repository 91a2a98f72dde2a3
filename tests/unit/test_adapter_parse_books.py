"""Parsers of movements and of bookkeeper's answers: recorded rows, one odd field at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.adapters.books import LightningBooks
from cl_revenue_ops.adapters.capabilities import Capabilities
from cl_revenue_ops.adapters.parse_books import (
    parse_account,
    parse_account_balance,
    parse_chain_event,
    parse_chain_move,
    parse_channel_event,
    parse_channel_move,
    parse_fee_event,
    parse_income,
    parse_outpoint,
    parse_output,
)
from cl_revenue_ops.adapters.routed import RoutedTally
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from messages.node_books import AccountEvents, ChainMove, ChannelMove
from tests.sim.test_simnode_bookkeeper import STORIES, recorded
from tests.unit.books_desk import HASH, OTHER, TXID, A, event, invoice, routed, spent
from tests.unit.test_adapter_forwards import anything
from tests.unit.test_adapter_server import ManualClock

LIMIT = 1 << 63
Story = dict[str, Any]


_Found = TypeVar("_Found")


def there(found: _Found | None) -> _Found:
    assert found is not None
    return found


class Told:
    """An RPC that answers from a list of answers by method."""

    def __init__(self, **answers: Any) -> None:
        self._answers = {name.replace("_", "-"): answer for name, answer in answers.items()}

    def call(self, method: str, *args: object, **how: object) -> Any:
        return json.loads(json.dumps(self._answers[method]))


def books(**answers: Any) -> LightningBooks:
    rpc = cast(NodeRpc, Told(**answers))
    return LightningBooks(rpc, Capabilities(ManualClock()), Tally())


def accounts_of(story: Story) -> dict[str, AccountEvents]:
    """What the adapter makes of the events of each account of a recorded story."""
    found = {}
    for name in {row["account"] for row in story["events"]}:
        rows = [row for row in story["events"] if row["account"] == name]
        of_it = books(bkpr_listaccountevents={"events": rows}).account_events(name, 0.0)
        assert of_it is not None
        assert of_it.malformed == 0
        found[name] = of_it
    return found


@pytest.mark.parametrize("name", STORIES)
class TestRecord:
    """What real nodes of v26.06.6 wrote: each list read against another one."""

    def test_movements_add_up_to_what_bookkeeper_says_is_there(self, name: str) -> None:
        story = recorded(name)
        found = accounts_of(story)
        balances = books(bkpr_listbalances={"accounts": story["balances"]}).account_balances()
        assert balances is not None
        assert len(balances) == len(story["balances"])
        for held in balances:
            rows = found[held.account]
            moved = sum(row.credit_msat - row.debit_msat for row in rows.chain)
            moved += sum(row.credit_msat - row.debit_msat for row in rows.channel)
            if rows.routed is not None:
                moved += rows.routed.credit_msat - rows.routed.debit_msat
            assert moved == held.balance_msat

    def test_the_lists_and_the_events_tell_the_same_movements(self, name: str) -> None:
        story = recorded(name)
        found = accounts_of(story)
        node = books(
            listchannelmoves={"channelmoves": story["channelmoves"]},
            listchainmoves={"chainmoves": story["chainmoves"]},
        )
        page, chain = there(node.channel_moves(1, 10_000, 0.0)), there(node.chain_moves(1, 10_000))
        assert (page.malformed, chain.malformed) == (0, 0)
        assert page.next_start == len(story["channelmoves"]) + 1
        assert chain.next_start == len(story["chainmoves"]) + 1

        def plain(row: ChainMove) -> ChainMove:
            # Bookkeeper learns later in which block a payment to outside was.
            return row._replace(
                created_index=None,
                output_msat=None,
                blockheight=0,
                spliced=False,
                opener=False,
                output_count=0,
            )

        told = [row for account in found.values() for row in account.chain]
        assert sorted(map(plain, told), key=str) == sorted(map(plain, chain.rows), key=str)

        def known(row: ChannelMove) -> tuple[Any, ...]:
            # Bookkeeper says part 0 where the list says nothing.
            return (*row[1:8], row.part_id or 0)

        payments = [row for account in found.values() for row in account.channel]
        assert sorted(map(known, payments)) == sorted(map(known, page.rows))
        assert [r.routed for _, r in sorted(found.items()) if r.routed] == list(page.routed)

    def test_sums_of_fees_are_the_costs_of_the_income_list(self, name: str) -> None:
        story = recorded(name)
        paid = {
            (fee.account, fee.txid): fee.paid_msat
            for account in accounts_of(story).values()
            for fee in account.fees
        }
        listed = {
            (row["account"], row["txid"]): row["debit_msat"] - row["credit_msat"]
            for row in story["income"]
            if row["tag"] == "onchain_fee"
        }
        assert {key: msat for key, msat in paid.items() if msat} == listed

    def test_income_is_the_same_however_it_is_consolidated(self, name: str) -> None:
        story = recorded(name)
        raw, whole = (
            {
                (row.account, row.tag): row.credit_msat - row.debit_msat
                for row in books(bkpr_listincome={"income_events": story[key]}).income(0, 2**32 - 1)
                or ()
            }
            for key in ("raw_income", "income")
        )
        assert {k: v for k, v in raw.items() if v} == {k: v for k, v in whole.items() if v}
        assert any(whole.values())


def test_splices_openers_and_what_went_outside_are_marked() -> None:
    story = recorded("payments")
    moves = there(books(listchainmoves=story).chain_moves(1, 10_000)).rows
    closing = [row for row in moves if row.tag == "channel_close"]
    assert [row.spliced for row in closing] == [
        "splice" in row["extra_tags"]
        for row in story["chainmoves"]
        if row["primary_tag"] == "channel_close"
    ]
    assert {row.spliced for row in closing} == {True, False}
    opened = {row.opener for row in moves if row.tag == "channel_open"}
    assert opened == {True, False}
    outside = [row for row in moves if row.account == "external"]
    assert outside and all(row.origin is not None for row in outside)


SOUND: list[dict[str, Any]] = [
    routed(1),
    invoice(2),
    spent(3),
    event("chain", "deposit", 8, 0, outpoint=f"{OTHER}:0", origin=A, payment_id=HASH),
    event("channel", "invoice", 0, 55, fees_msat=5, payment_id=HASH, part_id=2),
    event("onchain_fee", "onchain_fee", 0, 900, txid=TXID),
    {"account": A, "balances": [{"balance_msat": 5, "coin_type": "bc"}], "we_opened": True},
    {"amount_msat": 5, "status": "confirmed", "reserved": True},
]
PARSERS: list[Callable[[Any], Any]] = [
    parse_channel_move,
    parse_chain_move,
    parse_account_balance,
    parse_income,
    parse_output,
    lambda row: parse_chain_event(A, row) if isinstance(row, dict) else None,
    lambda row: parse_channel_event(A, row) if isinstance(row, dict) else None,
    lambda row: parse_fee_event(row) if isinstance(row, dict) else None,
]


@given(st.sampled_from(SOUND), st.data(), anything)
def test_one_odd_field_leaves_the_row_out_or_sound(
    row: dict[str, Any], data: st.DataObject, value: object
) -> None:
    odd = {**row, data.draw(st.sampled_from(sorted(row))): value}
    for parse in PARSERS:
        for name, found in _fields(parse(odd)):
            if isinstance(found, bool) or found is None:
                continue
            if isinstance(found, int):
                assert -LIMIT < found < LIMIT
                assert found >= 0 or name == "paid_msat"
            else:
                assert isinstance(found, str)
    for parse in PARSERS:
        assert parse(value) is None or isinstance(value, dict)


KEYS = ("events", "accounts", "income_events", "channelmoves", "chainmoves", "outputs")


def _fields(parsed: Any) -> list[tuple[str, Any]]:
    return [] if parsed is None else list(parsed._asdict().items())


@given(st.lists(st.sampled_from(SOUND) | anything, max_size=6), st.data())
def test_no_list_of_anything_stops_the_reader(rows: list[Any], data: st.DataObject) -> None:
    for place, row in enumerate(rows):
        if isinstance(row, dict) and row and data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(row)))
            rows[place] = {**row, name: data.draw(anything)}
    rows = [{**row, "created_index": n} if row in SOUND else row for n, row in enumerate(rows, 1)]
    told: dict[str, Any] = dict.fromkeys(KEYS, rows)
    node = LightningBooks(cast(NodeRpc, Said(told)), Capabilities(ManualClock()), Tally())
    page = there(node.channel_moves(1, 99, 5e9))
    summed = sum(one.rows for one in page.routed)
    assert summed + len(page.rows) + page.malformed <= len(rows)
    assert 1 <= page.next_start < LIMIT + 1
    chain = there(node.chain_moves(1, 99))
    assert len(chain.rows) + chain.malformed == len(rows)
    found = there(node.account_events(A, 5e9))
    assert found.malformed <= len(rows)
    node.account_balances()
    node.income(0, 2**32 - 1)
    assert min(node.wallet()) >= 0


class Said:
    """An RPC that gives one and the same answer to everything, values as they are."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    def call(self, method: str, *args: object, **how: object) -> dict[str, Any]:
        return self._answer


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (f"{TXID}:0", True), (f"{TXID}:4294967295", True), (f"{TXID}:4294967296", False),
        (f"{TXID}:", False), (f"{TXID}:-1", False), (f"{TXID}:01", False), (f"{TXID}:²", False),
        (f"{TXID}", False), ("ab:0", False), (f"{TXID}:" + "9" * 5000, False), (5, False),
    ],
)  # fmt: skip
def test_outpoints(value: object, good: bool) -> None:
    assert parse_outpoint(value) == (value if good else None)


@pytest.mark.parametrize("value", ["Wallet", "", None, 5, ["wallet"], "ab", A.upper()], ids=str)
def test_what_is_no_account(value: object) -> None:
    assert parse_account(value) is None
    assert [parse_account(name) for name in ("wallet", "external", A)] == ["wallet", "external", A]


@given(
    st.lists(st.tuples(st.sampled_from((A, HASH)), st.integers(1, 10**12), st.booleans(),
                       st.integers(0, 100)), max_size=30),
    st.integers(-1, 101),
)  # fmt: skip
def test_sums_of_forwards_are_those_of_their_rows(
    parts: list[tuple[str, int, bool, int]], early_s: int
) -> None:
    tally = RoutedTally(early_s)
    for account, msat, came, at_s in parts:
        sides = {"credit_msat": msat * came, "debit_msat": msat * (not came)}
        assert not tally.take([routed(1, account, timestamp=at_s, **sides)], "primary_tag")
    assert tally.malformed == 0
    for one in there(tally.sums()):
        of_it = [part for part in parts if part[0] == one.channel_id]
        early = [part for part in of_it if part[3] <= early_s]
        assert (one.rows, one.early_rows) == (len(of_it), len(early))
        assert one.credit_msat == sum(msat for _, msat, came, _ in of_it if came)
        assert one.debit_msat == sum(msat for _, msat, came, _ in of_it if not came)
        assert one.early_credit_msat == sum(msat for _, msat, came, _ in early if came)
        assert one.early_debit_msat == sum(msat for _, msat, came, _ in early if not came)
    assert {one.channel_id for one in there(tally.sums())} == {part[0] for part in parts}
