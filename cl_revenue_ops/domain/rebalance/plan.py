"""The plan of one job: the move that was chosen, the order it becomes, and how it is kept."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from cl_revenue_ops.domain.jsontext import dumps, loads
from cl_revenue_ops.domain.rebalance.facts import Pair
from messages.channels import ChannelFact
from messages.rebalance import JobOrder

BY_SEARCH, BY_COMMAND, BY_HAND = "search", "command", "hand"
"""Who wanted it: the rhythm, an operator who let the search choose, one who named the move."""

SAT = 1_000
MAX_HOPS = 8
OFFSETS = 499
"""An amount is made its job's own by so many satoshis at most, where it is large enough."""
SPARE_PAYMENTS = 5
"""sling gives a payment up after two minutes and makes it again, though the first may still arrive.
It begins none while more than five HTLCs (sling-max-htlc-count) are in the source, nor below the
source's floor: so many more than are wanted can happen, and are reserved for."""

LEAST_SAT = 10_000
"""A budget that covers less than this at a time covers nothing."""


class NoPlan(ValueError):
    """No order can be made of a move; the message says why."""


class Plan(NamedTuple):
    """What a job is to do and why; `peers` are those of source and destination, `origin` says who
    wanted it, `force` that it must not be weighed again."""

    order: JobOrder
    pair: Pair
    peers: tuple[str, str]
    origin: str
    force: bool = False

    @property
    def reserve_msat(self) -> int:
        """What is reserved: every payment at the highest price, and SPARE_PAYMENTS more."""
        return self.dearest_msat + SPARE_PAYMENTS * _dearest_msat(self.order)

    @property
    def dearest_msat(self) -> int:
        """What the wanted payments cost at the highest price, each rounded up."""
        return self.order.total_msat // self.order.payment_msat * _dearest_msat(self.order)


def order_of(
    pair: Pair,
    job_id: str,
    number: int,
    source: ChannelFact,
    destination: ChannelFact,
    used_msat: Collection[int],
    free_msat: int,
) -> JobOrder:
    """Return the order for a chosen pair, with an amount of its own a payment.

    `used_msat` are the amounts of jobs whose payments may still be told from this one's. The order
    moves at most what was chosen, in so many payments as `free_msat` covers with the spare ones, or
    in a smaller one. The source's floor lets no more than the wanted ones be completed, where
    nothing flows in meanwhile. Raises NoPlan.
    """
    assert source.scid is not None, "a channel without a scid is no source"
    assert destination.scid is not None, "a channel without a scid is no destination"
    wanted_msat = min(pair.payment_msat, pair.amount_msat)
    most_msat = free_msat // (1 + SPARE_PAYMENTS) * 1_000_000 // max(pair.max_ppm, 1)
    if most_msat < min(wanted_msat, LEAST_SAT * SAT):
        raise NoPlan(
            f"{free_msat // SAT} sats are left of the day's budget: too little for a payment at"
            f" {pair.max_ppm} ppm that may happen {1 + SPARE_PAYMENTS} times"
        )
    payment_msat = own_amount(min(wanted_msat, most_msat), number, used_msat)
    each_msat = -(-payment_msat * pair.max_ppm // 1_000_000)
    covered = free_msat // max(each_msat, 1) - SPARE_PAYMENTS
    count = max(1, min(pair.amount_msat // pair.payment_msat, covered))
    total_msat = count * payment_msat
    left_msat = source.local_msat - total_msat - count * each_msat
    return JobOrder(
        job_id=job_id,
        scid=destination.scid,
        candidates=(source.scid,),
        payment_msat=payment_msat,
        total_msat=total_msat,
        max_ppm=pair.max_ppm,
        keep_msat=max(left_msat - payment_msat // 2, 0),
        max_hops=MAX_HOPS,
    )


def own_amount(wanted_msat: int, number: int, used_msat: Collection[int]) -> int:
    """Return the amount in whole satoshis, below the wanted one, that no other job has.

    An odd one, so that payments of other programs with round amounts are not taken for the job's.
    Raises NoPlan.
    """
    wanted_sat = wanted_msat // SAT
    room = min(OFFSETS, wanted_sat // 20)
    first = 1 + 7 * number % max(room, 1)
    for step in range(max(room, 1)):
        offset = 1 + (first - 1 + step) % max(room, 1) if room else 0
        amount_msat = (wanted_sat - offset) * SAT
        if amount_msat > 0 and amount_msat not in used_msat:
            return amount_msat
    raise NoPlan(f"no amount just below {wanted_sat} sats is free to tell a job by")


def _dearest_msat(order: JobOrder) -> int:
    """What one payment costs at the highest price."""
    return -(-order.payment_msat * order.max_ppm // 1_000_000)


def pack(plan: Plan) -> str:
    """The plan as text."""
    return dumps(plan)


def unpack(text: str) -> Plan:
    """The plan from its text; ValueError, TypeError or KeyError where it is none."""
    fields = loads(text)
    order = dict(fields["order"])
    order["candidates"] = tuple(order["candidates"])
    return Plan(
        JobOrder(**order),
        Pair(**fields["pair"]),
        (str(fields["peers"][0]), str(fields["peers"][1])),
        str(fields["origin"]),
        bool(fields["force"]),
    )
