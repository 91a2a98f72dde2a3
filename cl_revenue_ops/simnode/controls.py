"""What a person or a test does to a node and its surroundings: the control verbs."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.simnode import lifecycle
from cl_revenue_ops.simnode.faults import Fault, Faults
from cl_revenue_ops.simnode.model import ForwardRow, Policy
from cl_revenue_ops.simnode.world import World

FORGET_PATIENCE = 1_000


class Controls:
    """Verbs over `world` that a node object offers; channels are named by any of their names."""

    world: World
    faults: Faults

    def open(
        self,
        peer: str,
        capacity_sat: int,
        local_sat: int | None = None,
        *,
        opener: str = "local",
        remote_policy: Policy | None = None,
    ) -> str:
        """Open a channel with the named peer, mine until it is usable, return its channel_id.

        A local open is funded by a deposit made for it.
        """
        peer_id = self.world.add_peer(peer)
        if opener == "local":
            self.world.fund(capacity_sat + capacity_sat // 10 + 100_000)
        channel_id = self.world.open_channel(
            peer_id,
            capacity_sat,
            None if local_sat is None else local_sat * 1000,
            opener=opener,
            remote_policy=remote_policy or Policy(),
        )
        self.world.mine(lifecycle.LOCKIN_BLOCKS)
        return channel_id

    def pay(
        self,
        in_channel: str,
        out_channel: str,
        amount_msat: int,
        fee_msat: int | None = None,
        outcome: str | None = None,
    ) -> ForwardRow:
        """Somebody pays `amount_msat` through us, with our current fee unless told otherwise."""
        if fee_msat is None:
            fee_msat = self.world.channel(out_channel).policy.fee_msat(amount_msat)
        return self.world.forward(
            in_channel, out_channel, amount_msat, amount_msat + fee_msat,
            self.world.clock.now(), outcome,
        )  # fmt: skip

    def close(self, channel: str) -> None:
        """Close mutually and confirm it; the node still knows the channel for 100 blocks."""
        self.world.close(channel)
        self.world.mine(1)

    def force_close(self, channel: str, *, by: str = "local") -> None:
        """Close by force and confirm the commitment transaction."""
        self.world.force_close(channel, by=by)
        self.world.mine(1)

    def cheat(self, channel: str, ours_sat: int) -> None:
        """The peer publishes an old state in which we had `ours_sat`; mine until it is punished."""
        self.world.cheat(channel, ours_sat * 1000)
        self.world.mine(2)

    def forget(self) -> None:
        """Mine until every confirmed close is resolved and forgotten; TimeoutError if none ends."""
        for _ in range(FORGET_PATIENCE):
            if all(channel.state != "ONCHAIN" for channel in self.world.channels.values()):
                return
            self.world.mine(1)
        raise TimeoutError("a close was never resolved")

    def splice(self, channel: str, delta_sat: int, *, by: str = "local") -> str:
        """Splice in (or out, if negative), mine until it is locked, return the txid."""
        if delta_sat > 0 and by == "local":
            self.world.fund(delta_sat + 100_000)
        txid = self.world.splice(channel, delta_sat, by=by)
        self.world.mine(lifecycle.LOCKIN_BLOCKS)
        return txid

    def deposit(self, amount_sat: int) -> str:
        """Somebody pays to our wallet's address; returns "txid:n"."""
        return self.world.fund(amount_sat)

    def withdraw(self, amount_sat: int) -> str:
        """Pay from the wallet to an address outside and confirm it; returns the txid."""
        txid = self.world.withdraw(amount_sat)
        self.world.mine(1)
        return txid

    def mine(self, blocks: int = 1) -> int:
        """Mine blocks and return the height."""
        return self.world.mine(blocks)

    def fault(self, kind: str, target: str = "*", **details: Any) -> Fault | None:
        """Put a fault in force (see Fault), or step the clock by `seconds` ("clock_step")."""
        if kind == "clock_step":
            self.world.clock.step(float(details["seconds"]))
            return None
        return self.faults.add(Fault(kind, target, **details))
