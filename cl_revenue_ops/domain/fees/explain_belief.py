"""What a recorded decision believed of demand and stock, told in figures and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from cl_revenue_ops.domain.demand.belief import (
    Belief,
    Interval,
    best_fee,
    mean_volumes_at,
    volume_at,
)
from cl_revenue_ops.domain.demand.curve import CELL_LOG_PRICE, CELL_STEEPNESS, FloatArray, log_fee
from cl_revenue_ops.domain.demand.peer import effective_log_fee
from cl_revenue_ops.domain.demand.price import (
    BAND_SLACK,
    BANDS,
    HOLD_S,
    MOVED,
    SURPRISE,
    Priced,
)
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.domain.fees.facts import Fee, Market
from cl_revenue_ops.domain.fees.wording import Reason, percent

CURVE_STEPS: Final = 4
CURVE_REACH: Final = 4.0
SAT: Final = 1_000.0
REDRAWN: Final = {
    "first": "there was none yet",
    "hold_over": "the last one was let go or its time was over",
    "band_crossed": "the local share left its band",
    "surprise": "what was forwarded could not be chance",
    "target_moved": "the same draw had come to mean another fee",
}


def stages(verdicts: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Each stage's verdict in plain words, made from the recorded code and numbers."""
    return [
        {
            "stage": verdict["stage"],
            "acted": verdict["acted"],
            "ppm": verdict["ppm"],
            "text": words(verdict),
        }
        for verdict in verdicts
    ]


def words(why: Mapping[str, Any]) -> str:
    """The sentence of a recorded reason; its bare code where there are no words for it."""
    try:
        return Reason(why["code"], why["numbers"]).text
    except KeyError:
        return str(why["code"])


def belief(decision: FeeDecision) -> dict[str, object] | None:
    """What was believed: every `low` and `high` bound an 80 % interval; None before demand was
    looked at. Fees in ppm, amounts in sat a day.
    """
    market = decision.facts.market
    if market is None:
        return None
    held, net_ppm = market.worth.belief, market.priced.net_ppm
    return {
        "best_fee_ppm": _interval(best_fee(held, net_ppm), 1.0, 1),
        "volume_at_fee_in_force": _volume(market, decision.seen),
        "volume_at_wanted_fee": _volume(market, decision.wanted),
        "alternatives": _alternatives(held),
        "curve": curve(market, decision.wanted.ppm),
        "stock_value_ppm": _stock_value(market),
        "draw": _draw(market),
    }


def curve(market: Market, around_ppm: int) -> list[dict[str, object]]:
    """What is expected at nine fees from a quarter of `around_ppm` to four times it."""
    steps = [step / CURVE_STEPS for step in range(-CURVE_STEPS, CURVE_STEPS + 1)]
    fees = [max(1.0, max(1, around_ppm) * CURVE_REACH**step) for step in steps]
    volumes = mean_volumes_at(market.worth.belief, [log_fee(ppm) for ppm in fees])
    rows = []
    for ppm, volume_msat in zip(fees, volumes, strict=True):
        volume_sat = volume_msat / SAT
        over_ppm = ppm - market.priced.net_ppm
        rows.append(
            {
                "fee_ppm": round(ppm, 1),
                "volume_sats_per_day": round(volume_sat, 1),
                "fees_sats_per_day": round(volume_sat * ppm / 1e6, 3),
                "over_stock_value_sats_per_day": round(volume_sat * over_ppm / 1e6, 3),
            }
        )
    return rows


def arithmetic(decision: FeeDecision) -> str:
    """How the wanted fee comes about, in one line."""
    market = decision.facts.market
    start = "no demand looked at yet" if market is None else _price_line(market)
    acted = [f"{v.stage} {v.ppm}" for v in decision.verdicts if v.acted]
    chain = f"ppm after each stage that acted: {', '.join(acted)}" if acted else "no stage acted"
    return f"{start}; {chain}; wanted {decision.wanted.ppm} ppm"


def _price_line(market: Market) -> str:
    priced = market.priced
    greedy, mean = math.exp(priced.greedy), math.exp(priced.mean)
    alpha, z, sd = priced.alpha, priced.draw.z, priced.sd
    blend = (
        f"exp({1.0 - alpha:.4f} ln {greedy:.3f} + {alpha:.4f} (ln {mean:.3f} + {z:.4f} x"
        f" {sd:.4f})) = {math.exp(_blended(priced)):.2f} ppm"
    )
    if priced.redrawn:
        return blend
    hours = (market.at_s - priced.draw.at_s) / 3600.0
    asked = math.exp(priced.log_fee)
    return f"{asked:.2f} ppm as drawn {hours:.1f} h before (the same draw at this time: {blend})"


def _blended(priced: Priced) -> float:
    """ln of the fee that the draw in force means under the belief of this decision."""
    explored = priced.mean + priced.draw.z * priced.sd
    return (1.0 - priced.alpha) * priced.greedy + priced.alpha * explored


def _volume(market: Market, fee: Fee | None) -> dict[str, object] | None:
    """The volume a day at a fee; what its base adds counts at a forward of usual size."""
    if fee is None:
        return None
    worth = market.worth
    at = effective_log_fee(fee.ppm, fee.base_msat, worth.size_msat)
    told = _interval(volume_at(worth.belief, at), SAT, 1)
    return {"fee_ppm": fee.ppm, "unit": "sat a day", **told}


def _interval(found: Interval, unit: float, digits: int) -> dict[str, object]:
    return {name: round(value / unit, digits) for name, value in found._asdict().items()}


def _alternatives(held: Belief) -> dict[str, object] | None:
    """What the others' price is and how sharply demand falls around it; None where it is known
    and not believed.
    """
    if held.is_sure:
        return None
    weight = held.weights / sum(held.weights)
    log_price = CELL_LOG_PRICE[held.places]
    steep = CELL_STEEPNESS[held.places]
    low, high = weighted_quantiles(log_price, weight, (0.1, 0.9))
    price = Interval(math.exp(low), math.exp(float(weight @ log_price)), math.exp(high))
    low, high = weighted_quantiles(steep, weight, (0.1, 0.9))
    return {
        "price_ppm": _interval(price, 1.0, 1),
        "steepness": _interval(Interval(low, float(weight @ steep), high), 1.0, 2),
    }


def weighted_quantiles(
    values: FloatArray,
    weights: FloatArray,
    at: tuple[float, float],
) -> tuple[float, float]:
    """Two quantiles of values with weights that sum to one; linear between the values."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) - 0.5 * weights[order]
    low, high = np.interp(at, below, values[order])
    return float(low), float(high)


def _stock_value(market: Market) -> dict[str, object]:
    """pi and its parts: `own` = `scarce` - `full` + `leaning` on the balance; `net` = `own` less
    `entering`; `node_level` is the node's level of prices.
    """
    worth = market.worth
    return {
        "own": worth.own_ppm,
        "scarce": worth.scarce_ppm,
        "full": worth.full_ppm,
        "leaning": round(worth.own_ppm - worth.scarce_ppm + worth.full_ppm, 3),
        "entering": worth.entering_ppm,
        "net": round(market.priced.net_ppm, 3),
        "node_level": worth.level_ppm,
    }


def _draw(market: Market) -> dict[str, object]:
    priced = market.priced
    draw = priced.draw
    return {
        "number": draw.number,
        "z": draw.z,
        "alpha": round(priced.alpha, 4),
        "sd": round(priced.sd, 4),
        "propensity": round(priced.propensity, 4),
        "fee_ppm": round(math.exp(draw.log_fee), 1),
        "since": draw.at_s,
        "until_at_latest": draw.at_s + HOLD_S,
        "redrawn_because": REDRAWN.get(priced.redrawn),
        "let_go_earlier_by": _let_go(market),
    }


def _let_go(market: Market) -> list[str]:
    """What would let the draw go before its time is over."""
    priced, surprise = market.priced, market.worth.surprise
    band = priced.draw.band
    low = BANDS[band - 1] - BAND_SLACK if band > 0 else 0.0
    high = BANDS[band] + BAND_SLACK if band < len(BANDS) else 1.0
    today, asked = math.exp(_blended(priced)), math.exp(priced.draw.log_fee)
    likely = "" if surprise is None else f" (so far {min(surprise.p_low, surprise.p_high):.3g})"
    return [
        f"a local share outside {percent(low)} to {percent(high)} % (it is"
        f" {percent(market.share)} %)",
        f"forwards that have a probability below {SURPRISE:g}{likely}",
        f"a change by more than {percent(MOVED)} % of what the draw means (it led to {asked:.1f}"
        f" ppm and means {today:.1f} ppm now)",
        "revenue-wake-all",
    ]
