"""Adds up, decision by decision, what fees that were not set would have earned more."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Final, NamedTuple

import numpy as np

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.demand.belief import (
    WITHIN_CELL_VARIANCE,
    Belief,
    Interval,
)
from cl_revenue_ops.domain.demand.curve import CELL_LOG_PRICE, CELL_STEEPNESS, LOG_FEES, FloatArray
from cl_revenue_ops.domain.demand.peer import effective_log_fee
from cl_revenue_ops.domain.fees.explain_belief import weighted_quantiles
from cl_revenue_ops.domain.fees.facts import DAY_S
from cl_revenue_ops.ports import FEE_SET, StoredDecision

NOT_KNOWN: Final = "unknown"
# Where a decision waits for other things than the worth of an update.
NOT_FREE: Final = (
    *("safe_mode", "paused", "passive", "node_not_in_sync", "lost_state", "peer_disconnected"),
    *("not_reestablished", "fee_unknown", "state_not_settable", "foreign_fee_held"),
    "first_contact",
)
_SLICES: Final = 21
_NODES: Final[FloatArray] = np.array(
    [NormalDist().inv_cdf((i + 0.5) / _SLICES) for i in range(_SLICES)]
)
NOTHING: Final = Interval(0.0, 0.0, 0.0)


class Window(NamedTuple):
    """What is looked at (Unix seconds). A decision speaks for `longest_gap_s` after its last
    repetition at most: beyond that nobody decided.
    """

    since_s: float
    until_s: float
    longest_gap_s: float


@dataclass
class Tally:
    """What a channel's decisions add up to; fees as ppm times days, money in msat."""

    days: float = 0.0
    held_days: float = 0.0
    not_free_days: float = 0.0
    blind_days: float = 0.0
    in_force: float = 0.0
    would: float = 0.0
    difference: Interval = NOTHING

    def plus(self, other: Tally) -> Tally:
        """Both together, as if they were one channel's."""
        return Tally(
            self.days + other.days,
            self.held_days + other.held_days,
            self.not_free_days + other.not_free_days,
            self.blind_days + other.blind_days,
            self.in_force + other.in_force,
            self.would + other.would,
            together(self.difference, other.difference),
        )


class Held(NamedTuple):
    """A fee (ppm) that would stand had it not been held back, and what prevented it."""

    ppm: int
    why: str


@dataclass
class Shadow:
    """Takes in decisions, those of one channel in their order, and adds up what they say.

    The newest decision of each channel waits until the next one shows how long it spoke. Once a
    fee was held back, `held` is what would stand: it follows what is wanted wherever that is a
    change worth gossip, until a fee is set or another writer sets one.
    """

    window: Window
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    held_by: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    waiting: dict[str, StoredDecision] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    stands: dict[str, int] = field(default_factory=dict)

    def take(self, stored: StoredDecision) -> None:
        """Take in a decision; one that was taken in before replaces itself."""
        channel_id = stored.row.channel_id
        before = self.waiting.get(channel_id)
        if before is not None and before.decision_id != stored.decision_id:
            self._close(before, stored.row.at_s)
        self.waiting[channel_id] = stored

    def finish(self) -> None:
        """No more decisions follow."""
        for stored in self.waiting.values():
            self._close(stored, math.inf)
        self.waiting = {}

    def _close(self, stored: StoredDecision, next_s: float) -> None:
        window, row = self.window, stored.row
        end_s = min(next_s, stored.last_at_s + window.longest_gap_s, window.until_s)
        days = (end_s - max(row.at_s, window.since_s)) / DAY_S
        record = self._follow(stored)
        stands, held = self.stands.get(row.channel_id), self.held.get(row.channel_id)
        if days <= 0.0 or stands is None:
            return
        tally = self.tallies[row.channel_id]
        tally.days += days
        tally.in_force += days * stands
        tally.would += days * (stands if held is None else held.ppm)
        if row.code in NOT_FREE:
            tally.not_free_days += days
        elif held is not None:
            tally.held_days += days
            self.held_by[held.why] += days
            gained = None if record is None else difference_msat(record, held.ppm, days)
            if gained is None:
                tally.blind_days += days
            else:
                tally.difference = together(tally.difference, gained)

    def _follow(self, stored: StoredDecision) -> dict[str, Any] | None:
        """Find out which fee stands and which one would; returns the record where it matters."""
        row, channel_id = stored.row, stored.row.channel_id
        tried = stored.outcome or NOT_KNOWN if row.action == "set" else None
        before, held = self.stands.pop(channel_id, None), self.held.pop(channel_id, None)
        stands = row.new_ppm if tried == FEE_SET else row.old_ppm
        if stands is None or (tried is not None and tried.startswith(NOT_KNOWN)):
            return None
        self.stands[channel_id] = stands
        if tried == FEE_SET or before not in (None, row.old_ppm):
            held = None
        if tried not in (None, FEE_SET) and not row.by_hand and row.new_ppm is not None:
            held = Held(row.new_ppm, str(tried))
        if held is None:
            return None
        record = _read(row.body)
        if tried is None and record is not None and row.code not in NOT_FREE:
            held = _following(held, record)
        if held.ppm != stands:
            self.held[channel_id] = held
        return record


def _read(body: str) -> dict[str, Any] | None:
    """A decision's record; None where it is damaged."""
    try:
        record = jsontext.loads(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _following(held: Held, record: Mapping[str, Any]) -> Held:
    """What would stand after a decision at which nothing was set."""
    try:
        wanted, least = record["wanted"]["ppm"], record["inputs"]["parameters"]["hysteresis"]
        moves = abs(wanted - held.ppm) >= least * held.ppm
    except (TypeError, KeyError):
        return held
    return held._replace(ppm=wanted) if moves else held


def together(one: Interval, other: Interval) -> Interval:
    """Errors that go together: bounds add up."""
    return Interval(one.low + other.low, one.mid + other.mid, one.high + other.high)


def difference_msat(record: Mapping[str, Any], ppm: int, days: float) -> Interval | None:
    """Return what a fee of `ppm` earns more than the one in force in so many days, over the value
    of the stock sold, by the posterior in a decision's record: the mean with an 80 % interval, in
    msat for the whole of the peer's demand. None where there is no such posterior.

    Sum over the cells of weight x rate x [S(f)(f - net) - S(g)(g - net)]: the price and the
    steepness differ from cell to cell, the rate by its gamma law within each.
    """
    try:
        worth, seen = record["inputs"]["facts"]["market"]["worth"], record["seen"]
        net, size = worth["own_ppm"] - worth["entering_ppm"], worth["size_msat"]
        other = effective_log_fee(ppm, record["wanted"]["base_msat"], size)
        stands = effective_log_fee(seen["ppm"], seen["base_msat"], size)
        each, weight, sd = _by_cell(Belief.of(**worth["belief"]), other, stands, net)
    except (ValueError, TypeError, KeyError, IndexError):
        return None
    each = each * days / 1e6
    spread = np.exp(sd * _NODES - 0.5 * sd * sd)
    spread /= spread.mean()
    low, high = weighted_quantiles(
        (each[:, None] * spread).ravel(), np.repeat(weight, _SLICES) / _SLICES, (0.1, 0.9)
    )
    return Interval(low, float(weight @ each), high)


def _by_cell(
    held: Belief, wanted: float, seen: float, net_ppm: float
) -> tuple[FloatArray, FloatArray, float]:
    """Each cell's difference (ppm x msat a day) between two fees (ln ppm), the cells' weights,
    and the spread within a cell in the log.
    """
    if held.is_sure:
        at = [float(np.interp(fee, LOG_FEES, held.known)) for fee in (wanted, seen)]
        gain = at[0] * (math.exp(wanted) - net_ppm) - at[1] * (math.exp(seen) - net_ppm)
        return np.array([gain]), np.array([1.0]), 0.0
    price, steep = CELL_LOG_PRICE[held.places], CELL_STEEPNESS[held.places]
    rate, weight = held.rates, held.weights

    def earned(fee: float) -> FloatArray:
        kept: FloatArray = rate / (1.0 + np.exp(steep * (fee - price)))
        return kept * (math.exp(fee) - net_ppm)

    variance = math.log1p(1.0 / held.shape) + WITHIN_CELL_VARIANCE
    return earned(wanted) - earned(seen), weight / weight.sum(), math.sqrt(variance)


def independent(each: Iterable[Interval]) -> Interval:
    """Return the sum of estimates whose errors are independent: the squares of what each bound
    lies away from its estimate add up.
    """
    mid = below = above = 0.0
    for one in each:
        mid += one.mid
        below += max(0.0, one.mid - one.low) ** 2
        above += max(0.0, one.high - one.mid) ** 2
    return Interval(mid - math.sqrt(below), mid, mid + math.sqrt(above))
