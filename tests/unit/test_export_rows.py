"""Exported texts: cells, CSV that a spreadsheet reads, JSON, and a journal that balances."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.export import cells, journal, tables
from cl_revenue_ops.domain.export.beancount import BeancountWriter
from cl_revenue_ops.domain.export.tables import CsvWriter, JsonWriter, PostingsWriter
from messages.books import Entry
from messages.exchange import ImportedFee
from messages.fees import DecisionLine
from messages.forwards import LoggedForward

A, B = "ab" * 32, "ab" * 31 + "cd"
FORWARD = LoggedForward(7, "1x2x3", "4x5x6", 10_005, 10_000, 5, "settled", 1_700_000_000.25, None)
ENTRY = Entry(
    "open:1", 1_700_000_000, "open", "bookkeeper", '{"a":1}',
    ((f"assets:channel:{A}", 5_000_001), ("assets:wallet", -5_000_001)), "cd" * 32,
)  # fmt: skip


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


# -- cells ----------------------------------------------------------------------------------------


def test_cells() -> None:
    assert cells.iso(1_700_000_000.25) == "2023-11-14T22:13:20.250000Z"
    assert cells.day(1_700_000_000.25) == "2023-11-14"
    assert cells.unix(1_700_000_000.25) == "1700000000.250000"
    assert [cells.sats(m) for m in (0, 1, -1, 999, -1_000, 123_456_789)] == [
        "0.000", "0.001", "-0.001", "0.999", "-1.000", "123456.789",
    ]  # fmt: skip


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_sats_are_exact(msat: int) -> None:
    text = cells.sats(msat)
    assert int(text.replace(".", "")) == msat
    assert len(text.partition(".")[2]) == 3


@given(st.text())
def test_no_text_can_be_a_formula(value: str) -> None:
    shown = cells.text(value)
    assert shown[:1] not in ("=", "+", "-", "@", "\t", "\r")
    assert shown.removeprefix("'") == value.removeprefix("'")


# -- CSV and JSON ---------------------------------------------------------------------------------


def test_a_forward_as_csv() -> None:
    writer = CsvWriter(tables.FORWARDS)
    text = writer.head() + writer.page([tables.of_forward(FORWARD, {"1x2x3": A})]) + writer.tail()
    assert text.endswith("\r\n")
    (row,) = read_csv(text)
    assert row == {
        "seq": "7", "time": "2023-11-14T22:13:20.250000Z", "unix_s": "1700000000.250000",
        "status": "settled", "in_channel": "1x2x3", "in_channel_id": A, "out_channel": "4x5x6",
        "out_channel_id": "", "in_msat": "10005", "in_sat": "10.005", "out_msat": "10000",
        "out_sat": "10.000", "fee_msat": "5", "fee_sat": "0.005", "failcode": "",
    }  # fmt: skip


def test_a_failed_forward_has_empty_cells() -> None:
    failed = FORWARD._replace(out_scid=None, out_msat=None, fee_msat=None, failcode=4_103)
    writer = CsvWriter(tables.FORWARDS)
    (row,) = read_csv(writer.head() + writer.page([tables.of_forward(failed, {})]))
    assert (row["out_channel"], row["out_msat"], row["fee_sat"]) == ("", "", "")
    assert row["failcode"] == "4103"


def test_each_posting_of_an_entry_is_a_row() -> None:
    writer = PostingsWriter()
    rows = read_csv(writer.head() + writer.page([tables.of_entry(ENTRY)]))
    assert list(rows[0]) == [
        "key", "time", "unix_s", "kind", "source", "account", "amount_msat", "amount_sat", "txid",
    ]  # fmt: skip
    assert [(r["account"], r["amount_msat"], r["amount_sat"]) for r in rows] == [
        (f"assets:channel:{A}", "5000001", "5000.001"),
        ("assets:wallet", "-5000001", "-5000.001"),
    ]
    assert {(r["key"], r["kind"], r["txid"]) for r in rows} == {("open:1", "open", "cd" * 32)}


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("x","y")'])
def test_what_others_wrote_is_no_formula_and_breaks_no_row(evil: str) -> None:
    fee = ImportedFee(1, "1x2x3", None, 1_700_000_000, None, 5, True, f'{evil}, "quoted"\nline')
    writer = CsvWriter(tables.DECISIONS)
    text = writer.head() + writer.page([tables.of_imported_fee(1, fee, {}), {"origin": "own"}])
    first, second = read_csv(text)
    assert first["reason"] == f"'{fee.reason}"
    assert second["origin"] == "own"
    assert (first["old_ppm"], first["new_ppm"], first["by_hand"]) == ("", "5", "1")


def test_json_is_one_object_with_a_row_a_line() -> None:
    writer = JsonWriter(tables.ENTRIES, {"what": "ledger"})
    text = writer.head()
    text += writer.page([tables.of_entry(ENTRY)]) + writer.page([])
    text += writer.page([tables.of_entry(ENTRY), tables.of_entry(ENTRY)]) + writer.tail()
    found = json.loads(text)
    assert found["what"] == "ledger" and len(found["rows"]) == 3
    assert found["rows"][0] == {
        "key": "open:1", "time": "2023-11-14T22:13:20.000000Z", "unix_s": 1_700_000_000,
        "kind": "open", "source": "bookkeeper", "txid": "cd" * 32, "evidence": {"a": 1},
        "postings": [
            {"account": f"assets:channel:{A}", "amount_msat": 5_000_001},
            {"account": "assets:wallet", "amount_msat": -5_000_001},
        ],
    }  # fmt: skip
    assert len(text.splitlines()) == 5
    empty = JsonWriter(tables.ENTRIES, {"what": "ledger"})
    assert json.loads(empty.head() + empty.tail())["rows"] == []


def test_a_decision_says_why_also_where_its_record_is_damaged() -> None:
    body = json.dumps({"sentence": "It sells.", "inputs": {"facts": {"peer_id": "02" * 33}}})
    line = DecisionLine(3, A, 1.5, 2.5, "set", "raise", 1, 2, False, 4, "set", body)
    record = tables.of_decision(line, {A: "1x2x3"})
    assert (record["reason"], record["channel"], record["peer_id"]) == (
        "It sells.", "1x2x3", "02" * 33,
    )  # fmt: skip
    assert record["record"] == json.loads(body)
    for torn in ("{", "[]", "null", '{"sentence": 1}'):
        assert tables.of_decision(line._replace(body=torn), {})["record"] is None
    (row,) = read_csv(
        CsvWriter(tables.DECISIONS).head() + CsvWriter(tables.DECISIONS).page([record])
    )
    assert "record" not in row and row["last_unix_s"] == "2.500000"


# -- the journal ----------------------------------------------------------------------------------

OPEN = re.compile(r"1970-01-01 open (\S+) MSAT\Z")
HEAD = re.compile(r'\d{4}-\d\d-\d\d \* "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"\Z')
POSTING = re.compile(r"  (\S+)  (-?\d+) MSAT\Z")
META = re.compile(r'  [a-z][a-z_]*: "(?:[^"\\]|\\.)*"\Z')
NAME = re.compile(r"(Assets|Income|Expenses|Equity|Liabilities)(:[A-Z0-9][A-Za-z0-9-]*)+\Z")


def parsed(text: str) -> tuple[list[str], list[list[tuple[str, int]]]]:
    """Accounts in the order of opening, and the postings of each transaction; strict."""
    opened: list[str] = []
    transactions: list[list[tuple[str, int]]] = []
    for line in text.split("\n"):
        if not line or line.startswith(("; ", "option ")) or line == "1970-01-01 commodity MSAT":
            continue
        if found := OPEN.match(line):
            assert NAME.match(found[1]), line
            assert found[1] not in opened, "opened twice"
            opened.append(found[1])
        elif HEAD.match(line):
            transactions.append([])
        elif found := POSTING.match(line):
            assert found[1] in opened, "used before it is opened"
            transactions[-1].append((found[1], int(found[2])))
        else:
            assert META.match(line), line
    assert all(sum(msat for _, msat in postings) == 0 for postings in transactions)
    return opened, transactions


def written(*entries: Entry, scid_of: Any = None) -> str:
    writer = BeancountWriter({"what": "ledger"}, scid_of or {})
    records = [tables.of_entry(entry) for entry in entries]
    return writer.head() + writer.page(records[:1]) + writer.page(records[1:]) + writer.tail()


def test_the_parser_finds_what_it_is_for() -> None:
    with pytest.raises(AssertionError):
        parsed('2023-11-14 * "a" "b"\n  Assets:Wallet  1 MSAT')
    opened = "1970-01-01 open Assets:Wallet MSAT\n"
    with pytest.raises(AssertionError):
        parsed(opened + '2023-11-14 * "a" "b"\n  Assets:Wallet  1 MSAT')
    with pytest.raises(AssertionError):
        parsed(opened + opened)
    with pytest.raises(AssertionError):
        parsed("1970-01-01 open assets:wallet MSAT")


def test_a_forward_and_an_entry_as_transactions() -> None:
    forward = journal.of_forward(FORWARD, {"1x2x3": A})
    assert forward is not None
    text = written(ENTRY, forward, scid_of={A: "1x2x3"})
    _, transactions = parsed(text)
    assert transactions == [
        [(f"Assets:Channel:C{A[:16]}", 5_000_001), ("Assets:Wallet", -5_000_001)],
        [(f"Assets:Channel:C{A[:16]}", 10_005), ("Assets:Channel:C4x5x6", -10_000),
         ("Income:Routing:C4x5x6", -5)],
    ]  # fmt: skip
    assert f'  channel_id: "{A}"\n  scid: "1x2x3"\n' in text
    assert '2023-11-14 * "open" "open:1"' in text


def test_only_a_settled_forward_moves_money() -> None:
    for status in ("failed", "local_failed", "offered"):
        assert journal.of_forward(FORWARD._replace(status=status), {}) is None


def test_channels_that_begin_alike_are_told_apart() -> None:
    names = [f"assets:channel:{A}", f"assets:channel:{B}", f"income:routing:{B}"]
    opened, _ = parsed(
        written(*(Entry(n, 0, "k", "s", "", ((n, 1), ("assets:wallet", -1))) for n in names))
    )
    assert len(set(opened)) == 4
    assert f"Assets:Channel:C{B}" in opened and f"Income:Routing:C{B[:16]}" in opened


ACCOUNTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["assets:wallet", f"assets:channel:{A}", f"assets:channel:{B}",
         "expenses:other-rebalance:1x2x3", "income:routing:1x2x3",
         "x", "", ":", "assets", "assets:", "assets:a b", "assets:a-b"]
    ),
)  # fmt: skip


@given(
    st.lists(
        st.tuples(
            st.text(), st.lists(st.tuples(ACCOUNTS, st.integers(-(10**15), 10**15)), max_size=4)
        )
    )
)
def test_whatever_the_names_are_it_parses_and_balances(rows: list[Any]) -> None:
    entries = [
        Entry(
            text,
            0,
            text,
            text,
            text,
            (*postings, ("equity:rest", -sum(m for _, m in postings))),
            text,
        )
        for text, postings in rows
    ]
    _, transactions = parsed(written(*entries))
    assert len(transactions) == len(entries)
    by_account: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    for entry, postings in zip(entries, transactions, strict=True):
        assert len(entry.postings) == len(postings)
        for (account, msat), (name, amount) in zip(entry.postings, postings, strict=True):
            assert msat == amount
            by_account[account] += 1
            shown[name] += 1
    assert len(by_account) == len(shown), "two accounts never share a name"


def test_beancount_itself_takes_it() -> None:
    loader = pytest.importorskip("beancount.loader")
    forward = journal.of_forward(FORWARD, {})
    assert forward is not None
    _, errors, _ = loader.load_string(written(ENTRY, forward))
    assert errors == []
