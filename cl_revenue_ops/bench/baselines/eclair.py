"""Eclair's peer scorer: a hill climb on a peer's outgoing volume that takes bad moves back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cl_revenue_ops.bench.baselines.history import DAY_S, Remembering, Series
from cl_revenue_ops.bench.baselines.peers import by_peer
from cl_revenue_ops.bench.policy import ChannelView, NodeView

_BUCKET_S = 3 * 3_600.0
_BUCKETS_PER_DAY = 8
_TOP_PEERS = 10
_VOLUME_MSAT, _VOLUME_SHARE = 10_000_000_000, 0.05
_IDLE_SHARE, _IDLE_SENDABLE_SHARE, _IDLE_EVERY_S = 0.075, 0.20, 12 * 3_600.0
_NO_MOVE_S, _SOONEST_REVERT_S, _LATEST_REVERT_S = 1.5 * _BUCKET_S, 2 * _BUCKET_S, DAY_S
_UP, _DOWN = 1, -1


class Volumes(NamedTuple):
    """Outgoing msat of the newest four buckets of 3 h (the first still filling), and of a day.

    `elapsed` is how much of the newest bucket has passed, 0 to 1.
    """

    newest: int
    second: int
    third: int
    fourth: int
    day: int
    elapsed: float


def enough_msat(capacity_msat: int) -> float:
    """Return the daily volume that counts: 0.1 BTC, or 5 % of the capacity where that is less."""
    return min(_VOLUME_MSAT, _VOLUME_SHARE * capacity_msat)


def direction(volumes: Volumes, capacity_msat: int, sendable_msat: int) -> int:
    """Return 1 for a volume that rose enough to raise, -1 for one that fell, 0 for neither."""
    recent, buckets = volumes.newest + volumes.second, 1 + volumes.elapsed
    if volumes.third == 0:
        return 0
    due_msat = enough_msat(capacity_msat) * buckets / _BUCKETS_PER_DAY
    if recent >= due_msat and recent / buckets > 1.1 * volumes.third:
        return _UP
    fell = recent <= 0.85 * volumes.third and volumes.third <= volumes.fourth
    return _DOWN if fell and sendable_msat >= enough_msat(capacity_msat) else 0


def worse(move: int, day_msat: int, day_then_msat: int) -> bool:
    """Whether a day's volume is so much below that at the move that it is taken back."""
    return day_msat < day_then_msat * (0.8 if move == _UP else 0.9)


@dataclass(slots=True)
class _Peer:
    moved_s: float | None = None
    move: int = 0
    moved_to_ppm: int = 0
    day_then_msat: int = 0


class Eclair(Remembering):
    """The scorer, hourly, for the ten peers with the most outgoing volume of a day.

    Published: steps of 500 within 500 to 5000 ppm, which suits large swap services; others are a
    variant of ours for ordinary channels. A step across a bound is not made. A fee found
    counts as set long ago. Like the tool it waits until it has seen more than a day. Idle peers
    (at most 7.5 % of capacity each way in a week, 20 % to send) are lowered to the bound, a
    step each 12 h, once a week has been watched. The base fee is left alone; so is max-htlc.
    """

    interval_s = 3_600.0

    def __init__(self, name: str, step: int = 500, least: int = 500, most: int = 5_000) -> None:
        super().__init__(keep_s=8 * DAY_S)
        self.name = name
        self._step_ppm, self._least_ppm, self._most_ppm = step, least, most
        self._peers: dict[str, _Peer] = {}
        self._begun_s = 0.0

    def begin(self, node: NodeView) -> None:
        """Watch first."""
        self._begun_s = node.now_s

    def tick(self, node: NodeView) -> None:
        """Move the fees of the best peers and of idle ones."""
        now_s = node.now_s
        if now_s - self._begun_s < DAY_S:
            return
        peers = by_peer(node.channels())
        volumes = {peer_id: self._volumes(channels, now_s) for peer_id, channels in peers.items()}
        best = sorted((p for p in peers if volumes[p].day > 0), key=lambda p: -volumes[p].day)
        for peer_id in best[:_TOP_PEERS]:
            self._score(peer_id, peers[peer_id], volumes[peer_id], node)
        if now_s - self._begun_s >= 7 * DAY_S:
            for peer_id, channels in peers.items():
                if self._idle(channels, now_s):
                    self._lower(peer_id, channels, node)

    def _volumes(self, channels: Sequence[ChannelView], now_s: float) -> Volumes:
        start_s = now_s // _BUCKET_S * _BUCKET_S
        edges = [start_s - k * _BUCKET_S for k in (0, 1, 2, 3, _BUCKETS_PER_DAY - 1)]
        sums = [0] * len(edges)
        for channel in channels:
            out: Series = self.history.of(channel.index).out
            for at, edge_s in enumerate(edges):
                sums[at] += out.since(edge_s)
        return Volumes(
            sums[0],
            sums[1] - sums[0],
            sums[2] - sums[1],
            sums[3] - sums[2],
            sums[4],
            (now_s - start_s) / _BUCKET_S,
        )

    def _score(
        self, peer_id: str, channels: Sequence[ChannelView], volumes: Volumes, node: NodeView
    ) -> None:
        peer, ppm = self._peers.setdefault(peer_id, _Peer()), channels[0].ppm
        still_s = None if peer.moved_s is None else node.now_s - peer.moved_s
        capacity_msat = sum(channel.capacity_msat for channel in channels)
        move = direction(volumes, capacity_msat, _sendable_msat(channels))
        to_ppm = ppm + move * self._step_ppm
        within = to_ppm <= self._most_ppm if move == _UP else to_ppm >= self._least_ppm
        if move and within and (still_s is None or still_s >= _NO_MOVE_S):
            self._set(peer, channels, to_ppm, node)
            peer.move, peer.moved_to_ppm, peer.day_then_msat = move, to_ppm, volumes.day
        elif (
            peer.move
            and still_s is not None
            and _SOONEST_REVERT_S <= still_s <= _LATEST_REVERT_S
            and ppm == peer.moved_to_ppm
            and worse(peer.move, volumes.day, peer.day_then_msat)
        ):
            self._set(peer, channels, ppm - peer.move * self._step_ppm, node)
            peer.move = 0

    def _idle(self, channels: Sequence[ChannelView], now_s: float) -> bool:
        capacity_msat = sum(channel.capacity_msat for channel in channels)
        since_s, most_msat = now_s - 7 * DAY_S, _IDLE_SHARE * capacity_msat
        past = [self.history.of(channel.index) for channel in channels]
        return (
            sum(one.out.since(since_s) for one in past) <= most_msat
            and sum(one.into.since(since_s) for one in past) <= most_msat
            and _sendable_msat(channels) >= _IDLE_SENDABLE_SHARE * capacity_msat
        )

    def _lower(self, peer_id: str, channels: Sequence[ChannelView], node: NodeView) -> None:
        peer, ppm = self._peers.setdefault(peer_id, _Peer()), channels[0].ppm
        rested = peer.moved_s is None or node.now_s - peer.moved_s >= _IDLE_EVERY_S
        if rested and ppm > self._least_ppm:
            self._set(peer, channels, max(self._least_ppm, ppm - self._step_ppm), node)
            peer.move = 0

    @staticmethod
    def _set(peer: _Peer, channels: Sequence[ChannelView], ppm: int, node: NodeView) -> None:
        for channel in channels:
            node.set_fee(channel.index, max(0, ppm), channel.base_msat)
        peer.moved_s = node.now_s


def _sendable_msat(channels: Sequence[ChannelView]) -> int:
    return sum(max(0, c.local_msat - c.our_reserve_msat) for c in channels)
