"""Edits of policies: reading them, and what a policy becomes by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cl_revenue_ops.config import echo
from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.policy import fields
from cl_revenue_ops.domain.policy.fields import ALIASES, CLEARED_BY_NULL, READERS, Fault
from messages.policies import PeerPolicy, PolicyEdit

MOST_EDITS = 100
HOUR_S = 3_600.0
KEYS = ("peer_id", *READERS, *ALIASES, "expires_in_hours")
"""What an entry of a batch may have, and `set` may be given."""

_PAIRS = (("fee_multiplier_min", "fee_multiplier_max"), ("min_fee_ppm", "max_fee_ppm"))


def read_edit(given: Mapping[str, object]) -> PolicyEdit | Fault:
    """The edit that these arguments ask for; every key is one of `KEYS`."""
    peer_id = fields.peer_id(given.get("peer_id"))
    if isinstance(peer_id, Fault):
        return peer_id
    found: dict[str, object] = {}
    for key, raw in given.items():
        name = ALIASES.get(key, key)
        if name not in READERS or (raw is None and name not in CLEARED_BY_NULL):
            continue
        value = READERS[name](raw)
        if isinstance(value, Fault):
            return value
        if name in found and found[name] != value:
            return Fault(f"{name} is given twice with different values; give it once")
        found[name] = value
    raw_hours = given.get("expires_in_hours")
    hours = None if raw_hours is None else fields.hours(raw_hours)
    if isinstance(hours, Fault):
        return hours
    return PolicyEdit(peer_id, tuple(found.items()), hours)


def read_batch(raw: object) -> tuple[PolicyEdit, ...] | Fault:
    """The edits of a batch: an array of objects, or its JSON text."""
    given = raw
    if isinstance(raw, str):
        try:
            given = jsontext.loads(raw)
        except ValueError:
            given = None
    if not isinstance(given, list):
        return Fault(f"updates must be an array of objects or its JSON text, not {echo(raw)}")
    if len(given) > MOST_EDITS:
        return Fault(f"a batch has at most {MOST_EDITS} entries, not {len(given)}; send several")
    edits = []
    for number, entry in enumerate(given, 1):
        edit = _read_entry(entry)
        if isinstance(edit, Fault):
            return in_entry(number, edit)
        edits.append(edit)
    return tuple(edits)


def in_entry(number: int, fault: Fault) -> Fault:
    """The fault with the number of the entry it was found in; the first is 1."""
    return Fault(f"entry {number} of the batch: {fault.text}")


def _read_entry(entry: object) -> PolicyEdit | Fault:
    if not isinstance(entry, dict):
        return Fault(f"it must be an object with a peer_id, not {echo(entry)}")
    for key in entry:
        if key not in KEYS:
            return Fault(f"unknown key {echo(key)}; known are {', '.join(KEYS)}")
    return read_edit(entry)


def apply(edit: PolicyEdit, policy: PeerPolicy | None, now_s: float) -> PeerPolicy | Fault:
    """What `policy` (None where there is none) becomes by `edit` at `now_s`, Unix seconds.

    `updated_at_s` is left as it was: who stores the change knows when it was. Where nothing
    differs the result equals `policy`.
    """
    peer_id = fields.peer_id(edit.peer_id)
    if isinstance(peer_id, Fault):
        return peer_id
    wanted: dict[str, Any] = {}
    for name, raw in edit.fields:
        reader = READERS.get(name)
        value = Fault(f"unknown field {echo(name)}") if reader is None else reader(raw)
        if isinstance(value, Fault):
            return value
        wanted[name] = value
    made = (PeerPolicy(peer_id) if policy is None else policy)._replace(**wanted)
    if edit.expires_in_hours is not None:
        hours = fields.hours(edit.expires_in_hours)
        if isinstance(hours, Fault):
            return hours
        made = made._replace(expires_at_s=_end_s(now_s, hours))
    return contradiction(made) or made


def _end_s(now_s: float, hours: float) -> float | None:
    """A whole second: what clients are told is when it ends."""
    return float(math.ceil(now_s + hours * HOUR_S)) if hours > 0.0 else None


def contradiction(policy: PeerPolicy) -> Fault | None:
    """What in a policy cannot hold together."""
    for least, most in _PAIRS:
        low, high = getattr(policy, least), getattr(policy, most)
        if low is not None and high is not None and low > high:
            return Fault(
                f"{least} {low} is above {most} {high}; give both in order, or one as none"
            )
    if policy.strategy == "static" and policy.fee_ppm is None:
        return Fault("a static policy needs its fee: add fee_ppm=<0 to 100000>")
    return fields.too_many(policy.tags)


def retagged(policy: PeerPolicy | None, peer_id: str, raw: object, add: bool) -> PeerPolicy | Fault:
    """The policy with a tag more or less; one that there was not is made, with the defaults.

    The result equals `policy` (or has no tags, where there was none) when nothing is to be done.
    """
    tag, peer = fields.tag(raw), fields.peer_id(peer_id)
    if isinstance(tag, Fault):
        return tag
    if isinstance(peer, Fault):
        return peer
    made = PeerPolicy(peer_id) if policy is None else policy
    if add and tag not in made.tags:
        made = made._replace(tags=(*made.tags, tag))
    elif not add:
        made = made._replace(tags=tuple(t for t in made.tags if t != tag))
    return fields.too_many(made.tags) or made
