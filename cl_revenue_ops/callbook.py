"""The calls of clients that are open: each is closed exactly once, from whatever thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from itertools import count
from typing import NamedTuple, Protocol

INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class Rendered(str):
    """JSON text that goes into an answer as it is, as the value of one of its top-level keys.

    For what is large and changes rarely: it is written out once, not for each caller.
    """

    __slots__ = ()


def render(body: object) -> str:
    """An answer as JSON text; rendered values stand last."""
    if not isinstance(body, dict):
        return json.dumps(body, ensure_ascii=False)
    plain = {key: value for key, value in body.items() if not isinstance(value, Rendered)}
    parts = [json.dumps(plain, ensure_ascii=False)[1:-1]] if plain else []
    parts += [f"{json.dumps(k)}: {v}" for k, v in body.items() if isinstance(v, Rendered)]
    return "{" + ", ".join(parts) + "}"


class Reply(Protocol):
    """How one request is answered; writes to lightningd, never blocks on the house."""

    def result(self, body: object) -> None: ...

    def error(self, code: int, text: str) -> None: ...


class _OpenCall(NamedTuple):
    reply: Reply
    deadline_s: float


class CallBook:
    """Implements ports.Calls. `limit` bounds the open calls: ask `full` before `open`."""

    def __init__(self, limit: int = 200) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._open: dict[str, _OpenCall] = {}

    def full(self) -> bool:
        """Whether no further call should be opened now."""
        with self._lock:
            return len(self._open) >= self._limit

    def open(self, reply: Reply, deadline_s: float) -> str:
        """File a live request; its call_id."""
        with self._lock:
            call_id = f"rpc {next(self._numbers)}"
            self._open[call_id] = _OpenCall(reply, deadline_s)
            return call_id

    def deadlines(self) -> Mapping[str, float]:
        """The open calls and when each is due (monotonic seconds)."""
        with self._lock:
            return {call_id: call.deadline_s for call_id, call in self._open.items()}

    def answer(self, call_id: str, result: object) -> bool:
        """Close with a result; False when it is closed already."""
        call = self._close(call_id)
        if call is None:
            return False
        try:
            call.reply.result(result)
        except (TypeError, ValueError, RecursionError) as error:
            # An answer that is no JSON is our fault; its caller must not wait for ever.
            call.reply.error(INTERNAL_ERROR, f"the answer could not be written: {error}")
        return True

    def refuse(self, call_id: str, reason: str, invalid: bool) -> bool:
        """Close with -32602 where the arguments were at fault, else with a truthful error."""
        call = self._close(call_id)
        if call is None:
            return False
        if invalid:
            call.reply.error(INVALID_PARAMS, one_line(reason))
        else:
            call.reply.result(failure(reason))
        return True

    def _close(self, call_id: str) -> _OpenCall | None:
        with self._lock:
            return self._open.pop(call_id, None)


def failure(reason: str) -> dict[str, object]:
    """The result of a sound request that could not be served."""
    return {"status": "error", "error": one_line(reason), "success": False}


def one_line(text: str) -> str:
    """Outside text made safe for a log line or an answer: one line of ASCII, cut at 400."""
    flat = " ".join(text.split())
    return flat.encode("ascii", "backslashreplace").decode("ascii")[:400]
