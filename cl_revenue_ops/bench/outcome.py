"""What a run of one policy in one world amounted to, measured from the node."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from cl_revenue_ops.bench.stage import Stage
from cl_revenue_ops.simnode.forward_log import FAILCODES, FAILED, LOCAL_FAILED, SETTLED
from cl_revenue_ops.simnode.identity import scid_number
from cl_revenue_ops.simnode.prices import DAY_S


@dataclass(frozen=True)
class Outcome:
    """One run; amounts in msat, channels in the market's order.

    `forwards` settled, `failed` failed downstream, `refused` we refused for lack of liquidity.
    `broadcasts` are changes of a channel's policy, by channel; `channel_days` how long channels
    were open, summed. `depleted_share` is the share of channel-time with less than 5 % of the
    capacity to send. `moves` are payments to ourselves that arrived (parts count one each), of
    `move_tries` that were sent; `moved_msat` arrived by them. `sample_s` are Unix seconds of the
    samples in `fee_path_ppm` and `local_share`, both by channel (a channel that is not open has
    0). `attack_msat` is what a drain attacker moved, `attack_fees_msat` what he paid (part of
    `fees_msat`).
    """

    policy: str
    scenario: str
    seed: int
    days: int
    channels: int
    fees_msat: int
    volume_msat: int
    forwards: int
    failed: int
    refused: int
    attempts: int
    rebalance_cost_msat: int
    moves: int
    move_tries: int
    moved_msat: int
    attack_msat: int
    attack_fees_msat: int
    broadcasts: tuple[int, ...]
    channel_days: float
    depleted_share: float
    daily_fees_msat: tuple[int, ...]
    channel_fees_msat: tuple[int, ...]
    sample_s: tuple[float, ...]
    fee_path_ppm: tuple[tuple[int, ...], ...]
    local_share: tuple[tuple[float, ...], ...]

    @property
    def net_msat(self) -> int:
        """Settled fees less what rebalancing cost."""
        return self.fees_msat - self.rebalance_cost_msat

    @property
    def broadcasts_per_channel_day(self) -> float:
        """Changes of our channel updates per open channel and day."""
        return sum(self.broadcasts) / self.channel_days

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Outcome:
        """Undo `as_json`, also after a trip through text; KeyError where a field is missing."""
        return cls(**{name: _frozen(row[name]) for name in cls.__dataclass_fields__})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def measure(stage: Stage, policy: str) -> Outcome:
    """Sum a finished run up from the node's own log of forwards and payments."""
    market, world = stage.market, stage.world
    moves = own_moves(stage)
    log = world.forwards
    status = np.array(log.status)
    out_msat = np.array(log.out_msat, dtype=np.int64)
    fees_msat = np.array(log.in_msat, dtype=np.int64) - out_msat
    settled = status == SETTLED
    lacking = np.array(log.failcode) == FAILCODES["WIRE_TEMPORARY_CHANNEL_FAILURE"]
    day = ((np.array(log.received_s) - market.start_s) // DAY_S).astype(np.int64)
    day = np.clip(day, 0, market.days - 1)
    fees_by_day = np.bincount(day[settled], weights=fees_msat[settled], minlength=market.days)
    return Outcome(
        policy=policy,
        scenario=stage.scenario.name,
        seed=market.seed,
        days=market.days,
        channels=len(market.channels),
        fees_msat=int(fees_msat[settled].sum()),
        volume_msat=int(out_msat[settled].sum()),
        forwards=int(settled.sum()),
        failed=int((status == FAILED).sum()),
        refused=int(((status == LOCAL_FAILED) & lacking).sum()),
        attempts=stage.driver.senders.tally.attempts,
        rebalance_cost_msat=moves.cost_msat,
        moves=moves.arrived,
        move_tries=moves.sent,
        moved_msat=moves.moved_msat,
        attack_msat=stage.attack_msat,
        attack_fees_msat=stage.attack_fees_msat,
        broadcasts=tuple(
            len(world.update_times.get(name, ())) for name in stage.driver.channel_ids
        ),
        channel_days=sum(market.days - channel.opens_day for channel in market.channels),
        depleted_share=stage.depleted_share,
        daily_fees_msat=tuple(int(fee) for fee in fees_by_day),
        channel_fees_msat=_by_channel(stage, settled, fees_msat),
        sample_s=tuple(sample.at_s for sample in stage.samples),
        fee_path_ppm=_columns(stage, [sample.ppm for sample in stage.samples]),
        local_share=_columns(stage, [sample.local_share for sample in stage.samples]),
    )


def _columns(stage: Stage, rows: list[tuple[Any, ...]]) -> tuple[tuple[Any, ...], ...]:
    """Turn rows by time into rows by channel."""
    return tuple(zip(*rows, strict=True)) if rows else tuple(() for _ in stage.market.channels)


def _by_channel(stage: Stage, settled: Any, fees_msat: Any) -> tuple[int, ...]:
    out_scid = np.array(stage.world.forwards.out_scid)
    sums = []
    for channel_id in stage.driver.channel_ids:
        channel = stage.world.channels.get(channel_id)
        scids = [scid_number(scid) for scid in channel.scids] if channel else []
        leaves = settled & np.isin(out_scid, np.array(scids, dtype=np.uint64))
        sums.append(int(fees_msat[leaves].sum()))
    return tuple(sums)


class Moves(NamedTuple):
    """The node's payments to itself: how many were sent and arrived, what they moved and cost."""

    sent: int
    arrived: int
    moved_msat: int
    cost_msat: int


def own_moves(stage: Stage) -> Moves:
    """Sum up the node's own list of payments."""
    rows = [row for row in stage.world.sendpays.rows if row["destination"] == stage.world.id]
    complete = [row for row in rows if row["status"] == "complete"]
    moved_msat = sum(row["amount_msat"] for row in complete)
    sent_msat = sum(row["amount_sent_msat"] for row in complete)
    return Moves(len(rows), len(complete), moved_msat, sent_msat - moved_msat)
