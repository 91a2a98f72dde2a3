"""Which policies of the earlier plugin are set here, and why others are not."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from cl_revenue_ops.config import echo
from cl_revenue_ops.domain.earlier import values
from cl_revenue_ops.domain.earlier.findings import Row
from cl_revenue_ops.domain.policy import edits
from cl_revenue_ops.domain.policy.fields import LEAST_HOURS, MOST_HOURS, Fault
from messages.policies import PeerPolicy, PolicyEdit

_NAMES = (
    "strategy",
    "rebalance_mode",
    "fee_ppm_target",
    "tags",
    "fee_multiplier_min",
    "fee_multiplier_max",
)


class PolicyPlan(NamedTuple):
    """What is to be set, whose were imported before, and a line for each that is not taken."""

    edits: tuple[PolicyEdit, ...]
    already_known: tuple[str, ...]
    notes: tuple[str, ...]


def plan(
    rows: Iterable[Row], ours: Collection[str], imported: Mapping[str, bool], now_s: float
) -> PolicyPlan:
    """`ours` are the peers with a policy here.

    `imported` are those whose policy an import before was about to set, and whether it is known
    that it did: where that is not known and there is one, it did.
    """
    taken: list[PolicyEdit] = []
    notes: list[str] = []
    known: list[str] = []
    expired = empty = 0
    for row in rows:
        peer_id = values.node_id(row["peer_id"])
        if peer_id is None:
            notes.append(f"peer_policies: {echo(row['peer_id'])} is no node id; left out")
        elif imported.get(peer_id, False) or (peer_id in imported and peer_id in ours):
            known.append(peer_id)
        elif peer_id in ours:
            notes.append(f"peer_policies: {peer_id} has a policy here already, which stays")
        elif (end_s := values.whole(row.get("expires_at")) or 0) and end_s <= now_s:
            expired += 1
        else:
            edit, note = _edit(peer_id, row, end_s, now_s)
            empty += edit is None and note is None
            notes += [] if note is None else [f"peer_policies: {peer_id}: {note}"]
            taken += [] if edit is None else [edit]
    if expired:
        notes.append(f"peer_policies: {expired} had expired and were left out")
    if empty:
        notes.append(f"peer_policies: {empty} say nothing but the defaults and were left out")
    return PolicyPlan(tuple(taken), tuple(known), tuple(notes))


def _edit(peer_id: str, row: Row, end_s: int, now_s: float) -> tuple[PolicyEdit | None, str | None]:
    given = {name: row[name] for name in _NAMES if row.get(name) is not None}
    edit = edits.read_edit({**given, "peer_id": peer_id})
    if isinstance(edit, Fault):
        return None, f"left out: {edit.text}"
    note = None
    if end_s:
        hours = (end_s - now_s) / edits.HOUR_S
        if hours < LEAST_HOURS:
            return None, "left out: it ends within the hour"
        if hours > MOST_HOURS:
            note = f"ends in {MOST_HOURS / 24:.0f} days, not in {math.ceil(hours / 24)}"
        edit = edit._replace(expires_in_hours=min(hours, MOST_HOURS))
    made = edits.apply(edit, None, now_s)
    if isinstance(made, Fault):
        return None, f"left out: {made.text}"
    if made._replace(expires_at_s=None) == PeerPolicy(peer_id):
        return None, None
    return edit, note
