"""The protocol of import and export: what is taken from the earlier plugin, what is written out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command, Tick


@dataclass(frozen=True)
class Export(Command):
    """To the exporter: write `what` (ledger, forwards, decisions) as `format` into a new file.

    What lies from `since_s` to before `until_s` (Unix seconds; None: no end). Answered when the
    file has its name.
    """

    what: str
    format: str
    path: str
    since_s: float = 0.0
    until_s: float | None = None


@dataclass(frozen=True)
class ImportEarlier(Command):
    """To the importer: take what the database of the earlier plugin at `path` has."""

    path: str
    dry_run: bool = False


@dataclass(frozen=True)
class GoOn(Command):
    """To oneself: the next step of a long order, after whatever else waits."""


@dataclass(frozen=True)
class AnswerOverdue(Tick):
    """An answer that a long order waits for has not come in good time."""


class ImportedFee(NamedTuple):
    """A change of a fee as the earlier plugin recorded it.

    `earlier_id` is its number there, `scid` the channel as it was named there.
    """

    earlier_id: int
    scid: str
    peer_id: str | None
    at_s: int
    old_ppm: int | None
    new_ppm: int | None
    by_hand: bool
    reason: str


class ImportedFeePage(NamedTuple):
    """(number, change) in order; `next_after` is the new cursor."""

    rows: tuple[tuple[int, ImportedFee], ...]
    next_after: int
    last: bool


@dataclass(frozen=True)
class ReadImportedFees(Command):
    """To the importer: imported changes of fees with a number above `after` (ImportedFeePage).

    At most `limit` of those with `from_s` <= time < `until_s`.
    """

    after: int
    limit: int
    from_s: float = 0.0
    until_s: float | None = None


class ImportedChannel(NamedTuple):
    """A closed channel as the earlier plugin knew it; None where it did not say.

    `channel_id` is ours where it could be found out. `figures` is what it had recorded of the
    channel, as JSON by its own names: for reading only, totals come from the ledger.
    """

    scid: str
    channel_id: str | None
    peer_id: str | None
    capacity_msat: int | None
    opened_at_s: int | None
    closed_at_s: int | None
    close_type: str | None
    figures: str


@dataclass(frozen=True)
class ReadImportedChannels(Command):
    """To the importer: all imported closed channels (a tuple of ImportedChannel), by scid."""
