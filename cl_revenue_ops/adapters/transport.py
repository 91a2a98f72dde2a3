"""One JSON-RPC exchange over lightningd's socket, within a deadline that nothing can stretch."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyln.client.lightning import LightningRpc, RpcError

from cl_revenue_ops.domain import jsontext

CALLER = "cl-revenue-ops"
CONNECTION_LOST = "the node closed the connection without an answer"

_PATH_MAX_BYTES = 103  # of sun_path with its final zero; macOS has the shortest
_CHUNK_BYTES = 1 << 18
_REPLY_MAX_BYTES = 1 << 28  # a whole list of forwards on a node without paging may be large
_BUSY_PAUSE_S = 0.02
_END = b"\n\n"


class BadReply(ValueError):
    """The node's answer is no JSON-RPC answer to our request; the text says why."""


class DeadlineRpc(LightningRpc):  # type: ignore[misc]  # pyln-client ships no types
    """pyln's LightningRpc with a deadline on every call and a socket that is always closed.

    One instance belongs to one thread. Errors are pyln's: RpcError, whose `.error` is a dict, or
    a plain string when the connection was lost after the request had gone out; OSError when it
    did not go out; TimeoutError; and BadReply, a ValueError, for anything that is no answer.
    """

    def __init__(self, socket_path: str, timeout_s: float) -> None:
        super().__init__(socket_path)
        self.caller_name = CALLER
        self.timeout_s = timeout_s

    def call(
        self,
        method: str,
        payload: Mapping[str, object] | None = None,
        cmdprefix: str | None = None,
        filter: Mapping[str, object] | None = None,
        before_send: Callable[[], None] | None = None,
    ) -> object:
        """Call `method` and return its result; blocks for `timeout_s` at most, all included.

        `before_send` runs on the open connection just before the first byte goes out; when it
        raises, nothing is sent.
        """
        params = {key: value for key, value in (payload or {}).items() if value is not None}
        request_id = self.get_json_id(method, cmdprefix)
        self.next_id += 1
        request = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        if filter is not None:
            request["filter"] = filter
        deadline = time.monotonic() + self.timeout_s
        reply = _exchange(self.socket_path, jsontext.dumps(request).encode(), deadline, before_send)
        if reply is None:
            raise RpcError(method, params, CONNECTION_LOST)
        answer = _decoded(reply)
        if answer.get("id") != request_id:
            raise BadReply("the answer belongs to another request")
        if isinstance(answer.get("error"), dict):
            raise RpcError(method, params, answer["error"])
        if "result" not in answer:
            raise BadReply("the answer has neither result nor error")
        return answer["result"]


def _exchange(
    path: str, request: bytes, deadline: float, before_send: Callable[[], None] | None
) -> bytearray | None:
    """Send one request on a connection of its own; None when the answer never came whole."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        _connect(sock, path, deadline)
        if before_send is not None:
            before_send()
        sock.settimeout(_left_s(deadline))
        sock.sendall(request)
        return _read(sock, deadline)


def _connect(sock: socket.socket, path: str, deadline: float) -> None:
    with short_name(path) as name:
        while True:
            sock.settimeout(_left_s(deadline))
            try:
                sock.connect(name)
            except BlockingIOError:
                # The queue of connections that the node has not accepted yet is full; a Unix
                # socket says so at once instead of waiting.
                time.sleep(_BUSY_PAUSE_S)
            else:
                return


def _read(sock: socket.socket, deadline: float) -> bytearray | None:
    """Everything up to the empty line that ends an answer.

    The buffer grows in place and each byte is searched once, so the cost is linear in the size.
    """
    reply = bytearray()
    while True:
        sock.settimeout(_left_s(deadline))
        try:
            chunk = sock.recv(_CHUNK_BYTES)
        except ConnectionError:
            return None
        if not chunk:
            return None
        searched = max(0, len(reply) + 1 - len(_END))
        reply += chunk
        end = reply.find(_END, searched)
        if end >= 0:
            del reply[end:]
            return reply
        if len(reply) > _REPLY_MAX_BYTES:
            raise BadReply(f"the answer exceeds {_REPLY_MAX_BYTES >> 20} MiB")


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the deadline has passed")
    return left_s


@contextmanager
def short_name(path: str, linux: bool = sys.platform.startswith("linux")) -> Iterator[str]:
    """A name for the socket at `path` that fits the kernel's limit while the context lasts.

    A long path is reached through a descriptor of its folder on Linux, elsewhere through a
    symbolic link in a temporary folder.
    """
    if len(os.fsencode(path)) <= _PATH_MAX_BYTES:
        yield path
    elif linux:
        folder = os.open(Path(path).parent, os.O_DIRECTORY | os.O_RDONLY)
        try:
            yield f"/proc/self/fd/{folder}/{Path(path).name}"
        finally:
            os.close(folder)
    else:
        with TemporaryDirectory() as folder_name:
            link = Path(folder_name, "s")
            link.symlink_to(Path(path).absolute())
            yield str(link)


def _decoded(reply: bytearray) -> dict[str, Any]:
    try:
        answer = jsontext.loads(reply)
    except ValueError as error:
        raise BadReply(f"the answer is no JSON: {error}") from error
    if not isinstance(answer, dict):
        raise BadReply("the answer is no JSON object")
    return answer
