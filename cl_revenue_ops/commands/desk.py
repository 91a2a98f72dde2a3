"""The front desk: what a command may look at on the I/O thread, and how it hands work on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cl_revenue_ops.callbook import CallBook, Rendered, render
from cl_revenue_ops.config import SettingsBook
from cl_revenue_ops.domain.channels import by_scid
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.ports import Clock
from cl_revenue_ops.runtime.board import Board
from cl_revenue_ops.runtime.post_office import PostOffice
from messages.base import Command
from messages.channels import ChannelEntry, ChannelSnapshot

VERSION = "3.0.0"
BUSY = "too many calls are open; try again in a moment"


@dataclass(frozen=True)
class HandOn:
    """Work for an owner: `build(call_id, reply_to, deadline_s)` makes its command."""

    address: str
    build: Callable[[str, str, float], Command]
    patience_s: float = 60.0


class NotServed(Exception):
    """The request is sound but cannot be served now; the message says why, in one line."""


class FrontDesk:
    """Reads notices and never blocks; `book()` gives the settings last accepted."""

    def __init__(
        self,
        *,
        board: Board,
        gate: WriteGate,
        clock: Clock,
        post: PostOffice,
        book: Callable[[], SettingsBook],
        calls: CallBook,
        breakers: Callable[[], object],
        counters: Callable[[], Mapping[str, object]],
        started_at_s: float,
    ) -> None:
        self.board = board
        self.gate = gate
        self.clock = clock
        self.post = post
        self.book = book
        self.calls = calls
        self.breakers = breakers
        self.counters = counters
        self.started_at_s = started_at_s
        self._texts: dict[str, tuple[tuple[Any, ...], Rendered]] = {}
        self._index: tuple[ChannelSnapshot | None, dict[str, str], dict[str, ChannelEntry]]
        self._index = (None, {}, {})

    def notice(self, name: str) -> Any:
        """The body of an actor's notice, None when it has put up none."""
        notice = self.board.read(name)
        return notice.body if notice is not None else None

    def channels(self) -> dict[str, ChannelEntry]:
        """Every channel by channel_id; NotServed until the channels were read."""
        return self._indexed()[1]

    def channel(self, name: str) -> ChannelEntry | None:
        """The channel of this scid (any it ever had) or channel_id; None where there is none."""
        scids, entries = self._indexed()
        return entries.get(scids.get(name, name))

    def channels_of(self, peer_id: str) -> list[ChannelEntry]:
        """The open channels with this peer."""
        return [e for e in self.channels().values() if e.peer_id == peer_id and not e.closed]

    def require_room(self) -> None:
        """NotServed when no further call can be opened: ask before an order takes effect."""
        if self.calls.full():
            raise NotServed(BUSY)

    def rendered(
        self, name: str, sources: tuple[Any, ...], make: Callable[..., object]
    ) -> Rendered:
        """`make(*sources)` as JSON text, made anew only when one of the sources is another one."""
        kept = self._texts.get(name)
        if kept is None or any(a is not b for a, b in zip(kept[0], sources, strict=True)):
            kept = sources, Rendered(render(make(*sources)))
            self._texts[name] = kept
        return kept[1]

    def _indexed(self) -> tuple[dict[str, str], dict[str, ChannelEntry]]:
        snapshot = self.notice("channel-registry")
        if not isinstance(snapshot, ChannelSnapshot):
            raise NotServed("the channels have not been read from the node yet; try again soon")
        indexed, scids, entries = self._index
        if indexed is not snapshot:
            entries = {entry.channel_id: entry for entry in snapshot.channels}
            scids = by_scid(snapshot.channels)
            self._index = (snapshot, scids, entries)
        return scids, entries
