"""The repositories: one owner each.

Every method blocks on the disk for milliseconds, is one transaction at most, and raises
Unavailable (disk full, I/O error, locked) or StoreDamaged. `open` may also find the node
unavailable, because the file is stamped with the node's identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from messages.channels import ChannelEntry
from messages.forwards import (
    EarningsPage,
    Forward,
    ForwardFailures,
    ForwardLogPage,
    ForwardTotals,
)


class Store(Protocol):
    """What every repository has. Before `open`, every other method raises Unavailable."""

    def open(self, node_id: str, network: str) -> None:
        """Open or create the database for this node; idempotent, cheap when open already.

        Raises Unavailable or StoreDamaged.
        """
        ...


class SettingsStore(Store, Protocol):
    """Overrides with what they replaced, the version counter, and the root of all randomness."""

    def load(self) -> tuple[int, tuple[tuple[str, str, str], ...]]:
        """(version, rows of (key, value text, replaced configured text))."""
        ...

    def save(self, version: int, overrides: Sequence[tuple[str, str, str]]) -> None:
        """Replace all overrides and the version."""
        ...

    def root_seed(self, fresh: int) -> int:
        """The stored root seed; stores and returns `fresh` where there is none yet."""
        ...


class ChannelStore(Store, Protocol):
    """Channels since first contact and every scid that each of them had."""

    def load(self) -> tuple[ChannelEntry, ...]: ...

    def save(self, entries: Sequence[ChannelEntry]) -> None:
        """Insert or update these channels and their scids; others stay as they are."""
        ...


class IngestState(NamedTuple):
    """Where the Accountant stands: cursors into the node's indexes, and totals."""

    next_created: int
    next_updated: int
    settled: int
    volume_msat: int
    fees_msat: int
    failed: int
    offered: int
    log_seq: int
    caught_up_once: bool


class LetGo(NamedTuple):
    """A step through the log: where the next begins, how many rows went, and the first row that
    stays for its youth alone (None where there is none).
    """

    next_seq: int
    rows: int
    young_seq: int | None


class SettledSums(NamedTuple):
    """What settled forwards brought in and took out, (scid, msat, msat), over part of the log.

    `next_seq` is where the next part begins, `last` that nothing follows.
    """

    sums: tuple[tuple[str, int, int], ...]
    fees_msat: int
    next_seq: int
    last: bool


class Sought(NamedTuple):
    """A settled forward that left (or came in) by a scid with so many whole satoshis."""

    scid: str
    outgoing: bool
    sat: int


class ForwardStore(Store, Protocol):
    """The forward log, its cursors and its totals."""

    def load(self) -> IngestState: ...

    def ingest(
        self,
        rows: Sequence[Forward],
        *,
        authoritative: bool,
        next_created: int | None = None,
        next_updated: int | None = None,
        caught_up: bool | None = None,
    ) -> IngestState:
        """Take rows in, exactly once each, and move the cursors, in one transaction.

        A row is known by (in_scid, in_htlc_id). An offered row waits in its own table until it
        is resolved; a resolved row is appended to the log with the next seq and counted in the
        totals. Resolved never goes back to offered. Where a stored resolved row differs,
        `authoritative` rows (from listforwards) correct it and the totals; hints do not. A row
        that was let go is neither taken in nor counted again.
        """
        ...

    def let_go(
        self, after_seq: int, up_to_seq: int, failed_before_s: float, settled_before_s: float
    ) -> LetGo:
        """Drop rows with a seq up to `up_to_seq` that resolved before these times (0: none).

        Looks at a bounded number of rows after `after_seq`. Totals stay. All forwards that the
        node listed when the row `up_to_seq` was logged have to be in the books: that is how a
        dropped row is known where the node shows it again.
        """
        ...

    def totals(self, from_day: int, until_day: int | None) -> ForwardTotals:
        """Sums by scid over days; see messages.ReadForwardTotals. Never reads the log."""
        ...

    def failures(self, from_hour: int, until_hour: int) -> ForwardFailures:
        """See messages.ReadForwardFailures; ValueError for more than 7 days."""
        ...

    def read_log(self, after_seq: int, limit: int, not_before_s: float) -> ForwardLogPage: ...

    def sums_until(self, after_seq: int, until_s: float) -> SettledSums:
        """Sums of settled forwards that resolved up to `until_s`, over a bounded number of rows."""
        ...

    def seek(self, after_seq: int, sought: Sequence[Sought]) -> ForwardLogPage:
        """Settled forwards of these amounts among a bounded number of rows after a cursor."""
        ...

    def fees_of(self, rows: Sequence[Forward]) -> int:
        """What the log has of the fees of these settled forwards, msat; each once.

        One that was let go was in the log as it was listed then, and counts as listed.
        """
        ...

    def lull(self, now_s: float) -> float:
        """A moment not long ago around which no forward resolved for 10 s, as near as possible."""
        ...

    def open_forwards(self, limit: int) -> tuple[Forward, ...]:
        """Forwards still offered, oldest first."""
        ...

    def earnings(self, after_seq: int, from_s: float, mid_s: float, end_s: float) -> EarningsPage:
        """Sums over a bounded number of log rows after a cursor; see messages.ReadEarnings."""
        ...


class FlowStore(Store, Protocol):
    """The analyzer's cursor, its header, and one packed state per channel."""

    def load(self) -> tuple[int, str | None, Mapping[str, str]]:
        """(cursor seq, header text, channel_id -> packed state)."""
        ...

    def save(self, cursor_seq: int, header: str, states: Mapping[str, str]) -> None:
        """Store cursor, header and these states together; others stay as they are."""
        ...


class CareStore(Store, Protocol):
    """Care of the file itself."""

    def backup(self) -> str:
        """Copy the database online to its backup file, in small steps; returns the path."""
        ...

    def flush(self) -> None:
        """Everything committed before survives a loss of power from here on."""
        ...

    def last_backup_s(self) -> float | None:
        """When the newest backup was made, None when there is none."""
        ...

    def check(self) -> str | None:
        """None when the file is sound, else what is wrong with it."""
        ...

    def facts(self) -> Mapping[str, object]:
        """Path, schema, size in bytes and a note on where the file came from."""
        ...
