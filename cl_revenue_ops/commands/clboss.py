"""The commands around CLBoss: orders go to the keeper, the list of them is read from its notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cl_revenue_ops.commands import values
from cl_revenue_ops.commands.binding import Param
from cl_revenue_ops.commands.desk import FrontDesk, HandOn, NotServed
from cl_revenue_ops.domain.clboss import IGNORED
from messages.boss import IgnorePeer, ReadBoss, RemanagePeer, UnignorePeer

KEEPER = "clboss-keeper"
REASON_MOST_CHARS = 200
NO_REASON = "manual"
ALL = "all"


def _tag(name: str) -> Callable[[object], str | None]:
    known = values.word(name, (*IGNORED, ALL))

    def read(raw: object) -> str | None:
        tag = ALL if raw is None else known(raw)
        return None if tag == ALL else tag

    return read


PEER = Param("peer_id", values.node_id("peer_id"), required=True)
REASON = Param("reason", values.line("reason", REASON_MOST_CHARS), default=NO_REASON)
TAG = Param("tag", _tag("tag"))


def status(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    """How it stands with CLBoss."""
    return HandOn(KEEPER, ReadBoss)


def ignore(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    """CLBoss shall leave a peer alone."""
    peer_id, reason = args["peer_id"], args["reason"]
    return HandOn(KEEPER, lambda i, to, by: IgnorePeer(i, to, by, peer_id, reason))


def unignore(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    """Take that back."""
    peer_id = args["peer_id"]
    return HandOn(KEEPER, lambda i, to, by: UnignorePeer(i, to, by, peer_id))


def remanage(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    """Give tags back to CLBoss."""
    peer_id, tag = args["peer_id"], args["tag"]
    return HandOn(KEEPER, lambda i, to, by: RemanagePeer(i, to, by, peer_id, tag))


def list_ignored(desk: FrontDesk, args: Mapping[str, Any]) -> dict[str, object]:
    """The peers ordered to be left alone, from memory."""
    notice = desk.notice(KEEPER)
    if notice is None:
        raise NotServed("the ignored peers have not been read from the database yet; try again")
    ignored = notice["ignored"]
    return {"ignored_peers": ignored, "count": len(ignored), "warning": notice["warning"]}
