"""The repository of the PolicyEngine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from cl_revenue_ops.ports.stores import Store


class PolicyRow(NamedTuple):
    """A change of one peer's policy; `body` is the policy after it as JSON, None for none.

    Of a stored one every field may be anything: files are torn by others.
    """

    seq: int
    stamp_s: int
    at_s: float
    peer_id: str
    what: str
    body: str | None


class StoredPolicies(NamedTuple):
    """peer_id -> policy text, the changes on record in their order, the newest number ever used."""

    policies: Mapping[str, str]
    changes: tuple[PolicyRow, ...]
    newest_seq: int


class PolicyStore(Store, Protocol):
    """What holds for each peer, and the record of the changes that led there."""

    def load(self) -> StoredPolicies: ...

    def record(self, changes: Sequence[PolicyRow], keep: int) -> None:
        """Store these changes and what holds after them, together.

        Only the newest `keep` changes stay on record. The numbers must be new. They survive a kill
        of the process at once, and a loss of power once CareStore.flush was called.
        """
        ...

    def load_idle(self) -> Mapping[str, tuple[int, float]]:
        """channel_id -> (outgoing forwards, seconds observed) at the last outgoing forward."""
        ...

    def save_idle(self, marks: Mapping[str, tuple[int, float]]) -> None:
        """Replace all marks."""
        ...
