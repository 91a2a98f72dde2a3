"""The node's table of forwards: compact columns, created and updated indexes, served in pages."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cl_revenue_ops.simnode.identity import scid_text

STATUSES = ("offered", "settled", "failed", "local_failed")
OFFERED, SETTLED, FAILED, LOCAL_FAILED = range(4)
DELETED = 255
ABSENT = 2**64 - 1

FAILURES = {
    16392: "WIRE_PERMANENT_CHANNEL_FAILURE",
    16394: "WIRE_UNKNOWN_NEXT_PEER",
    4103: "WIRE_TEMPORARY_CHANNEL_FAILURE",
    4107: "WIRE_AMOUNT_BELOW_MINIMUM",
    4108: "WIRE_FEE_INSUFFICIENT",
    4109: "WIRE_INCORRECT_CLTV_EXPIRY",
    4110: "WIRE_EXPIRY_TOO_SOON",
}
FAILCODES = {name: code for code, name in FAILURES.items()}


@dataclass(frozen=True)
class History:
    """Historic forwards for `preload`: equally long columns, oldest first.

    scids are 64-bit numbers, amounts msat, times unix seconds, `status` an index into STATUSES.
    """

    in_scid: NDArray[np.uint64]
    out_scid: NDArray[np.uint64]
    in_msat: NDArray[np.uint64]
    out_msat: NDArray[np.uint64]
    status: NDArray[np.uint8]
    received_s: NDArray[np.float64]
    resolved_s: NDArray[np.float64]


class ForwardLog:
    """Forwards by row number: created_index n lives at place n - 1 and is never reused."""

    def __init__(self) -> None:
        self.in_scid = array("Q")
        self.in_htlc = array("Q")
        self.out_scid = array("Q")
        self.out_htlc = array("Q")
        self.in_msat = array("Q")
        self.out_msat = array("Q")
        self.status = array("B")
        self.failcode = array("H")
        self.received_s = array("d")
        self.resolved_s = array("d")
        self.updated = array("Q")
        self._by_update = array("Q")
        self.deleted_count = 0
        self.fees_collected_msat = 0

    @property
    def created_max(self) -> int:
        """The highest created_index so far; 0 if none."""
        return len(self.status)

    @property
    def updated_max(self) -> int:
        """The highest updated_index so far; 0 if none."""
        return len(self._by_update)

    def last_updated(self) -> int | None:
        """The created_index of the row that changed last; None if none did."""
        return self._by_update[-1] if self._by_update else None

    def summary(self, created: int) -> dict[str, Any]:
        """The part of a row that `wait` reports."""
        place = created - 1
        status = self.status[place]
        return {
            **({"status": STATUSES[status]} if status != DELETED else {}),
            "in_channel": scid_text(self.in_scid[place]),
            "in_htlc_id": self.in_htlc[place],
            "in_msat": self.in_msat[place],
            **({"out_channel": scid_text(self.out_scid[place])} if self.out_scid[place] else {}),
        }

    def append(
        self,
        in_scid: int,
        in_htlc: int,
        out_scid: int,
        in_msat: int,
        out_msat: int,
        received_s: float,
        *,
        status: int = OFFERED,
        out_htlc: int = ABSENT,
        failcode: int = 0,
    ) -> int:
        """File a new forward and return its created_index; `out_scid` 0 means none was chosen."""
        self.in_scid.append(in_scid)
        self.in_htlc.append(in_htlc)
        self.out_scid.append(out_scid)
        self.out_htlc.append(out_htlc)
        self.in_msat.append(in_msat)
        self.out_msat.append(out_msat)
        self.status.append(status)
        self.failcode.append(failcode)
        self.received_s.append(received_s)
        self.resolved_s.append(0.0)
        self.updated.append(0)
        return len(self.status)

    def resolve(self, created: int, status: int, resolved_s: float, failcode: int = 0) -> int:
        """Turn an offered forward into its final status and return its updated_index.

        Only settled and failed rows carry a resolved time, only local_failed ones a failcode.
        """
        place = created - 1
        if not 0 <= place < len(self.status) or self.status[place] != OFFERED:
            raise ValueError(f"forward {created} is not pending")
        self.status[place] = status
        self.resolved_s[place] = 0.0 if status == LOCAL_FAILED else resolved_s
        self.failcode[place] = failcode
        self._by_update.append(created)
        self.updated[place] = len(self._by_update)
        if status == SETTLED:
            self.fees_collected_msat += self.in_msat[place] - self.out_msat[place]
        return len(self._by_update)

    def preload(self, history: History) -> None:
        """Append historic forwards at once; those not local_failed get updated indexes in order.

        HTLC ids count up per incoming channel; lifetime fees grow by the settled fees.
        """
        count, first = len(history.status), len(self.status) + 1
        offset = {scid: self._next_in_htlc(int(scid)) for scid in np.unique(history.in_scid)}
        in_htlc = np.zeros(count, np.uint64)
        for scid, base in offset.items():
            mine = history.in_scid == scid
            in_htlc[mine] = np.arange(base, base + int(mine.sum()), dtype=np.uint64)
        changed = (history.status == SETTLED) | (history.status == FAILED)
        updated = np.zeros(count, np.uint64)
        updated[changed] = np.arange(1, int(changed.sum()) + 1) + len(self._by_update)
        created = np.arange(first, first + count, dtype=np.uint64)
        local = history.status == LOCAL_FAILED
        out_htlc = np.where(local, np.uint64(ABSENT), np.arange(count, dtype=np.uint64))
        failcode = np.where(local, FAILCODES["WIRE_TEMPORARY_CHANNEL_FAILURE"], 0)
        self.in_scid.frombytes(history.in_scid.astype(np.uint64).tobytes())
        self.in_htlc.frombytes(in_htlc.tobytes())
        self.out_scid.frombytes(history.out_scid.astype(np.uint64).tobytes())
        self.out_htlc.frombytes(out_htlc.astype(np.uint64).tobytes())
        self.in_msat.frombytes(history.in_msat.astype(np.uint64).tobytes())
        self.out_msat.frombytes(history.out_msat.astype(np.uint64).tobytes())
        self.status.frombytes(history.status.astype(np.uint8).tobytes())
        self.failcode.frombytes(failcode.astype(np.uint16).tobytes())
        self.received_s.frombytes(history.received_s.astype(np.float64).tobytes())
        self.resolved_s.frombytes(np.where(changed, history.resolved_s, 0.0).tobytes())
        self.updated.frombytes(updated.tobytes())
        self._by_update.frombytes(created[changed].tobytes())
        settled = history.status == SETTLED
        fees = history.in_msat[settled].astype(np.int64) - history.out_msat[settled].astype(
            np.int64
        )
        self.fees_collected_msat += int(fees.sum())

    def _next_in_htlc(self, in_scid: int) -> int:
        return max((self.in_htlc[n - 1] for n in self._where(in_scid=in_scid)), default=-1) + 1

    def delete(self, created: int) -> None:
        """Remove a row; its index is not used again and lifetime fees stay."""
        if self.status[created - 1] != DELETED:
            self.status[created - 1] = DELETED
            self.deleted_count += 1

    def find(self, in_scid: int, in_htlc: int) -> int | None:
        """The created_index of a row by its natural key, or None."""
        rows = [n for n in self._where(in_scid=in_scid) if self.in_htlc[n - 1] == in_htlc]
        return rows[-1] if rows else None

    def older_than(self, cutoff_s: float, settled: bool) -> list[int]:
        """Rows that autoclean would take: settled by resolved time, failed by received time."""
        status = np.frombuffer(self.status, np.uint8) if self.status else np.zeros(0, np.uint8)
        if settled:
            stamps = np.frombuffer(self.resolved_s, np.float64) if self.status else np.zeros(0)
            mine = status == SETTLED
        else:
            stamps = np.frombuffer(self.received_s, np.float64) if self.status else np.zeros(0)
            mine = (status == FAILED) | (status == LOCAL_FAILED)
        return [int(n) + 1 for n in np.flatnonzero(mine & (stamps <= cutoff_s))]

    def _where(
        self, in_scid: int | None = None, out_scid: int | None = None, status: int | None = None
    ) -> list[int]:
        """created_indexes of the rows that match, ascending; deleted rows never do."""
        if not self.status:
            return []
        column = np.frombuffer(self.status, np.uint8)
        keep = column != DELETED if status is None else column == status
        if in_scid is not None:
            keep &= np.frombuffer(self.in_scid, np.uint64) == in_scid
        if out_scid is not None:
            keep &= np.frombuffer(self.out_scid, np.uint64) == out_scid
        return [int(n) + 1 for n in np.flatnonzero(keep)]

    def by_channel(
        self, in_scid: int | None, out_scid: int | None, status: int | None
    ) -> list[int]:
        """Rows of a channel in the order of the table's key, which is not that of creation."""
        rows = self._where(in_scid, out_scid, status)
        return sorted(rows, key=lambda n: (self.in_scid[n - 1], self.in_htlc[n - 1]))

    def page(
        self, index: str | None, start: int, limit: int | None, status: int | None
    ) -> list[int]:
        """created_indexes from `start` on (inclusive) in the order of `index`, at most `limit`."""
        found: list[int] = []
        wanted = ABSENT if limit is None else limit
        for created in self._ordered(index, max(start, 1)):
            if len(found) >= wanted:
                break
            state = self.status[created - 1]
            if state != DELETED and (status is None or state == status):
                found.append(created)
        return found

    def _ordered(self, index: str | None, start: int) -> Iterable[int]:
        if index == "updated":
            return (self._by_update[n] for n in range(start - 1, len(self._by_update)))
        return range(start, len(self.status) + 1)

    def fragments(self, rows: list[int], indexes: bool = True) -> Iterator[str]:
        """Each row as the JSON text of one listforwards entry; `indexes` off before v23.11."""
        columns: list[Any] = [
            self.in_scid, self.in_htlc, self.out_scid, self.out_htlc, self.in_msat,
            self.out_msat, self.status, self.failcode, self.received_s, self.resolved_s,
            self.updated,
        ]  # fmt: skip
        if rows and rows[-1] - rows[0] == len(rows) - 1 and rows == sorted(rows):
            first, last = rows[0] - 1, rows[-1]
            values = zip(rows, *(column[first:last] for column in columns), strict=True)
        else:
            values = zip(rows, *([c[n - 1] for n in rows] for c in columns), strict=True)
        formatter: Callable[..., str] = _fragment if indexes else _old_fragment
        return (formatter(*row) for row in values)


def _fragment(
    created: int, in_scid: int, in_htlc: int, out_scid: int, out_htlc: int, in_msat: int,
    out_msat: int, status: int, failcode: int, received_s: float, resolved_s: float, updated: int,
) -> str:  # fmt: skip
    changed = f'"updated_index":{updated},' if updated else ""
    body = _old_fragment(
        created, in_scid, in_htlc, out_scid, out_htlc, in_msat, out_msat, status, failcode,
        received_s, resolved_s, updated,
    )  # fmt: skip
    return f'{{"created_index":{created},{changed}{body[1:]}'


def _old_fragment(
    created: int, in_scid: int, in_htlc: int, out_scid: int, out_htlc: int, in_msat: int,
    out_msat: int, status: int, failcode: int, received_s: float, resolved_s: float, updated: int,
) -> str:  # fmt: skip
    del created, updated
    parts = f'{{"in_channel":"{scid_text(in_scid)}","in_htlc_id":{in_htlc},"in_msat":{in_msat}'
    if out_scid:
        parts += f',"out_channel":"{scid_text(out_scid)}"'
        # A forward that this node refused at once has no outgoing HTLC and so no amount for it.
        if out_htlc != ABSENT:
            parts += f',"out_htlc_id":{out_htlc}'
            parts += f',"out_msat":{out_msat},"fee_msat":{in_msat - out_msat}'
    parts += f',"status":"{STATUSES[status]}","style":"tlv","received_time":{received_s:.9f}'
    if failcode:
        parts += f',"failcode":{failcode},"failreason":"{FAILURES[failcode]}"'
    if resolved_s:
        parts += f',"resolved_time":{resolved_s:.9f}'
    return parts + "}"
