"""What one more sat of outbound is worth at each peer: multipliers of a fluid plan of the node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from cl_revenue_ops.domain.demand.curve import FEES_PPM, BoolArray, FloatArray, IndexArray

HORIZON_DAYS: Final = 10.0
MARGIN: Final = 0.05
# A stock that lies beyond its margin cannot be asked back from demand that isn't there.
LEAST_SHARE: Final = 0.01
LEAN: Final = 0.3
STEPS: Final = 36
STEP_SIZE: Final = 0.15
MOST_LEVELS: Final = 5.0


class Mix(NamedTuple):
    """Where each peer's traffic enters: share[k] of what leaves by `out`[k] came in by `into`[k].

    Arrays of one length, peers by their place; `rest[j]` of what leaves by j enters as `common`
    says (shares over all peers), which stands for what has not been observed.
    """

    into: IndexArray
    out: IndexArray
    share: FloatArray
    rest: FloatArray
    common: FloatArray


@dataclass(frozen=True)
class Multipliers:
    """Per peer in ppm: what the want of stock (`scarce`) and of room (`full`) is worth."""

    scarce: FloatArray
    full: FloatArray


@dataclass(frozen=True)
class Plan:
    """The plan's outcome, per peer in ppm; `level_ppm` is the node's price level P.

    `own` is pi, `entering` the mean of pi where the peer's traffic enters, `part` how much of it
    is let in there. At the plan's own fees `into` enters by each peer, msat a day.
    """

    multipliers: Multipliers
    own: FloatArray
    entering: FloatArray
    level_ppm: float
    part: FloatArray
    into: FloatArray


@dataclass(frozen=True)
class Ascent:
    """How a plan is solved: steps of which size, the mean of the last two thirds of which is the
    solution: it holds still. `lean` is the weight of the part that leans on the balance.
    """

    steps: int = STEPS
    size: float = STEP_SIZE
    lean: float = LEAN


QUICK: Final = Ascent()


class Entry(NamedTuple):
    """Where traffic enters that is still let in: the mean of pi there, and its part of all.

    `open` says of each pair of the mix whether it is.
    """

    value: FloatArray
    part: FloatArray
    open: FloatArray


def level_ppm(volumes: FloatArray) -> float:
    """Return the revenue-weighted geometric mean of the peers' inventory-neutral best fees."""
    revenue = volumes * FEES_PPM
    best = np.argmax(revenue, axis=1)
    weight = revenue[np.arange(len(best)), best]
    if float(weight.sum()) <= 0.0:
        return 1.0
    return float(np.exp(np.average(np.log(FEES_PPM[best]), weights=weight)))


def entry(
    mix: Mix, own: FloatArray, fees_ppm: FloatArray, highest: BoolArray | None = None
) -> Entry:
    """Return what the entering side is worth at these values and fees.

    Traffic that would enter where room is worth more than its fee leaves over is turned away by
    the want of room itself: it earns nothing and costs nothing, so it says nothing of the price.
    Where the fee is the `highest` that can be asked, not all may be served whatever stock is worth,
    and nobody chooses by where they enter: room has to be worth more than all of the fee.
    """
    least = (own if highest is None else np.where(highest, np.minimum(own, 0.0), own)) - fees_ppm
    common = float(mix.common @ own)
    is_open = (own[mix.into] > least[mix.out]).astype(np.float64)
    rest = mix.rest * (common > least)
    held = mix.share * is_open
    part = np.bincount(mix.out, held, len(own)) + rest
    value = np.bincount(mix.out, held * own[mix.into], len(own)) + rest * common
    mean = np.where(part > 1e-6, value / np.maximum(part, 1e-6), common)
    return Entry(mean, np.maximum(part, 1e-6), is_open)


def plan(
    volumes: FloatArray,
    mix: Mix,
    local_msat: FloatArray,
    capacity_msat: FloatArray,
    start: Multipliers,
    ascent: Ascent = QUICK,
) -> Plan:
    """Solve for the value of stock by projected dual ascent, from the last solution on.

    Maximise sum_j f_j V_j(f_j) a day, where what leaves a peer less what enters may use up its
    stock over MARGIN of capacity within HORIZON_DAYS, and the other way round its room:
    `scarce` and `full` are the multipliers of the two. For given multipliers each fee is the best
    answer to V_j(f) (f - pi_j + mean of pi where its traffic enters). A part that leans on the
    balance alone, P LEAN (1 - 2x), is added to pi = scarce - full: it answers at once where the
    plan is wrong about demand. The value of where traffic enters is without it. `volumes`
    (peers, FEES) in msat a day, stocks in msat. Above the highest fee that can be asked of a peer
    nothing is sold: where demand is more than there is, the sat more is worth that fee and no more.
    """
    level = level_ppm(volumes)
    rows = np.arange(len(volumes))
    neutral = FEES_PPM[np.argmax(volumes * FEES_PPM, axis=1)]
    least = LEAST_SHARE * capacity_msat
    stock = np.maximum(local_msat - MARGIN * capacity_msat, least) / HORIZON_DAYS
    room = np.maximum((1.0 - MARGIN) * capacity_msat - local_msat, least) / HORIZON_DAYS
    free = volumes[:, 0]
    turnover = 0.25 * (free + _inflow(mix, free, np.ones(len(mix.into))))
    pace = ascent.size * level / np.maximum(turnover, 0.1 * capacity_msat / HORIZON_DAYS + 1.0)
    most_scarce = MOST_LEVELS * np.maximum(neutral, level)
    share = np.clip(local_msat / np.maximum(capacity_msat, 1.0), 0.0, 1.0)
    lean = level * ascent.lean * (1.0 - 2.0 * share)
    highest = FEES_PPM[np.maximum(np.count_nonzero(volumes, axis=1), 1) - 1]
    scarce, full, fees = start.scarce, start.full, neutral
    means = np.zeros((5, len(rows)))
    # Seven digits are enough to tell which fee is best, and take half the time.
    sold, revenue = volumes.astype(np.float32), (volumes * FEES_PPM).astype(np.float32)
    earned = np.empty_like(sold)
    first = ascent.steps // 3
    for step in range(ascent.steps):
        own = scarce - full
        entering = entry(mix, own, fees, fees >= highest)
        np.multiply(sold, (own - entering.value).astype(np.float32)[:, None], out=earned)
        chosen = np.argmax(np.subtract(revenue, earned, out=earned), axis=1)
        fees = FEES_PPM[chosen]
        asked = volumes[rows, chosen]
        into = _inflow(mix, asked, entering.open)
        drain = asked * entering.part - into
        damped = pace / np.sqrt(1.0 + 0.1 * step)
        scarce = np.clip(scarce + damped * (drain - stock), 0.0, most_scarce)
        full = np.clip(full + damped * (-drain - room), 0.0, MOST_LEVELS * level)
        if step >= first:
            row = np.stack([scarce, full, entering.part, into, entering.value])
            means += row / (ascent.steps - first)
    scarce, full, part, into, value = means
    return Plan(Multipliers(scarce, full), scarce - full + lean, value, level, part, into)


def _inflow(mix: Mix, volume: FloatArray, is_open: FloatArray) -> FloatArray:
    """Return what enters by each peer when so much is asked to leave by each."""
    named = np.bincount(mix.into, mix.share * is_open * volume[mix.out], len(volume))
    total: FloatArray = named + mix.common * float(mix.rest @ volume)
    return total
