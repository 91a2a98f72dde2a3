"""The algebra of tags: ours is taken away and nothing else, whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain import clboss
from cl_revenue_ops.domain.clboss import IGNORED, OWN, SETTLE_S, Wish
from cl_revenue_ops.ports import NO_TAGS, Claims
from messages.channels import ChannelEntry, ChannelFact
from messages.policies import REBALANCE_MODES, STRATEGIES, PeerPolicy

TAGS = (*IGNORED, "brandnew")
PEER = "02" + "11" * 32
sets = st.frozensets(st.sampled_from(TAGS))
ordered = st.frozensets(st.sampled_from(IGNORED))
owns = st.one_of(st.none(), st.frozensets(st.sampled_from(sorted(OWN))))
wishes = st.builds(Wish, owns, ordered, st.booleans())
claims = st.dictionaries(st.sampled_from(TAGS), st.one_of(st.none(), st.floats(0, 2_000)))
times = st.floats(0, 4_000)


@given(sets, claims, wishes, times, ordered)
def test_only_claims_are_taken_away_and_only_wishes_are_added(
    standing: frozenset[str], held: Claims, wish: Wish, now_s: float, refused: frozenset[str]
) -> None:
    plan = clboss.plan(standing, held, wish, now_s, refused)
    assert plan.removed <= standing & frozenset(held)
    assert plan.added <= ((wish.own or NO_TAGS) | wish.ordered) - standing - refused
    assert plan.tags == (standing - plan.removed) | plan.added
    assert not plan.added or wish.adding
    assert plan.writes is (plan.tags != standing)


@given(sets, claims, wishes, times)
def test_what_may_stand_is_remembered_before_and_what_stands_after(
    standing: frozenset[str], held: Claims, wish: Wish, now_s: float
) -> None:
    plan = clboss.plan(standing, held, wish, now_s)
    kept = frozenset(clboss.still_claimed(held, standing, now_s))
    assert frozenset(plan.before) == kept | plan.added
    assert frozenset(plan.after) == (kept | plan.added) - plan.removed
    assert frozenset(plan.after) - plan.tags <= kept - standing, "awaited ones alone do not stand"
    # What was there before and is no claim never becomes one.
    assert not frozenset(plan.before) & (standing - frozenset(held))


@given(sets, claims, wishes, times)
def test_told_once_there_is_nothing_left_to_tell(
    standing: frozenset[str], held: Claims, wish: Wish, now_s: float
) -> None:
    plan = clboss.plan(standing, held, wish, now_s)
    again = clboss.plan(plan.tags, plan.after, wish, now_s)
    assert not again.writes


@given(sets, ordered, owns)
def test_after_a_release_exactly_the_former_set_stands(
    former: frozenset[str], order: frozenset[str], own: frozenset[str] | None
) -> None:
    taken = clboss.plan(former, {}, Wish(own, order), 0.0)
    released = clboss.plan(taken.tags, taken.after, Wish(NO_TAGS), 1.0)
    assert released.tags == former
    assert released.after == {}


@given(claims, sets, times)
def test_a_claim_on_what_does_not_stand_ends_unless_its_writing_was_not_answered(
    held: Claims, standing: frozenset[str], now_s: float
) -> None:
    kept = clboss.still_claimed(held, standing, now_s)
    for tag, told_s in held.items():
        awaited = told_s is not None and now_s - told_s < SETTLE_S
        assert (tag in kept) is (tag in standing or awaited)
        assert (kept.get(tag) is None) is (tag in standing or not awaited)


@given(sets, claims, ordered, times)
def test_while_the_policies_are_not_known_what_they_decide_is_left_as_it_is(
    standing: frozenset[str], held: Claims, order: frozenset[str], now_s: float
) -> None:
    plan = clboss.plan(standing, held, Wish(None, order), now_s)
    assert not plan.removed & OWN
    assert plan.added <= order


# -- any history, with kills between any two steps -----------------------------------------------


@dataclass
class World:
    """CLBoss with the truth of who put each tag, and a keeper that may die at any point."""

    by_us: set[str] = field(default_factory=set)
    by_them: set[str] = field(default_factory=set)
    disk: Claims = field(default_factory=dict)
    now_s: float = 0.0

    @property
    def standing(self) -> frozenset[str]:
        return frozenset(self.by_us | self.by_them)

    def operator(self, tags: frozenset[str]) -> None:
        """They keep what they list and add the rest; what they list of ours stays ours."""
        self.by_us &= tags
        self.by_them = set(tags - self.by_us)

    def keeper(self, wish: Wish, dies: int) -> None:
        """Read, record, write, record; dies after so many of the last three."""
        self.disk = clboss.still_claimed(self.disk, self.standing, self.now_s)
        plan = clboss.plan(self.standing, self.disk, wish, self.now_s)
        if dies > 0:
            self.disk = plan.before
        if dies > 1:
            self._write(plan)
        if dies > 2:
            self.disk = plan.after

    def _write(self, plan: clboss.Plan) -> None:
        self.by_us = (self.by_us | plan.added) - plan.removed
        self.by_them -= plan.removed


acts = st.one_of(sets, st.tuples(wishes, st.integers(0, 3)))


@given(sets, st.lists(acts, max_size=12))
def test_theirs_is_never_taken_and_ours_never_left_whoever_dies_when(
    former: frozenset[str], history: list[frozenset[str] | tuple[Wish, int]]
) -> None:
    """A look follows each act: what is taken away and set again between two looks is not seen."""
    world = World(by_them=set(former))
    for act in history:
        if isinstance(act, frozenset):
            world.operator(act)
            theirs = set(world.by_them)
        else:
            theirs = set(world.by_them)
            world.keeper(*act)
        assert frozenset(world.disk) >= world.by_us
        world.now_s += 2 * SETTLE_S
        world.keeper(Wish(None, NO_TAGS, adding=False), 0)
        assert world.by_them == theirs
        assert frozenset(world.disk) >= world.by_us
    world.keeper(Wish(NO_TAGS), 3)
    assert world.by_us == set()
    assert world.disk == {}


# -- what is wanted -----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("rebalance", REBALANCE_MODES)
def test_the_fee_follows_the_strategy_and_the_balance_the_mode(
    strategy: str, rebalance: str
) -> None:
    policy = PeerPolicy(PEER, strategy, rebalance)
    tags = clboss.own_tags(policy, 0.0)
    assert ("lnfee" in tags) is (strategy != "passive")
    assert ("balance" in tags) is (rebalance != "disabled")
    assert tags <= OWN


def test_without_a_policy_and_after_its_end_the_usual_holds() -> None:
    policy = PeerPolicy(PEER, "passive", "disabled", expires_at_s=100.0)
    assert clboss.own_tags(None, 0.0) == OWN
    assert clboss.own_tags(policy, 99.9) == NO_TAGS
    assert clboss.own_tags(policy, 100.0) == OWN


@pytest.mark.parametrize(
    ("state", "connected", "closed", "managed"),
    [
        ("CHANNELD_NORMAL", True, False, True),
        ("CHANNELD_NORMAL", False, False, True),
        ("CHANNELD_AWAITING_SPLICE", True, False, True),
        ("CHANNELD_NORMAL", True, True, False),
        ("CHANNELD_AWAITING_LOCKIN", True, False, False),
        ("ONCHAIN", False, False, False),
    ],
)
def test_who_is_managed(state: str, connected: bool, closed: bool, managed: bool) -> None:
    fact = ChannelFact("aa" * 32, PEER, state, connected, connected)
    entry = ChannelEntry("aa" * 32, PEER, (), 0.0, closed, fact)
    assert clboss.managed_peers([entry]) == (frozenset({PEER}) if managed else NO_TAGS)
