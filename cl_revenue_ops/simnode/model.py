"""The things of the simulated node: policies, channels, peers, HTLCs, outputs, forward rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

USABLE = frozenset({"CHANNELD_NORMAL", "CHANNELD_AWAITING_SPLICE"})
SETTABLE = USABLE | {"CHANNELD_AWAITING_LOCKIN", "DUALOPEND_AWAITING_LOCKIN"}
CLOSING = frozenset(
    {
        "CHANNELD_SHUTTING_DOWN",
        "CLOSINGD_SIGEXCHANGE",
        "CLOSINGD_COMPLETE",
        "AWAITING_UNILATERAL",
        "FUNDING_SPEND_SEEN",
        "ONCHAIN",
    }
)
NO_LIMIT_MSAT = 2**64 - 1
PROTOCOL_HTLCS = 483
ANCHORS_MSAT = 660_000
COMMITMENT_WEIGHT = 1124
HTLC_WEIGHT = 172


@dataclass(frozen=True)
class Policy:
    """What a channel's side asks of a sender; amounts in msat, delta in blocks."""

    base_msat: int = 1
    ppm: int = 10
    htlc_min_msat: int = 0
    htlc_max_msat: int = NO_LIMIT_MSAT
    cltv_delta: int = 34

    def fee_msat(self, out_msat: int) -> int:
        """Fee due for forwarding `out_msat`: base + ppm * amount / 1e6, rounded down."""
        return self.base_msat + out_msat * self.ppm // 1_000_000

    def admits(self, out_msat: int, fee_msat: int) -> bool:
        """True if an HTLC of `out_msat` that leaves `fee_msat` satisfies this policy."""
        return self.htlc_min_msat <= out_msat <= self.htlc_max_msat and (
            fee_msat >= self.fee_msat(out_msat)
        )


@dataclass
class Htlc:
    """One HTLC in flight; `row` is its number in the HTLC history."""

    direction: str
    id: int
    amount_msat: int
    expiry: int
    payment_hash: str
    row: int


@dataclass
class Inflight:
    """A splice on its way: the funding that will replace the present one.

    Once its transaction is in a block, `lock` completes it at the time it is given.
    """

    funding_txid: str
    outnum: int
    total_msat: int
    splice_sat: int
    feerate_perkw: int
    lock: Callable[[float], None] | None = None


@dataclass
class Commitment:
    """A commitment transaction on the chain, `ours` if our side published it.

    `outputs` are the HTLCs that have an output of their own: (direction, id) -> (place, msat);
    `open_outputs` counts those not settled yet.
    """

    txid: str
    height: int
    ours: bool
    outputs: dict[tuple[str, int], tuple[int, int]]
    open_outputs: int = 0


@dataclass
class Peer:
    """A node that we know; `connected_s` is when the present connection began."""

    id: str
    alias: str
    connected: bool = False
    reestablished: bool = True
    connected_s: float = 0.0
    stable_s: float | None = None

    def stable_at(self, now_s: float) -> float | None:
        """When a connection last became 60 s old: stamped once for each connection."""
        if self.connected and now_s >= self.connected_s + 60:
            return self.connected_s + 60
        return self.stable_s


@dataclass
class Traffic:
    """lightningd's lifetime counters of one direction: every HTLC, own payments included."""

    offered: int = 0
    offered_msat: int = 0
    fulfilled: int = 0
    fulfilled_msat: int = 0


@dataclass
class Channel:
    """One channel. `to_us_msat` moves only when an HTLC is resolved, as lightningd reports it.

    Once it is `frozen` by a forced close, HTLCs end on the chain only; their amounts then move no
    balance of the channel any more. `preimages` are those HTLCs, as (direction, id), of which the
    preimage is known since.

    `policies` is the history of our own policy as (unix seconds, policy), oldest first;
    `former` is the one former policy that is still honoured before `former_until_s`.
    """

    channel_id: str
    peer_id: str
    opener: str
    total_msat: int
    to_us_msat: int
    our_reserve_msat: int
    their_reserve_msat: int
    policy: Policy
    remote_policy: Policy | None
    funding_txid: str
    outnum: int
    alias_local: str
    alias_remote: str
    opened_s: float
    private: bool = False
    state: str = "CHANNELD_AWAITING_LOCKIN"
    closer: str | None = None
    close_cause: str = "unknown"
    scid: str | None = None
    scids: list[str] = field(default_factory=list)
    policies: list[tuple[float, Policy]] = field(default_factory=list)
    former: Policy | None = None
    former_until_s: float = 0.0
    ignore_fee_limits: bool = False
    feerate_perkw: int = 1000
    max_accepted_htlcs: int = PROTOCOL_HTLCS
    their_max_accepted_htlcs: int = PROTOCOL_HTLCS
    htlc_min_in_msat: int = 0
    their_htlc_min_msat: int = 0
    local_funds_msat: int = 0
    remote_funds_msat: int = 0
    pushed_msat: int = 0
    min_to_us_msat: int = 0
    max_to_us_msat: int = 0
    pending_in: dict[int, Htlc] = field(default_factory=dict)
    pending_out: dict[int, Htlc] = field(default_factory=dict)
    pending_in_msat: int = 0
    pending_out_msat: int = 0
    next_in_id: int = 0
    next_out_id: int = 0
    traffic_in: Traffic = field(default_factory=Traffic)
    traffic_out: Traffic = field(default_factory=Traffic)
    state_changes: list[dict[str, str]] = field(default_factory=list)
    inflight: list[Inflight] = field(default_factory=list)
    commitments: int = 0
    opening_height: int = 0
    open_booked: bool = False
    frozen: bool = False
    commitment: Commitment | None = None
    preimages: set[tuple[str, int]] = field(default_factory=set)

    @property
    def usable(self) -> bool:
        """True in the two states in which HTLCs can be added, unless a forced close is coming."""
        return self.state in USABLE and not self.frozen

    @property
    def to_them_msat(self) -> int:
        return self.total_msat - self.to_us_msat

    def commitment_fee_msat(self, htlcs: int) -> int:
        """Fee of the commitment transaction at twice its feerate (the buffer against spikes).

        BOLT 3 weights with anchors: 1124 plus 172 for each HTLC; the two anchors cost 660 sat.
        """
        weight = COMMITMENT_WEIGHT + HTLC_WEIGHT * htlcs
        return 2 * self.feerate_perkw * weight // 1000 * 1000 + ANCHORS_MSAT

    def commitment_cost_msat(self, htlcs: int) -> int:
        """What a commitment transaction with that many HTLC outputs costs its miner's payer."""
        weight = COMMITMENT_WEIGHT + HTLC_WEIGHT * htlcs
        return self.feerate_perkw * weight // 1000 * 1000

    def _fee_buffer_msat(self, payer: str) -> int:
        if self.opener != payer:
            return 0
        return self.commitment_fee_msat(len(self.pending_in) + len(self.pending_out) + 1)

    @property
    def spendable_msat(self) -> int:
        """What we can send now: balance less reserve, HTLCs in flight and the opener's fee."""
        free = self.to_us_msat - self.pending_out_msat - self.our_reserve_msat
        free -= self._fee_buffer_msat("local")
        # What an unconfirmed splice takes out is no longer there to be sent.
        free += sum(min(splice.splice_sat, 0) for splice in self.inflight) * 1000
        return free if free > 0 and free >= self.their_htlc_min_msat else 0

    @property
    def receivable_msat(self) -> int:
        """What the peer can send to us now; mirror of `spendable_msat`."""
        free = self.to_them_msat - self.pending_in_msat - self.their_reserve_msat
        free -= self._fee_buffer_msat("remote")
        return free if free > 0 and free >= self.htlc_min_in_msat else 0

    def move(self, delta_msat: int) -> None:
        """Shift `delta_msat` to our side (negative: to theirs) and keep the extremes."""
        self.to_us_msat += delta_msat
        if not 0 <= self.to_us_msat <= self.total_msat:
            raise AssertionError(f"balance of {self.channel_id} left its capacity")
        self.min_to_us_msat = min(self.min_to_us_msat, self.to_us_msat)
        self.max_to_us_msat = max(self.max_to_us_msat, self.to_us_msat)
        self.commitments += 1

    def policy_at(self, at_s: float) -> Policy:
        """Our policy as it was configured at `at_s`; before the first, the first."""
        latest_s, latest = self.policies[-1]
        if latest_s <= at_s:
            return latest
        place = bisect_right(self.policies, at_s, key=lambda entry: entry[0])
        return self.policies[max(place - 1, 0)][1]


@dataclass
class Output:
    """A wallet output in msat; unconfirmed while `height` is None."""

    txid: str
    index: int
    amount_msat: int
    address: str
    height: int | None = None
    spent: bool = False
    reserved: bool = False


class ForwardRow(NamedTuple):
    """One forward as the node sees it.

    `status`: offered, settled, failed, local_failed; or `not_offered` with created_index 0 when
    the incoming peer could not even send the HTLC, so the node never saw it and lists nothing.
    Times are unix seconds, amounts msat; `out_scid` may name a channel that is not ours.
    """

    created_index: int
    status: str
    in_channel_id: str
    out_channel_id: str | None
    in_scid: str
    in_htlc_id: int
    out_scid: str | None
    out_htlc_id: int | None
    in_msat: int
    out_msat: int
    received_s: float
    resolved_s: float | None = None
    failcode: int | None = None
    failreason: str | None = None

    @property
    def fee_msat(self) -> int:
        """What the sender left for us; earned only if `status` is settled."""
        return self.in_msat - self.out_msat


@dataclass
class Pending:
    """An offered forward: both channels with their HTLCs, and the row as last filed."""

    row: ForwardRow
    incoming: Channel
    outgoing: Channel
    in_htlc: Htlc
    out_htlc: Htlc
    preimage: str
