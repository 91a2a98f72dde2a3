"""What refills really earned: forwards sold from what would not have stood there without them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cl_revenue_ops.domain import jsontext
from messages.forwards import SETTLED, LoggedForward

DAY_S = 86_400.0
HORIZON_S = 30 * DAY_S
"""For so long sales are credited to a refill."""

_MILLION = 1_000_000


class Opening(NamedTuple):
    """A refill to keep score of; amounts msat, prices ppm (what one more sat was worth).

    `stock_msat` is what the peer's channels held above our reserves before anything was moved.
    `source_ppm` and `destination_ppm` are the values at the start at both ends, `expected_msat`
    what the decision promised. `moved_msat` and `cost_msat` are totals so far and may grow.
    """

    job_id: str
    peer_id: str
    begun_s: float
    stock_msat: int
    moved_msat: int
    cost_msat: int
    source_ppm: float
    destination_ppm: float
    expected_msat: int


class StockReading(NamedTuple):
    """What a peer's channels held above our reserves at a moment when no HTLC was under way."""

    peer_id: str
    at_s: float
    stock_msat: int


class Refill(NamedTuple):
    """A refill with what became of it: `moved` = `sold` + `gone` + what is left.

    Of `gone` nothing is known but that it is not there any more (moved on, paid away, closed).
    `earned_msat` are the fees of what was sold. `closed_s` is when the horizon ended; of what was
    left then a million sats are worth `left_ppm` (below zero: not told yet).
    """

    opening: Opening
    sold_msat: int = 0
    gone_msat: int = 0
    earned_msat: int = 0
    closed_s: float | None = None
    left_ppm: float = 0.0

    @property
    def left_msat(self) -> int:
        """What was neither sold nor lost sight of."""
        return self.opening.moved_msat - self.sold_msat - self.gone_msat

    @property
    def loss_msat(self) -> int:
        """What was moved, at what it was worth at the source; rounded up."""
        return _worth_up(self.opening.moved_msat, self.opening.source_ppm)

    @property
    def realised_msat(self) -> int:
        """Fees of what was sold, less what the source lost, less the cost."""
        return self.earned_msat - self.loss_msat - self.opening.cost_msat


class Scored(NamedTuple):
    """A refill as it stands; `unsold_msat` is what is left of it, at what that is worth now."""

    refill: Refill
    unsold_msat: int

    @property
    def net_msat(self) -> int:
        """Realised, with the unsold rest at its present worth."""
        return self.refill.realised_msat + self.unsold_msat


class _Shelf:
    """One peer: `own_msat` is the stock that would stand there without the open refills.

    A sale takes from it first, and only what it cannot give from the refills, the oldest first.
    What comes in belongs to it. So it runs as the balance would have run alone, held at zero.
    """

    def __init__(self, own_msat: int, since_s: float) -> None:
        self.own_msat = own_msat
        self.since_s = since_s
        self.refills: list[Refill] = []

    def sell(self, amount_msat: int, fee_msat: int) -> None:
        for place, refill in enumerate(self.refills):
            short_msat = amount_msat - self.own_msat
            if short_msat <= 0:
                break
            part_msat = min(short_msat, refill.left_msat)
            earned_msat = fee_msat * part_msat // amount_msat
            self.refills[place] = refill._replace(
                sold_msat=refill.sold_msat + part_msat, earned_msat=refill.earned_msat + earned_msat
            )
            # The sold part is as if it had been put there for this sale.
            self.own_msat += part_msat
        self.own_msat = max(0, self.own_msat - amount_msat)

    def correct(self, stock_msat: int) -> None:
        """What else came or went: what came is the shelf's own, what went was so first."""
        self.own_msat += stock_msat - self.own_msat - sum(r.left_msat for r in self.refills)
        for place, refill in enumerate(self.refills):
            gone_msat = min(max(0, -self.own_msat), refill.left_msat)
            self.refills[place] = refill._replace(gone_msat=refill.gone_msat + gone_msat)
            self.own_msat += gone_msat
        self.own_msat = max(0, self.own_msat)


class Scoreboard:
    """Keeps score of every refill; pure: it asks nobody and has no clock.

    Log rows are given once each, in their order, those of before a refill too late to count. What
    `pack` gives comes back by `read` exactly.
    """

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._closed: list[Refill] = []

    # -- what happens --------------------------------------------------------------------------

    def open(self, opening: Opening) -> None:
        """Begin to keep score of a job, best before anything has moved; or take in its growth.

        A peer of which nothing is open yet has the opening's stock; of others the stock is known.
        One that is closed does not grow any more.
        """
        if any(refill.opening.job_id == opening.job_id for refill in self._closed):
            return
        stock_msat = max(0, opening.stock_msat)
        shelf = self._shelves.setdefault(opening.peer_id, _Shelf(stock_msat, opening.begun_s))
        for place, refill in enumerate(shelf.refills):
            if refill.opening.job_id == opening.job_id:
                shelf.refills[place] = refill._replace(opening=_grown(refill.opening, opening))
                return
        shelf.refills.append(Refill(opening))
        shelf.refills.sort(key=lambda r: (r.opening.begun_s, r.opening.job_id))

    def drop(self, job_id: str) -> None:
        """Forget a job that has ended without moving anything."""
        for peer_id, shelf in list(self._shelves.items()):
            shelf.refills = [
                r for r in shelf.refills if r.opening.job_id != job_id or r.opening.moved_msat
            ]
            if not shelf.refills:
                del self._shelves[peer_id]

    def advance(
        self,
        rows: Iterable[LoggedForward],
        peer_of: Mapping[str, str],
        readings: Sequence[StockReading] = (),
    ) -> None:
        """Take in forwards (settled ones count) and readings, each at its own time.

        `peer_of` tells the peer of each scid. Every forward of before a reading must be among the
        rows of this call or an earlier one. At the same moment the forward counts as the earlier.
        """
        settled = [row for row in rows if row.status == SETTLED]
        events: list[LoggedForward | StockReading] = [*settled, *readings]
        for event in sorted(events, key=lambda event: event.at_s):
            self._close_old(event.at_s)
            if isinstance(event, LoggedForward):
                self._forward(event, peer_of)
                continue
            shelf = self._shelves.get(event.peer_id)
            if shelf is not None and event.at_s > shelf.since_s:
                shelf.correct(event.stock_msat)

    def close(self, now_s: float, worth_ppm: Mapping[str, float]) -> None:
        """Close what is past its horizon; what is left of it is worth this at its peer for good."""
        self._close_old(now_s)
        self._closed = [
            r._replace(left_ppm=worth_ppm[r.opening.peer_id])
            if r.left_ppm < 0.0 and r.opening.peer_id in worth_ppm
            else r
            for r in self._closed
        ]

    def forget(self, before_s: float) -> None:
        """Let go of what was closed before a time."""
        self._closed = [r for r in self._closed if (r.closed_s or 0.0) >= before_s]

    # -- what is told --------------------------------------------------------------------------

    def scores(self, worth_ppm: Mapping[str, float]) -> tuple[Scored, ...]:
        """Every refill that moved something, the oldest first; what is unsold at what it is worth
        at its peer now, or was when it was closed. At a peer that is not named it is nothing."""
        found = list(self._closed)
        found += [r for s in self._shelves.values() for r in s.refills if r.opening.moved_msat]
        found.sort(key=lambda r: (r.opening.begun_s, r.opening.job_id))
        return tuple(Scored(r, _worth(r, worth_ppm)) for r in found)

    # -- storage -------------------------------------------------------------------------------

    def pack(self) -> str:
        """All of it as JSON."""
        shelves = {
            peer_id: [shelf.own_msat, shelf.since_s, [_packed(r) for r in shelf.refills]]
            for peer_id, shelf in self._shelves.items()
        }
        return jsontext.dumps({"shelves": shelves, "closed": [_packed(r) for r in self._closed]})

    def read(self, text: str) -> None:
        """Take in what `pack` gave; anything else raises ValueError, TypeError or KeyError and
        changes nothing."""
        packed: Any = jsontext.loads(text)
        found = packed["shelves"]
        if not isinstance(found, dict):
            raise TypeError("the shelves have no names")
        shelves = {}
        for peer_id, (own_msat, since_s, refills) in found.items():
            shelves[peer_id] = shelf = _Shelf(_whole(own_msat), float(since_s))
            shelf.refills = [_read(refill) for refill in refills]
        closed = [_read(refill) for refill in packed["closed"]]
        self._shelves, self._closed = shelves, closed

    # -- inner workings ------------------------------------------------------------------------

    def _forward(self, row: LoggedForward, peer_of: Mapping[str, str]) -> None:
        into = self._shelves.get(peer_of.get(row.in_scid, ""))
        out = self._shelves.get(peer_of.get(row.out_scid or "", ""))
        if out is not None and row.out_msat and row.at_s > out.since_s:
            out.sell(row.out_msat, row.fee_msat or 0)
        if into is not None and row.at_s > into.since_s:
            into.own_msat += row.in_msat

    def _close_old(self, now_s: float) -> None:
        for peer_id, shelf in list(self._shelves.items()):
            done = [r for r in shelf.refills if _is_done(r, now_s)]
            if not done:
                continue
            for refill in done:
                # What is left of it lies there still; from now on nothing tells it from the rest.
                shelf.own_msat += refill.left_msat
                ended_s = min(now_s, refill.opening.begun_s + HORIZON_S)
                worth_ppm = -1.0 if refill.left_msat else 0.0
                if refill.opening.moved_msat:
                    self._closed.append(refill._replace(closed_s=ended_s, left_ppm=worth_ppm))
            shelf.refills = [r for r in shelf.refills if not _is_done(r, now_s)]
            if not shelf.refills:
                del self._shelves[peer_id]


def _is_done(refill: Refill, now_s: float) -> bool:
    return now_s >= refill.opening.begun_s + HORIZON_S


def _grown(old: Opening, new: Opening) -> Opening:
    return old._replace(
        moved_msat=max(old.moved_msat, new.moved_msat), cost_msat=max(old.cost_msat, new.cost_msat)
    )


def _worth(refill: Refill, worth_ppm: Mapping[str, float]) -> int:
    ppm = refill.left_ppm
    if refill.closed_s is None or ppm < 0.0:
        ppm = worth_ppm.get(refill.opening.peer_id, 0.0)
    return int(refill.left_msat * ppm / _MILLION)


def _worth_up(amount_msat: int, ppm: float) -> int:
    return -int(-amount_msat * ppm // _MILLION)


def _packed(refill: Refill) -> list[object]:
    return [list(refill.opening), *refill[1:]]


def _read(packed: Any) -> Refill:
    opening, sold, gone, earned, closed_s, left_ppm = packed
    job_id, peer_id, begun_s, stock, moved, cost, source_ppm, destination_ppm, expected = opening
    return Refill(
        Opening(
            _text(job_id), _text(peer_id), float(begun_s), _whole(stock), _whole(moved),
            _whole(cost), float(source_ppm), float(destination_ppm), _whole(expected),
        ),
        _whole(sold),
        _whole(gone),
        _whole(earned),
        None if closed_s is None else float(closed_s),
        float(left_ppm),
    )  # fmt: skip


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"no whole number: {value!r}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"no text: {value!r}")
    return value
