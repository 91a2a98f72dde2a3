"""How an adapter asks the node: what is not offered is learnt, what is malformed is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cl_revenue_ops.adapters.capabilities import Capabilities, Feature, not_offered
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.validate import parse_count
from cl_revenue_ops.ports import CircuitOpen, MalformedReply, NodeRefused, TimedOut, Unavailable

_BAD_REQUEST = -32600

_Row = TypeVar("_Row")


class Asker:
    """Calls of one incarnation; what they teach (`capabilities`, `left_out`) is the process's."""

    def __init__(self, rpc: NodeRpc, capabilities: Capabilities, left_out: Tally) -> None:
        self._rpc = rpc
        self._capabilities = capabilities
        self._left_out = left_out

    def ask(
        self, method: str, params: Mapping[str, object] | None = None, **how: Any
    ) -> dict[str, Any]:
        """The result object; `how` and the errors are those of NodeRpc.call."""
        try:
            return self._rpc.call(method, params, **how)
        except (CircuitOpen, TimedOut):
            raise
        except Unavailable:
            # Nobody listens on the socket: what comes back may be another version.
            self._capabilities.forget()
            raise

    def ask_filtered(
        self,
        method: str,
        params: Mapping[str, object],
        reply_filter: Mapping[str, object],
        **how: Any,
    ) -> dict[str, Any]:
        """Ask for a part of the reply; a node that ignores or refuses the filter sends it all."""
        if not self._capabilities.worth_trying(Feature.REPLY_FILTER):
            return self.ask(method, params, **how)
        try:
            reply = self.ask(method, params, reply_filter=reply_filter, **how)
        except NodeRefused as refusal:
            if not (not_offered(refusal.code) or refusal.code == _BAD_REQUEST):
                raise
            reply = self.ask(method, params, **how)
            self._capabilities.missing(Feature.REPLY_FILTER)
        else:
            self._capabilities.found(Feature.REPLY_FILTER)
        return reply

    def newest_index(self, subsystem: str, name: str, **how: Any) -> int:
        """What the node's index `name` of that subsystem stands at."""
        params = {"subsystem": subsystem, "indexname": name, "nextvalue": 0}
        newest = parse_count(self.ask("wait", params, **how).get(name))
        if newest is None:
            raise MalformedReply(f"wait: no '{name}' index in the answer")
        return newest

    def parsed(
        self, method: str, rows: Sequence[object], parser: Callable[[object], _Row | None]
    ) -> list[_Row]:
        """What could be understood of these rows; the others are counted."""
        parsed = [value for value in map(parser, rows) if value is not None]
        self.leave_out(method, len(rows) - len(parsed))
        return parsed

    def leave_out(self, method: str, rows: int) -> None:
        """Count rows of the answer to `method` that could not be understood."""
        self._left_out.add(method, rows)


def rows_of(method: str, reply: Mapping[str, object], key: str) -> list[object]:
    """The list `key` of a reply; MalformedReply where there is none."""
    rows = reply.get(key)
    if not isinstance(rows, list):
        raise MalformedReply(f"{method}: no list '{key}' in the answer")
    return rows
