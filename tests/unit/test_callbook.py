"""The CallBook: each call is closed exactly once, whoever comes first, from whatever thread."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.callbook import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallBook,
    Rendered,
    failure,
    one_line,
    render,
)


class Client:
    """callbook.Reply that keeps every outcome."""

    def __init__(self) -> None:
        self.outcomes: list[Any] = []

    def result(self, body: object) -> None:
        """Keep it."""
        self.outcomes.append(body)

    def error(self, code: int, text: str) -> None:
        """Keep it."""
        self.outcomes.append((code, text))


CLOSINGS = st.lists(st.sampled_from(("answer", "refuse", "invalid")), min_size=1, max_size=5)


def close(book: CallBook, call_id: str, how: str) -> bool:
    """Close a call in one of the three ways."""
    if how == "answer":
        return book.answer(call_id, {"ok": 1})
    return book.refuse(call_id, "no", how == "invalid")


@given(CLOSINGS)
def test_a_call_is_closed_once_by_whoever_comes_first(closings: list[str]) -> None:
    book, client = CallBook(), Client()
    call_id = book.open(client, 10.0)
    closed = [close(book, call_id, how) for how in closings]
    assert closed == [True] + [False] * (len(closings) - 1)
    expected: dict[str, object] = {
        "answer": {"ok": 1},
        "refuse": {"status": "error", "error": "no", "success": False},
        "invalid": (INVALID_PARAMS, "no"),
    }
    assert client.outcomes == [expected[closings[0]]]


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_open_calls_are_bounded_known_by_deadline_and_never_confused(
    steps: list[bool], limit: int
) -> None:
    book = CallBook(limit)
    live: dict[str, tuple[Client, float]] = {}
    used: set[str] = set()
    for number, opens in enumerate(steps):
        if opens:
            client = Client()
            assert book.full() == (len(live) >= limit)
            if not book.full():
                call_id = book.open(client, float(number))
                assert call_id not in used
                used.add(call_id)
                live[call_id] = (client, float(number))
        elif live:
            call_id, (client, _) = live.popitem()
            assert book.answer(call_id, number)
            assert client.outcomes == [number]
        assert book.deadlines() == {call_id: due for call_id, (_, due) in live.items()}
    assert all(client.outcomes == [] for client, _ in live.values())


def test_an_unknown_call_cannot_be_closed() -> None:
    book = CallBook()
    assert not book.answer("rpc 99", None)
    assert not book.refuse("rpc 99", "no", False)


def test_of_many_threads_one_closes_the_call() -> None:
    book = CallBook(limit=1_000)
    clients = [Client() for _ in range(200)]
    calls = [book.open(client, 1.0) for client in clients]
    wins: list[int] = []
    start = threading.Barrier(4)

    def run(number: int) -> None:
        start.wait()
        wins.append(sum(book.answer(call_id or "", number) for call_id in calls))

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert sum(wins) == 200
    assert all(len(client.outcomes) == 1 for client in clients)
    assert book.deadlines() == {}


@given(st.text(max_size=600))
def test_outside_text_becomes_one_line_of_ascii(text: str) -> None:
    flat = one_line(text)
    assert flat.isascii()
    assert "\n" not in flat
    assert len(flat) <= 400


@pytest.mark.parametrize("reason", ["plain", "two\nlines", "snowman ☃"])
def test_a_failure_tells_its_reason_and_never_success(reason: str) -> None:
    body = failure(reason)
    assert body == {"status": "error", "error": one_line(reason), "success": False}


class Fussy(Client):
    """A client whose answers can only be JSON, as on the wire."""

    def result(self, body: object) -> None:
        json.dumps(body)
        super().result(body)


@pytest.mark.parametrize("result", [object(), {1: {2}}, b"bytes"])
def test_an_answer_that_is_no_json_still_ends_the_call(result: object) -> None:
    book, client = CallBook(), Fussy()
    call_id = book.open(client, 1.0)
    assert book.answer(call_id, result)
    ((code, _),) = client.outcomes
    assert code == INTERNAL_ERROR
    assert not book.deadlines()


@given(
    body=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5),
    raw=st.dictionaries(st.text(max_size=5), st.lists(st.integers(), max_size=3), max_size=3),
)
def test_rendered_values_read_back_like_any_other(
    body: dict[str, object], raw: dict[str, object]
) -> None:
    both = {**body, **{key: Rendered(json.dumps(value)) for key, value in raw.items()}}
    assert json.loads(render(both)) == {**body, **raw}
