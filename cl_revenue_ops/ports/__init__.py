"""What the house needs from the world, as Protocols, and the errors that the world may answer."""

from cl_revenue_ops.ports.books import (
    Books,
    WalletReading,
)
from cl_revenue_ops.ports.boss import (
    NO_TAGS,
    Boss,
    BossAbsent,
    Unmanaged,
)
from cl_revenue_ops.ports.boss_store import (
    BossMemory,
    BossStore,
    Claims,
    IgnoreOrder,
)
from cl_revenue_ops.ports.budget_store import (
    BudgetRows,
    BudgetStore,
    Committed,
    StoredReservation,
)
from cl_revenue_ops.ports.earlier import (
    EarlierFile,
    EarlierSurvey,
    EarlierTable,
)
from cl_revenue_ops.ports.errors import (
    CircuitOpen,
    MalformedReply,
    NodeRefused,
    PortError,
    StaleGeneration,
    StoreDamaged,
    TimedOut,
    Unavailable,
    WriteRefused,
)
from cl_revenue_ops.ports.export import (
    BadPath,
    ExportFile,
)
from cl_revenue_ops.ports.fee_store import (
    FEE_SET,
    DecisionRow,
    FeeStore,
    StoredDecision,
)
from cl_revenue_ops.ports.import_store import (
    ImportStore,
)
from cl_revenue_ops.ports.incarnation import (
    Calls,
    Clock,
    Lease,
    Log,
)
from cl_revenue_ops.ports.ledger_store import (
    AccountTotal,
    LedgerState,
    LedgerStore,
)
from cl_revenue_ops.ports.node import (
    ChannelReading,
    FeeSet,
    GossipChannel,
    Node,
    NodeInfo,
)
from cl_revenue_ops.ports.payments import PaymentNode
from cl_revenue_ops.ports.policy_store import (
    PolicyRow,
    PolicyStore,
    StoredPolicies,
)
from cl_revenue_ops.ports.rebalancing import (
    ENDED,
    ENDING,
    PLANNED,
    RUNNING,
    STARTING,
    Executor,
    ExecutorAbsent,
    JobRow,
    RebalanceMemory,
    RebalanceStore,
)
from cl_revenue_ops.ports.report_node import ReportNode
from cl_revenue_ops.ports.report_store import ClosingRow, DayRow, ReportStore
from cl_revenue_ops.ports.stores import (
    CareStore,
    ChannelStore,
    FlowStore,
    ForwardStore,
    IngestState,
    LetGo,
    SettingsStore,
    SettledSums,
    Sought,
    Store,
)

__all__ = [
    "ENDED",
    "ENDING",
    "FEE_SET",
    "NO_TAGS",
    "PLANNED",
    "RUNNING",
    "STARTING",
    "AccountTotal",
    "BadPath",
    "Books",
    "Boss",
    "BossAbsent",
    "BossMemory",
    "BossStore",
    "BudgetRows",
    "BudgetStore",
    "Calls",
    "CareStore",
    "ChannelReading",
    "ChannelStore",
    "CircuitOpen",
    "Claims",
    "Clock",
    "ClosingRow",
    "Committed",
    "DayRow",
    "DecisionRow",
    "EarlierFile",
    "EarlierSurvey",
    "EarlierTable",
    "Executor",
    "ExecutorAbsent",
    "ExportFile",
    "FeeSet",
    "FeeStore",
    "FlowStore",
    "ForwardStore",
    "GossipChannel",
    "IgnoreOrder",
    "ImportStore",
    "IngestState",
    "JobRow",
    "Lease",
    "LedgerState",
    "LedgerStore",
    "LetGo",
    "Log",
    "MalformedReply",
    "Node",
    "NodeInfo",
    "NodeRefused",
    "PaymentNode",
    "PolicyRow",
    "PolicyStore",
    "PortError",
    "RebalanceMemory",
    "RebalanceStore",
    "ReportNode",
    "ReportStore",
    "SettingsStore",
    "SettledSums",
    "Sought",
    "StaleGeneration",
    "Store",
    "StoreDamaged",
    "StoredDecision",
    "StoredPolicies",
    "StoredReservation",
    "TimedOut",
    "Unavailable",
    "Unmanaged",
    "WalletReading",
    "WriteRefused",
]
