"""Reports as text: 100 columns, separators, bars, and nothing that lightning-cli would garble."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.adapters.report_node import plain_alias
from cl_revenue_ops.domain.reports import dashboard, overview, profitability, tables, text
from cl_revenue_ops.simnode.cli import shown
from messages.books import Assertion, Reconciliation
from tests.unit.report_support import (
    NOW_S,
    balances,
    books,
    channel_id,
    entry,
    ground,
    peer_id,
    row,
    spans,
)

LONG = "a very long name of a very long node that never ends"


def lines_of(what: str, report: Any) -> list[str]:
    answer = text.answer(what, report)
    assert set(answer) == {"format-hint", "text"}
    assert answer["format-hint"] == "simple"
    body = answer["text"]
    assert isinstance(body, str)
    assert shown(answer) == body, "lightning-cli leaves the name of a single member out"
    assert body.isascii() and '"' not in body and "\\" not in body and "\t" not in body
    lines = body.split("\n")
    assert max(map(len, lines)) <= tables.WIDTH
    return lines


def test_profitability_has_bars_aliases_separators_and_totals() -> None:
    found = ground(
        entry(1, local_msat=250_000_000), entry(2), aliases={peer_id(1): LONG, peer_id(2): 'q"\\'}
    )
    life = books(
        row(1, out_fees_msat=12_345_678_000, settled_out=9), row(2, opening_msat=9_000_000)
    )
    lines = lines_of("profitability", profitability.profitability(found, spans(life), ()))
    (first,) = [line for line in lines if line.startswith(str(entry(1).fact.scid))]
    assert "[##------]" in first and "12,345,678" in first and LONG[:10] in first
    (second,) = [line for line in lines if line.startswith(str(entry(2).fact.scid))]
    assert "q'/" in second and "-9,000" in second
    (total,) = [line for line in lines if line.startswith("total")]
    assert "12,336,678" in total
    assert any(line.startswith("Covers 20") and "(30.00 days)" in line for line in lines)


def test_a_peer_without_an_alias_goes_by_the_beginning_of_its_id() -> None:
    lines = lines_of(
        "profitability", profitability.profitability(ground(entry(1)), spans(books()), ())
    )
    assert any(f"{peer_id(1)[:12]}..." in line for line in lines)


def test_the_dashboard_shows_what_is_not_known_as_such() -> None:
    from cl_revenue_ops.domain.reports.ground import Missing

    rows = books(row(1, rebalance_msat=400_000), row(2, out_fees_msat=1_500_000_000))
    found = ground(entry(1), entry(2))
    lines = lines_of("dashboard", dashboard.dashboard(found, 30, rows, Missing("away"), None))
    assert "Net worth                   not known" in lines
    assert any(line.startswith("Revenue") and "1,500,000 sats" in line for line in lines)
    assert any(line.startswith(str(entry(1).fact.scid)) for line in lines)
    assert any("could not be read from the node: away" in line for line in lines)
    known = dashboard.dashboard(
        found, 30, rows, balances(), {"net_worth_sats": 1, "date": "2024-02-29"}
    )
    assert any(
        "+11,999 sats since the end of 2024-02-29" in x for x in lines_of("dashboard", known)
    )


def reconciled(*rows: Assertion, trouble: str | None = None) -> Any:
    return overview.reconcile(ground(entry(1)), Reconciliation(NOW_S, rows, trouble))


def test_reconcile_says_in_words_what_is_left_for_each_account() -> None:
    good = Assertion("balance", channel_id(1), 5_000, 5_000, "bkpr-listbalances")
    silent = Assertion("balance", "wallet", 5_000, None, "listfunds")
    assert reconciled(good)["balanced"] is True
    bad = reconciled(good, silent, good._replace(ours_msat=7_500))
    assert (bad["balanced"], bad["unexplained_msat"]) == (False, 2_500)
    assert (bad["compared"], bad["not_compared"]) == (2, 1)
    assert [each["remainder_msat"] for each in bad["rows"]] == [0, None, 2_500]
    assert bad["in_words"][1] == (
        f"balance of {entry(1).fact.scid}: the books have 2,500 msat more than bkpr-listbalances"
        " (unexplained)."
    )
    explained = reconciled(good._replace(theirs_msat=6_000, note="a payment on its way"))
    assert (explained["balanced"], explained["unexplained_msat"]) == (True, 0)
    assert "1,000 msat less" in explained["in_words"][1]
    assert lines_of("reconcile", bad)
    nothing = reconciled(silent)
    assert not nothing["balanced"]
    away = reconciled(trouble="the node is away")
    assert not away["balanced"] and "the node is away" in away["in_words"][0]
    assert lines_of("reconcile", away)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "[----]"), (0.5, "[##--]"), (1.0, "[####]"), (7.0, "[####]"), (None, "[----]")],
)
def test_a_bar_is_as_full_as_the_share(share: float | None, expected: str) -> None:
    assert tables.bar(share, 4) == expected


def test_numbers_have_separators_and_what_is_unknown_a_dash() -> None:
    assert tables.number(-1234567) == "-1,234,567"
    assert tables.number(1234.5, 2) == "1,234.50"
    assert tables.number(None) == "-"


words = st.text(max_size=60)


@given(st.lists(st.tuples(words, words, st.integers(-(10**15), 10**15)), max_size=5))
def test_no_table_is_wider_than_a_terminal(rows: list[tuple[str, str, int]]) -> None:
    columns = [
        tables.Column("a", right=False), tables.Column("b", right=False, elastic=True),
        tables.Column("c"),
    ]  # fmt: skip
    cells = [(tables.plain(a), tables.plain(b), tables.number(c)) for a, b, c in rows]
    for line in tables.table(columns, cells, ("total", "", "1")):
        assert len(line) <= tables.WIDTH
        assert line.isascii()


@given(words)
def test_wrapped_lines_keep_every_word(sentence: str) -> None:
    lines = tables.wrapped(sentence * 4)
    assert all(len(line) <= tables.WIDTH for line in lines)
    joined = "".join("".join(lines).split())
    assert joined == "".join(tables.plain(sentence * 4).split()) or len(joined) <= tables.WIDTH


@given(words)
def test_an_alias_is_one_short_line_of_ascii(alias: str) -> None:
    found = plain_alias(alias)
    assert found is None or (found.isascii() and found.isprintable() and len(found) <= 32)
