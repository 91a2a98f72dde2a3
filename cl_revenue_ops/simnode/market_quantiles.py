"""Owns the quantile tables that ground the simulated market in public gossip.

Each table maps a probability to a value and is read by inverse transform. All figures were derived
from one public snapshot of the Lightning graph (3 February 2026: 17,324 nodes, 50,808 channels;
published with the test data of Core Lightning under BSD-MIT), over enabled directions only:
fifteen or fewer quantiles each, nothing that could identify a node or a channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class QuantileTable:
    """A distribution given by its quantiles; linear between them, flat beyond the ends."""

    probabilities: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, probability: FloatArray) -> FloatArray:
        """Return the value at each probability (any shape, in 0..1)."""
        return np.asarray(np.interp(probability, self.probabilities, self.values), dtype=np.float64)

    def draw(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw `count` values by inverse transform."""
        return self.at(rng.random(count))


# ln(ppm) of a channel direction minus the median ln(ppm) of its destination; destinations with at
# least ten priced directions. Its standard deviation is about 2.6, cut at 1 % here.
WITHIN_DESTINATION_LOG_PPM = QuantileTable(
    probabilities=(0.01, 0.025, 0.05, 0.10, 0.20, 0.30, 0.40, 0.60, 0.70, 0.80, 0.90, 0.95, 0.99),
    values=(-6.76, -6.21, -5.30, -3.91, -1.61, -0.51, 0.0, 0.0, 0.64, 1.33, 2.36, 3.91, 7.34),
)

# Share of the directions into one destination that charge no proportional fee at all.
FREE_DIRECTION_SHARE = 0.08

# Base fee in msat: 45 % ask none, 41 % ask exactly one sat.
BASE_FEE_MSAT = QuantileTable(
    probabilities=(0.0, 0.45, 0.4501, 0.50, 0.55, 0.56, 0.97, 0.975, 0.99),
    values=(0.0, 0.0, 1.0, 33.0, 990.0, 1000.0, 1000.0, 2500.0, 10000.0),
)

# Proportional fee in ppm over all enabled directions.
FEE_PPM = QuantileTable(
    probabilities=(0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99),
    values=(0.0, 1.0, 1.0, 100.0, 569.0, 2000.0, 3000.0, 10_000.0),
)

# Capacity in sat of a channel of the public graph.
RIVAL_CAPACITY_SAT = QuantileTable(
    probabilities=(0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99),
    values=(20_000.0, 200_000.0, 1_283_178.0, 5_000_000.0, 15_653_000.0, 4.0e7, 2.0e8),
)

# Rival directions into one destination, among destinations with at least five.
RIVALS_PER_DESTINATION = QuantileTable(
    probabilities=(0.0, 0.10, 0.25, 0.50, 0.75, 0.90),
    values=(5.0, 5.0, 7.0, 12.0, 26.0, 60.0),
)
