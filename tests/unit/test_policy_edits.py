"""Edits of policies: every field is checked, what contradicts is refused, what is kept stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.policy import edits, fields, rows
from cl_revenue_ops.domain.policy.fields import Fault
from messages.policies import REBALANCE_MODES, STRATEGIES, PeerPolicy, PolicyEdit
from tests.unit.policy_support import BAD, FIELDS, NOW_S, OPTIONS, peer

A = peer(1)


def read(**options: Any) -> PolicyEdit:
    edit = edits.read_edit({"peer_id": A, **options})
    assert not isinstance(edit, Fault), edit.text
    return edit


def after(policy: PeerPolicy | None = None, now_s: float = NOW_S, **options: Any) -> PeerPolicy:
    made = edits.apply(read(**options), policy, now_s)
    assert not isinstance(made, Fault), made.text
    return made


def complaint(policy: PeerPolicy | None = None, **options: Any) -> str:
    """The line of a refusal, at reading or at applying."""
    edit = edits.read_edit({"peer_id": A, **options})
    made = edit if isinstance(edit, Fault) else edits.apply(edit, policy, NOW_S)
    assert isinstance(made, Fault), made
    assert len(made.text) < 400
    assert made.text.isascii()
    assert made.text.isprintable()
    return made.text


def named(options: Any) -> Any:
    """Options whose names are in variables."""
    return options


# -- fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "raw"), [(n, raw) for n, raws in BAD.items() for raw in raws])
def test_a_bad_value_is_refused_in_a_line_that_names_the_field(name: str, raw: object) -> None:
    options: Any = {name: raw}
    text = complaint(**options)
    assert name.removesuffix("s") in text


@pytest.mark.parametrize("raw", STRATEGIES)
def test_words_are_read_in_any_case(raw: str) -> None:
    assert after(strategy=raw.upper(), fee_ppm=1).strategy == raw
    assert [after(rebalance=mode.title()).rebalance for mode in REBALANCE_MODES] == list(
        REBALANCE_MODES
    )


def test_numbers_may_be_texts_and_their_ends_are_allowed() -> None:
    made = after(
        fee_ppm="0",
        min_fee_ppm=0,
        max_fee_ppm="100000",
        fee_multiplier_min="0.1",
        fee_multiplier_max=5,
        expires_in_hours="720",
    )
    assert made[3:8] == (0, 0.1, 5.0, 0, 100_000)
    assert made.expires_at_s == NOW_S + 720 * 3600
    assert after(expires_in_hours=1).expires_at_s == NOW_S + 3600


@pytest.mark.parametrize("nothing", [None, "none", "NULL", ""])
@pytest.mark.parametrize("name", fields.CLEARED_BY_NULL)
def test_null_or_none_takes_a_number_away(name: str, nothing: object) -> None:
    one: Any = {name: 1}
    none: Any = {name: nothing}
    had = after(**one)
    assert getattr(had, name) == 1
    assert getattr(after(had, **none), name) is None


@pytest.mark.parametrize("name", ["strategy", "rebalance", "tags", "expires_in_hours"])
def test_null_elsewhere_is_the_same_as_nothing(name: str) -> None:
    had = after(strategy="hive", rebalance="disabled", tags=["a"], expires_in_hours=5)
    none: Any = {name: None}
    assert after(had, **none) == had


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (["b", "a", "b"], ("b", "a")),
        ('["b", "a"]', ("b", "a")),
        (" b, a ,b", ("b", "a")),
        ("one", ("one",)),
        ([" x "], ("x",)),
        (["a,b"], ("a,b",)),
        ("", ()),
        ([], ()),
        ("[]", ()),
        (["x" * 100], ("x" * 100,)),
    ],
)
def test_tags_come_as_array_json_or_text(raw: object, found: tuple[str, ...]) -> None:
    assert after(tags=raw).tags == found


def test_tags_are_bounded_in_number() -> None:
    many = [f"t{number}" for number in range(fields.MOST_TAGS)]
    full = after(tags=many)
    assert "at most" in complaint(tags=[*many, "more"])
    assert after(tags=[*many, "t0"]) == full
    one_more = edits.retagged(full, A, "more", True)
    assert isinstance(one_more, Fault)
    assert edits.retagged(full, A, "t3", True) == full


@pytest.mark.parametrize(
    "raw",
    [None, "", "02", "04" + "a" * 64, "02" + "g" * 64, "02" + "a" * 65, 5, [], "02" + "é" * 64],
)
def test_a_peer_is_a_node_id_and_nothing_else(raw: object) -> None:
    assert isinstance(edits.read_edit({"peer_id": raw}), Fault)
    assert isinstance(edits.apply(PolicyEdit(str(raw)), None, NOW_S), Fault)
    assert isinstance(edits.retagged(None, str(raw), "t", True), Fault)


def test_a_node_id_is_written_in_lower_case() -> None:
    edit = edits.read_edit({"peer_id": "03" + "AB" * 32})
    assert isinstance(edit, PolicyEdit)
    assert edit.peer_id == "03" + "ab" * 32


def test_other_names_mean_the_same_and_may_not_disagree() -> None:
    assert read(rebalance_mode="disabled", fee_ppm_target=5) == read(
        rebalance="disabled", fee_ppm=5
    )
    assert after(fee_ppm=5, fee_ppm_target="5").fee_ppm == 5
    assert "twice" in complaint(fee_ppm=5, fee_ppm_target=6)
    assert "twice" in complaint(rebalance="enabled", rebalance_mode="disabled")


# -- what it becomes ------------------------------------------------------------------------------


def test_nothing_asked_for_a_stranger_is_a_plain_policy() -> None:
    assert after() == PeerPolicy(A)


def test_what_is_not_named_stays() -> None:
    had = after(strategy="static", fee_ppm=7, tags=["a"], min_fee_ppm=1, expires_in_hours=9)
    assert after(had, NOW_S + 5, rebalance="disabled") == had._replace(rebalance="disabled")


def test_static_needs_a_fee_given_or_kept() -> None:
    assert "add fee_ppm" in complaint(strategy="static")
    kept = after(fee_ppm=50)
    assert after(kept, strategy="static").fee_ppm == 50
    assert "add fee_ppm" in complaint(after(kept, strategy="static"), fee_ppm=None)
    assert after(strategy="static", fee_ppm=0).fee_ppm == 0


@pytest.mark.parametrize(
    ("least", "most", "low", "high"),
    [("min_fee_ppm", "max_fee_ppm", 5, 6), ("fee_multiplier_min", "fee_multiplier_max", 0.5, 0.6)],
)
def test_bounds_are_refused_inverted_and_never_swapped(
    least: str, most: str, low: Any, high: Any
) -> None:
    assert after(**named({least: low, most: low})), "a pin"
    assert least in complaint(**named({least: high, most: low}))
    kept = after(**named({most: low}))
    assert most in complaint(kept, **named({least: high}))
    assert after(kept, **named({least: high, most: None}))


def test_an_end_is_a_whole_second_that_is_not_early() -> None:
    made = after(now_s=NOW_S + 0.25, expires_in_hours=1.5)
    assert made.expires_at_s == NOW_S + 5_401
    assert after(made, expires_in_hours=0).expires_at_s is None
    assert after(made, expires_in_hours=-3).expires_at_s is None


def test_an_end_is_renewed_by_hours_and_left_by_anything_else() -> None:
    made = after(expires_in_hours=2)
    assert after(made, NOW_S + 60, expires_in_hours=2).expires_at_s == NOW_S + 7_260
    assert after(made, NOW_S + 60, rebalance="disabled").expires_at_s == made.expires_at_s


@given(OPTIONS, OPTIONS)
def test_the_same_again_differs_in_nothing(first: dict[str, Any], then: dict[str, Any]) -> None:
    policy: PeerPolicy | None = None
    for options in (first, then):
        made = edits.apply(read(**options), policy, NOW_S)
        if isinstance(made, Fault):
            continue
        assert edits.apply(read(**options), made, NOW_S) == made
        assert edits.contradiction(made) is None
        policy = made
    if policy is not None:
        assert rows.unpacked(A, rows.packed(policy)) == policy


@given(st.dictionaries(st.sampled_from(edits.KEYS), st.from_type(object) | st.text() | st.floats()))
def test_whatever_is_given_is_an_edit_or_one_line(given_values: dict[str, Any]) -> None:
    edit = edits.read_edit({"peer_id": A, **given_values})
    made = edit if isinstance(edit, Fault) else edits.apply(edit, None, NOW_S)
    if isinstance(made, Fault):
        assert made.text.isascii() and made.text.isprintable()
    else:
        assert rows.unpacked(made.peer_id, rows.packed(made)) == made


# -- batches --------------------------------------------------------------------------------------


def test_a_batch_is_an_array_or_its_text() -> None:
    entries: list[Any] = [{"peer_id": A, "strategy": "hive", "fee_ppm_target": None, "tags": []}]
    wanted = (PolicyEdit(A, (("strategy", "hive"), ("fee_ppm", None), ("tags", ()))),)
    assert edits.read_batch(entries) == edits.read_batch(json.dumps(entries)) == wanted
    assert edits.read_batch("[]") == edits.read_batch([]) == ()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("", "array"),
        ("{", "array"),
        ({}, "array"),
        (None, "array"),
        ("[" * 100_000, "array"),
        ([{"peer_id": A}] * 101, "at most 100"),
        ([{"peer_id": A}, 5], "entry 2"),
        ([{"peer_id": A}, {"strategy": "hive"}], "entry 2"),
        ([{"peer_id": A, "fee": 5}], "entry 1 of the batch: unknown key 'fee'"),
        ([{"peer_id": A, "fee_multiplier_min": 0}], "entry 1"),
        ([{"peer_id": A, "expires_in_hours": 1000}], "entry 1"),
    ],
)
def test_a_bad_batch_is_refused_with_the_entry_that_is_at_fault(raw: object, words: str) -> None:
    fault = edits.read_batch(raw)
    assert isinstance(fault, Fault)
    assert words in fault.text
    assert len(fault.text) < 400


def test_a_hundred_entries_are_a_batch() -> None:
    assert len(edits.read_batch([{"peer_id": peer(n)} for n in range(100)])) == 100


# -- what is stored and shown ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "fast"},
        {"strategy": "static"},
        {"rebalance": None},
        {"min_fee_ppm": 9, "max_fee_ppm": 1},
        {"updated_at_s": "x"},
        {"expires_at_s": []},
        {"expires_at_s": 1e999},
        {"peer_id": peer(2)},
        {"more": 1},
        {"tags": ["\n"]},
    ],
)
def test_a_stored_policy_that_cannot_be_is_not_read(change: dict[str, Any]) -> None:
    row = {**json.loads(rows.packed(PeerPolicy(A))), **change}
    with pytest.raises((ValueError, TypeError, KeyError)):
        rows.unpacked(A, json.dumps(row))


def test_a_policy_is_shown_by_the_names_that_clients_read() -> None:
    made = after(strategy="static", fee_ppm=5, expires_in_hours=1)._replace(updated_at_s=NOW_S)
    assert rows.shown(made, NOW_S + 3_599.9) == {
        "peer_id": A,
        "strategy": "static",
        "rebalance_mode": "enabled",
        "fee_ppm_target": 5,
        "tags": [],
        "updated_at": 1_700_000_000,
        "fee_multiplier_min": None,
        "fee_multiplier_max": None,
        "min_fee_ppm": None,
        "max_fee_ppm": None,
        "expires_at": 1_700_003_600,
        "is_expired": False,
    }
    assert rows.shown(made, NOW_S + 3_600.0)["is_expired"] is True
    assert set(FIELDS) == set(fields.READERS)
