"""The ChannelRegistry: knows every channel by channel_id, and all scids that it ever had."""

from __future__ import annotations

from actors.base import HouseActor, handles
from cl_revenue_ops.domain import channels
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import ChannelStore, Node, PortError
from cl_revenue_ops.runtime.actor import Context
from messages.channels import (
    UNREADABLE,
    ChannelEntry,
    ChannelSnapshot,
    ChannelsTouched,
    RegistryTick,
    ScidsFound,
)

READ_S = 900.0
SETTLE_S = 2.0
RETRY_S = 30.0


class ChannelRegistry(HouseActor):
    """Reads listpeerchannels every 15 minutes, and soon after a notification spoke of one."""

    def __init__(
        self, context: Context, *, store: ChannelStore, node: Node, identity: Identity
    ) -> None:
        super().__init__(context)
        self._store = store
        self._node = node
        self._identity = identity
        self._known: dict[str, ChannelEntry] = {}
        self._version = 0
        self._soon = False
        self._seen_closed = False
        self._read_at_s = 0.0

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        self._known = {entry.channel_id: entry for entry in self._store.load()}
        for entry in self._known.values():
            if entry.fact.state == UNREADABLE:
                self.context.log.warn(
                    f"the stored fact of channel {entry.channel_id} is unreadable and left out"
                )
        self._read()

    @handles(RegistryTick)
    def _tick(self, message: RegistryTick) -> None:
        self._read()

    @handles(ChannelsTouched)
    def _touched(self, message: ChannelsTouched) -> None:
        if not self._soon:
            # Notifications come in swarms; one reading serves the whole swarm.
            self._soon = True
            self.context.after(SETTLE_S, RegistryTick())

    @handles(ScidsFound)
    def _scids_found(self, message: ScidsFound) -> None:
        found: dict[str, list[str]] = {}
        for channel_id, scid in message.pairs:
            found.setdefault(channel_id, []).append(scid)
        entries = [
            channels.add_scids(self._known[channel_id], scids)
            for channel_id, scids in found.items()
            if channel_id in self._known
        ]
        changed = [entry for entry in entries if entry != self._known[entry.channel_id]]
        if changed:
            self._store.save(changed)
            self._known.update((entry.channel_id, entry) for entry in changed)
            self._tell()

    def _read(self) -> None:
        self._soon = False
        try:
            reading = self._node.channels()
        except PortError as error:
            self.context.log.info(f"the channels could not be read: {error}")
            self.context.after(RETRY_S, RegistryTick())
            self._recall()
            return
        self._known, changed = channels.merge(
            self._known, reading.facts, self.now(), complete=reading.malformed == 0
        )
        self._read_at_s = self.now()
        self._remember_closed(changed)
        if changed:
            self._store.save(changed)
        self._tell()
        self.context.after(READ_S, RegistryTick())

    def _remember_closed(self, changed: list[ChannelEntry]) -> None:
        """Once in a life: channels that ended before first contact, or while nobody looked."""
        if self._seen_closed:
            return
        try:
            forgotten = self._node.forgotten_channels()
        except PortError as error:
            self.context.log.info(f"the closed channels could not be read: {error}")
            return
        self._seen_closed = True
        new = channels.remember(self._known, forgotten, self.now())
        self._known.update(new)
        changed += new.values()

    def _tell(self) -> None:
        """All channels, with when the node was read for them."""
        self._version += 1
        known, fresh = tuple(self._known.values()), self._read_at_s > 0.0
        snapshot = ChannelSnapshot(self._version, self._read_at_s, known, fresh=fresh)
        self.context.publish(snapshot)
        if fresh:
            self.post_notice(snapshot)

    def _recall(self) -> None:
        """Without any reading yet, tell at least which channels were known.

        It goes to those who must recognise channels and not to the board: operators are shown
        what the node said. Where nothing is known nothing is told.
        """
        if self._known and not self.context.post.retained([ChannelSnapshot]):
            self._tell()
