"""What the Accountant settles once: forwards from before the list begins, HTLCs of the chain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from actors.dialogue import Ask, Steps
from actors.ledger_reading import LedgerReading, ask
from cl_revenue_ops.domain.ledger import accounts, chain, opening
from cl_revenue_ops.ports import ForwardStore, LedgerStore, Sought
from cl_revenue_ops.runtime.actor import Context
from messages.books import Entry, GoOnBooking
from messages.channels import ScidsFound
from messages.forwards import CatchUp, LoggedForward
from messages.node_books import ChainMove, NodeBalances, ReadNodeBalances

REGISTRY = "channel-registry"
CATCH_UP_S = 1_200.0
ENTRIES = 1_000
# An HTLC on the chain that no forward has by then was a payment of our own.
NO_FORWARD_S = 86_400.0

ChannelOf = Callable[[], Mapping[str, str]]


class LedgerOpening:
    """The two places where the log of forwards and the node's movements have to meet."""

    def __init__(
        self,
        context: Context,
        forwards: ForwardStore,
        ledger: LedgerStore,
        reading: LedgerReading,
        channel_of: ChannelOf,
        ended: Callable[[], frozenset[str]],
    ) -> None:
        self._context = context
        self._forwards = forwards
        self._ledger = ledger
        self._reading = reading
        self._channel_of = channel_of
        self._ended = ended
        self._looked_for: set[str] = set()
        self._found: dict[str, str] = {}

    def _channels(self) -> Mapping[str, str]:
        """The channel of each scid; the registry soon knows those as well that were found here."""
        return {**self._found, **self._channel_of()}

    def split(self) -> Steps:
        """Choose, once, the moment that parts what came before first contact from the rest.

        All that had settled by then is in the log already, so it lies behind the first catch-up.
        """
        if self._reading.state.split_s is None:
            if not self._forwards.load().caught_up_once:
                yield Ask(self._context.address, CatchUp, {}, CATCH_UP_S)
            self._reading.keep(split_s=self._forwards.lull(self._context.clock.now()))

    def settle(self) -> Steps:
        """After a pass: tie HTLCs of the chain to their forwards, and make the opening entry."""
        yield from self._find_scids()
        yield from self._tie()
        if not self._reading.state.opened:
            yield from self._open()

    # -- HTLCs that ended on the chain -------------------------------------------------------------

    def _tie(self) -> Steps:
        waiting: dict[str, tuple[Entry, ...]] = {}
        for txid in self._ledger.open_transactions():
            booked = self._ledger.of_transaction(txid)
            if chain.htlcs_in(booked):
                waiting[txid] = booked
        if not waiting:
            return
        candidates: list[LoggedForward] = []
        sought = [one for booked in waiting.values() for one in self._sought(booked)]
        seq, last = 0, False
        while not last:
            page = self._forwards.seek(seq, sought)
            candidates += page.rows
            seq, last = page.next_seq, page.last
            if not last:
                yield Ask(self._context.address, GoOnBooking)
        for txid, booked in waiting.items():
            for row in chain.htlcs_in(booked):
                self._tie_one(row, candidates, self._ledger.of_transaction(txid))

    def _sought(self, booked: tuple[Entry, ...]) -> list[Sought]:
        found: list[Sought] = []
        for row in chain.htlcs_in(booked):
            end = chain.htlc_end(row)
            assert end is not None
            scids = [s for s, channel in self._channels().items() if channel == end.channel_id]
            found += (Sought(s, end.side == "out", end.amount_msat // 1000) for s in scids)
        return found

    def _tie_one(
        self, row: ChainMove, candidates: list[LoggedForward], booked: tuple[Entry, ...]
    ) -> None:
        entry = chain.forward_htlc(row, candidates, self._channels(), booked)
        if entry is None and row.at_s + NO_FORWARD_S < self._context.clock.now():
            entry = chain.payment_htlc(row)
        if entry is not None:
            self._ledger.book([entry])

    # -- before the list begins --------------------------------------------------------------------

    def _open(self) -> Steps:
        split_s = self._reading.state.split_s
        assert split_s is not None
        channel_of = self._channels()
        listed: dict[str, int] = defaultdict(int)
        seq, last = 0, False
        while not last:
            part = self._forwards.sums_until(seq, split_s)
            for scid, came_msat, went_msat in part.sums:
                listed[channel_of.get(scid, scid)] += came_msat - went_msat
            seq, last = part.next_seq, part.last
            if not last:
                yield Ask(self._context.address, GoOnBooking)
        routed = {
            row.channel_id: row.early_credit_msat - row.early_debit_msat
            for row in self._reading.routed
        }
        # Without any movement there is nothing to hold the forwards against.
        tied = yield from self._tied(split_s)
        node: NodeBalances = yield ask(ReadNodeBalances)
        yield Ask(self._context.address, CatchUp, {}, CATCH_UP_S)
        deleted_msat = max(0, node.fees_collected_msat - self._forwards.load().fees_msat)
        entry = None
        if routed:
            entry = opening.by_moves(split_s, listed, routed, tied, self._ended(), deleted_msat)
        state = self._reading.state._replace(opened=True)
        self._ledger.book([] if entry is None else [entry], state=state)
        self._reading.state = state

    def _find_scids(self) -> Steps:
        """Scids of forwards whose channel is not known: had before splices, or forgotten."""
        known = self._channel_of()
        scids = [row.scid for row in self._forwards.totals(0, None).scids if row.scid]
        unknown = [s for s in scids if s not in known and s not in self._looked_for]
        funding: dict[tuple[int, int], str] = {}
        number, last = 0, not unknown
        while not last:
            page = self._ledger.page(number, ENTRIES, 0.0, None)
            funding.update(chain.funding_of(entry for _, entry in page.rows))
            number, last = page.next_after, page.last
            yield Ask(self._context.address, GoOnBooking)
        pairs = [(chain.channel_of_scid(scid, funding), scid) for scid in unknown]
        found = tuple((channel_id, scid) for channel_id, scid in pairs if channel_id is not None)
        if found:
            self._context.tell(REGISTRY, ScidsFound(found))
        self._looked_for.update(unknown)
        self._found.update((scid, channel_id) for channel_id, scid in found)

    def _tied(self, split_s: float) -> Steps:
        """What was booked for forwards that ended on the chain up to then, by channel."""
        found: dict[str, int] = defaultdict(int)
        number, last = 0, False
        while not last:
            page = self._ledger.page(number, ENTRIES, 0.0, split_s + 1)
            for _, entry in page.rows:
                for account, msat in entry.postings if chain.ties_forward(entry) else ():
                    kind, channel_id = accounts.parted(account)
                    if kind == accounts.CHANNEL and channel_id is not None:
                        found[channel_id] += msat
            number, last = page.next_after, page.last
            yield Ask(self._context.address, GoOnBooking)
        return dict(found)
