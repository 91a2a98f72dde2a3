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
