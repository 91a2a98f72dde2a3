"""All policies and the record of their changes: what a command would change, and what is told."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

from cl_revenue_ops.domain.policy.edits import apply, in_entry, retagged
from cl_revenue_ops.domain.policy.fields import Fault
from cl_revenue_ops.domain.policy.rows import shown
from cl_revenue_ops.domain.policy.terms import ended
from messages.policies import PeerPolicy, PolicyEdit

SET, DELETED, EXPIRED = "set", "deleted", "expired"
TAGGED, UNTAGGED = "tagged", "untagged"
WHATS = (SET, DELETED, TAGGED, UNTAGGED, EXPIRED)
_SLACK = 500


class Change(NamedTuple):
    """One change of one peer's policy; None stands for no policy.

    `seq` grows by one with each and is never reused. `stamp_s` is the whole second by which
    clients find it, `at_s` the time it was made.
    """

    seq: int
    stamp_s: int
    at_s: float
    peer_id: str
    what: str
    before: PeerPolicy | None
    after: PeerPolicy | None


class Past(NamedTuple):
    """A change as it was recorded, without what was before it."""

    seq: int
    stamp_s: int
    at_s: float
    peer_id: str
    what: str
    after: PeerPolicy | None


@dataclass
class PolicyBook:
    """What holds, and the newest change of each peer. Nothing changes but by `take` and `seal`.

    A change is stamped with its whole second; one that comes after a client was told of changes
    up to a second gets a later stamp. So whoever asks for what is newer than the newest stamp that
    it was told misses nothing and sees nothing twice, whatever the clock does. `seq` is the number
    of the newest change, `oldest` number and stamp of the oldest that is still on record.
    """

    policies: dict[str, PeerPolicy] = field(default_factory=dict)
    newest: dict[str, Past] = field(default_factory=dict)
    seq: int = 0
    stamp_s: int = 0
    oldest: tuple[int, int] = (1, 0)
    _told_s: int = 0
    _order: list[str] = field(default_factory=list)
    _ends: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._order = sorted(self.policies)
        for policy in self.policies.values():
            self._note_end(policy)

    # -- planning -----------------------------------------------------------------------------

    def edited(
        self, edits: Sequence[PolicyEdit], now_s: float, *, batch: bool
    ) -> tuple[dict[str, PeerPolicy], list[Change]] | Fault:
        """What all named peers have after these edits, in order, and the changes that it takes.

        Edits of one peer build on each other and are one change. All or none.
        """
        made: dict[str, PeerPolicy] = {}
        for number, edit in enumerate(edits, 1):
            peer_id = edit.peer_id
            policy = apply(edit, made.get(peer_id, self.policies.get(peer_id)), now_s)
            if isinstance(policy, Fault):
                return in_entry(number, policy) if batch else policy
            made[peer_id] = policy
        changes = self._changes(SET, made.items(), now_s)
        made.update((change.peer_id, change.after) for change in changes if change.after)
        return made, changes

    def tagged(
        self, peer_id: str, tag: str, add: bool, now_s: float
    ) -> tuple[tuple[str, ...], list[Change]] | Fault:
        """The tags of a peer after this one came or went, and the change, where it takes one."""
        policy = retagged(self.policies.get(peer_id), peer_id, tag, add)
        if isinstance(policy, Fault):
            return policy
        if peer_id not in self.policies and not policy.tags:
            return (), []
        what = TAGGED if add else UNTAGGED
        return policy.tags, self._changes(what, [(peer_id, policy)], now_s)

    def deleted(self, peer_id: str, now_s: float) -> list[Change]:
        """The change that drops a policy; none where there is none."""
        return self._changes(DELETED, [(peer_id, None)], now_s)

    def expired(self, now_s: float) -> list[Change]:
        """The changes that drop all policies that have ended, the earliest end first."""
        over = [p for p in self.policies.values() if ended(p, now_s)]
        over.sort(key=lambda p: (p.expires_at_s or 0.0, p.peer_id))
        return self._changes(EXPIRED, [(policy.peer_id, None) for policy in over], now_s)

    def _changes(
        self, what: str, wanted: Iterable[tuple[str, PeerPolicy | None]], now_s: float
    ) -> list[Change]:
        stamp_s = max(int(now_s), self.stamp_s, self._told_s + 1)
        changes: list[Change] = []
        for peer_id, policy in wanted:
            before = self.policies.get(peer_id)
            if policy == before:
                continue
            seq = self.seq + len(changes) + 1
            after = None if policy is None else policy._replace(updated_at_s=float(stamp_s))
            changes.append(Change(seq, stamp_s, now_s, peer_id, what, before, after))
        return changes

    # -- taking in ----------------------------------------------------------------------------

    def take(self, changes: Iterable[Change]) -> None:
        """These changes are stored: they hold."""
        for change in changes:
            seq, stamp_s, at_s, peer_id, what, _, after = change
            if (after is not None) != (peer_id in self.policies):
                place = bisect_left(self._order, peer_id)
                self._order[place : place + (after is None)] = [] if after is None else [peer_id]
            if after is None:
                self.policies.pop(peer_id, None)
            else:
                self.policies[peer_id] = after
                self._note_end(after)
            self.remember(Past(seq, stamp_s, at_s, peer_id, what, after))

    def _note_end(self, policy: PeerPolicy) -> None:
        if policy.expires_at_s is None:
            return
        heappush(self._ends, (policy.expires_at_s, policy.peer_id))
        if len(self._ends) > 2 * len(self.policies) + _SLACK:
            self._ends = sorted({end for end in self._ends if not self._is_past(*end)})

    def remember(self, past: Past) -> None:
        """A change is on record, as the newest of its peer and of all."""
        if self.oldest[0] > past.seq or not self.newest:
            self.oldest = past.seq, past.stamp_s
        self.newest[past.peer_id] = past
        self.seq, self.stamp_s = past.seq, max(self.stamp_s, past.stamp_s)

    def seal(self) -> None:
        """A client is told of all changes so far: later ones get later stamps."""
        self._told_s = max(self._told_s, self.stamp_s)

    def forget(self, keep: int) -> None:
        """Let older changes than the newest `keep` go, in steps; those of what holds stay."""
        if self.seq - self.oldest[0] < keep + _SLACK:
            return
        gone = self.seq - keep
        left = {
            peer_id: past
            for peer_id, past in self.newest.items()
            if past.seq > gone or peer_id in self.policies
        }
        stamps = [past.stamp_s for past in self.newest.values() if past.seq <= gone]
        self.newest = left
        self.oldest = gone + 1, max([self.oldest[1], *stamps])

    # -- telling ------------------------------------------------------------------------------

    def holding(self, now_s: float) -> list[PeerPolicy]:
        """All policies that hold, by peer_id."""
        found = [self.policies[peer_id] for peer_id in self._order]
        end_s = self.next_end_s()
        if end_s is None or now_s < end_s:
            return found
        return [policy for policy in found if not ended(policy, now_s)]

    def of(self, peer_id: str, now_s: float) -> PeerPolicy:
        """What holds for a peer: its policy, or the defaults."""
        policy = self.policies.get(peer_id)
        return PeerPolicy(peer_id) if policy is None or ended(policy, now_s) else policy

    def next_end_s(self) -> float | None:
        """When the next policy ends; None where none does."""
        ends = self._ends
        while ends and self._is_past(*ends[0]):
            heappop(ends)
        return ends[0][0] if ends else None

    def _is_past(self, end_s: float, peer_id: str) -> bool:
        """Whether an end that was noted is no longer that of the peer's policy."""
        policy = self.policies.get(peer_id)
        return policy is None or policy.expires_at_s != end_s

    def changed_since(self, since_s: int, now_s: float) -> list[dict[str, object]]:
        """The newest change of each peer that is later than `since_s`, the newest first.

        Changes in the second `since_s` itself are among them as long as nobody was told of any in
        it: then whoever asks has that second from a clock and not from an answer.
        """
        least_s = since_s if since_s > self._told_s else since_s + 1
        found = [past for past in self.newest.values() if past.stamp_s >= least_s]
        found.sort(key=lambda past: (past.stamp_s, past.seq), reverse=True)
        return [_told(past, now_s) for past in found]

    def complete_since(self, since_s: int) -> bool:
        """Whether no change later than `since_s` has gone from the record."""
        return self.oldest[0] <= 1 or since_s >= self.oldest[1]


def _told(past: Past, now_s: float) -> dict[str, object]:
    policy = past.after or PeerPolicy(past.peer_id)
    row = shown(policy._replace(updated_at_s=float(past.stamp_s)), now_s)
    return {**row, "change": past.what, "deleted": past.after is None}


def opened(
    policies: Mapping[str, PeerPolicy], record: Iterable[Past], newest_seq: int
) -> PolicyBook:
    """The book as it was stored; `record` in the order of `seq`, up to `newest_seq` at most.

    Whoever asked before may have been told of everything in it.
    """
    book = PolicyBook(dict(policies))
    for past in record:
        book.remember(past)
    for peer_id, policy in book.policies.items():
        past_of = book.newest.get(peer_id)
        if past_of is None or past_of.after != policy:
            stamp_s = int(policy.updated_at_s)
            book.newest[peer_id] = Past(0, stamp_s, policy.updated_at_s, peer_id, SET, policy)
            book.stamp_s = max(book.stamp_s, stamp_s)
    book.seq = max(book.seq, newest_seq)
    book.seal()
    return book
