"""Fields of JSON objects that came from the node: absent, right, or a reason to drop the row.

Absent and null mean that the node does not say; a field that is there must be right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_Value = TypeVar("_Value")


class WrongField(Exception):
    """A field is there but not what its name promises; never leaves the parsers."""


def said(raw: object, parser: Callable[[object], _Value | None]) -> _Value | None:
    """The parsed value, or None where the node does not say."""
    if raw is None:
        return None
    value = parser(raw)
    if value is None:
        raise WrongField
    return value


def optional(
    row: Mapping[str, Any], name: str, parser: Callable[[object], _Value | None]
) -> _Value | None:
    """The parsed field, or None where the node does not say."""
    return said(row.get(name), parser)


def field(
    row: Mapping[str, Any],
    name: str,
    parser: Callable[[object], _Value | None],
    default: _Value | None = None,
) -> _Value:
    """The parsed field, or `default` where the node does not say; without one it is required."""
    value = said(row.get(name), parser)
    if value is None:
        value = default
    if value is None:
        raise WrongField
    return value


def as_bool(value: object) -> bool | None:
    """The value if it is true or false."""
    return value if isinstance(value, bool) else None


def as_text(value: object) -> str | None:
    """The value if it is a string."""
    return value if isinstance(value, str) else None


def as_dict(value: object) -> dict[str, Any] | None:
    """The value if it is an object."""
    return value if isinstance(value, dict) else None


def as_list(value: object) -> list[Any] | None:
    """The value if it is a list."""
    return value if isinstance(value, list) else None
