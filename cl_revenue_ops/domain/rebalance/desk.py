"""The rebalancing desk: which moves to make, what was learned of routes, and what is left alone."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.domain.rebalance.facts import Pair, Result, Situation, Survey


class RebalanceDesk:
    """Owns the learned routes and the breakers; a pure object: it asks nobody and has no clock.

    What `pack` gives comes back by `read` exactly: the next search is the same.
    """

    def survey(self, situation: Situation, channel_id: str | None = None) -> Survey:
        """Look at every pair (or all into one channel) and choose the moves to make now."""
        raise NotImplementedError

    def by_hand(
        self,
        situation: Situation,
        source_channel_id: str,
        channel_id: str,
        amount_msat: int,
        max_fee_msat: int | None,
        force: bool,
    ) -> Pair:
        """Return the move that an operator asks for, refused where it must not be made."""
        raise NotImplementedError

    def recheck(self, situation: Situation, pair: Pair) -> str | None:
        """Why a move that was chosen before must not be made any more, None where it still may."""
        raise NotImplementedError

    def learn(self, pair: Pair, result: Result, now_s: float) -> None:
        """Take in what became of a job of this pair."""
        raise NotImplementedError

    def breakers(self, now_s: float) -> list[dict[str, object]]:
        """Return what is left alone for its failures, and until when."""
        raise NotImplementedError

    def pack(self) -> Mapping[str, str]:
        """What is to be kept, as texts by name."""
        raise NotImplementedError

    def read(self, name: str, text: str) -> None:
        """Take in what `pack` gave; anything else raises ValueError, TypeError or KeyError and
        changes nothing."""
        raise NotImplementedError
