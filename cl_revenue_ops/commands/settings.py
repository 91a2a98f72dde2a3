"""revenue-config: reading settings at the desk, handing changes to their owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cl_revenue_ops.commands import leaving, values
from cl_revenue_ops.commands.binding import BadInput, Param
from cl_revenue_ops.commands.desk import FrontDesk, HandOn
from cl_revenue_ops.config import (
    Change,
    SettingRefused,
    SettingsBook,
    describe,
    find,
    mutable_keys,
    reset_value,
    set_value,
)
from cl_revenue_ops.gate import WriteGate
from messages.settings import ResetSetting, SetSetting

ACTIONS = ("get", "set", "reset", "list", "list-mutable")
_CLOSING = {
    "paused": ("paused", "paused by the operator"),
    "dry_run": ("dry run", "nothing is written to the node"),
}


def _key(raw: object) -> str:
    if not isinstance(raw, str):
        raise BadInput("key must be the name of a setting; revenue-config list shows them")
    return raw


PARAMS = (
    Param("action", values.word("action", ACTIONS), required=True),
    Param("key", _key),
    Param("value", values.scalar("value")),
)


def run(desk: FrontDesk, args: Mapping[str, Any]) -> dict[str, object] | HandOn:
    """Carry out one action; BadInput for a bad key or value."""
    action, key, value = args["action"], args["key"], args["value"]
    book = desk.book()
    _check_arguments(action, key, value)
    if action == "list":
        return {"settings": describe(book), "version": book.version}
    if action == "list-mutable":
        keys = mutable_keys()
        return {"mutable_keys": keys, "count": len(keys)}
    if leaving.is_action(key):
        return _leaving(desk, action, value)
    if action == "get":
        return _get(book, key)
    if action == "set":
        return _set(desk, book, key, value)
    ticket = order(desk.gate, _refuse_if(reset_value(book, key)))
    return HandOn("settings", lambda i, to, by: ResetSetting(i, to, by, key, ticket))


def _leaving(desk: FrontDesk, action: str, value: object) -> dict[str, object] | HandOn:
    if action == "set":
        return leaving.carry_out(desk, value)
    if action == "get":
        return leaving.describe(desk)
    raise BadInput("restore_fees is an action, not a setting: there is nothing to reset")


def _check_arguments(action: str, key: str | None, value: object) -> None:
    if action in ("set", "reset") and key is None:
        raise BadInput(f"revenue-config {action} needs a key; revenue-config list shows them")
    if action == "set" and value is None:
        raise BadInput("revenue-config set needs a value: revenue-config set <key> <value>")
    if action != "set" and value is not None:
        raise BadInput(f"revenue-config {action} takes no value")
    if action in ("list", "list-mutable") and key is not None:
        raise BadInput(f"revenue-config {action} takes no key")


def _get(book: SettingsBook, key: str | None) -> dict[str, object]:
    if key is None:
        return {
            "config": {**book.values, "version": book.version},
            "version": book.version,
        }
    setting = find(key)
    if isinstance(setting, SettingRefused):
        raise BadInput(setting.text)
    row = next(row for row in describe(book) if row["key"] == setting.key)
    return {**row, "version": book.version}


def _set(desk: FrontDesk, book: SettingsBook, key: str, value: object) -> HandOn:
    change = _refuse_if(set_value(book, key, value, "revenue-config"))
    desk.require_room()
    ticket = order(desk.gate, change)
    return HandOn("settings", lambda i, to, by: SetSetting(i, to, by, key, value, ticket))


def order(gate: WriteGate, change: Change) -> int:
    """The ticket of a change that was accepted.

    A pause or dry run holds before its answer goes out; its end waits for the Settings actor.
    """
    ticket = gate.ticket()
    if change.new_value is True and change.key in _CLOSING:
        gate.close(*_CLOSING[change.key], ticket)
    return ticket


def _refuse_if(outcome: Any) -> Any:
    if isinstance(outcome, SettingRefused):
        raise BadInput(outcome.text)
    return outcome[1]
