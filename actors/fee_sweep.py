"""One cycle of the FeeController under way: ask gossip, learn and price, then decide in steps."""

from __future__ import annotations

from typing import NamedTuple

from actors.base import HouseActor
from actors.fee_decider import FeeDecider
from actors.fee_look import Look
from actors.fee_mempool import FeeMempool
from actors.fee_pricing import FeePricing, News
from actors.fee_quotes import QUOTES_A_STEP, FeeQuotes
from actors.fee_rhythm import FeeRhythm

CHANNELS_A_STEP = 20
ASK_PAUSE_S = 1.0


class Step(NamedTuple):
    """After how many seconds the next step is due (None: it was the last), and whether a fee was
    set.
    """

    rest_s: float | None
    was_set: bool = False


class _Open(NamedTuple):
    """Gossip is asked about the `unasked` peers while `left` is None; then the `news` (None where
    the log did not answer) are learned from, and the channels in `left` decided, apart from those
    `done` meanwhile.
    """

    look: Look
    unasked: tuple[str, ...]
    left: tuple[str, ...] | None
    news: News | None
    done: tuple[str, ...] = ()


class FeeSweep:
    """At most one at a time; every step blocks on the node and the store. `trouble` is what the
    newest one could not read.
    """

    def __init__(
        self,
        house: HouseActor,
        decider: FeeDecider,
        quotes: FeeQuotes,
        pricing: FeePricing,
        mempool: FeeMempool,
        rhythm: FeeRhythm,
    ) -> None:
        self._house = house
        self._decider = decider
        self._quotes = quotes
        self._pricing = pricing
        self._mempool = mempool
        self._rhythm = rhythm
        self._open: _Open | None = None
        self.trouble: str | None = None

    @property
    def under_way(self) -> bool:
        """Whether a further step is due."""
        return self._open is not None

    @property
    def left(self) -> tuple[str, ...] | None:
        """The channels that are still to be decided; None until all is priced, or where none is."""
        return None if self._open is None else self._open.left

    def begin(self, look: Look, news: News | None) -> None:
        """Start with what was just read."""
        peers = dict.fromkeys(fact.peer_id for _, fact in sorted(look.facts.items()))
        self._open, self.trouble = _Open(look, tuple(peers), None, news), None
        self._quotes.trouble = None

    def stop(self) -> None:
        """The next cycle does the rest."""
        self._open = None

    def done(self, channel_ids: tuple[str, ...]) -> None:
        """These were decided outside of it; once a cycle is enough."""
        if self._open is not None:
            self._open = self._open._replace(done=(*self._open.done, *channel_ids))

    def step(self) -> Step:
        """Ask gossip about the next peers; then price; then decide the next channels.

        Raises PortError with nothing recorded, and is over then.
        """
        work, self._open = self._open, None
        assert work is not None
        if work.left is None:
            return self._ask(work)
        look = self._decider.newest(work.look)
        batch = [other for other in work.left[:CHANNELS_A_STEP] if other not in work.done]
        self._rhythm.decided(self._decider.book)
        was_set = self._decider.decide(look, batch)
        rest = work.left[CHANNELS_A_STEP:]
        if not rest:
            return Step(None, was_set)
        self._open = work._replace(look=look, left=rest)
        return Step(0.0, was_set)

    def _ask(self, work: _Open) -> Step:
        """Ask gossip about a few peers; where no more are due, price and go on to decide."""
        asked = self._quotes.refresh(self._decider.book, work.unasked)
        self.trouble = self._quotes.trouble or self.trouble
        if asked == QUOTES_A_STEP:
            self._open = work
            return Step(ASK_PAUSE_S)
        look = self._decider.look() if asked else self._decider.newest(work.look)
        self._price(look, work.news)
        left = tuple(sorted(look.facts))
        self._open = work._replace(look=look, unasked=(), left=left, news=None)
        return Step(0.0)

    def _price(self, look: Look, news: News | None) -> None:
        """Learn from what was read, price all destinations, and take a sample of the mempool."""
        house, book = self._house, self._decider.book
        config, facts = house.config, list(look.facts.values())
        self._pricing.price(book, facts, news, config.target_flow, house.root_seed, look.situation)
        if config.enable_vegas_reflex:
            self._mempool.sample(house.root_seed, config.vegas_decay_rate)
            self.trouble = self._mempool.trouble or self.trouble
            book.spike = self._mempool.spike(config.vegas_decay_rate)
