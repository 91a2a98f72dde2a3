"""The protocol of the forward log: hints, pages read from the node, pages read from the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command, LossyFact, Tick

OFFERED = "offered"
SETTLED = "settled"
FAILED = "failed"
LOCAL_FAILED = "local_failed"
STATUSES = (OFFERED, SETTLED, FAILED, LOCAL_FAILED)


class Forward(NamedTuple):
    """One forward as the node reports it; `(in_scid, in_htlc_id)` is its natural key.

    Times are Unix seconds. `out_msat` and `fee_msat` come together and are None where no onward
    channel was chosen; they say nothing about revenue unless `status` is settled.
    """

    in_scid: str
    in_htlc_id: int
    out_scid: str | None
    in_msat: int
    out_msat: int | None
    fee_msat: int | None
    status: str
    received_at_s: float
    resolved_at_s: float | None
    failcode: int | None
    created_index: int | None
    updated_index: int | None


class LoggedForward(NamedTuple):
    """A resolved forward in the log; `seq` grows by one with each and is never reused.

    `at_s` is the time of resolution (of receipt where the node never says when it failed).
    """

    seq: int
    in_scid: str
    out_scid: str | None
    in_msat: int
    out_msat: int | None
    fee_msat: int | None
    status: str
    at_s: float
    failcode: int | None


@dataclass(frozen=True)
class ForwardSeen(LossyFact):
    """A forward_event arrived. Only a hint: catch-up finds the same row in listforwards."""

    forward: Forward


@dataclass(frozen=True)
class CatchUpWanted(Tick):
    """Something may have been missed (a drop, a reconnect): read the node's list again."""

    reason: str


@dataclass(frozen=True)
class CatchUpTick(Tick):
    """Time for the regular reconciliation with listforwards."""


@dataclass(frozen=True)
class CatchUp(Command):
    """To the Accountant: read the node's list now; answered with None when that is done."""


@dataclass(frozen=True)
class ReadForwards(Command):
    """To the node reader: one page of listforwards by `index` ('created' or 'updated')."""

    index: str
    start: int
    limit: int


@dataclass(frozen=True)
class ReadForwardIndexes(Command):
    """To the node reader: the current created and updated index of the node's forwards."""


class ForwardIndexes(NamedTuple):
    """The node's newest indexes; both None on a node that cannot page its forwards."""

    created: int | None
    updated: int | None


class ForwardPage(NamedTuple):
    """Rows of one page in index order.

    `next_start` is where the next page begins; `last` says that nothing follows; `malformed`
    counts rows that could not be understood and were left out.
    """

    rows: tuple[Forward, ...]
    next_start: int
    last: bool
    malformed: int = 0


@dataclass(frozen=True)
class ReadForwardLog(Command):
    """To the Accountant: at most `limit` log rows with seq above `after_seq`, oldest first.

    Rows that resolved before `not_before_s` are skipped, not returned. `stored_seq` is the cursor
    that the reader has on the disk, None for one that keeps none: rows after it are not let go.
    """

    after_seq: int
    limit: int
    not_before_s: float = 0.0
    stored_seq: int | None = None


@dataclass(frozen=True)
class ReadEarnings(Command):
    """To the Accountant: what forwards earned in some log rows after a cursor, by outgoing scid,
    from `from_s` to before `mid_s` and from then to before `end_s` (Unix seconds).
    """

    after_seq: int
    from_s: float
    mid_s: float
    end_s: float


@dataclass(frozen=True)
class ForgetTick(Tick):
    """Time to let go of old log rows, or to go on with it."""


@dataclass(frozen=True)
class ReadForwardTotals(Command):
    """To the Accountant: what went over each scid from `from_day` to before `until_day`.

    Days are those of UTC since 1970, `until_day` None means up to now. Retention changes nothing.
    """

    from_day: int = 0
    until_day: int | None = None


@dataclass(frozen=True)
class ReadForwardFailures(Command):
    """To the Accountant: failed forwards by scid and failcode, from `from_hour` to before
    `until_hour` (hours since 1970), 7 days at most.
    """

    from_hour: int
    until_hour: int


class ScidTotals(NamedTuple):
    """What went over a scid; amounts are those of settled forwards.

    It came in by it (`settled_in`, `in_msat`, and the fees earned elsewhere by it), or it left
    by it (`settled_out`, `out_msat`, and the fees that it earned). Each forward stands once on
    either side, so one side alone may be added up. The scid '' is for forwards that were to
    leave by no channel, or by one that the node does not know.
    """

    scid: str
    settled_in: int
    in_msat: int
    in_fees_msat: int
    settled_out: int
    out_msat: int
    out_fees_msat: int
    failed_in: int
    local_failed_in: int
    failed_out: int
    local_failed_out: int


class ForwardTotals(NamedTuple):
    """Sums by scid; `first_day` and `last_day` are those of all totals, None before any."""

    scids: tuple[ScidTotals, ...]
    first_day: int | None
    last_day: int | None


class FailureCount(NamedTuple):
    """How many forwards with this failcode came in, or were to leave, by a scid ('' as above)."""

    scid: str
    failcode: int | None
    failed_in: int
    local_failed_in: int
    failed_out: int
    local_failed_out: int


class ForwardFailures(NamedTuple):
    """Counts in the order of scid and failcode."""

    counts: tuple[FailureCount, ...]


class Earned(NamedTuple):
    """Fees of settled forwards that left by a scid, before and after a point in time."""

    out_scid: str
    before_msat: int
    after_msat: int


class EarningsPage(NamedTuple):
    """Sums over a stretch of the log; `next_seq` is the new cursor, `last` that nothing follows.

    `begins_s` is since when the log has all settled forwards: when its first one was received, or
    the age at which they are let go. None while there is none.
    """

    earned: tuple[Earned, ...]
    next_seq: int
    last: bool
    begins_s: float | None


class ForwardLogPage(NamedTuple):
    """Log rows after a cursor; `next_seq` is the new cursor even where rows were skipped."""

    rows: tuple[LoggedForward, ...]
    next_seq: int
    last: bool
