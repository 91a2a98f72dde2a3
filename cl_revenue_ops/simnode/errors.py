"""The error that a simulated RPC raises, with lightningd's codes."""

from __future__ import annotations

from typing import Any

INVALID_REQUEST = -32600
UNKNOWN_METHOD = -32601
BAD_PARAMS = -32602
FAILED = -1
PLUGIN_ERROR = -3
PLUGIN_TERMINATED = -4
SHUTTING_DOWN = -5
FORWARD_NOT_FOUND = 1401
WAIT_TIMEOUT = 2000


class SimRpcError(Exception):
    """A JSON-RPC error: `code` (int), `message` (str) and optional `data`.

    `raw` is the whole error object where a plugin gave it: lightningd passes that on unchanged.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data
        self.raw: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The `error` member of a JSON-RPC answer."""
        if self.raw is not None:
            return self.raw
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


class NodeDown(ConnectionError):
    """The node closed the connection without an answer, or does not run."""


class PluginDied(RuntimeError):
    """The plugin process ended; the text holds the tail of its standard error."""


def bad_params(message: str) -> SimRpcError:
    """A -32602 error: malformed or unknown argument."""
    return SimRpcError(BAD_PARAMS, message)
