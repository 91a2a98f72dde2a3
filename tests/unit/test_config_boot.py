"""Settings at start: faults of the configuration, and which stored overrides still hold."""

from __future__ import annotations

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.config import (
    SETTINGS,
    BootResult,
    StoredOverride,
    at_boot,
    default_config,
    violations,
)


def boot(options: dict[str, object] | None = None, *rows: StoredOverride) -> BootResult:
    raw = {f"revenue-ops-{name}": value for name, value in (options or {}).items()}
    result = at_boot(raw, rows)
    for line in (*result.problems, *result.notes):
        assert line.isascii()
        assert line.isprintable()
    assert result.config == result.book.config
    return result


def source(result: BootResult, key: str) -> str:
    return result.book.source(key).value


def test_no_option_at_all_gives_the_defaults() -> None:
    result = boot()
    assert result.config == default_config(version=1)
    assert result.problems == result.notes == result.outdated == ()
    assert {source(result, setting.key) for setting in SETTINGS} == {"default"}


def test_options_arrive_as_text() -> None:
    result = boot({"min-fee-ppm": "25", "kelly-fraction": "0.25", "dry-run": "yes"})
    config = result.config
    assert (config.min_fee_ppm, config.kelly_fraction, config.dry_run) == (25, 0.25, True)
    assert source(result, "min_fee_ppm") == "config file"
    assert source(result, "max_fee_ppm") == "default"


def test_a_value_equal_to_the_default_counts_as_the_default() -> None:
    assert source(boot({"min-fee-ppm": "10"}), "min_fee_ppm") == "default"


def test_the_database_path_is_none_until_it_is_set() -> None:
    assert boot({"db-path": None}).config.db_path is None
    result = boot({"db-path": "~/x.db"})
    assert result.config.db_path == "~/x.db"
    assert source(result, "db_path") == "config file"


def test_an_invalid_value_gives_way_to_the_default_and_is_a_problem() -> None:
    result = boot({"min-fee-ppm": "12x", "fee-interval": "600"})
    assert result.config.min_fee_ppm == 10
    assert result.config.fee_interval == 600
    assert result.problems == (
        "revenue-ops-min-fee-ppm: min_fee_ppm must be a whole number from 0 to 100000"
        " (got '12x'); the default 10 is used: correct the config file",
    )


def test_an_invalid_database_path_names_the_default_place() -> None:
    (problem,) = boot({"db-path": ""}).problems
    assert "the default <lightning-dir>/revenue_ops.db is used" in problem


def test_a_contradiction_takes_both_to_the_default_and_names_both() -> None:
    result = boot({"min-fee-ppm": "600", "max-fee-ppm": "500"})
    assert (result.config.min_fee_ppm, result.config.max_fee_ppm) == (10, 5000)
    assert result.problems == (
        "min_fee_ppm must not be above max_fee_ppm (min_fee_ppm is 600, max_fee_ppm is 500);"
        " the defaults of both are used: correct the config file",
    )


def test_each_contradiction_is_a_problem_of_its_own() -> None:
    result = boot(
        {"min-fee-ppm": "6000", "flow-window-days": "1", "flow-interval": "90000"},
    )
    assert len(result.problems) == 2
    assert result.config == default_config(version=1)


def test_an_override_over_the_same_configuration_holds() -> None:
    result = boot({"min-fee-ppm": "20"}, StoredOverride("min_fee_ppm", "50", "20"))
    assert result.config.min_fee_ppm == 50
    assert source(result, "min_fee_ppm") == "runtime"
    assert result.notes == result.outdated == ()


def test_the_configured_value_is_compared_by_meaning_not_spelling() -> None:
    row = StoredOverride("enable_kelly", "false", "true")
    assert boot({"enable-kelly": "YES"}, row).config.enable_kelly is False


def test_a_changed_configuration_wins_over_the_override() -> None:
    result = boot({"min-fee-ppm": "30"}, StoredOverride("min_fee_ppm", "50", "20"))
    assert result.config.min_fee_ppm == 30
    assert result.outdated == ("min_fee_ppm",)
    assert result.notes == (
        "min_fee_ppm: the configuration changed from '20' to '30' and wins over the runtime"
        " value 50",
    )


def test_an_option_taken_out_of_the_config_file_is_a_change_too() -> None:
    result = boot({}, StoredOverride("min_fee_ppm", "50", "20"))
    assert result.config.min_fee_ppm == 10
    assert result.outdated == ("min_fee_ppm",)


def test_a_configuration_that_became_invalid_is_a_change_too() -> None:
    result = boot({"min-fee-ppm": "12x"}, StoredOverride("min_fee_ppm", "50", "10"))
    assert result.config.min_fee_ppm == 10
    assert result.outdated == ("min_fee_ppm",)


def test_an_override_over_an_invalid_configuration_holds_but_the_problem_stays() -> None:
    row = StoredOverride("min_fee_ppm", "50", "refused '12x'")
    result = boot({"min-fee-ppm": "12x"}, row)
    assert result.config.min_fee_ppm == 50
    assert len(result.problems) == 1


@pytest.mark.parametrize(
    "row",
    [
        StoredOverride("snapshot", "x", "y"),
        StoredOverride("", "", ""),
        StoredOverride("min_fee_ppm", "", "10"),
        StoredOverride("min_fee_ppm", "5\x000", "10"),
        StoredOverride("min_fee_ppm", "-1", "10"),
        StoredOverride("min_fee_ppm", "100001", "10"),
        StoredOverride("db_path", "/other.db", "unset"),
        StoredOverride("min_fee_ppm", "5001", "10"),
        StoredOverride(typing.cast(str, None), "1", "1"),
        StoredOverride("min_fee_ppm", typing.cast(str, b"\xff"), "10"),
    ],
    ids=repr,
)
def test_an_unusable_override_is_left_out_with_one_note(row: StoredOverride) -> None:
    result = boot({}, row)
    assert result.config == default_config(version=1)
    assert result.problems == result.outdated == ()
    assert len(result.notes) == 1
    assert "ignored" in result.notes[0]


def test_the_other_overrides_hold_beside_an_unusable_one() -> None:
    torn = StoredOverride("fee_interval", "6", "1800")
    result = boot({}, torn, StoredOverride("min_fee_ppm", "50", "10"))
    assert result.config.min_fee_ppm == 50
    assert result.config.fee_interval == 1800


def test_overrides_that_agree_with_each_other_are_judged_together() -> None:
    rows = (
        StoredOverride("min_fee_ppm", "6000", "10"),
        StoredOverride("max_fee_ppm", "9000", "5000"),
    )
    result = boot({}, *rows)
    assert (result.config.min_fee_ppm, result.config.max_fee_ppm) == (6000, 9000)
    assert result.notes == ()


def test_an_override_that_contradicts_a_new_configuration_is_left_out() -> None:
    result = boot({"max-fee-ppm": "2000"}, StoredOverride("min_fee_ppm", "3000", "10"))
    assert (result.config.min_fee_ppm, result.config.max_fee_ppm) == (10, 2000)
    assert result.notes == (
        "the stored runtime value of min_fee_ppm is ignored: min_fee_ppm must not be above"
        " max_fee_ppm (min_fee_ppm is 3000, max_fee_ppm is 2000)",
    )


def test_an_override_that_loses_its_companion_is_left_out_too() -> None:
    rows = (
        StoredOverride("min_fee_ppm", "6000", "10"),
        StoredOverride("max_fee_ppm", "9000", "5000"),
    )
    result = boot({"max-fee-ppm": "4000"}, *rows)
    assert (result.config.min_fee_ppm, result.config.max_fee_ppm) == (10, 4000)
    assert result.outdated == ("max_fee_ppm",)
    assert len(result.notes) == 2


def test_an_option_that_is_not_ours_is_noted() -> None:
    assert boot({"low-liquidity-threshold": "0.2"}).notes == (
        "unknown option 'revenue-ops-low-liquidity-threshold' is ignored",
    )


@pytest.mark.parametrize(
    ("stored", "version"), [(0, 1), (41, 42), (None, 1), ("torn", 1), (-5, 1), (2.5, 1)]
)
def test_the_version_grows_from_the_stored_one(stored: object, version: int) -> None:
    assert at_boot({}, (), stored).config.version == version


OUTSIDE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.lists(st.text(max_size=3), max_size=2),
    st.sampled_from(["1", "10", "50", "5000", "9000", "true", "auto", "0.5"]),
)
ROWS = st.builds(
    lambda key, value, replaced: StoredOverride(key, value, replaced),
    st.sampled_from([setting.key for setting in SETTINGS]) | OUTSIDE,
    OUTSIDE,
    st.sampled_from(["10", "5000", "3600", "7", "true", "unset"]) | OUTSIDE,
)


@given(
    st.dictionaries(st.sampled_from([setting.option for setting in SETTINGS]), OUTSIDE),
    st.lists(ROWS, max_size=6),
)
def test_nothing_found_at_start_is_fatal(
    options: dict[str, object], rows: list[StoredOverride]
) -> None:
    result = at_boot(options, rows)
    assert violations(result.book.values) == ()
    for line in (*result.problems, *result.notes):
        assert line.isascii()
        assert line.isprintable()


@pytest.mark.parametrize("stored", [2**63 - 1, 2**53, -1, "7", None, 1.5])
def test_a_version_that_cannot_be_one_begins_anew(stored: object) -> None:
    assert at_boot({}, [], stored).book.version == 1
