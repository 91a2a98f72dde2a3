"""What a flow state says: rates with their doubt, a class, and the figures that clients read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cl_revenue_ops.domain import kalman, rates
from cl_revenue_ops.domain.flow import (
    DAY_S,
    Direction,
    FlowParameters,
    FlowState,
    SizeBelief,
    decayed_evidence,
    window_totals,
)
from cl_revenue_ops.domain.flow_window import LONGEST_WINDOW_DAYS
from cl_revenue_ops.domain.rates import RateState
from messages.channels import ChannelFact
from messages.flow import ChannelFlow

SOURCE, SINK, BALANCED = "source", "sink", "balanced"
LEAST_CONFIDENCE = 0.1
_MSAT = 1000
_UNKNOWN_SIZE_LOG_VARIANCE = 1.0


@dataclass(frozen=True)
class FlowEstimate:
    """The flow of one channel at one moment, in msat a day with standard deviations.

    Net is out minus in: positive drains. `flow_ratio` is net over gross in [-1, 1], `ratio_sd` its
    doubt, `velocity_per_day` its drift; the three class probabilities sum to 1 and `probability`
    is that of `klass`. `regime_change` says that a jump was seen within the last day.
    """

    rate_in_msat_per_day: float
    rate_in_sd: float
    rate_out_msat_per_day: float
    rate_out_sd: float
    net_msat_per_day: float
    net_sd: float
    flow_ratio: float
    ratio_sd: float
    velocity_per_day: float
    klass: str
    probability: float
    source_probability: float
    balanced_probability: float
    sink_probability: float
    confidence: float
    regime_change: bool


@dataclass(frozen=True)
class FlowFigures:
    """The figures of one channel by the names that clients read; amounts in sats unless named.

    From the window: `sats_in`, `sats_out`, `forward_count`, `flow_ratio` = (out - in)/(out + in)
    of what flowed, `daily_volume`. From the filters: `state`, `confidence`, `kalman_flow_ratio`,
    `kalman_velocity` (a day), `kalman_uncertainty`, `velocity` (an hour, within 0.5),
    `flow_multiplier` = 2^(ratio x confidence), `ema_decay` (see `memory_of_a_day`). From the node:
    the rest; HTLC slots are those for outgoing HTLCs, htlc_min and htlc_max are msat.
    """

    channel_id: str
    peer_id: str
    state: str
    probability: float
    flow_ratio: float
    sats_in: int
    sats_out: int
    capacity: int
    our_balance: int
    daily_volume: int
    analysis_window_days: int
    htlc_min: int
    htlc_max: int
    active_htlcs: int
    max_htlcs: int
    is_congested: bool
    confidence: float
    velocity: float
    flow_multiplier: float
    ema_decay: float
    forward_count: int
    kalman_flow_ratio: float
    kalman_velocity: float
    kalman_uncertainty: float
    kalman_regime_change: bool
    updated_at: int


def estimate(state: FlowState, now_s: float, parameters: FlowParameters) -> FlowEstimate:
    """Read the state at `now_s`; reading changes nothing, however often it is done.

    Classes follow net relative to gross flow, not a share of capacity. With log-normal rates the
    log of out over in is normal, and the ratio is tanh of its half, so the probabilities are exact
    within the model. Rates are zero until a forward has been seen in either direction.
    """
    days = max(0.0, now_s - state.updated_s) / DAY_S
    into = kalman.predict(state.incoming.rate, days, parameters.rate)
    out = kalman.predict(state.outgoing.rate, days, parameters.rate)
    size_in = _size(state.incoming, state.outgoing)
    size_out = _size(state.outgoing, state.incoming)
    rate_in, sd_in = _volume(into, *size_in)
    rate_out, sd_out = _volume(out, *size_out)
    log_odds = out.log_rate - into.log_rate
    if size_in[0] > 0.0:
        log_odds += math.log(size_out[0] / size_in[0])
    sd = math.sqrt(out.p_xx + into.p_xx + size_out[1] + size_in[1])
    ratio = math.tanh(0.5 * log_odds)
    source, balanced, sink = class_probabilities(log_odds, sd, parameters.imbalance)
    evidence = decayed_evidence(state, now_s - state.updated_s, parameters)
    decisive = parameters.decisive if evidence >= parameters.evidence_for_class else math.inf
    klass, probability = _class(source, balanced, sink, decisive)
    return FlowEstimate(
        rate_in_msat_per_day=rate_in,
        rate_in_sd=sd_in,
        rate_out_msat_per_day=rate_out,
        rate_out_sd=sd_out,
        net_msat_per_day=rate_out - rate_in,
        net_sd=math.hypot(sd_in, sd_out),
        flow_ratio=ratio,
        ratio_sd=0.5 * (math.tanh(0.5 * (log_odds + sd)) - math.tanh(0.5 * (log_odds - sd))),
        velocity_per_day=0.5 * (1.0 - ratio**2) * (out.velocity - into.velocity),
        klass=klass,
        probability=probability,
        source_probability=source,
        balanced_probability=balanced,
        sink_probability=sink,
        confidence=confidence(evidence, parameters),
        regime_change=state.last_jump_s is not None and now_s - state.last_jump_s <= DAY_S,
    )


def class_probabilities(log_odds: float, sd: float, imbalance: float) -> tuple[float, float, float]:
    """Return P(source), P(balanced), P(sink) for a normal log of out over in.

    Net exceeds `imbalance` of gross exactly when the log exceeds 2 atanh(imbalance).
    """
    edge = 2.0 * math.atanh(imbalance)
    source = _normal_above(edge - log_odds, sd)
    sink = _normal_above(edge + log_odds, sd)
    return source, max(0.0, 1.0 - source - sink), sink


def confidence(evidence: float, parameters: FlowParameters) -> float:
    """Return 0.1 to 1: the evidence that is left, as a share of what is enough.

    Evidence is forwards seen plus days watched, halved every half-life: amount and recency in one
    number, whose memory does not end with a bucket or a window.
    """
    share = min(1.0, evidence / parameters.evidence_full)
    return LEAST_CONFIDENCE + (1.0 - LEAST_CONFIDENCE) * share


def memory_of_a_day(state: FlowState) -> float:
    """Return the share of yesterday's estimate that survives a day of forwards, 0.6 to 0.9.

    One minus the mean Kalman gain of both directions for a day's expected count.
    """
    gains = []
    for rate in (state.incoming.rate, state.outgoing.rate):
        noise = rate.dispersion / math.exp(rate.log_rate)
        gains.append(rate.p_xx / (rate.p_xx + noise))
    return min(0.9, max(0.6, 1.0 - 0.5 * sum(gains)))


def figures(
    state: FlowState,
    fact: ChannelFact,
    now_s: float,
    parameters: FlowParameters,
    congestion_threshold: float,
) -> FlowFigures:
    """Return the figures of one channel; `channel_id` is its scid where it has one.

    `is_congested` is this reading of the slots alone; the fee controller waits for two.
    """
    now = estimate(state, now_s, parameters)
    flowed = window_totals(state, now_s, parameters.window_days)
    gross_msat = flowed.in_msat + flowed.out_msat
    window_days = min(parameters.window_days, LONGEST_WINDOW_DAYS)
    known_days = max(1.0, min(window_days, (now_s - state.first_s) / DAY_S))
    return FlowFigures(
        channel_id=fact.scid or fact.alias_scid or fact.channel_id,
        peer_id=fact.peer_id,
        state=now.klass,
        probability=round(now.probability, 4),
        flow_ratio=round((flowed.out_msat - flowed.in_msat) / gross_msat, 4) if gross_msat else 0.0,
        sats_in=flowed.in_msat // _MSAT,
        sats_out=flowed.out_msat // _MSAT,
        capacity=fact.capacity_msat // _MSAT,
        our_balance=fact.local_msat // _MSAT,
        daily_volume=int(gross_msat / known_days) // _MSAT,
        analysis_window_days=window_days,
        htlc_min=fact.htlc_min_msat,
        htlc_max=fact.htlc_max_msat,
        active_htlcs=fact.htlcs_out,
        max_htlcs=fact.slots_out,
        is_congested=fact.htlcs_out > congestion_threshold * fact.slots_out,
        confidence=round(now.confidence, 4),
        velocity=round(min(0.5, max(-0.5, now.velocity_per_day / 24.0)), 6),
        flow_multiplier=round(math.pow(2.0, now.flow_ratio * now.confidence), 4),
        ema_decay=round(memory_of_a_day(state), 4),
        forward_count=flowed.in_count + flowed.out_count,
        kalman_flow_ratio=round(now.flow_ratio, 4),
        kalman_velocity=round(now.velocity_per_day, 6),
        kalman_uncertainty=round(now.ratio_sd, 4),
        kalman_regime_change=now.regime_change,
        updated_at=int(state.updated_s),
    )


def _size(own: Direction, other: Direction) -> tuple[float, float]:
    """Return mean size in msat and the variance of its log; (0, 0) before any forward.

    A direction without forwards of its own is thought to carry the other's sizes, less surely.
    """
    if own.size.mean_msat > 0.0:
        return own.size.mean_msat, _log_variance(own.size)
    if other.size.mean_msat > 0.0:
        return other.size.mean_msat, _UNKNOWN_SIZE_LOG_VARIANCE
    return 0.0, 0.0


def _log_variance(size: SizeBelief) -> float:
    return math.log1p(size.variation / size.forwards)


def _volume(rate: RateState, mean_msat: float, log_variance: float) -> tuple[float, float]:
    """Return mean and sd of msat a day: a log-normal rate times a log-normal size."""
    mean = rates.rate_moments(rate)[0] * mean_msat
    return mean, mean * math.sqrt(math.expm1(rate.p_xx + log_variance))


def _class(source: float, balanced: float, sink: float, decisive: float) -> tuple[str, float]:
    if source >= decisive:
        return SOURCE, source
    if sink >= decisive:
        return SINK, sink
    return BALANCED, balanced


def _normal_above(distance: float, sd: float) -> float:
    """Return the probability that a centred normal exceeds `distance`."""
    return 0.5 * math.erfc(distance / sd / math.sqrt(2.0))


def channel_flow(
    channel_id: str, state: FlowState, now_s: float, parameters: FlowParameters
) -> ChannelFlow:
    """Return what the other actors are told of one channel."""
    now = estimate(state, now_s, parameters)
    return ChannelFlow(
        channel_id=channel_id,
        klass=now.klass,
        confidence=now.confidence,
        flow_ratio=now.flow_ratio,
        rate_in_msat_per_day=now.rate_in_msat_per_day,
        rate_out_msat_per_day=now.rate_out_msat_per_day,
        velocity_per_day=now.velocity_per_day,
        uncertainty=now.ratio_sd,
        settled_out=state.settled.out_count,
        observed_s=state.exposure_out_s,
        mean_out_msat=state.outgoing.size.mean_msat,
    )
