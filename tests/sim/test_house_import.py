"""revenue-import in the whole house: what it takes, once, over kills, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.simnode.faults import Fault
from messages.books import Entry
from tests.sim.exchange_support import DAY_S, TODAY, ExchangeHouse, beside, exchange_house
from tests.unit.earlier_files import everything, make

CLOSED = "700x7x0"
PEERS = ["02" + f"{n:064x}" for n in range(1, 251)]
FIGURES = ("policies", "days", "fees_msat", "costs", "costs_msat", "fee_changes", "channels")
NOTHING = dict.fromkeys(FIGURES, 0)


@pytest.fixture
def node() -> Iterator[ExchangeHouse]:
    with exchange_house() as node:
        yield node


def at(day: int) -> int:
    return day * DAY_S + 3_600


def rows(scid: str) -> dict[str, list[dict[str, Any]]]:
    """What an earlier plugin had of one open channel (`scid`) and of one that is closed."""
    return {
        "peer_policies": [
            {"peer_id": peer, "strategy": "static", "rebalance_mode": "enabled",
             "fee_ppm_target": 10 + n, "tags": '["old"]', "updated_at": at(TODAY - 90)}
            for n, peer in enumerate(PEERS[:150])
        ] + [{"peer_id": PEERS[200], "strategy": "passive", "expires_at": at(TODAY - 1)}],
        "forwards": [
            {"id": n, "in_channel": CLOSED, "out_channel": scid, "in_msat": 1_000_100,
             "out_msat": 1_000_000, "fee_msat": 100, "timestamp": at(TODAY - 40 + n // 60)}
            for n in range(1, 1_205)
        ],
        "daily_forwarding_stats": [
            {"channel_id": CLOSED, "date": day * DAY_S, "total_fee_msat": 20_000}
            for day in range(TODAY - 50, TODAY - 40)
        ],
        "channel_costs": [
            {"channel_id": CLOSED, "peer_id": PEERS[0], "open_cost_sats": 5_000,
             "capacity_sats": 10**6, "opened_at": at(TODAY - 80)},
            {"channel_id": scid, "peer_id": PEERS[1], "open_cost_sats": 712,
             "capacity_sats": 10**6, "opened_at": at(TODAY - 70)},
        ],
        "rebalance_costs": [
            {"id": n, "channel_id": scid, "cost_sats": n, "amount_sats": 10**5,
             "timestamp": at(TODAY - 60)}
            for n in range(1, 701)
        ],
        "closed_channels": [
            {"channel_id": CLOSED, "peer_id": PEERS[0], "capacity_sats": 10**6,
             "opened_at": at(TODAY - 80), "closed_at": at(TODAY - 45), "close_type": "mutual",
             "total_revenue_sats": 200}
        ],
        "channel_states": [
            {"channel_id": name, "peer_id": PEERS[0], "state": "balanced", "capacity": 10**6}
            for name in (scid, CLOSED, "800x8x1")
        ],
        "fee_changes": [
            {"id": n, "channel_id": scid, "old_fee_ppm": n, "new_fee_ppm": n + 1,
             "reason": "=1+1", "manual": 0, "timestamp": at(TODAY - 30)}
            for n in range(1, 1_101)
        ],
        "config_overrides": [{"key": "min_fee_ppm", "value": "77", "version": 1}],
        "pid_state": [{"channel_id": scid, "integral": 0.5}],
    }  # fmt: skip


EARNED = 1_204 * 100 + 10 * 20_000


class Story:
    """A node with a channel, something unattributed, and an earlier database beside it."""

    def __init__(self, node: ExchangeHouse, folder: Path, unattributed_msat: int = EARNED) -> None:
        self.node = node
        channel_id = node.open("alice", 1_000_000, 500_000)
        node.wait_s(60)
        scid = node.world.channel(channel_id).scid
        assert scid is not None
        self.channel_id, self.scid = channel_id, scid
        node.deleted(unattributed_msat, TODAY - 1)
        self.path = make(folder / "revenue_ops.db", rows(scid))

    def run(self, *more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.node.call("revenue-import", [str(self.path), *more])
        return answer

    def state(self) -> dict[str, Any]:
        """Everything that an import may leave."""
        node = self.node
        imported = {
            table: node.query(f"SELECT * FROM {table} ORDER BY 1")
            for table in ("imported_channel", "imported_fee_change", "imported_policy")
        }
        entries = sorted(
            (e.key, e.at_s, e.kind, e.postings) for e in node.entries() if e.source == "import"
        )
        left_msat = node.totals().get("income:unattributed", 0)
        policies = node.call("revenue-policy", ["list"])["policies"]
        bare = [{k: v for k, v in policy.items() if k != "updated_at"} for policy in policies]
        return {**imported, "entries": entries, "left_msat": left_msat, "policies": bare}


def test_everything_is_taken_once(node: ExchangeHouse, tmp_path: Path) -> None:
    story = Story(node, tmp_path)
    before = everything(story.path)
    answer = story.run()
    assert answer["taken"] == {
        "policies": 150, "days": 31, "fees_msat": EARNED, "costs": 701,
        "costs_msat": (5_000 + 700 * 701 // 2) * 1_000, "fee_changes": 1_100, "channels": 2,
    }  # fmt: skip
    assert everything(story.path) == before
    totals = node.totals()
    assert "income:unattributed" not in totals, "all of it has its channel now"
    assert totals[f"income:imported:{story.channel_id}"] == -1_204 * 100
    assert totals[f"income:imported:{CLOSED}"] == -10 * 20_000
    assert 0 < totals[f"expenses:opening:{story.channel_id}"] != 712_000
    assert any("1 cost of 1 channel left out: the node's own" in s for s in answer["not_trusted"])
    assert totals[f"expenses:other-rebalance:{story.channel_id}"] == 700 * 701 // 2 * 1_000
    assert totals[f"expenses:opening:{CLOSED}"] == 5_000_000
    assert sum(totals.values()) == 0
    assert answer["config_overrides"] == ["min_fee_ppm=77"]
    assert node.call("revenue-config", ["get", "min_fee_ppm"])["value"] != 77
    assert answer["left_out"]["config_overrides"] == "1 row: shown, never applied"
    assert answer["left_out"]["pid_state"].startswith("1 row: ")
    assert (answer["unknown_columns"], answer["missing_columns"]) == ({}, {})
    assert any("its estimate of 5000 sats" in line for line in answer["not_trusted"])
    assert any("1 had expired" in line for line in answer["not_trusted"])
    assert len(answer["fingerprint"]) == 64 and answer["path"] == str(story.path)
    policy = node.call("revenue-policy", ["get", PEERS[3]])["policy"]
    assert (policy["strategy"], policy["fee_ppm_target"], policy["tags"]) == ("static", 13, ["old"])
    assert {row[0] for row in node.query("SELECT scid FROM imported_channel")} == {
        CLOSED, "800x8x1",
    }  # fmt: skip

    state = story.state()
    again = story.run()
    assert again["taken"] == NOTHING and "nothing new was found" in again["message"]
    assert again["already_known"] == {
        "policies": 150, "days": 31, "costs": 701, "fee_changes": 1_100, "channels": 2,
    }  # fmt: skip
    assert story.state() == state


def test_a_dry_run_shows_all_that_and_writes_nothing(node: ExchangeHouse, tmp_path: Path) -> None:
    story = Story(node, tmp_path)
    before = story.state()
    shown = story.run(True)
    assert shown["dry_run"] is True and "nothing was written" in shown["message"]
    assert story.state() == before
    done = story.run()
    assert done["taken"] == shown["taken"] and done["not_trusted"] == shown["not_trusted"]


@pytest.mark.parametrize("seed", range(3))
def test_killed_anywhere_and_run_again_it_is_as_if_run_once(tmp_path: Path, seed: int) -> None:
    with exchange_house() as node:
        (tmp_path / "once").mkdir()
        story = Story(node, tmp_path / "once")
        began = node.life.handled
        story.run()
        steps, wanted = node.life.handled - began, story.state()
    assert steps > 30
    with exchange_house() as node:
        (tmp_path / "often").mkdir()
        story = Story(node, tmp_path / "often")
        kills = 0
        for step in range(1 + seed, steps + 1, 3):
            node.life.die_after(step)
            with suppress(Exception):
                story.run()
            kills += not node.life.alive
            node.restart()
            node.read_books()
        assert kills > 10
        node.life.dies_when = lambda: False
        story.run()
        assert story.run()["taken"] == NOTHING
        assert story.state() == wanted
        assert list(Path(node.network_dir).glob("revenue_import*")) == []


def test_what_is_ours_stays(node: ExchangeHouse, tmp_path: Path) -> None:
    story = Story(node, tmp_path)
    node.call("revenue-policy", {"action": "set", "peer_id": PEERS[3], "strategy": "passive"})
    answer = story.run()
    assert answer["taken"]["policies"] == 149
    assert any(PEERS[3] in line and "stays" in line for line in answer["not_trusted"])
    assert node.call("revenue-policy", ["get", PEERS[3]])["policy"]["strategy"] == "passive"
    node.call("revenue-policy", ["delete", PEERS[5]])
    assert story.run()["taken"]["policies"] == 0, "what was deleted since stays deleted"


def test_a_doubled_revenue_is_not_believed(node: ExchangeHouse, tmp_path: Path) -> None:
    story = Story(node, tmp_path, unattributed_msat=EARNED // 2)
    answer = story.run()
    taken = answer["taken"]["fees_msat"]
    assert EARNED // 2 - 20_000 < taken <= EARNED // 2
    assert any(
        f"than the {EARNED // 2} msat that this node earned" in s for s in answer["not_trusted"]
    )
    assert node.totals().get("income:unattributed", 0) == taken - EARNED // 2
    assert story.run()["taken"] == NOTHING


def test_of_days_in_our_own_list_nothing_is_taken(node: ExchangeHouse, tmp_path: Path) -> None:
    story = Story(node, tmp_path)
    other = node.open("bob", 1_000_000, 500_000)
    node.pay(other, story.channel_id, 100_000_000, fee_msat=5_000)
    node.wait_s(60)
    own = [{"id": 1, "out_channel": story.scid, "fee_msat": 7, "timestamp": int(node.now_s)}]
    (tmp_path / "new").mkdir()
    path = make(tmp_path / "new" / "x.db", {"forwards": own})
    answer = node.call("revenue-import", [str(path)])
    assert answer["taken"] == NOTHING
    assert any("7 msat of days for which the node's own list" in s for s in answer["not_trusted"])


def test_while_our_books_are_behind_the_rest_is_taken(tmp_path: Path) -> None:
    with exchange_house(start=False) as node:
        node.faults.add(Fault("error", "listchannelmoves"))
        node.start()
        node.settle()
        story = Story(node, tmp_path)
        answer = story.run()
        assert answer["taken"] == {
            **NOTHING, "policies": 150, "fee_changes": 1_100, "channels": 2,
        }  # fmt: skip
        assert any("our own books are behind" in line for line in answer["not_trusted"])
        node.faults.clear()
        node.wait_s(700)
        assert story.run()["taken"]["fees_msat"] == EARNED


def test_an_older_and_a_newer_file(node: ExchangeHouse, tmp_path: Path) -> None:
    node.deleted(10**9, TODAY - 1)
    tables = rows("900x1x1")
    for row in tables["channel_costs"]:
        del row["opened_at"]
    for row in tables["peer_policies"]:
        row.pop("tags", None)
    old = make(
        tmp_path / "old.db", {k: v for k, v in tables.items() if k != "fee_changes"},
        without={"channel_costs": ["opened_at"], "peer_policies": ["tags"]},
        no_tables=["fee_changes"],
    )  # fmt: skip
    answer = node.call("revenue-import", {"path": str(old), "dry_run": "true"})
    assert answer["missing_columns"] == {"channel_costs": ["opened_at"], "peer_policies": ["tags"]}
    assert answer["left_out"]["channel_costs"] == "2 rows: nothing can be read without opened_at"
    assert answer["left_out"]["fee_changes"] == "this file has no such table"
    assert (answer["taken"]["policies"], answer["taken"]["costs"]) == (150, 700)
    new = make(
        tmp_path / "new.db", {**rows("900x1x1"), "weather": [{"day": 1}]},
        more={"forwards": ["colour", "taste"], "weather": ["day"]},
    )  # fmt: skip
    answer = node.call("revenue-import", {"path": str(new)})
    assert answer["unknown_columns"] == {"forwards": ["colour", "taste"]}
    assert answer["left_out"]["weather"] == "1 row: an unknown table"
    assert answer["taken"]["fees_msat"] == EARNED


def test_our_own_estimate_gives_way_to_a_record_and_to_no_estimate(
    node: ExchangeHouse, tmp_path: Path
) -> None:
    account = f"expenses:opening:{CLOSED}"
    postings = ((account, 5_000_000), ("equity:opening", -5_000_000))
    guess = Entry(f"estimate:{account}", at(TODAY - 80), "estimate", "estimate", "{}", postings)
    node.ledger().book([guess])
    story = Story(node, tmp_path)
    lines = story.run()["not_trusted"]
    assert any("we have an estimate ourselves" in line and CLOSED in line for line in lines)
    assert node.totals()[account] == 5_000_000
    undone = tuple((name, -msat) for name, msat in postings)
    node.ledger().book(
        [Entry(f"undone:{guess.key}", at(TODAY), "estimate undone", "estimate", "{}", undone)]
    )
    assert story.run()["taken"]["costs"] == 1
    assert node.totals()[account] == 5_000_000
    assert node.entries()[-1].kind == "imported opening estimate"


def test_a_copy_that_a_kill_left_goes_at_the_next_start(node: ExchangeHouse) -> None:
    left = beside(node, "revenue_import.tmp")
    left.mkdir()
    (left / "earlier.db").write_text("half")
    node.restart()
    node.settle()
    assert not left.exists()


def test_bad_paths_are_refused_in_one_line(node: ExchangeHouse, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database at all")
    for path, why in [
        ("no-such.db", "there is no file"),
        (str(tmp_path), "not a regular file"),
        (str(tmp_path / "text.db"), "is no SQLite database"),
        (str(node.database), "is a database of this plugin"),
    ]:
        assert why in node.complaint("revenue-import", path)
    assert "path is missing" in node.complaint("revenue-import")
    assert "dry_run must be" in node.complaint("revenue-import", "x.db", "perhaps")


def test_imported_changes_of_fees_are_exported_with_our_decisions(
    node: ExchangeHouse, tmp_path: Path
) -> None:
    story = Story(node, tmp_path)
    story.run()
    answer = node.call("revenue-export", ["decisions", "csv", "decisions.csv"])
    lines = beside(node, "decisions.csv").read_text().splitlines()
    assert answer["records"] == len(lines) - 1 >= 1_100
    assert lines[1].startswith("imported,1,") and ",'=1+1" in lines[1]
