"""The composition root: builds the house from its ports; the only file that knows everyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.identity import Identity, KnownIdentity
from cl_revenue_ops.ports import (
    Calls,
    CareStore,
    ChannelStore,
    Clock,
    FeeStore,
    FlowStore,
    ForwardStore,
    Lease,
    Log,
    Node,
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
from messages.channels import ChannelSnapshot
from messages.control import StartHouse, StopHouse
from messages.flow import FlowReport
from messages.forwards import CatchUpWanted, ForwardSeen
from messages.settings import ConfigChanged

CHANNEL_REGISTRY, ACCOUNTANT = "channel-registry", "accountant"


@dataclass(frozen=True)
class Stores:
    """How to make each owner's repository for one incarnation."""

    settings: Callable[[Lease], SettingsStore]
    channels: Callable[[Lease], ChannelStore]
    forwards: Callable[[Lease], ForwardStore]
    flow: Callable[[Lease], FlowStore]
    fees: Callable[[Lease], FeeStore]
    care: Callable[[Lease], CareStore]


@dataclass(frozen=True)
class Ports:
    """Everything that the house needs from the world."""

    node: Callable[[Lease], Node]
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
    known = KnownIdentity()
    children = _children(ports, known, seed)
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

    if isinstance(core.clock, VirtualClock):
        return SteppedRuntime(
            seed=seed or 0,
            clock=core.clock,
            post=core.post,
            timers=core.timers,
            board=core.board,
            log=log,
            handler_deadline_s=handler_deadline_s,
            strict=strict,
        )
    return ThreadedRuntime(
        clock=core.clock,
        post=core.post,
        timers=core.timers,
        board=core.board,
        log=log,
        handler_deadline_s=handler_deadline_s,
        strict=strict,
    )


def _children(ports: Ports, known: KnownIdentity, seed: int | None) -> list[Child]:
    """In boot order. Each factory imports its actor when it is born: numerics are slow to load."""
    stores, node = ports.stores, ports.node

    def gateway(context: Context) -> MailboxActor:
        from actors.gateway import Gateway

        return Gateway(context, calls=ports.calls)

    def settings(context: Context) -> MailboxActor:
        from actors.settings import Settings

        return Settings(
            context,
            store=stores.settings(context.lease),
            identity=Identity(known, node(context.lease)),
            raw_options=lambda: ports.raw_options,
            gate=ports.gate,
            seed=seed,
        )

    def storekeeper(context: Context) -> MailboxActor:
        from actors.storekeeper import Storekeeper

        return Storekeeper(context, store=stores.care(context.lease), identity=Identity(known))

    def node_reader(context: Context) -> MailboxActor:
        from actors.node_reader import NodeReader

        return NodeReader(context, node=node(context.lease))

    def registry(context: Context) -> MailboxActor:
        from actors.channel_registry import ChannelRegistry

        return ChannelRegistry(
            context,
            store=stores.channels(context.lease),
            node=node(context.lease),
            identity=Identity(known),
        )

    def accountant(context: Context) -> MailboxActor:
        from actors.accountant import Accountant

        return Accountant(context, store=stores.forwards(context.lease), identity=Identity(known))

    def flow_analyzer(context: Context) -> MailboxActor:
        from actors.flow_analyzer import FlowAnalyzer

        return FlowAnalyzer(context, store=stores.flow(context.lease), identity=Identity(known))

    def fee_controller(context: Context) -> MailboxActor:
        from actors.fee_controller import FeeController

        return FeeController(
            context,
            store=stores.fees(context.lease),
            node=node(context.lease),
            identity=Identity(known),
            gate=ports.gate,
        )

    return [
        ("gateway", LOAD_BEARING, gateway, ()),
        ("settings", LOAD_BEARING, settings, ()),
        ("storekeeper", OPTIONAL, storekeeper, (ConfigChanged,)),
        ("node-reader", OPTIONAL, node_reader, (ConfigChanged,)),
        (CHANNEL_REGISTRY, LOAD_BEARING, registry, (ConfigChanged,)),
        (ACCOUNTANT, LOAD_BEARING, accountant, (ConfigChanged, ForwardSeen)),
        ("flow-analyzer", LOAD_BEARING, flow_analyzer, (ConfigChanged, ChannelSnapshot)),
        (
            "fee-controller",
            SUSPENDED,
            fee_controller,
            (ConfigChanged, ChannelSnapshot, FlowReport),
        ),
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
