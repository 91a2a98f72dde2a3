"""Plays one policy in one world, without the plugin: it sets fees and moves sats itself."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from cl_revenue_ops.bench.moving import Moving
from cl_revenue_ops.bench.outcome import Outcome, measure
from cl_revenue_ops.bench.policy import ChannelView, FeePolicy, Moved, QuoteView, Refused, Settled
from cl_revenue_ops.bench.scenarios import Scenario
from cl_revenue_ops.bench.stage import STEP_S, Stage
from cl_revenue_ops.simnode.clock import VirtualClock
from cl_revenue_ops.simnode.forward_log import FAILCODES
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.model import Channel, ForwardRow
from cl_revenue_ops.simnode.prices import RivalQuote
from cl_revenue_ops.simnode.world import World

MOST_PPM = 2**32 - 1
NO_LIQUIDITY = (FAILCODES["WIRE_TEMPORARY_CHANNEL_FAILURE"], FAILCODES["WIRE_UNKNOWN_NEXT_PEER"])


class ArenaNode:
    """The node as the policy sees it; implements `NodeView` over the world of a stage."""

    def __init__(self, stage: Stage, step_s: float = STEP_S) -> None:
        self._stage = stage
        self._step_s = step_s
        self._moving: Moving | None = None
        self._market = stage.market
        self._channel_ids = stage.driver.channel_ids
        self._peers = {name: index for index, name in enumerate(stage.driver.peer_ids)}
        self._quoted: dict[int, dict[str, QuoteView]] = {}
        self._quoted_s: dict[int, float] = {}
        self._quotes_until_s: dict[int, float] = {}
        self._quote_lists: dict[int, tuple[QuoteView, ...]] = {}
        self.at_s = stage.market.start_s

    @property
    def now_s(self) -> float:
        """Unix seconds of virtual time."""
        return self.at_s

    def channels(self) -> Sequence[ChannelView]:
        """Return the open channels in order of index."""
        found = ((index, self._open(index)) for index in range(len(self._channel_ids)))
        return [self._view(index, channel) for index, channel in found if channel is not None]

    def channel(self, index: int) -> ChannelView:
        """Return one open channel; KeyError where it is closed or not yet open."""
        channel = self._open(index)
        if channel is None:
            raise KeyError(index)
        return self._view(index, channel)

    def quotes(self, peer_id: str) -> Sequence[QuoteView]:
        """Return what rivals ask into a peer now; KeyError for a node that is no peer."""
        peer = self._peers[peer_id]
        if self.at_s >= self._quotes_until_s.get(peer, 0.0):
            self._ask_rivals(peer)
        return self._quote_lists[peer]

    def sat_per_vb(self) -> float:
        """Return the on-chain fee rate for the next blocks."""
        return self._market.chain.feerate_at(self.at_s)

    def set_fee(self, index: int, ppm: int, base_msat: int = 0) -> None:
        """Change our fee on a channel; KeyError if it is not open, ValueError for no such fee."""
        channel = self._open(index)
        if channel is None:
            raise KeyError(index)
        if not 0 <= ppm <= MOST_PPM or not 0 <= base_msat <= MOST_PPM:
            raise ValueError(f"no fee that a channel_update can hold: {ppm} ppm, {base_msat} msat")
        if (channel.policy.ppm, channel.policy.base_msat) != (ppm, base_msat):
            self._stage.world.set_channel(
                channel.channel_id, base_msat=int(base_msat), ppm=int(ppm), at_s=self.at_s
            )

    def rebalance(
        self, source_index: int, dest_index: int, amount_msat: int, max_fee_ppm: int
    ) -> Moved:
        """Pay ourselves once, from one channel to another; see `NodeView`."""
        for index in (source_index, dest_index):
            if self._open(index) is None:
                raise KeyError(index)
        if amount_msat <= 0 or max_fee_ppm < 0:
            raise ValueError(f"no such payment: {amount_msat} msat at {max_fee_ppm} ppm")
        if self._moving is None:
            self._moving = Moving(self._stage, self._step_s)
        return self._moving.move(source_index, dest_index, amount_msat, max_fee_ppm, self.at_s)

    def _open(self, index: int) -> Channel | None:
        if not 0 <= index < len(self._channel_ids):
            return None
        channel = self._stage.world.channels.get(self._channel_ids[index])
        return channel if channel is not None and channel.usable else None

    def _view(self, index: int, channel: Channel) -> ChannelView:
        remote = self._market.channels[index]
        return ChannelView(
            index,
            channel.channel_id,
            channel.peer_id,
            channel.total_msat,
            channel.to_us_msat,
            channel.our_reserve_msat,
            channel.policy.base_msat,
            channel.policy.ppm,
            remote.remote_base_msat,
            remote.remote_ppm,
            channel.opened_s,
        )

    def _ask_rivals(self, peer: int) -> None:
        rivals, since_s = self._market.rivals, self._quoted_s.get(peer, 0.0)
        known = self._quoted.setdefault(peer, {})
        quotes, self._quotes_until_s[peer] = rivals.moved(peer, since_s, self.at_s)
        known.update((quote.short_channel_id, _quote(quote)) for quote in quotes)
        self._quoted_s[peer] = self.at_s
        self._quote_lists[peer] = tuple(known.values())


def _quote(quote: RivalQuote) -> QuoteView:
    return QuoteView(quote.source_id, quote.capacity_sat * 1_000, quote.base_msat, quote.ppm)


class _News:
    """Forwards that ended, held back until the policy may know of them, in order of time."""

    def __init__(self, stage: Stage) -> None:
        self._index = {name: k for k, name in enumerate(stage.driver.channel_ids) if name}
        self._names = stage.driver.channel_ids
        self._waiting: list[tuple[float, int, Settled | Refused]] = []
        stage.driver.heard = self._hear

    def _hear(self, row: ForwardRow) -> None:
        if row.status == "settled":
            at_s = row.received_s if row.resolved_s is None else row.resolved_s
            came, went = self._find(row.in_channel_id), self._find(row.out_channel_id or "")
            fact: Settled | Refused = Settled(at_s, came, went, row.out_msat, row.fee_msat)
        elif row.status == "local_failed" and row.failcode in NO_LIQUIDITY and row.out_channel_id:
            at_s = row.received_s
            came, went = self._find(row.in_channel_id), self._find(row.out_channel_id)
            fact = Refused(at_s, came, went, row.out_msat)
        else:
            return
        heapq.heappush(self._waiting, (at_s, row.created_index, fact))

    def _find(self, channel_id: str) -> int:
        if channel_id not in self._index:
            self._index[channel_id] = self._names.index(channel_id)
        return self._index[channel_id]

    def tell(self, policy: FeePolicy, node: ArenaNode) -> None:
        """Tell the policy what has happened by now."""
        while self._waiting and self._waiting[0][0] <= node.at_s:
            fact = heapq.heappop(self._waiting)[2]
            if isinstance(fact, Settled):
                policy.settled(fact, node)
            else:
                policy.refused(fact, node)


def play(
    market: Market, scenario: Scenario, policy: FeePolicy, *, step_s: float = STEP_S
) -> Outcome:
    """Run `policy` through the whole of `market` and return what came of it.

    Time goes in steps of `step_s`; the policy hears of a step's forwards at its end, and its
    `tick` comes with the first step that reaches `interval_s` (above 0) since the last one.
    """
    clock = VirtualClock(market.start_s)
    stage = Stage(market, scenario, World(clock, seed=market.seed, network="bitcoin"))
    node, news = ArenaNode(stage, step_s), _News(stage)
    stage.look(market.start_s)
    policy.begin(node)
    next_tick_s, steps = market.start_s + policy.interval_s, 0
    while node.at_s < market.end_s:
        steps += 1
        until_s = min(market.start_s + steps * step_s, market.end_s)
        stage.step(until_s)
        clock.set(until_s)
        node.at_s = until_s
        news.tell(policy, node)
        if until_s >= next_tick_s:
            policy.tick(node)
            next_tick_s += policy.interval_s * (1 + (until_s - next_tick_s) // policy.interval_s)
        stage.look(until_s)
    stage.finish()
    return measure(stage, policy.name)
