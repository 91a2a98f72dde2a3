"""The law of setchannel: what a change does, and which former policy stays honoured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cl_revenue_ops.simnode.errors import FAILED, SimRpcError, bad_params
from cl_revenue_ops.simnode.model import SETTABLE, Channel, Policy

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World


def set_channel(
    world: World,
    channel: Channel,
    *,
    base_msat: int | None,
    ppm: int | None,
    htlc_min_msat: int | None,
    htlc_max_msat: int | None,
    enforcedelay_s: int,
    ignore_fee_limits: bool | None,
    at_s: float,
) -> dict[str, Any]:
    """Apply a change and return the reported entry; -32602 in a state that cannot be set."""
    if channel.state not in SETTABLE:
        raise bad_params(f"Channel {channel.channel_id} is in state {channel.state}")
    old = channel.policy
    ceiling = channel.total_msat - channel.our_reserve_msat
    high = old.htlc_max_msat if htlc_max_msat is None else min(htlc_max_msat, ceiling)
    low = old.htlc_min_msat if htlc_min_msat is None else htlc_min_msat
    low = max(low, channel.their_htlc_min_msat)
    new = replace(
        old,
        base_msat=old.base_msat if base_msat is None else base_msat,
        ppm=old.ppm if ppm is None else ppm,
        htlc_min_msat=low,
        htlc_max_msat=high,
    )
    if high < low:
        raise SimRpcError(FAILED, "htlcmax cannot be less than htlcmin")
    if ignore_fee_limits is not None:
        channel.ignore_fee_limits = ignore_fee_limits
    if new != old:
        _adopt(world, channel, new, enforcedelay_s, at_s)
    entry = _entry(channel)
    if htlc_min_msat is not None and htlc_min_msat < low:
        entry["warning_htlcmin_too_low"] = f"Set htlcmin to the minimum of the peer: {low}msat"
    if htlc_max_msat is not None and htlc_max_msat > high:
        entry["warning_htlcmax_too_high"] = f"Set htlcmax to the maximum possible: {high}msat"
    return entry


def worse_for_senders(old: Policy, new: Policy) -> bool:
    """True if a sender that knows `old` could be refused under `new`."""
    return (
        new.base_msat > old.base_msat
        or new.ppm > old.ppm
        or new.htlc_min_msat > old.htlc_min_msat
        or new.htlc_max_msat < old.htlc_max_msat
    )


def _adopt(world: World, channel: Channel, new: Policy, delay_s: int, at_s: float) -> None:
    # Only one former policy has a place: a second raise within the delay drops the first, while
    # a relief leaves it as it is.
    if worse_for_senders(channel.policy, new):
        channel.former = channel.policy
        channel.former_until_s = at_s + delay_s
    channel.policy = new
    channel.policies.append((at_s, new))
    world.update_times.setdefault(channel.channel_id, []).append(at_s)


def honoured(channel: Channel, out_msat: int, fee_msat: int, at_s: float) -> bool:
    """True if the current policy, or the former one within its delay, admits this forward."""
    if channel.policy.admits(out_msat, fee_msat):
        return True
    former = channel.former
    return (
        former is not None and at_s < channel.former_until_s and former.admits(out_msat, fee_msat)
    )


def _entry(channel: Channel) -> dict[str, Any]:
    entry: dict[str, Any] = {"peer_id": channel.peer_id, "channel_id": channel.channel_id}
    if channel.scid is not None:
        entry["short_channel_id"] = channel.scid
    return entry | {
        "fee_base_msat": channel.policy.base_msat,
        "fee_proportional_millionths": channel.policy.ppm,
        "minimum_htlc_out_msat": channel.policy.htlc_min_msat,
        "maximum_htlc_out_msat": channel.policy.htlc_max_msat,
        "ignore_fee_limits": channel.ignore_fee_limits,
    }
