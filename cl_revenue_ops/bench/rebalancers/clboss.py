"""CLBoss's rebalancers: EarningsRebalancer, which refills what earned, and JitRebalancer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cl_revenue_ops.bench.baselines.peers import by_peer
from cl_revenue_ops.bench.policy import (
    BUSY,
    NO_CHEAP_ROUTE,
    ChannelView,
    FeePolicy,
    NodeView,
    Refused,
    Settled,
)
from cl_revenue_ops.bench.rebalancers.pair import send

_DEST_SHARE, _SOURCE_SHARE, _GOAL_SHARE = 0.25, 0.275, 0.75
_TOP_SHARE, _MOST_PPM = 0.20, 1_000
_TICK_S = 600.0
_SOONEST_S, _LATEST_S = 1_800.0, 5_400.0
_GOLDEN = 0.618_033_988_749_895
_FLOOR_MSAT, _MOST_TRIES, _PATIENCE_S = 100_000, 30, 120.0
_JIT_FREE_MSAT, _JIT_LEAST_MSAT, _JIT_SHARE = 10_000, 5_000, 0.25
_HTLC_WEIGHT = 172


@dataclass(slots=True)
class Purse:
    """What a peer has earned and cost over its life, msat: as an exit (out) and as an entry (in).

    The whole fee of a forward counts for both of its peers. What a move costs is spent by its
    destination as an exit and by its source as an entry.
    """

    earned_out: int = 0
    spent_out: int = 0
    earned_in: int = 0
    spent_in: int = 0

    @property
    def net_out(self) -> int:
        """What it earned as an exit less what refilling it cost."""
        return self.earned_out - self.spent_out

    @property
    def net_in(self) -> int:
        """What it earned as an entry less what emptying it cost."""
        return self.earned_in - self.spent_in


@dataclass(frozen=True)
class Standing:
    """A peer's channels summed, msat."""

    peer_id: str
    spendable_msat: int
    capacity_msat: int


@dataclass(frozen=True)
class Plan:
    """A move that EarningsRebalancer wants, by peer; `budget_msat` is the most that it may cost."""

    source: str
    dest: str
    amount_msat: int
    budget_msat: int


def plans(peers: Sequence[Standing], purses: dict[str, Purse]) -> list[Plan]:
    """Return the moves of a run: the best earning empty exits from the best earning full entries.

    dest: spendable < 0.25 C, source: spendable >= 0.275 C; the first 20 % of the shorter list (at
    least one) are paired by rank until a destination's net is not above 0. The amount fills the
    destination to 0.75 C and leaves the source at 0.275 C; at 1000 ppm, or as much less as the
    destination's net can pay for.
    """
    dests = [p for p in peers if p.spendable_msat < _DEST_SHARE * p.capacity_msat]
    sources = [p for p in peers if p.spendable_msat >= _SOURCE_SHARE * p.capacity_msat]
    dests.sort(key=lambda p: -purses[p.peer_id].net_out)
    sources.sort(key=lambda p: -purses[p.peer_id].net_in)
    most = max(1, int(_TOP_SHARE * min(len(dests), len(sources))))
    found = []
    for dest, source in list(zip(dests, sources, strict=False))[:most]:
        net_msat = purses[dest.peer_id].net_out
        if net_msat <= 0:
            break
        amount_msat = min(
            int(_GOAL_SHARE * dest.capacity_msat) - dest.spendable_msat,
            source.spendable_msat - int(_SOURCE_SHARE * source.capacity_msat),
        )
        budget_msat = amount_msat * _MOST_PPM // 1_000_000
        if budget_msat > net_msat:
            amount_msat, budget_msat = net_msat * 1_000_000 // _MOST_PPM, net_msat
        if amount_msat > 0:
            found.append(Plan(source.peer_id, dest.peer_id, amount_msat, budget_msat))
    return found


def jit_move_msat(amount_msat: int, local_msat: int, capacity_msat: int) -> int:
    """Return `(amount + capacity) / 2 - to_us`: half of what the payment leaves is then ours."""
    return (amount_msat + capacity_msat) // 2 - local_msat


def jit_budget_msat(move_msat: int, purse: Purse) -> int:
    """Return the most that a move may cost: min(10 sat + earned / 4 - spent, max(5 sat, 0.1 %))."""
    limit_msat = _JIT_FREE_MSAT + int(_JIT_SHARE * purse.earned_out) - purse.spent_out
    return min(limit_msat, max(_JIT_LEAST_MSAT, move_msat * _MOST_PPM // 1_000_000))


def _spendable(channel: ChannelView) -> int:
    return max(0, channel.local_msat - channel.our_reserve_msat)


class _Mover:
    """The peers' purses, and FundsMover: it splits at the golden ratio what does not go through.

    The tool's floor of 100 sat, its thirty tries and its 120 s hold. The parts share the budget:
    where the whole is too dear for it, a part may not be. None is bought above 1000 ppm (or the
    plan's own price, if that is higher). Of a peer's channels the fullest pays and the emptiest is
    filled.
    """

    interval_s = _TICK_S

    def __init__(self, fees: FeePolicy, rng: np.random.Generator) -> None:
        self._fees = fees
        self._rng = rng
        self.purses: dict[str, Purse] = defaultdict(Purse)
        self._peer_of: dict[int, str] = {}

    def begin(self, node: NodeView) -> None:
        """Meet the peers."""
        self._meet(node)

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Credit the fee to both peers."""
        if not {forward.in_index, forward.out_index} <= self._peer_of.keys():
            self._meet(node)
        for index, is_exit in ((forward.out_index, True), (forward.in_index, False)):
            peer_id = self._peer_of.get(index)
            if peer_id is not None and is_exit:
                self.purses[peer_id].earned_out += forward.fee_msat
            elif peer_id is not None:
                self.purses[peer_id].earned_in += forward.fee_msat

    def _meet(self, node: NodeView) -> None:
        self._peer_of.update((channel.index, channel.peer_id) for channel in node.channels())

    def move(self, plan: Plan, node: NodeView) -> int:
        """Carry a plan out as far as it goes; returns what was moved, msat."""
        most_ppm = max(_MOST_PPM, plan.budget_msat * 1_000_000 // plan.amount_msat)
        parts, left_msat, moved_msat, tries, used_s = (
            [plan.amount_msat],
            plan.budget_msat,
            0,
            0,
            0.0,
        )
        while parts and left_msat > 0 and tries < _MOST_TRIES and used_s < _PATIENCE_S:
            amount_msat = parts.pop()
            tries += 1
            peers = by_peer(node.channels())
            source = max(peers[plan.source], key=_spendable)
            dest = max(peers[plan.dest], key=lambda c: c.capacity_msat - c.local_msat)
            ppm = min(most_ppm, left_msat * 1_000_000 // amount_msat)
            moved = send(node, self._fees, source.index, dest.index, amount_msat, ppm)
            used_s += moved.seconds
            if moved.ok:
                moved_msat += moved.moved_msat
                left_msat -= moved.cost_msat
                self.purses[plan.dest].spent_out += moved.cost_msat
                self.purses[plan.source].spent_in += moved.cost_msat
                continue
            if moved.why == BUSY or (moved.why == NO_CHEAP_ROUTE and ppm == most_ppm):
                break
            more = int(amount_msat * _GOLDEN)
            if amount_msat - more >= _FLOOR_MSAT:
                parts += [amount_msat - more, more]
        return moved_msat


class ClbossEarnings(_Mover):
    """EarningsRebalancer: about hourly (each U(30, 90) minutes), and then every other time."""

    name = "earnings"

    def __init__(self, fees: FeePolicy, rng: np.random.Generator) -> None:
        super().__init__(fees, rng)
        self._due_s = 0.0

    def begin(self, node: NodeView) -> None:
        """Wait for the first run."""
        super().begin(node)
        self._due_s = node.now_s + self._rng.uniform(_SOONEST_S, _LATEST_S)

    def tick(self, node: NodeView) -> None:
        """Run where the time has come and the coin says so."""
        if node.now_s < self._due_s:
            return
        self._due_s = node.now_s + self._rng.uniform(_SOONEST_S, _LATEST_S)
        if self._rng.random() >= 0.5:
            return
        standings = [
            Standing(
                peer_id,
                sum(_spendable(channel) for channel in theirs),
                sum(channel.capacity_msat for channel in theirs),
            )
            for peer_id, theirs in by_peer(node.channels()).items()
        ]
        for plan in plans(standings, self.purses):
            self.move(plan, node)

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Ignore it."""


class ClbossJit(_Mover):
    """JitRebalancer: fetches the balance that a payment lacks.

    The tool holds the payment in its hook until the balance is there. Nothing waits in the arena:
    the policy hears of a refusal at the end of its step (ten minutes at most) and refills then, so
    that payment itself is lost and the refill serves those that follow. One move per destination
    and step stands for the tool's one in flight. The source is drawn by our share in it.
    """

    name = "jit"

    def __init__(self, fees: FeePolicy, rng: np.random.Generator) -> None:
        super().__init__(fees, rng)
        self._moved_s: dict[str, float] = {}

    def tick(self, node: NodeView) -> None:
        """Do nothing: it has no timer."""

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Refill the exit where it could not pay, as far as it has earned."""
        try:
            dest = node.channel(forward.out_index).peer_id
        except KeyError:
            return
        peers = by_peer(node.channels())
        local_msat = sum(channel.local_msat for channel in peers[dest])
        spare_msat = int(_HTLC_WEIGHT / 4 * node.sat_per_vb() * 1_000)
        if forward.out_msat + spare_msat <= local_msat or self._moved_s.get(dest) == node.now_s:
            return
        capacity_msat = sum(channel.capacity_msat for channel in peers.pop(dest))
        move_msat = jit_move_msat(forward.out_msat, local_msat, capacity_msat)
        budget_msat = jit_budget_msat(move_msat, self.purses[dest])
        if move_msat <= 0 or budget_msat <= 0 or not peers:
            return
        self._moved_s[dest] = node.now_s
        names = list(peers)
        shares = np.array([self._share(peers[name]) for name in names])
        if shares.sum() > 0.0:
            source = names[int(self._rng.choice(len(names), p=shares / shares.sum()))]
            self.move(Plan(source, dest, move_msat, budget_msat), node)

    @staticmethod
    def _share(channels: Sequence[ChannelView]) -> float:
        return sum(c.local_msat for c in channels) / sum(c.capacity_msat for c in channels)
