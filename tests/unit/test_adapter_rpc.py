"""The RPC client against a real socket: answers, every kind of failure, deadlines, leaks."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cl_revenue_ops.adapters.transport import short_name
from cl_revenue_ops.ports import (
    CircuitOpen,
    MalformedReply,
    NodeRefused,
    PortError,
    StaleGeneration,
    TimedOut,
    Unavailable,
    WriteRefused,
)
from tests.unit.test_adapter_server import (
    Bench,
    Step,
    a_bench,
    hang_up,
    member,
    pieces,
    raw,
    refusal,
    result,
    silence,
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with a_bench(tmp_path) as made:
        yield made


def test_a_result_comes_back_and_the_request_is_proper_json_rpc(bench: Bench) -> None:
    bench.node.otherwise = result({"channels": []})
    answer = bench.rpc.call(
        "listpeerchannels", {"id": "02ab", "level": None}, reply_filter={"channels": [{"a": True}]}
    )
    assert answer == {"channels": []}
    (request,) = bench.node.requests
    assert request.pop("id").startswith("cl-revenue-ops:listpeerchannels#")
    assert request == {
        "jsonrpc": "2.0",
        "method": "listpeerchannels",
        "params": {"id": "02ab"},
        "filter": {"channels": [{"a": True}]},
    }


def test_every_call_has_its_own_connection_and_id(bench: Bench) -> None:
    bench.node.otherwise = result({})
    for _ in range(3):
        bench.rpc.call("getinfo")
    assert bench.node.connections == 3
    assert len({request["id"] for request in bench.node.requests}) == 3


def test_a_refusal_keeps_its_code_and_becomes_one_ascii_line(bench: Bench) -> None:
    bench.node.otherwise = refusal(-32602, "wrong\n\tstate \u2192 \x1b[31mred " + "x" * 1000)
    with pytest.raises(NodeRefused) as caught:
        bench.rpc.call("setchannel")
    text = str(caught.value)
    assert caught.value.code == -32602
    assert text.startswith("setchannel: wrong state \\u2192 [31mred x")
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 300


@pytest.mark.parametrize(
    "step",
    [
        raw(b"\n\n"),
        raw(b'{"jsonrpc": "2.0", "id": 1, "resu\n\n'),
        raw(b'{"result": {"text": "\xff\xfe"}}\n\n'),
        raw(b"[" * 200_000 + b"\n\n"),
        raw(b'{"result": ' + b"9" * 10_000 + b"}\n\n"),
        raw(b"[]\n\n"),
        raw(b"null\n\n"),
        raw(b'{"jsonrpc": "2.0", "result": {}}\n\n'),
        member(id="somebody:else#1", result={}),
        member(id=None, result={}),
        member(result={"amount": float("nan")}),
        member(result={"amount": float("inf")}),
        member(),
        member(error="gone"),
        member(error=[1]),
        member(error={"message": "no code"}),
        refusal("1", "code of a wrong type"),
        refusal(True, "code of a wrong type"),
        result(None),
        result([1, 2]),
        result("text"),
    ],
)
def test_what_is_no_answer_is_malformed(bench: Bench, step: Step) -> None:
    bench.node.otherwise = step
    with pytest.raises(MalformedReply) as caught:
        bench.rpc.call("getinfo")
    assert str(caught.value).startswith("getinfo: ")
    assert str(caught.value).isascii()


def test_a_refusal_without_words_is_still_a_refusal(bench: Bench) -> None:
    bench.node.otherwise = refusal(-3, None)
    with pytest.raises(NodeRefused, match="no reason given"):
        bench.rpc.call("getinfo")


@pytest.mark.parametrize("step", [hang_up, raw(b'{"jsonrpc": "2.0", '), silence])
def test_no_whole_answer_leaves_the_outcome_unknown(bench: Bench, step: Step) -> None:
    bench.timeout_s = 0.3
    bench.node.otherwise = step
    with pytest.raises(TimedOut):
        bench.rpc.call("setchannel")


def test_a_drip_does_not_stretch_the_deadline(bench: Bench) -> None:
    """Each byte comes well within the timeout, all of them only long after it."""
    bench.timeout_s = 0.3
    bench.node.otherwise = pieces({"text": "x" * 100}, cuts=60, pause_s=0.05)
    with pytest.raises(TimedOut):
        bench.rpc.call("getinfo")


def test_an_answer_in_pieces_is_put_together(bench: Bench) -> None:
    """The end of the answer, two newlines, is torn apart as well."""
    bench.node.otherwise = pieces({"text": "ab"}, cuts=5, pause_s=0.005)
    assert bench.rpc.call("getinfo") == {"text": "ab"}


def test_a_large_answer_comes_whole(bench: Bench) -> None:
    rows = [{"number": n, "text": "x" * 200} for n in range(20_000)]
    bench.node.otherwise = result({"rows": rows})
    assert bench.rpc.call("listforwards") == {"rows": rows}


def test_a_node_that_does_not_listen_is_unavailable_and_nothing_went_out(bench: Bench) -> None:
    with pytest.raises(Unavailable) as missing:
        bench.client(bench.node.path + ".gone").call("getinfo")
    assert not isinstance(missing.value, TimedOut)
    deaf = bench.node.path + ".deaf"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
        bound.bind(deaf)
        with pytest.raises(Unavailable, match="refused") as refused:
            bench.client(deaf).call("getinfo")
    assert not isinstance(refused.value, TimedOut)


def test_a_connection_reset_after_the_request_leaves_the_outcome_unknown(bench: Bench) -> None:
    """Closing with bytes unread makes the kernel report a reset instead of an end."""
    path = bench.node.path + ".reset"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(1)

        def reset() -> None:
            sock = listener.accept()[0]
            with sock:
                sock.recv(1)

        thread = threading.Thread(target=reset)
        thread.start()
        with pytest.raises(TimedOut, match="closed the connection"):
            bench.client(path).call("setchannel")
        thread.join()


def test_a_node_too_busy_to_accept_times_out(bench: Bench) -> None:
    bench.timeout_s = 0.2
    path = bench.node.path + ".busy"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
            first.connect(path)
            with pytest.raises(TimedOut):
                bench.client(path).call("getinfo")


def test_a_node_that_accepts_late_is_served_within_the_deadline(bench: Bench) -> None:
    """A full queue of connections is waited for: it is no outage by itself."""
    path = bench.node.path + ".late"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
            first.connect(path)

            def accept() -> None:
                listener.accept()[0].close()
                sock = listener.accept()[0]
                with sock:
                    sock.recv(1 << 16)
                    sock.sendall(b"{}\n\n")

            thread = threading.Timer(0.2, accept)
            thread.start()
            with pytest.raises(MalformedReply):
                bench.client(path).call("getinfo")
            thread.join()


def test_the_timeout_is_read_again_for_each_call(bench: Bench) -> None:
    bench.node.otherwise = result({})
    for timeout_s in (5.0, 7.0):
        bench.timeout_s = timeout_s
        bench.rpc.call("getinfo")
    bench.timeout_s = 0.2
    bench.node.otherwise = silence
    with pytest.raises(TimedOut, match=r"0\.2 s"):
        bench.rpc.call("listnodes")
    assert bench.lease.calls == [("getinfo", 5.0), ("getinfo", 7.0), ("listnodes", 0.2)]


def test_a_replaced_incarnation_opens_no_connection(bench: Bench) -> None:
    bench.lease.stale = True
    with pytest.raises(StaleGeneration):
        bench.rpc.call("getinfo")
    assert bench.node.connections == 0
    assert bench.breakers.states() == ()


def test_what_stops_a_request_at_the_last_moment_sends_nothing(bench: Bench) -> None:
    def stop() -> None:
        raise WriteRefused("paused")

    for _ in range(4):
        with pytest.raises(WriteRefused):
            bench.rpc.call("setchannel", before_send=stop)
    bench.node.otherwise = result({})
    bench.rpc.call("setchannel")
    assert bench.node.methods == ["setchannel"]


def test_repeated_outages_open_the_breaker_of_that_group_only(bench: Bench) -> None:
    bench.node.otherwise = hang_up
    for _ in range(3):
        with pytest.raises(TimedOut):
            bench.rpc.call("listforwards")
    with pytest.raises(CircuitOpen):
        bench.rpc.call("wait")
    assert bench.node.connections == 3
    bench.node.otherwise = result({})
    bench.client(bench.node.path).call("setchannel")
    bench.clock.now_s += 60
    bench.rpc.call("wait")
    assert bench.node.methods == ["listforwards"] * 3 + ["setchannel", "wait"]


def test_refusals_are_no_outages(bench: Bench) -> None:
    bench.node.otherwise = refusal(-1, "no")
    for _ in range(5):
        with pytest.raises(NodeRefused):
            bench.rpc.call("setchannel")


def test_a_long_path_is_reached(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    here = Path.cwd()
    os.chdir(deep)  # only the client's own name for the socket may be long
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind("lightning-rpc")
    finally:
        os.chdir(here)
    with listener:
        listener.listen(2)
        for linux in (True, False):
            with short_name(str(deep / "lightning-rpc"), linux=linux) as name:
                assert len(name) < 104
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                    client.connect(name)


def test_the_client_takes_the_long_way_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    link = tmp_path / "n"
    link.symlink_to(folder)
    with a_bench(link) as bench:
        bench.node.otherwise = result({"ok": 1})
        assert bench.client(str(folder / "lightning-rpc")).call("getinfo") == {"ok": 1}


def test_failing_calls_leak_neither_descriptors_nor_threads(bench: Bench, tmp_path: Path) -> None:
    bench.cooldown_s = 0
    bench.timeout_s = 0.02
    steps = (hang_up, raw(b"{\n\n"), refusal(-1, "no"), silence)
    clients = [bench.rpc, bench.client(str(tmp_path / "gone")), bench.client("/" + "x" * 300)]

    def fail(number: int) -> None:
        bench.node.otherwise = steps[number % len(steps)]
        with pytest.raises(PortError):
            clients[number % len(clients)].call("getinfo")

    for number in range(12):
        fail(number)
    before = _open_things(bench)
    for number in range(200):
        fail(number)
    assert _open_things(bench) == before


def _open_things(bench: Bench) -> tuple[int, int]:
    """Descriptors and threads of this process once the server's side has let go of its own."""
    bench.node.settle()
    return len(os.listdir("/dev/fd")), threading.active_count()  # noqa: PTH208


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=200) | st.text('{}[]":,0123id\n', max_size=60).map(str.encode))
def test_whatever_bytes_come_back_only_port_errors_leave(bench: Bench, data: bytes) -> None:
    bench.cooldown_s = 0
    bench.node.otherwise = raw(data)
    with pytest.raises(PortError):
        bench.rpc.call("getinfo")
