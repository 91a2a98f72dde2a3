"""Fee decisions as rows for the store and as answers for an operator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cl_revenue_ops.domain.fees import record
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.ports import DecisionRow, StoredDecision


def row(decision: FeeDecision, *, by_hand: bool) -> DecisionRow:
    """The decision for the store; its body is the whole record."""
    return DecisionRow(
        channel_id=decision.facts.channel_id,
        at_s=decision.now_s,
        action=decision.action,
        code=decision.code,
        old_ppm=decision.seen.ppm if decision.seen is not None else None,
        new_ppm=decision.target.ppm if decision.target is not None else None,
        by_hand=by_hand,
        body=json.dumps(record.to_record(decision), separators=(",", ":")),
    )


def fees(decision: FeeDecision, *, stands: bool) -> dict[str, int | None]:
    """The fee before and after, in ppm, by the names that clients read.

    Where the decision does not stand on the node, the fee after is the one before.
    """
    after = decision.target if stands else decision.seen
    new_ppm = after.ppm if after is not None else None
    old_ppm = decision.seen.ppm if decision.seen is not None else None
    return {"old_fee_ppm": old_ppm, "new_fee_ppm": new_ppm, "fee_ppm": new_ppm}


def order(channel_id: str, scids: Mapping[str, str]) -> dict[str, object]:
    """What every order that was carried out is answered with."""
    channel = scids.get(channel_id, channel_id)
    return {"status": "success", "success": True, "channel": channel, "channel_id": channel_id}


def change(stored: StoredDecision, scids: Mapping[str, str]) -> dict[str, object]:
    """A fee that was really set, by the names that clients read; its record may be damaged."""
    decision = stored.row
    try:
        body = json.loads(decision.body)
        facts, sentence = body["inputs"]["facts"], body["sentence"]
        scid, peer_id = facts["scid"], facts["peer_id"]
    except (ValueError, TypeError, KeyError, IndexError):
        scid, peer_id, sentence = decision.channel_id, None, "Its record cannot be read."
    return {
        "id": stored.decision_id,
        "channel_id": scids.get(decision.channel_id, scid),
        "peer_id": peer_id,
        "old_fee_ppm": decision.old_ppm,
        "new_fee_ppm": decision.new_ppm,
        "reason": sentence,
        "manual": int(decision.by_hand),
        "timestamp": int(stored.last_at_s),
    }


def shown(stored: StoredDecision, scids: Mapping[str, str]) -> dict[str, object]:
    """The last decision of a channel, whole: inputs, each stage's verdict, outcome, sentence.

    A record that cannot be read any more gives what stands beside it, and says so.
    """
    row, skipped = stored.row, stored.row.action == "none"
    try:
        told = _told(json.loads(row.body), skipped)
    except (ValueError, TypeError, KeyError, IndexError):
        told = {"status": "unreadable", "sentence": "Its record cannot be read.", "record": None}
    return {
        **told,
        "channel_id": scids.get(row.channel_id, row.channel_id),
        "full_channel_id": row.channel_id,
        "outcome": stored.outcome or ("nothing to write" if skipped else "not known"),
        "decided_at": row.at_s,
        "last_decided_at": stored.last_at_s,
        "repeats": stored.repeats,
        "by_hand": row.by_hand,
    }


def _told(body: dict[str, Any], skipped: bool) -> dict[str, object]:
    """What the record of a decision tells."""
    return {
        "peer_id": body["inputs"]["facts"]["peer_id"],
        "status": "waiting" if body["blockers"] else "ready",
        "skip_reason": body["code"] if skipped else None,
        "sentence": body["sentence"],
        "fee_ppm": None if body["seen"] is None else body["seen"]["ppm"],
        "target_ppm": None if body["target"] is None else body["target"]["ppm"],
        "wanted_ppm": body["wanted"]["ppm"],
        "whose": body["whose"],
        "record": body,
    }


def report(
    rows: Sequence[dict[str, object]], now_s: float, fee_interval_s: int, trouble: str | None
) -> dict[str, object]:
    """The answer of revenue-fee-debug."""
    waiting = sum(1 for entry in rows if entry["status"] == "waiting")
    return {
        "timestamp": int(now_s),
        "config": {"fee_interval_seconds": fee_interval_s},
        "trouble": trouble,
        "channels": list(rows),
        "summary": {"total": len(rows), "ready": len(rows) - waiting, "waiting": waiting},
    }
