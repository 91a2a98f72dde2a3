"""The PolicyEngine: owns what operator or fleet want of each peer, and ends what has an end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from actors.base import AskingActor, handles
from actors.policy_advice import PolicyAdvice
from cl_revenue_ops.config import echo
from cl_revenue_ops.domain.policy import book as policy_book
from cl_revenue_ops.domain.policy import fields, rows
from cl_revenue_ops.domain.policy.book import EXPIRED, WHATS, Change, Past, PolicyBook
from cl_revenue_ops.domain.policy.edits import MOST_EDITS
from cl_revenue_ops.domain.policy.fields import Fault
from cl_revenue_ops.domain.policy.rate import MOST_CHANGES, WINDOW_S, RateLimit
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import PolicyRow, PolicyStore, PortError, StoredPolicies
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Command, Refusal
from messages.channels import ChannelSnapshot
from messages.flow import FlowReport
from messages.policies import (
    DeletePolicy,
    PeerPolicy,
    PolicyChanged,
    PolicySnapshot,
    PolicyTick,
    ReadPolicies,
    SetPolicies,
    SuggestPolicies,
    TagPolicy,
)
from messages.store import FlushLog

KEPT_CHANGES = 10_000
# A clock that is set forward is noticed by then; timers run on one that cannot be set.
LOOK_S = 600.0
RETRY_S = 30.0
STOREKEEPER = "storekeeper"
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError)


class PolicyEngine(AskingActor):
    """Plans a change, stores it with its record, and only then holds and tells it.

    Killed anywhere, it is what the database says. A policy holds no more from its end on, whether
    the sweep has come or not.
    """

    def __init__(self, context: Context, *, store: PolicyStore, identity: Identity) -> None:
        super().__init__(context)
        self._store = store
        self._identity = identity
        self._book = PolicyBook()
        self._limit = RateLimit()
        self._advice = PolicyAdvice(context, store)

    # -- start --------------------------------------------------------------------------------

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        self._read(self._store.load())
        self._advice.recover()
        if not self._sweep():
            self._tell()

    def _read(self, stored: StoredPolicies) -> None:
        policies: dict[str, PeerPolicy] = {}
        for peer_id, body in stored.policies.items():
            try:
                policies[peer_id] = rows.unpacked(peer_id, body)
            except UNREADABLE as error:
                what = f"the stored policy of peer {echo(peer_id)}"
                self.context.log.warn(f"{what} is unreadable and left out: {error!r}")
        record = [past for row in stored.changes if (past := self._past(row)) is not None]
        self._book = policy_book.opened(policies, record, stored.newest_seq)
        now_s, mark_s = self.now(), self.context.clock.monotonic()
        for past in record:
            age_s = now_s - past.at_s
            # One from the future says nothing: the clock was set back since.
            if past.what != EXPIRED and 0.0 <= age_s < WINDOW_S:
                self._limit.count(past.peer_id, mark_s - age_s)

    def _past(self, row: PolicyRow) -> Past | None:
        try:
            after = None if row.body is None else rows.unpacked(row.peer_id, row.body)
            stamp_s, at_s = int(row.stamp_s), float(row.at_s)
            if row.what not in WHATS or isinstance(fields.peer_id(row.peer_id), Fault):
                raise ValueError("no such change")
        except UNREADABLE as error:
            what = f"the record of change {row.seq} of a policy"
            self.context.log.warn(f"{what} is unreadable and left out: {error!r}")
            return None
        return Past(row.seq, stamp_s, at_s, row.peer_id, row.what, after)

    # -- changes ------------------------------------------------------------------------------

    @handles(SetPolicies)
    def _set(self, message: SetPolicies) -> None:
        self._sweep()
        if len(message.edits) > MOST_EDITS:
            self.refuse(message, f"a batch has at most {MOST_EDITS} entries", invalid=True)
            return
        outcome = self._book.edited(message.edits, self.now(), batch=message.batch)
        if isinstance(outcome, Fault):
            self.refuse(message, outcome.text, invalid=True)
            return
        made, changes = outcome
        if not self._apply(message, changes):
            return
        shown = [rows.shown(policy, self.now()) for policy in made.values()]
        if message.batch or len(shown) != 1:
            text = f"{len(shown)} policies hold as asked, {len(changes)} of them were changed"
            result = {"updated": len(shown), "changed": len(changes), "policies": shown}
            self.answer(message, {"status": "success", **result, "message": text})
        else:
            text = "the policy is set" if changes else "the policy was so already"
            self.answer(message, {"status": "success", "policy": shown[0], "message": text})

    @handles(TagPolicy)
    def _tag(self, message: TagPolicy) -> None:
        self._sweep()
        peer_id = message.peer_id
        outcome = self._book.tagged(peer_id, message.tag, message.add, self.now())
        if isinstance(outcome, Fault):
            self.refuse(message, outcome.text, invalid=True)
            return
        tags, changes = outcome
        if self._apply(message, changes):
            self.answer(message, {"status": "success", "peer_id": peer_id, "tags": list(tags)})

    @handles(DeletePolicy)
    def _delete(self, message: DeletePolicy) -> None:
        self._sweep()
        peer_id = message.peer_id
        changes = self._book.deleted(peer_id, self.now())
        if not changes:
            text = "this peer has no policy; nothing to delete"
            self.answer(message, {"status": "noop", "peer_id": peer_id, "message": text})
        elif self._apply(message, changes):
            text = "the policy is deleted; the defaults hold"
            self.answer(message, {"status": "success", "peer_id": peer_id, "message": text})

    def _apply(self, command: Command, changes: list[Change]) -> bool:
        """Carry out a command's changes; where they may not or cannot be, it is refused."""
        mark_s = self.context.clock.monotonic()
        for change in changes:
            wait_s = self._limit.wait_s(change.peer_id, mark_s)
            if wait_s > 0.0:
                self.refuse(
                    command,
                    f"rate limit: the policy of peer {change.peer_id} was changed {MOST_CHANGES}"
                    f" times within {WINDOW_S:.0f} s; nothing was changed, try again in"
                    f" {math.ceil(wait_s)} s",
                )
                return False
        try:
            self._commit(changes)
        except PortError as error:
            self.refuse(command, f"no policy was changed: it could not be stored ({error})")
            return False
        for change in changes:
            self._limit.count(change.peer_id, mark_s)
        return True

    def _commit(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        self._store.record(
            [
                PolicyRow(
                    change.seq,
                    change.stamp_s,
                    change.at_s,
                    change.peer_id,
                    change.what,
                    None if change.after is None else rows.packed(change.after),
                )
                for change in changes
            ],
            KEPT_CHANGES,
        )
        self._book.take(changes)
        self._book.forget(KEPT_CHANGES)
        # Waiting for the disk costs more than a client should wait for: somebody else does it.
        self.context.tell(STOREKEEPER, FlushLog())
        self._tell()
        for _, _, at_s, peer_id, what, before, after in changes:
            self.context.publish(PolicyChanged(peer_id, what, before, after, at_s, self._book.seq))

    # -- ends ---------------------------------------------------------------------------------

    @handles(PolicyTick)
    def _tick(self, message: PolicyTick) -> None:
        if not self._sweep():
            self._arm()

    def _sweep(self) -> bool:
        """Drop what has ended; whether anything was dropped. What cannot be stored waits."""
        next_s = self._book.next_end_s()
        if next_s is None or self.now() < next_s:
            return False
        changes = self._book.expired(self.now())
        try:
            self._commit(changes)
        except PortError as error:
            self.context.log.info(f"the end of {len(changes)} policies is not stored yet: {error}")
            return False
        for change in changes:
            strategy = "" if change.before is None else f" ({change.before.strategy})"
            self.context.log.info(
                f"the policy of peer {change.peer_id}{strategy} has ended; the defaults hold"
            )
        return True

    def _arm(self) -> None:
        end_s = self._book.next_end_s()
        if end_s is None:
            self.context.cancel(PolicyTick.__name__)
            return
        wait_s = end_s - self.now()
        self.context.after(min(wait_s, LOOK_S) if wait_s > 0.0 else RETRY_S, PolicyTick())

    # -- reading ------------------------------------------------------------------------------

    @handles(ReadPolicies)
    def _read_policies(self, message: ReadPolicies) -> None:
        self._sweep()
        now_s, book = self.now(), self._book
        if message.what == "get":
            self.answer(
                message, {"policy": rows.shown(book.of(message.peer_id or "", now_s), now_s)}
            )
        elif message.what == "list":
            listed = [rows.shown(policy, now_s) for policy in book.holding(now_s)]
            self.answer(message, {"policies": listed, "count": len(listed)})
        elif message.what == "find":
            found = [
                rows.shown(policy, now_s)
                for policy in book.holding(now_s)
                if message.tag in policy.tags
            ]
            self.answer(message, {"peers": found, "count": len(found), "tag": message.tag})
        elif message.what == "changes":
            self._answer_changes(message, now_s)
        else:
            self.refuse(message, f"policies cannot be read by {message.what}", invalid=True)

    def _answer_changes(self, message: ReadPolicies, now_s: float) -> None:
        since_s = int(message.since_s)
        changes = self._book.changed_since(since_s, now_s)
        self._book.seal()
        self.answer(
            message,
            {
                "changes": changes,
                "count": len(changes),
                "since": since_s,
                "last_change_timestamp": self._book.stamp_s,
                "complete": self._book.complete_since(since_s),
            },
        )

    # -- suggestions --------------------------------------------------------------------------

    @handles(ChannelSnapshot)
    def _channels(self, message: ChannelSnapshot) -> None:
        self._advice.know(message)

    @handles(FlowReport)
    def _flow(self, message: FlowReport) -> None:
        self._advice.hear(message)

    @handles(SuggestPolicies)
    def _suggest(self, message: SuggestPolicies) -> None:
        self._sweep()
        self._advice.begin(message)

    def take(self, reply: Answer | Refusal) -> bool:
        """See AskingActor."""
        return self._advice.take(reply, self._holding())

    def _holding(self) -> dict[str, PeerPolicy]:
        return {policy.peer_id: policy for policy in self._book.holding(self.now())}

    # -- telling ------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Arm for the next end, and tell what holds: to all who read it, and to operators."""
        self._arm()
        now_s = self.now()
        holding = tuple(self._book.holding(now_s))
        self.context.publish(PolicySnapshot(self._book.seq, now_s, holding))
        end_s = self._book.next_end_s()
        self.post_notice(
            {
                "policies": holding,
                "next_end_at": None if end_s is None else int(end_s),
                "version": self._book.seq,
            }
        )
