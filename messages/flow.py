"""The protocol of the FlowAnalyzer: ticks, analysis on demand, and its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command, Snapshot, Tick


@dataclass(frozen=True)
class FlowTick(Tick):
    """Time for a flow analysis."""


@dataclass(frozen=True)
class ContinueFlow(Tick):
    """The sweep over the channels goes on; sent by the analyzer to itself.

    `step` names the step of the analysis that sent it; to any other it means nothing.
    """

    step: str


@dataclass(frozen=True)
class FlowSilence(Tick):
    """Nothing came of this step of an analysis in good time."""

    step: str


@dataclass(frozen=True)
class AnalyzeNow(Command):
    """Analyse now: one channel, or all where `channel_id` is None."""

    channel_id: str | None


@dataclass(frozen=True)
class ChannelFlow:
    """The flow of one channel as last analysed.

    `klass` is source (drains), sink (fills) or balanced; `flow_ratio` is (out - in)/(out + in)
    in [-1, 1]; rates in msat a day with their standard deviations; `velocity_per_day` the change
    of the flow ratio a day; `settled_out` counts forwards that left through it since first seen.
    """

    channel_id: str
    klass: str
    confidence: float
    flow_ratio: float
    rate_in_msat_per_day: float
    rate_out_msat_per_day: float
    velocity_per_day: float
    uncertainty: float
    settled_out: int
    observed_s: float
    mean_out_msat: float


class PeerReputation(NamedTuple):
    """How much of what a peer sends us settles: `score` in (0, 1), 0.5 where nothing is known.

    `weight` is the fading number of forwards that it rests on.
    """

    peer_id: str
    score: float
    weight: float


@dataclass(frozen=True)
class FlowReport(Snapshot):
    """The flow of every open channel, as analysed at `analysed_at_s`.

    `reputations` are those of the peers that forwards came from; None while reputation is switched
    off, when every forward counts in full.
    """

    version: int
    analysed_at_s: float
    channels: tuple[ChannelFlow, ...]
    reputations: tuple[PeerReputation, ...] | None = None
