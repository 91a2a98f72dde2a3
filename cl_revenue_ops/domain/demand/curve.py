"""The demand curve, and the grid of prices, steepnesses and fees on which it is worked with."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

LOG_PRICE_STEP: Final = 0.15
PRICES: Final = 67
LOG_PRICES: Final[FloatArray] = np.arange(PRICES, dtype=np.float64) * LOG_PRICE_STEP
"""ln(c), c from 1 to about 20,000 ppm: the price of the alternatives."""

STEEPNESS: Final[FloatArray] = np.array([1.5, 2.3, 3.5, 5.5, 9.0])
"""k: how sharply demand falls around c."""

CELLS: Final = PRICES * len(STEEPNESS)
CELL_LOG_PRICE: Final[FloatArray] = np.repeat(LOG_PRICES, len(STEEPNESS))
CELL_STEEPNESS: Final[FloatArray] = np.tile(STEEPNESS, PRICES)
"""A cell is one hypothesis; cells are numbered price by price."""

LOG_FEE_STEP: Final = 0.05
FEES: Final = 199
LOG_FEES: Final[FloatArray] = np.arange(FEES, dtype=np.float64) * LOG_FEE_STEP
MOST_LOG_FEE: Final = float(LOG_FEES[-1])
FEES_PPM: Final[FloatArray] = np.exp(LOG_FEES)
"""The fees at which curves are tabulated: 1 to about 20,000 ppm."""


def shares(log_fee: npt.ArrayLike) -> FloatArray:
    """Return S = 1 / (1 + (f/c)^k) at each fee (ln ppm) for every cell: shape (..., CELLS)."""
    gap = np.asarray(log_fee, dtype=np.float64)[..., None] - CELL_LOG_PRICE
    kept: FloatArray = 1.0 / (1.0 + np.exp(CELL_STEEPNESS * gap))
    return kept


SHARES: Final[FloatArray] = np.ascontiguousarray(shares(LOG_FEES).T)
"""S per cell (rows) at each fee of the grid."""


def within(volumes: FloatArray, least_ppm: FloatArray, most_ppm: FloatArray) -> FloatArray:
    """Return volumes (rows, FEES) as they are where no other fee than these can be asked.

    Below the least they are those of the least, above the most nothing is sold. Bounds that no fee
    of the grid lies between leave the one just below.
    """
    last = np.maximum(np.searchsorted(FEES_PPM, most_ppm, side="right") - 1, 0)
    first = np.minimum(np.searchsorted(FEES_PPM, least_ppm), last)
    rows, at = np.arange(len(volumes))[:, None], np.arange(FEES)
    held: FloatArray = volumes[rows, np.maximum(at, first[:, None])]
    return np.where(at <= last[:, None], held, 0.0)


def log_fee(ppm: float) -> float:
    """Return ln(fee) within the grid; free and nearly free forwards count as its lowest fee."""
    return min(math.log(max(ppm, 1.0)), MOST_LOG_FEE)


def best_log_fees(values: FloatArray) -> FloatArray:
    """Return ln(fee) of the highest of `values` (rows, FEES), refined by a parabola through three.

    At the ends of the grid, and where the three are level, it is the grid's own fee.
    """
    rows = np.arange(len(values))
    top = np.argmax(values, axis=1)
    inner = np.clip(top, 1, FEES - 2)
    left, mid, right = (values[rows, inner + step] for step in (-1, 0, 1))
    bend = left - 2.0 * mid + right
    bent = (bend < 0.0) & (inner == top)
    away = np.where(bent, 0.5 * (left - right) / np.where(bent, bend, -1.0), 0.0)
    refined: FloatArray = LOG_FEES[top] + LOG_FEE_STEP * np.clip(away, -0.5, 0.5)
    return refined


def _best_ratios() -> tuple[FloatArray, FloatArray]:
    """ln(best fee / c) for each steepness and each net value as a multiple of c."""
    net = np.sinh(np.linspace(-4.5, 4.5, 361))
    ratio = np.exp(np.arange(-400, 500) * 0.0125)
    best = np.empty((len(STEEPNESS), len(net)))
    for place, steep in enumerate(STEEPNESS):
        kept = 1.0 / (1.0 + ratio**steep)
        best[place] = np.log(ratio[np.argmax(kept * (ratio - net[:, None]), axis=1)])
    return net, best


_NETS, _BEST_RATIOS = _best_ratios()


def best_of_cells(places: IndexArray, net_ppm: FloatArray) -> FloatArray:
    """Return ln of the fee that maximises S(f) (f - net) in each cell, within the grid.

    `places` (any shape) are cells, `net_ppm` broadcasts to it. Read from a table in net/c, as the
    best fee over c depends on nothing else but the steepness.
    """
    steep = places % len(STEEPNESS)
    price = CELL_LOG_PRICE[places]
    at = np.arcsinh(np.broadcast_to(net_ppm, places.shape) * np.exp(-price))
    step = (len(_NETS) - 1) / 9.0
    where = np.clip((at + 4.5) * step, 0.0, len(_NETS) - 1.001)
    below = where.astype(np.intp)
    part = where - below
    low, high = _BEST_RATIOS[steep, below], _BEST_RATIOS[steep, below + 1]
    best: FloatArray = np.clip(price + (1.0 - part) * low + part * high, 0.0, LOG_FEES[-1])
    return best
