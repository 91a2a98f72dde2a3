"""Fee decisions as rows for the store and as answers for an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.fees import explain_belief, record
from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.domain.fees.explain_next import SAID_BY_THE_GATE, Outlook, next_decision
from cl_revenue_ops.domain.fees.facts import ChannelFeeState
from cl_revenue_ops.ports import DecisionRow, StoredDecision
from messages.fees import DecisionLine


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
        body=record.to_text(decision),
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
        body = jsontext.loads(decision.body)
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


def line(stored: StoredDecision) -> DecisionLine:
    """The decision as it is told to others."""
    row = stored.row
    return DecisionLine(
        stored.decision_id,
        row.channel_id,
        row.at_s,
        stored.last_at_s,
        row.action,
        row.code,
        row.old_ppm,
        row.new_ppm,
        row.by_hand,
        stored.repeats,
        stored.outcome,
        row.body,
    )


def foreign(
    states: Mapping[str, ChannelFeeState], scids: Mapping[str, str]
) -> list[dict[str, object]]:
    """Other writers' fees that are left alone for now, the oldest first."""
    held = sorted(
        (state.foreign_since_s or 0.0, channel_id, state.foreign)
        for channel_id, state in states.items()
        if state.foreign is not None
    )
    return [
        {
            "channel_id": scids.get(channel_id, channel_id),
            "fee_ppm": fee.ppm,
            "fee_base_msat": fee.base_msat,
            "since": int(since_s),
        }
        for since_s, channel_id, fee in held
    ]


UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError)


def shown(
    stored: StoredDecision,
    scids: Mapping[str, str],
    book: FeeBook,
    outlook: Outlook,
    *,
    whole: bool,
) -> dict[str, object]:
    """The last decision of a channel and the outlook on its next one.

    The `whole` also has what was believed, each stage in words, the arithmetic and the record. A
    record that cannot be read any more gives what stands beside it, and says so.
    """
    row, skipped = stored.row, stored.row.action == "none"
    blockers: list[str] = []
    try:
        body = jsontext.loads(row.body)
        told = _told(body, skipped)
        found = [why for why in body["blockers"] if why["code"] not in SAID_BY_THE_GATE]
        blockers = [explain_belief.words(why) for why in found]
        if whole:
            told.update(_details(body))
    except UNREADABLE:
        told = {"status": "unreadable", "sentence": "Its record cannot be read."}
        told.update({"record": None} if whole else {})
    peer_id = told.get("peer_id")
    peer_id = peer_id if isinstance(peer_id, str) else None
    return {
        **told,
        "channel_id": scids.get(row.channel_id, row.channel_id),
        "full_channel_id": row.channel_id,
        "outcome": stored.outcome or ("nothing to write" if skipped else "not known"),
        "decided_at": row.at_s,
        "last_decided_at": stored.last_at_s,
        "repeats": stored.repeats,
        "by_hand": row.by_hand,
        "next": next_decision(outlook, book, row.channel_id, peer_id, blockers),
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
        "policy": _policy(body["inputs"]["facts"].get("terms")),
    }


def _policy(terms: Mapping[str, Any] | None) -> dict[str, object] | None:
    """What the peer's policy asked of the fee; None where none held."""
    if terms is None:
        return None
    return {
        "strategy": terms["strategy"],
        "fee_ppm": terms["pin_ppm"],
        "min_fee_ppm": terms["min_ppm"],
        "max_fee_ppm": terms["max_ppm"],
        "fee_multiplier_min": terms["min_multiple"],
        "fee_multiplier_max": terms["max_multiple"],
        "expires_at": terms["until_s"],
    }


def _details(body: dict[str, Any]) -> dict[str, object]:
    """All of a decision; what only the present rules can tell is None for an older record."""
    belief, line = None, None
    if body["version"] in record.RECORD_VERSIONS_READ:
        decision = record.decide_again(body)
        belief, line = explain_belief.belief(decision), explain_belief.arithmetic(decision)
    return {
        "belief": belief,
        "stages": explain_belief.stages(body["verdicts"]),
        "arithmetic": line,
        "record": body,
    }


def report(
    stored: Sequence[StoredDecision],
    scids: Mapping[str, str],
    book: FeeBook,
    outlook: Outlook,
    *,
    whole: bool,
) -> dict[str, object]:
    """The answer of revenue-fee-debug; `whole` for a single channel."""
    rows = [shown(row, scids, book, outlook, whole=whole) for row in stored]
    waiting = sum(1 for entry in rows if entry["status"] == "waiting")
    return {
        "timestamp": int(outlook.now_s),
        "config": {"fee_interval_seconds": outlook.fee_interval_s},
        "trouble": outlook.trouble,
        "channels": rows,
        "summary": {"total": len(rows), "ready": len(rows) - waiting, "waiting": waiting},
    }


def woken(channels: int, closed: str | None) -> dict[str, object]:
    """The answer of revenue-wake-all; `closed` is why nothing is written, None where it is."""
    text = "every held draw is let go and all channels are being decided anew"
    if closed is not None:
        text = f"{text}; nothing is written: {closed}"
    return {"status": "ok", "channels_woken": channels, "message": text}
