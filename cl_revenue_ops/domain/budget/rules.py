"""What a day may cost, what counts against it, and when something is promised; all in msat."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from cl_revenue_ops.config import Config
from messages.budget import BudgetState, Reservation, SelfPayment

DAY_S = 86_400
REVENUE_DAYS = 7
READING_LASTS_S = 60.0
NO_SETTINGS = "the settings are not known yet"
NO_REVENUE = "the proportional budget needs the revenue, and the forwards are not caught up yet"
MOST_MSAT = 2**63 - 1
"""More than four times all bitcoin there will ever be, and what the store can hold."""


class Terms(NamedTuple):
    """The settings of the budget; `share` of the revenue is None where the budget is fixed."""

    configured_msat: int
    wallet_reserve_msat: int
    share: float | None

    @classmethod
    def of(cls, config: Config) -> Terms:
        """Return the terms that these settings make."""
        return cls(
            config.daily_budget_sats * 1_000,
            config.min_wallet_reserve * 1_000,
            config.proportional_budget_pct if config.enable_proportional_budget else None,
        )


def effective_msat(terms: Terms, revenue_msat_per_day: int) -> int:
    """What a day may cost: the configured budget, or the share of the revenue within it.

    The share never makes it more than what is configured nor less than a tenth of that, so that a
    node that earns nothing yet can find out what rebalancing is worth.
    """
    if terms.share is None:
        return terms.configured_msat
    earned_msat = int(terms.share * revenue_msat_per_day)
    return min(terms.configured_msat, max(earned_msat, terms.configured_msat // 10))


def day_begins(now_s: float) -> int:
    """The first second of the trailing day, rounded so that what may be within it counts."""
    return math.floor(now_s - DAY_S)


def spent_msat(payments: Iterable[SelfPayment], now_s: float) -> int:
    """The cost of payments of the day; those dated after now count, for a clock may be set back."""
    begin_s = day_begins(now_s)
    return sum(payment.cost_msat for payment in payments if payment.completed_s >= begin_s)


def counts_msat(reservation: Reservation) -> int:
    """What an open reservation takes from the day: all of it whatever its age, or what its job's
    payments cost where that is more."""
    return max(reservation.reserved_msat, reservation.committed_msat)


def state(
    now_s: float,
    terms: Terms | None,
    reservations: tuple[Reservation, ...],
    ended: Iterable[SelfPayment],
    revenue_msat_per_day: int | None,
    trouble: str | None = None,
) -> BudgetState:
    """The budget at `now_s`; `ended` are payments of jobs that have no open reservation.

    `trouble`, unknown settings, or unknown revenue where that matters make the effective budget
    nothing and are told.
    """
    if trouble is None and terms is None:
        trouble = NO_SETTINGS
    known = terms if terms is not None else Terms(0, 0, None)
    if trouble is None and known.share is not None and revenue_msat_per_day is None:
        trouble = NO_REVENUE
    revenue_msat = revenue_msat_per_day or 0
    return BudgetState(
        now_s,
        known.configured_msat,
        effective_msat(known, revenue_msat) if trouble is None else 0,
        revenue_msat,
        spent_msat(ended, now_s),
        sum(map(counts_msat, reservations)),
        known.wallet_reserve_msat,
        reservations,
        trouble,
    )


def refusal(
    now: BudgetState, amount_msat: int, liquid_msat: int | None, read_s: float
) -> str | None:
    """Why `amount_msat` is not promised, in one line; None where it is.

    `liquid_msat` is what the node held at `read_s` in confirmed, unreserved outputs and in usable
    channels. Whatever is unknown refuses.
    """
    if amount_msat <= 0:
        return f"only a positive amount can be reserved, not {amount_msat} msat"
    if now.trouble is not None:
        return f"the budget is shut: {now.trouble}"
    if amount_msat > now.free_msat:
        return (
            f"{amount_msat} msat are more than the {now.free_msat} msat left of the day's budget"
            f" ({now.effective_msat} msat less {now.spent_msat} msat spent in 24 hours"
            f" and {now.reserved_msat} msat reserved)"
        )
    if liquid_msat is None:
        return "what the node holds could not be read"
    age_s = now.at_s - read_s
    if not 0.0 <= age_s <= READING_LASTS_S:
        return (
            f"what the node holds was read {age_s:.0f} s ago: 0 to {READING_LASTS_S:.0f} s are"
            " allowed"
        )
    left_msat = liquid_msat - now.reserved_msat - amount_msat
    if left_msat < now.wallet_reserve_msat:
        return (
            f"it could leave {left_msat} msat on the chain and in channels:"
            f" less than the wallet reserve of {now.wallet_reserve_msat} msat"
        )
    return None


def with_promise(now: BudgetState, made: Reservation) -> BudgetState:
    """The budget after one more promise."""
    return now._replace(
        reserved_msat=now.reserved_msat + counts_msat(made),
        reservations=(*now.reservations, made),
    )


def unsound(payments: Iterable[SelfPayment]) -> str | None:
    """What is wrong with payments that are to be booked; None where they can be."""
    for payment in payments:
        if not payment.payment_hash:
            return "a payment without a hash cannot be booked"
        if not (0 <= payment.cost_msat <= MOST_MSAT and 0 <= payment.amount_msat <= MOST_MSAT):
            return (
                f"payment {payment.payment_hash}: {payment.amount_msat} msat for"
                f" {payment.cost_msat} msat cannot be"
            )
        if not 0 <= payment.completed_s <= MOST_MSAT:
            return f"payment {payment.payment_hash}: completed at {payment.completed_s} cannot be"
    return None
