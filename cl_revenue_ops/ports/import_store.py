"""The repository of the importer: what was taken from the earlier plugin that nobody else keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from cl_revenue_ops.ports.stores import Store
from messages.exchange import ImportedChannel, ImportedFee, ImportedFeePage


class ImportStore(Store, Protocol):
    """Imported closed channels, changes of fees, and the peers whose policy was imported."""

    def save_channels(self, channels: Sequence[ImportedChannel]) -> int:
        """Add those whose scid is not there; returns how many were new."""
        ...

    def channels(self) -> tuple[ImportedChannel, ...]:
        """All imported channels by scid."""
        ...

    def save_fees(self, fees: Sequence[ImportedFee]) -> int:
        """Add those that are not there (by scid, time and number); returns how many were new."""
        ...

    def known_fees(self, fees: Sequence[ImportedFee]) -> int:
        """How many of these are there already."""
        ...

    def fees(
        self, after: int, limit: int, from_s: float, until_s: float | None
    ) -> ImportedFeePage: ...

    def save_policies(self, peer_ids: Sequence[str], *, done: bool) -> None:
        """Remember that the policies of these peers are being imported, or that they were."""
        ...

    def policies(self) -> Mapping[str, bool]:
        """The peers whose policy was to be imported once, and whether that is known to be done."""
        ...
