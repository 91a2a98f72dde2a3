"""revenue-export in the whole house: every kind and form, windows, kills, and what it refuses."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from actors import exporter
from cl_revenue_ops.ports import StoredDecision
from cl_revenue_ops.storage.fee_store import SqliteFeeStore
from tests.sim.exchange_support import TODAY, ExchangeHouse, beside, exchange_house
from tests.unit.test_export_rows import parsed

FORWARDS = 25


@pytest.fixture
def node() -> Iterator[ExchangeHouse]:
    with exchange_house() as node:
        yield node


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "PAGE_ROWS", 4)
    monkeypatch.setattr(exporter, "DECISIONS_A_PAGE", 3)


def paid(node: ExchangeHouse) -> tuple[str, str]:
    """Some forwards, one of them failed, and an entry of the ledger; the two channels."""
    one, two = (node.open(name, 10_000_000, 5_000_000) for name in ("alice", "bob"))
    node.wait_s(30)
    for number in range(FORWARDS):
        node.pay(one, two, 1_000_000 + number, fee_msat=1_000 + number)
        node.wait_s(60)
    node.pay(one, two, 5_000_000, fee_msat=9_000, outcome="failed")
    node.deleted(777, TODAY - 1)
    node.wait_s(30)
    return one, two


def written(node: ExchangeHouse, name: str) -> list[dict[str, str]]:
    with beside(node, name).open(newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_forwards_as_csv_and_json_are_all_of_them(node: ExchangeHouse) -> None:
    one, two = paid(node)
    answer = node.call("revenue-export", ["forwards", "csv", "forwards.csv"])
    assert answer["records"] == FORWARDS + 1
    assert answer["path"] == str(beside(node, "forwards.csv"))
    rows = written(node, "forwards.csv")
    assert [int(row["seq"]) for row in rows] == list(range(1, FORWARDS + 2))
    assert {row["in_channel_id"] for row in rows} == {one}
    assert {row["out_channel_id"] for row in rows} == {two}
    settled = [row for row in rows if row["status"] == "settled"]
    assert sum(int(row["fee_msat"]) for row in settled) == sum(range(1_000, 1_000 + FORWARDS))
    assert all(int(r["in_msat"]) - int(r["out_msat"]) == int(r["fee_msat"]) for r in settled)
    node.call("revenue-export", {"what": "forwards", "format": "json", "path": "f.json"})
    found = json.loads(beside(node, "f.json").read_text())
    assert found["what"] == "forwards"
    assert [row["seq"] for row in found["rows"]] == [int(row["seq"]) for row in rows]
    assert [row["time"] for row in found["rows"]] == [row["time"] for row in rows]


def test_the_ledger_has_entries_and_forwards_and_balances(node: ExchangeHouse) -> None:
    one, two = paid(node)
    answer = node.call("revenue-export", ["ledger", "csv", "ledger.csv"])
    entries = len(node.entries())
    assert entries > 1
    assert answer["records"] == FORWARDS + entries, "a failed forward moved nothing"
    sums: dict[str, int] = defaultdict(int)
    totals: dict[str, int] = defaultdict(int)
    for row in written(node, "ledger.csv"):
        sums[row["key"]] += int(row["amount_msat"])
        totals[row["account"]] += int(row["amount_msat"])
    assert len(sums) == FORWARDS + entries and not any(sums.values())
    stored = {name: msat for name, msat in node.totals().items() if not name.startswith("assets:")}
    assert {name: totals[name] for name in stored} == stored
    earned = sum(range(1_000, 1_000 + FORWARDS))
    assert totals[f"income:routing:{two}"] == -earned
    assert totals["income:unattributed"] == -777
    node.call("revenue-export", ["ledger", "json", "ledger.json"])
    found = json.loads(beside(node, "ledger.json").read_text())["rows"]
    assert [row["key"] for row in found] == list(sums)
    answer = node.call("revenue-export", ["ledger", "beancount", "ledger.beancount"])
    text = beside(node, "ledger.beancount").read_text()
    opened, transactions = parsed(text)
    assert len(transactions) == FORWARDS + entries
    by_name: dict[str, int] = defaultdict(int)
    for postings in transactions:
        for name, msat in postings:
            by_name[name] += msat
    assert by_name[f"Income:Routing:C{two[:16]}"] == -earned
    assert sorted(by_name.values()) == sorted(totals.values()) and len(opened) == len(totals)
    assert f'  channel_id: "{one}"' in text


def test_decisions_with_their_records(node: ExchangeHouse) -> None:
    for name in ("alice", "bob"):
        node.open(name, 10_000_000, 5_000_000)
    node.wait_s(7_200)
    answer = node.call("revenue-export", ["decisions", "json", "d.json"])
    rows = json.loads(beside(node, "d.json").read_text())["rows"]
    stored = node.query("SELECT id, body, repeats FROM fee_decision ORDER BY id")
    assert answer["records"] == len(rows) == len(stored) > 3
    rows.sort(key=lambda row: row["number"])
    assert [row["number"] for row in rows] == [number for number, _, _ in stored]
    assert [row["record"] for row in rows] == [json.loads(body) for _, body, _ in stored]
    assert all(row["reason"] and row["channel"] and row["origin"] == "own" for row in rows)
    times = sorted(row["last_unix_s"] for row in rows)
    since, until = times[1], times[-1]
    window = {"what": "decisions", "format": "csv", "path": "w.csv", "since": since, "until": until}
    kept = [time for time in times if since <= time < until]
    assert node.call("revenue-export", window)["records"] == len(kept) < len(times)
    node.call("revenue-export", ["decisions", "csv", "d.csv"])
    assert {row["number"] for row in written(node, "d.csv")} == {str(r["number"]) for r in rows}


def test_a_decision_that_is_repeated_meanwhile_is_written_once(
    node: ExchangeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alice", "bob"):
        node.open(name, 10_000_000, 5_000_000)
    node.wait_s(7_200)
    read, pages = SqliteFeeStore.decisions_after, []

    def repeated(
        store: SqliteFeeStore, place: tuple[float, int], limit: int
    ) -> tuple[StoredDecision, ...]:
        page = read(store, place, limit)
        pages.append(page)
        if len(pages) == 1:
            with store._writing() as connection:
                connection.execute(
                    "UPDATE fee_decision SET last_at_s = last_at_s + 1e6 WHERE id = ?",
                    (page[0].decision_id,),
                )
        return page

    monkeypatch.setattr(SqliteFeeStore, "decisions_after", repeated)
    answer = node.call("revenue-export", ["decisions", "csv", "d.csv"])
    read_ids = [row.decision_id for page in pages for row in page]
    assert read_ids.count(pages[0][0].decision_id) == 2, "it came a second time"
    numbers = [row["number"] for row in written(node, "d.csv")]
    assert len(set(numbers)) == len(numbers) == answer["records"]


def test_a_window_holds_from_since_to_before_until(node: ExchangeHouse) -> None:
    paid(node)
    node.call("revenue-export", ["forwards", "csv", "all.csv"])
    times = [float(row["unix_s"]) for row in written(node, "all.csv")]
    since, until = times[5], times[9]
    for form, name in (
        (["forwards", "csv", "a.csv", since, until], "a.csv"),
        (["forwards", "csv", f"since={since:.6f}", f"until={until:.6f}", "path=b.csv"], "b.csv"),
        (
            {"what": "forwards", "format": "csv", "path": "c.csv", "since": since, "until": until},
            "c.csv",
        ),
    ):
        assert node.call("revenue-export", form)["records"] == 4
        assert [float(row["unix_s"]) for row in written(node, name)] == times[5:9]
    day = node.call("revenue-export", ["ledger", "csv", "d.csv", "2023-11-13", "2023-11-14"])
    assert day["records"] == 1 and day["since"] == "2023-11-13T00:00:00.000000Z"
    assert {row["key"] for row in written(node, "d.csv")} == {"opening"}
    later = ["forwards", "csv", "e.csv", "2023-11-14T22:13:20"]
    assert node.call("revenue-export", later)["records"] == FORWARDS + 1


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ([], "what is missing"),
        (["ledger"], "format is missing"),
        (["ledger", "csv"], "path is missing"),
        (["books", "csv", "a.csv"], "what must be one of ledger, forwards, decisions"),
        (["ledger", "xlsx", "a.xlsx"], "format must be one of csv, json, beancount"),
        (["forwards", "beancount", "a.beancount"], "forwards is written as csv or json"),
        (["ledger", "csv", "a.json"], "must end with .csv"),
        (["ledger", "csv", "../a.csv"], "lies outside"),
        (["ledger", "csv", "/etc/a.csv"], "lies outside"),
        (["ledger", "csv", "revenue_ops.db"], "must end with .csv"),
        (["ledger", "csv", "a.csv", "yesterday"], "since must be Unix seconds or a date"),
        (["ledger", "csv", "a.csv", "2023-02-30"], "since must be"),
        (["ledger", "csv", "a.csv", -5], "since must be"),
        (["ledger", "csv", "a.csv", True], "since must be"),
        (["ledger", "csv", "a.csv", 10, 10], "until must lie after since"),
        (["ledger", "csv", "a.csv", 1, 2, 3], "too many arguments"),
        (["ledger", "csv", 5], "path must be a text"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    node: ExchangeHouse, params: list[Any], why: str
) -> None:
    assert why in node.complaint("revenue-export", *params)
    assert not list(Path(node.network_dir).glob("*.csv*"))


def test_nothing_is_overwritten(node: ExchangeHouse) -> None:
    beside(node, "a.csv").write_text("mine")
    assert "is there already" in node.complaint("revenue-export", "ledger", "csv", "a.csv")
    assert beside(node, "a.csv").read_text() == "mine"
    node.call("revenue-export", ["ledger", "csv", "b.csv"])
    assert "is there already" in node.complaint("revenue-export", "forwards", "csv", "b.csv")


def test_killed_anywhere_there_is_no_half_file_under_the_name(node: ExchangeHouse) -> None:
    paid(node)
    began = node.life.handled
    node.call("revenue-export", ["ledger", "csv", "whole.csv"])
    steps, whole = node.life.handled - began, beside(node, "whole.csv").read_text()
    assert steps > 15
    target = beside(node, "a.csv")
    drafts = 0
    for step in range(1, steps):
        node.life.die_after(step)
        with suppress(Exception):
            node.call("revenue-export", ["ledger", "csv", "a.csv"])
        assert not target.exists() or target.read_text() == whole
        drafts += beside(node, "a.csv.part").exists()
        target.unlink(missing_ok=True)
        node.restart()
        node.settle()
    assert drafts > 5
    node.call("revenue-export", ["ledger", "csv", "a.csv"])
    assert target.read_text() == whole
    assert not beside(node, "a.csv.part").exists()


def test_a_full_disk_leaves_no_file_and_the_next_one_is_written(
    node: ExchangeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("cl_revenue_ops.storage.export_file.os.write", full)
        answer = node.call("revenue-export", ["ledger", "csv", "a.csv"])
    assert answer["status"] == "error"
    assert "no file was written" in answer["error"] and "No space left" in answer["error"]
    assert not list(Path(node.network_dir).glob("a.csv*"))
    assert node.call("revenue-export", ["ledger", "csv", "a.csv"])["status"] == "success"
