"""Tests of the JSON that is kept and spoken: exact, compact, and strict about what is no JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain import jsontext

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=12,
)


@given(PLAIN)
def test_every_plain_value_comes_back_as_it_was(value: Any) -> None:
    assert jsontext.loads(jsontext.dumps(value)) == value


class Pair(NamedTuple):
    left: int
    right: tuple[float, ...]


@dataclass(frozen=True)
class Holder:
    pair: Pair
    none: None = None


def test_dataclasses_and_named_tuples_become_objects() -> None:
    text = jsontext.dumps({"it": Holder(Pair(1, (0.5, 2.0)))})
    assert text == '{"it":{"pair":{"left":1,"right":[0.5,2.0]},"none":null}}'


def test_arrays_become_lists_to_the_last_digit() -> None:
    row = np.array([[0.1, 1e300], [2.0, 1 / 3]])[1]
    assert jsontext.loads(jsontext.dumps({"row": row})) == {"row": row.tolist()}


def test_what_is_written_is_compact() -> None:
    assert jsontext.dumps({"a": [1, 2.5, None]}) == '{"a":[1,2.5,null]}'


@pytest.mark.parametrize("value", [2**64, {1: 2}, {"a": {1}}, object()])
def test_a_value_that_is_not_plain_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        jsontext.dumps(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_word_for_becomes_null(value: float) -> None:
    assert jsontext.dumps([value]) == "[null]"


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", "1 2", "'a'", b"\xff", "[" * 100_000, "[" * 5000 + "]" * 5000],
)
def test_text_that_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)


def test_a_whole_number_beyond_64_bits_is_no_whole_number_any_more() -> None:
    assert isinstance(jsontext.loads(str(2**64)), float)
