"""Owns what senders know and decide: which fee they believe, whether they come, how they retry."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from typing import NamedTuple, Protocol

from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.traffic import Attempts, all_attempts

STALE_FEE_RETRY_S = 1.0
THROTTLE_BURST = 4.0
THROTTLE_INTERVAL_S = 21_600.0
MIN_PART_MSAT = 1_000


class AskedPolicy(Protocol):
    """What one of our channels asks of a sender; amounts in msat."""

    @property
    def base_msat(self) -> int: ...
    @property
    def ppm(self) -> int: ...
    @property
    def htlc_min_msat(self) -> int: ...
    @property
    def htlc_max_msat(self) -> int: ...


class PolicySource(Protocol):
    """Whoever knows the history of our policies (the node)."""

    def policy_at(self, channel_id: str, at_s: float) -> AskedPolicy:
        """Return the policy that was configured at `at_s`."""


class OwnChannel(NamedTuple):
    """One of our channels as gossip shows it: senders know its capacity, not its balance."""

    channel_id: str
    capacity_msat: int


class Outcome(Enum):
    """What came of a payment that was brought to us."""

    TAKEN = "taken"  # accepted and passed on, whatever happens downstream
    NO_LIQUIDITY = "no_liquidity"  # we refused it for lack of balance, slot or connection
    STALE_FEE = "stale_fee"  # the fee was one that we no longer honour
    NOT_REACHED = "not_reached"  # the node before us could not send it to us


class Offer(NamedTuple):
    """A payment brought to us: `fee_msat` is what its sender leaves, by the policy it knows."""

    at_s: float
    in_peer: int
    out_channel_id: str
    out_msat: int
    fee_msat: int
    hold_s: float
    downstream_ok: bool


class Payment(NamedTuple):
    """One attempt as plain numbers; the fields are those of `Attempts`, in their order."""

    at_s: float
    in_peer: int
    out_peer: int
    amount_msat: int
    limit_ppm: float
    sender: int
    propagation_s: float
    throttled: bool
    hold_s: float
    downstream_ok: bool
    retries: int
    retry_gap_s: float
    splits: bool
    memory_s: float
    tie: float
    whale: bool


class _Retry(NamedTuple):
    at_s: float
    order: int
    payment: Payment
    amount_msat: int
    retries: int


@dataclass
class SenderTally:
    """How often senders decided what; `offers` and what follows include retries."""

    attempts: int = 0
    retries: int = 0
    too_dear: int = 0
    remembered: int = 0
    offers: int = 0
    taken: int = 0
    no_liquidity: int = 0
    stale_fee: int = 0
    not_reached: int = 0


Forward = Callable[[Offer], Outcome]


def payments_of(attempts: Attempts) -> list[Payment]:
    """Return the attempts as a list of plain tuples (much cheaper to walk than arrays)."""
    columns = [getattr(attempts, entry.name).tolist() for entry in fields(Attempts)]
    return [Payment._make(row) for row in zip(*columns, strict=True)]


def _walk(days: Iterable[Attempts]) -> Iterator[Payment]:
    for day in days:
        yield from payments_of(day)


class ThrottledGossip:
    """What the part of the network behind rate limits knows of our policies.

    A channel may make `THROTTLE_BURST` updates at once and one more per `THROTTLE_INTERVAL_S`;
    an update beyond that is dropped and stays unknown there until a later one passes.
    """

    def __init__(self) -> None:
        self._latest: dict[str, AskedPolicy] = {}
        self._passed: dict[str, list[tuple[float, AskedPolicy]]] = {}
        self._tokens: dict[str, tuple[float, float]] = {}

    def observe(self, channel_id: str, policy: AskedPolicy, at_s: float) -> bool:
        """Hear the present policy; return True if it changed and passed the limit."""
        latest = self._latest.get(channel_id)
        if latest is policy or latest == policy:
            return False
        self._latest[channel_id] = policy
        if latest is None:
            self._passed[channel_id] = [(at_s, policy)]
            self._tokens[channel_id] = (THROTTLE_BURST, at_s)
            return True
        tokens, since_s = self._tokens[channel_id]
        tokens = min(THROTTLE_BURST, tokens + (at_s - since_s) / THROTTLE_INTERVAL_S)
        passes = tokens >= 1.0
        self._tokens[channel_id] = (tokens - passes, at_s)
        if passes:
            self._passed[channel_id].append((at_s, policy))
        return passes

    def known_at(self, channel_id: str, at_s: float) -> AskedPolicy | None:
        """Return the last policy that had passed by `at_s` (the first one before that)."""
        history = self._passed.get(channel_id)
        if history is None:
            return None
        for passed_s, policy in reversed(history):
            if passed_s <= at_s:
                return policy
        return history[0][1]


class Senders:
    """All payers of a market; they bring us the payments for which we are the best they know.

    A payment comes if the fee it believes is below its limit, alternative base + amount x limit
    ppm. After a failure for lack of balance its sender avoids the channel for that amount and
    more for about an hour, and within minutes comes back with halves, or (the stubborn ones) with
    the same again. One that the node before us could not send goes elsewhere for as long. A stale
    fee is answered with the present one, and the payment comes again at once if that still suits.
    Nothing here draws: all chance lies in the attempts.
    """

    def __init__(
        self,
        market: Market,
        channels_to: dict[int, list[OwnChannel]],
        policies: PolicySource,
        days: Iterable[Attempts] | None = None,
    ) -> None:
        self.tally = SenderTally()
        self._channels_to = {peer: list(channels) for peer, channels in channels_to.items()}
        self._policies = policies
        self._throttled = ThrottledGossip()
        self._alternative_base_msat = [peer.alternative_base_msat for peer in market.peers]
        self._coming = _walk(all_attempts(market) if days is None else days)
        self._next: Payment | None = next(self._coming, None)
        self._retries: list[_Retry] = []
        self._order = 0
        self._memory: dict[tuple[int, str], tuple[float, int]] = {}

    def add(self, peer: int, channel: OwnChannel) -> None:
        """Make a new channel to `peer` known."""
        self._channels_to.setdefault(peer, []).append(channel)

    def remove(self, channel_id: str) -> None:
        """Forget a channel that has gone."""
        for channels in self._channels_to.values():
            channels[:] = [known for known in channels if known.channel_id != channel_id]

    def step(self, until_s: float, forward: Forward) -> None:
        """Bring everything due up to and including `until_s` to `forward`, in order of time."""
        self._hear(until_s)
        while True:
            due_s = self._retries[0].at_s if self._retries else float("inf")
            payment = self._next
            if payment is not None and payment.at_s <= until_s and payment.at_s <= due_s:
                self._next = next(self._coming, None)
                self.tally.attempts += 1
                self._try(payment, payment.at_s, payment.amount_msat, payment.retries, forward)
            elif due_s <= until_s:
                retry = heapq.heappop(self._retries)
                self.tally.retries += 1
                self._try(retry.payment, due_s, retry.amount_msat, retry.retries, forward)
            else:
                return

    def _hear(self, at_s: float) -> None:
        for channels in self._channels_to.values():
            for channel_id, _ in channels:
                policy = self._policies.policy_at(channel_id, at_s)
                self._throttled.observe(channel_id, policy, at_s)

    def _known(self, channel_id: str, payment: Payment, at_s: float) -> AskedPolicy:
        heard_s = at_s - payment.propagation_s
        if payment.throttled:
            passed = self._throttled.known_at(channel_id, heard_s)
            if passed is not None:
                return passed
        return self._policies.policy_at(channel_id, heard_s)

    def _limit_msat(self, payment: Payment, amount_msat: int) -> float:
        base_msat = self._alternative_base_msat[payment.out_peer]
        return base_msat + amount_msat * payment.limit_ppm / 1e6

    def _choose(
        self, payment: Payment, amount_msat: int, at_s: float, stubborn: bool
    ) -> tuple[str, int] | None:
        """Return (channel_id, fee) of the cheapest of our channels that suits, or None."""
        limit_msat = self._limit_msat(payment, amount_msat)
        channels = self._channels_to.get(payment.out_peer, [])
        first = int(payment.tie * len(channels))
        best: tuple[str, int] | None = None
        avoided = False
        for channel_id, capacity_msat in channels[first:] + channels[:first]:
            policy = self._known(channel_id, payment, at_s)
            fee = policy.base_msat + amount_msat * policy.ppm // 1_000_000
            ceiling = min(policy.htlc_max_msat, capacity_msat)
            if fee >= limit_msat or not policy.htlc_min_msat <= amount_msat <= ceiling:
                continue
            if not stubborn and self._avoids(payment.sender, channel_id, amount_msat, at_s):
                avoided = True
            elif best is None or fee < best[1]:
                best = (channel_id, fee)
        if best is None:
            self.tally.remembered += avoided
            self.tally.too_dear += not avoided
        return best

    def _try(
        self, payment: Payment, at_s: float, amount_msat: int, retries: int, forward: Forward
    ) -> None:
        stubborn = retries < payment.retries and not payment.splits
        chosen = self._choose(payment, amount_msat, at_s, stubborn)
        if chosen is None:
            return
        entry = f"entry {payment.in_peer}"
        if self._avoids(payment.sender, entry, amount_msat, at_s):
            self.tally.remembered += 1
            return
        channel_id, fee_msat = chosen
        outcome = self._bring(payment, at_s, amount_msat, channel_id, fee_msat, forward)
        if outcome is Outcome.STALE_FEE:
            at_s += STALE_FEE_RETRY_S
            policy = self._policies.policy_at(channel_id, at_s)
            fee_msat = policy.base_msat + amount_msat * policy.ppm // 1_000_000
            if fee_msat >= self._limit_msat(payment, amount_msat):
                return
            outcome = self._bring(payment, at_s, amount_msat, channel_id, fee_msat, forward)
        if outcome is Outcome.NOT_REACHED:
            self._memory[payment.sender, entry] = (at_s + payment.memory_s, amount_msat)
        elif outcome is Outcome.NO_LIQUIDITY:
            self._memory[payment.sender, channel_id] = (at_s + payment.memory_s, amount_msat)
            self._come_back(payment, at_s, amount_msat, retries)

    def _bring(
        self,
        payment: Payment,
        at_s: float,
        amount_msat: int,
        channel_id: str,
        fee_msat: int,
        forward: Forward,
    ) -> Outcome:
        offer = Offer(
            at_s=at_s,
            in_peer=payment.in_peer,
            out_channel_id=channel_id,
            out_msat=amount_msat,
            fee_msat=fee_msat,
            hold_s=payment.hold_s,
            downstream_ok=payment.downstream_ok,
        )
        outcome = forward(offer)
        self.tally.offers += 1
        name = outcome.value
        setattr(self.tally, name, getattr(self.tally, name) + 1)
        return outcome

    def _come_back(self, payment: Payment, at_s: float, amount_msat: int, retries: int) -> None:
        parts = 2 if payment.splits else 1
        if retries <= 0 or amount_msat // parts < MIN_PART_MSAT:
            return
        for part in range(parts):
            self._order += 1
            again_s = at_s + payment.retry_gap_s * (1.0 + 0.5 * part)
            share_msat = amount_msat // parts
            again = _Retry(again_s, self._order, payment, share_msat, retries - 1)
            heapq.heappush(self._retries, again)

    def _avoids(self, sender: int, name: str, amount_msat: int, at_s: float) -> bool:
        remembered = self._memory.get((sender, name))
        if remembered is None:
            return False
        until_s, failed_msat = remembered
        if at_s >= until_s:
            del self._memory[sender, name]
            return False
        return amount_msat >= failed_msat
