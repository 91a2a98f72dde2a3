"""JSON-RPC over the socket of a node, simulated or real, with nothing in between."""

from __future__ import annotations

import itertools
import json
import os
import socket
from pathlib import Path
from typing import Any

_NUMBERS = itertools.count(1)


class RpcError(Exception):
    """An error answer: `code`, `message`, and `body`, the whole error object as it came."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(json.dumps(body))
        self.body = body
        self.code = int(body["code"])
        self.message = str(body["message"])


class NodeGone(ConnectionError):
    """Nobody listens, or the connection closed before an answer."""


def call(path: Path, method: str, params: object, timeout_s: float) -> Any:
    """The result of a method; RpcError, NodeGone, or TimeoutError after `timeout_s`."""
    request = {
        "jsonrpc": "2.0",
        "id": f"cli:{method}#{os.getpid()}-{next(_NUMBERS)}",
        "method": method,
        "params": params,
    }
    answer = exchange(path, json.dumps(request).encode(), timeout_s)
    if "error" in answer:
        raise RpcError(answer["error"])
    return answer["result"]


def exchange(path: Path, request: bytes, timeout_s: float) -> dict[str, Any]:
    """Send bytes as they are and read one answer, which ends with two newlines."""
    received = bytearray()
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(timeout_s)
        try:
            line.connect(str(path))
            line.sendall(request + b"\n\n")
            while not received.endswith(b"\n\n"):
                data = line.recv(1 << 16)
                if not data:
                    raise NodeGone(f"closed after {bytes(received[:200])!r}")
                received += data
        except TimeoutError:
            raise
        except OSError as error:
            raise NodeGone(str(error)) from error
    answer: dict[str, Any] = json.loads(received.decode("utf-8", "replace"))
    return answer
