"""Owns the meeting of a drawn market with a simulated node: it populates it and brings payments."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from cl_revenue_ops.simnode.gossip import Edge
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.model import ForwardRow, Policy
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S
from cl_revenue_ops.simnode.senders import Offer, Outcome, OwnChannel, Senders
from cl_revenue_ops.simnode.world import World

# A payment held longer than this occupies its slots and balances meanwhile; a shorter one is
# settled in the step that brings it, which no policy could tell apart.
HELD_S = 30.0
WALLET_SAT = 20_000_000
OPENING_RESERVE_SAT = 200_000  # what the wallet holds for the chain fee of an opening to come
PERKW_PER_SAT_VB = 250.0
CLTV_DELTA = 34
# Channels are older than the world, so that their opening lies outside every report's window.
OLDEST_DAYS, YOUNGEST_DAYS = 500.0, 60.0


class MarketDriver:
    """Plays `market` against `world`; `step` moves it on, whatever moves the node's clock.

    `channel_ids[k]` is the node's name of the market's channel k, empty before it is opened. The
    caller steps the market to a moment and then lets the node and its plugins reach that moment.
    `settled` counts the forwards that went through; `heard` is told each row that the node filed
    and again what became of one that was held.
    """

    def __init__(self, market: Market, world: World) -> None:
        self.market = market
        self.world = world
        self.now_s = market.start_s
        self.settled = 0
        self.heard: Callable[[ForwardRow], object] = lambda row: None
        self.peer_ids = [world.add_peer(p.alias, at_s=market.start_s) for p in market.peers]
        self.channel_ids = [
            "" if channel.opens_day else self._establish(channel.index)
            for channel in market.channels
        ]
        self._to_open = [channel.index for channel in market.channels if channel.opens_day]
        self._opening: list[int] = []
        world.fund(WALLET_SAT, at_s=market.start_s - DAY_S)
        for index in self._to_open:
            needed_sat = market.channels[index].capacity_sat + OPENING_RESERVE_SAT
            world.fund(needed_sat, at_s=market.start_s - DAY_S)
        self.senders = Senders(market, {}, world)
        self._entries: dict[int, list[str]] = {}
        for index, channel_id in enumerate(self.channel_ids):
            if channel_id:
                self._announce(index)
        self._in_flight: list[tuple[float, int, str]] = []
        self._quotes_until_s = [market.start_s] * len(market.peers)
        self._quoted_s = [0.0] * len(market.peers)
        self._blocks = 0
        self._announce_rivals()
        self._spread_quotes(market.start_s)
        world.set_feerate(int(market.chain.feerate_at(market.start_s) * PERKW_PER_SAT_VB))

    def _establish(self, index: int) -> str:
        channel = self.market.channels[index]
        age = index / max(1, len(self.market.channels) - 1)
        opened_s = self.market.start_s - DAY_S * (OLDEST_DAYS - age * (OLDEST_DAYS - YOUNGEST_DAYS))
        return self.world.open_channel(
            self.peer_ids[channel.peer],
            channel.capacity_sat,
            channel.local_sat * 1_000,
            opener=channel.opener,
            policy=Policy(channel.own_base_msat, channel.own_ppm),
            remote_policy=Policy(channel.remote_base_msat, channel.remote_ppm),
            established=True,
            at_s=opened_s,
        )

    def _announce(self, index: int) -> None:
        """Let senders know of a channel that can carry payments now."""
        channel, channel_id = self.market.channels[index], self.channel_ids[index]
        self.senders.add(channel.peer, OwnChannel(channel_id, channel.capacity_sat * 1_000))
        self._entries.setdefault(channel.peer, []).append(channel_id)

    def _open_due(self, until_s: float) -> None:
        """Open what is due from the wallet; it is announced when its lock-in has come."""
        for index in list(self._to_open):
            channel = self.market.channels[index]
            opens_s = self.market.start_s + channel.opens_day * DAY_S
            if opens_s <= until_s:
                self.channel_ids[index] = self.world.open_channel(
                    self.peer_ids[channel.peer],
                    channel.capacity_sat,
                    channel.local_sat * 1_000,
                    opener="local",
                    policy=Policy(channel.own_base_msat, channel.own_ppm),
                    remote_policy=Policy(channel.remote_base_msat, channel.remote_ppm),
                    at_s=opens_s,
                )
                self._to_open.remove(index)
                self._opening.append(index)
        for index in list(self._opening):
            if self.world.channel(self.channel_ids[index]).usable:
                self._opening.remove(index)
                self._announce(index)

    def step(self, until_s: float) -> None:
        """Bring blocks, fee rates, gossip and payments up to `until_s` (unix seconds)."""
        with self.world.lock:
            self._open_due(until_s)
            self._mine(until_s)
            self._spread_quotes(until_s)
            self._drop_closed()
            self.senders.step(until_s, self._forward)
            self._resolve(until_s)
            self.now_s = until_s

    def settle(self) -> None:
        """Resolve everything still in flight, each at its own time, and bring no more."""
        with self.world.lock:
            self._resolve(float("inf"))

    # -- chain and gossip ------------------------------------------------------------------------

    def _mine(self, until_s: float) -> None:
        chain = self.market.chain
        found = chain.blocks_until(until_s)
        for number in range(self._blocks, found):
            self.world.mine(at_s=float(chain.block_times_s[number]))
        self._blocks = found
        if int(until_s // HOUR_S) != int(self.now_s // HOUR_S):
            self.world.set_feerate(int(chain.feerate_at(until_s) * PERKW_PER_SAT_VB))

    def _announce_rivals(self) -> None:
        sources = sorted({name for book in self.market.rivals.books for name in book.source_ids})
        for number, source in enumerate(sources):
            self.world.gossip.announce(source, f"rival-{number}", int(self.market.start_s))

    def _spread_quotes(self, at_s: float) -> None:
        """Put the rivals' asks that changed since the last look into the node's gossip."""
        rivals = self.market.rivals
        for peer, until_s in enumerate(self._quotes_until_s):
            if at_s < until_s:
                continue
            quotes, self._quotes_until_s[peer] = rivals.moved(peer, self._quoted_s[peer], at_s)
            for quote in quotes:
                edge = Edge(
                    quote.short_channel_id,
                    quote.source_id,
                    self.peer_ids[peer],
                    quote.capacity_sat * 1_000,
                    Policy(quote.base_msat, quote.ppm, 1, quote.capacity_sat * 990),
                    quote.last_update_s,
                )
                self.world.gossip.update(edge)
            self._quoted_s[peer] = at_s

    def _drop_closed(self) -> None:
        for entries in self._entries.values():
            for channel_id in list(entries):
                found = self.world.channels.get(channel_id)
                if found is None or not found.usable:
                    self.senders.remove(channel_id)
                    entries.remove(channel_id)

    # -- payments --------------------------------------------------------------------------------

    def _entry(self, peer: int) -> str | None:
        """Return the channel over which the peer sends: the one with most room, as it would."""
        entries = self._entries.get(peer, [])
        if len(entries) < 2:
            return entries[0] if entries else None
        return max(entries, key=lambda name: self.world.channels[name].receivable_msat)

    def _forward(self, offer: Offer) -> Outcome:
        self._resolve(offer.at_s)
        entry = self._entry(offer.in_peer)
        if entry is None:
            return Outcome.NOT_REACHED
        row = self.bring(entry, offer)
        if row.status == "not_offered":
            return Outcome.NOT_REACHED
        if row.status != "local_failed":
            return Outcome.TAKEN
        stale = row.failreason == "WIRE_FEE_INSUFFICIENT"
        return Outcome.STALE_FEE if stale else Outcome.NO_LIQUIDITY

    def bring(self, in_channel_id: str, offer: Offer) -> ForwardRow:
        """Let a payment arrive over one of our channels and return the row as it was filed.

        Call it with `offer.at_s` not before the last step's end or the last payment.
        """
        outcome = "settled" if offer.downstream_ok else "failed"
        row = self.world.forward(
            in_channel_id,
            offer.out_channel_id,
            offer.out_msat,
            offer.out_msat + offer.fee_msat,
            offer.at_s,
            "pending" if offer.hold_s > HELD_S else outcome,
            hold_s=offer.hold_s,
        )
        self._tell(row)
        if row.status == "offered":
            due = (offer.at_s + offer.hold_s, row.created_index, outcome)
            heapq.heappush(self._in_flight, due)
        return row

    def _tell(self, row: ForwardRow) -> None:
        self.settled += row.status == "settled"
        if row.created_index:
            self.heard(row)

    def _resolve(self, until_s: float) -> None:
        """Settle or fail what was held, in order of time; a force-close may have come first."""
        while self._in_flight and self._in_flight[0][0] <= until_s:
            due_s, created_index, outcome = heapq.heappop(self._in_flight)
            if created_index in self.world.pending:
                self._tell(self.world.resolve(created_index, outcome, at_s=due_s))
