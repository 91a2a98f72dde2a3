"""The restart rules as arithmetic: backoff, sliding windows, runs of poison."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.runtime.restart import (
    CHILD_CRASHES,
    CHILD_WINDOW_S,
    HOUSE_CRASHES,
    HOUSE_WINDOW_S,
    HUNG_MOST,
    OPTIONAL,
    POISON_RUN,
    QUIET_S,
    SAFE_MODE_LEAVE_S,
    SAFE_MODE_RETRY_S,
    ChildRecord,
    Intensity,
    backoff_s,
)


def test_the_numbers_are_those_of_the_contract() -> None:
    assert (CHILD_CRASHES, CHILD_WINDOW_S) == (5, 300.0)
    assert (HOUSE_CRASHES, HOUSE_WINDOW_S) == (15, 600.0)
    assert (POISON_RUN, HUNG_MOST, QUIET_S) == (3, 2, 30.0)
    assert (SAFE_MODE_RETRY_S, SAFE_MODE_LEAVE_S) == (300.0, 600.0)


@pytest.mark.parametrize(
    ("failures", "u", "delay_s"),
    [
        (0, 0.0, 1.0),
        (0, 0.5, 1.1),
        (1, 0.0, 2.0),
        (5, 0.0, 32.0),
        (6, 0.0, 60.0),
        (6, 0.5, 66.0),
        (10_000, 0.0, 60.0),
    ],
)
def test_backoff_golden_values(failures: int, u: float, delay_s: float) -> None:
    assert backoff_s(failures, u) == pytest.approx(delay_s)


@given(st.integers(0, 10_000), st.floats(0.0, 1.0, exclude_max=True))
def test_backoff_never_shrinks_with_failures_and_stays_within_its_bounds(
    failures: int, u: float
) -> None:
    delay_s = backoff_s(failures, u)
    assert 1.0 <= delay_s < 72.0 + 1e-9
    assert backoff_s(failures + 1, u) >= delay_s


@given(
    st.integers(1, 6),
    st.floats(1.0, 100.0),
    st.lists(st.floats(0.0, 60.0, allow_nan=False), max_size=40),
)
def test_a_window_counts_what_lies_within_it(most: int, window_s: float, gaps: list[float]) -> None:
    intensity = Intensity(most, window_s)
    times: list[float] = []
    now_s = 1_000.0
    for gap_s in gaps:
        now_s += gap_s
        times.append(now_s)
        within = sum(1 for at_s in times if at_s > now_s - window_s)
        assert intensity.note(now_s) == (within >= most)


def test_a_cleared_window_begins_anew() -> None:
    intensity = Intensity(2, 100.0)
    assert not intensity.note(0.0)
    assert intensity.note(1.0)
    intensity.clear()
    assert not intensity.note(2.0)


def crash(child: ChildRecord, *kinds: str, apart_s: float = 1_000.0) -> list[bool]:
    """Whether each of these crashes was one too many."""
    return [
        child.note_crash(number * apart_s, kind, "error") is not None
        for number, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ("kinds", "verdicts"),
    [
        ("AAA", (False, False, True)),
        ("ABAB", (False, False, False, False)),
        ("BAAA", (False, False, False, True)),
        ("AABAA", (False, False, False, False, False)),
        ("    ", (False, False, False, False)),
        ("AA A", (False, False, False, False)),
    ],
)
def test_three_of_the_same_running_are_too_many(kinds: str, verdicts: tuple[bool, ...]) -> None:
    child = ChildRecord("a", OPTIONAL)
    assert tuple(crash(child, *[kind.strip() for kind in kinds])) == verdicts


@given(st.lists(st.sampled_from("ABC"), max_size=30))
def test_a_run_is_found_exactly_where_there_is_one(kinds: list[str]) -> None:
    child = ChildRecord("a", OPTIONAL)
    verdicts = crash(child, *kinds)
    for number in range(len(kinds)):
        run = kinds[max(0, number - 2) : number + 1]
        assert verdicts[number] == (len(run) == 3 and len(set(run)) == 1)


def test_the_fifth_crash_within_five_minutes_is_one_too_many() -> None:
    child = ChildRecord("a", OPTIONAL)
    assert crash(child, *"ABABA", apart_s=74.9) == [False] * 4 + [True]
    child = ChildRecord("a", OPTIONAL)
    assert crash(child, *"ABABABABAB", apart_s=75.0) == [False] * 10


@pytest.mark.parametrize(("quiet_s", "first"), [(29.0, False), (30.0, False), (30.1, True)])
def test_quiet_counts_from_ready_to_crash(quiet_s: float, first: bool) -> None:
    child = ChildRecord("a", OPTIONAL)
    child.note_crash(0.0, "A", "error")
    assert child.next_delay_s(0.0) == 1.0
    child.note_ready(500.0)
    child.note_crash(500.0 + quiet_s, "B", "error")
    assert child.next_delay_s(0.0) == (1.0 if first else 2.0)


def test_a_child_that_never_got_ready_had_no_quiet() -> None:
    child = ChildRecord("a", OPTIONAL)
    for number in range(4):
        child.note_crash(number * 1_000.0, "AB"[number % 2], "error")
        assert child.next_delay_s(0.0) == 2.0**number


def test_forgiven_means_a_clean_slate() -> None:
    child = ChildRecord("a", OPTIONAL)
    crash(child, "A", "A", apart_s=1.0)
    child.next_delay_s(0.0)
    child.forgive()
    assert crash(child, "A", "A", apart_s=1.0) == [False, False]
    assert child.next_delay_s(0.0) == 1.0
