"""The Exporter: writes ledger, forwards or decisions to a file, page by page."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from actors.base import AskingActor, handles
from actors.dialogue import Ask, Dialogue, Refused, Steps
from cl_revenue_ops.domain.channels import by_scid
from cl_revenue_ops.domain.export import journal, tables
from cl_revenue_ops.domain.export.beancount import BeancountWriter
from cl_revenue_ops.domain.export.cells import iso
from cl_revenue_ops.domain.export.tables import CsvWriter, JsonWriter, PostingsWriter, Record
from cl_revenue_ops.ports import BadPath, ExportFile, PortError
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.books import EntryPage, ReadEntries
from messages.channels import ChannelSnapshot
from messages.exchange import AnswerOverdue, Export, ImportedFeePage, ReadImportedFees
from messages.fees import DecisionPage, ReadDecisions
from messages.forwards import ForwardLogPage, LoggedForward, ReadForwardLog

ACCOUNTANT, FEES, IMPORTER = "accountant", "fee-controller", "importer"
PAGE_ROWS = 1_000
DECISIONS_A_PAGE = 100
"""A decision has its whole record with it, about 7 kB."""

ENDINGS = {"csv": ".csv", "json": ".json", "beancount": ".beancount"}
Pages = Generator[Ask, Any, None]


class Exporter(AskingActor):
    """Optional. One file at a time; between two pages all others get their turn.

    A file that takes longer than its caller waits is finished all the same.
    """

    def __init__(self, context: Context, *, file: ExportFile) -> None:
        super().__init__(context)
        self._file = file
        self._dialogue = Dialogue(context, "export", AnswerOverdue())
        self._channel_of: dict[str, str] = {}
        self._scid_of: dict[str, str] = {}
        self._writer: CsvWriter | JsonWriter | BeancountWriter
        self._records = 0

    @handles(ChannelSnapshot)
    def _channels(self, message: ChannelSnapshot) -> None:
        self._channel_of = by_scid(message.channels)
        self._scid_of = {e.channel_id: e.fact.scid for e in message.channels if e.fact.scid}

    @handles(Export)
    def _export(self, message: Export) -> None:
        if self._dialogue.running:
            self.refuse(message, "another file is being written; try again when it is there")
            return
        self._dialogue.begin(self._steps(message))

    def take(self, reply: Answer | Refusal) -> bool:
        """See AskingActor."""
        return self._dialogue.take(reply)

    @handles(AnswerOverdue)
    def _overdue(self, message: AnswerOverdue) -> None:
        self._dialogue.overdue()

    def close_down(self) -> None:
        """A half written file is of no use to anybody."""
        self._file.discard()

    # -- one file -----------------------------------------------------------------------------

    def _steps(self, asked: Export) -> Steps:
        try:
            path = self._file.begin(asked.path, ENDINGS[asked.format])
            self._records = 0
            self._writer = self._writer_of(asked)
            self._file.write(self._writer.head())
            yield from self._pages(asked)
            self._file.write(self._writer.tail())
            size = self._file.publish()
        except BadPath as fault:
            self.refuse(asked, str(fault), invalid=True)
        except (Refused, PortError) as error:
            self.refuse(asked, f"no file was written: {error}")
        else:
            self._tell(asked, path, size)
        finally:
            self._file.discard()

    def _tell(self, asked: Export, path: str, size: int) -> None:
        text = f"{self._records} records of {asked.what} were written to {path}"
        self.context.log.info(text)
        until_s = asked.until_s
        self.answer(
            asked,
            {
                "status": "success",
                "path": path,
                "what": asked.what,
                "format": asked.format,
                "since": iso(asked.since_s),
                "until": None if until_s is None else iso(until_s),
                "records": self._records,
                "bytes": size,
                "message": text,
            },
        )

    def _writer_of(self, asked: Export) -> CsvWriter | JsonWriter | BeancountWriter:
        until = None if asked.until_s is None else iso(asked.until_s)
        about: Record = {
            "what": asked.what,
            "written": iso(self.now()),
            "since": iso(asked.since_s),
            "until": until,
        }
        if asked.format == "beancount":
            return BeancountWriter(about, self._scid_of)
        if asked.what == "ledger":
            return PostingsWriter() if asked.format == "csv" else JsonWriter(tables.ENTRIES, about)
        columns = tables.FORWARDS if asked.what == "forwards" else tables.DECISIONS
        return CsvWriter(columns) if asked.format == "csv" else JsonWriter(columns, about)

    def _pages(self, asked: Export) -> Pages:
        if asked.what == "ledger":
            yield from self._entries(asked)
        if asked.what in ("ledger", "forwards"):
            yield from self._forwards(asked)
        if asked.what == "decisions":
            yield from self._imported(asked)
            yield from self._decisions(asked)

    def _put(self, records: Iterable[Record]) -> None:
        found = list(records)
        self._records += len(found)
        if found:
            self._file.write(self._writer.page(found))

    # -- what is written ----------------------------------------------------------------------

    def _entries(self, asked: Export) -> Pages:
        after, last = 0, False
        while not last:
            page: EntryPage = yield Ask(
                ACCOUNTANT,
                ReadEntries,
                {
                    "after": after,
                    "limit": PAGE_ROWS,
                    "from_s": asked.since_s,
                    "until_s": asked.until_s,
                },
            )
            self._put(tables.of_entry(entry) for _, entry in page.rows)
            after, last = page.next_after, page.last

    def _forwards(self, asked: Export) -> Pages:
        after, last, of_ledger = 0, False, asked.what == "ledger"
        while not last:
            fields: dict[str, object] = {"after_seq": after, "limit": PAGE_ROWS}
            page: ForwardLogPage = yield Ask(
                ACCOUNTANT, ReadForwardLog, {**fields, "not_before_s": asked.since_s}
            )
            rows = [row for row in page.rows if _before(row.at_s, asked.until_s)]
            if of_ledger:
                self._put(self._as_entries(rows))
            else:
                self._put(tables.of_forward(row, self._channel_of) for row in rows)
            after, last = page.next_seq, page.last

    def _as_entries(self, rows: Iterable[LoggedForward]) -> Iterable[Record]:
        for row in rows:
            entry = journal.of_forward(row, self._channel_of)
            if entry is not None:
                yield tables.of_entry(entry)

    def _decisions(self, asked: Export) -> Pages:
        """By their last repetition; one that is repeated meanwhile comes again, and is left out."""
        place, last, done = (asked.since_s, 0), False, dict[str, int]()
        while not last:
            page: DecisionPage = yield Ask(
                FEES, ReadDecisions, {"place": place, "limit": DECISIONS_A_PAGE}
            )
            for line in page.rows:
                if not _before(line.last_at_s, asked.until_s):
                    return
                if line.number > done.get(line.channel_id, 0):
                    done[line.channel_id] = line.number
                    self._put([tables.of_decision(line, self._scid_of)])
            place, last = page.place, page.last

    def _imported(self, asked: Export) -> Pages:
        after, last = 0, False
        while not last:
            page: ImportedFeePage = yield Ask(
                IMPORTER,
                ReadImportedFees,
                {
                    "after": after,
                    "limit": PAGE_ROWS,
                    "from_s": asked.since_s,
                    "until_s": asked.until_s,
                },
            )
            self._put(tables.of_imported_fee(n, fee, self._channel_of) for n, fee in page.rows)
            after, last = page.next_after, page.last


def _before(at_s: float, until_s: float | None) -> bool:
    return until_s is None or at_s < until_s
