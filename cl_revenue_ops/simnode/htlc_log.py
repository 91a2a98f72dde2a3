"""The history of HTLCs of channels that live: what listhtlcs shows."""

from __future__ import annotations

from array import array
from typing import Any

_OUT_ADDED, _OUT_DONE = "SENT_ADD_ACK_REVOCATION", "RCVD_REMOVE_ACK_REVOCATION"
_IN_ADDED, _IN_DONE = "RCVD_ADD_ACK_REVOCATION", "SENT_REMOVE_ACK_REVOCATION"


class HtlcLog:
    """Compact rows; `channel` is the number that `number_of` gave to a channel_id."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.channel = array("L")
        self.outgoing = array("B")
        self.htlc_id = array("Q")
        self.amount_msat = array("Q")
        self.expiry = array("L")
        self.updated = array("Q")
        self._hashes: list[str] = []
        self.updated_max = 0

    def add(
        self, channel_id: str, outgoing: bool, htlc_id: int, amount_msat: int, expiry: int,
        payment_hash: str,
    ) -> int:  # fmt: skip
        """File an HTLC and return its created_index."""
        self.channel.append(self._numbers.setdefault(channel_id, len(self._numbers)))
        self.outgoing.append(outgoing)
        self.htlc_id.append(htlc_id)
        self.amount_msat.append(amount_msat)
        self.expiry.append(expiry)
        self.updated.append(0)
        self._hashes.append(payment_hash)
        return len(self.channel)

    def finish(self, row: int) -> None:
        """Mark an HTLC as removed from both commitments."""
        self.updated_max += 1
        self.updated[row - 1] = self.updated_max

    @property
    def created_max(self) -> int:
        """The highest created_index so far; 0 if none."""
        return len(self.channel)

    def page(
        self, scids: dict[str, str], start: int, limit: int | None, by_update: bool
    ) -> list[dict[str, Any]]:
        """Entries of the channels in `scids` (channel_id -> scid) from index `start` on."""
        names = {n: scids[name] for name, n in self._numbers.items() if name in scids}
        places = [n for n in range(len(self.channel)) if self.channel[n] in names]
        if by_update:
            places = sorted((n for n in places if self.updated[n]), key=lambda n: self.updated[n])
        key = self.updated if by_update else range(1, len(self.channel) + 1)
        rows = [self._entry(n, names[self.channel[n]]) for n in places if key[n] >= start]
        return rows if limit is None else rows[:limit]

    def _entry(self, place: int, scid: str) -> dict[str, Any]:
        outgoing, done = bool(self.outgoing[place]), self.updated[place]
        entry: dict[str, Any] = {
            "short_channel_id": scid,
            "created_index": place + 1,
            "id": self.htlc_id[place],
            "expiry": self.expiry[place],
            "amount_msat": self.amount_msat[place],
            "direction": "out" if outgoing else "in",
            "payment_hash": self._hashes[place],
            "state": (_OUT_DONE if done else _OUT_ADDED)
            if outgoing
            else (_IN_DONE if done else _IN_ADDED),
        }
        if done:
            entry["updated_index"] = done
        return entry
