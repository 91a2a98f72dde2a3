"""The plan of one job: the move that was chosen, the order it becomes, and how it is kept."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from cl_revenue_ops.domain.jsontext import dumps, loads
from cl_revenue_ops.domain.rebalance.ends import keep_msat
from cl_revenue_ops.domain.rebalance.facts import Pair
from messages.channels import ChannelFact
from messages.rebalance import JobOrder

BY_SEARCH, BY_COMMAND, BY_HAND = "search", "command", "hand"
"""Who wanted it: the rhythm, an operator who let the search choose, one who named the move."""

SAT = 1_000
MAX_HOPS = 8
OFFSETS = 499
"""An amount is made its job's own by so many satoshis at most, where it is large enough."""
SLACK_SHARE = 20
"""A source may be drained by 1/SLACK_SHARE of its capacity beyond what the plan takes from it."""


class NoAmountLeft(ValueError):
    """Every amount near the one wanted belongs to another job."""


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
        """The most that it can cost: every payment at the highest price, each rounded up."""
        count = self.order.total_msat // self.order.payment_msat
        return count * -(-self.order.payment_msat * self.order.max_ppm // 1_000_000)


def order_of(
    pair: Pair,
    job_id: str,
    number: int,
    source: ChannelFact,
    destination: ChannelFact,
    used_msat: Collection[int],
) -> JobOrder:
    """Return the order for a chosen pair, with an amount of its own a payment.

    `used_msat` are the amounts of jobs whose payments may still be told from this one's. The order
    moves at most what was chosen. The source keeps what the plan leaves it, less a little for what
    is forwarded meanwhile. Raises NoAmountLeft.
    """
    assert source.scid is not None, "a channel without a scid is no source"
    assert destination.scid is not None, "a channel without a scid is no destination"
    count = max(1, pair.amount_msat // pair.payment_msat)
    payment_msat = own_amount(min(pair.payment_msat, pair.amount_msat), number, used_msat)
    total_msat = count * payment_msat
    left_msat = source.local_msat - total_msat - pair.reserve_msat
    slack_msat = source.capacity_msat // SLACK_SHARE
    return JobOrder(
        job_id=job_id,
        scid=destination.scid,
        candidates=(source.scid,),
        payment_msat=payment_msat,
        total_msat=total_msat,
        max_ppm=pair.max_ppm,
        keep_msat=max(left_msat - slack_msat, min(left_msat, keep_msat(source)), 0),
        max_hops=MAX_HOPS,
    )


def own_amount(wanted_msat: int, number: int, used_msat: Collection[int]) -> int:
    """Return the amount in whole satoshis, below the wanted one, that no other job has.

    An odd one, so that payments of other programs with round amounts are not taken for the job's.
    Raises NoAmountLeft.
    """
    wanted_sat = wanted_msat // SAT
    room = min(OFFSETS, wanted_sat // 20)
    first = 1 + 7 * number % max(room, 1)
    for step in range(max(room, 1)):
        offset = 1 + (first - 1 + step) % max(room, 1) if room else 0
        amount_msat = (wanted_sat - offset) * SAT
        if amount_msat > 0 and amount_msat not in used_msat:
            return amount_msat
    raise NoAmountLeft(f"no amount just below {wanted_sat} sats is free to tell a job by")


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
