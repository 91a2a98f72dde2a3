"""CLBoss: what competitors ask, times size, times balance, times a price that plays cards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import floor, log, sqrt

import numpy as np

from cl_revenue_ops.bench.baselines.history import DAY_S
from cl_revenue_ops.bench.baselines.peers import by_peer, local_share, weighted_quantiles
from cl_revenue_ops.bench.policy import ChannelView, NodeView, QuoteView, Refused, Settled

_BIN_MSAT = 200_000_000
_FEWEST_BINS, _MOST_BINS = 4, 50
_CARD_TICKS = 288
_TICK_S = 600.0
_SOONEST_S, _LATEST_S = 1_800.0, 5_400.0


def size_multiplier(smaller: int, bigger: int, total: int) -> float:
    """Return 0.5 for the smallest of a peer's neighbours, 1 halfway, up to 16 for the biggest.

    `smaller` and `bigger` count the other neighbours by capacity against ours, `total` all.
    """
    if smaller + bigger == 0:
        return 1.0
    place = smaller / (smaller + bigger)
    if smaller < bigger:
        root = sqrt(0.5) + 2 * place * (1 - sqrt(0.5))
    else:
        limit = max(2.0, 16 - log(total))
        root = 1 + (2 * place - 1) * (sqrt(limit) - 1)
    return root * root


def bin_count(capacity_msat: int) -> int:
    """Return one bin for each 0.002 BTC, at least 4 and at most 50."""
    return min(max(round(capacity_msat / _BIN_MSAT), _FEWEST_BINS), _MOST_BINS)


def bin_multiplier(place: int, bins: int) -> float:
    """Return `50^(0.5 - (2 place + 1) / (2 bins))`, the curve at the middle of a bin."""
    return float(50.0 ** (0.5 - (2 * place + 1) / (2 * bins)))


def next_bin(place: int | None, share: float, bins: int, draw: float) -> int:
    """Return the bin for our share after the random hysteresis; `draw` is uniform in [0, 1).

    A move down is taken whole with probability 1 minus the fraction within the target bin, a
    move up with that fraction; else it stops one bin short.
    """
    target = min(floor(share * bins), bins - 1)
    part = share * bins - target
    if place is None or target == place:
        return target
    if target < place:
        return target if draw < 1 - part else target + 1
    return target if draw < part else target - 1


def price_multiplier(price: int) -> float:
    """Return `1.2^price` from 0 up and `0.8^|price|` below."""
    return float(1.2**price if price >= 0 else 0.8**-price)


class PriceGame:
    """A peer's price theory: five prices around a centre, each played for 48 h; the best wins.

    A card scores the fees of what left by the peer while it was in play. When all five have
    been played the best becomes the centre, unless none earned anything.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._centre = 0
        self._deal()

    def _deal(self) -> None:
        self._deck = [self._centre + int(step) for step in self._rng.permutation(5) - 2]
        self._best = (0, self._centre)
        self._turn()

    def _turn(self) -> None:
        self.price = self._deck.pop()
        self._ticks_left = _CARD_TICKS
        self._score_msat = 0

    def earn(self, fee_msat: int) -> None:
        """Credit the card in play."""
        self._score_msat += fee_msat

    def tick(self) -> None:
        """Let ten minutes pass."""
        self._ticks_left -= 1
        if self._ticks_left > 0:
            return
        if self._score_msat > self._best[0]:
            self._best = (self._score_msat, self.price)
        if self._deck:
            self._turn()
        else:
            self._centre = self._best[1]
            self._deal()


def rivals_by_size(quotes: Sequence[QuoteView], ours_msat: int) -> tuple[int, int, int]:
    """Return how many rivals are smaller and bigger than us at a peer, and how many there are."""
    sizes: dict[str, int] = defaultdict(int)
    for quote in quotes:
        sizes[quote.source_id] += quote.capacity_msat
    smaller = sum(size < ours_msat for size in sizes.values())
    bigger = sum(size > ours_msat for size in sizes.values())
    return smaller, bigger, len(sizes)


class Clboss:
    """CLBoss's fees with its defaults: an update of every peer each U(30, 90) minutes.

    The tool compares whole nodes; the view shows of a rival only its channels into our peer, so
    size is capacity into the peer, ours against theirs. Price ticks are the policy's ticks of ten
    minutes while the peer has a channel (the view does not show connections), and an update that
    falls due waits for the next one. A peer into which nobody else has a channel keeps its fee:
    there is no competitor to follow. Where the competitors' median base is above 0 it is
    multiplied as well. `by_size` False is a variant of ours: size counts as halfway (1), since
    a channel of usual size is among the bigger ones into most peers, while a node that runs the
    tool is usually not among the bigger nodes.
    """

    interval_s = _TICK_S

    def __init__(self, name: str, rng: np.random.Generator, by_size: bool = True) -> None:
        self.name = name
        self._rng = rng
        self._by_size = by_size
        self._games: dict[str, PriceGame] = {}
        self._bins: dict[str, tuple[int, int]] = {}
        self._sizes: dict[str, float] = {}
        self._sized_s = 0.0
        self._sized_for: tuple[int, ...] = ()
        self._peer_of: dict[int, str] = {}
        self._due_s = 0.0

    def begin(self, node: NodeView) -> None:
        """Set every peer's first fee."""
        self._update(node)

    def tick(self, node: NodeView) -> None:
        """Let the price games go on, and update the fees where the time has come."""
        for peer_id in {channel.peer_id: None for channel in node.channels()}:
            self._game(peer_id).tick()
        if node.now_s >= self._due_s:
            self._update(node)

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Credit the price in play at the peer that it left by."""
        peer_id = self._peer_of.get(forward.out_index)
        if peer_id is not None:
            self._game(peer_id).earn(forward.fee_msat)

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Ignore it."""

    def price(self, peer_id: str) -> int:
        """Return the price card in play at a peer."""
        return self._game(peer_id).price

    def _game(self, peer_id: str) -> PriceGame:
        game = self._games.get(peer_id)
        if game is None:
            game = self._games[peer_id] = PriceGame(self._rng)
        return game

    def _update(self, node: NodeView) -> None:
        channels = node.channels()
        indices = tuple(channel.index for channel in channels)
        if indices != self._sized_for or node.now_s - self._sized_s >= DAY_S:
            self._sizes.clear()
            self._sized_s, self._sized_for = node.now_s, indices
        self._peer_of = {channel.index: channel.peer_id for channel in channels}
        for peer_id, theirs in by_peer(channels).items():
            self._price(peer_id, theirs, node)
        self._due_s = node.now_s + self._rng.uniform(_SOONEST_S, _LATEST_S)

    def _price(self, peer_id: str, channels: Sequence[ChannelView], node: NodeView) -> None:
        quotes = node.quotes(peer_id)
        rates = weighted_quantiles(((q.ppm, q.capacity_msat) for q in quotes), 0.5)
        bases = weighted_quantiles(((q.base_msat, q.capacity_msat) for q in quotes), 0.5)
        if not rates:
            return
        ours_msat = sum(channel.capacity_msat for channel in channels)
        factor = (
            self._size(peer_id, quotes, ours_msat)
            * self._balance(peer_id, channels, ours_msat)
            * price_multiplier(self.price(peer_id))
        )
        for channel in channels:
            ppm, base_msat = max(1, round(rates[0] * factor)), round(bases[0] * factor)
            node.set_fee(channel.index, ppm, base_msat)

    def _size(self, peer_id: str, quotes: Sequence[QuoteView], ours_msat: int) -> float:
        if not self._by_size:
            return 1.0
        if peer_id not in self._sizes:
            self._sizes[peer_id] = size_multiplier(*rivals_by_size(quotes, ours_msat))
        return self._sizes[peer_id]

    def _balance(self, peer_id: str, channels: Sequence[ChannelView], ours_msat: int) -> float:
        bins = bin_count(ours_msat)
        last_bins, last_place = self._bins.get(peer_id, (0, 0))
        place = last_place if last_bins == bins else None
        place = next_bin(place, local_share(channels), bins, self._rng.random())
        self._bins[peer_id] = (bins, place)
        return bin_multiplier(place, bins)
