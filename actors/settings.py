"""The Settings actor: owns the overrides, decides every change, and tells everyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actors.base import HouseActor, handles
from cl_revenue_ops.config import (
    BY_KEY,
    BootResult,
    Change,
    Outcome,
    SettingRefused,
    SettingsBook,
    StoredOverride,
    at_boot,
    reset_value,
    set_value,
    to_text,
)
from cl_revenue_ops.gate import PAUSES, WriteGate
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import PortError, SettingsStore
from cl_revenue_ops.runtime.actor import Context
from cl_revenue_ops.runtime.rng import fresh_root
from messages.base import Command
from messages.fees import PutFeesBack
from messages.settings import (
    ConfigChanged,
    ResetSetting,
    RestoreFees,
    SetSetting,
    SettingConfigured,
)

PAUSED, UNUSABLE = PAUSES
DRY_RUN = "dry run"
FEE_CONTROLLER = "fee-controller"


class Settings(HouseActor):
    """First to boot: it finds out which node this is and opens the database.

    `raw_options` gives lightningd's options as they are configured now. `seed` overrides the
    stored root of randomness. The gate is set before any answer goes out.
    """

    def __init__(
        self,
        context: Context,
        *,
        store: SettingsStore,
        identity: Identity,
        raw_options: Callable[[], Mapping[str, object]],
        gate: WriteGate,
        seed: int | None,
    ) -> None:
        super().__init__(context)
        self._store = store
        self._identity = identity
        self._raw_options = raw_options
        self._gate = gate
        self._seed = seed
        self._book: SettingsBook
        self._problems: dict[str, set[str]] = {}
        self._ticket = 0

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        stored_version, rows = self._store.load()
        # A given seed leaves no trace: what it was given for shall be the same every time.
        seed = self._seed
        self.root_seed = self._store.root_seed(fresh_root()) if seed is None else seed
        boot = at_boot(self._raw_options(), [StoredOverride(*row) for row in rows], stored_version)
        self._adopt(boot)
        self._save(boot.book)
        self._book = boot.book
        self._announce()

    def _adopt(self, boot: BootResult) -> None:
        # A problem may name several settings; it ends when each of them was given anew.
        self._problems = {text: BY_KEY.keys() & set(text.split()) for text in boot.problems}
        for line in (*boot.problems, *boot.notes):
            self.context.log.warn(line)

    # -- changes ------------------------------------------------------------------------------

    @handles(SetSetting)
    def _set(self, message: SetSetting) -> None:
        self._ticket = message.ticket
        outcome = set_value(self._book, message.key, message.raw, "revenue-config")
        change = self._apply(message, outcome)
        if change is not None:
            self._given(change)
            self.answer(message, _result(change))

    @handles(ResetSetting)
    def _reset(self, message: ResetSetting) -> None:
        self._ticket = message.ticket
        change = self._apply(message, reset_value(self._book, message.key))
        if change is not None:
            text = f"{change.key} is back at its configured value {change.new_value}"
            self.answer(message, {**_result(change), "message": "; ".join(change.notes) or text})

    @handles(RestoreFees)
    def _leave(self, message: RestoreFees) -> None:
        """Pause first, and stored: whatever happens from here on, nothing else is written."""
        self._ticket = message.ticket
        outcome = set_value(self._book, "paused", True, "revenue-config")
        change = self._apply(message, outcome)
        if change is not None:
            self._given(change)
            asker = (message.call_id, message.reply_to, message.deadline_s)
            self.context.tell(FEE_CONTROLLER, PutFeesBack(*asker))

    @handles(SettingConfigured)
    def _configured(self, message: SettingConfigured) -> None:
        self._ticket = message.ticket
        outcome = set_value(self._book, message.key, message.raw, "setconfig")
        if isinstance(outcome, SettingRefused):
            self.context.log.warn(f"setconfig {message.key}: {outcome.text}")
            return
        book, change = outcome
        try:
            self._take(book, change)
        except PortError as error:
            # lightningd has stored it already, and at the next start the configuration wins.
            self.context.log.warn(f"{change.key} holds, but a runtime value stays stored: {error}")
            self._hold(book, change)
        self._given(change)

    def _apply(self, command: Command, outcome: Outcome) -> Change | None:
        if isinstance(outcome, SettingRefused):
            self.refuse(command, outcome.text, invalid=True)
            return None
        book, change = outcome
        try:
            self._take(book, change)
        except PortError as error:
            self._set_gate(self._book)
            stands = f"{change.key} is unchanged"
            if change.key == "paused" and change.new_value is True:
                stands = "paused until the plugin stops"
            self.refuse(command, f"{stands}: it could not be stored ({error})")
            return None
        return change

    def _take(self, book: SettingsBook, change: Change) -> None:
        if change.changed:
            self._save(book)
        self._hold(book, change)

    def _hold(self, book: SettingsBook, change: Change) -> None:
        for note in change.notes:
            self.context.log.info(note)
        if change.key == "paused" and change.new_value is False:
            self._gate.open(PAUSED, self._ticket)
        if change.changed:
            self._book = book
            self._announce()

    def _given(self, change: Change) -> None:
        """A setting that is given a usable value is no problem any more; an unpause ends all."""
        unpaused = change.key == "paused" and change.new_value is False
        left = {
            text: keys - {change.key}
            for text, keys in self._problems.items()
            if not unpaused and keys != {change.key}
        }
        if left != self._problems:
            self._problems = left
            self._announce()

    def _save(self, book: SettingsBook) -> None:
        rows = [(k, to_text(o.value), o.replaced) for k, o in sorted(book.overrides.items())]
        self._store.save(book.version, rows)

    # -- telling ------------------------------------------------------------------------------

    def _announce(self) -> None:
        book = self._book
        self._set_gate(book)
        self.post_notice({"book": book, "problems": tuple(self._problems)})
        self.config = book.config
        self.context.publish(
            ConfigChanged(book.version, tuple(book.values.items()), self.root_seed)
        )

    def _set_gate(self, book: SettingsBook) -> None:
        gate, config = self._gate, book.config
        if config.paused:
            # Opened by an unpause alone: a pause that could not be stored stands all the same.
            gate.close(PAUSED, "paused by the operator", self._ticket)
        if config.dry_run:
            gate.close(DRY_RUN, "nothing is written to the node", self._ticket)
        else:
            gate.open(DRY_RUN, self._ticket)
        if self._problems:
            gate.close(UNUSABLE, "; ".join(self._problems))
        else:
            gate.open(UNUSABLE)
        gate.open("starting")


def _result(change: Change) -> dict[str, object]:
    return {
        "status": "success",
        "key": change.key,
        "old_value": change.old_value,
        "new_value": change.new_value,
        "version": change.version,
    }
