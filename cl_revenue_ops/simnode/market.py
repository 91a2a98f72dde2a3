"""Owns the drawn market: its peers, channels, pairs, prices and chain, all from one seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from statistics import NormalDist

import numpy as np

from cl_revenue_ops.simnode.identity import node_id
from cl_revenue_ops.simnode.market_parameters import (
    MarketParameters,
    MarketRanges,
    Purpose,
    draw_parameters,
    stream,
)
from cl_revenue_ops.simnode.market_quantiles import BASE_FEE_MSAT, FEE_PPM, FloatArray
from cl_revenue_ops.simnode.prices import (
    DAY_S,
    HOUR_S,
    ChainPath,
    LevelPaths,
    Rivals,
    draw_chain,
    draw_demand_factors,
    draw_levels,
    draw_rival_book,
)

# 1 January 2026, 00:00 UTC: where virtual time starts unless told otherwise.
DEFAULT_START_S = 1_767_225_600.0
RIVAL_NODES = 120
MEDIAN_AMOUNT_BOUNDS_SAT = (300.0, 300_000.0)
CAPACITY_BOUNDS_SAT = (200_000, 500_000_000)
SECOND_CHANNEL_CHANCE = 0.15
PAIR_SD = 1.0
DORMANT_FACTOR = 0.003  # what a dormant peer keeps of its activity
BUSY_IS_LARGE = 0.5  # correlation of a peer's ln(activity) with ln(capacity) of its channels
_ALIASES = (
    *("anchor", "basalt", "cedar", "delta", "ember", "fjord", "glade", "harbor", "inlet"),
    *("juniper", "kelp", "larch", "moss", "nectar", "orchid", "pebble", "quarry", "reef"),
    *("sable", "thistle", "umber", "vale", "willow", "yarrow"),
)


class PeerKind(Enum):
    """How a peer's traffic leans; seen from our channel: sending fills it, receiving drains it."""

    SENDS = "sends"
    RECEIVES = "receives"
    BOTH = "both"


@dataclass(frozen=True)
class MarketPeer:
    """A node we have channels with; weights are relative and say how much it sends to others
    through us (`send_weight`) and receives from others through us (`receive_weight`)."""

    index: int
    node_id: str
    alias: str
    kind: PeerKind
    activity: float
    send_weight: float
    receive_weight: float
    alternative_base_msat: int


@dataclass(frozen=True)
class MarketChannel:
    """A channel as the world begins: its peer, size, our share, our fee and the peer's.

    `opener` is local or remote; `own_*` is what an operator had set before the world began, near
    the level of then; `remote_*` is what the peer charges towards us, drawn from public fees.
    `opens_day` is the day of the run on which we open it; 0: it is older than the run.
    """

    index: int
    peer: int
    capacity_sat: int
    local_sat: int
    opener: str
    own_base_msat: int
    own_ppm: int
    remote_base_msat: int
    remote_ppm: int
    opens_day: int = 0


@dataclass(frozen=True)
class Market:
    """A drawn world, complete but for the payments themselves; nothing in it depends on our fees.

    `pair_rate_per_day[i, j]` is the mean number of attempts a day from peer i through us to j;
    `demand_factor[day, j]` is the slow drift of all that goes to j; `surge[hour]` is a factor on
    all demand in an hour of the run (the last one holds on).
    """

    seed: int
    start_s: float
    days: int
    parameters: MarketParameters
    peers: tuple[MarketPeer, ...]
    channels: tuple[MarketChannel, ...]
    pair_rate_per_day: FloatArray
    demand_factor: FloatArray
    median_amount_sat: float
    levels: LevelPaths
    rivals: Rivals
    chain: ChainPath
    season_phase: tuple[float, float]
    surge: FloatArray = field(default_factory=lambda: np.ones(1))

    @property
    def end_s(self) -> float:
        """When the drawn world ends, unix seconds."""
        return self.start_s + self.days * DAY_S

    def level_ppm(self, peer: int, at_s: float) -> float:
        """Return the median price in ppm of the alternatives into `peer` at `at_s`."""
        return float(np.exp(self.levels.log_at(peer, at_s)))

    def season(self, at_s: FloatArray) -> FloatArray:
        """Return the season factor at each moment; its mean over whole weeks is one."""
        daily, weekly = self.season_phase
        turn = 2.0 * np.pi / DAY_S
        day = self.parameters.daily_swing * np.cos(turn * at_s - daily)
        week = self.parameters.weekly_swing * np.cos(turn * at_s / 7.0 - weekly)
        return np.asarray((1.0 + day) * (1.0 + week), dtype=np.float64)

    def surge_at(self, at_s: FloatArray) -> FloatArray:
        """Return the factor on all demand in the hour of each moment."""
        hour = np.clip((at_s - self.start_s) // HOUR_S, 0, len(self.surge) - 1).astype(np.int64)
        return np.asarray(self.surge[hour], dtype=np.float64)

    def open_pair_rate_per_day(self, day: int) -> FloatArray:
        """Return `pair_rate_per_day` without the peers to which no channel is open on `day` yet."""
        absent = [peer.index for peer in self.peers if self.opens_day(peer.index) > day]
        if not absent:
            return self.pair_rate_per_day
        rate = np.array(self.pair_rate_per_day)
        rate[absent, :] = 0.0
        rate[:, absent] = 0.0
        return rate

    def opens_day(self, peer: int) -> int:
        """Return the day of the run on which the first channel to `peer` is there."""
        return min(channel.opens_day for channel in self.channels if channel.peer == peer)

    def demand_share(self, peer: int, at_s: float, fee_ppm: float) -> float:
        """Return the expected share of payments into `peer` that still come at `fee_ppm`.

        Phi((ln c - ln f) / sd): limits are log-normal about the level c. It leaves out the base
        fee of the alternatives, which only matters for small amounts.
        """
        if fee_ppm <= 0:
            return 1.0
        gap = self.levels.log_at(peer, at_s) - float(np.log(fee_ppm))
        return NormalDist().cdf(gap / self.parameters.limit_sd)


def _draw_grouping(seed: int, channels: int) -> list[int]:
    """Return the peer of each channel: most peers have one, some have several."""
    rng = stream(seed, Purpose.GROUPING)
    peer_of: list[int] = []
    for _ in range(channels):
        again, which = rng.random(2)
        known = max(peer_of, default=-1) + 1
        old = known > 1 and again < SECOND_CHANNEL_CHANCE
        peer_of.append(int(which * known) if old else known)
    return peer_of


def _draw_peers(seed: int, count: int, parameters: MarketParameters) -> tuple[MarketPeer, ...]:
    rng = stream(seed, Purpose.ACTIVITY)
    draws = rng.random((count, 3))
    normals = rng.standard_normal((count, 2))
    bases = BASE_FEE_MSAT.draw(stream(seed, Purpose.ALTERNATIVE_BASE), count)
    peers = []
    for index in range(count):
        one_way, sends = draws[index, 0] < parameters.one_way_share, draws[index, 1] < 0.5
        kind = (PeerKind.SENDS if sends else PeerKind.RECEIVES) if one_way else PeerKind.BOTH
        activity = float(np.exp(parameters.activity_sd * normals[index, 0]))
        activity *= DORMANT_FACTOR if draws[index, 2] < parameters.dormant_share else 1.0
        lean = parameters.one_way_lean if one_way else float(np.exp(0.4 * normals[index, 1]))
        towards = np.sqrt(lean if kind is not PeerKind.RECEIVES else 1.0 / lean)
        word = _ALIASES[index % len(_ALIASES)]
        alias = word if index < len(_ALIASES) else f"{word}-{index}"
        peers.append(
            MarketPeer(
                index=index,
                node_id=node_id(seed, f"peer/{alias}"),
                alias=alias,
                kind=kind,
                activity=activity,
                send_weight=activity * float(towards),
                receive_weight=activity / float(towards),
                alternative_base_msat=int(bases[index]),
            )
        )
    return tuple(peers)


def _draw_capacity_sat(activity: float, z: float, parameters: MarketParameters) -> int:
    """Log-normal and larger towards busy peers; whole 10,000 sat."""
    busy = float(np.clip(np.log(activity) / max(parameters.activity_sd, 0.1), -2.0, 2.5))
    mixed = BUSY_IS_LARGE * busy + np.sqrt(1.0 - BUSY_IS_LARGE**2) * z
    raw = parameters.capacity_median_sat * float(np.exp(parameters.capacity_sd * mixed))
    return int(np.clip(np.rint(raw / 10_000.0) * 10_000, *CAPACITY_BOUNDS_SAT))


def _draw_channels(
    seed: int,
    peer_of: list[int],
    peers: tuple[MarketPeer, ...],
    parameters: MarketParameters,
    first_log: FloatArray,
) -> tuple[MarketChannel, ...]:
    """Draw capacities, balances anywhere, and the policies found at the start.

    Three in five channels start uniformly between empty and full, one in five all ours, one in
    five all theirs; `first_log` is each peer's ln(level) at the start.
    """
    count = len(peer_of)
    sizes = stream(seed, Purpose.CAPACITIES).standard_normal(count)
    draws = stream(seed, Purpose.BALANCES).random((count, 3))
    own = stream(seed, Purpose.FIRST_POLICY)
    own_log = first_log[peer_of] + parameters.first_fee_sd * own.standard_normal(count)
    own_base = BASE_FEE_MSAT.draw(own, count)
    remote = stream(seed, Purpose.REMOTE_POLICY)
    remote_ppm, remote_base = FEE_PPM.draw(remote, count), BASE_FEE_MSAT.draw(remote, count)
    channels = []
    for index, peer in enumerate(peer_of):
        start, share, opener = draws[index].tolist()
        local = share if start < 0.6 else (0.985 if start < 0.8 else 0.015)
        opens = 0.5 if start < 0.6 else (0.9 if local > 0.5 else 0.1)
        capacity = _draw_capacity_sat(peers[peer].activity, float(sizes[index]), parameters)
        channels.append(
            MarketChannel(
                index=index,
                peer=peer,
                capacity_sat=capacity,
                local_sat=int(capacity * local),
                opener="local" if opener < opens else "remote",
                own_base_msat=int(own_base[index]),
                own_ppm=int(np.clip(np.rint(np.exp(own_log[index])), 1, 5_000)),
                remote_base_msat=int(remote_base[index]),
                remote_ppm=int(remote_ppm[index]),
            )
        )
    return tuple(channels)


def _draw_pairs(seed: int, peers: tuple[MarketPeer, ...], total_per_day: float) -> FloatArray:
    """rate(i, j) proportional to send_i * receive_j * lognormal(PAIR_SD), nothing on i = j."""
    noise = stream(seed, Purpose.PAIRS).standard_normal((len(peers), len(peers)))
    sends = np.array([peer.send_weight for peer in peers])
    receives = np.array([peer.receive_weight for peer in peers])
    rate = sends[:, None] * receives[None, :] * np.exp(PAIR_SD * noise)
    np.fill_diagonal(rate, 0.0)
    return np.asarray(rate * (total_per_day / rate.sum()), dtype=np.float64)


def _median_amount_sat(parameters: MarketParameters, capacity_sat: int, per_day: float) -> float:
    """Return the median amount at which attempts of a day sum to turnover x capacity."""
    mean = parameters.turnover_per_day * capacity_sat / per_day
    return float(np.clip(mean * np.exp(-0.5 * parameters.amount_sd**2), *MEDIAN_AMOUNT_BOUNDS_SAT))


def _draw_rivals(
    seed: int, peers: tuple[MarketPeer, ...], levels: LevelPaths, parameters: MarketParameters
) -> Rivals:
    others = tuple(node_id(seed, f"rival/{number}") for number in range(RIVAL_NODES))
    books = tuple(
        draw_rival_book(
            stream(seed, Purpose.RIVALS, peer.index),
            peer.node_id,
            others,
            parameters.quote_sd,
            parameters.quote_followers,
        )
        for peer in peers
    )
    return Rivals(levels, books)


def draw_market(
    seed: int,
    channels: int = 20,
    days: int = 30,
    start_s: float = DEFAULT_START_S,
    ranges: MarketRanges | None = None,
) -> Market:
    """Draw a world of `channels` channels (at least two) for `days` days from `seed`.

    A longer world with the same seed begins with the shorter one: prices, quotes, blocks and
    payments of a day do not depend on how many days follow.
    """
    if channels < 2 or days < 1:
        raise ValueError("a market needs at least two channels and one day")
    parameters = draw_parameters(seed, ranges or MarketRanges())
    peer_of = _draw_grouping(seed, channels)
    peers = _draw_peers(seed, max(peer_of) + 1, parameters)
    per_day = parameters.attempts_per_channel_day * channels
    first = stream(seed, Purpose.LEVEL_START).standard_normal(len(peers))
    first_log = np.log(parameters.level_median_ppm) + parameters.level_spread_sd * first
    drawn = _draw_channels(seed, peer_of, peers, parameters, first_log)
    levels = draw_levels(
        start_s,
        first_log,
        days * 24 + 1,
        parameters.drift_sd,
        parameters.jumps_per_day,
        parameters.jump_sd,
        (
            stream(seed, Purpose.LEVEL_WALK),
            stream(seed, Purpose.LEVEL_JUMP_AT),
            stream(seed, Purpose.LEVEL_JUMP_SIZE),
        ),
    )
    phases = stream(seed, Purpose.SEASON).uniform(0.0, 2.0 * np.pi, 2)
    return Market(
        seed=seed,
        start_s=start_s,
        days=days,
        parameters=parameters,
        peers=peers,
        channels=drawn,
        pair_rate_per_day=_draw_pairs(seed, peers, per_day),
        demand_factor=draw_demand_factors(
            stream(seed, Purpose.DEMAND_WALK), days, len(peers), parameters.demand_drift_sd
        ),
        median_amount_sat=_median_amount_sat(
            parameters, sum(channel.capacity_sat for channel in drawn), per_day
        ),
        levels=levels,
        rivals=_draw_rivals(seed, peers, levels, parameters),
        chain=draw_chain(
            start_s,
            days * 24 + 1,
            parameters.chain_sat_per_vb,
            parameters.chain_spikes_per_day,
            (stream(seed, Purpose.BLOCKS), stream(seed, Purpose.FEERATES)),
        ),
        season_phase=(float(phases[0]), float(phases[1])),
    )
