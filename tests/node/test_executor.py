"""Our executor and our reading of payments, beside a simulated and a real sling alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cl_revenue_ops.adapters.breaker import Breakers
from cl_revenue_ops.adapters.capabilities import Capabilities
from cl_revenue_ops.adapters.executors import Executors, Means
from cl_revenue_ops.adapters.payments import LightningPayments
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.ports import Executor, PaymentNode, PortError, Unavailable
from cl_revenue_ops.runtime.clock import SystemClock
from cl_revenue_ops.runtime.lease import Fence, GenerationLease
from messages.rebalance import NOT_STARTED, STARTED, JobOrder
from tests.node import real_line
from tests.node.line import wait_for
from tests.node.sling_ring import RealRing, Ring, SimulatedRing, why_no_sling

PAYMENT_MSAT = 10_007_000


@dataclass
class Desk:
    """A ring with our adapters at its first node."""

    ring: Ring
    sling: Executor
    payments: PaymentNode

    def order(self, payments: int, **changes: object) -> JobOrder:
        order = JobOrder(
            "r1", self.ring.target, (self.ring.source,), PAYMENT_MSAT, payments * PAYMENT_MSAT,
            5_000, 10_000_000, 8,
        )  # fmt: skip
        return order._replace(**changes)  # type: ignore[arg-type]  # as given

    def settled(self) -> None:
        """Wait until sling counts as having been there for long enough."""
        wait_for(self._stops, "sling to have settled")

    def _stops(self) -> bool:
        try:
            self.sling.stop(self.ring.target)
        except Unavailable as error:
            assert "less than 5 s" in str(error)
            return False
        return True

    def said(self) -> list[str]:
        return [job.words for job in self.sling.jobs() if job.scid == self.ring.target]


@pytest.fixture(scope="module")
def desk(kind: str, chain: real_line.Chain | None) -> Iterator[Desk]:
    if chain is not None and (reason := why_no_sling()):
        pytest.skip(f"no real sling: {reason}")
    ring: Ring = SimulatedRing() if chain is None else RealRing(chain, "executor")
    clock, gate = SystemClock(), WriteGate()
    gate.open("starting")
    lease = GenerationLease("tester", 0, Fence(), clock)
    rpc = NodeRpc(str(ring.socket), lease, Breakers(clock, lambda: 60.0), lambda: 15.0)
    made = Executors(clock).made_of(Means(rpc, gate, lease, Tally()))
    yield Desk(ring, made["sling"], LightningPayments(rpc, Capabilities(clock), Tally()))
    ring.shut_down()


def test_a_job_moves_what_it_was_asked_for_and_costs_what_left(desk: Desk) -> None:
    desk.settled()
    assert desk.sling.version().startswith("v4.")
    baseline = desk.payments.newest_payment()
    outcome = desk.sling.start(desk.order(2))
    assert outcome.outcome == STARTED, outcome
    wait_for(lambda: desk.said() == ["Balanced"], f"the end (now {desk.said()})")
    found = wait_for(
        lambda: f if len((f := desk.payments.own_payments(baseline + 1)).completed) == 2 else None,
        "two payments",
    )
    assert [payment.amount_msat for payment in found.completed] == [PAYMENT_MSAT] * 2
    rows = desk.ring.payments(baseline)
    costs = [row["amount_sent_msat"] - row["amount_msat"] for row in rows]
    assert [payment.cost_msat for payment in found.completed] == costs
    assert found.pending == () and found.next_index == baseline + 3
    desk.sling.stop(desk.ring.target)
    assert desk.said() == []


def test_a_running_job_is_seen_refused_a_second_time_and_ended(desk: Desk) -> None:
    desk.settled()
    dear = desk.order(3, max_ppm=1)
    assert desk.sling.start(dear).outcome == STARTED
    wait_for(lambda: desk.said() == ["NoCheapRoute"], f"a dear way (now {desk.said()})")
    (job,) = desk.sling.jobs()
    assert job.idle and not job.persistent
    again = desk.sling.start(desk.order(1))
    assert (again.outcome, "sling-once: " in again.why) == (NOT_STARTED, True), again
    desk.sling.stop(desk.ring.target)
    assert desk.sling.jobs() == ()


def test_a_candidate_that_is_down_to_what_it_is_to_keep_is_left_alone(desk: Desk) -> None:
    desk.settled()
    local_msat = desk.ring.channel(desk.ring.second_id)["to_us_msat"]
    baseline = desk.payments.newest_payment()
    keep_msat = local_msat - 2 * PAYMENT_MSAT
    assert desk.sling.start(desk.order(40, keep_msat=keep_msat)).outcome == STARTED
    wait_for(lambda: desk.said() == ["NoCandidates"], f"an empty source (now {desk.said()})")
    desk.sling.stop(desk.ring.target)
    # sling looks at balances once a second: what it pays in between goes beyond.
    assert 1 <= len(desk.payments.own_payments(baseline + 1).completed) <= 20


def test_the_operators_job_is_left_alone(desk: Desk) -> None:
    desk.settled()
    desk.ring.call("sling-job", desk.ring.job())
    refused = desk.sling.start(desk.order(1))
    assert (refused.outcome, "persistent" in refused.why) == (NOT_STARTED, True), refused
    desk.sling.stop(desk.ring.target)
    assert list(desk.ring.call("sling-jobsettings")) == [desk.ring.target]
    desk.ring.clear()


def test_without_sling_a_stop_is_done_and_its_return_is_waited_for(desk: Desk) -> None:
    desk.settled()
    assert desk.sling.start(desk.order(3, max_ppm=1)).outcome == STARTED
    desk.ring.stop_sling()
    desk.sling.stop(desk.ring.target)
    assert desk.sling.start(desk.order(1)).outcome == NOT_STARTED
    desk.ring.start_sling()
    wait_for(lambda: _there(desk), "sling")
    assert "less than 5 s" in desk.sling.start(desk.order(1)).why
    desk.settled()
    assert desk.sling.jobs() == ()


def _there(desk: Desk) -> bool:
    try:
        desk.sling.version()
    except PortError:
        return False
    return True
