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
        if changed:
            self._store.save(changed)
        self._version += 1
        snapshot = ChannelSnapshot(self._version, self.now(), tuple(self._known.values()))
        self.context.publish(snapshot)
        self.post_notice(snapshot)
        self.context.after(READ_S, RegistryTick())

    def _recall(self) -> None:
        """Without any reading yet, tell at least which channels were known.

        It goes to those who must recognise channels and not to the board: operators are shown
        what the node said. Where nothing is known nothing is told.
        """
        if self._known and not self.context.post.retained([ChannelSnapshot]):
            self._version += 1
            known = tuple(self._known.values())
            self.context.publish(ChannelSnapshot(self._version, 0.0, known, fresh=False))
