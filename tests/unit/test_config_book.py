"""Changing settings at run time: overrides, setconfig, reset, and the rules between settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.config import (
    SETTINGS,
    Change,
    Outcome,
    SettingRefused,
    SettingsBook,
    StoredOverride,
    at_boot,
    describe,
    find,
    reset_value,
    set_value,
    violations,
)

RUNTIME = "revenue-config"
SETCONFIG = "setconfig"


def booted(*rows: StoredOverride, **options: object) -> SettingsBook:
    raw = {f"revenue-ops-{name.replace('_', '-')}": value for name, value in options.items()}
    result = at_boot(raw, rows, stored_version=6)
    assert result.problems == ()
    return result.book


def done(outcome: Outcome) -> tuple[SettingsBook, Change]:
    assert not isinstance(outcome, SettingRefused), outcome.text
    return outcome


def refused(outcome: Outcome) -> str:
    assert isinstance(outcome, SettingRefused)
    assert outcome.text.isascii()
    assert outcome.text.isprintable()
    return outcome.text


def row(book: SettingsBook, key: str) -> dict[str, object]:
    return next(entry for entry in describe(book) if entry["key"] == key)


def test_a_runtime_value_overrides_and_remembers_what_it_replaced() -> None:
    book, change = done(set_value(booted(min_fee_ppm="20"), "min_fee_ppm", "50", RUNTIME))
    assert book.config.min_fee_ppm == 50
    assert book.config.version == 8
    assert change == Change(
        "min_fee_ppm", 20, 50, 8, True, StoredOverride("min_fee_ppm", "50", "20")
    )
    assert row(book, "min_fee_ppm")["source"] == "runtime"
    assert row(book, "min_fee_ppm")["configured"] == 20


def test_the_option_name_serves_as_key() -> None:
    book, change = done(set_value(booted(), "revenue-ops-vegas-decay", 0.9, RUNTIME))
    assert change.key == "vegas_decay_rate"
    assert book.config.vegas_decay_rate == 0.9


def test_setting_does_not_change_the_book_it_started_from() -> None:
    book = booted()
    done(set_value(book, "min_fee_ppm", 50, RUNTIME))
    done(set_value(book, "min_fee_ppm", 50, SETCONFIG))
    assert book == booted()


@pytest.mark.parametrize("source", [RUNTIME, SETCONFIG])
def test_the_value_in_force_is_accepted_as_no_change(source: str) -> None:
    book = booted()
    same, change = done(set_value(book, "min_fee_ppm", "10", source))
    assert same == book
    assert change == Change("min_fee_ppm", 10, 10, 7, False, None)


def test_the_runtime_value_in_force_again_keeps_its_row() -> None:
    book, first = done(set_value(booted(), "min_fee_ppm", "50", RUNTIME))
    same, change = done(set_value(book, "min_fee_ppm", 50, RUNTIME))
    assert same == book
    assert not change.changed
    assert change.stored == first.stored == StoredOverride("min_fee_ppm", "50", "10")


def test_a_second_runtime_value_still_remembers_the_configured_one() -> None:
    book, _ = done(set_value(booted(), "min_fee_ppm", "50", RUNTIME))
    book, change = done(set_value(book, "min_fee_ppm", "60", RUNTIME))
    assert change.stored == StoredOverride("min_fee_ppm", "60", "10")
    assert change.old_value == 50


def test_the_configured_value_set_at_run_time_removes_the_override() -> None:
    book, _ = done(set_value(booted(min_fee_ppm="20"), "min_fee_ppm", "50", RUNTIME))
    book, change = done(set_value(book, "min_fee_ppm", "20", RUNTIME))
    assert change.stored is None
    assert change.changed
    assert row(book, "min_fee_ppm")["source"] == "config file"


def test_setconfig_changes_the_configured_value() -> None:
    book, change = done(set_value(booted(), "revenue-ops-min-fee-ppm", "50", SETCONFIG))
    assert change == Change("min_fee_ppm", 10, 50, 8, True, None)
    entry = row(book, "min_fee_ppm")
    assert (entry["value"], entry["configured"], entry["source"]) == (50, 50, "setconfig")


def test_setconfig_removes_an_override_with_a_note() -> None:
    book, _ = done(set_value(booted(), "min_fee_ppm", "50", RUNTIME))
    book, change = done(set_value(book, "min_fee_ppm", "60", SETCONFIG))
    assert book.overrides == {}
    assert book.config.min_fee_ppm == 60
    assert change.stored is None
    assert change.notes == ("min_fee_ppm: the runtime value 50 gives way to setconfig 60",)


def test_setconfig_to_the_overridden_value_still_moves_it_into_the_configuration() -> None:
    book, _ = done(set_value(booted(), "min_fee_ppm", "50", RUNTIME))
    book, change = done(set_value(book, "min_fee_ppm", "50", SETCONFIG))
    assert (change.changed, change.stored, book.version) == (True, None, 9)
    assert row(book, "min_fee_ppm")["source"] == "setconfig"


def test_setconfig_to_the_configured_value_removes_an_override() -> None:
    book, _ = done(set_value(booted(), "min_fee_ppm", "50", RUNTIME))
    book, _ = done(set_value(book, "min_fee_ppm", "10", SETCONFIG))
    assert book.config.min_fee_ppm == 10


def test_an_override_after_setconfig_remembers_the_new_configured_value() -> None:
    book, _ = done(set_value(booted(), "min_fee_ppm", "20", SETCONFIG))
    _, change = done(set_value(book, "min_fee_ppm", "50", RUNTIME))
    assert change.stored == StoredOverride("min_fee_ppm", "50", "20")


def test_setconfig_must_make_sense_without_the_runtime_values() -> None:
    """Otherwise the next start would find a configuration that contradicts itself."""
    book, _ = done(set_value(booted(), "max_fee_ppm", "9000", RUNTIME))
    text = refused(set_value(book, "min_fee_ppm", "6000", SETCONFIG))
    assert text.startswith("as configured, min_fee_ppm must not be above max_fee_ppm")


def test_setconfig_must_agree_with_the_runtime_values() -> None:
    book, _ = done(set_value(booted(), "max_fee_ppm", "1000", RUNTIME))
    text = refused(set_value(book, "min_fee_ppm", "2000", SETCONFIG))
    assert "(min_fee_ppm is 2000, max_fee_ppm is 1000); change the other one first" in text


def test_setconfig_mends_a_value_that_was_refused_at_start() -> None:
    book = at_boot({"revenue-ops-min-fee-ppm": "12x"}, ()).book
    book, change = done(set_value(book, "min_fee_ppm", "10", SETCONFIG))
    assert change.changed
    assert row(book, "min_fee_ppm")["source"] == "setconfig"


def test_setconfig_does_not_take_a_contradiction_for_no_change() -> None:
    book = at_boot({"revenue-ops-min-fee-ppm": "6000"}, ()).book
    refused(set_value(book, "min_fee_ppm", "6000", SETCONFIG))
    book, _ = done(set_value(book, "max_fee_ppm", "7000", SETCONFIG))
    book, _ = done(set_value(book, "min_fee_ppm", "6000", SETCONFIG))
    assert book.config.min_fee_ppm == 6000


@pytest.mark.parametrize("source", [RUNTIME, SETCONFIG])
def test_the_database_path_cannot_change(source: str) -> None:
    text = refused(set_value(booted(), "db-path", "/other.db", source))
    assert text == "db_path can only change in the config file, then restart the plugin"


@pytest.mark.parametrize("source", [RUNTIME, SETCONFIG])
@pytest.mark.parametrize(
    ("key", "raw"),
    [
        ("fee_interval", -1800),
        ("fee_interval", "-1800"),
        ("rebalance_interval", 0),
        ("flow_window_days", "fourteen"),
        ("flow_window_days", 14.5),
        ("snapshot", "x"),
        ("version", 9),
        ("set_value", 1),
        ("__class__", "x"),
        ("min_fee_ppm", 5001),
        ("max_fee_ppm", 9),
        ("flow_interval", 604800 + 1),
    ],
)
def test_what_once_broke_the_house_is_refused(source: str, key: str, raw: object) -> None:
    refused(set_value(booted(), key, raw, source))


def test_a_number_given_as_text_stays_a_number() -> None:
    book, change = done(set_value(booted(), "flow_window_days", "14", RUNTIME))
    assert type(book.config.flow_window_days) is int
    assert change.new_value == 14


def test_the_minimum_may_reach_the_maximum_but_not_pass_it() -> None:
    book, _ = done(set_value(booted(), "min_fee_ppm", 5000, RUNTIME))
    text = refused(set_value(book, "max_fee_ppm", 4999, RUNTIME))
    assert text == (
        "min_fee_ppm must not be above max_fee_ppm (min_fee_ppm is 5000, max_fee_ppm is 4999);"
        " change the other one first"
    )


def test_a_flow_analysis_looks_back_at_least_to_the_one_before() -> None:
    book, _ = done(set_value(booted(), "flow_window_days", 1, RUNTIME))
    book, _ = done(set_value(book, "flow_interval", 86_400, RUNTIME))
    assert "flow_window_days" in refused(set_value(book, "flow_interval", 86_401, RUNTIME))


def test_reset_goes_back_to_the_configured_value() -> None:
    book, _ = done(set_value(booted(min_fee_ppm="20"), "min_fee_ppm", "50", RUNTIME))
    book, change = done(reset_value(book, "min-fee-ppm"))
    assert change == Change("min_fee_ppm", 50, 20, 9, True, None)
    assert row(book, "min_fee_ppm")["source"] == "config file"


def test_reset_must_leave_settings_that_agree() -> None:
    book, _ = done(set_value(booted(), "max_fee_ppm", 9000, RUNTIME))
    book, _ = done(set_value(book, "min_fee_ppm", 6000, RUNTIME))
    refused(reset_value(book, "max_fee_ppm"))
    book, _ = done(reset_value(book, "min_fee_ppm"))
    book, _ = done(reset_value(book, "max_fee_ppm"))
    assert book.overrides == {}


def test_reset_without_a_runtime_value_changes_nothing() -> None:
    book, _ = done(set_value(booted(), "min_fee_ppm", "20", SETCONFIG))
    same, change = done(reset_value(book, "min_fee_ppm"))
    assert same == book
    assert (change.changed, change.stored) == (False, None)
    assert change.notes == ("min_fee_ppm has no runtime value: nothing to reset",)


def test_reset_of_an_unknown_key_is_refused() -> None:
    assert "nearest known key is min_fee_ppm" in refused(reset_value(booted(), "min_fee"))


def test_describe_shows_each_setting_once_with_all_that_is_known() -> None:
    rows = describe(booted(fee_interval="1800", flow_interval="7200"))
    assert [entry["key"] for entry in rows] == [setting.key for setting in SETTINGS]
    assert rows[3] == {
        "key": "flow_interval",
        "option": "revenue-ops-flow-interval",
        "type": "int",
        "value": 7200,
        "default": 3600,
        "configured": 7200,
        "source": "config file",
        "dynamic": True,
        "bounds": "30 to 604800",
        "unit": "seconds",
        "owner": "FlowAnalyzer",
        "built": True,
        "help": "Time between two flow analyses (seconds)",
    }
    assert rows[4]["source"] == "default"


STEPS = st.lists(
    st.tuples(
        st.sampled_from([RUNTIME, SETCONFIG, "reset"]),
        st.sampled_from(["min_fee_ppm", "max_fee_ppm", "flow_interval", "flow_window_days"]),
        st.sampled_from([1, 2, 10, 5000, 86_401, 100_000]),
    ),
    max_size=12,
)


@given(STEPS)
def test_any_history_keeps_the_rules_and_survives_a_restart(
    steps: list[tuple[str, str, int]],
) -> None:
    """Told of each change, the store and lightningd give the same values at the next start."""
    book = booted()
    store: dict[str, StoredOverride] = {}
    options: dict[str, object] = {}
    for source, key, raw in steps:
        before = book.version
        outcome = reset_value(book, key) if source == "reset" else set_value(book, key, raw, source)
        if isinstance(outcome, SettingRefused):
            continue
        book, change = outcome
        assert book.version == before + int(change.changed)
        if change.stored is None:
            store.pop(key, None)
        else:
            store[key] = change.stored
        if source == SETCONFIG:
            setting = find(key)
            assert not isinstance(setting, SettingRefused)
            options[setting.option] = str(raw)
        assert violations(book.values) == ()
    again = at_boot(options, store.values(), book.version)
    assert again.problems == again.notes == again.outdated == ()
    assert again.book.values == book.values
    assert again.book.version == book.version + 1
