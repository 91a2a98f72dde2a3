"""The composition root: builds the house from its ports; the only file that knows everyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.identity import Identity, KnownIdentity
from cl_revenue_ops.ports import (
    Books,
    Boss,
    BossStore,
    BudgetStore,
    Calls,
    CareStore,
    ChannelStore,
    Clock,
    EarlierFile,
    Executor,
    ExportFile,
    FeeStore,
    FlowStore,
    ForwardStore,
    ImportStore,
    Lease,
    LedgerStore,
    Log,
    Node,
    PaymentNode,
    PolicyStore,
    RebalanceStore,
    ReportNode,
    ReportStore,
    SettingsStore,
)
from cl_revenue_ops.runtime.actor import Context, MailboxActor
from cl_revenue_ops.runtime.board import Board
from cl_revenue_ops.runtime.clock import VirtualClock
from cl_revenue_ops.runtime.dead_letters import DeadLetters
from cl_revenue_ops.runtime.nursery import SUPERVISOR, Birth, Factory, Nursery
from cl_revenue_ops.runtime.post_office import PostOffice
from cl_revenue_ops.runtime.restart import LOAD_BEARING, OPTIONAL, SUSPENDED
from cl_revenue_ops.runtime.rng import fresh_root
from cl_revenue_ops.runtime.stepped import SteppedRuntime
from cl_revenue_ops.runtime.threads import ThreadedRuntime
from cl_revenue_ops.runtime.timers import Timers
from cl_revenue_ops.settings_view import SettingsView
from messages.base import Message
from messages.boss import BossTouched, ForeignFee
from messages.channels import ChannelSnapshot
from messages.control import StartHouse, StopHouse
from messages.fees import FeesPutBack
from messages.flow import FlowReport
from messages.forwards import CatchUpWanted, ForwardSeen
from messages.policies import PolicyChanged, PolicySnapshot
from messages.rebalance import ExecutorTouched, PaymentSeen, StockCurves
from messages.settings import ConfigChanged

CHANNEL_REGISTRY, ACCOUNTANT = "channel-registry", "accountant"


@dataclass(frozen=True)
class Stores:
    """How to make each owner's repository for one incarnation."""

    settings: Callable[[Lease], SettingsStore]
    channels: Callable[[Lease], ChannelStore]
    forwards: Callable[[Lease], ForwardStore]
    ledger: Callable[[Lease], LedgerStore]
    budget: Callable[[Lease], BudgetStore]
    flow: Callable[[Lease], FlowStore]
    policies: Callable[[Lease], PolicyStore]
    fees: Callable[[Lease], FeeStore]
    care: Callable[[Lease], CareStore]
    boss: Callable[[Lease], BossStore]
    reports: Callable[[Lease], ReportStore]
    imports: Callable[[Lease], ImportStore]
    rebalances: Callable[[Lease], RebalanceStore]


@dataclass(frozen=True)
class Ports:
    """Everything that the house needs from the world."""

    node: Callable[[Lease], Node]
    report_node: Callable[[Lease], ReportNode]
    payments: Callable[[Lease], PaymentNode]
    executors: Callable[[Lease], Mapping[str, Executor]]
    books: Callable[[Lease], Books]
    boss: Callable[[Lease], Boss]
    export_file: Callable[[Lease], ExportFile]
    earlier_file: Callable[[Lease], EarlierFile]
    stores: Stores
    calls: Calls
    log: Log
    gate: WriteGate
    raw_options: Mapping[str, object]


@dataclass
class Core:
    """The light parts that exist before any actor does, so that `init` can be answered."""

    clock: Clock
    board: Board = field(default_factory=Board)
    timers: Timers = field(default_factory=Timers)

    def __post_init__(self) -> None:
        catch_up: dict[type[Message], Message] = {ForwardSeen: CatchUpWanted("a hint was dropped")}
        self.post = PostOffice(self.clock, DeadLetters(), catch_up)


@dataclass
class House:
    """A built house: start it, feed it facts, stop it."""

    core: Core
    runtime: ThreadedRuntime | SteppedRuntime
    view: SettingsView

    def start(self) -> None:
        """Boot the actors, in the background or (stepped) at the next run."""
        if isinstance(self.runtime, ThreadedRuntime):
            self.runtime.start()
        self.core.post.tell(SUPERVISOR, StartHouse())

    def stop(self, reason: str, patience_s: float) -> bool:
        """Stop everyone in order; False when that took longer than `patience_s`."""
        self.core.post.tell(SUPERVISOR, StopHouse(reason))
        if isinstance(self.runtime, ThreadedRuntime):
            return self.runtime.wait_finished(patience_s)
        self.runtime.run()
        return self.runtime.finished


def build(core: Core, ports: Ports, view: SettingsView, *, seed: int | None, strict: bool) -> House:
    """The whole house on threads, or stepped where the clock is virtual; nothing runs yet."""
    runtime = _runtime(core, ports.log, view, seed, strict)
    children = _children(ports, seed)
    for address, _, factory, reads in children:
        runtime.add(address, Birth(factory, reads))
    runtime.add(SUPERVISOR, Birth(_supervisor(runtime, ports.gate, children, seed)))
    runtime.spawn(SUPERVISOR)
    runtime.open_lane(SUPERVISOR)
    return House(core, runtime, view)


Child = tuple[str, str, Factory, tuple[type[Message], ...]]


def _runtime(
    core: Core, log: Log, view: SettingsView, seed: int | None, strict: bool
) -> ThreadedRuntime | SteppedRuntime:
    def handler_deadline_s() -> float:
        return float(view.config.rpc_timeout_seconds)

    parts: dict[str, Any] = {
        "clock": core.clock,
        "post": core.post,
        "timers": core.timers,
        "board": core.board,
        "log": log,
        "handler_deadline_s": handler_deadline_s,
        "strict": strict,
    }
    if isinstance(core.clock, VirtualClock):
        return SteppedRuntime(seed=seed or 0, **parts)
    return ThreadedRuntime(**parts)


class _Births:
    """A factory per actor; each imports its actor when it is born: numerics are slow to load."""

    def __init__(self, ports: Ports, seed: int | None) -> None:
        self._ports = ports
        self._stores = ports.stores
        self._node = ports.node
        self._known = KnownIdentity()
        self._seed = seed

    def gateway(self, context: Context) -> MailboxActor:
        from actors.gateway import Gateway

        return Gateway(context, calls=self._ports.calls)

    def settings(self, context: Context) -> MailboxActor:
        from actors.settings import Settings

        return Settings(
            context,
            store=self._stores.settings(context.lease),
            identity=Identity(self._known, self._node(context.lease)),
            raw_options=lambda: self._ports.raw_options,
            gate=self._ports.gate,
            seed=self._seed,
        )

    def storekeeper(self, context: Context) -> MailboxActor:
        from actors.storekeeper import Storekeeper

        store = self._stores.care(context.lease)
        return Storekeeper(context, store=store, identity=Identity(self._known))

    def node_reader(self, context: Context) -> MailboxActor:
        from actors.node_reader import NodeReader

        reports = self._ports.report_node(context.lease)
        payments = self._ports.payments(context.lease)
        return NodeReader(
            context, node=self._node(context.lease), reports=reports, payments=payments
        )

    def books_reader(self, context: Context) -> MailboxActor:
        from actors.books_reader import BooksReader

        books = self._ports.books(context.lease)
        return BooksReader(context, node=self._node(context.lease), books=books)

    def channel_registry(self, context: Context) -> MailboxActor:
        from actors.channel_registry import ChannelRegistry

        return ChannelRegistry(
            context,
            store=self._stores.channels(context.lease),
            node=self._node(context.lease),
            identity=Identity(self._known),
        )

    def accountant(self, context: Context) -> MailboxActor:
        from actors.accountant import Accountant

        return Accountant(
            context,
            store=self._stores.forwards(context.lease),
            ledger=self._stores.ledger(context.lease),
            budget=self._stores.budget(context.lease),
            identity=Identity(self._known),
        )

    def reporter(self, context: Context) -> MailboxActor:
        from actors.reporter import Reporter

        store = self._stores.reports(context.lease)
        return Reporter(context, store=store, identity=Identity(self._known))

    def policy_engine(self, context: Context) -> MailboxActor:
        from actors.policy_engine import PolicyEngine

        store = self._stores.policies(context.lease)
        return PolicyEngine(context, store=store, identity=Identity(self._known))

    def flow_analyzer(self, context: Context) -> MailboxActor:
        from actors.flow_analyzer import FlowAnalyzer

        store = self._stores.flow(context.lease)
        return FlowAnalyzer(context, store=store, identity=Identity(self._known))

    def fee_controller(self, context: Context) -> MailboxActor:
        from actors.fee_controller import FeeController

        return FeeController(
            context,
            store=self._stores.fees(context.lease),
            node=self._node(context.lease),
            identity=Identity(self._known),
            gate=self._ports.gate,
        )

    def rebalancer(self, context: Context) -> MailboxActor:
        from actors.rebalancer import Rebalancer

        return Rebalancer(
            context,
            store=self._stores.rebalances(context.lease),
            identity=Identity(self._known),
            gate=self._ports.gate,
        )

    def clboss_keeper(self, context: Context) -> MailboxActor:
        from actors.clboss_keeper import ClbossKeeper

        return ClbossKeeper(
            context,
            store=self._stores.boss(context.lease),
            boss=self._ports.boss(context.lease),
            identity=Identity(self._known),
            gate=self._ports.gate,
        )

    def rebalance_runner(self, context: Context) -> MailboxActor:
        from actors.rebalance_runner import RebalanceRunner

        return RebalanceRunner(context, executors=self._ports.executors(context.lease))

    def importer(self, context: Context) -> MailboxActor:
        from actors.importer import Importer

        return Importer(
            context,
            store=self._stores.imports(context.lease),
            file=self._ports.earlier_file(context.lease),
            identity=Identity(self._known),
        )

    def exporter(self, context: Context) -> MailboxActor:
        from actors.exporter import Exporter

        return Exporter(context, file=self._ports.export_file(context.lease))


def _children(ports: Ports, seed: int | None) -> list[Child]:
    """Who lives in the house, in boot order: address, kind, factory, and the facts it reads."""
    births = _Births(ports, seed)
    channels = (ConfigChanged, ChannelSnapshot)
    fees = (*channels, FlowReport, PolicySnapshot, PolicyChanged)
    shown = (*channels, FlowReport, PolicySnapshot, StockCurves)
    moves = (*channels, FlowReport, PolicySnapshot, StockCurves, PaymentSeen)
    flows = (*channels, FlowReport)
    boss = (*channels, PolicySnapshot, ForeignFee, FeesPutBack, BossTouched)
    return [
        ("gateway", LOAD_BEARING, births.gateway, ()),
        ("settings", LOAD_BEARING, births.settings, ()),
        ("storekeeper", OPTIONAL, births.storekeeper, (ConfigChanged,)),
        ("node-reader", OPTIONAL, births.node_reader, (ConfigChanged,)),
        ("books-reader", OPTIONAL, births.books_reader, (ConfigChanged,)),
        (CHANNEL_REGISTRY, LOAD_BEARING, births.channel_registry, (ConfigChanged,)),
        (ACCOUNTANT, LOAD_BEARING, births.accountant, (*channels, ForwardSeen)),
        ("reporter", OPTIONAL, births.reporter, shown),
        ("policy-engine", LOAD_BEARING, births.policy_engine, flows),
        ("flow-analyzer", LOAD_BEARING, births.flow_analyzer, channels),
        ("fee-controller", SUSPENDED, births.fee_controller, fees),
        ("clboss-keeper", OPTIONAL, births.clboss_keeper, boss),
        ("rebalance-runner", OPTIONAL, births.rebalance_runner, (ConfigChanged, ExecutorTouched)),
        ("rebalancer", SUSPENDED, births.rebalancer, moves),
        ("importer", OPTIONAL, births.importer, channels),
        ("exporter", OPTIONAL, births.exporter, channels),
    ]


def _supervisor(
    runtime: Nursery, gate: WriteGate, children: list[Child], seed: int | None
) -> Factory:
    def supervisor(context: Context) -> MailboxActor:
        from actors.supervisor import Supervisor

        return Supervisor(
            context,
            nursery=runtime,
            gate=gate,
            children=[(address, kind) for address, kind, _, _ in children],
            seed=seed if seed is not None else fresh_root(),
        )

    return supervisor
