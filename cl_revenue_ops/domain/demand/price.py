"""The fee that demand and stock ask: the best one believed in, moved by a draw that is held."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from cl_revenue_ops.domain.demand import belief
from cl_revenue_ops.domain.demand.book import Worth
from cl_revenue_ops.domain.demand.curve import FEES, LOG_FEE_STEP, FloatArray

HOLD_S: Final = 6 * 3600.0
BANDS: Final = (0.05, 0.15, 0.35, 0.65, 0.85, 0.95)
BAND_SLACK: Final = 0.02
SURPRISE: Final = 1e-3
MOVED: Final = 0.25
# Forwards a day, and the part of the draw that is in the fee there.
SPARSE: Final = (2.0, 0.2)
BUSY: Final = (20.0, 0.2)


class Draw(NamedTuple):
    """A draw from the standard normal that is in force since `at_s`, when the share of our side
    was in `band`; `log_fee` is the fee that it led to, `number` counts the draws so far.
    """

    number: int
    z: float
    at_s: float
    band: int
    log_fee: float


class Priced(NamedTuple):
    """The fee and where it comes from; all fees as natural logs of ppm.

    log f = (1 - alpha) greedy + alpha (mean + z sd), held until `redrawn` names a reason.
    `neutral` is the greedy fee were stock worth nothing. `propensity` is the density of ln(fee)
    at the one chosen, 0 where nothing was left to chance.
    """

    log_fee: float
    greedy: float
    neutral: float
    mean: float
    sd: float
    alpha: float
    net_ppm: float
    propensity: float
    redrawn: str
    draw: Draw


def band_of(share: float) -> int:
    """Return the band that a share of local balance lies in."""
    return bisect_right(BANDS, share)


def _crossed(before: int, share: float) -> bool:
    """Whether the balance has left its band by more than the slack."""
    low = BANDS[before - 1] if before > 0 else 0.0
    high = BANDS[before] if before < len(BANDS) else 1.0
    return share < low - BAND_SLACK or share > high + BAND_SLACK


def exploration(per_day: float) -> float:
    """Return alpha: how much of the draw is in the fee, by the forwards a day to learn from."""
    (few, least), (many, most) = SPARSE, BUSY
    part = math.log(max(per_day, 1e-9) / few) / math.log(many / few)
    return least + (most - least) * min(1.0, max(0.0, part))


class Asked(NamedTuple):
    """What is asked of the desk for one destination: see `price`."""

    worth: Worth
    share: float
    held: Draw | None
    fresh_z: float


def price(worth: Worth, share: float, held: Draw | None, fresh_z: float, now_s: float) -> Priced:
    """Return the fee of one destination at `now_s`.

    `share` is our share of its channels, `fresh_z` a draw from the standard normal that is used
    where a new one is due.
    """
    return price_all([Asked(worth, share, held, fresh_z)], now_s)[0]


def price_all(
    asked: Sequence[Asked], now_s: float, volumes: FloatArray | None = None
) -> list[Priced]:
    """Return the fee of each destination at `now_s`; what is asked together decides nothing.

    `volumes` (asked, FEES) are those that the beliefs expect, where they are at hand. The central
    figures are rounded to six decimals, so that one destination alone gives the same.
    """
    if not asked:
        return []
    beliefs = [one.worth.belief for one in asked]
    nets = np.array([one.worth.own_ppm - one.worth.entering_ppm for one in asked])
    if volumes is None:
        volumes = belief.volumes_msat_per_day(beliefs)
    greedy = np.round(belief.greedy_log_fees(volumes, nets), 6)
    neutral = np.round(belief.greedy_log_fees(volumes, np.zeros(len(nets))), 6)
    sizes = np.array([max(one.worth.size_msat, 1.0) for one in asked])
    at = np.clip(np.rint(greedy / LOG_FEE_STEP), 0, FEES - 1).astype(np.intp)
    per_day = np.round(volumes[np.arange(len(at)), at] / sizes, 6)
    columns = (greedy.tolist(), neutral.tolist(), per_day.tolist(), nets.tolist())
    numbers = zip(*columns, strict=True)
    rows = zip(asked, belief.bests(beliefs, nets), numbers, strict=True)
    return [_priced(one, moments, *four, now_s) for one, moments, four in rows]


def _priced(
    asked: Asked,
    moments: belief.Best,
    greedy: float,
    neutral: float,
    per_day: float,
    net_ppm: float,
    now_s: float,
) -> Priced:
    mean, sd = round(moments.mean, 6), round(moments.sd, 6)
    alpha = exploration(per_day) if sd > 0.0 else 0.0
    held, fresh_z = asked.held, asked.fresh_z

    def blended(z: float) -> float:
        return (1.0 - alpha) * greedy + alpha * (mean + z * sd)

    target = 0.0 if held is None else blended(held.z)
    why = _why_redraw(asked.worth, asked.share, held, target, now_s)
    if held is None or why:
        number = 1 if held is None else held.number + 1
        draw = Draw(number, fresh_z, now_s, band_of(asked.share), round(blended(fresh_z), 6))
    else:
        draw = held
    spread = alpha * sd
    likely = math.exp(-0.5 * draw.z**2) / (spread * math.sqrt(2.0 * math.pi)) if spread else 0.0
    return Priced(draw.log_fee, greedy, neutral, mean, sd, alpha, net_ppm, likely, why, draw)


def _why_redraw(worth: Worth, share: float, held: Draw | None, target: float, now_s: float) -> str:
    """Name why the draw that is held must go; empty where it stays."""
    if held is None:
        return "first"
    if not 0.0 <= now_s - held.at_s < HOLD_S:
        return "hold_over"
    if _crossed(held.band, share):
        return "band_crossed"
    surprise = worth.surprise
    if surprise is not None and min(surprise.p_low, surprise.p_high) < SURPRISE:
        return "surprise"
    if abs(target - held.log_fee) > math.log1p(MOVED):
        return "target_moved"
    return ""
