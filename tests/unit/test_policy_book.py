"""The book of policies: what changes, when it ends, what a client that polls is told."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.policy import book as policy_book
from cl_revenue_ops.domain.policy.book import Past, PolicyBook
from cl_revenue_ops.domain.policy.edits import read_edit
from cl_revenue_ops.domain.policy.fields import Fault
from cl_revenue_ops.domain.policy.rate import MOST_CHANGES, RateLimit
from messages.policies import PeerPolicy, PolicyEdit
from tests.unit.policy_support import NOW_S, PEERS, peer

A, B, C = peer(1), peer(2), peer(3)
NOW = int(NOW_S)


def edit(peer_id: str, **options: Any) -> PolicyEdit:
    made = read_edit({"peer_id": peer_id, **options})
    assert not isinstance(made, Fault)
    return made


def put(book: PolicyBook, *edits: PolicyEdit, now_s: float = NOW_S) -> int:
    """Apply and take in; how many policies changed."""
    outcome = book.edited(edits, now_s, batch=True)
    assert not isinstance(outcome, Fault), outcome
    book.take(outcome[1])
    return len(outcome[1])


def poll(book: PolicyBook, since_s: int, now_s: float = NOW_S) -> list[tuple[Any, ...]]:
    """What a client reads: (peer, change, updated_at), newest first."""
    rows = book.changed_since(since_s, now_s)
    book.seal()
    return [(row["peer_id"], row["change"], row["updated_at"]) for row in rows]


# -- changes --------------------------------------------------------------------------------------


def test_planning_changes_nothing() -> None:
    book = PolicyBook()
    put(book, edit(A))
    book.edited([edit(B), edit(A, strategy="hive")], NOW_S, batch=True)
    book.deleted(A, NOW_S)
    book.tagged(A, "x", True, NOW_S)
    assert book.policies == {A: PeerPolicy(A, updated_at_s=NOW_S)}
    assert book.seq == 1


def test_the_same_again_is_no_change_and_leaves_its_time() -> None:
    book = PolicyBook()
    assert put(book, edit(A, strategy="hive")) == 1
    assert put(book, edit(A, strategy="hive"), now_s=NOW_S + 9) == 0
    assert book.policies[A].updated_at_s == NOW_S
    assert put(book, edit(A, rebalance="disabled"), now_s=NOW_S + 9) == 1
    assert book.policies[A].updated_at_s == NOW_S + 9


def test_an_end_that_is_the_same_to_the_second_is_no_change() -> None:
    book = PolicyBook()
    put(book, edit(A, expires_in_hours=5))
    assert put(book, edit(A, expires_in_hours=5)) == 0
    assert put(book, edit(A, expires_in_hours=5), now_s=NOW_S + 1) == 1


def test_entries_of_one_peer_build_on_each_other_and_are_one_change() -> None:
    book = PolicyBook()
    outcome = book.edited(
        [edit(A, fee_ppm=5), edit(B), edit(A, strategy="static")], NOW_S, batch=True
    )
    assert not isinstance(outcome, Fault)
    made, changes = outcome
    assert list(made) == [A, B]
    assert (made[A].strategy, made[A].fee_ppm) == ("static", 5)
    assert [change.peer_id for change in changes] == [A, B]


def test_one_bad_entry_refuses_all_by_its_number() -> None:
    book = PolicyBook()
    fault = book.edited([edit(A), edit(B, strategy="static")], NOW_S, batch=True)
    assert isinstance(fault, Fault)
    assert fault.text.startswith("entry 2")
    alone = book.edited([edit(B, strategy="static")], NOW_S, batch=False)
    assert isinstance(alone, Fault)
    assert alone.text.startswith("a static policy")
    assert book.policies == {}


def test_tags_make_and_leave_policies() -> None:
    book = PolicyBook()
    assert book.tagged(A, "x", False, NOW_S) == ((), [])
    for add, tag, tags, count in (
        (True, "x", ("x",), 1),
        (True, "x", ("x",), 0),
        (True, "y", ("x", "y"), 1),
        (False, "x", ("y",), 1),
        (False, "x", ("y",), 0),
        (False, "y", (), 1),
    ):
        outcome = book.tagged(A, tag, add, NOW_S)
        assert not isinstance(outcome, Fault)
        assert (outcome[0], len(outcome[1])) == (tags, count)
        book.take(outcome[1])
    assert A in book.policies


# -- ends -----------------------------------------------------------------------------------------


def test_an_end_holds_from_its_second_on_before_any_sweep() -> None:
    book = PolicyBook()
    put(book, edit(A, strategy="hive", expires_in_hours=1), edit(B))
    end_s = NOW_S + 3_600
    assert book.next_end_s() == end_s
    assert [p.peer_id for p in book.holding(end_s - 0.001)] == [B, A]
    assert book.of(A, end_s - 0.001).strategy == "hive"
    assert book.of(A, end_s) == PeerPolicy(A)
    assert [p.peer_id for p in book.holding(end_s)] == [B]
    assert book.expired(end_s - 0.001) == []
    (change,) = book.expired(end_s)
    assert (change.peer_id, change.what, change.after) == (A, "expired", None)
    book.take([change])
    assert book.next_end_s() is None
    assert book.of(A, NOW_S) == PeerPolicy(A), "a clock set back brings nothing back"


def test_ends_that_were_moved_are_forgotten() -> None:
    book = PolicyBook()
    for number in range(3_000):
        put(book, edit(A, expires_in_hours=700 if number % 2 else 1), now_s=NOW_S + number)
    assert len(book._ends) < 1_000
    assert book.next_end_s() == book.policies[A].expires_at_s
    assert [change.peer_id for change in book.expired(NOW_S + 800 * 3_600)] == [A]


# -- what a client that polls is told -------------------------------------------------------------


def test_deletions_and_ends_leave_a_trace() -> None:
    book = PolicyBook()
    put(book, edit(A, strategy="hive"), edit(B, expires_in_hours=1))
    book.take(book.deleted(A, NOW_S + 10))
    book.take(book.expired(NOW_S + 3_600))
    rows = book.changed_since(0, NOW_S + 3_600)
    assert [(r["peer_id"], r["change"], r["deleted"], r["strategy"]) for r in rows] == [
        (B, "expired", True, "dynamic"),
        (A, "deleted", True, "dynamic"),
    ]


def test_changes_in_the_second_of_an_answer_are_told_with_the_next() -> None:
    book = PolicyBook()
    put(book, edit(A))
    assert poll(book, 0) == [(A, "set", NOW)]
    assert poll(book, NOW) == []
    put(book, edit(B))
    assert poll(book, NOW) == [(B, "set", NOW + 1)]
    assert poll(book, NOW + 1) == []


def test_a_client_that_polls_by_its_own_clock_misses_nothing_either() -> None:
    book = PolicyBook()
    assert poll(book, NOW) == []
    put(book, edit(A))
    assert poll(book, NOW) == [(A, "set", NOW)]
    assert poll(book, NOW) == []


def test_a_clock_set_back_or_a_since_of_the_future_hides_nothing() -> None:
    book = PolicyBook()
    put(book, edit(A), now_s=NOW_S + 9_000)
    assert poll(book, 10**10) == []
    put(book, edit(B), now_s=NOW_S)
    assert poll(book, NOW + 9_000) == [(B, "set", NOW + 9_001)]
    put(book, edit(C), now_s=NOW_S)
    assert book.policies[C].updated_at_s == NOW_S + 9_002


def test_what_was_told_before_a_restart_is_not_stamped_again() -> None:
    book = PolicyBook()
    put(book, edit(A))
    cursor = poll(book, 0)[0][2]
    again = policy_book.opened(book.policies, book.newest.values(), book.seq)
    put(again, edit(B))
    assert poll(again, cursor) == [(B, "set", NOW + 1)]


def test_a_policy_whose_record_is_gone_is_told_all_the_same() -> None:
    policy = PeerPolicy(A, updated_at_s=NOW_S)
    book = policy_book.opened({A: policy}, [], 7)
    assert poll(book, 0) == [(A, "set", NOW)]
    put(book, edit(B))
    assert book.seq == 8, "a number is never used twice"


def test_the_record_is_bounded_and_says_where_it_ends() -> None:
    book = PolicyBook()
    for second in range(2_000):
        put(book, edit(peer(second)), now_s=NOW_S + second)
        book.take(book.deleted(peer(second), NOW_S + second))
        book.forget(100)
    assert len(book.newest) <= 100 + 500
    assert not book.complete_since(NOW)
    assert book.complete_since(NOW + 1_990)
    kept = policy_book.opened({}, [Past(5, 9, 9.0, A, "deleted", None)], 5)
    assert not kept.complete_since(8)
    assert kept.complete_since(9)
    assert PolicyBook().complete_since(0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), PEERS, st.integers(0, 50)),
        st.tuples(st.just("delete"), PEERS, st.just(0)),
        st.tuples(st.just("poll"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("wait"), st.floats(-3.0, 3.0), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_clients_that_poll_with_the_last_answer_see_every_peer_as_it_is(
    steps: list[tuple[Any, ...]],
) -> None:
    """Two clients; one reads the newest stamp of the answer, one that of the newest row."""
    book, now_s = PolicyBook(), NOW_S
    seen: list[dict[str, object]] = [{}, {}]
    cursors = [0, 0]

    def catch_up(client: int) -> None:
        rows = book.changed_since(cursors[client], now_s)
        book.seal()
        for row in rows:
            peer_id = str(row["peer_id"])
            assert seen[client].get(peer_id) != row, "told twice"
            seen[client][peer_id] = row
        newest = [int(str(row["updated_at"])) for row in rows]
        cursors[client] = max([cursors[client], *newest]) if client else book.stamp_s

    for what, first, second in steps:
        if what == "set":
            put(book, edit(first, fee_ppm=second), now_s=now_s)
        elif what == "delete":
            book.take(book.deleted(first, now_s))
        elif what == "poll":
            catch_up(first)
        elif what == "wait":
            now_s += first
        else:
            record = sorted(book.newest.values(), key=lambda past: past.seq)
            book = policy_book.opened(book.policies, record, book.seq)
    for client in (0, 1):
        catch_up(client)
        told = {p: row for p, row in seen[client].items() if not row["deleted"]}  # type: ignore[index]
        assert told.keys() == book.policies.keys()
        for peer_id, policy in book.policies.items():
            assert told[peer_id]["fee_ppm_target"] == policy.fee_ppm  # type: ignore[index]


# -- the rate -------------------------------------------------------------------------------------


def test_ten_changes_a_minute_and_the_eleventh_waits_for_the_first_to_pass() -> None:
    limit = RateLimit()
    for second in range(MOST_CHANGES):
        assert limit.wait_s(A, float(second)) == 0.0
        limit.count(A, float(second))
    assert limit.wait_s(A, 9.5) == 50.5
    assert limit.wait_s(B, 9.5) == 0.0
    assert limit.wait_s(A, 59.9) > 0.0
    assert limit.wait_s(A, 60.0) == 0.0
    limit.count(A, 60.0)
    assert limit.wait_s(A, 60.5) == 0.5


@given(st.lists(st.floats(0.0, 20.0), max_size=80))
def test_no_minute_has_more_than_ten_and_none_is_refused_without_ten(pauses: list[float]) -> None:
    limit, now_s = RateLimit(), 0.0
    made: list[float] = []
    for pause in pauses:
        now_s += pause
        recent = sum(now_s - at_s < 60.0 for at_s in made)
        if limit.wait_s(A, now_s) == 0.0:
            assert recent < MOST_CHANGES
            limit.count(A, now_s)
            made.append(now_s)
        else:
            assert recent >= MOST_CHANGES


def test_peers_that_rest_are_forgotten() -> None:
    limit = RateLimit()
    for number in range(5_000):
        limit.count(peer(number), float(number))
    assert len(limit._seen) < 1_100
