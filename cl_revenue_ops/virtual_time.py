"""Virtual time over the real protocol: the environment that asks for it, and the advance call."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cl_revenue_ops.callbook import INVALID_PARAMS
from cl_revenue_ops.commands.binding import BadInput, Param, bind
from cl_revenue_ops.config import echo
from cl_revenue_ops.plugin import PluginRequest
from cl_revenue_ops.runtime.stepped import SteppedRuntime

VIRTUAL_CLOCK, SEED = "REVENUE_OPS_VIRTUAL_CLOCK", "REVENUE_OPS_SEED"
ADVANCE = "dev-revenue-advance"


class BadEnvironment(Exception):
    """An environment variable is unusable; the message says which, in one line."""


def start_from(environment: Mapping[str, str]) -> float | None:
    """Where the virtual clock starts (Unix seconds); None for real time."""
    text = environment.get(VIRTUAL_CLOCK)
    if text is None:
        return None
    try:
        start_s = float(text)
    except ValueError:
        start_s = math.nan
    if not math.isfinite(start_s) or start_s < 0:
        raise BadEnvironment(f"{VIRTUAL_CLOCK} must be Unix seconds, not {echo(text)}")
    return start_s


def seed_from(environment: Mapping[str, str]) -> int | None:
    """The root seed that the environment asks for; None for the house's own."""
    text = environment.get(SEED)
    try:
        return None if text is None else int(text)
    except ValueError:
        raise BadEnvironment(f"{SEED} must be a whole number, not {echo(text)}") from None


def advance(runtime: SteppedRuntime, request: PluginRequest) -> None:
    """Serve `dev-revenue-advance {"until": seconds}`: see SteppedRuntime.advance."""
    try:
        until_s = bind(ADVANCE, [Param("until", _seconds, required=True)], request.params)["until"]
        assert isinstance(until_s, float)
        if until_s < runtime.clock.now():
            raise BadInput(f"until {until_s} lies before now, {runtime.clock.now()}")
    except BadInput as fault:
        request.error(INVALID_PARAMS, str(fault))
        return
    done = runtime.advance(until_s)
    request.result(
        {
            "now": runtime.clock.now(),
            "timers": done.timers,
            "messages": done.messages,
            "next": done.next_due_s,
        }
    )


def _seconds(raw: object) -> float:
    if isinstance(raw, (int, float)) and not isinstance(raw, bool) and math.isfinite(raw):
        return float(raw)
    raise BadInput(f"until must be Unix seconds, not {echo(raw)}")
