"""The Importer: takes over what the earlier plugin of this name had recorded, and shows it."""

from __future__ import annotations

from actors.base import AskingActor, handles
from actors.dialogue import Dialogue, Refused, Steps
from actors.import_taking import ImportTaking
from cl_revenue_ops.domain.channels import by_scid
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import BadPath, EarlierFile, ImportStore, PortError
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.channels import ChannelSnapshot
from messages.exchange import (
    AnswerOverdue,
    GoOn,
    ImportEarlier,
    ReadImportedChannels,
    ReadImportedFees,
)


class Importer(AskingActor):
    """Optional. One import at a time, a page a step; policies and entries go to their owners.

    The old file is read and never written. An import that takes longer than its caller waits is
    finished all the same.
    """

    def __init__(
        self, context: Context, *, store: ImportStore, file: EarlierFile, identity: Identity
    ) -> None:
        super().__init__(context)
        self._store = store
        self._file = file
        self._identity = identity
        self._dialogue = Dialogue(context, "import", AnswerOverdue())
        self._channels: ChannelSnapshot | None = None

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        # A copy that an import left which was killed.
        self._file.close()

    def close_down(self) -> None:
        self._file.close()

    @handles(ChannelSnapshot)
    def _channels_told(self, message: ChannelSnapshot) -> None:
        self._channels = message

    # -- importing ----------------------------------------------------------------------------

    @handles(ImportEarlier)
    def _import(self, message: ImportEarlier) -> None:
        if self._dialogue.running:
            self.refuse(message, "another import is under way; try again when it is done")
        elif self._channels is None:
            self.refuse(message, "the channels have not been read from the node yet; try again")
        else:
            self._dialogue.begin(self._steps(message, self._channels))

    def _steps(self, asked: ImportEarlier, channels: ChannelSnapshot) -> Steps:
        taking = ImportTaking(
            self._file,
            self._store,
            channels,
            by_scid(channels.channels),
            self.context.address,
            self.now(),
            asked.dry_run,
        )
        try:
            told = yield from taking.steps(asked.path)
        except BadPath as fault:
            self.refuse(asked, str(fault), invalid=True)
        except (Refused, PortError) as error:
            self.refuse(
                asked, f"the import is not complete: {error}; import again, nothing is taken twice"
            )
        else:
            self.context.log.info(f"import of {told['path']}: {told['message']}")
            self.answer(asked, told)
        finally:
            self._file.close()

    @handles(GoOn)
    def _go_on(self, message: GoOn) -> None:
        self.answer(message, None)

    def take(self, reply: Answer | Refusal) -> bool:
        """See AskingActor."""
        return self._dialogue.take(reply)

    @handles(AnswerOverdue)
    def _overdue(self, message: AnswerOverdue) -> None:
        self._dialogue.overdue()

    # -- showing ------------------------------------------------------------------------------

    @handles(ReadImportedFees)
    def _fees(self, message: ReadImportedFees) -> None:
        page = self._store.fees(message.after, message.limit, message.from_s, message.until_s)
        self.answer(message, page)

    @handles(ReadImportedChannels)
    def _imported_channels(self, message: ReadImportedChannels) -> None:
        self.answer(message, self._store.channels())
