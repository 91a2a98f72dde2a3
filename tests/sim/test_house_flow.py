"""Flow of the whole house: no forward is lost to it, whatever is missing, broken or late."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from actors import flow_analyzer
from cl_revenue_ops.simnode import closing as node_closing
from cl_revenue_ops.simnode.faults import Fault
from messages.base import Answer, Message, Refusal
from messages.flow import AnalyzeNow, FlowTick
from messages.forwards import ForwardLogPage
from tests.sim.house_support import HouseNode, house_node
from tests.sim.house_traffic import Traffic

HOUR_S = 3_600.0
DAY_S = 86_400.0


def analyzer(node: HouseNode) -> Any:
    """The running FlowAnalyzer."""
    runtime: Any = node.life.house.runtime
    return runtime._actors["flow-analyzer"]


def due_s(node: HouseNode, actor: str, tick: str) -> list[float]:
    """When this timer falls due."""
    timers = node.life.house.core.timers
    found = [(at, name) for at, _, name in timers._heap if timers._is_live((at, _, name))]
    return [at for at, name in found if (name[0], name[2]) == (actor, tick)]


def analyze(node: HouseNode) -> None:
    """An order to analyse all channels, as the front desk gives it."""
    core = node.life.house.core
    deadline_s = core.clock.monotonic() + 60.0
    core.post.tell("flow-analyzer", AnalyzeNow("by hand", "gateway", deadline_s, None))
    node.wait_s(0.001)


def refusals(node: HouseNode) -> list[str]:
    """From now on, what the orders of `analyze` are refused with."""
    post, heard = node.life.house.core.post, []
    tell = post.tell

    def listen(address: str, message: Message) -> None:
        if isinstance(message, Refusal) and message.call_id == "by hand":
            heard.append(message.reason)
        tell(address, message)

    post.tell = listen  # type: ignore[method-assign]  # it listens and passes everything on
    return heard


def counts(node: HouseNode) -> list[int]:
    """Forwards that flow knows of, by channel."""
    return [row["forward_count"] for row in node.status()["channel_states"]]


def paid_while_down(node: HouseNode) -> Traffic:
    """Twenty forwards that the house saw, and thirty more while it was dead."""
    traffic = Traffic(node)
    for _ in range(20):
        traffic.pay("settled")
        node.wait_s(60)
    node.wait_s(2 * HOUR_S)
    node.kill()
    for _ in range(30):
        traffic.pay("settled")
        assert node._virtual is not None
        node._virtual.base_s += 240
    return traffic


def damage(node: HouseNode, sql: str) -> None:
    """Kill the house, change its records and start it again."""
    node.kill()
    with closing(sqlite3.connect(node.database)) as connection:
        assert connection.execute(sql).rowcount == 1
        connection.commit()
    node._start_at(node.now_s)
    node.settle()


def logged(node: HouseNode, *parts: str) -> int:
    """How many lines of the log have all of these parts."""
    return sum(all(part in line for part in parts) for _, line in node.life.logs)


# -- forwards over channels that are not known yet -----------------------------------------


def test_forwards_of_a_downtime_are_kept_where_the_channels_cannot_be_read_at_first() -> None:
    with house_node() as node:
        paid_while_down(node)
        node.faults.add(Fault("error", "listpeerchannels"))
        node._start_at(node.now_s)
        node.settle()
        node.wait_s(300)
        node.faults.clear()
        node.wait_s(6 * HOUR_S)
        assert counts(node) == [50, 50]


def test_what_is_told_from_the_store_is_no_reading() -> None:
    with house_node() as node:
        paid_while_down(node)
        node.faults.add(Fault("error", "listpeerchannels"))
        with closing(sqlite3.connect(node.database)) as connection:
            connection.execute("UPDATE flow_header SET header = '{}'")
            connection.commit()
        node._start_at(node.now_s)
        node.settle()
        actor = analyzer(node)
        assert len(actor._entries) == 2
        assert actor._watch.read_s is None


def test_no_analysis_begins_before_any_channel_is_known() -> None:
    with house_node(start=False) as node:
        traffic = Traffic(node)
        traffic.preload(50, failed_every=1_000)
        node.faults.add(Fault("error", "listpeerchannels"))
        node.start()
        node.settle()
        answer = node.life.ask("revenue-analyze", {})
        assert answer is not None
        assert "have not been read" in answer["result"]["error"]
        generation = analyzer(node).context.generation
        node.wait_s(600)
        assert analyzer(node).context.generation == generation
        assert node.query("SELECT cursor_seq FROM flow_header") == []
        node.faults.clear()
        node.wait_s(180)
        assert counts(node) == [50, 50]


def spliced_unseen(node: HouseNode, way: int = 0) -> None:
    """Ten forwards over a scid of which no notification spoke, right after a reading."""
    one = node.open("alice", 10_000_000, 5_000_000)
    two = node.open("bob", 10_000_000, 5_000_000)
    node.wait_s(4 * HOUR_S)
    (due,) = due_s(node, "channel-registry", "RegistryTick")
    node.advance(due + 60)
    for topic in ("channel_state_changed", "connect", "channel_opened"):
        node.faults.add(Fault("lost", topic))
    node.splice(one, 1_000_000)
    node.mine(8)
    node.settle()
    for number in range(10):
        node.pay(*((one, two) if way == 0 else (two, one)), 2_000_000 + number)
    node.settle()
    node.wait_s(5)


@pytest.mark.parametrize("way", [0, 1])
def test_a_forward_over_an_unknown_scid_waits_for_a_newer_reading(way: int) -> None:
    with house_node() as node:
        spliced_unseen(node, way)
        node.life.ask("revenue-analyze", {})
        node.wait_s(5)
        assert counts(node) == [10, 10]
        assert analyzer(node)._analysis is None


def test_where_no_newer_reading_comes_the_rows_stay_before_the_cursor() -> None:
    with house_node() as node:
        spliced_unseen(node)
        before = node.query("SELECT cursor_seq FROM flow_header")
        node.faults.add(Fault("error", "listpeerchannels"))
        refused = refusals(node)
        analyze(node)
        node.wait_s(flow_analyzer.PATIENCE_S + 1)
        assert len(refused) == 1
        assert "channels cannot be read" in refused[0]
        assert node.query("SELECT cursor_seq FROM flow_header") == before
        node.faults.clear()
        node.wait_s(2 * flow_analyzer.RETRY_S + 5)
        assert counts(node) == [10, 10]


def moved_to(connection: sqlite3.Connection, scid: str, later_s: float) -> int:
    """All forwards come in by this scid, and were resolved so much later."""
    connection.execute("INSERT INTO forward_scid (scid) VALUES (?)", (scid,))
    return connection.execute(
        "UPDATE forward_row SET in_id = (SELECT id FROM forward_scid WHERE scid = ?),"
        " resolved_at_s = resolved_at_s + ?",
        (scid, later_s),
    ).rowcount


def test_old_forwards_over_unknown_channels_hold_nothing() -> None:
    with house_node(start=False) as node:
        Traffic(node).preload(50, failed_every=1_000)
        node.start()
        node.settle()
        node.wait_s(10)
        with closing(sqlite3.connect(node.database)) as connection:
            changed = moved_to(connection, "1x1x1", 0.0)
            connection.commit()
        assert changed == 50
        readings = node.calls["listpeerchannels"]
        assert node.call("revenue-analyze")["channels"] == 2
        node.wait_s(5)
        assert node.calls["listpeerchannels"] == readings
        assert sorted(counts(node)) == [0, 50]


def test_a_forward_that_stays_unknown_holds_an_analysis_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow_analyzer, "PAGE_ROWS", 3)
    with house_node() as node:
        spliced_unseen(node)
        actor = analyzer(node)
        scids = {scid for entry in actor._entries.values() for scid in entry.scids}
        foreign = "1x1x1"
        assert foreign not in scids
        with closing(sqlite3.connect(node.database)) as connection:
            moved_to(connection, foreign, 3_600.0)
            connection.commit()
        node.life.ask("revenue-analyze", {})
        assert actor._analysis is not None
        node.wait_s(5)
        assert actor._analysis is None
        assert counts(node) == [0, 10]


# -- clocks -----------------------------------------------------------------------------------


def test_a_clock_in_the_past_delays_flow_by_one_interval_at_most() -> None:
    with house_node() as node:
        traffic = Traffic(node)
        traffic.pay("settled")
        node.wait_s(2 * HOUR_S)
        node.kill()
        assert node._virtual is not None
        node._virtual.base_s -= 30 * DAY_S
        node._start_at(node.now_s)
        node.settle()
        (due,) = due_s(node, "flow-analyzer", "FlowTick")
        assert 0.0 <= due - node.now_s <= analyzer(node).config.flow_interval
        assert analyzer(node)._analysed_s <= node.now_s
        node.wait_s(2 * HOUR_S)
        before = {key: state.exposure_out_s for key, state in analyzer(node)._states.items()}
        node.wait_s(DAY_S)
        for key, state in analyzer(node)._states.items():
            assert state.exposure_out_s > before[key] + 0.8 * DAY_S
            assert state.updated_s <= node.now_s


def test_a_clock_set_back_while_the_house_runs_delays_flow_by_one_interval_at_most() -> None:
    with house_node() as node:
        Traffic(node).pay("settled")
        node.wait_s(2 * HOUR_S)
        analyzer(node)._analysed_s = node.now_s + 30 * DAY_S
        node.call("revenue-config", ["set", "flow_interval", 1_800])
        (due,) = due_s(node, "flow-analyzer", "FlowTick")
        assert due - node.now_s <= 1_800


# -- records that cannot be read --------------------------------------------------------------

ROW = (
    "[1,{0},null,null,0.0,0.0,0.0,[0,0,0,0],[0,0,1,0,0,1,1,0,0,0,0,0,0,0],"
    "[0,0,1,0,0,1,1,0,0,0,0,0,0,0],[]]"
)
BROKEN = [
    "garbage",
    "7",
    "{}",
    "[1]",
    "[1,null,null,null,null,null,null,null,[0,0,0,0],[0],[0],[]]",
    ROW.replace("{0}", "5.0,null"),
    ROW.replace("{0}", "5.0,5.0").replace("[0,0,1,0,0,1,", "[0,0,1,0,0,0,"),
    ROW.replace("{0}", "5.0,5.0").replace("[0,0,1,", "[1e9,0,1,"),
]


@pytest.mark.parametrize("body", BROKEN)
def test_an_unreadable_flow_state_begins_anew_and_is_named(body: str) -> None:
    with house_node() as node:
        Traffic(node).pay("settled")
        node.wait_s(2 * HOUR_S)
        ((key,),) = node.query("SELECT min(channel_id) FROM flow_state")
        damage(node, f"UPDATE flow_state SET body = '{body}' WHERE channel_id = '{key}'")
        assert logged(node, "stored flow", key) == 1
        node.wait_s(2 * HOUR_S)
        assert node.status()["safe_mode"] is False
        assert len(counts(node)) == 2


@pytest.mark.parametrize(
    "header",
    ["x", "{}", "[]", '{"watch": [null], "analysed_s": 1}', '{"watch": [1, {}, {}, []]}',
     '{"watch": ["a", {}, {}, []], "analysed_s": 1}',
     '{"watch": [1, {}, {}, []], "analysed_s": "soon"}'],
)  # fmt: skip
def test_an_unreadable_flow_header_costs_the_watch_and_not_the_cursor(header: str) -> None:
    with house_node() as node:
        Traffic(node).pay("settled")
        node.wait_s(2 * HOUR_S)
        damage(node, f"UPDATE flow_header SET header = '{header}'")
        assert logged(node, "flow header") == 1
        node.wait_s(2 * HOUR_S)
        assert node.status()["safe_mode"] is False
        assert counts(node) == [1, 1]


def test_an_unreadable_channel_fact_blocks_no_start() -> None:
    with house_node() as node:
        Traffic(node).pay("settled")
        node.wait_s(2 * HOUR_S)
        ((key,),) = node.query("SELECT min(channel_id) FROM channel")
        scids = node.query("SELECT * FROM channel_scid ORDER BY 1, 2")
        damage(node, f"UPDATE channel SET fact = 'x' WHERE channel_id = '{key}'")
        assert logged(node, "stored fact", key) == 1
        node.wait_s(10)
        assert node.status()["safe_mode"] is False
        assert node.query("SELECT * FROM channel_scid ORDER BY 1, 2") == scids
        assert node.query("SELECT fact FROM channel WHERE channel_id = ?", key) != [("x",)]


# -- answers that stay out, and answers that are told -------------------------------------------


def test_a_silent_log_refuses_the_waiting_commands_and_is_asked_again() -> None:
    with house_node() as node:
        Traffic(node).pay("settled")
        node.wait_s(600)
        post = node.life.house.core.post
        post.box("accountant").mailbox.set_open(False)
        refused = refusals(node)
        analyze(node)
        node.wait_s(flow_analyzer.PATIENCE_S - 1)
        assert refused == []
        node.wait_s(2)
        assert refused == ["no analysis: the forward log does not answer"]
        post.box("accountant").mailbox.set_open(True)
        node.life.house.runtime._wake("accountant")
        node.wait_s(2 * flow_analyzer.RETRY_S)
        assert counts(node) == [1, 1]


def test_a_tick_in_the_middle_of_a_sweep_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_analyzer, "CHANNELS_A_STEP", 1)
    with house_node() as node:
        Traffic(node).pay("settled")
        node.wait_s(600)
        actor = analyzer(node)
        command = AnalyzeNow("x 1", "gateway", actor.context.clock.monotonic() + 60.0, None)
        actor.on_receive(command)
        analysis = actor._analysis
        page = ForwardLogPage((), actor._cursor, True)
        actor.on_receive(Answer(analysis.step, page))
        assert actor._analysis is analysis and analysis.left
        actor.on_receive(FlowTick())
        assert actor._analysis is analysis
        node.wait_s(1)
        assert actor._analysis is None
        assert actor._analysed_s == analysis.now_s
        assert {state.updated_s for state in actor._states.values()} == {analysis.now_s}
        (due,) = due_s(node, "flow-analyzer", "FlowTick")
        assert due - node.now_s <= actor.config.flow_interval


def test_closed_channels_are_not_counted_as_analysed() -> None:
    with house_node() as node:
        traffic = Traffic(node)
        node.wait_s(2 * HOUR_S)
        assert node.call("revenue-analyze")["channels"] == 2
        node_closing.forget(node.world, node.world.channel(traffic.two), node.now_s)
        node.wait_s(HOUR_S)
        assert node.call("revenue-analyze")["channels"] == 1
