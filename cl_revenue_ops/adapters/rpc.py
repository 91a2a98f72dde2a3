"""Calls to lightningd for one incarnation of an actor: leased, held by breakers, errors mapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyln.client.lightning import RpcError

from cl_revenue_ops.adapters.breaker import Breakers, group_of
from cl_revenue_ops.adapters.transport import BadReply, DeadlineRpc
from cl_revenue_ops.adapters.validate import ascii_line
from cl_revenue_ops.ports import (
    Lease,
    MalformedReply,
    NodeRefused,
    PortError,
    TimedOut,
    Unavailable,
)


class NodeRpc:
    """lightningd's JSON-RPC for one incarnation; never shared, because its wire is not.

    `timeout_s` is asked before each call, so a changed setting holds from the next call on.
    """

    def __init__(
        self, socket_path: str, lease: Lease, breakers: Breakers, timeout_s: Callable[[], float]
    ) -> None:
        self._wire = DeadlineRpc(socket_path, timeout_s=0.0)
        self._lease = lease
        self._breakers = breakers
        self._timeout_s = timeout_s

    def call(
        self,
        method: str,
        params: Mapping[str, object] | None = None,
        *,
        reply_filter: Mapping[str, object] | None = None,
        before_send: Callable[[], None] | None = None,
        patience_s: float | None = None,
        at_least_s: float = 0.0,
        group: str | None = None,
    ) -> dict[str, Any]:
        """Call `method` and return its result object; blocks for the RPC timeout at most.

        `patience_s` may shorten that, `at_least_s` is for what may take longer. `group` names the
        breaker where it is not the method's own.

        `before_send` may raise to stop a request whose connection is already open. Raises
        StaleGeneration and CircuitOpen (nothing was sent), Unavailable (it did not go out whole),
        TimedOut (no answer came, by silence or by a closed connection: the outcome is unknown),
        NodeRefused or MalformedReply.
        """
        deadline_s = max(at_least_s, self._timeout_s())
        if patience_s is not None:
            deadline_s = min(deadline_s, patience_s)
        group = group_of(method) if group is None else group
        with self._lease.call(method, deadline_s), self._breakers.guard(group):
            self._wire.timeout_s = deadline_s
            result = self._ask(method, params, reply_filter, before_send)
            if not isinstance(result, dict):
                raise MalformedReply(f"{method}: the result is no JSON object")
            return result

    def call_for_list(
        self, method: str, params: Mapping[str, object], at_least_s: float = 0.0
    ) -> list[Any]:
        """As `call`, for a method of a plugin whose result is an array."""
        deadline_s = max(at_least_s, self._timeout_s())
        with self._lease.call(method, deadline_s), self._breakers.guard(group_of(method)):
            self._wire.timeout_s = deadline_s
            result = self._ask(method, params, None, None)
            if not isinstance(result, list):
                raise MalformedReply(f"{method}: the result is no JSON array")
            return result

    def _ask(
        self,
        method: str,
        params: Mapping[str, object] | None,
        reply_filter: Mapping[str, object] | None,
        before_send: Callable[[], None] | None,
    ) -> object:
        try:
            return self._wire.call(method, params, filter=reply_filter, before_send=before_send)
        except RpcError as error:
            raise _refusal(method, error.error) from error
        except BadReply as error:
            raise MalformedReply(ascii_line(f"{method}: {error}")) from error
        except TimeoutError as error:
            waited_s = self._wire.timeout_s
            raise TimedOut(f"{method}: the node did not answer within {waited_s:g} s") from error
        except OSError as error:
            text = f"{method}: the node cannot be reached: {error}"
            raise Unavailable(ascii_line(text)) from error


def _refusal(method: str, error: object) -> PortError:
    """The port's error for what pyln's RpcError carries."""
    if isinstance(error, str):
        return TimedOut(ascii_line(f"{method}: {error}"))
    if not isinstance(error, dict) or type(error.get("code")) is not int:
        return MalformedReply(f"{method}: the error has no code")
    text = error.get("message")
    shown = text if isinstance(text, str) else "no reason given"
    return NodeRefused(error["code"], ascii_line(f"{method}: {shown}"))
