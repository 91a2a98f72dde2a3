"""What the reference page says of the commands around CLBoss."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.commands.reference_text import CommandText

_PEER = "a node id of 66 hex digits; it need not be a peer"
_KEEPER = (
    "By the ClbossKeeper: stored first, then CLBoss is read and told. Where it cannot be told now,"
    " it is told later, and the answer says so."
)
_NOT_STORED = "an order that could not be stored: a result with `error`; nothing has changed"

BOSS_TEXTS: Mapping[str, CommandText] = {
    "revenue-clboss-status": CommandText(
        "`clboss_enabled`, `clboss_available`; `unmanaged_peers`: each peer with tags at CLBoss,"
        " and which of them are `managed` from here, `ordered` or `foreign`; `waiting_peers` of"
        " which it is still to be told; `unwritable_peers` with the reason; `reverted_fees`: what"
        " others changed although CLBoss was told to leave it alone; `message` where there is"
        " something to say. Field by field: [api.md](../specs/api.md), how it works:"
        " [clboss.md](../specs/clboss.md).",
        "By the ClbossKeeper, which asks CLBoss where its last reading is a minute old.",
    ),
    "revenue-ignore": CommandText(
        '`status`, `action` ("ignored"), `peer_id`, `reason`, `tags`, `told` (whether CLBoss has'
        " it), `message`, `warning` (why it has not, or null). The tags lnfee, balance, open and"
        " close are kept at CLBoss, also over restarts, until the order is taken back. Our own"
        " policy is unchanged: the peer's fee is set from here as before.",
        _KEEPER,
        {"peer_id": _PEER, "reason": "a text of at most 200 characters for the list"},
        (_NOT_STORED,),
        ("revenue-ignore 02...", 'revenue-ignore 02... "by hand only"'),
    ),
    "revenue-unignore": CommandText(
        '`status`, `action` ("unignored"), `peer_id`, `changed` (whether it was ignored), `told`,'
        " `message` (also which tags stay, and why), `warning`. Only what the order put there is"
        " taken away.",
        _KEEPER,
        {"peer_id": _PEER},
        (_NOT_STORED,),
        ("revenue-unignore 02...",),
    ),
    "revenue-list-ignored": CommandText(
        "`ignored_peers`, the newest first, each with `peer_id`, `reason`, `ignored_at`, and the"
        " `tags` that are left of the order; `count`; `warning` where CLBoss is not there to heed"
        " it, else null.",
        "On the I/O thread, from memory.",
    ),
    "revenue-remanage": CommandText(
        '`status` and `success`, which agree; `action` ("remanage"), `peer_id`, `tag` ("all" where'
        " none was given), `told`, `message`. What is managed from here stays with us: make its"
        " policy passive to give CLBoss the fee. What was set with CLBoss directly stays as well.",
        _KEEPER,
        {"peer_id": _PEER, "tag": "lnfee, balance, open, close or all; without it all"},
        (
            "nothing was ordered, and the tag stays unmanaged or CLBoss is not there: the fields"
            ' above with `status` "error" and `error`',
            _NOT_STORED,
        ),
        ("revenue-remanage 02...", "revenue-remanage 02... open"),
    ),
}
