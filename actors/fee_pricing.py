"""How the FeeController learns from traffic and prices all destinations at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cl_revenue_ops.domain.channels import by_scid
from cl_revenue_ops.domain.fees import quote_book
from cl_revenue_ops.domain.fees.book import FeeBook, Situation
from cl_revenue_ops.domain.fees.desk import Uniform
from cl_revenue_ops.domain.reputation import Trust
from cl_revenue_ops.ports import FeeStore
from cl_revenue_ops.runtime.rng import uniform
from messages.channels import ChannelFact, ChannelSnapshot
from messages.flow import FlowReport
from messages.forwards import LoggedForward
from messages.rebalance import StockCurves


class News(NamedTuple):
    """Log rows since the last time, and where the log has been read to."""

    rows: Sequence[LoggedForward]
    cursor: int


class FeePricing:
    """Keeps who is who for the log's rows, and stores what was learned together with its cursor.

    Killed before that is stored, the next cycle learns from the same rows again. `curves` is what
    stock is worth by the last pricing of a cycle, at the stocks that it saw.
    """

    def __init__(self, store: FeeStore) -> None:
        self._store = store
        self._channels: Mapping[str, str] = {}
        self._peers: Mapping[str, str] = {}
        self._open: frozenset[str] = frozenset()
        self._trust = Trust(None)
        self.curves: StockCurves | None = None

    def know(self, snapshot: ChannelSnapshot) -> None:
        """These are the channels, closed ones included."""
        self._channels = by_scid(snapshot.channels)
        self._peers = {entry.channel_id: entry.peer_id for entry in snapshot.channels}
        self._open = frozenset(e.channel_id for e in snapshot.channels if not e.closed)

    def trust(self, report: FlowReport) -> None:
        """This is what each peer's traffic counts."""
        self._trust = Trust.from_told(report.reputations)

    def price(
        self,
        book: FeeBook,
        facts: Sequence[ChannelFact],
        news: News | None,
        target_flow_sat: int,
        root_seed: int,
        situation: Situation,
    ) -> None:
        """Learn (unless there are no `news`), value, price and store; blocks on the store."""
        desk, now_s = book.desk, situation.read_at_s
        priors = {fact.peer_id: quote_book.price_into(book.quotes, fact.peer_id) for fact in facts}
        known = {peer_id: prior for peer_id, prior in priors.items() if prior is not None}
        desk.meet(facts, known, target_flow_sat * 1_000)
        desk.ask(facts, now_s)
        desk.look(facts, now_s)
        if news is not None:
            desk.learn(news.rows, self._channels, self._peers, self._trust, now_s)
            desk.cursor = news.cursor
        else:
            # What surprised the last time does not surprise again.
            desk.demand.surprises.clear()
        limits = book.limits(facts, situation.parameters, now_s)
        desk.price(facts, self._uniform(root_seed), now_s, limits)
        self.curves = desk.stock_curves(facts, now_s, limits)
        self._store.save_demand(book.header(), desk.pack())

    def price_as_known(
        self,
        book: FeeBook,
        facts: Sequence[ChannelFact],
        root_seed: int,
        situation: Situation,
    ) -> None:
        """Value and price by what was learned before, and meet nobody new; blocks on the store."""
        now_s = situation.read_at_s
        limits = book.limits(facts, situation.parameters, now_s)
        book.desk.price(facts, self._uniform(root_seed), now_s, limits)
        self._store.save_demand(book.header(), book.desk.pack())

    @staticmethod
    def _uniform(root_seed: int) -> Uniform:
        return lambda purpose, number: uniform(root_seed, purpose, number)
