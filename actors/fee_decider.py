"""How the FeeController decides some channels now: read, decide, record, write."""

from __future__ import annotations

from collections.abc import Iterable

from actors.base import HouseActor
from actors.fee_look import FeeLook, Look
from actors.fee_mempool import FeeMempool
from actors.fee_writer import FeeWriter
from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.ports import FEE_SET, PortError


class FeeDecider:
    """Works on `book`, with the settings and the suspension of its `house`; `scids` name channels
    in the log. Every method blocks on the node and on the store.
    """

    def __init__(
        self, house: HouseActor, reader: FeeLook, writer: FeeWriter, mempool: FeeMempool
    ) -> None:
        self._house = house
        self._reader = reader
        self._writer = writer
        self._mempool = mempool
        self.book = FeeBook()
        self.scids: dict[str, str] = {}

    def look(self) -> Look:
        """Read the node once for all channels; raises PortError."""
        config = self._house.config
        look = self._reader.all(config, suspended=self._house.suspended is not None)
        self.book.spike = self._mempool.spike(config.vegas_decay_rate)
        return look

    def newest(self, look: Look) -> Look:
        """The same where little time has passed, else read anew; raises PortError."""
        return self.look() if self._reader.is_old(look) else look

    def decide(self, look: Look, channel_ids: Iterable[str]) -> bool:
        """Decide some channels, store all decisions at once, then write what is to be written.

        A channel whose fee would move is read again and decided anew: nothing is written on facts
        from before. True where a fee was set; raises PortError with nothing recorded.
        """
        book, known = self.book, [c for c in channel_ids if c in look.facts]
        before = {channel_id: book.state(channel_id) for channel_id in known}
        decisions = {c: book.decide(look.facts[c], look.situation) for c in known}
        moving = [c for c, decision in decisions.items() if decision.action == "set"]
        suspended = self._house.suspended is not None
        try:
            now = self._reader.again(look, moving, self._house.config, suspended=suspended)
        except PortError:
            book.states.update(before)
            raise
        for channel_id in moving:
            del decisions[channel_id]
            book.states[channel_id] = before[channel_id]
            if channel_id in now.facts:
                decisions[channel_id] = book.decide(now.facts[channel_id], now.situation)
        if not decisions:
            return False
        made = list(decisions.values())
        for decision in made:
            if decision.newly_foreign or decision.code == "rewritten":
                scid = self.scids.get(decision.facts.channel_id, decision.facts.channel_id)
                self._house.context.log.warn(f"fees: {scid}: {decision.sentence}")
        outcomes = [
            self._writer.carry_out(book, decision, number)
            for decision, number in zip(made, self._writer.record(book, made), strict=True)
        ]
        return FEE_SET in outcomes
