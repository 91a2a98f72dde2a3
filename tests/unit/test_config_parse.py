"""The parsers of settings: what each type accepts, and that nothing from outside ever raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.config import (
    BY_KEY,
    SETTINGS,
    Kind,
    Setting,
    SettingRefused,
    SettingValue,
    find,
    parse,
    to_text,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**400, max_value=10**401)
    | st.integers(min_value=-5, max_value=200_000)
    | st.floats()
    | st.floats(min_value=-1, max_value=2)
    | st.text()
    | st.text(st.characters(codec=None), max_size=90)  # includes lone surrogates
    | st.integers().map(str)
    | st.floats().map(str)
    | st.sampled_from(["TRUE", "oﬀ", "auto", "sling", "1e3", "nan", "inf", "-0", "/a/b.db"])
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def accepted(setting: Setting, value: SettingValue) -> bool:
    """Whether a parsed value has the type of its setting and lies within its bounds."""
    if setting.kind is Kind.BOOL:
        return type(value) is bool
    if setting.kind is Kind.CHOICE:
        return value in setting.choices
    if setting.kind is Kind.PATH:
        return type(value) is str and setting.low <= len(value) <= setting.high
    kind = int if setting.kind is Kind.INT else float
    return type(value) is kind and setting.low <= value <= setting.high


@given(st.sampled_from(SETTINGS), JSON)
def test_any_raw_value_gives_a_typed_value_within_bounds_or_a_line(
    setting: Setting, raw: object
) -> None:
    value = parse(setting, raw)
    if isinstance(value, SettingRefused):
        assert value.text.startswith(f"{setting.key} must be ")
        assert value.text.isascii()
        assert value.text.isprintable()
        assert len(value.text) < 260
    else:
        assert accepted(setting, value)


@given(st.sampled_from(SETTINGS), SCALARS)
def test_the_text_of_a_value_means_the_same_value(setting: Setting, raw: object) -> None:
    value = parse(setting, raw)
    if not isinstance(value, SettingRefused):
        again = parse(setting, to_text(value))
        assert (again, type(again)) == (value, type(value))


@given(st.floats(min_value=0, max_value=1))
def test_every_share_survives_the_store(share: float) -> None:
    assert parse(BY_KEY["kelly_fraction"], to_text(share)) == share


@given(JSON)
def test_any_name_gives_a_setting_or_a_line(name: object) -> None:
    found = find(name)
    if isinstance(found, SettingRefused):
        assert found.text.isascii()
        assert found.text.isprintable()
        assert len(found.text) < 260


@pytest.mark.parametrize(("raw", "value"), [(50, 50), ("50", 50), ("0", 0), (0, 0)])
def test_whole_numbers_accepted(raw: object, value: int) -> None:
    parsed = parse(BY_KEY["min_fee_ppm"], raw)
    assert (parsed, type(parsed)) == (value, int)


@pytest.mark.parametrize(
    "raw",
    [
        50.5,
        50.0,
        "50.0",
        "1e3",
        True,
        False,
        "true",
        " 50",
        "50 ",
        "50\n",
        "+50",
        "5_0",
        "0x10",
        "٥٠",
        "５０",
        "",
        "-",
        "-1",
        -1,
        "12x",
        "50 ppm",
        None,
        [50],
        {"value": 50},
        b"50",
        "9" * 5000,
        10**5000,
    ],
    ids=lambda raw: ascii(raw)[:20] if not isinstance(raw, int) else f"int of {raw.bit_length()}",
)
def test_whole_numbers_refused(raw: object) -> None:
    assert isinstance(parse(BY_KEY["min_fee_ppm"], raw), SettingRefused)


def test_a_whole_number_beyond_what_json_carries_exactly_is_refused() -> None:
    wide = Setting(
        "wide", "revenue-ops-wide", "", Kind.INT, 0, BY_KEY["paused"].owner, "", high=2.0**60
    )
    assert parse(wide, 2**53) == 2**53
    assert isinstance(parse(wide, 2**53 + 1), SettingRefused)
    assert isinstance(parse(wide, str(2**53 + 1)), SettingRefused)


@pytest.mark.parametrize(
    ("raw", "value"),
    [("0.85", 0.85), (0.85, 0.85), (1, 1.0), ("1", 1.0), (".5", 0.5), ("1.", 1.0), ("5e-1", 0.5)],
)
def test_numbers_accepted(raw: object, value: float) -> None:
    parsed = parse(BY_KEY["kelly_fraction"], raw)
    assert (parsed, type(parsed)) == (value, float)


@pytest.mark.parametrize(
    "raw",
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        "nan",
        "inf",
        "Infinity",
        "1e999",
        True,
        "0.5x",
        " 0.5",
        "0,5",
        "0_1",
        "٠.٥",
        ".",
        "",
        -0.1,
        "1.0001",
        None,
        [],
    ],
)
def test_numbers_refused(raw: object) -> None:
    assert isinstance(parse(BY_KEY["kelly_fraction"], raw), SettingRefused)


def test_negative_zero_is_zero() -> None:
    for raw in (-0.0, "-0", "-0.0"):
        assert str(parse(BY_KEY["kelly_fraction"], raw)) == "0.0"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        *((raw, True) for raw in (True, 1, "true", "TRUE", "True", "1", "yes", "YES", "on", "On")),
        *((raw, False) for raw in (False, 0, "false", "FALSE", "0", "no", "No", "off", "OFF")),
    ],
)
def test_switches_accepted(raw: object, value: bool) -> None:
    assert parse(BY_KEY["dry_run"], raw) is value


@pytest.mark.parametrize(
    "raw", [2, -1, 1.0, 0.0, "y", "n", "ture", "", " true", "oﬀ", "enabled", None, [True]]
)
def test_switches_refused(raw: object) -> None:
    assert isinstance(parse(BY_KEY["dry_run"], raw), SettingRefused)


@pytest.mark.parametrize(
    ("raw", "value"),
    [("auto", "auto"), ("AUTO", "auto"), ("true", "true"), (True, "true"), (False, "false")],
)
def test_choices_accepted(raw: object, value: str) -> None:
    assert parse(BY_KEY["hive_enabled"], raw) == value


@pytest.mark.parametrize("raw", ["", "yes", "auto ", 1, None, "auto\n"])
def test_choices_refused(raw: object) -> None:
    assert isinstance(parse(BY_KEY["hive_enabled"], raw), SettingRefused)


def test_paths_keep_their_letters() -> None:
    for raw in ("~/x.db", "/home/jürgen/my node/revenue_ops.db"):
        assert parse(BY_KEY["db_path"], raw) == raw


@pytest.mark.parametrize("raw", ["/a\x00b", "/a\nb", "/a\x7f", "/a\udc80", " /a", "/a ", 5, None])
def test_paths_refused(raw: object) -> None:
    assert isinstance(parse(BY_KEY["db_path"], raw), SettingRefused)


@pytest.mark.parametrize(
    ("key", "raw", "text"),
    [
        (
            "min_fee_ppm",
            "12x",
            "min_fee_ppm must be a whole number from 0 to 100000 (got '12x')",
        ),
        ("kelly_fraction", None, "kelly_fraction must be a number from 0 to 1 (got null)"),
        ("kelly_fraction", 1.5, "kelly_fraction must be a number from 0 to 1 (got 1.5)"),
        ("hive_enabled", [1], "hive_enabled must be auto, true or false (got a list)"),
        ("rebalancer_plugin", {}, "rebalancer_plugin must be sling (got an object)"),
        (
            "paused",
            "maybe\u2028\x1b[2J",
            "paused must be true or false (or yes/no, on/off, 1/0) (got 'maybe\\u2028\\x1b[2J')",
        ),
    ],
)
def test_a_refusal_says_what_to_do(key: str, raw: object, text: str) -> None:
    assert parse(BY_KEY[key], raw) == SettingRefused(text)


def test_outside_text_is_cut() -> None:
    refused = parse(BY_KEY["min_fee_ppm"], "é" * 100_000)
    assert isinstance(refused, SettingRefused)
    echoed = refused.text.split("(got ")[1]
    assert len(echoed) == len("'") + 60 + len("')")
    assert echoed.endswith("...')")
