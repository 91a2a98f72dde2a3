"""revenue-report shadow over the whole house: what dry run held back, beside what was earned."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.sim.house_support import HouseNode, house_node
from tests.sim.house_traffic import CATCH_UP_S

DAY_S = 86_400.0
AMOUNT_MSAT = 20_000_000


@pytest.fixture
def node() -> Iterator[HouseNode]:
    """A house that has managed its channels for four days, with traffic on the last."""
    with house_node(start=False) as node:
        for name in ("alice", "bob", "carol"):
            node.open(name, 10_000_000, 5_000_000)
        node.start()
        node.settle()
        node.wait_s(3 * DAY_S)
        carry(node, 24)
        yield node


def carry(node: HouseNode, count: int) -> int:
    """An hour between two forwards from the first channel to the second; what they paid."""
    incoming, outgoing = list(node.world.channels)[:2]
    paid = 0
    for _ in range(count):
        fee_msat = AMOUNT_MSAT * node.world.channel(outgoing).policy.ppm // 1_000_000 + 1
        node.world.forward(incoming, outgoing, AMOUNT_MSAT, AMOUNT_MSAT + fee_msat, node.now_s)
        paid += fee_msat
        node.wait_s(3_600.0)
    return paid


def fees(node: HouseNode) -> dict[str, int]:
    return {c.channel_id: int(c.policy.ppm) for c in node.world.channels.values()}


def shadow(node: HouseNode, days: int = 1) -> dict[str, Any]:
    answer = node.call("revenue-report", ["shadow", days])
    assert "error" not in answer
    json.dumps(answer, allow_nan=False)
    assert isinstance(answer, dict)
    return answer


def by_channel(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["full_channel_id"]: row for row in answer["channels"]}


def test_without_dry_run_nothing_is_held_back(node: HouseNode) -> None:
    answer = shadow(node)
    assert answer["nothing_held_back"] is True
    assert answer["held_back_by"] == {}
    total = answer["total"]
    assert total["days"]["decided"] == pytest.approx(3.0, abs=0.1)
    assert total["fee_in_force_ppm"] == total["fee_decided_ppm"]
    assert total["by_the_posterior"]["difference_msat"] == 0


def test_dry_run_writes_nothing_and_tells_what_it_held_back(node: HouseNode) -> None:
    node.call("revenue-config", ["set", "dry_run", True])
    before, written = fees(node), node.calls.get("setchannel", 0)
    for _ in range(4):
        carry(node, 6)
    assert (fees(node), node.calls.get("setchannel", 0)) == (before, written)
    answer = shadow(node)
    assert answer["nothing_held_back"] is False
    ((why, days),) = answer["held_back_by"].items()
    assert why.startswith("not written: dry run")
    assert days == answer["total"]["days"]["held_back"] > 0.5
    rows = by_channel(answer)
    assert {c: row["fee_in_force_ppm"] for c, row in rows.items()} == {
        c: pytest.approx(ppm, abs=0.1) for c, ppm in before.items()
    }
    moved = [row for row in rows.values() if row["fee_decided_ppm"] != row["fee_in_force_ppm"]]
    assert moved
    for row in moved:
        gain = row["by_the_posterior"]
        assert gain["low_msat"] < gain["high_msat"]


def test_the_parts_of_the_report_are_its_whole(node: HouseNode) -> None:
    node.call("revenue-config", ["set", "dry_run", True])
    node.wait_s(DAY_S)
    answer = shadow(node)
    rows = answer["channels"]
    for name in ("decided", "held_back", "not_free", "without_posterior"):
        assert sum(row["days"][name] for row in rows) == pytest.approx(
            answer["total"]["days"][name], abs=0.01
        )
    parts = sum(row["by_the_posterior"]["difference_msat"] for row in rows)
    assert parts == pytest.approx(answer["total"]["by_the_posterior"]["difference_msat"], abs=3)


def test_the_posterior_of_the_moment_is_what_counts(node: HouseNode) -> None:
    """Recomputed from what the explanation says of a decision that was held back just now."""
    held: list[tuple[Any, ...]] = []
    for _ in range(20):
        node.call("revenue-config", ["set", "dry_run", True])
        began_s = node.now_s
        node.call("revenue-wake-all")
        node.settle()
        held = node.query(
            "SELECT channel_id, new_ppm FROM fee_decision WHERE outcome LIKE 'not written%'"
            " AND at_s = ? AND channel_id NOT IN"
            " (SELECT channel_id FROM fee_decision WHERE outcome LIKE 'not written%' AND at_s < ?)",
            began_s,
            began_s,
        )
        if held:
            break
        node.call("revenue-config", ["set", "dry_run", False])
        carry(node, 2)
    assert held, "no draw was worth an update"
    node.wait_s(600.0)
    rows = by_channel(shadow(node))
    for channel_id, ppm in held:
        row, (told,) = rows[channel_id], node.call("revenue-fee-debug", [channel_id])["channels"]
        assert told["wanted_ppm"] == ppm
        assert row["days"]["held_back"] == pytest.approx(600 / DAY_S, abs=1e-3)
        net = told["belief"]["stock_value_ppm"]["net"]
        wanted, stands = (
            told["belief"][f"volume_at_{name}"] for name in ("wanted_fee", "fee_in_force")
        )
        gain = wanted["mid"] * (ppm - net) - stands["mid"] * (stands["fee_ppm"] - net)
        assert row["by_the_posterior"]["difference_msat"] == pytest.approx(
            gain / 1e3 * 600 / DAY_S, abs=2, rel=0.02
        )


def test_the_end_of_dry_run_ends_the_holding_back(node: HouseNode) -> None:
    node.call("revenue-config", ["set", "dry_run", True])
    node.wait_s(0.5 * DAY_S)
    node.call("revenue-config", ["set", "dry_run", False])
    node.wait_s(1.0 * DAY_S)
    assert shadow(node, 2)["nothing_held_back"] is False
    node.wait_s(0.5 * DAY_S)
    assert shadow(node)["nothing_held_back"] is True


def test_raw_is_what_the_forwards_really_paid(node: HouseNode) -> None:
    node.wait_s(CATCH_UP_S)
    paid = node.query("SELECT sum(fee_msat) FROM forward_log WHERE status = 'settled'")[0][0]
    assert paid > 0
    outgoing = list(node.world.channels)[1]
    answer = shadow(node, 2)
    raw = by_channel(answer)[outgoing]["raw"]
    assert raw == {"before_msat_per_day": 0, "within_msat_per_day": round(paid / 2)}
    assert answer["total"]["raw"] == raw
    assert answer["raw_before_is_whole"] is False
    node.wait_s(1.5 * DAY_S)
    raw = by_channel(shadow(node, 1))[outgoing]["raw"]
    assert raw["within_msat_per_day"] == 0
    before = node.query(
        "SELECT sum(fee_msat) FROM forward_log WHERE status = 'settled' AND resolved_at_s >= ?",
        node.now_s - 2 * DAY_S,
    )[0][0]
    assert raw["before_msat_per_day"] == before > 0


def test_a_spliced_channel_keeps_its_raw_earnings(node: HouseNode) -> None:
    node.wait_s(CATCH_UP_S)
    outgoing = list(node.world.channels)[1]
    before = by_channel(shadow(node, 2))[outgoing]["raw"]["within_msat_per_day"]
    node.splice(outgoing, 100_000)
    node.wait_s(CATCH_UP_S)
    row = by_channel(shadow(node, 2))[outgoing]
    assert row["raw"]["within_msat_per_day"] == before > 0
    assert row["channel_id"] == node.world.channel(outgoing).scid


def test_many_decisions_are_read_in_several_steps(
    node: HouseNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.call("revenue-config", ["set", "dry_run", True])
    node.wait_s(DAY_S)
    whole = shadow(node, 3)
    monkeypatch.setattr("actors.fee_shadow.DECISIONS_A_STEP", 2)
    monkeypatch.setattr("cl_revenue_ops.storage.forward_store.MOST_SUMMED", 5)
    assert shadow(node, 3) == whole


def test_the_report_stores_and_changes_nothing(node: HouseNode) -> None:
    before = node.dump(), fees(node)
    shadow(node)
    assert (node.dump(), fees(node)) == before


def test_damaged_records_are_counted_and_not_fatal(node: HouseNode) -> None:
    node.call("revenue-config", ["set", "dry_run", True])
    node.wait_s(0.5 * DAY_S)
    node.checkpoint()
    with closing(sqlite3.connect(node.database)) as file, file:
        file.execute("UPDATE fee_decision SET body = '{'")
    days = shadow(node)["total"]["days"]
    assert days["without_posterior"] == days["held_back"] > 0.0


def test_the_kind_of_report_may_stand_anywhere_by_its_name(node: HouseNode) -> None:
    whole = shadow(node, 2)
    for words in (["window_days=2", "report_type=shadow"], ["window_days=2", "shadow"]):
        assert node.call("revenue-report", words) == whole
