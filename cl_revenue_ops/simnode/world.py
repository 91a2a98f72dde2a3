"""The verbs of the simulated node; every amount msat, every verb under one lock."""

from __future__ import annotations

import heapq
from typing import Any

from cl_revenue_ops.simnode import closing, commitment, lifecycle, payments, routing, wallet
from cl_revenue_ops.simnode import policies as policy_law
from cl_revenue_ops.simnode.forward_log import History
from cl_revenue_ops.simnode.identity import digest
from cl_revenue_ops.simnode.model import Channel, ForwardRow, Htlc, Policy
from cl_revenue_ops.simnode.state import WorldState


class World(WorldState):
    """One node: channels, peers, forwards, money and chain.

    All verbs take `at_s` (unix seconds, default the clock's now): a fact may lie ahead of the
    clock. Channel arguments are channel_ids (64 hex). Verbs raise SimRpcError for what lightningd
    would refuse. `lock` guards everything; `changed` is notified whenever an index grows.
    """

    # -- channels ------------------------------------------------------------------------------

    def open_channel(
        self,
        peer_id: str,
        capacity_sat: int,
        local_msat: int | None = None,
        *,
        opener: str = "local",
        private: bool = False,
        policy: Policy | None = None,
        remote_policy: Policy | None = None,
        established: bool = False,
        at_s: float | None = None,
    ) -> str:
        """Open a channel and return its channel_id.

        `local_msat` is our start balance (default: all if we open, nothing if the peer does; the
        opener pushes the rest). With `established` it is at once CHANNELD_NORMAL, as a channel
        from before the run, announced and paid for in the books at `at_s`; else it waits in
        CHANNELD_AWAITING_LOCKIN until `mine`, and a local open spends wallet outputs (301 if the
        wallet cannot afford it). `remote_policy` is what the peer charges towards us; None means
        that we have not had its channel_update.
        """
        with self.lock:
            return lifecycle.open_channel(
                self, peer_id, capacity_sat * 1000, local_msat, opener=opener, private=private,
                policy=policy or self.default_policy, remote_policy=remote_policy,
                established=established, at_s=self.now(at_s),
            )  # fmt: skip

    def close(self, channel_id: str, *, by: str = "local", at_s: float | None = None) -> None:
        """Begin a mutual close; HTLCs in flight hold it in CHANNELD_SHUTTING_DOWN.

        Mining confirms the closing transaction; 100 blocks later the channel is forgotten.
        """
        with self.lock:
            closing.close(self, self.channel(channel_id), by, self.now(at_s))

    def force_close(self, channel_id: str, *, by: str = "local", at_s: float | None = None) -> None:
        """Broadcast a commitment transaction; HTLCs in flight end on the chain.

        Ours is the one of `by="local"`; it delays our balance by 144 blocks, theirs does not. What
        we offered is taken back at its expiry unless `resolve` settles it before; then the peer
        takes it in the next block. What was offered to us we take once it is settled, and lose at
        its expiry. Transactions of HTLCs on our own commitment need wallet outputs for their fees.
        """
        with self.lock:
            commitment.force_close(self, self.channel(channel_id), by, self.now(at_s))

    def cheat(self, channel_id: str, ours_msat: int, *, at_s: float | None = None) -> None:
        """The peer broadcasts an outdated commitment in which `ours_msat` was our balance.

        In the block after it we take its output as a penalty. HTLCs in flight are lost.
        """
        with self.lock:
            commitment.cheat(self, self.channel(channel_id), ours_msat, self.now(at_s))

    def htlc_ended(self, channel: Channel, htlc: Htlc, fulfilled: bool, at_s: float) -> None:
        """An HTLC of a channel that was closed by force has ended on the chain."""
        with self.lock:
            payments.ended_on_chain(self, channel, htlc, fulfilled, at_s)
            routing.ended_on_chain(self, channel, htlc, fulfilled, at_s)

    def splice(
        self, channel_id: str, delta_sat: int, *, by: str = "local", at_s: float | None = None
    ) -> str:
        """Begin to change the capacity by `delta_sat`, on the side of `by`; returns the txid.

        We add from our wallet, or take out of our balance, fee included. The channel is
        CHANNELD_AWAITING_SPLICE until `mine`; then its scid, funding_txid and total_msat change,
        its channel_id and alias do not.
        """
        with self.lock:
            return lifecycle.splice(self, self.channel(channel_id), delta_sat, by, self.now(at_s))

    def connect(self, peer_id: str, *, at_s: float | None = None) -> None:
        """The peer connects; nothing happens if it is connected."""
        with self.lock:
            lifecycle.connect(self, self.peer(peer_id), self.now(at_s))

    def disconnect(self, peer_id: str, *, at_s: float | None = None) -> None:
        """The peer's connection breaks; its channels carry nothing until it is back."""
        with self.lock:
            lifecycle.disconnect(self, self.peer(peer_id), self.now(at_s))

    def set_channel(
        self,
        channel_id: str,
        *,
        base_msat: int | None = None,
        ppm: int | None = None,
        htlc_min_msat: int | None = None,
        htlc_max_msat: int | None = None,
        enforcedelay_s: int = 600,
        ignore_fee_limits: bool | None = None,
        at_s: float | None = None,
    ) -> dict[str, Any]:
        """Change our policy and return the entry that setchannel reports.

        A policy that is worse for senders leaves exactly one former policy honoured for
        `enforcedelay_s`. An identical policy changes nothing and makes no gossip.
        """
        with self.lock:
            return policy_law.set_channel(
                self, self.channel(channel_id), base_msat=base_msat, ppm=ppm,
                htlc_min_msat=htlc_min_msat, htlc_max_msat=htlc_max_msat,
                enforcedelay_s=enforcedelay_s, ignore_fee_limits=ignore_fee_limits,
                at_s=self.now(at_s),
            )  # fmt: skip

    def policy_at(self, channel_id: str, at_s: float) -> Policy:
        """Our policy on the channel as configured at `at_s` (before the first: the first)."""
        with self.lock:
            return self.channel(channel_id).policy_at(at_s)

    def set_remote_policy(self, channel_id: str, policy: Policy) -> None:
        """The peer's channel_update: what it charges towards us."""
        with self.lock:
            self.channel(channel_id).remote_policy = policy

    # -- traffic -------------------------------------------------------------------------------

    def forward(
        self,
        in_channel_id: str,
        out_channel_id: str,
        out_msat: int,
        in_msat: int,
        at_s: float,
        outcome: str | None = None,
        *,
        hold_s: float = 0.3,
    ) -> ForwardRow:
        """Somebody's payment arrives at `at_s`; returns the row as the node files it.

        The fee left (`in_msat - out_msat`) must satisfy our current or the still honoured former
        policy, and the outgoing channel must have stock, a slot and a connected peer; else the
        forward is local_failed with its failcode. Otherwise it is offered and then, `hold_s`
        later, `settled` (outcome None or "settled") or `failed` downstream; with "pending" it
        stays offered until `resolve`. `out_channel_id` may be a foreign scid. Balances, counters,
        books, HTLC slots and notifications follow.
        """
        with self.lock:
            return routing.forward(
                self, self.channel(in_channel_id), out_channel_id, out_msat, in_msat, at_s,
                outcome or "settled", hold_s,
            )  # fmt: skip

    def preload_forwards(self, history: History) -> None:
        """Append historic forwards at once; no balance, book or notification follows from them."""
        with self.lock:
            self.forwards.preload(history)

    def resolve(
        self, created_index: int, outcome: str = "settled", *, at_s: float | None = None
    ) -> ForwardRow:
        """End a pending forward as settled, failed or local_failed; ValueError if not pending."""
        with self.lock:
            return routing.resolve(self, created_index, outcome, self.now(at_s))

    def autoclean(
        self, age_s: float, *, settled: bool = True, failed: bool = True, at_s: float | None = None
    ) -> int:
        """Delete forwards older than `age_s` and return how many; lifetime fees stay."""
        with self.lock:
            cutoff_s = self.now(at_s) - age_s
            rows = self.forwards.older_than(cutoff_s, True) if settled else []
            rows += self.forwards.older_than(cutoff_s, False) if failed else []
            for created in rows:
                self.forwards.delete(created)
            self.changed.notify_all()
            return len(rows)

    def circular_payment(
        self,
        out_channel_id: str,
        in_channel_id: str,
        amount_msat: int,
        fee_msat: int,
        *,
        ok: bool = True,
        at_s: float | None = None,
    ) -> dict[str, Any]:
        """We pay ourselves over two of our channels; returns the listsendpays entry.

        `amount_msat` arrives on the in channel, `amount_msat + fee_msat` leaves the out channel.
        Not `ok`, or without room on either side: the entry's status is failed.
        """
        with self.lock:
            route = payments.Route(
                self.channel(out_channel_id), self.channel(in_channel_id), amount_msat, fee_msat
            )
            return payments.circular(self, [route], ok, self.now(at_s))[0]

    def circular_parts(
        self, parts: list[tuple[str, str, int, int]], *, ok: bool = True, at_s: float | None = None
    ) -> list[dict[str, Any]]:
        """We pay ourselves in several parts of one payment; returns their listsendpays entries.

        Each part is (out channel, in channel, amount, fee) as in `circular_payment`. They arrive
        together or not at all.
        """
        with self.lock:
            routes = [
                payments.Route(self.channel(out), self.channel(into), amount_msat, fee_msat)
                for out, into, amount_msat, fee_msat in parts
            ]
            return payments.circular(self, routes, ok, self.now(at_s))

    def begin_circular(
        self,
        parts: list[tuple[str, str, int, int]],
        *,
        arrives: bool = True,
        at_s: float | None = None,
    ) -> int:
        """Begin what `circular_parts` does at once; returns the created_index of its first entry.

        Until `end_circular` its entries are pending and it holds an HTLC on each out channel, and
        on each in channel where it `arrives` and finds room. Without room on the first out channel
        it has failed.
        """
        with self.lock:
            routes = [
                payments.Route(self.channel(out), self.channel(into), amount_msat, fee_msat)
                for out, into, amount_msat, fee_msat in parts
            ]
            flight = payments.begin(self, routes, arrives, self.now(at_s))
            return int(flight.rows[0]["created_index"])

    def end_circular(
        self, created_index: int, ok: bool = True, *, at_s: float | None = None
    ) -> list[dict[str, Any]]:
        """End what `begin_circular` began, named by its first entry; ValueError if it has ended.

        Where a part did not arrive, it fails whatever `ok` says.
        """
        with self.lock:
            return payments.end(self, created_index, ok, self.now(at_s))

    def send_payment(
        self,
        out_channel_id: str,
        destination: str,
        amount_msat: int,
        fee_msat: int,
        *,
        at_s: float | None = None,
    ) -> dict[str, Any]:
        """We pay another node over one channel; returns the listsendpays entry."""
        with self.lock:
            outgoing = self.channel(out_channel_id)
            at_s = self.now(at_s)
            return payments.pay(self, outgoing, destination, amount_msat, fee_msat, at_s)

    def receive_payment(
        self, in_channel_id: str, amount_msat: int, *, at_s: float | None = None
    ) -> bool:
        """Somebody pays us over one channel; False if the channel had no room."""
        with self.lock:
            incoming = self.channel(in_channel_id)
            return payments.receive(self, incoming, amount_msat, self.now(at_s))

    # -- chain ---------------------------------------------------------------------------------

    def fund(self, amount_sat: int, *, at_s: float | None = None) -> str:
        """A confirmed deposit to the wallet; returns "txid:n"."""
        with self.lock:
            output = wallet.deposit(self, amount_sat * 1000, self.now(at_s), self.height)
            return f"{output.txid}:{output.index}"

    def withdraw(self, amount_sat: int, *, at_s: float | None = None) -> str:
        """Pay from the wallet to an address outside; returns the txid, 301 if we cannot."""
        with self.lock:
            return wallet.withdraw(self, amount_sat * 1000, self.now(at_s))

    def set_feerate(self, perkw: int) -> None:
        """The mempool's feerate for the next blocks, sat per 1000 weight units; others scale."""
        with self.lock:
            for blocks, share in ((2, 1.0), (6, 0.7), (12, 0.5), (100, 0.3)):
                self.feerates_perkw[blocks] = max(self.floor_perkw, int(perkw * share))

    def chain_fee_msat(self, weight: int) -> int:
        """What a transaction of that weight costs now, in whole satoshi."""
        return self.feerates_perkw[6] * weight // 1000 * 1000

    def mine(self, blocks: int = 1, *, at_s: float | None = None) -> int:
        """Add blocks: transactions confirm, opens and splices lock in; returns the height."""
        with self.lock:
            for _ in range(blocks):
                stamp = self.now(at_s)
                self.height += 1
                waiting, self.mempool = self.mempool, []
                for place, confirm in enumerate(waiting, start=1):
                    confirm(f"{self.height}x{place}x0", stamp)
                while self.due and self.due[0][0] <= self.height:
                    heapq.heappop(self.due)[2](stamp)
                self.emit(
                    "block_added",
                    {"hash": digest(self.seed, "block", self.height), "height": self.height},
                )
            self.changed.notify_all()
            return self.height

    def lose_memory(self) -> None:
        """What a restart of lightningd forgets: the former policies that it still honoured."""
        with self.lock:
            for channel in self.channels.values():
                channel.former = None
