"""The Storekeeper: the daily copy of the database, and what is to be said of the file."""

from __future__ import annotations

from actors.base import HouseActor, handles
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import CareStore, PortError
from cl_revenue_ops.runtime.actor import Context
from messages.store import BackupTick, FlushLog, FlushTick

DAY_S = 86_400.0
RETRY_S = 3_600.0
FLUSH_S = 0.5
FLUSH_AGAIN_S = 30.0


class Storekeeper(HouseActor):
    """Optional: the house runs on without backups, and says so."""

    def __init__(self, context: Context, *, store: CareStore, identity: Identity) -> None:
        super().__init__(context)
        self._store = store
        self._identity = identity
        self._trouble: str | None = None
        self._flush_due = False

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        last_s = self._store.last_backup_s()
        due_s = 0.0 if last_s is None else last_s + DAY_S - self.now()
        self.context.after(max(60.0, min(DAY_S, due_s)), BackupTick())
        self._show()

    @handles(BackupTick)
    def _backup(self, message: BackupTick) -> None:
        try:
            wrong = self._store.check()
            if wrong is not None:
                # A copy of a damaged file must not replace a sound one.
                self._later(f"the database is damaged and was not copied: {wrong}")
                return
            self._store.backup()
        except PortError as error:
            self._later(f"no backup: {error}")
            return
        self._trouble = None
        self.context.after(DAY_S, BackupTick())
        self._show()

    @handles(FlushLog)
    def _flush_soon(self, message: FlushLog) -> None:
        if not self._flush_due:
            self._flush_due = True
            self.context.after(FLUSH_S, FlushTick())

    @handles(FlushTick)
    def _flush(self, message: FlushTick) -> None:
        """Wait for the disk in the place of those who have committed and must not wait."""
        self._flush_due = False
        try:
            self._store.flush()
        except PortError as error:
            self.context.log.info(f"what was committed waits to reach the disk: {error}")
            self._flush_due = True
            self.context.after(FLUSH_AGAIN_S, FlushTick())

    def _later(self, trouble: str) -> None:
        self._trouble = trouble
        self.context.log.warn(trouble)
        self.context.after(RETRY_S, BackupTick())
        self._show()

    def _show(self) -> None:
        facts = dict(self._store.facts())
        facts["last_backup_at"] = self._store.last_backup_s()
        facts["trouble"] = self._trouble
        self.post_notice(facts)
