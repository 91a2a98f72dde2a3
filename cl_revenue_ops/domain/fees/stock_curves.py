"""What the fee controller tells of the value of stock: a curve for every peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cl_revenue_ops.domain.demand import belief, stock_curve
from cl_revenue_ops.domain.demand.book import DemandBook, Stock, Worth, sold
from cl_revenue_ops.domain.demand.curve import CELL_LOG_PRICE, FEES_PPM
from cl_revenue_ops.domain.demand.stock_curve import Trade
from messages.rebalance import StockCurve, StockCurves

KNOWN = 1e9
"""The evidence of demand that is known."""


def of(
    demand: DemandBook,
    held: Sequence[Stock],
    worths: Mapping[str, Worth],
    asked_ppm: Mapping[str, int],
    now_s: float,
) -> StockCurves:
    """Return the curves of these stocks by what is believed of demand and asked now.

    `worths` and `asked_ppm` by peer_id; where nothing is asked, the best fee stands for it.
    """
    if not held:
        return StockCurves(now_s, 0.0, {})
    names = [stock.peer_id for stock in held]
    beliefs = [worths[name].belief for name in names]
    volumes = belief.volumes_msat_per_day(beliefs)
    best = FEES_PPM[np.argmax(volumes * FEES_PPM, axis=1)]
    capacity = np.array([stock.capacity_msat for stock in held])
    mix, offered = demand.mix(names), sold(volumes, held)
    plan = demand.settle(held, offered, mix)
    asked = np.array([float(asked_ppm.get(n, best[k])) for k, n in enumerate(names)])
    trade = Trade(
        capacity,
        plan.entering,
        plan.into,
        np.maximum(-plan.own, 0.0),
        np.array([stock.most_ppm for stock in held]),
    )
    knots = stock_curve.curves(offered * plan.part[:, None], trade)
    sales = volumes[np.arange(len(names)), stock_curve.places(asked)]
    others = [_others_ppm(one, float(best[k])) for k, one in enumerate(beliefs)]
    return StockCurves(
        now_s,
        worths[names[0]].level_ppm,
        {
            name: StockCurve(
                name,
                round(stock.local_msat),
                round(stock.capacity_msat),
                knots[place],
                round(asked[place]),
                round(float(sales[place])),
                others[place],
                KNOWN if beliefs[place].is_sure else round(demand.peers[name].seen, 2),
            )
            for place, (name, stock) in enumerate(zip(names, held, strict=True))
        },
    )


def _others_ppm(held: belief.Belief, best_ppm: float) -> int:
    """Return the price of the alternatives that is believed in: the mean of ln(c) over the cells.

    Where demand is known and not believed, the price that is best for it stands in.
    """
    if held.is_sure:
        return max(1, round(best_ppm))
    mean = float(np.average(CELL_LOG_PRICE[held.places], weights=held.weights))
    return max(1, round(float(np.exp(mean))))
