"""Whether rebalancing pays: it suspends itself after a run in which it did not, and says so."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.rebalance.score import DAY_S, HORIZON_S, Scored

JUDGED_AFTER_S = 3 * DAY_S
"""All jobs are judged at this age, and none before: those that sell first are the good ones."""

RUN = 10
NEWEST = 50
DOUBT = 1.64
"""Standard deviations of the sum (one-sided 95 %) by which it must fall short."""

COOLDOWN_S = 1 * DAY_S
LONGEST_COOLDOWN_S = 16 * DAY_S

_HOUR_S = 3_600.0


class Health(NamedTuple):
    """Suspended while now is before `until_s`; only jobs begun from then on count afterwards.

    `strikes` counts suspensions without a run that paid in between. `words` says why the last one
    was, or None.
    """

    until_s: float = 0.0
    strikes: int = 0
    words: str | None = None

    def suspended(self, now_s: float) -> str | None:
        """Why nothing is moved now, and for how long; None where it may be."""
        if now_s >= self.until_s:
            return None
        left_h = math.ceil((self.until_s - now_s) / _HOUR_S)
        return f"rebalancing has suspended itself for another {left_h} h: {self.words}"


def worth_msat(scored: Scored, now_s: float) -> int:
    """What a job brought, as judged now: realised, and the unsold rest at its worth, of which
    less is believed day by day and nothing after the horizon."""
    age_s = now_s - scored.refill.opening.begun_s
    believed = max(0.0, 1.0 - age_s / HORIZON_S)
    return scored.refill.realised_msat + int(scored.unsold_msat * believed)


def judged(scored: Scored, now_s: float) -> bool:
    """Whether a job is old enough to be judged."""
    return now_s - scored.refill.opening.begun_s >= JUDGED_AFTER_S


def look(health: Health, scores: Iterable[Scored], now_s: float) -> Health:
    """Judge the newest jobs (at most NEWEST) begun since the last suspension ended.

    From RUN of them on: where their sum is below zero by more than DOUBT standard deviations of
    it, rebalancing is suspended for COOLDOWN_S, twice as long each time without a run in between
    that paid. A sum that is not below zero is a run that paid.
    """
    found = [s for s in scores if judged(s, now_s) and _begun_s(s) >= health.until_s]
    found = sorted(found, key=lambda s: (_begun_s(s), s.refill.opening.job_id))[-NEWEST:]
    count = len(found)
    if count < RUN:
        return health
    nets = [worth_msat(scored, now_s) for scored in found]
    total = sum(nets)
    if total >= 0:
        return health._replace(strikes=0)
    mean = total / count
    sd = math.sqrt(sum((net - mean) ** 2 for net in nets) / (count - 1))
    if total + DOUBT * sd * math.sqrt(count) >= 0.0:
        return health
    cooldown_s = min(LONGEST_COOLDOWN_S, COOLDOWN_S * 2.0 ** min(health.strikes, 10))
    spent_msat = sum(scored.refill.opening.cost_msat for scored in found)
    words = (
        f"the last {count} rebalances that can be judged cost {_sats(spent_msat)} sats and brought"
        f" {_sats(total + spent_msat)} sats: {_sats(-total)} sats short, more than chance explains"
    )
    return Health(now_s + cooldown_s, health.strikes + 1, words)


def pack(health: Health) -> str:
    """As JSON; `read` gives it back exactly."""
    return jsontext.dumps(list(health))


def read(text: str) -> Health:
    """What `pack` wrote; raises ValueError or TypeError for anything else."""
    packed: Any = jsontext.loads(text)
    until_s, strikes, words = packed
    if type(strikes) is not int or not (words is None or isinstance(words, str)):
        raise TypeError("not the health of rebalancing")
    return Health(float(until_s), strikes, words)


def _begun_s(scored: Scored) -> float:
    return scored.refill.opening.begun_s


def _sats(msat: int) -> str:
    return f"{round(msat / 1_000):,}"
