"""The CLBoss port over lightningd's RPC: its list of unmanaged peers, read and written."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from contextlib import ExitStack
from typing import Any

from cl_revenue_ops.adapters.capabilities import Capabilities, Feature
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.validate import ascii_line, parse_pubkey, parse_word
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.ports import (
    NO_TAGS,
    BossAbsent,
    CircuitOpen,
    Lease,
    MalformedReply,
    NodeRefused,
    TimedOut,
    Unavailable,
    Unmanaged,
    WriteRefused,
)

NAME = "clboss"
STATUS, UNMANAGE = "clboss-status", "clboss-unmanage"
BALANCE = "balance"

_UNKNOWN_COMMAND, _BAD_PARAMETERS = -32601, -32602
_COMMENT = "comment"


class ClBoss:
    """CLBoss as one incarnation may use it; `ports.Boss` states deadlines and errors.

    `capabilities` and the tally of entries left out are shared by the whole process. A CLBoss
    that is not there is not asked for again until that refusal is old enough.
    """

    def __init__(
        self,
        rpc: NodeRpc,
        gate: WriteGate,
        lease: Lease,
        capabilities: Capabilities,
        left_out: Tally,
    ) -> None:
        self._rpc = rpc
        self._gate = gate
        self._lease = lease
        self._capabilities = capabilities
        self._left_out = left_out

    def unmanaged(self, patience_s: float | None = None) -> Unmanaged:
        """See ports.Boss. Only the sections in use are looked at; all others may be anything."""
        reply = self._ask(STATUS, {}, patience_s)
        listed = reply.get("unmanaged")
        if not isinstance(listed, dict):
            raise MalformedReply(f"{STATUS}: no object 'unmanaged' in the answer")
        tags: dict[str, frozenset[str]] = {}
        unreadable = []
        for name, value in listed.items():
            if name == _COMMENT:
                continue
            peer_id, found = parse_pubkey(name), _tags(value)
            if peer_id is None:
                self._left_out.add(STATUS)
            elif found is None:
                self._left_out.add(STATUS)
                unreadable.append(peer_id)
            else:
                tags[peer_id] = found
        info = reply.get("info")
        version = parse_word(info.get("version")) if isinstance(info, dict) else None
        return Unmanaged(tags, frozenset(unreadable), version)

    def unmanage(
        self,
        peer_id: str,
        tags: frozenset[str],
        *,
        optional: frozenset[str] = NO_TAGS,
        apart_from: Container[str] = (),
        patience_s: float | None = None,
    ) -> frozenset[str]:
        """See ports.Boss. Releases before 0.13A refuse the tag balance, which is remembered."""
        if parse_pubkey(peer_id) is None:
            raise ValueError(f"not a node id: {peer_id!r}")
        try:
            self._write(peer_id, tags, apart_from, patience_s)
        except NodeRefused as refusal:
            if refusal.code != _BAD_PARAMETERS or BALANCE not in tags & optional:
                raise
            tags = tags - {BALANCE}
            self._write(peer_id, tags, apart_from, patience_s)
            self._capabilities.missing(Feature.CLBOSS_BALANCE)
        else:
            if BALANCE in tags:
                self._capabilities.found(Feature.CLBOSS_BALANCE)
        return tags

    def refused(self) -> frozenset[str]:
        """See ports.Boss."""
        known = self._capabilities.worth_trying(Feature.CLBOSS_BALANCE)
        return NO_TAGS if known else frozenset((BALANCE,))

    def _write(
        self,
        peer_id: str,
        tags: frozenset[str],
        apart_from: Container[str],
        patience_s: float | None,
    ) -> None:
        params = {"nodeid": peer_id, "tags": ",".join(sorted(tags))}
        self._check_gate(apart_from)
        with ExitStack() as held:

            def last_look() -> None:
                # Waiting for the connection may have taken long enough for a pause or a successor.
                held.enter_context(self._lease.effect())
                self._check_gate(apart_from)

            self._ask(UNMANAGE, params, patience_s, before_send=last_look)

    def _check_gate(self, apart_from: Container[str]) -> None:
        reason = self._gate.closed_because(apart_from)
        if reason is not None:
            raise WriteRefused(reason)

    def _ask(
        self,
        method: str,
        params: Mapping[str, object],
        patience_s: float | None,
        *,
        before_send: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        if not self._capabilities.worth_trying(Feature.CLBOSS):
            raise BossAbsent("CLBoss is not on this node")
        try:
            reply = self._rpc.call(method, params, before_send=before_send, patience_s=patience_s)
        except NodeRefused as refusal:
            if refusal.code != _UNKNOWN_COMMAND:
                raise
            self._capabilities.missing(Feature.CLBOSS)
            raise BossAbsent("CLBoss is not on this node") from refusal
        except (CircuitOpen, TimedOut):
            raise
        except Unavailable:
            # Nobody listens on the socket: another version may come back, with CLBoss or without.
            self._capabilities.forget()
            raise
        self._capabilities.found(Feature.CLBOSS)
        return reply


def _tags(value: object) -> frozenset[str] | None:
    """The tags of one entry, or None where it is none that we could write again."""
    if not isinstance(value, str):
        return None
    tags = [part.strip() for part in value.split(",")]
    if any(tag != ascii_line(tag) or " " in tag for tag in tags):
        return None
    return frozenset(tag for tag in tags if tag)
