"""Binds the arguments of a call to named parameters, in the three forms that clients send."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cl_revenue_ops.config import echo

_NAMED = re.compile(r"([a-z][a-z_]*)=(.*)\Z", re.DOTALL)


class BadInput(Exception):
    """The arguments are at fault; the message is one line that says what to do."""


@dataclass(frozen=True)
class Param:
    """One parameter: `read(raw)` gives its value or raises BadInput."""

    name: str
    read: Callable[[object], object]
    required: bool = False
    default: object = None


def bind(method: str, params: Sequence[Param], raw: object) -> dict[str, object]:
    """The value of every parameter from a list, an object, or a list with name=value items.

    lightning-cli switches to named arguments only when the first one contains '=', so that
    `revenue-config set key=min_fee_ppm value=50` arrives as a list whose later items are texts.
    Raises BadInput for anything missing, unknown, doubled or malformed.
    """
    given = _given(method, params, raw)
    values: dict[str, object] = {}
    for param in params:
        if param.name in given:
            values[param.name] = param.read(given[param.name])
        elif param.required:
            raise BadInput(f"{param.name} is missing; {usage(method, params)}")
        else:
            values[param.name] = param.default
    return values


def bind_chosen(
    method: str, first: Param, more: Mapping[str, Sequence[Param]], raw: object
) -> dict[str, object]:
    """As `bind`, where the value of the first parameter decides which others follow."""
    choice = bind(method, (first,), _first_alone(first.name, raw))[first.name]
    return bind(method, (first, *more[str(choice)]), raw)


def _first_alone(name: str, raw: object) -> object:
    """The arguments of a call, cut down to the parameter that stands first."""
    if isinstance(raw, dict):
        return {key: value for key, value in raw.items() if key == name}
    if isinstance(raw, list):
        for item in raw:
            named = _NAMED.match(item) if isinstance(item, str) else None
            if named is None or named.group(1) == name:
                return [item]
        return []
    return raw


def usage(method: str, params: Sequence[Param]) -> str:
    """How the command is called, in one line."""
    words = [p.name if p.required else f"[{p.name}]" for p in params]
    return "usage: " + " ".join([method, *words]) if words else f"{method} takes no arguments"


def _given(method: str, params: Sequence[Param], raw: object) -> dict[str, object]:
    if raw is None:
        return {}
    if isinstance(raw, dict):
        return _from_object(method, params, raw)
    if isinstance(raw, list):
        return _from_list(method, params, raw)
    raise BadInput(f"arguments must be a list or an object; {usage(method, params)}")


def _from_object(
    method: str, params: Sequence[Param], raw: dict[object, object]
) -> dict[str, object]:
    names = {param.name for param in params}
    for key in raw:
        if key not in names:
            raise BadInput(f"unknown argument {echo(key)}; {usage(method, params)}")
    return {str(key): value for key, value in raw.items()}


def _from_list(method: str, params: Sequence[Param], raw: list[object]) -> dict[str, object]:
    names = [param.name for param in params]
    given: dict[str, object] = {}
    position = 0
    for item in raw:
        named = _NAMED.match(item) if isinstance(item, str) else None
        if named is not None:
            name, value = named.group(1), named.group(2)
            if name not in names:
                raise BadInput(f"unknown argument {echo(name)}; {usage(method, params)}")
        elif position >= len(names):
            raise BadInput(f"too many arguments; {usage(method, params)}")
        else:
            name, value = names[position], item
            position += 1
        if name in given:
            raise BadInput(f"{name} is given twice; {usage(method, params)}")
        given[name] = value
    return given
