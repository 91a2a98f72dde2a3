"""What the simulated sling remembers of its payments, and how sling-stats shows that."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cl_revenue_ops.simnode.sling_jobs import Settings
from cl_revenue_ops.simnode.world import World

DAY_S = 86_400.0
NEVER = "Never"


class Success(NamedTuple):
    """A payment that came through; `partner` is the other one of our channels."""

    at_s: int
    amount_msat: int
    ppm: int
    partner: str
    hops: int


class Failure(NamedTuple):
    """A payment that did not, where and why."""

    at_s: int
    amount_msat: int
    reason: str
    node: str
    partner: str
    hops: int


class Stats:
    """Successes and failures by the job's scid; they outlive restarts. Figures are of a window."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.successes: dict[str, list[Success]] = {}
        self.failures: dict[str, list[Failure]] = {}
        self._world = world
        self._settings = settings

    def success(self, scid: str, row: Success) -> None:
        """Remember one, and forget the oldest beyond the limit."""
        rows = self.successes.setdefault(scid, [])
        rows.append(row)
        del rows[: -self._settings.stats_rows]

    def failure(self, scid: str, row: Failure) -> None:
        """The same for one that failed."""
        rows = self.failures.setdefault(scid, [])
        rows.append(row)
        del rows[: -self._settings.stats_rows]

    def forget(self, scid: str) -> None:
        """Drop what is known of a channel's jobs."""
        self.successes.pop(scid, None)
        self.failures.pop(scid, None)

    # -- the overview --------------------------------------------------------------------------

    def overview(self, scid: str, peer_id: str, status: list[str], at_s: float) -> dict[str, Any]:
        """One row of sling-stats without a channel."""
        kept = self._window(self.successes.get(scid, []), at_s)
        moved_msat = sum(row.amount_msat for row in kept)
        weighted = sum(row.ppm * row.amount_msat for row in kept)
        last_success = max((row.at_s for row in self.successes.get(scid, [])), default=0)
        last_failure = max((row.at_s for row in self.failures.get(scid, [])), default=0)
        return {
            "alias": self._alias(peer_id), "scid": scid, "pubkey": peer_id, "status": status,
            "rebamount": f"{moved_msat // 1_000:,}",
            "w_feeppm": weighted // moved_msat if moved_msat else 0,
            "last_route_taken": _local(max(last_success, last_failure)),
            "last_success_reb": _local(last_success),
        }  # fmt: skip

    # -- one channel ---------------------------------------------------------------------------

    def of(self, scid: str, at_s: float) -> dict[str, Any]:
        """sling-stats of one channel; null where the window holds nothing."""
        return {
            "successes_in_time_window": self._successes(scid, at_s),
            "failures_in_time_window": self._failures(scid, at_s),
        }

    def _successes(self, scid: str, at_s: float) -> dict[str, Any] | None:
        rows = self._window(self.successes.get(scid, []), at_s)
        if not rows:
            return None
        moved_msat = sum(row.amount_msat for row in rows)
        mean_ppm = sum(row.ppm * row.amount_msat for row in rows) // moved_msat
        ppms = sorted(row.ppm for row in rows)
        return {
            "time_window_days": str(self._settings.stats_days),
            "total_amount_sats": moved_msat // 1_000,
            "feeppm_weighted_avg": mean_ppm, "feeppm_min": ppms[0], "feeppm_max": ppms[-1],
            "feeppm_median": ppms[len(ppms) // 2],
            "feeppm_90th_percentile": ppms[max(0, math.ceil(len(ppms) * 0.9) - 1)],
            "top_5_channel_partners": self._partners(rows),
            "most_common_hop_count": Counter(row.hops for row in rows).most_common(1)[0][0],
            "time_of_last_rebalance": _local(max(row.at_s for row in rows)),
            "total_rebalances": len(rows),
            # From the mean, not from what was paid: as inexact as the real one's.
            "total_spent_sats": int(mean_ppm * moved_msat / 1e6) // 1_000,
        }  # fmt: skip

    def _failures(self, scid: str, at_s: float) -> dict[str, Any] | None:
        rows = self._window(self.failures.get(scid, []), at_s)
        if not rows:
            return None
        reasons = Counter(row.reason for row in rows).most_common(5)
        nodes = Counter(row.node for row in rows).most_common(5)
        return {
            "time_window_days": str(self._settings.stats_days),
            "total_amount_tried_sats": sum(row.amount_msat for row in rows) // 1_000,
            "top_5_failure_reasons": [
                {"failure_reason": reason, "failure_count": count} for reason, count in reasons
            ],
            "top_5_fail_nodes": [
                {"peer_id": node, "alias": self._alias(node), "count": count}
                for node, count in nodes
            ],
            "top_5_channel_partners": self._partners(rows),
            "most_common_hop_count": Counter(row.hops for row in rows).most_common(1)[0][0],
            "time_of_last_attempt": _local(max(row.at_s for row in rows)),
            "total_rebalances_tried": len(rows),
        }  # fmt: skip

    def _window(self, rows: Sequence[Any], at_s: float) -> list[Any]:
        since_s = at_s - self._settings.stats_days * DAY_S
        return [row for row in rows if row.at_s >= since_s]

    def _partners(self, rows: Sequence[Success | Failure]) -> list[dict[str, Any]]:
        sats: Counter[str] = Counter()
        for row in rows:
            sats[row.partner] += row.amount_msat // 1_000
        found = ((scid, count, self._world.find(scid)) for scid, count in sats.most_common(5))
        return [
            {
                "scid": scid, "sats": count,
                "alias": "PEER_NOT_FOUND" if channel is None else self._alias(channel.peer_id),
            }
            for scid, count, channel in found
        ]  # fmt: skip

    def _alias(self, peer_id: str) -> str:
        peer = self._world.peers.get(peer_id)
        return "ALIAS_NOT_FOUND" if peer is None else peer.alias


def _local(at_s: int) -> str:
    """Local time without its zone, as it shows times."""
    if not at_s:
        return NEVER
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))


def table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows as a text for people, in the form that lightning-cli prints as it is."""
    lines = []
    for row in rows:
        cells = (" ".join(v) if isinstance(v, list) else str(v) for v in row.values())
        lines.append(" | ".join(cells))
    names = [" | ".join(rows[0])] if rows else []
    return {"format-hint": "simple", "result": "\n".join(names + lines)}
