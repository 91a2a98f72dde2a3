"""The tags of a peer at CLBoss: which are ours, which are wanted, what is written and remembered.

CLBoss keeps one set of tags a peer and does not say who put them there. So this side remembers
what it put there itself (claims), and only a claim is ever taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cl_revenue_ops.domain.channels import USABLE_STATES
from cl_revenue_ops.domain.policy.terms import ended
from cl_revenue_ops.ports import NO_TAGS, Claims
from messages.channels import ChannelEntry
from messages.policies import PeerPolicy

LNFEE, BALANCE, OPEN, CLOSE = "lnfee", "balance", "open", "close"
IGNORED = (LNFEE, BALANCE, OPEN, CLOSE)
"""What an ignored peer is spared."""
OWN = frozenset((LNFEE, BALANCE))
"""What managing a peer from here may take from CLBoss."""

SETTLE_S = 600.0
"""How long a tag whose writing was not answered may still turn up at CLBoss."""


class Wish(NamedTuple):
    """What shall hold for a peer.

    `own` is what managing it from here takes, None while that is not known; `ordered` is what an
    operator ordered. Where not `adding`, tags are only taken away.
    """

    own: frozenset[str] | None
    ordered: frozenset[str] = NO_TAGS
    adding: bool = True


class Plan(NamedTuple):
    """What to write, and what to remember before it is written and after.

    Before, everything that may come to stand counts as ours; after, what does stand.
    """

    tags: frozenset[str]
    added: frozenset[str]
    removed: frozenset[str]
    before: Claims
    after: Claims

    @property
    def writes(self) -> bool:
        """Whether CLBoss is to be told anything."""
        return bool(self.added or self.removed)


def managed_peers(channels: Iterable[ChannelEntry]) -> frozenset[str]:
    """The peers with a channel whose fee can be set, whether they are connected now or not."""
    return frozenset(
        entry.peer_id
        for entry in channels
        if not entry.closed and entry.fact.state in USABLE_STATES
    )


def own_tags(policy: PeerPolicy | None, now_s: float) -> frozenset[str]:
    """What managing this peer takes from CLBoss.

    Its fee unless the policy is passive, its balance unless rebalancing is disabled. A policy
    that has ended is none.
    """
    if policy is None or ended(policy, now_s):
        return OWN
    fee = NO_TAGS if policy.strategy == "passive" else frozenset((LNFEE,))
    balance = NO_TAGS if policy.rebalance == "disabled" else frozenset((BALANCE,))
    return fee | balance


def still_claimed(claims: Claims, standing: frozenset[str], now_s: float) -> Claims:
    """The claims that a reading leaves.

    What does not stand any more was taken away by somebody: if it comes again, it is theirs. A
    tag whose writing was not answered may come late, and is waited for.
    """
    kept: dict[str, float | None] = {}
    for tag, told_s in claims.items():
        if tag in standing:
            kept[tag] = None
        elif told_s is not None and now_s - told_s < SETTLE_S:
            kept[tag] = told_s
    return kept


def plan(
    standing: frozenset[str],
    claims: Claims,
    wish: Wish,
    now_s: float,
    refused: frozenset[str] = NO_TAGS,
) -> Plan:
    """What to tell CLBoss of a peer at which `standing` was just read.

    Added is what is wanted and does not stand, and is ours from then on; taken away is what is
    ours and wanted no more. Everything else stays as it is. `refused` tags are not added.
    """
    claims = still_claimed(claims, standing, now_s)
    wanted = (wish.own or NO_TAGS) | wish.ordered
    kept = wanted | (OWN if wish.own is None else NO_TAGS)
    added = wanted - standing - refused if wish.adding else NO_TAGS
    removed = frozenset(tag for tag in claims if tag in standing and tag not in kept)
    told: dict[str, float | None] = dict.fromkeys(sorted(added), now_s)
    before = {**claims, **told}
    after = {
        tag: None if tag in added else told_s
        for tag, told_s in before.items()
        if tag not in removed
    }
    return Plan((standing | added) - removed, added, removed, before, after)


def differing(
    standing: Mapping[str, frozenset[str]],
    claims: Mapping[str, Claims],
    wishes: Mapping[str, Wish],
    now_s: float,
    refused: frozenset[str] = NO_TAGS,
) -> dict[str, Plan]:
    """The plans that write something, by peer in order."""
    peers = sorted(wishes)
    plans = {
        p: plan(standing.get(p, NO_TAGS), claims.get(p, {}), wishes[p], now_s, refused)
        for p in peers
    }
    return {peer_id: made for peer_id, made in plans.items() if made.writes}
