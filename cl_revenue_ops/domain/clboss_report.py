"""What is told of CLBoss: answers to orders, the list of ignored peers, reverted fees, status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cl_revenue_ops.domain import clboss
from cl_revenue_ops.domain.clboss import Wish
from cl_revenue_ops.ports import NO_TAGS, Claims, IgnoreOrder
from messages.boss import ForeignFee

WATCH_SLACK_S = 60.0
"""A fee is looked at once a cycle, and a little later where the cycle takes its time."""

OURS_STAYS = "managed from here (its policy decides: revenue-policy)"
THEIRS_STAYS = "set with CLBoss directly (clboss-unmanage decides)"


class Standing(NamedTuple):
    """How it stands with one peer: its tags at CLBoss, our claims on them, what is wanted."""

    tags: frozenset[str]
    claims: Claims
    wish: Wish

    def kinds(self) -> dict[str, list[str]]:
        """The tags by who wants them: managed from here, ordered, or another's."""
        own = self.wish.own or NO_TAGS
        claimed = frozenset(self.claims)
        return {
            "tags": sorted(self.tags),
            "managed": sorted(self.tags & claimed & own),
            "ordered": sorted(self.tags & self.wish.ordered),
            "foreign": sorted(self.tags - claimed),
        }


def ignored(order: IgnoreOrder, untold: str | None, policy_stays: str) -> dict[str, object]:
    """The answer to an order that CLBoss leaves a peer alone."""
    done = "CLBoss leaves this peer alone" if untold is None else "recorded"
    return {
        "status": "success",
        "action": "ignored",
        "peer_id": order.peer_id,
        "reason": order.reason,
        "tags": sorted(order.tags),
        "told": untold is None,
        "message": f"{done}; {policy_stays}",
        "warning": untold,
    }


def unignored(peer_id: str, was: bool, untold: str | None, stays: str) -> dict[str, object]:
    """The answer to taking that order back; `was` tells whether there was one."""
    done = "not ignored any more" if was else "it was not ignored: nothing has changed"
    return {
        "status": "success",
        "action": "unignored",
        "peer_id": peer_id,
        "changed": was,
        "told": untold is None,
        "message": "; ".join(filter(None, (done, stays))),
        "warning": untold,
    }


def remanaged(
    peer_id: str, tag: str | None, changed: bool, untold: str | None, stays: str
) -> dict[str, object]:
    """The answer to giving tags back; no success where nothing changed and it does not hold."""
    success = changed or (untold is None and not stays)
    what = "everything put there from here" if tag is None else tag
    if changed:
        done = f"given back to CLBoss: {what}" if untold is None else f"recorded: {what} goes back"
    else:
        done = "CLBoss manages it already" if success else "nothing has changed"
    message = "; ".join(filter(None, (done, stays, untold)))
    body: dict[str, object] = {
        "status": "success" if success else "error",
        "success": success,
        "action": "remanage",
        "peer_id": peer_id,
        "tag": "all" if tag is None else tag,
        "told": untold is None,
        "message": message,
    }
    return body if success else {**body, "error": message}


def what_stays(asked: Sequence[str], standing: Standing) -> str:
    """Which of the tags asked about stay unmanaged at CLBoss and why, "" where none does."""
    left = [tag for tag in asked if tag in standing.tags]
    own = standing.wish.own or NO_TAGS
    ours = [tag for tag in left if tag in own]
    ordered = [tag for tag in left if tag in standing.wish.ordered and tag not in ours]
    theirs = [tag for tag in left if tag not in standing.claims and tag not in (*ours, *ordered)]
    parts = ((ours, OURS_STAYS), (ordered, "ordered by revenue-ignore"), (theirs, THEIRS_STAYS))
    return "; ".join(f"{','.join(some)} stays: {why}" for some, why in parts if some)


def ignored_peers(orders: Mapping[str, IgnoreOrder]) -> list[dict[str, object]]:
    """The peers that CLBoss was ordered to leave alone, the newest first."""
    return [
        {
            "peer_id": order.peer_id,
            "reason": order.reason,
            "ignored_at": int(order.since_s),
            "tags": sorted(order.tags),
        }
        for order in sorted(orders.values(), key=lambda o: (-o.since_s, o.peer_id))
    ]


def peer_rows(standings: Mapping[str, Standing]) -> list[dict[str, object]]:
    """A row for each peer with tags at CLBoss."""
    return [
        {"peer_id": peer_id, **standing.kinds()}
        for peer_id, standing in sorted(standings.items())
        if standing.tags
    ]


class Reverts:
    """Fees that others changed although CLBoss was told to leave them alone, since the start."""

    def __init__(self) -> None:
        self._peers: dict[str, dict[str, object]] = {}
        self._counts: dict[str, int] = {}
        self._last: ForeignFee | None = None

    def note(self, fee: ForeignFee, spared_since_s: float | None, cycle_s: float) -> bool:
        """Count a fee if its peer was spared all the time since the fee was last looked at.

        `spared_since_s` is since when the peer is known to be, None where it is not.
        """
        if spared_since_s is None or fee.at_s - spared_since_s < cycle_s + WATCH_SLACK_S:
            return False
        count = self._counts[fee.peer_id] = self._counts.get(fee.peer_id, 0) + 1
        self._peers[fee.peer_id] = {"peer_id": fee.peer_id, "count": count, "last": _shown(fee)}
        self._last = fee
        return True

    def told(self) -> dict[str, object]:
        """`count`, the `last` one, and `peers`."""
        return {
            "count": sum(self._counts.values()),
            "last": None if self._last is None else _shown(self._last),
            "peers": [self._peers[peer_id] for peer_id in sorted(self._peers)],
        }


def _shown(fee: ForeignFee) -> dict[str, object]:
    return {
        "channel_id": fee.channel_id,
        "fee_ppm": fee.fee_ppm,
        "fee_base_msat": fee.base_msat,
        "our_fee_ppm": fee.ours_ppm,
        "at": int(fee.at_s),
    }


def policy_sentence(wish: Wish) -> str:
    """What becomes of our own part in a peer whose tags were ordered."""
    if wish.own is None:
        return "our own policy for it is unchanged"
    sets = "set" if clboss.LNFEE in wish.own else "not set"
    return f"our own policy for it is unchanged: its fee is {sets} from here"
