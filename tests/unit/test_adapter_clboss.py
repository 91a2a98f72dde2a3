"""The CLBoss port against a real socket: what is understood, what is sent, what is never sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.adapters.capabilities import Capabilities
from cl_revenue_ops.adapters.clboss import ClBoss
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.ports import (
    Boss,
    BossAbsent,
    CircuitOpen,
    MalformedReply,
    NodeRefused,
    StaleGeneration,
    TimedOut,
    WriteRefused,
)
from tests.unit.test_adapter_server import Bench, Step, a_bench, hang_up, refusal, result, silence

PEER, OTHER = "0381" + "ab" * 31, "0200" + "cd" * 31
BOTH = frozenset(("lnfee", "balance"))
UNKNOWN_COMMAND = refusal(-32601, "Unknown command 'clboss-status'")
UNKNOWN_TAG = refusal(-32602, "Parameter error: Unknown tag: balance")


class Desk:
    """A ClBoss on a bench, with its gate open."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.gate = WriteGate()
        self.gate.open("starting")
        self.left_out = Tally()
        self.boss: Boss = ClBoss(
            bench.rpc, self.gate, bench.lease, Capabilities(bench.clock), self.left_out
        )

    def script(self, *steps: Step) -> None:
        self.bench.node.steps = list(steps)

    @property
    def asked(self) -> list[tuple[str, dict[str, Any]]]:
        return [(request["method"], request["params"]) for request in self.bench.node.requests]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_bench(tmp_path) as bench:
        yield Desk(bench)


def status(unmanaged: object, **sections: object) -> Step:
    return result({"info": {"version": "v0.16.3"}, "unmanaged": unmanaged, **sections})


# -- reading ------------------------------------------------------------------------------------


def test_peers_and_tags_are_read_and_the_comment_is_no_node(desk: Desk) -> None:
    listed = {"comment": "use clboss-unmanage", PEER: "balance, lnfee", OTHER: "close"}
    desk.script(status(listed, lnfee=5, peer_metrics=None))
    found = desk.boss.unmanaged()
    assert found.tags == {PEER: BOTH, OTHER: {"close"}}
    assert (found.version, found.unreadable) == ("v0.16.3", frozenset())
    assert desk.asked == [("clboss-status", {})]
    assert desk.left_out.counts() == {}


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", set()),
        ("lnfee", {"lnfee"}),
        ("lnfee,balance", {"lnfee", "balance"}),
        (" lnfee ,, balance,", {"lnfee", "balance"}),
        ("brandnew, lnfee", {"brandnew", "lnfee"}),
    ],
)
def test_a_set_of_tags_is_read_however_it_is_joined(desk: Desk, text: str, tags: set[str]) -> None:
    desk.script(status({PEER: text}))
    assert desk.boss.unmanaged().tags == {PEER: tags}


@pytest.mark.parametrize("value", [5, None, ["lnfee"], {}, "two words", "caf\u00e9", "a\x07b"])
def test_tags_that_cannot_be_read_are_never_taken_for_none(desk: Desk, value: object) -> None:
    desk.script(status({PEER: value, OTHER: "open", "node": "lnfee"}))
    found = desk.boss.unmanaged()
    assert found.tags == {OTHER: {"open"}}
    assert found.unreadable == {PEER}
    assert desk.left_out.counts() == {"clboss-status": 2}


@pytest.mark.parametrize("reply", [{}, {"unmanaged": None}, {"unmanaged": []}], ids=str)
def test_without_the_section_nothing_is_known(desk: Desk, reply: dict[str, object]) -> None:
    desk.script(result(reply))
    with pytest.raises(MalformedReply, match="unmanaged"):
        desk.boss.unmanaged()


@pytest.mark.parametrize("info", [None, {}, {"version": 5}, "v0.16.3"])
def test_a_version_that_is_not_told_is_none(desk: Desk, info: object) -> None:
    desk.script(status({}, info=info))
    assert desk.boss.unmanaged().version is None


# -- presence -----------------------------------------------------------------------------------


def test_absence_is_remembered_for_five_minutes(desk: Desk) -> None:
    desk.script(UNKNOWN_COMMAND, status({}))
    for _ in range(3):
        with pytest.raises(BossAbsent):
            desk.boss.unmanaged()
    with pytest.raises(BossAbsent):
        desk.boss.unmanage(PEER, BOTH)
    assert len(desk.asked) == 1
    desk.bench.clock.now_s += 299.0
    with pytest.raises(BossAbsent):
        desk.boss.unmanaged()
    desk.bench.clock.now_s += 1.0
    assert desk.boss.unmanaged().tags == {}


def test_one_that_vanishes_is_absent_at_the_next_write(desk: Desk) -> None:
    desk.script(status({}), refusal(-32601, "Unknown command"))
    desk.boss.unmanaged()
    with pytest.raises(BossAbsent):
        desk.boss.unmanage(PEER, BOTH)


@pytest.mark.parametrize("code", [-1, -32602, -4])
def test_any_other_refusal_is_no_absence(desk: Desk, code: int) -> None:
    desk.script(refusal(code, "something"), status({}))
    with pytest.raises(NodeRefused):
        desk.boss.unmanaged()
    assert desk.boss.unmanaged().tags == {}


# -- writing ------------------------------------------------------------------------------------


def test_the_whole_set_is_written_joined_without_spaces_with_the_generation_held(
    desk: Desk,
) -> None:
    held: list[bool] = []

    def note(sock: Any, request: dict[str, Any]) -> None:
        held.append(desk.bench.lease.in_effect)
        result({})(sock, request)

    desk.script(note, result({}))
    assert desk.boss.unmanage(PEER, BOTH | {"open"}) == BOTH | {"open"}
    assert desk.boss.unmanage(PEER, frozenset()) == frozenset()
    assert [params for _, params in desk.asked] == [
        {"nodeid": PEER, "tags": "balance,lnfee,open"},
        {"nodeid": PEER, "tags": ""},
    ]
    assert held == [True]


def test_a_refused_balance_is_left_out_and_remembered_for_a_day(desk: Desk) -> None:
    desk.script(UNKNOWN_TAG, result({}), result({}))
    assert desk.boss.refused() == frozenset()
    assert desk.boss.unmanage(PEER, BOTH, optional=BOTH) == {"lnfee"}
    assert [params["tags"] for _, params in desk.asked] == ["balance,lnfee", "lnfee"]
    assert desk.boss.refused() == {"balance"}
    desk.bench.clock.now_s += 86_400.0
    assert desk.boss.refused() == frozenset()


def test_a_balance_that_stood_before_is_never_left_out(desk: Desk) -> None:
    desk.script(UNKNOWN_TAG)
    with pytest.raises(NodeRefused):
        desk.boss.unmanage(PEER, BOTH, optional=frozenset(("lnfee",)))
    assert len(desk.asked) == 1
    assert desk.boss.refused() == frozenset()


def test_a_refusal_of_something_else_is_not_laid_on_balance(desk: Desk) -> None:
    desk.script(UNKNOWN_TAG, UNKNOWN_TAG)
    with pytest.raises(NodeRefused):
        desk.boss.unmanage(PEER, BOTH, optional=BOTH)
    assert desk.boss.refused() == frozenset()


def test_a_taken_balance_ends_the_refusal(desk: Desk) -> None:
    desk.script(UNKNOWN_TAG, result({}), result({}))
    desk.boss.unmanage(PEER, BOTH, optional=BOTH)
    desk.boss.unmanage(PEER, BOTH)
    assert desk.boss.refused() == frozenset()


@pytest.mark.parametrize("source", ["paused", "dry run", "safe mode", "out of sync", "stopping"])
def test_behind_a_closed_gate_nothing_is_sent(desk: Desk, source: str) -> None:
    desk.gate.close(source, "a test")
    with pytest.raises(WriteRefused, match=source):
        desk.boss.unmanage(PEER, BOTH)
    assert desk.asked == []


def test_on_the_way_out_only_the_stop_itself_is_overlooked(desk: Desk) -> None:
    desk.script(result({}))
    desk.gate.close("stopping", "a stop")
    desk.boss.unmanage(PEER, BOTH, apart_from=("stopping",))
    assert len(desk.asked) == 1
    desk.gate.close("paused", "a pause")
    with pytest.raises(WriteRefused, match="paused"):
        desk.boss.unmanage(PEER, BOTH, apart_from=("stopping",))
    assert len(desk.asked) == 1


def test_a_gate_that_closes_while_the_connection_is_made_holds_the_bytes(desk: Desk) -> None:
    lease = desk.bench.lease
    effect = lease.effect

    def closing() -> Any:
        desk.gate.close("paused", "just now")
        return effect()

    lease.effect = closing  # type: ignore[method-assign]
    with pytest.raises(WriteRefused):
        desk.boss.unmanage(PEER, BOTH)
    assert desk.asked == []


@pytest.mark.parametrize("peer_id", ["", "all", PEER.upper(), "900000x1x0"])
def test_anything_but_a_node_id_is_a_program_error(desk: Desk, peer_id: str) -> None:
    with pytest.raises(ValueError, match="not a node id"):
        desk.boss.unmanage(peer_id, BOTH)
    assert desk.asked == []


def test_a_replaced_incarnation_writes_nothing(desk: Desk) -> None:
    desk.bench.lease.stale = True
    with pytest.raises(StaleGeneration):
        desk.boss.unmanage(PEER, BOTH)
    assert desk.asked == []


# -- not answering ------------------------------------------------------------------------------


def test_reading_and_writing_share_a_breaker_and_no_other_does(desk: Desk) -> None:
    desk.script(hang_up, hang_up, hang_up, result({"ok": 1}))
    for _ in range(2):
        with pytest.raises(TimedOut):
            desk.boss.unmanaged()
    with pytest.raises(TimedOut):
        desk.boss.unmanage(PEER, BOTH)
    with pytest.raises(CircuitOpen):
        desk.boss.unmanaged()
    assert desk.bench.rpc.call("getinfo") == {"ok": 1}


def test_a_short_patience_ends_a_call_early(desk: Desk) -> None:
    desk.script(silence, silence)
    with pytest.raises(TimedOut, match=r"within 0\.05 s"):
        desk.boss.unmanaged(0.05)
    with pytest.raises(TimedOut, match=r"within 0\.05 s"):
        desk.boss.unmanage(PEER, BOTH, patience_s=0.05)
