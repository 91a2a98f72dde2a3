"""What a search for rebalances is told, and what comes out of it; amounts msat, prices ppm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cl_revenue_ops.config import Config
from messages.channels import ChannelFact
from messages.flow import ChannelFlow
from messages.policies import PeerPolicy
from messages.rebalance import StockCurves


@dataclass(frozen=True)
class Terms:
    """The settings that a search follows."""

    min_profit_msat: int
    hive_tolerance_msat: int
    kelly_fraction: float | None
    weigh_reputation: bool

    @classmethod
    def of(cls, config: Config) -> Terms:
        """Return the terms that these settings make."""
        return cls(
            config.rebalance_min_profit * 1_000,
            config.hive_rebalance_tolerance * 1_000,
            config.kelly_fraction if config.enable_kelly else None,
            config.enable_reputation,
        )


@dataclass(frozen=True)
class Situation:
    """Everything that a search may look at.

    `free_msat` is what the budget still allows to reserve. `busy` are the channels that a job of
    ours or of anybody uses; `hive` the peers of our own fleet. `closed` says why nothing may be
    moved at all now, if so; it does not keep anybody from asking what would be done.
    """

    now_s: float
    facts: tuple[ChannelFact, ...]
    curves: StockCurves | None
    terms: Terms
    free_msat: int
    policies: Mapping[str, PeerPolicy] = field(default_factory=dict)
    flows: Mapping[str, ChannelFlow] = field(default_factory=dict)
    reputations: Mapping[str, float] = field(default_factory=dict)
    busy: frozenset[str] = frozenset()
    hive: frozenset[str] = frozenset()
    closed: str | None = None


class Pair(NamedTuple):
    """A move from a source to a destination, with all of its arithmetic; channels by id.

    EV = success (value - loss - cost) - overhead, where `value_msat` is what the moved sats will
    be worth at the destination (the sum of pi over them), `loss_msat` what they were worth at the
    source, `cost_msat` what the route is expected to take. `reserve_msat` = `amount_msat` at
    `max_ppm`. `refusal` is None for a move that would be made. `record` has every number of the
    decision as JSON can hold it.
    """

    source_channel_id: str
    channel_id: str
    amount_msat: int
    payment_msat: int
    max_ppm: int
    reserve_msat: int
    value_msat: int
    loss_msat: int
    cost_msat: int
    success: float
    expected_msat: int
    refusal: str | None
    record: Mapping[str, Any]


class Survey(NamedTuple):
    """The outcome of a search: the moves to make, the best first, and every pair looked at.

    `refused` says in words why a channel is no destination or no source at all, by channel_id.
    """

    chosen: tuple[Pair, ...]
    pairs: tuple[Pair, ...]
    no_destination: Mapping[str, str]
    no_source: Mapping[str, str]


class Result(NamedTuple):
    """What became of a job: what moved and what that cost, by how many payments, how long it ran,
    and the executor's last words where it did not move all."""

    moved_msat: int
    cost_msat: int
    payments: int
    seconds: float
    words: str
