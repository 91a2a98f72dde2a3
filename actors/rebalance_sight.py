"""What the Rebalancer was told: prices of stock, policies, flows, channels, and its executor."""

from __future__ import annotations

from collections.abc import Container, Iterable

from actors.dialogue import Ask, Refused, Steps
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.policy.terms import ended
from cl_revenue_ops.domain.rebalance.facts import Situation, Terms
from cl_revenue_ops.ports import Clock
from messages.channels import ChannelFact, ChannelSnapshot
from messages.flow import FlowReport
from messages.policies import PolicySnapshot
from messages.rebalance import ExecutorView, ReadExecutor, StockCurves

RUNNER = "rebalance-runner"
FRESH_S = 15.0
PATIENCE_S = 10.0
ORDER_PATIENCE_S = 3.0


class RebalanceSight:
    """The newest that was heard, put together to a Situation; asks the executor how it stands.

    `looks` counts the views that were read, so that two looks at the same one are told apart.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.curves: StockCurves | None = None
        self.channels: ChannelSnapshot | None = None
        self._flows: FlowReport | None = None
        self._policies: PolicySnapshot | None = None
        self.view: ExecutorView | None = None
        self.view_trouble: str | None = "it has not been asked yet"
        self.looks = 0
        self._asked_s: float | None = None

    def hear(self, message: ChannelSnapshot | FlowReport | PolicySnapshot | StockCurves) -> None:
        """Take in the newest of one kind."""
        if isinstance(message, ChannelSnapshot):
            self.channels = message
        elif isinstance(message, FlowReport):
            self._flows = message
        elif isinstance(message, PolicySnapshot):
            self._policies = message
        else:
            self.curves = message

    # -- the executor -------------------------------------------------------------------------

    def look(self, patience_s: float) -> Steps:
        """Ask the executor; what it answers holds until the next look, a refusal as well."""
        try:
            self.view = yield Ask(RUNNER, ReadExecutor, {}, patience_s)
            self.view_trouble = None
            self.looks += 1
        except Refused as refusal:
            self.view_trouble = str(refusal)
        self._asked_s = self._clock.monotonic()

    def outdated(self) -> None:
        """What was read last does not hold any more: a job of ours was ended since."""
        self._asked_s = None

    def look_again(self) -> Steps:
        """Ask the executor, unless that was done just now; somebody may wait for it."""
        asked_s = self._asked_s
        if asked_s is None or self._clock.monotonic() - asked_s >= FRESH_S:
            yield from self.look(ORDER_PATIENCE_S)

    def executor_trouble(self) -> str | None:
        """Why nothing can be carried out now, None where it can."""
        if self.view_trouble is not None:
            return f"the executor does not say how it stands: {self.view_trouble}"
        view = self.view
        assert view is not None
        if view.version is None:
            return f"{view.name}: {view.trouble or 'not there'}"
        return view.trouble and f"{view.name}: {view.trouble}"

    def foreign(self, scid: str | None, ours: Container[str]) -> str | None:
        """In words, the job of somebody else that the executor has for a channel."""
        if self.view is None or scid is None or scid in ours:
            return None
        for job in self.view.jobs:
            if job.scid == scid:
                kind = "a persistent job" if job.persistent else "a job"
                return f"{self.view.name} has {kind} for {scid} that is not ours ({job.words})"
        return None

    # -- the situation ------------------------------------------------------------------------

    def situation(
        self,
        facts: tuple[ChannelFact, ...],
        config: Config,
        free_msat: int,
        used: Iterable[str],
        closed: str | None,
    ) -> Situation:
        """Everything heard, with the facts just read; `used` are channels of our own jobs."""
        now_s = self._clock.now()
        policies = () if self._policies is None else self._policies.policies
        flows = self._flows
        scores = () if flows is None or flows.reputations is None else flows.reputations
        taken = frozenset(job.scid for job in (() if self.view is None else self.view.jobs))
        theirs = (fact.channel_id for fact in facts if fact.scid in taken)
        return Situation(
            now_s=now_s,
            facts=facts,
            curves=self.curves,
            terms=Terms.of(config),
            free_msat=free_msat,
            policies={policy.peer_id: policy for policy in policies},
            flows={} if flows is None else {flow.channel_id: flow for flow in flows.channels},
            reputations={one.peer_id: one.score for one in scores},
            busy=frozenset((*used, *theirs)),
            hive=frozenset(
                policy.peer_id
                for policy in policies
                if policy.strategy == "hive" and not ended(policy, now_s)
            ),
            closed=closed,
        )
