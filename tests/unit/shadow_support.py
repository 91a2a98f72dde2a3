"""What the tests of explanations and comparisons share: demand of one's choosing, and decisions."""

from __future__ import annotations

import json
import math
from typing import Any

from cl_revenue_ops.domain.demand.belief import Belief
from cl_revenue_ops.domain.demand.book import Surprise, Worth
from cl_revenue_ops.domain.demand.price import Draw
from cl_revenue_ops.domain.fees.decide import FeeDecision, decide
from cl_revenue_ops.domain.fees.facts import FeeParameters, Market, market
from cl_revenue_ops.domain.fees.record import to_record
from cl_revenue_ops.ports import DecisionRow, StoredDecision
from tests.unit.fees_support import NOW as NOW
from tests.unit.fees_support import facts, known

HOUR_S = 3600.0
DAY_S = 86_400.0
CHANNEL = "ab" * 32
STEEP = (1.5, 2.3, 3.5, 5.5, 9.0)
# Prices of the grid lie 0.15 apart in the log, five cells of rising steepness at each.
CELL = 182
CELL_PRICE, CELL_STEEP = math.exp(36 * 0.15), 3.5
DRY = "not written: dry run: nothing is written to the node"


def belief(*cells: int, rate_msat: float = 1e9, shape: float = 1e6) -> Belief:
    """Equal weights on some cells, all with one volume a day at a fee of zero."""
    many = len(cells)
    return Belief.of(cells, (1.0 / many,) * many, (rate_msat,) * many, shape)


def worth(held: Belief, **changes: Any) -> Worth:
    """Demand that is believed in, with a stock worth 30 ppm net."""
    ordinary = Worth(held, 50.0, 20.0, 40.0, 5.0, 180.0, 1e8, Surprise(3.0, 2.0, 0.7, 0.4))
    return ordinary._replace(**changes)


def priced(held: Belief, draw: Draw | None = None, z: float = 0.5, **changes: Any) -> Market:
    """What demand and stock ask at NOW, half of the stock being local."""
    return market(worth(held, **changes), 0.5, draw, z, NOW, 1.0)


def decided(made: Market | None, **changes: Any) -> FeeDecision:
    """A decision at NOW about a channel at 200 ppm."""
    return decide(facts(market=made, **changes), known(), FeeParameters(), NOW)[0]


def body(made: Market | None, wanted_ppm: int | None = None) -> str:
    """A decision's record; `wanted_ppm` stands for what it wanted."""
    record = to_record(decided(made))
    if wanted_ppm is not None:
        record["wanted"]["ppm"] = wanted_ppm
    return json.dumps(record)


def stored(
    number: int,
    at_h: float,
    old_ppm: int,
    new_ppm: int,
    text: str,
    *,
    until_h: float | None = None,
    code: str | None = None,
    outcome: str | None = DRY,
    channel_id: str = CHANNEL,
    by_hand: bool = False,
) -> StoredDecision:
    """A decision of `at_h` hours after NOW; without a `code` one that was to be set."""
    action, code = ("set", "worth_gossip") if code is None else ("none", code)
    at_s = NOW + at_h * HOUR_S
    row = DecisionRow(channel_id, at_s, action, code, old_ppm, new_ppm, by_hand, text)
    last_s = at_s if until_h is None else NOW + until_h * HOUR_S
    return StoredDecision(number, row, last_s, 1, outcome if action == "set" else None)
