"""revenue-config set restore-fees: an action under the name of a key, which nothing stores."""

from __future__ import annotations

from typing import Final

from cl_revenue_ops.commands import values
from cl_revenue_ops.commands.binding import BadInput
from cl_revenue_ops.commands.desk import FrontDesk, HandOn, NotServed
from cl_revenue_ops.config import OPTION_PREFIX
from cl_revenue_ops.gate import PAUSES
from messages.settings import RestoreFees

KEY: Final = "restore_fees"
PATIENCE_S: Final = 600.0
HELP: Final = (
    "An action, never stored: set restore_fees true pauses and puts back the fee and base fee"
    " found at first contact on every channel; set paused false manages fees again"
)


def is_action(key: object) -> bool:
    """Whether this is a name of the action: with `-` or `_`, with or without `revenue-ops-`."""
    prefix = OPTION_PREFIX.replace("-", "_")
    return isinstance(key, str) and key.replace("-", "_").removeprefix(prefix) == KEY


def describe(desk: FrontDesk) -> dict[str, object]:
    """What `get` answers: that nothing is stored, and how the last time went (null: not in this
    life of the plugin).
    """
    told = desk.notice("fee-controller")
    last = told.get("restored") if isinstance(told, dict) else None
    book = desk.book()
    return {
        "key": KEY,
        "value": False,
        "stored": False,
        "paused": book.config.paused,
        "last": last,
        "help": HELP,
        "version": book.version,
    }


def carry_out(desk: FrontDesk, value: object) -> HandOn:
    """Pause from this moment on and hand the rest on; BadInput for anything but true.

    NotServed, with nothing changed, where something other than a pause forbids every write.
    """
    if not values.flag("value")(value):
        raise BadInput(
            "restore_fees is an action and is off already; revenue-config set paused false lets"
            " fees be managed again"
        )
    closed = desk.gate.closed_because(PAUSES)
    if closed is not None:
        raise NotServed(f"no fee is put back and nothing has changed: {closed}")
    desk.require_room()
    ticket = desk.gate.ticket()
    desk.gate.close("paused", "paused by the operator", ticket)
    return HandOn("settings", lambda i, to, by: RestoreFees(i, to, by, ticket), PATIENCE_S)
