"""What one more local sat is worth at each peer, by how much there is of it.

For a value pi of stock at peer j, the best fee sells D_j(pi) a day, where D_j(pi) = V_j(f) at the f
that maximises V_j(f) (f - pi + e_j), e_j being the value of the room that its traffic fills. What
leaves less what enters over the horizon H may use up the stock above a margin, or fill the room:

    stock(pi) = m C + H (D_j(pi) - I_j)            for pi > 0
    stock(pi) = (1 - m) C + H (D_j(pi) - I_j)      for pi < 0

and pi is 0 between the two. It is never more than the highest fee that can be asked and e_j: where
that is asked and not all can be served, the next sat is sold for it at once. So a refill is valued
at what its sats will sell for at the price that will then hold, and a sat that would lie idle is
worth nothing. Room is never worth more than the
plan of the whole node says now: a payment that finds none is lost with its fee, and costs nothing
else.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from cl_revenue_ops.domain.demand.curve import FEES_PPM, FloatArray, IndexArray
from cl_revenue_ops.domain.demand.shadow import HORIZON_DAYS, MARGIN

# Values of stock as multiples of the price that would be best were stock worth nothing.
SCARCE: Final = (4.0, 2.5, 1.75, 1.25, 0.9, 0.65, 0.45, 0.3, 0.18, 0.08, 0.0)
FULL: Final = (0.0, -0.08, -0.2, -0.5, -1.0)
Knots = tuple[tuple[int, float], ...]


def places(fees_ppm: FloatArray) -> IndexArray:
    """Return where fees stand in the grid."""
    found: IndexArray = np.clip(np.searchsorted(FEES_PPM, fees_ppm), 0, len(FEES_PPM) - 1)
    return found


class Trade(NamedTuple):
    """What some peers' stock is traded under, one entry each.

    `entering_ppm` is what the room that its traffic fills is worth, `into_msat` what enters by it a
    day. Room there is worth `most_room_ppm` at most. `most_fee_ppm` is the highest fee that can be
    asked.
    """

    capacity_msat: FloatArray
    entering_ppm: FloatArray
    into_msat: FloatArray
    most_room_ppm: FloatArray
    most_fee_ppm: FloatArray


def curves(volumes: FloatArray, trade: Trade) -> list[Knots]:
    """Return each peer's knots (stock in msat, pi in ppm), stock rising and pi not rising.

    `volumes` (peers, FEES) are those that leave a day; above the highest fee they are 0. Stocks are
    clipped to the capacity; a curve with no stock in it is flat.
    """
    capacity, entering = trade.capacity_msat, trade.entering_ppm
    neutral = FEES_PPM[np.argmax(volumes * FEES_PPM, axis=1)]
    rows = np.arange(len(volumes))

    def sold(value_ppm: FloatArray) -> FloatArray:
        margin = FEES_PPM - (value_ppm - entering)[:, None]
        left: FloatArray = volumes[rows, np.argmax(volumes * margin, axis=1)]
        return left

    dearest = np.maximum(trade.most_fee_ppm + entering, 0.0)
    low, high = MARGIN * capacity, (1.0 - MARGIN) * capacity
    columns = [low + HORIZON_DAYS * (sold(m * neutral) - trade.into_msat) for m in SCARCE]
    columns += [high + HORIZON_DAYS * (sold(m * neutral) - trade.into_msat) for m in FULL]
    table = np.clip(np.stack(columns, axis=1), 0.0, capacity[:, None])
    table = np.maximum.accumulate(table, axis=1)
    values = np.minimum(np.outer(neutral, SCARCE + FULL), dearest[:, None])
    values = np.round(np.maximum(values, -trade.most_room_ppm[:, None]), 2)
    return [
        _knots(stock, value) for stock, value in zip(table.tolist(), values.tolist(), strict=True)
    ]


def _knots(stocks: list[float], values: list[float]) -> Knots:
    """Return the knots without those that say nothing: of one stock the first and last value."""
    points = [(round(s), v) for s, v in zip(stocks, values, strict=True)]
    inner = [
        point
        for before, point, after in zip(points, points[1:], points[2:], strict=False)
        if not before[0] == point[0] == after[0]
    ]
    return (points[0], *inner, points[-1])


def value_at(knots: Knots, stock_msat: float) -> float:
    """Return pi (ppm) at a stock: on the line between two knots, flat beyond the ends.

    Where several values stand at one stock it is the lowest: no sat is dearer than the next.
    """
    before = knots[0]
    if stock_msat < before[0]:
        return before[1]
    for knot in knots[1:]:
        if stock_msat < knot[0]:
            part = (stock_msat - before[0]) / (knot[0] - before[0])
            return before[1] + part * (knot[1] - before[1])
        before = knot
    return before[1]


def worth_msat(knots: Knots, from_msat: float, to_msat: float) -> float:
    """Return the integral of pi from one stock to another in msat (negative when going down)."""
    if to_msat < from_msat:
        return -worth_msat(knots, to_msat, from_msat)
    inner = [knot[0] for knot in knots if from_msat < knot[0] < to_msat]
    stops = [from_msat, *sorted(set(inner)), to_msat]
    total = 0.0
    for low, high in pairwise(stops):
        # Just inside both ends: values may jump at a knot.
        total += 0.5 * (value_at(knots, low) + value_below(knots, high)) * (high - low)
    return total / 1e6


def value_below(knots: Knots, stock_msat: float) -> float:
    """Return pi just below a stock: the higher value where it jumps there."""
    after = knots[-1]
    if stock_msat > after[0]:
        return after[1]
    for knot in reversed(knots[:-1]):
        if stock_msat > knot[0]:
            part = (stock_msat - knot[0]) / (after[0] - knot[0])
            return knot[1] + part * (after[1] - knot[1])
        after = knot
    return after[1]
