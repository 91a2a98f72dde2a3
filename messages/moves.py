"""The protocol of what our own payments moved: pages read from the node, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command


class OwnMove(NamedTuple):
    """One movement in a channel by a payment of ours or to us, as the node lists it.

    Either `credit_msat` or `debit_msat` is above zero. `debit_msat` contains `fees_msat`, the
    routing fee that was paid. `at_s` is Unix seconds; indexes grow and are never reused.
    """

    created_index: int
    channel_id: str
    credit_msat: int
    debit_msat: int
    fees_msat: int
    payment_hash: str
    at_s: float


class OwnMovePage(NamedTuple):
    """What our own payments moved, from index `start` on.

    `oldest_s` and `newest_s` are the times of the first and of the latest movement of the page,
    forwards included; None on a page without any. `malformed` rows were left out.
    """

    rows: tuple[OwnMove, ...]
    start: int
    oldest_s: float | None
    newest_s: float | None
    malformed: int = 0


@dataclass(frozen=True)
class ReadOwnMoves(Command):
    """To the node reader: the page of `limit` indexes below `before` (None: the newest).

    Answered with an OwnMovePage, or None where the node does not list its movements.
    """

    before: int | None
    limit: int
