"""Settings, channels, flow and fees: what is saved is what is loaded, also after a restart."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.ports import DecisionRow, StoredDecision
from cl_revenue_ops.storage import fee_store
from cl_revenue_ops.storage.channel_store import SqliteChannelStore
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.fee_store import SqliteFeeStore
from cl_revenue_ops.storage.flow_store import SqliteFlowStore
from cl_revenue_ops.storage.settings_store import SqliteSettingsStore
from messages.channels import UNREADABLE, ChannelEntry, ChannelFact, Policy
from tests.unit.storage_support import NETWORK, NODE, RevocableLease, database, opened


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


def reopened(base: Database) -> Database:
    folder = base.place().path.parent
    base.close()
    again = database(folder)
    again.open(NODE, NETWORK)
    return again


# -- settings -------------------------------------------------------------------------------------


def test_overrides_are_replaced_as_a_whole(base: Database) -> None:
    store = SqliteSettingsStore(base, RevocableLease())
    assert store.load() == (0, ())
    store.save(1, [("b", "1", ""), ("a", "2", "old")])
    store.save(2, [("c", "3", "x"), ("a", "4", "old")])
    assert store.load() == (2, (("c", "3", "x"), ("a", "4", "old")))
    again = reopened(base)
    assert SqliteSettingsStore(again, RevocableLease()).load()[0] == 2
    again.close()


def test_a_key_that_comes_twice_is_refused_and_nothing_is_lost(base: Database) -> None:
    store = SqliteSettingsStore(base, RevocableLease())
    store.save(1, [("a", "1", "")])
    with pytest.raises(ValueError, match="overrides"):
        store.save(2, [("b", "1", ""), ("b", "2", "")])
    assert store.load() == (1, (("a", "1", ""),))


def test_the_root_seed_is_drawn_once(base: Database) -> None:
    big = 2**200 + 1
    store = SqliteSettingsStore(base, RevocableLease())
    assert store.root_seed(big) == big
    assert store.root_seed(5) == big
    store.save(3, [])
    again = reopened(base)
    assert SqliteSettingsStore(again, RevocableLease()).root_seed(6) == big
    again.close()


# -- channels -------------------------------------------------------------------------------------

FACT = ChannelFact(
    channel_id="aa" * 32,
    peer_id="02" * 33,
    state="CHANNELD_NORMAL",
    connected=True,
    reestablished=True,
    scid="1x2x3",
    capacity_msat=2**53 + 1,
    remote=Policy(1, 2, 3, 2**53 + 3),
    private=True,
)


def entry(channel_id: str, *scids: str, first_seen_s: float = 5.5) -> ChannelEntry:
    fact = replace(FACT, channel_id=channel_id)
    return ChannelEntry(channel_id, fact.peer_id, scids, first_seen_s, False, fact)


def test_channels_come_back_as_they_were_saved(base: Database) -> None:
    store = SqliteChannelStore(base, RevocableLease())
    assert store.load() == ()
    first, second = entry("bb" * 32, "9x9x9", "1x1x1"), entry("aa" * 32, first_seen_s=9.0)
    store.save([second, first])
    assert store.load() == (first, second)


def test_saving_one_channel_leaves_the_others(base: Database) -> None:
    store = SqliteChannelStore(base, RevocableLease())
    first, second = entry("aa" * 32, "1x1x1"), entry("bb" * 32, "2x2x2", first_seen_s=6.0)
    store.save([first, second])
    spliced = second._replace(
        scids=("2x2x2", "3x3x3"), closed=True, fact=replace(second.fact, remote=None, scid=None)
    )
    store.save([spliced])
    assert store.load() == (first, spliced)


@pytest.mark.parametrize(
    "change",
    [{"closed": True}, {"peer_id": "03" * 33}, {"first_seen_s": 7.0}, {"scids": ("8x8x8",)}],
    ids=str,
)
def test_each_part_of_an_entry_is_updated(base: Database, change: dict[str, object]) -> None:
    store = SqliteChannelStore(base, RevocableLease())
    store.save([entry("aa" * 32, "1x1x1")])
    changed = entry("aa" * 32, "1x1x1")._replace(**change)  # type: ignore[arg-type]
    store.save([changed])
    assert store.load() == (changed,)


def test_an_unchanged_channel_is_not_written_again(base: Database) -> None:
    store = SqliteChannelStore(base, RevocableLease())
    entries = [entry("aa" * 32, "1x1x1"), entry("bb" * 32)]
    store.save(entries)
    before = base.connection().total_changes
    store.save(entries)
    assert base.connection().total_changes == before


def test_a_fact_of_another_version_is_read_as_far_as_it_is_known(base: Database) -> None:
    store = SqliteChannelStore(base, RevocableLease())
    saved = entry("aa" * 32)
    store.save([saved])
    with closing(sqlite3.connect(base.place().path)) as other:
        other.execute(
            "UPDATE channel SET fact = replace(fact, '\"slots_in\":483', '\"novelty\":[1]')"
        )
        other.commit()
    assert store.load() == (saved,)


@pytest.mark.parametrize(
    "change",
    [
        "'{'",
        "'[]'",
        "'{}'",
        "'{\"remote\": 5}'",
        "replace(fact, '\"slots_in\":483', '\"slots_in\":null')",
        'replace(fact, \'"channel_id":"aaaa\', \'"channel_id":"bbbb\')',
    ],
)
def test_an_unreadable_fact_costs_the_fact_and_nothing_else(base: Database, change: str) -> None:
    store = SqliteChannelStore(base, RevocableLease())
    saved = entry("aa" * 32)
    store.save([saved])
    with closing(sqlite3.connect(base.place().path)) as other:
        other.execute(f"UPDATE channel SET fact = {change}")
        other.commit()
    blank = ChannelFact(saved.channel_id, saved.peer_id, UNREADABLE, False, False)
    assert store.load() == (saved._replace(fact=blank),)
    store.save([saved])
    assert store.load() == (saved,)


# -- flow -----------------------------------------------------------------------------------------


def test_cursor_header_and_states_go_together(base: Database) -> None:
    store = SqliteFlowStore(base, RevocableLease())
    assert store.load() == (0, None, {})
    store.save(5, "first", {"a": "1", "b": "2"})
    store.save(9, "second", {"b": "3"})
    again = reopened(base)
    assert SqliteFlowStore(again, RevocableLease()).load() == (9, "second", {"a": "1", "b": "3"})
    again.close()


# -- fees -----------------------------------------------------------------------------------------


def decision(channel_id: str, at_s: float, code: str = "steady", **changes: object) -> DecisionRow:
    row = DecisionRow(channel_id, at_s, "keep", code, 100, 100, False, f'{{"at":{at_s}}}')
    return row._replace(**changes)  # type: ignore[arg-type]


def change(channel_id: str, at_s: float, old_ppm: int, new_ppm: int) -> DecisionRow:
    return decision(channel_id, at_s, action="set", old_ppm=old_ppm, new_ppm=new_ppm)


@pytest.fixture
def fees(base: Database) -> SqliteFeeStore:
    return SqliteFeeStore(base, RevocableLease())


def test_fee_states_and_decisions_go_together(fees: SqliteFeeStore, base: Database) -> None:
    assert fees.load() == (None, {})
    ids = fees.record("h1", {"a": "1", "b": "2"}, [decision("a", 1.0), decision("b", 1.0)])
    fees.record("h2", {"b": "3"}, [])
    assert len(set(ids)) == 2
    again = reopened(base)
    store = SqliteFeeStore(again, RevocableLease())
    assert store.load() == ("h2", {"a": "1", "b": "3"})
    assert store.last_decisions("a", 5) == (
        StoredDecision(ids[0], decision("a", 1.0), 1.0, 1, None),
    )
    again.close()


def test_an_equal_decision_extends_the_channels_newest(fees: SqliteFeeStore) -> None:
    (first,) = fees.record("h", {}, [decision("a", 1.0)])
    (other,) = fees.record("h", {}, [decision("b", 2.0)])
    again, third = fees.record("h", {}, [decision("a", 3.0), decision("b", 4.0, "moved")])
    assert again == first
    assert len({first, other, third}) == 3
    newest_body = decision("a", 1.0)._replace(body=decision("a", 3.0).body)
    assert fees.last_decisions("a", 5) == (StoredDecision(first, newest_body, 3.0, 2, None),)


@pytest.mark.parametrize(
    "difference",
    [{"action": "set"}, {"code": "x"}, {"old_ppm": 1}, {"new_ppm": None}, {"by_hand": True}],
    ids=str,
)
def test_a_decision_that_differs_makes_a_row(
    fees: SqliteFeeStore, difference: dict[str, object]
) -> None:
    (first,) = fees.record("h", {}, [decision("a", 1.0)])
    other = decision("a", 2.0)._replace(**difference)  # type: ignore[arg-type]
    (second,) = fees.record("h", {}, [other])
    (third,) = fees.record("h", {}, [decision("a", 3.0)])  # equal to an older one only
    assert [row.decision_id for row in fees.last_decisions("a", 9)] == [third, second, first]
    assert len({first, second, third}) == 3


def test_unknown_ppm_is_equal_to_unknown_ppm(fees: SqliteFeeStore) -> None:
    row = decision("a", 1.0, old_ppm=None, new_ppm=None)
    assert fees.record("h", {}, [row]) == fees.record("h", {}, [row])


def test_a_change_that_was_made_is_never_merged_away(fees: SqliteFeeStore) -> None:
    (first,) = fees.record("h", {}, [change("a", 1.0, 100, 120)])
    fees.set_outcome(first, "set", {})
    (second,) = fees.record("h", {}, [change("a", 2.0, 100, 120)])
    fees.set_outcome(second, "set", {})
    assert [row.decision_id for row in fees.recent_changes(9)] == [second, first]


def test_a_repeated_failure_is_one_row_whose_outcome_is_the_newest(fees: SqliteFeeStore) -> None:
    (first,) = fees.record("h", {}, [change("a", 1.0, 100, 120)])
    fees.set_outcome(first, "refused: peer is away", {})
    assert fees.record("h", {}, [change("a", 2.0, 100, 120)]) == (first,)
    (row,) = fees.last_decisions("a", 9)
    assert (row.repeats, row.last_at_s, row.outcome) == (2, 2.0, None)


def test_an_outcome_comes_with_the_states_that_follow(fees: SqliteFeeStore) -> None:
    (number,) = fees.record("h", {"a": "before", "b": "same"}, [change("a", 1.0, 100, 120)])
    fees.set_outcome(number, "set", {"a": "after"})
    assert fees.load() == ("h", {"a": "after", "b": "same"})
    assert fees.last_decisions("a", 1)[0].outcome == "set"


def test_an_outcome_of_no_decision_changes_nothing(fees: SqliteFeeStore) -> None:
    fees.record("h", {"a": "before"}, [])
    with pytest.raises(ValueError, match="no decision 77"):
        fees.set_outcome(77, "set", {"a": "after"})
    assert fees.load() == ("h", {"a": "before"})


def test_recent_changes_are_fees_that_were_set_newest_first(fees: SqliteFeeStore) -> None:
    rows = [change(name, 1.0 + n, 100, 200 + n) for n, name in enumerate("abcd")]
    numbers = fees.record("h", {}, [*rows, decision("e", 9.0)])
    for number, outcome in zip(numbers, ["set", "refused", "set", "set"], strict=False):
        fees.set_outcome(number, outcome, {})
    assert [row.row.channel_id for row in fees.recent_changes(2)] == ["d", "c"]
    assert [row.row.channel_id for row in fees.recent_changes(9)] == ["d", "c", "a"]


def test_without_a_channel_the_newest_decision_of_each_comes(fees: SqliteFeeStore) -> None:
    assert fees.last_decisions(None, 9) == ()
    for at_s, name in enumerate("abcabca"):
        fees.record("h", {}, [decision(name, float(at_s), code=f"c{at_s}")])
    newest = [(row.row.channel_id, row.row.code) for row in fees.last_decisions(None, 9)]
    assert newest == [("a", "c6"), ("c", "c5"), ("b", "c4")]
    assert len(fees.last_decisions(None, 2)) == 2


def settings_of_the_disk(
    base: Database, fees: SqliteFeeStore, rows: list[DecisionRow]
) -> list[str]:
    """The levels of synchronisation that a record commits with, and leaves behind."""
    statements: list[str] = []
    base.connection().set_trace_callback(statements.append)
    fees.record("h", {}, rows)
    base.connection().set_trace_callback(None)
    return [text for text in statements if "synchronous" in text or text == "COMMIT"]


def test_a_decision_that_moves_a_fee_is_durable_before_the_node_hears_of_it(
    fees: SqliteFeeStore, base: Database
) -> None:
    durable = ["PRAGMA synchronous = FULL", "COMMIT", "PRAGMA synchronous = NORMAL"]
    assert settings_of_the_disk(base, fees, [change("a", 1.0, 100, 120)]) == durable
    assert settings_of_the_disk(base, fees, [decision("a", 2.0, by_hand=True)]) == durable
    assert settings_of_the_disk(base, fees, [decision("a", 3.0)]) == ["COMMIT"]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.booleans()), max_size=40))
@settings(max_examples=25, deadline=None)
def test_no_decision_is_lost_by_merging(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, int, bool]]
) -> None:
    with opened(tmp_path_factory.mktemp("fees")) as base:
        fees = SqliteFeeStore(base, RevocableLease())
        for at_s, (name, ppm, made) in enumerate(history):
            (number,) = fees.record("h", {}, [change(name, float(at_s), 100, ppm)])
            fees.set_outcome(number, "set" if made else "refused", {})
        for name in "ab":
            mine = [(at_s, ppm) for at_s, (who, ppm, _) in enumerate(history) if who == name]
            rows = fees.last_decisions(name, 99)[::-1]
            assert sum(row.repeats for row in rows) == len(mine)
            unfolded = [row.row.new_ppm for row in rows for _ in range(row.repeats)]
            assert unfolded == [ppm for _, ppm in mine]
            assert [row.last_at_s for row in rows][-1:] == [float(t) for t, _ in mine][-1:]
        made_s = [float(at_s) for at_s, step in enumerate(history) if step[2]]
        assert [row.last_at_s for row in fees.recent_changes(99)] == made_s[::-1]


def numbers(fees: SqliteFeeStore, channel_id: str) -> list[int]:
    return [row.decision_id for row in fees.last_decisions(channel_id, 999)]


def test_what_is_older_than_is_kept_is_let_go_whatever_it_did(fees: SqliteFeeStore) -> None:
    idle, moved = decision("a", 1.0, action="none"), change("b", 2.0, 100, 120)
    first, second = fees.record("h", {"a": "1"}, [idle, moved])
    fees.set_outcome(second, "set", {})
    (third,) = fees.record("h", {}, [decision("c", 3.0)])
    fees.record("h", {}, [], keep_since_s=1.0)
    assert (numbers(fees, "a"), numbers(fees, "b")) == ([first], [second])
    fees.record("h", {}, [], keep_since_s=1.5)
    assert (numbers(fees, "a"), numbers(fees, "b")) == ([], [second])
    fees.record("h", {}, [decision("d", 9.0)], keep_since_s=3.0)
    assert (numbers(fees, "b"), numbers(fees, "c")) == ([], [third])
    assert fees.recent_changes(9) == ()
    assert fees.load() == ("h", {"a": "1"})


def test_a_decision_that_is_repeated_stays_as_long_as_its_last_repetition(
    fees: SqliteFeeStore,
) -> None:
    for at_s in (1.0, 5.0, 9.0):
        (number,) = fees.record("h", {}, [decision("a", at_s, action="none")])
    fees.record("h", {}, [], keep_since_s=9.0)
    assert numbers(fees, "a") == [number]
    (row,) = fees.last_decisions("a", 9)
    assert (row.row.at_s, row.last_at_s, row.repeats) == (1.0, 9.0, 3)


def test_a_decision_that_is_let_go_is_not_extended(fees: SqliteFeeStore) -> None:
    (first,) = fees.record("h", {}, [decision("a", 1.0)])
    fees.record("h", {}, [decision("b", 2.0)])
    (again,) = fees.record("h", {}, [decision("a", 9.0)], keep_since_s=2.0)
    assert again != first
    assert [row.repeats for row in fees.last_decisions("a", 9)] == [1]


def test_without_a_bound_nothing_is_let_go(fees: SqliteFeeStore) -> None:
    (first,) = fees.record("h", {}, [decision("a", 1.0)])
    fees.record("h", {}, [decision("b", 1e10)])
    assert numbers(fees, "a") == [first]


def test_decisions_are_let_go_oldest_first_in_batches(fees: SqliteFeeStore) -> None:
    batch = fee_store.FORGOTTEN_AT_ONCE
    rows = [decision("a", 1.0 + n, f"why {n}") for n in range(batch + 50)]
    found = list(fees.record("h", {}, rows[::-1]))[::-1]
    fees.record("h", {}, [], keep_since_s=1e6)
    assert numbers(fees, "a") == sorted(found[batch:], reverse=True)
    fees.record("h", {}, [], keep_since_s=1e6)
    assert numbers(fees, "a") == []


def test_finding_what_is_old_reads_no_more_than_that(base: Database) -> None:
    plan = base.connection().execute(
        "EXPLAIN QUERY PLAN SELECT id FROM fee_decision WHERE last_at_s < 5.0"
        " ORDER BY last_at_s LIMIT 200"
    )
    assert "fee_decision_by_time" in str(plan.fetchall())


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM settings_state",
        "UPDATE settings_state SET root_seed = 'torn'",
        "UPDATE settings_state SET root_seed = NULL",
    ],
)
def test_a_torn_state_of_the_settings_is_replaced_and_never_fatal(
    base: Database, damage: str
) -> None:
    store = SqliteSettingsStore(base, RevocableLease())
    store.save(5, [("a", "1", "")])
    assert store.root_seed(11) == 11
    with base.writing(RevocableLease(), durable=False) as connection:
        connection.execute(damage)
    assert store.load()[1] == (("a", "1", ""),)
    assert store.root_seed(22) == 22
    store.save(6, [])
    assert (store.load(), store.root_seed(33)) == ((6, ()), 22)
