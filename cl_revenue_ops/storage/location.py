"""Which file is the house's database: the rules around the option and what lies there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cl_revenue_ops.ports import StoreDamaged
from cl_revenue_ops.storage.inspection import Finding, Identity, Kind, inspect

DEFAULT_NAME = "revenue_ops.db"
SECOND_NAME = "revenue_ops_v3.db"

_USABLE = (Kind.ABSENT, Kind.OURS)
_NOT_FOR_US = (Kind.OTHER_NODE, Kind.NEWER, Kind.EARLIER, Kind.FOREIGN)


class Location(NamedTuple):
    """The file to use, and a line for the operator where it is not the one to be expected."""

    path: Path
    note: str | None


def choose(configured: str | None, lightning_dir: str, wanted: Identity) -> Location:
    """The database file of this node; looks at what is there and changes nothing.

    A configured path is used or refused. Without one it is `revenue_ops.db` in the
    lightning-dir, or `revenue_ops_v3.db` where that name is taken by somebody else or where
    the house has kept its records there already. Raises StoreDamaged or Unavailable.
    """
    home = Path(lightning_dir)
    if configured is not None:
        return _configured(_resolved(home, configured), wanted)
    first = _resolved(home, DEFAULT_NAME)
    second = _resolved(home, SECOND_NAME)
    at_first = inspect(first, wanted)
    if at_first.kind is Kind.OURS:
        return Location(first, None)
    if at_first.kind is Kind.DAMAGED:
        raise _refusal(first, at_first)
    at_second = inspect(second, wanted)
    if at_first.kind is Kind.ABSENT:
        return _where_first_is_free(first, second, at_second)
    if at_second.kind not in _USABLE:
        raise _refusal(second, at_second)
    return Location(second, _note(first, at_first, second))


def _configured(path: Path, wanted: Identity) -> Location:
    finding = inspect(path, wanted)
    if finding.kind not in _USABLE:
        raise _refusal(path, finding)
    return Location(path, None)


def _where_first_is_free(first: Path, second: Path, at_second: Finding) -> Location:
    if at_second.kind is Kind.DAMAGED:
        raise _refusal(second, at_second)
    return Location(second if at_second.kind is Kind.OURS else first, None)


def _resolved(home: Path, name: str) -> Path:
    """The real path behind links, so that two names of one file share its lock."""
    try:
        return (home / Path(name).expanduser()).resolve()
    except RuntimeError as error:
        raise StoreDamaged(f"database path {name} cannot be resolved: {error}") from error


def _refusal(path: Path, finding: Finding) -> StoreDamaged:
    advice = (
        "it is left as it is: choose another file with revenue-ops-db-path"
        if finding.kind in _NOT_FOR_US
        else "restore its backup or move it away"
    )
    return StoreDamaged(f"the database {path} {finding.text}; {advice}")


def _note(first: Path, finding: Finding, second: Path) -> str:
    later = "; its records can be imported later" if finding.kind is Kind.EARLIER else ""
    return f"{first} {finding.text} and is left as it is{later}; this house uses {second}"
