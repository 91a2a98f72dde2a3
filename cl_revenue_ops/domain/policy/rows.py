"""Policies as clients read them, and as the database keeps them."""

from __future__ import annotations

import math

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.policy import fields
from cl_revenue_ops.domain.policy.edits import contradiction
from cl_revenue_ops.domain.policy.fields import READERS, Fault
from cl_revenue_ops.domain.policy.terms import ended
from messages.policies import PeerPolicy


def shown(policy: PeerPolicy, now_s: float) -> dict[str, object]:
    """The policy by the names that clients read; times in whole Unix seconds."""
    end_s = policy.expires_at_s
    return {
        "peer_id": policy.peer_id,
        "strategy": policy.strategy,
        "rebalance_mode": policy.rebalance,
        "fee_ppm_target": policy.fee_ppm,
        "tags": list(policy.tags),
        "updated_at": int(policy.updated_at_s),
        "fee_multiplier_min": policy.fee_multiplier_min,
        "fee_multiplier_max": policy.fee_multiplier_max,
        "min_fee_ppm": policy.min_fee_ppm,
        "max_fee_ppm": policy.max_fee_ppm,
        "expires_at": None if end_s is None else int(end_s),
        "is_expired": ended(policy, now_s),
    }


def packed(policy: PeerPolicy) -> str:
    """The policy as JSON text; `unpacked` gives it back."""
    return jsontext.dumps(policy)


def _time_s(raw: object) -> float:
    if not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise ValueError(f"no time: {raw!r}")
    return float(raw)


def unpacked(peer_id: str, text: object) -> PeerPolicy:
    """The policy of `packed`. ValueError, TypeError or KeyError where it is none that can be."""
    if not isinstance(text, str):
        raise TypeError("no text")
    row = jsontext.loads(text)
    if row.keys() != set(PeerPolicy._fields):
        raise ValueError("unknown or missing fields")
    if row["peer_id"] != peer_id or fields.peer_id(peer_id) != peer_id:
        raise ValueError("the peer_id does not fit")
    for name, read in READERS.items():
        value = read(row[name])
        if isinstance(value, Fault):
            raise ValueError(value.text)
        row[name] = value
    row["updated_at_s"] = _time_s(row["updated_at_s"])
    if row["expires_at_s"] is not None:
        row["expires_at_s"] = _time_s(row["expires_at_s"])
    policy = PeerPolicy(**row)
    fault = contradiction(policy)
    if fault is not None:
        raise ValueError(fault.text)
    return policy
