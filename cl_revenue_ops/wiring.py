"""Puts the real adapters and the real database behind the ports of one process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cl_revenue_ops.adapters.books import LightningBooks
from cl_revenue_ops.adapters.breaker import Breakers
from cl_revenue_ops.adapters.capabilities import Capabilities
from cl_revenue_ops.adapters.clboss import ClBoss
from cl_revenue_ops.adapters.executors import Executors, Means
from cl_revenue_ops.adapters.node import LightningNode
from cl_revenue_ops.adapters.payments import LightningPayments
from cl_revenue_ops.adapters.report_node import LightningReports
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.bootstrap import Core, House, Ports, Stores, build
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.ports import (
    Books,
    Boss,
    Calls,
    EarlierFile,
    Executor,
    ExportFile,
    Lease,
    Log,
    Node,
)
from cl_revenue_ops.runtime.clock import SystemClock
from cl_revenue_ops.settings_view import SettingsView

if TYPE_CHECKING:
    from cl_revenue_ops.storage.database import Database


class Wiring:
    """Light to make: nothing touches the disk or the node before the house starts."""

    def __init__(
        self,
        *,
        core: Core,
        calls: Calls,
        gate: WriteGate,
        view: SettingsView,
        options: Mapping[str, object],
        lightning_dir: str,
        rpc_file: str,
        log: Log,
        left_out: Tally,
    ) -> None:
        self._core = core
        self._calls = calls
        self._gate = gate
        self._view = view
        self._options = options
        self._lightning_dir = lightning_dir
        self._socket_path = str(Path(lightning_dir) / rpc_file)
        self._log = log
        self._left_out = left_out
        self._breakers = Breakers(
            core.clock, lambda: float(view.config.rpc_circuit_breaker_seconds)
        )
        self._capabilities = Capabilities(core.clock)
        real = isinstance(core.clock, SystemClock)
        self._executors = Executors(core.clock, time.sleep if real else _no_pause)
        self._database: Database | None = None

    def house(self, seed: int | None) -> House:
        """The house of this process."""
        ports = Ports(
            node=self._node,
            report_node=lambda lease: LightningReports(self._rpc(lease), self._left_out),
            payments=lambda lease: LightningPayments(
                self._rpc(lease), self._capabilities, self._left_out
            ),
            executors=self._executors_for,
            books=self._books,
            boss=self._boss,
            export_file=self._export_file,
            earlier_file=self._earlier_file,
            stores=self._stores(),
            calls=self._calls,
            log=self._log,
            gate=self._gate,
            raw_options=self._options,
        )
        return build(self._core, ports, self._view, seed=seed, strict=False)

    def close(self) -> None:
        """Close the database after the house has stopped, so that the next start finds it clean."""
        if self._database is not None:
            self._database.close()

    def breaker_states(self) -> list[dict[str, object]]:
        """The breaker of each method group that was ever used."""
        return [state._asdict() for state in self._breakers.states()]

    def _node(self, lease: Lease) -> Node:
        rpc = self._rpc(lease)
        return LightningNode(rpc, self._gate, lease, self._capabilities, self._left_out)

    def _books(self, lease: Lease) -> Books:
        return LightningBooks(self._rpc(lease), self._capabilities, self._left_out)

    def _boss(self, lease: Lease) -> Boss:
        rpc = self._rpc(lease)
        return ClBoss(rpc, self._gate, lease, self._capabilities, self._left_out)

    def _executors_for(self, lease: Lease) -> Mapping[str, Executor]:
        return self._executors.made_of(Means(self._rpc(lease), self._gate, lease, self._left_out))

    def _export_file(self, lease: Lease) -> ExportFile:
        from cl_revenue_ops.storage.export_file import DiskExportFile

        return DiskExportFile(self._lightning_dir, lease)

    def _earlier_file(self, lease: Lease) -> EarlierFile:
        from cl_revenue_ops.storage.earlier_file import SqliteEarlierFile

        return SqliteEarlierFile(self._lightning_dir, lease)

    def _rpc(self, lease: Lease) -> NodeRpc:
        return NodeRpc(
            self._socket_path,
            lease,
            self._breakers,
            lambda: float(self._view.config.rpc_timeout_seconds),
        )

    def _stores(self) -> Stores:
        from cl_revenue_ops.storage.boss_store import SqliteBossStore
        from cl_revenue_ops.storage.budget_store import SqliteBudgetStore
        from cl_revenue_ops.storage.care_store import SqliteCareStore
        from cl_revenue_ops.storage.channel_store import SqliteChannelStore
        from cl_revenue_ops.storage.database import Database
        from cl_revenue_ops.storage.fair_lock import FairLock
        from cl_revenue_ops.storage.fee_store import SqliteFeeStore
        from cl_revenue_ops.storage.flow_store import SqliteFlowStore
        from cl_revenue_ops.storage.forward_store import SqliteForwardStore
        from cl_revenue_ops.storage.import_store import SqliteImportStore
        from cl_revenue_ops.storage.ledger_store import SqliteLedgerStore
        from cl_revenue_ops.storage.policy_store import SqlitePolicyStore
        from cl_revenue_ops.storage.rebalance_store import SqliteRebalanceStore
        from cl_revenue_ops.storage.report_store import SqliteReportStore
        from cl_revenue_ops.storage.settings_store import SqliteSettingsStore

        self._database = database = Database(
            self._view.config.db_path, self._lightning_dir, FairLock(), self._log.warn
        )
        return Stores(
            settings=lambda lease: SqliteSettingsStore(database, lease),
            channels=lambda lease: SqliteChannelStore(database, lease),
            forwards=lambda lease: SqliteForwardStore(database, lease),
            ledger=lambda lease: SqliteLedgerStore(database, lease),
            budget=lambda lease: SqliteBudgetStore(database, lease),
            flow=lambda lease: SqliteFlowStore(database, lease),
            policies=lambda lease: SqlitePolicyStore(database, lease),
            fees=lambda lease: SqliteFeeStore(database, lease),
            boss=lambda lease: SqliteBossStore(database, lease),
            reports=lambda lease: SqliteReportStore(database, lease),
            imports=lambda lease: SqliteImportStore(database, lease),
            rebalances=lambda lease: SqliteRebalanceStore(database, lease),
            care=lambda lease: SqliteCareStore(database, lease, self._core.clock),
        )


def _no_pause(seconds: float) -> None:
    """Virtual time stands still while somebody blocks."""
