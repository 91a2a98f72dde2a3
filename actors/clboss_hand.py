"""How the keeper tells CLBoss: read, remember, write, remember; one reading for a few writes."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from cl_revenue_ops.domain import clboss
from cl_revenue_ops.domain.clboss import Plan, Wish
from cl_revenue_ops.ports import (
    NO_TAGS,
    Boss,
    BossStore,
    Claims,
    IgnoreOrder,
    MalformedReply,
    NodeRefused,
    PortError,
    TimedOut,
)
from cl_revenue_ops.runtime.actor import Context

WRITES_A_STEP = 20


class BossHand:
    """What is remembered and what stands at CLBoss. Blocks on both; raises PortError.

    What may come to stand is remembered before CLBoss is told, so that nothing of ours is taken
    for another's after a crash; what CLBoss did not take is forgotten again.
    """

    def __init__(self, context: Context, store: BossStore, boss: Boss) -> None:
        self._context = context
        self._store = store
        self._boss = boss
        self.claims: dict[str, Claims] = {}
        self.orders: dict[str, IgnoreOrder] = {}
        self.standing: dict[str, frozenset[str]] = {}
        self.fee_since_s: dict[str, float] = {}
        self.unwritable: dict[str, str] = {}
        self._wrote: dict[str, frozenset[str]] = {}
        self.version: str | None = None
        self.read_at_s: float | None = None

    def recall(self, node_id: str, network: str) -> None:
        """Open the store and read what is remembered."""
        self._store.open(node_id, network)
        memory = self._store.load()
        self.claims, self.orders = dict(memory.claims), dict(memory.orders)

    @property
    def refused(self) -> frozenset[str]:
        """The tags that this CLBoss does not know."""
        return self._boss.refused()

    def begin_round(self) -> None:
        """Try again where CLBoss did not take or did not keep what it was told."""
        self.unwritable.clear()
        self._wrote.clear()

    def try_again(self, peer_id: str) -> None:
        """As `begin_round`, for one peer."""
        self.unwritable.pop(peer_id, None)
        self._wrote.pop(peer_id, None)

    def order(self, peer_id: str, order: IgnoreOrder | None) -> None:
        """Remember an order, or that there is none."""
        self._store.save({}, {peer_id: order})
        self.orders.pop(peer_id, None)
        if order is not None:
            self.orders[peer_id] = order

    def read(self, patience_s: float | None = None) -> None:
        """Look at CLBoss, and let go of claims on what does not stand any more."""
        found = self._boss.unmanaged(patience_s)
        now_s = self._context.clock.now()
        self.standing, self.version = dict(found.tags), found.version
        self.read_at_s = now_s
        self.unwritable.update(dict.fromkeys(sorted(found.unreadable), "its tags are unreadable"))
        # What could not be read says nothing of what stands.
        held = {p: c for p, c in self.claims.items() if p not in found.unreadable}
        self._remember(
            {
                p: clboss.still_claimed(claims, self.standing.get(p, NO_TAGS), now_s)
                for p, claims in held.items()
            }
        )
        self._note_fees()

    def differing(self, wishes: Mapping[str, Wish]) -> dict[str, Plan]:
        """What CLBoss would have to be told, as far as it is known; asks nobody."""
        now_s, refused = self._context.clock.now(), self._boss.refused()
        plans = clboss.differing(self.standing, self.claims, wishes, now_s, refused)
        return {p: plan for p, plan in plans.items() if p not in self.unwritable}

    def write(self, wishes: Mapping[str, Wish]) -> None:
        """Tell CLBoss of a few peers. Raises what ended it early: the rest was not told."""
        plans = self.differing(wishes)
        for peer_id, plan in plans.items():
            if self._wrote.get(peer_id) == plan.tags:
                # Told the same again at once, it would be told without end.
                self.unwritable[peer_id] = "CLBoss does not keep what it is told"
        fresh = [item for item in plans.items() if item[0] not in self.unwritable]
        self._tell(fresh[:WRITES_A_STEP])

    def give_back(
        self,
        wishes: Mapping[str, Wish],
        patience_s: float,
        most: int,
        apart_from: Container[str],
    ) -> Sequence[str]:
        """On the way out: read and tell within `patience_s`; the peers that were told."""
        ends_s = self._context.clock.monotonic() + patience_s
        self.read(patience_s)
        plans = list(self.differing(wishes).items())[:most]
        return self._tell(plans, apart_from=apart_from, ends_s=ends_s)

    def _tell(
        self,
        plans: Sequence[tuple[str, Plan]],
        *,
        apart_from: Container[str] = (),
        ends_s: float | None = None,
    ) -> Sequence[str]:
        """Write each plan; where the fate of one is not known, its claims stay as before it."""
        settled = {peer_id: self.claims.get(peer_id, {}) for peer_id, _ in plans}
        if any(plan.added for _, plan in plans):
            self._remember({peer_id: plan.before for peer_id, plan in plans})
        told: list[str] = []
        trouble: PortError | None = None
        for peer_id, plan in plans:
            left_s = None if ends_s is None else ends_s - self._context.clock.monotonic()
            if left_s is not None and left_s <= 0.0:
                break
            # An earlier write may have shown that a tag is not known.
            tags = plan.tags - (plan.added & self.refused)
            if tags == self.standing.get(peer_id, NO_TAGS):
                continue
            try:
                stands = self._boss.unmanage(
                    peer_id,
                    tags,
                    optional=plan.added & {clboss.BALANCE},
                    apart_from=apart_from,
                    patience_s=left_s,
                )
            except NodeRefused as refusal:
                self.unwritable[peer_id] = str(refusal)
                continue
            except PortError as error:
                if isinstance(error, (TimedOut, MalformedReply)):
                    # It may have been taken.
                    settled[peer_id] = plan.before
                trouble = error
                break
            self.standing[peer_id] = self._wrote[peer_id] = stands
            settled[peer_id] = _settled(plan, stands)
            told.append(peer_id)
        self._remember(settled)
        self._note_fees()
        if trouble is not None:
            raise trouble
        return told

    def _remember(self, claims: Mapping[str, Claims]) -> None:
        changed = {p: held for p, held in claims.items() if held != self.claims.get(p, {})}
        if not changed:
            return
        self._store.save(changed, {})
        self.claims.update(changed)
        for peer_id in changed:
            if not self.claims[peer_id]:
                del self.claims[peer_id]

    def _note_fees(self) -> None:
        """Since when CLBoss is known to leave a peer's fees alone, in this process."""
        now_s = self._context.clock.now()
        self.fee_since_s = {
            peer_id: self.fee_since_s.get(peer_id, now_s)
            for peer_id, tags in self.standing.items()
            if clboss.LNFEE in tags
        }


def _settled(plan: Plan, stands: frozenset[str]) -> Claims:
    """The claims after a write, of which CLBoss may have left out a tag."""
    return {
        tag: told_s for tag, told_s in plan.after.items() if tag in stands or tag not in plan.added
    }
