"""Pages of listchannelmoves over a socket: processor time a row, everything included."""

from __future__ import annotations

import argparse
import json
import os
import socket
import tempfile
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from cl_revenue_ops.adapters.books import LightningBooks
from cl_revenue_ops.adapters.breaker import Breakers
from cl_revenue_ops.adapters.capabilities import Capabilities
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.runtime.clock import SystemClock

START_S = 1_795_000_000


class _Lease:
    """Nobody replaces a benchmark."""

    def call(self, what: str, deadline_s: float) -> AbstractContextManager[None]:
        return nullcontext()

    def effect(self) -> AbstractContextManager[None]:
        return nullcontext()


def main(arguments: list[str]) -> dict[str, float]:
    """Run the benchmark and print its figures; returns them by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="rows a page")
    parser.add_argument("--channels", type=int, default=1_000)
    parser.add_argument("--pages", type=int, default=50)
    options = parser.parse_args(arguments)
    answer = _answer(options.rows, options.channels)
    with tempfile.TemporaryDirectory(prefix="moves-") as folder:
        path = str(Path(folder) / "rpc")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen()
        server = threading.Thread(target=_serve, args=(listener, answer), daemon=True)
        server.start()
        figures = _measure(path, options.rows, options.pages)
        listener.close()
    figures["bytes a row"] = len(answer) / options.rows
    for name, value in figures.items():
        print(f"{name:<46} {value:12.3f}")
    return figures


def _measure(path: str, rows: int, pages: int) -> dict[str, float]:
    clock = SystemClock()
    rpc = NodeRpc(path, _Lease(), Breakers(clock, lambda: 60.0), lambda: 60.0)
    books = LightningBooks(rpc, Capabilities(clock), Tally())
    times = []
    for _ in range(pages):
        began_s = time.thread_time()
        page = books.channel_moves(1, rows, START_S + rows / 2)
        times.append(time.thread_time() - began_s)
        if page is None or sum(one.rows for one in page.routed) != rows:
            raise RuntimeError("the page was not understood")
    times.sort()
    return {
        "us of processor time a row, median page": times[len(times) // 2] / rows * 1e6,
        "us of processor time a row, best page": times[0] / rows * 1e6,
    }


def _answer(count: int, channels: int) -> bytes:
    """The rest of an answer, behind its id, as lightningd writes it."""
    names = [os.urandom(32).hex() for _ in range(channels)]
    rows = []
    for place in range(count):
        hash_, amount_msat = os.urandom(32).hex(), 10_000_000 + 1_013 * place
        out = place % 2 == 0
        rows.append(
            {
                "created_index": place + 1,
                "account_id": names[place * 7 % channels],
                "credit_msat": 0 if out else amount_msat + 5_005,
                "debit_msat": amount_msat if out else 0,
                "timestamp": START_S + place,
                "primary_tag": "routed",
                "payment_hash": hash_,
                "fees_msat": 5_005,
            }
        )
    body = json.dumps({"channelmoves": rows}, separators=(",", ":"))
    return f',"result":{body}}}\n\n'.encode()


def _serve(listener: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            identity = json.dumps(json.loads(connection.recv(1 << 16))["id"])
            connection.sendall(f'{{"jsonrpc":"2.0","id":{identity}'.encode() + answer)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
