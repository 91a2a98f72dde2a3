"""What each report asks of whom, and which pure function makes its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from actors.report_archive import ReportArchive
from actors.report_days import ReportDays
from actors.report_gather import BALANCES, Found, Question
from cl_revenue_ops.domain.reports import (
    capacity,
    costs,
    dashboard,
    history,
    money,
    overview,
    profitability,
)
from cl_revenue_ops.domain.reports.ground import Balances, Ground, Missing
from cl_revenue_ops.domain.reports.profitability import Spans
from messages.books import Books, CostEntry, ReadBooks, ReadChainCosts, Reconcile, Reconciliation
from messages.node_books import NodeBalances
from messages.reports import ChainView, MakeReport, ReadChainView

ACCOUNTANT, NODE_READER = "accountant", "node-reader"
SHOWN_DAYS = 30

Questions = Mapping[str, Question]
Report = dict[str, object]


class Kept(NamedTuple):
    """What the Reporter itself has: snapshots and closings."""

    days: ReportDays
    archive: ReportArchive


class Plan(NamedTuple):
    """`ask` names the questions; those not in `optional` must be answered. `make` blocks at most
    on the store.
    """

    ask: Callable[[MakeReport, int], Questions]
    make: Callable[[MakeReport, Ground, Kept, Any], Report]
    optional: tuple[str, ...] = ()


def _books(from_day: int = 0) -> Question:
    return Question(ACCOUNTANT, lambda i, to, by: ReadBooks(i, to, by, from_day))


COSTS = Question(ACCOUNTANT, ReadChainCosts)
CHAIN = Question(NODE_READER, ReadChainView)


def _spans(asked: MakeReport, today: int) -> Questions:
    return {
        "life": _books(),
        "week": _books(today - 7),
        "month": _books(today - 30),
        "costs": COSTS,
    }


def books_in(found: Found, name: str) -> Books:
    """The books of this name."""
    books = found[name]
    assert isinstance(books, Books)
    return books


def _entries(found: Found) -> tuple[CostEntry, ...]:
    entries = found["costs"]
    assert isinstance(entries, tuple)
    return entries


def _balances(found: Found) -> Balances:
    balances = found["balances"]
    assert isinstance(balances, (NodeBalances, Missing))
    return balances


def _the_spans(found: Found) -> Spans:
    return Spans(*(books_in(found, name) for name in Spans._fields))


def _dashboard(asked: MakeReport, ground: Ground, kept: Kept, found: Found) -> Report:
    before = kept.days.before(money.day_of(ground.now_s) - asked.window_days)
    books = books_in(found, "books")
    return dashboard.dashboard(ground, asked.window_days, books, _balances(found), before)


def _summary(asked: MakeReport, ground: Ground, kept: Kept, found: Found) -> Report:
    month, life = books_in(found, "month"), books_in(found, "life")
    return overview.summary(ground, month, life, _balances(found))


def _costs(asked: MakeReport, ground: Ground, kept: Kept, found: Found) -> Report:
    books = {name: books_in(found, name) for name, _ in costs.WINDOWS}
    return costs.costs(ground, books, _entries(found))


def _reconcile(asked: MakeReport, ground: Ground, kept: Kept, found: Found) -> Report:
    result = found["reconciliation"]
    assert isinstance(result, Reconciliation)
    return overview.reconcile(ground, result)


def _history(asked: MakeReport, ground: Ground, kept: Kept, found: Found) -> Report:
    life = books_in(found, "life")
    closed = kept.archive.closed(ground, life, _entries(found))
    snapshots = kept.days.newest(SHOWN_DAYS, ground.now_s)
    return history.history(ground, life, closed, snapshots)


def _profitability(asked: MakeReport, ground: Ground, kept: Kept, found: Found) -> Report:
    spans = _the_spans(found)
    if asked.name is None:
        return profitability.profitability(ground, spans, _entries(found))
    row = _of(ground, kept, found, lambda e: e.channel_id == asked.name)[0]
    return profitability.one(row, ground, spans.life)


def _of(ground: Ground, kept: Kept, found: Found, chosen: Callable[[Any], bool]) -> list[Any]:
    """Some channels with their records, closed ones up to their end."""
    spans, entries = _the_spans(found), _entries(found)
    closed = kept.archive.closed(ground, spans.life, entries)
    ended = {row.entry.channel_id: row.closed_s for row in closed}
    picked = [entry for entry in ground.entries.values() if chosen(entry)]
    return profitability.channels_of(ground, spans, entries, picked, ended)


def _channel(asked: MakeReport, ground: Ground, kept: Kept, found: Found) -> Report:
    spans, entries = _the_spans(found), _entries(found)
    row = _of(ground, kept, found, lambda e: e.channel_id == asked.name)[0]
    ends = (
        c
        for c in kept.archive.closed(ground, spans.life, entries)
        if c.entry.channel_id == asked.name
    )
    return overview.channel(ground, row, spans.life, entries, next(ends, None))


def _peer(asked: MakeReport, ground: Ground, kept: Kept, found: Found) -> Report:
    spans, entries = _the_spans(found), _entries(found)
    rows = _of(ground, kept, found, lambda e: e.peer_id == asked.name)
    closed = kept.archive.closed(ground, spans.life, entries)
    return overview.peer(ground, str(asked.name), rows, spans, closed)


def _capacity(asked: MakeReport, ground: Ground, kept: Kept, found: Found) -> Report:
    chain = found["chain"]
    assert isinstance(chain, (ChainView, Missing))
    return capacity.capacity_report(ground, _the_spans(found), _entries(found), chain)


PLANS: Mapping[str, Plan] = {
    "dashboard": Plan(
        lambda asked, today: {"books": _books(today - asked.window_days), "balances": BALANCES},
        _dashboard,
        ("balances",),
    ),
    "summary": Plan(
        lambda asked, today: {
            "month": _books(today - overview.SUMMARY_DAYS),
            "life": _books(),
            "balances": BALANCES,
        },
        _summary,
        ("balances",),
    ),
    "peer": Plan(_spans, _peer),
    "channel": Plan(_spans, _channel),
    "costs": Plan(
        lambda asked, today: {
            **{name: _books(0 if days is None else today - days) for name, days in costs.WINDOWS},
            "costs": COSTS,
        },
        _costs,
    ),
    "policies": Plan(lambda asked, today: {}, lambda a, ground, k, f: overview.policies(ground)),
    "hive": Plan(lambda asked, today: {}, lambda a, ground, k, f: overview.hive(ground)),
    "reconcile": Plan(
        lambda asked, today: {"reconciliation": Question(ACCOUNTANT, Reconcile)}, _reconcile
    ),
    "history": Plan(lambda asked, today: {"life": _books(), "costs": COSTS}, _history),
    "profitability": Plan(_spans, _profitability),
    "capacity": Plan(
        lambda asked, today: {**_spans(asked, today), "chain": CHAIN}, _capacity, ("chain",)
    ),
}
