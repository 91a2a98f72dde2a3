"""The write gate: closed while any reason stands, and each source speaks for itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.gate import WriteGate

SOURCES = ("paused", "safe mode", "dry run")
STEPS = st.lists(st.tuples(st.sampled_from(SOURCES), st.sampled_from(("why", "other", None))))


def an_open_gate() -> WriteGate:
    """A gate of a house that knows its settings."""
    gate = WriteGate()
    gate.open("starting")
    return gate


def test_a_new_house_may_not_write() -> None:
    assert WriteGate().closed_because() is not None
    assert an_open_gate().closed_because() is None


@given(STEPS)
def test_it_is_open_exactly_when_no_source_has_a_reason(
    steps: list[tuple[str, str | None]],
) -> None:
    gate = an_open_gate()
    standing: dict[str, str] = {}
    for source, why in steps:
        if why is None:
            gate.open(source)
            standing.pop(source, None)
        else:
            gate.close(source, why)
            standing[source] = why
        assert gate.reasons() == standing
        text = gate.closed_because()
        assert (text is None) == (not standing)
        assert all(f"{source}: {why}" in str(text) for source, why in standing.items())


def test_the_reasons_are_a_copy() -> None:
    gate = an_open_gate()
    gate.reasons()["paused"] = "by mistake"
    assert gate.closed_because() is None


def test_all_reasons_are_told_in_one_line_in_a_fixed_order() -> None:
    gate = an_open_gate()
    gate.close("paused", "by the operator")
    gate.close("dry run", "nothing is written")
    assert gate.closed_because() == "dry run: nothing is written; paused: by the operator"


def test_an_older_order_cannot_open_what_a_newer_one_closed() -> None:
    gate = an_open_gate()
    unpause, pause = gate.ticket(), gate.ticket()
    gate.close("paused", "by the newer order", pause)
    gate.open("paused", unpause)
    assert gate.closed_because() == "paused: by the newer order"
    gate.open("paused", gate.ticket())
    assert gate.closed_because() is None


def test_an_older_order_that_closes_late_does_not_age_a_newer_one() -> None:
    gate = an_open_gate()
    older, newer, newest = gate.ticket(), gate.ticket(), gate.ticket()
    gate.close("paused", "newer", newer)
    gate.close("paused", "older", older)
    gate.open("paused", older)
    assert gate.closed_because() is not None
    gate.open("paused", newest)
    assert gate.closed_because() is None
