"""Owns what a run amounts to, measured from the node: per channel, per day, in total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cl_revenue_ops.simnode.forward_log import FAILED, LOCAL_FAILED, SETTLED
from cl_revenue_ops.simnode.identity import scid_number
from cl_revenue_ops.simnode.market_driver import MarketDriver
from cl_revenue_ops.simnode.prices import DAY_S

DEPLETED_SHARE = 0.05
FLOW_CLASSES = frozenset({"source", "sink", "balanced"})


@dataclass(frozen=True)
class Sample:
    """Where the channels stood at a moment: our share of each balance, and our ppm."""

    at_s: float
    local_share: tuple[float, ...]
    ppm: tuple[int, ...]


@dataclass(frozen=True)
class ChannelLine:
    """One channel over the run; amounts in msat unless named otherwise.

    `name` is the peer's alias, numbered where the peer has several channels.
    """

    name: str
    scid: str
    capacity_sat: int
    first_share: float
    last_share: float
    forwards_in: int
    forwards_out: int
    in_msat: int
    out_msat: int
    earned_msat: int
    first_ppm: int
    last_ppm: int
    fee_changes: int
    flow_class: str


@dataclass(frozen=True)
class Totals:
    """The node's own sums over the run; amounts in msat."""

    settled: int
    failed: int
    refused: int
    volume_msat: int
    fees_msat: int
    rebalances: int
    rebalance_cost_msat: int
    fee_changes: int
    depleted_share: float
    moved_msat: int = 0


@dataclass(frozen=True)
class RunRecord:
    """Everything that tables, plots and page show."""

    seed: int
    days: int
    start_s: float
    lines: tuple[ChannelLine, ...]
    totals: Totals
    daily_fees_msat: tuple[tuple[int, ...], ...]  # by channel, by day
    daily_costs_msat: tuple[int, ...]  # of rebalances, by day
    daily_forwards: tuple[tuple[int, ...], ...]  # by channel, by day
    levels_ppm: tuple[tuple[float, ...], ...]  # by channel, by sample
    samples: tuple[Sample, ...]
    senders: dict[str, int]


def take_sample(driver: MarketDriver, at_s: float) -> Sample:
    """Read balances and fees off the node."""
    channels = [driver.world.channels.get(name) for name in driver.channel_ids]
    return Sample(
        at_s,
        tuple(c.to_us_msat / c.total_msat if c else 0.0 for c in channels),
        tuple(c.policy.ppm if c else 0 for c in channels),
    )


def flow_classes(answers: Sequence[Any]) -> dict[str, str]:
    """Find in the plugin's answers which class each channel (by scid or id) was given.

    Any object that names a channel and holds one of the three classes counts; the last wins.
    """
    found: dict[str, str] = {}
    waiting = list(answers)
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            words = [v.lower() for v in value.values() if isinstance(v, str)]
            known = [word for word in words if word in FLOW_CLASSES]
            for key in ("short_channel_id", "scid", "channel_id", "channel"):
                if known and isinstance(value.get(key), str):
                    found[value[key]] = known[0]
            waiting.extend(value.values())
    return found


def _name(driver: MarketDriver, channel: int) -> str:
    market = driver.market
    peer = market.channels[channel].peer
    twins = [other.index for other in market.channels if other.peer == peer]
    alias = market.peers[peer].alias
    return alias if len(twins) == 1 else f"{alias} {1 + twins.index(channel)}"


def measure(driver: MarketDriver, samples: Sequence[Sample], classes: dict[str, str]) -> RunRecord:
    """Sum the run up from the node's forward log, channels and payments."""
    market, world = driver.market, driver.world
    log = world.forwards
    status = np.array(log.status)
    out_msat = np.array(log.out_msat, dtype=np.int64)
    in_msat = np.array(log.in_msat, dtype=np.int64)
    in_scid, out_scid = np.array(log.in_scid), np.array(log.out_scid)
    settled = status == SETTLED
    day = ((np.array(log.received_s) - market.start_s) // DAY_S).astype(np.int64)
    day = np.clip(day, 0, market.days - 1)
    lines, fees_by_day, forwards_by_day = [], [], []
    for number, channel_id in enumerate(driver.channel_ids):
        drawn, channel = market.channels[number], world.channels.get(channel_id)
        scids = channel.scids if channel else []
        names = np.array([scid_number(scid) for scid in scids], dtype=np.uint64)
        leaves, enters = settled & np.isin(out_scid, names), settled & np.isin(in_scid, names)
        earned = in_msat[leaves] - out_msat[leaves]
        per_day = np.bincount(day[leaves], weights=earned, minlength=market.days)
        fees_by_day.append(tuple(int(fee) for fee in per_day))
        counts = np.bincount(day[leaves], minlength=market.days)
        forwards_by_day.append(tuple(int(count) for count in counts))
        scid = scids[-1] if scids else ""
        lines.append(
            ChannelLine(
                name=_name(driver, number),
                scid=scid,
                capacity_sat=channel.total_msat // 1000 if channel else drawn.capacity_sat,
                first_share=samples[0].local_share[number],
                last_share=samples[-1].local_share[number],
                forwards_in=int(enters.sum()),
                forwards_out=int(leaves.sum()),
                in_msat=int(in_msat[enters].sum()),
                out_msat=int(out_msat[leaves].sum()),
                earned_msat=int(earned.sum()),
                first_ppm=samples[0].ppm[number],
                last_ppm=samples[-1].ppm[number],
                fee_changes=len(channel.policies) - 1 if channel else 0,
                flow_class=classes.get(scid) or classes.get(channel_id) or "-",
            )
        )
    return RunRecord(
        seed=market.seed,
        days=market.days,
        start_s=market.start_s,
        lines=tuple(lines),
        totals=_totals(driver, status, in_msat, out_msat, samples, lines),
        daily_fees_msat=tuple(fees_by_day),
        daily_costs_msat=_daily_costs(driver),
        daily_forwards=tuple(forwards_by_day),
        levels_ppm=tuple(
            tuple(market.level_ppm(channel.peer, sample.at_s) for sample in samples)
            for channel in market.channels
        ),
        samples=tuple(samples),
        senders=asdict(driver.senders.tally),
    )


def own_payments(driver: MarketDriver) -> list[dict[str, Any]]:
    """The node's payments to itself that arrived."""
    rows, own = driver.world.sendpays.rows, driver.world.id
    return [row for row in rows if row["status"] == "complete" and row["destination"] == own]


def _daily_costs(driver: MarketDriver) -> tuple[int, ...]:
    market = driver.market
    days = [0] * market.days
    for row in own_payments(driver):
        day = int((row["created_at"] - market.start_s) // DAY_S)
        days[min(max(day, 0), market.days - 1)] += row["amount_sent_msat"] - row["amount_msat"]
    return tuple(days)


def _totals(
    driver: MarketDriver,
    status: Any,
    in_msat: Any,
    out_msat: Any,
    samples: Sequence[Sample],
    lines: Sequence[ChannelLine],
) -> Totals:
    settled = status == SETTLED
    own = own_payments(driver)
    shares = np.array([sample.local_share for sample in samples])
    return Totals(
        settled=int(settled.sum()),
        failed=int((status == FAILED).sum()),
        refused=int((status == LOCAL_FAILED).sum()),
        volume_msat=int(out_msat[settled].sum()),
        fees_msat=int(in_msat[settled].sum() - out_msat[settled].sum()),
        rebalances=len(own),
        rebalance_cost_msat=sum(row["amount_sent_msat"] - row["amount_msat"] for row in own),
        fee_changes=sum(line.fee_changes for line in lines),
        depleted_share=float(np.mean(shares < DEPLETED_SHARE)),
        moved_msat=sum(row["amount_msat"] for row in own),
    )
