"""lightningd's plugin protocol, by pyln-client, guarded against what would end the process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pyln.client import Plugin
from pyln.client.plugin import Request, RequestState, RpcException

from cl_revenue_ops.callbook import INTERNAL_ERROR, INVALID_PARAMS, one_line, render

METHOD_NOT_FOUND = -32601
_MOST_DIGITS = 300

Handler = Callable[["PluginRequest"], None]


class PluginRequest:
    """One request of a client through lightningd; answered once, from any thread."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.method: str = request.method
        self.params: object = request.params

    def result(self, body: object) -> None:
        """Answer with a result."""
        self._write(f'"result": {render(body)}')

    def error(self, code: int, text: str) -> None:
        """Answer with a JSON-RPC error; unlike pyln's, it carries no traceback."""
        self._write(f'"error": {render({"code": code, "message": one_line(text)})}')

    def _write(self, outcome: str) -> None:
        request = self._request
        if request.state is not RequestState.PENDING:
            return
        request.state = RequestState.FINISHED
        head = f'{{"jsonrpc": "2.0", "id": {json.dumps(request.id)}, '
        request.plugin.write_text(head + outcome + "}")


class GuardedPlugin(Plugin):  # type: ignore[misc]  # pyln-client ships no types
    """A pyln Plugin whose loop survives any line.

    A line that is no JSON-RPC envelope is counted and skipped. Requests for `handlers` go to
    them as they are, without pyln's binding to a signature; notifications go to `notified`
    as (topic, params). `before` runs ahead of each message, on the same thread.
    """

    def __init__(self) -> None:
        super().__init__()
        # pyln's own setconfig writes a traceback into the node's log for every refusal.
        self.handlers: dict[str, Handler] = {"setconfig": self._set_option}
        self.notified: Callable[[str, object], None] = lambda topic, params: None
        self.before: Callable[[], object] = lambda: None
        self.skipped = 0
        self.failed = 0

    def write_text(self, text: str) -> None:
        """Send one JSON message to lightningd; safe from any thread."""
        data = text.encode("utf-8", "replace") + b"\n\n"
        with self.write_lock:
            self.stdout.buffer.write(data)
            self.stdout.flush()

    def serve(self, name: str, usage: str, help_text: str, handler: Handler) -> None:
        """Announce and serve a method; `usage` is its argument line."""
        self.add_method(name, handler, background=True, description=help_text)
        self.methods[name].get_usage = lambda: usage
        self.handlers[name] = handler

    def listen(self, topic: str) -> None:
        """Subscribe to a topic."""
        self.add_subscription(topic, lambda **kwargs: None)

    def _multi_dispatch(self, msgs: list[bytes]) -> bytes:
        for payload in msgs[:-1]:
            envelope = _decode(payload)
            if envelope is None:
                self.skipped += 1
                continue
            self.before()
            try:
                self._dispatch(envelope)
            except Exception as error:  # noqa: BLE001
                self.failed += 1
                self.log(one_line(f"plugin loop: {type(error).__name__} {error}"), level="warn")
        return msgs[-1]

    def _dispatch(self, envelope: dict[str, Any]) -> None:
        request = self._parse_request(envelope)
        if request.id is None:
            if request.method in self.subscriptions:
                self.notified(request.method, request.params)
            return
        handler = self.handlers.get(request.method)
        if handler is not None:
            self._serve(handler, PluginRequest(request))
        elif request.method in self.methods:
            self._dispatch_request(request)
        else:
            PluginRequest(request).error(METHOD_NOT_FOUND, f"unknown method {request.method}")

    def _set_option(self, request: PluginRequest) -> None:
        """setconfig: the option's `on_change` takes the value, or refuses it with RpcException."""
        params = request.params if isinstance(request.params, dict) else {}
        name = str(params.get("config"))
        option = self.options.get(name)
        if option is None or option.on_change is None:
            request.error(INVALID_PARAMS, f"{name} is no option that can change at run time")
            return
        try:
            option.on_change(self, name, params.get("val"))
        except RpcException as refusal:
            request.error(refusal.code, refusal.message)
            return
        request.result({})

    def _serve(self, handler: Handler, request: PluginRequest) -> None:
        try:
            handler(request)
        except Exception as error:  # noqa: BLE001
            self.failed += 1
            self.log(one_line(f"{request.method}: {type(error).__name__} {error}"), level="warn")
            request.error(INTERNAL_ERROR, f"{request.method} failed: {error}")


def _decode(payload: bytes) -> dict[str, Any] | None:
    """The envelope of a message, None where it is none; missing or null params become {}."""
    try:
        envelope = json.loads(payload.decode("utf-8", "replace"), parse_int=_whole)
    except (ValueError, RecursionError):
        return None
    if not isinstance(envelope, dict) or not isinstance(envelope.get("method"), str):
        return None
    if envelope.get("params") is None:
        envelope["params"] = {}
    return envelope


def _whole(text: str) -> int | str:
    """Python refuses to read absurdly long numbers; as texts they are refused as arguments."""
    return int(text) if len(text) <= _MOST_DIGITS else text


__all__ = ["GuardedPlugin", "Handler", "PluginRequest", "RpcException"]
