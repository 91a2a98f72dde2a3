"""The ClbossKeeper: tells CLBoss which peers to leave alone, and gives back what it took."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from actors.base import HouseActor, handles
from actors.clboss_hand import BossHand
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain import clboss, clboss_report
from cl_revenue_ops.domain.clboss import Wish
from cl_revenue_ops.domain.clboss_report import Reverts, Standing
from cl_revenue_ops.gate import PAUSES, STOPPING, WriteGate
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import (
    NO_TAGS,
    Boss,
    BossAbsent,
    BossStore,
    IgnoreOrder,
    PortError,
    WriteRefused,
)
from cl_revenue_ops.runtime.actor import Context
from messages.boss import (
    BossSoon,
    BossTick,
    BossTouched,
    ContinueBoss,
    ForeignFee,
    IgnorePeer,
    ReadBoss,
    RemanagePeer,
    UnignorePeer,
)
from messages.channels import ChannelSnapshot
from messages.fees import FeesPutBack
from messages.policies import PeerPolicy, PolicySnapshot

FIRST_S = 10.0
SOON_S = 2.0
HOUR_S = 3600.0
RETRY_S = 300.0
FRESH_S = 60.0
LEAVING_S = 0.35
LEAVING_MOST = 200
# While nobody waits: less than a handler may take.
GIVING_BACK_S = 10.0
GIVING_BACK_MOST = 2_000
OFF = "revenue-ops-clboss-enabled is false"


class ClbossKeeper(HouseActor):
    """Optional. Alone in writing to CLBoss, so that reading and replacing a set is one act.

    Blocks on CLBoss, and others need not: nobody waits for it. Where a thing cannot be told, it
    stays remembered and is told later.
    """

    def __init__(
        self,
        context: Context,
        *,
        store: BossStore,
        boss: Boss,
        identity: Identity,
        gate: WriteGate,
    ) -> None:
        super().__init__(context)
        self._identity = identity
        self._gate = gate
        self._hand = BossHand(context, store, boss)
        self._managed: frozenset[str] | None = None
        self._policies: Mapping[str, PeerPolicy] | None = None
        self._reverts = Reverts()
        self._absent = False
        self._misses = 0
        self._trouble: str | None = None

    # -- what is heard ------------------------------------------------------------------------

    def recover(self) -> None:
        who = self._identity.learn()
        self._hand.recall(who.node_id, who.network)
        self.context.after(FIRST_S, BossTick())
        self._show()

    def configured(self, old: Config, new: Config) -> None:
        if old.clboss_enabled != new.clboss_enabled:
            self.context.after(SOON_S, BossTick())
        elif (old.paused, old.dry_run) != (new.paused, new.dry_run):
            self._soon()

    @handles(ChannelSnapshot)
    def _channels(self, message: ChannelSnapshot) -> None:
        if message.fresh:
            self._managed = clboss.managed_peers(message.channels)
            self._soon()

    @handles(PolicySnapshot)
    def _heard_policies(self, message: PolicySnapshot) -> None:
        self._policies = {policy.peer_id: policy for policy in message.policies}
        self._soon()

    @handles(ForeignFee)
    def _foreign_fee(self, message: ForeignFee) -> None:
        since_s = self._hand.fee_since_s.get(message.peer_id)
        if self.config.clboss_enabled:
            self._reverts.note(message, since_s, self.config.fee_interval)

    def _soon(self) -> None:
        self.context.after(SOON_S, BossSoon())

    # -- putting right what differs -----------------------------------------------------------

    @handles(BossTick)
    def _tick(self, message: BossTick) -> None:
        self.context.after(HOUR_S, BossTick())
        self._hand.begin_round()
        self._put_right()

    @handles(BossSoon)
    def _changed(self, message: BossSoon) -> None:
        if self._absent or self._closed() is not None or self._silent():
            # Nothing can be told, or need be; the next tick looks again.
            return
        if self._hand.read_at_s is None or self._hand.differing(self._wishes()):
            self._put_right()

    @handles(BossTouched)
    def _touched(self, message: BossTouched) -> None:
        """It has started, perhaps: that it was absent is believed for no longer than before."""
        if self._absent:
            self._misses = 0
            self.context.after(RETRY_S, BossTick())

    @handles(ContinueBoss)
    def _continue(self, message: ContinueBoss) -> None:
        self._put_right()

    def _put_right(self) -> None:
        """Read and tell once; what is left over comes in the next step, or at the next try."""
        if self._silent():
            self._note(None)
            return
        untold = self._exchange(self._wishes())
        self._misses = self._misses + 1 if self._absent else 0
        if untold is not None or self._closed() is not None:
            # Most nodes have none, and one that comes is announced.
            wait_s = RETRY_S * 2.0 ** min(max(self._misses - 1, 0), 10)
            self.context.after(min(wait_s, HOUR_S), BossTick())
        elif self._hand.differing(self._wishes()):
            self.context.tell(self.context.address, ContinueBoss())

    def _exchange(self, wishes: Mapping[str, Wish]) -> str | None:
        """Read, and tell what differs of these; None, or why that was not possible."""
        try:
            self._hand.read()
            self._hand.write(wishes)
        except BossAbsent as error:
            self._absent = True
            self._hand.standing = {}
            self._hand.fee_since_s = {}
            return self._note(str(error))
        except WriteRefused:
            # The gate says why, and is asked by whoever wants to know.
            return self._note(None)
        except PortError as error:
            self._absent = False
            return self._note(f"CLBoss could not be read or told: {error}")
        self._absent = False
        return self._note(None)

    def _wishes(self) -> dict[str, Wish]:
        """What shall hold for every peer of which something is known here, in order."""
        hand, now_s, on = self._hand, self.now(), self.config.clboss_enabled
        managed = self._managed
        peers = dict.fromkeys([*sorted(managed or NO_TAGS), *hand.claims, *hand.orders])
        wishes = {}
        for peer_id in peers:
            own: frozenset[str] | None = NO_TAGS
            if on and (managed is None or peer_id in managed):
                known = managed is not None and self._policies is not None
                policy = (self._policies or {}).get(peer_id)
                own = clboss.own_tags(policy, now_s) if known else None
            order = hand.orders.get(peer_id)
            wishes[peer_id] = Wish(own, NO_TAGS if order is None else order.tags, on)
        return wishes

    def _wish(self, peer_id: str) -> Wish:
        return self._wishes().get(peer_id, Wish(NO_TAGS, NO_TAGS, self.config.clboss_enabled))

    def _silent(self) -> bool:
        """Whether CLBoss is neither asked nor told: switched off, and nothing to take back."""
        if self.config.clboss_enabled:
            return False
        orders = self._hand.orders
        return not any(
            tag not in (orders[peer_id].tags if peer_id in orders else NO_TAGS)
            for peer_id, claims in self._hand.claims.items()
            for tag in claims
        )

    def _closed(self) -> str | None:
        return self._gate.closed_because()

    # -- leaving ------------------------------------------------------------------------------

    @handles(FeesPutBack)
    def _fees_put_back(self, message: FeesPutBack) -> None:
        """The operator leaves, and the pause that began it must not keep CLBoss away for good."""
        self._give_back(GIVING_BACK_S, GIVING_BACK_MOST, (STOPPING, *PAUSES))
        self._show()

    def close_down(self) -> None:
        """Give back what managing peers took, quickly; what cannot be stays remembered.

        Nobody sets those fees while this plugin is away. What was ordered stays at CLBoss.
        """
        self._give_back(LEAVING_S, LEAVING_MOST, (STOPPING,))

    def _give_back(self, patience_s: float, most: int, apart_from: Container[str]) -> None:
        wishes = {
            peer_id: Wish(NO_TAGS, wish.ordered, adding=False)
            for peer_id, wish in self._wishes().items()
        }
        hand = self._hand
        left = [p for p, c in hand.claims.items() if any(t not in wishes[p].ordered for t in c)]
        if not left:
            return
        try:
            hand.give_back(wishes, patience_s, most, apart_from)
            left = [
                p for p in left if any(t not in wishes[p].ordered for t in hand.claims.get(p, ()))
            ]
            why = "no time was left"
        except PortError as error:
            why = str(error)
        if left:
            self.context.log.info(f"CLBoss was not told that it has {len(left)} peers back: {why}")

    # -- orders -------------------------------------------------------------------------------

    @handles(IgnorePeer)
    def _ignore(self, message: IgnorePeer) -> None:
        order = IgnoreOrder(message.peer_id, message.reason, self.now(), frozenset(clboss.IGNORED))
        if not self._record(message, order):
            return
        untold = self._obey(message.peer_id, True)
        told = clboss_report.policy_sentence(self._wish(message.peer_id))
        self.answer(message, clboss_report.ignored(order, untold, told))

    @handles(UnignorePeer)
    def _unignore(self, message: UnignorePeer) -> None:
        peer_id = message.peer_id
        was = peer_id in self._hand.orders
        if was and not self._record(message, None):
            return
        untold = self._obey(peer_id, was)
        stays = clboss_report.what_stays(clboss.IGNORED, self._standing(peer_id))
        self.answer(message, clboss_report.unignored(peer_id, was, untold, stays))

    @handles(RemanagePeer)
    def _remanage(self, message: RemanagePeer) -> None:
        peer_id, tag = message.peer_id, message.tag
        asked = clboss.IGNORED if tag is None else (tag,)
        order = self._hand.orders.get(peer_id)
        changed = order is not None and any(other in order.tags for other in asked)
        if order is not None and changed:
            kept = order.tags.difference(asked)
            if not self._record(message, order._replace(tags=kept) if kept else None):
                return
        untold = self._obey(peer_id, changed)
        stays = clboss_report.what_stays(asked, self._standing(peer_id))
        self.answer(message, clboss_report.remanaged(peer_id, tag, changed, untold, stays))

    def _record(
        self, message: IgnorePeer | UnignorePeer | RemanagePeer, order: IgnoreOrder | None
    ) -> bool:
        """Remember an order before it is obeyed; False where that failed and was answered."""
        try:
            self._hand.order(message.peer_id, order)
        except PortError as error:
            self.refuse(message, f"nothing has changed: it could not be stored ({error})")
            return False
        return True

    def _obey(self, peer_id: str, changed: bool) -> str | None:
        """Tell CLBoss of one peer now; None where it knows, else why it does not yet.

        `changed` tells whether there is anything new to tell.
        """
        wish = self._wish(peer_id)
        if not self.config.clboss_enabled:
            self._soon()
            self._show()
            return f"CLBoss is not told: {OFF}"
        self._hand.try_again(peer_id)
        trouble = self._exchange({peer_id: wish})
        if trouble is not None:
            self.context.after(RETRY_S, BossTick())
            return f"{trouble}; it is told as soon as it can be" if changed else trouble
        refused = self._hand.unwritable.get(peer_id)
        if refused is not None:
            return f"CLBoss does not take it: {refused}"
        if peer_id in self._hand.differing({peer_id: wish}):
            self.context.after(RETRY_S, BossTick())
            return f"CLBoss is told when writing is allowed again ({self._closed()})"
        held = self._hand.claims.get(peer_id, {})
        if wish.own is None and (clboss.OWN - wish.ordered) & frozenset(held):
            return "part of it is told when it is known which peers are managed from here"
        return None

    # -- telling ------------------------------------------------------------------------------

    @handles(ReadBoss)
    def _read(self, message: ReadBoss) -> None:
        hand = self._hand
        enabled, read_at_s = self.config.clboss_enabled, hand.read_at_s
        if enabled and (read_at_s is None or self.now() - read_at_s >= FRESH_S or self._absent):
            self._exchange({})
        wishes = self._wishes()
        known = enabled and not self._absent and hand.read_at_s is not None
        waiting = [] if not known else list(hand.differing(wishes))
        body: dict[str, object] = {
            "clboss_enabled": enabled,
            "clboss_available": known and self._trouble is None,
            "unmanaged_peers": clboss_report.peer_rows(self._standings()),
            "ignored_count": len(hand.orders),
            "waiting_peers": waiting,
            "unwritable_peers": dict(hand.unwritable),
            "reverted_fees": self._reverts.told(),
        }
        if known:
            body["clboss_status"] = {
                "version": hand.version,
                "read_at": int(hand.read_at_s or 0.0),
                "refused_tags": sorted(self._hand.refused),
            }
        message_text = self._message(waiting)
        if message_text is not None:
            body["message"] = message_text
        self.answer(message, body)

    def _message(self, waiting: Sequence[str]) -> str | None:
        if not self.config.clboss_enabled:
            held = len(self._hand.claims)
            kept = f"; {held} peers still have tags put there from here" if held else ""
            return f"CLBoss is neither asked nor told: {OFF}{kept}"
        if self._trouble is not None:
            return self._trouble
        closed = self._closed()
        return f"nothing is written now: {closed}" if waiting and closed else None

    def _standing(self, peer_id: str) -> Standing:
        hand = self._hand
        tags = hand.standing.get(peer_id, NO_TAGS)
        return Standing(tags, hand.claims.get(peer_id, {}), self._wish(peer_id))

    def _standings(self) -> dict[str, Standing]:
        hand, wishes = self._hand, self._wishes()
        none = Wish(NO_TAGS)
        return {
            peer_id: Standing(tags, hand.claims.get(peer_id, {}), wishes.get(peer_id, none))
            for peer_id, tags in hand.standing.items()
        }

    def _note(self, trouble: str | None) -> str | None:
        if trouble is not None and trouble != self._trouble and not self._absent:
            self.context.log.info(f"clboss: {trouble}")
        self._trouble = trouble
        self._show()
        return trouble

    def _show(self) -> None:
        enabled = self.config.clboss_enabled
        self.post_notice(
            {
                "ignored": clboss_report.ignored_peers(self._hand.orders),
                "warning": self._trouble if enabled else f"CLBoss is not told: {OFF}",
            }
        )
