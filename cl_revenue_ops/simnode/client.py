"""A JSON-RPC client of a lightningd socket."""

from __future__ import annotations

import itertools
import json
import os
import socket
from pathlib import Path
from typing import Any

from cl_revenue_ops.simnode.errors import NodeDown, SimRpcError

_NUMBERS = itertools.count(1)


def call(
    path: Path, method: str, params: Any = None, timeout_s: float | None = None,
    wanted: Any = None,
) -> Any:  # fmt: skip
    """Call a method over a connection of its own and return the result.

    `wanted` goes along as the request's filter. SimRpcError for an error answer, NodeDown if
    nobody listens or the connection closes first, TimeoutError after `timeout_s`.
    """
    request = {
        "jsonrpc": "2.0",
        "id": f"cli:{method}#{os.getpid()}-{next(_NUMBERS)}",
        "method": method,
        "params": {} if params is None else params,
    }
    if wanted is not None:
        request["filter"] = wanted
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n\n")
            answer = _read(connection)
        except TimeoutError:
            raise
        except (OSError, ValueError) as wrong:
            raise NodeDown(f"{path}: {wrong}") from wrong
    if "error" in answer:
        error = answer["error"]
        known = SimRpcError(int(error["code"]), str(error["message"]), error.get("data"))
        known.raw = error
        raise known
    return answer.get("result")


def _read(connection: socket.socket) -> dict[str, Any]:
    """Read up to the two newlines that end an answer; no other place of JSON holds them raw."""
    received = bytearray()
    while data := connection.recv(1 << 16):
        received += data
        if received.endswith(b"\n\n"):
            answer: dict[str, Any] = json.loads(received)
            return answer
    raise NodeDown("the node closed the connection without an answer")
