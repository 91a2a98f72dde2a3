"""How the Importer reads an earlier database and takes what is to be taken, step by step."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from actors.dialogue import Ask
from cl_revenue_ops.domain.earlier import plan, policies, schema
from cl_revenue_ops.domain.earlier.findings import READ_IN_ORDER, Findings, Row, fee_change
from cl_revenue_ops.domain.earlier.plan import LedgerPlan, Names, Ours
from cl_revenue_ops.domain.earlier.policies import PolicyPlan
from cl_revenue_ops.domain.earlier.values import DAY_S
from cl_revenue_ops.domain.export.cells import iso
from cl_revenue_ops.domain.policy.edits import MOST_EDITS
from cl_revenue_ops.ports import EarlierFile, EarlierSurvey, ImportStore
from messages.books import BookEntries, Books, Entry, EntryPage, ReadBooks, ReadEntries
from messages.channels import ChannelSnapshot
from messages.exchange import GoOn, ImportedChannel
from messages.forwards import ForwardTotals, ReadForwardTotals
from messages.policies import ReadPolicies, SetPolicies

ACCOUNTANT, POLICIES = "accountant", "policy-engine"
PAGE_ROWS = 1_000
BATCH = 500
MOST_LINES = 100
FEE_CHANGES = "fee_changes"
T = TypeVar("T")
Work = Generator[Ask, Any, T]


class ImportTaking:
    """One import: everything is read and planned first; then each step stores what it takes.

    What was taken is known by its key, so an import that ends anywhere is simply begun again.
    """

    def __init__(
        self,
        file: EarlierFile,
        store: ImportStore,
        channels: ChannelSnapshot,
        channel_of: dict[str, str],
        address: str,
        now_s: float,
        dry_run: bool,
    ) -> None:
        self._file = file
        self._store = store
        self._open = {e.channel_id for e in channels.channels if not e.closed}
        self._channel_of = channel_of
        self._address = address
        self._now_s = now_s
        self._dry_run = dry_run
        self._found = Findings(now_s)
        self._taken: Counter[str] = Counter()
        self._known: Counter[str] = Counter()

    def steps(self, path: str) -> Work[dict[str, object]]:
        """The whole import of a file; returns what is to be answered. Raises BadPath."""
        survey = self._file.open(path)
        shape = schema.compare(survey.tables)
        for table in READ_IN_ORDER:
            columns = shape.usable.get(table, ())
            if table == schema.CONFIG and any(t.name == table for t in survey.tables):
                columns = _there(survey, table)
            if columns:
                yield from self._read(table, columns)
        ours = yield from self._ask_ours()
        ledger = plan.plan(self._found, ours)
        wanted = yield from self._plan_policies()
        yield from self._take_policies(wanted)
        yield from self._take_entries(ledger)
        yield from self._take_channels(Names(self._found, ours))
        if FEE_CHANGES in shape.usable:
            yield from self._take_fee_changes(shape.usable[FEE_CHANGES])
        return self._told(survey, shape, ledger, wanted)

    # -- reading ------------------------------------------------------------------------------

    def _pages(self, table: str, columns: Sequence[str]) -> Work[None]:
        """Yields between pages; each page is left in `self._page`."""
        self._file.begin(table, columns)
        last = False
        while not last:
            rows = self._file.page(PAGE_ROWS)
            last = len(rows) < PAGE_ROWS
            self._page: list[Row] = [dict(zip(columns, row, strict=True)) for row in rows]
            yield Ask(self._address, GoOn)

    def _read(self, table: str, columns: Sequence[str]) -> Work[None]:
        for pause in self._pages(table, columns):
            for row in self._page:
                self._found.take(table, row)
            yield pause

    def _ask_ours(self) -> Work[Ours]:
        totals: ForwardTotals = yield Ask(ACCOUNTANT, ReadForwardTotals)
        books: Books = yield Ask(ACCOUNTANT, ReadBooks)
        keys: set[str] = set()
        sums: dict[str, int] = defaultdict(int)
        estimates: dict[str, Entry] = {}
        after, last = 0, False
        while not last:
            page: EntryPage = yield Ask(
                ACCOUNTANT, ReadEntries, {"after": after, "limit": PAGE_ROWS}
            )
            for _, entry in page.rows:
                if entry.key.startswith(plan.PREFIX):
                    keys.add(entry.key)
                    for account, msat in entry.postings:
                        sums[account] += msat
                elif entry.kind == plan.OUR_ESTIMATE:
                    estimates[entry.key] = entry
                else:
                    estimates.pop(entry.key.removeprefix(plan.UNDONE), None)
            after, last = page.next_after, page.last
        today = int(self._now_s) // DAY_S
        made = tuple(estimates.values())
        return Ours(books, totals.first_day, today, frozenset(keys), sums, made, self._channel_of)

    def _plan_policies(self) -> Work[PolicyPlan]:
        told = yield Ask(POLICIES, ReadPolicies, {"what": "list"})
        ours = [str(policy["peer_id"]) for policy in told["policies"]]
        return policies.plan(self._found.policies, ours, self._store.policies(), self._now_s)

    # -- taking -------------------------------------------------------------------------------

    def _take_policies(self, wanted: PolicyPlan) -> Work[None]:
        self._known["policies"] = len(wanted.already_known)
        self._taken["policies"] = len(wanted.edits)
        if not self._dry_run:
            self._store.save_policies(wanted.already_known, done=True)
        for batch in _batches(wanted.edits, MOST_EDITS):
            if not self._dry_run:
                peer_ids = [edit.peer_id for edit in batch]
                self._store.save_policies(peer_ids, done=False)
                yield Ask(POLICIES, SetPolicies, {"edits": batch, "batch": True})
                self._store.save_policies(peer_ids, done=True)

    def _take_entries(self, ledger: LedgerPlan) -> Work[None]:
        self._taken.update(ledger.taken)
        self._known.update(ledger.already_known)
        for batch in _batches(ledger.entries, BATCH):
            if not self._dry_run:
                yield Ask(ACCOUNTANT, BookEntries, {"entries": batch})

    def _take_channels(self, names: Names) -> Work[None]:
        found = dict(self._found.closed)
        for scid, seen in self._found.seen.items():
            if names.of(scid) not in self._open:
                found.setdefault(scid, seen)
        there = {channel.scid for channel in self._store.channels()}
        new = tuple(
            channel._replace(channel_id=names.channel_id(scid))
            for scid, channel in sorted(found.items())
            if scid not in there
        )
        self._taken["channels"] = len(new)
        self._known["channels"] = len(found) - len(new)
        batch: tuple[ImportedChannel, ...]
        for batch in _batches(new, BATCH):
            if not self._dry_run:
                self._store.save_channels(batch)
                yield Ask(self._address, GoOn)

    def _take_fee_changes(self, columns: Sequence[str]) -> Work[None]:
        for pause in self._pages(FEE_CHANGES, columns):
            read = [fee_change(row, self._now_s) for row in self._page]
            fees = [fee for fee in read if fee is not None]
            self._found.misread[FEE_CHANGES] += len(read) - len(fees)
            known = self._store.known_fees(fees)
            if not self._dry_run:
                self._store.save_fees(fees)
            self._taken["fee_changes"] += len(fees) - known
            self._known["fee_changes"] += known
            yield pause

    # -- telling ------------------------------------------------------------------------------

    def _told(
        self,
        survey: EarlierSurvey,
        shape: schema.Shape,
        ledger: LedgerPlan,
        wanted: PolicyPlan,
    ) -> dict[str, object]:
        found, taken, known = self._found, self._taken, self._known
        left = dict(shape.left_out)
        if found.settings:
            left[schema.CONFIG] = f"{schema.counted(len(found.settings))}: shown, never applied"
        misread = tuple(
            f"{table}: {schema.counted(count)} that could not be understood, left out"
            for table, count in sorted(found.misread.items())
            if count
        )
        names = ("policies", "days", "fees_msat", "costs", "costs_msat", "fee_changes", "channels")
        return {
            "status": "success",
            "path": survey.path,
            "fingerprint": survey.fingerprint,
            "at": iso(self._now_s),
            "dry_run": self._dry_run,
            "taken": {name: taken[name] for name in names},
            "already_known": {name: known[name] for name in names if not name.endswith("msat")},
            "not_trusted": _cut((*ledger.not_trusted, *wanted.notes, *misread)),
            "unknown_columns": shape.unknown_columns,
            "missing_columns": shape.missing_columns,
            "left_out": left,
            "config_overrides": _cut(tuple(found.settings)),
            "message": self._message(),
        }

    def _message(self) -> str:
        counts = ("policies", "days", "costs", "fee_changes", "channels")
        if not any(self._taken[name] for name in counts):
            known = sum(self._known[name] for name in counts)
            return f"nothing new was found; {known} records were taken before"
        if self._dry_run:
            return "a dry run: nothing was written; this is what would be taken"
        return "taken; the file was not changed, and a second import takes nothing twice"


def _there(survey: EarlierSurvey, table: str) -> tuple[str, ...]:
    (columns,) = (found.columns for found in survey.tables if found.name == table)
    return tuple(column for column in schema.COLUMNS[table] if column in columns)


def _batches(items: Sequence[T], size: int) -> list[tuple[T, ...]]:
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def _cut(lines: Sequence[str]) -> list[str]:
    if len(lines) <= MOST_LINES:
        return list(lines)
    return [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more"]
