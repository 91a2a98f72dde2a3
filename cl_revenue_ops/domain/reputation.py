"""How much of what a peer sends us settles: a fading record of each incoming peer's forwards."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cl_revenue_ops.domain.flow import finite
from messages.channels import ChannelEntry
from messages.flow import PeerReputation
from messages.forwards import FAILED, SETTLED, LoggedForward

UNKNOWN = 0.5
"""The score of a peer of whom nothing is known, by Laplace's rule."""

NEGLIGIBLE = 0.01
ROW_VERSION = 1


class Record(NamedTuple):
    """Forwards that came from one peer, by outcome; fractions, because they fade."""

    settled: float
    failed: float

    @property
    def weight(self) -> float:
        """How many forwards the record is still worth."""
        return self.settled + self.failed

    @property
    def score(self) -> float:
        """The chance that the next one settles, (s + 1)/(s + f + 2) (Laplace's rule)."""
        return (self.settled + 1.0) / (self.weight + 2.0)


NOTHING = Record(0.0, 0.0)


class Fading(NamedTuple):
    """What is left of a record after each `interval_s`; `decay` is from 0 to 1."""

    decay: float
    interval_s: float

    def left(self, elapsed_s: float) -> float:
        """The share that is left after `elapsed_s`: decay^(elapsed / interval)."""
        return math.pow(self.decay, max(0.0, elapsed_s) / self.interval_s)


class Outcome(NamedTuple):
    """One resolved forward as it speaks for or against the peer that it came from."""

    peer_id: str
    at_s: float
    settled: bool


@dataclass(frozen=True)
class Reputation:
    """The records of all peers as of `at_s` (Unix seconds; None before the first)."""

    at_s: float | None = None
    records: Mapping[str, Record] = field(default_factory=dict)

    def of(self, peer_id: str) -> Record:
        """The record of a peer; an empty one where nothing is known."""
        return self.records.get(peer_id, NOTHING)


def outcomes(
    rows: Iterable[LoggedForward],
    channels: Mapping[str, str],
    entries: Mapping[str, ChannelEntry],
) -> Iterator[Outcome]:
    """What these forwards say of the peers that they came from.

    `channels` maps any scid to its channel_id. Settled speaks for the peer. Failed further down
    speaks against it: who relays probes, jams or payments that find no way offers little to earn.
    A forward that failed here says nothing of it: our balance, our fee or a peer of ours that was
    away decided that, before anybody could see whether the payment was good. Nor does one over a
    channel that nobody knows.
    """
    for row in rows:
        if row.status not in (SETTLED, FAILED):
            continue
        entry = entries.get(channels.get(row.in_scid, ""))
        if entry is not None:
            yield Outcome(entry.peer_id, row.at_s, row.status == SETTLED)


def faded(reputation: Reputation, now_s: float, fading: Fading) -> Reputation:
    """Return the records as of `now_s`.

    Fading goes by elapsed time alone, so it does not matter in how many steps it is done. A time
    before the last (the clock was set back) fades nothing, and counts from then on.
    """
    if reputation.at_s is None:
        return Reputation(now_s, reputation.records)
    left = fading.left(now_s - reputation.at_s)
    records = {
        peer_id: Record(record.settled * left, record.failed * left)
        for peer_id, record in reputation.records.items()
    }
    return Reputation(now_s, records)


def counted(
    reputation: Reputation, seen: Iterable[Outcome], now_s: float, fading: Fading
) -> Reputation:
    """Return the records as of `now_s` with these outcomes, each faded since its own time.

    So it does not matter either when an outcome is heard of.
    """
    reputation = faded(reputation, now_s, fading)
    records = dict(reputation.records)
    for outcome in seen:
        record, left = records.get(outcome.peer_id, NOTHING), fading.left(now_s - outcome.at_s)
        if outcome.settled:
            records[outcome.peer_id] = record._replace(settled=record.settled + left)
        else:
            records[outcome.peer_id] = record._replace(failed=record.failed + left)
    return Reputation(now_s, records)


def without_strangers(reputation: Reputation, peers: Collection[str]) -> Reputation:
    """Return the records without those that are worth next to nothing and whose peer isn't one of
    `peers`, who have channels with us: they would not differ from an unknown peer.
    """
    records = {
        peer_id: record
        for peer_id, record in reputation.records.items()
        if peer_id in peers or record.weight >= NEGLIGIBLE
    }
    return Reputation(reputation.at_s, records)


def told(reputation: Reputation) -> tuple[PeerReputation, ...]:
    """Return what the other actors are told, in the order of the peers' ids."""
    return tuple(
        PeerReputation(peer_id, record.score, record.weight)
        for peer_id, record in sorted(reputation.records.items())
    )


@dataclass(frozen=True)
class Trust:
    """What a forward from a peer counts as evidence; `scores` None: everything counts in full."""

    scores: Mapping[str, float] | None

    @classmethod
    def from_told(cls, reputations: Iterable[PeerReputation] | None) -> Trust:
        """The trust that a flow report speaks of; None where reputation is switched off."""
        if reputations is None:
            return cls(None)
        return cls({peer.peer_id: peer.score for peer in reputations})

    def of(self, peer_id: str) -> float:
        """The score of a peer in (0, 1); 0.5 for an unknown one, 1 while switched off."""
        return 1.0 if self.scores is None else self.scores.get(peer_id, UNKNOWN)


def not_after(reputation: Reputation, now_s: float) -> Reputation:
    """Return the records with a time that lies ahead of the clock moved to `now_s`."""
    if reputation.at_s is None or reputation.at_s <= now_s:
        return reputation
    return Reputation(now_s, reputation.records)


def to_row(reputation: Reputation) -> list[Any]:
    """Return the records as a list that JSON keeps exactly; it begins with its version."""
    records = {peer_id: list(record) for peer_id, record in reputation.records.items()}
    return [ROW_VERSION, reputation.at_s, records]


def from_row(row: Any) -> Reputation:
    """Return the records that `to_row` wrote.

    A row of another version or shape, or with numbers that no counting can have left, raises
    ValueError, TypeError, KeyError, AttributeError or OverflowError.
    """
    version, at_s, records = row
    if version != ROW_VERSION:
        raise ValueError(f"a reputation row of version {version}, not {ROW_VERSION}")
    return Reputation(
        None if at_s is None else finite(at_s),
        {peer_id: _record(values) for peer_id, values in records.items()},
    )


def _record(values: Any) -> Record:
    record = Record(*map(finite, values))
    if min(record) < 0.0:
        raise ValueError("a record of less than no forwards")
    return record
