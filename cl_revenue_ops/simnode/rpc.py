"""How an RPC method is declared and called: parameters, their types, unknown ones, `filter`."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl_revenue_ops.simnode.errors import SimRpcError, bad_params
from cl_revenue_ops.simnode.identity import scid_number

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.autoclean import Autoclean
    from cl_revenue_ops.simnode.era import Era
    from cl_revenue_ops.simnode.options import Options
    from cl_revenue_ops.simnode.plugins import Plugins
    from cl_revenue_ops.simnode.world import World

Args = dict[str, Any]
Release = tuple[int, int]


class RawJson(str):
    """A result that is JSON text already; it goes into the answer as it is."""

    __slots__ = ()


@dataclass
class Context:
    """What handlers work on.

    `stop_requested` begins a shutdown once the answer is out, `abort` plays a crash of lightningd,
    `running` tells whether the node still serves; `methods` are all of lightningd's own commands.
    """

    world: World
    options: Options
    plugins: Plugins
    autoclean: Autoclean
    network_dir: Path
    stop_requested: threading.Event
    abort: Callable[[str], None]
    running: Callable[[], bool]
    methods: Mapping[str, Method] = field(default_factory=dict)


@dataclass(frozen=True)
class Param:
    """One parameter: `parse(name, value)` returns the value or raises -32602."""

    name: str
    parse: Callable[[str, Any], Any]
    required: bool = False
    since: Release = (0, 0)


@dataclass(frozen=True)
class Method:
    """One command of lightningd and the release that brought it; `raw` ones parse themselves."""

    handler: Callable[[Context, Args], Any]
    params: tuple[Param, ...] = ()
    since: Release = (0, 0)
    raw: bool = False

    def available(self, era: Era) -> bool:
        """True if the played release has this command."""
        return era.at_least(*self.since)

    def bind(self, era: Era, params: list[Any] | dict[str, Any]) -> Args:
        """Turn JSON params into parsed arguments by name; -32602 for anything that does not fit.

        In an array null skips a position; in an object it is a value like any other. A `raw`
        method gets its params as they came.
        """
        if self.raw:
            return {"params": params}
        known = [param for param in self.params if era.at_least(*param.since)]
        if isinstance(params, list):
            if len(params) > len(known):
                raise bad_params(f"too many parameters: got {len(params)}, expected {len(known)}")
            pairs = zip((param.name for param in known), params, strict=False)
            given = {name: value for name, value in pairs if value is not None}
        else:
            given = params
        unknown = sorted(set(given) - {param.name for param in known})
        if unknown:
            raise bad_params(f"unknown parameter: {unknown[0]}")
        for param in known:
            if param.required and param.name not in given:
                raise bad_params(f"missing required parameter: {param.name}")
        return {
            param.name: param.parse(param.name, given[param.name])
            for param in known
            if param.name in given
        }

    def describe(self, name: str) -> str:
        """The usage line that `help` shows."""
        parts = [p.name if p.required else f"[{p.name}]" for p in self.params]
        # lightningd leaves the space after the name of a method without parameters, too.
        return f"{name} {' '.join(parts)}"


def _refuse(name: str, what: str, value: Any) -> SimRpcError:
    return bad_params(f"{name}: should be {what}: invalid token {json.dumps(value)}")


def _unsigned(bits: int) -> Callable[[str, Any], int]:
    def parse(name: str, value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << bits:
            raise _refuse(name, f"an unsigned {bits} bit integer", value)
        return value

    return parse


u32 = _unsigned(32)
u64 = _unsigned(64)


def msat(name: str, value: Any) -> int:
    """An amount: a bare integer is msat; text may end in msat, sat or btc."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(msat|sat|btc)?", value)
        if match is not None:
            scale = {"msat": 1, "sat": 1000, "btc": 100_000_000_000, None: 1}[match.group(2)]
            try:
                amount = Decimal(match.group(1)) * scale
            except InvalidOperation:
                raise _refuse(name, "a millisatoshi amount", value) from None
            if amount == int(amount):
                return int(amount)
        raise _refuse(name, "a millisatoshi amount", value)
    return u64(name, value)


def msat_u32(name: str, value: Any) -> int:
    """An amount in msat that fits 32 bits."""
    return u32(name, msat(name, value))


def text(name: str, value: Any) -> str:
    """A string; numbers are taken as their text."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _refuse(name, "a string", value)


def boolean(name: str, value: Any) -> bool:
    """true or false, also as text."""
    if value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise _refuse(name, "'true' or 'false'", value)
    return value


def node(name: str, value: Any) -> str:
    """A public key: 66 hex digits beginning with 02 or 03."""
    if isinstance(value, str) and re.fullmatch(r"0[23][0-9a-f]{64}", value):
        return value
    raise _refuse(name, "a node id", value)


def hash256(name: str, value: Any) -> str:
    """64 hex digits."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return value
    raise _refuse(name, "a 32 byte hex value", value)


def scid(name: str, value: Any) -> str:
    """A short channel id in its text form."""
    try:
        scid_number(value)
    except (ValueError, AttributeError):
        raise _refuse(name, "a short_channel_id of form NxNxN", value) from None
    return str(value)


def one_of(*allowed: str) -> Callable[[str, Any], str]:
    """One of a few words."""

    def parse(name: str, value: Any) -> str:
        if value not in allowed:
            raise _refuse(name, "one of " + ", ".join(allowed), value)
        return str(value)

    return parse


def anything(name: str, value: Any) -> Any:
    """Any JSON value, for handlers that look at it themselves."""
    del name
    return value


def apply_filter(result: Any, wanted: Any) -> Any:
    """Reduce a result to the shape of a request's `filter`; true keeps a whole branch."""
    if wanted is True:
        return result
    if isinstance(wanted, dict) and isinstance(result, dict):
        return {
            name: apply_filter(result[name], inner)
            for name, inner in wanted.items()
            if name in result
        }
    if isinstance(wanted, list) and len(wanted) == 1 and isinstance(result, list):
        return [apply_filter(item, wanted[0]) for item in result]
    raise bad_params("filter: must have the shape of the result, with true at its leaves")
