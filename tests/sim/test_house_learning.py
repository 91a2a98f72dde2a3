"""What the whole house has learned of demand: kept over a kill, never counted twice, never lost."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors import fee_evidence
from tests.sim.house_learning import (
    CYCLE_S,
    NAMES,
    Go,
    Made,
    SuddenDeath,
    controller,
    cycle_s,
    learning,
    made,
    pay_until,
    recorded,
    verdicts,
)
from tests.sim.house_support import START_S, HouseNode

END_S = START_S + 8 * 3_600.0
BUSY_CYCLE, CALM_CYCLE = 2, 9


def hours(node: HouseNode, go: Go) -> Made:
    """The same eight hours every time."""
    pay_until(node, START_S + 300.0, END_S, go)
    return made(node)


@cache
def undisturbed() -> Made:
    with learning() as node:
        return hours(node, node.advance)


def at(instant_s: float, act: Callable[[], object], node: HouseNode) -> Go:
    """Time goes on, and at that instant something happens."""

    def go(until_s: float) -> None:
        if node.now_s < instant_s <= until_s:
            node.advance(instant_s)
            act()
        node.advance(until_s)
        while not node.life.alive:
            node.restart()
            node.life.ask("dev-revenue-advance", {"until": until_s})

    return go


def assert_same(one: Made, other: Made, price_error: float = 0.0) -> None:
    """The same fees were set at the same times, and all that was learned is the same.

    A cycle that is begun anew values the stocks once more: draws that are made after that may
    differ by `price_error` in the log.
    """
    assert one.sets == other.sets
    assert (one.fees, one.cursor) == (other.fees, other.cursor)
    assert one.learned.keys() == other.learned.keys()
    for peer_id, row in one.learned.items():
        again = other.learned[peer_id]
        for part in ("posterior", "peer", "aimd"):
            assert row[part] == again[part], f"{part} of {peer_id}"
        assert row["draw"][:4] == again["draw"][:4], peer_id
        assert row["draw"][4] == pytest.approx(again["draw"][4], abs=price_error), peer_id
        if not price_error:
            assert row["value"] == again["value"], peer_id


# -- a kill -------------------------------------------------------------------------------------


def test_the_hours_in_which_kills_are_tried_have_something_to_lose() -> None:
    usual = undisturbed()
    assert len(usual.sets) >= 9
    assert usual.cursor > 80
    assert {row[4] for row in usual.others} >= {"first_contact", "budget_spent"}
    assert all(row["peer"]["seen"] > 5 for row in usual.learned.values())


@pytest.mark.parametrize("after_s", [1.0, 0.5 * CYCLE_S, CYCLE_S - 1.0])
@pytest.mark.parametrize("cycle", [0, BUSY_CYCLE, CALM_CYCLE])
def test_a_kill_between_two_cycles_changes_nothing(cycle: int, after_s: float) -> None:
    with learning() as node:
        again = hours(node, at(cycle_s(cycle) + after_s, node.restart, node))
    assert_same(undisturbed(), again)
    assert undisturbed().others == again.others


def dies(node: HouseNode, when: Callable[[Any], bool]) -> Callable[[], None]:
    """Let the house die before the next message at which its FeeController is in this state."""

    def arm() -> None:
        node.life.dies_when = lambda: when(controller(node))

    return arm


@pytest.mark.parametrize("cycle", [BUSY_CYCLE, CALM_CYCLE])
def test_a_kill_while_the_log_is_read_changes_nothing(
    cycle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fee_evidence, "PAGE_ROWS", 2)
    rows: list[int] = []

    def reading(it: Any) -> bool:
        if it._evidence.step is not None and it._evidence.rows:
            rows.append(len(it._evidence.rows))
        return bool(rows)

    with learning() as node:
        again = hours(node, at(cycle_s(cycle) - 1.0, dies(node, reading), node))
    assert rows == [2], "it died after the first page and before the last"
    assert_same(undisturbed(), again)
    assert undisturbed().others == again.others


@pytest.mark.parametrize("cycle", [BUSY_CYCLE, CALM_CYCLE])
def test_a_kill_after_pricing_changes_no_fee(cycle: int) -> None:
    deaths: list[float] = []

    def priced(it: Any) -> bool:
        if it._sweep.left is not None:
            deaths.append(it.now())
        return bool(deaths)

    with learning() as node:
        again = hours(node, at(cycle_s(cycle) - 1.0, dies(node, priced), node))
    assert deaths == [cycle_s(cycle)]
    assert_same(undisturbed(), again, price_error=0.02)


@pytest.mark.parametrize("taken", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_kill_around_a_write_delays_what_it_cut_off_by_a_cycle(
    nth: int, taken: bool, tmp_path: Path
) -> None:
    with learning() as node:

        def die() -> None:
            death = SuddenDeath(node, tmp_path, "setchannel", nth, taken=taken)
            node.advance(cycle_s(BUSY_CYCLE))
            death.revive()

        again = hours(node, at(cycle_s(BUSY_CYCLE) - 1.0, die, node))
        bodies = node.query("SELECT body FROM fee_decision")
    whose = {json.loads(body)["whose"] for (body,) in bodies}
    usual, cut_off_from = undisturbed(), nth if taken else nth - 1
    assert (again.cursor, counted(again)) == (usual.cursor, counted(usual))
    assert whose == {"first_contact", "ours"}
    for number, channel_id in enumerate(sorted(again.fees)):
        late = number >= cut_off_from
        cycles = (1, BUSY_CYCLE + 1, BUSY_CYCLE + 2) if late else (1, BUSY_CYCLE, BUSY_CYCLE + 1)
        times, steps = sets_of(again, channel_id)
        assert times[:3] == [cycle_s(cycle) for cycle in cycles]
        # No step is taken twice, and none is left out.
        assert steps[:3] == sets_of(usual, channel_id)[1][:3] == [(10, 15), (15, 22), (22, 33)]


def sets_of(it: Made, channel_id: str) -> tuple[list[float], list[tuple[int, int]]]:
    """When the fee of a channel was set, and from what to what."""
    rows = [row for row in it.sets if row[0] == channel_id]
    return [at_s for _, at_s, _, _ in rows], [(old, new) for _, _, old, new in rows]


def counted(it: Made) -> dict[str, float]:
    """How many forwards the belief of each peer rests on."""
    return {peer_id: row["peer"]["seen"] for peer_id, row in it.learned.items()}


def test_a_spike_of_the_mempool_is_all_that_a_kill_forgets() -> None:
    told = []
    for kill in (False, True):
        with learning() as node:
            pay_until(node, START_S + 300.0, cycle_s(8) - 10.0, node.advance)
            node.world.set_feerate(250 * 200)
            node.advance(cycle_s(8) + 10.0)
            assert verdicts(node, "carol")["vegas"]["code"] == "mempool_spike"
            if kill:
                node.restart()
            node.advance(cycle_s(9) + 10.0)
            told.append((verdicts(node, "carol")["vegas"], recorded(node, "carol")["inputs"]))
    (raised, usual), (calm, killed) = told
    assert (raised["acted"], calm["acted"], calm["code"]) == (True, False, "mempool_calm")
    assert usual["facts"].pop("spike")["intensity"] > 0.0
    assert killed["facts"].pop("spike") is None
    for inputs in (usual, killed):
        # The HTLC slots are looked at on another beat after a start.
        del inputs["state"]["congestion"]["sampled_at_s"]
    assert usual == killed


# -- what is stored -----------------------------------------------------------------------------


def test_what_was_learned_is_there_again_after_a_kill() -> None:
    with learning() as node:
        pay_until(node, START_S + 300.0, START_S + 4 * 3_600.0, node.advance)
        desk = controller(node)._book.desk
        before, common = desk.pack(), desk.header()
        assert all(peer.seen > 2 for peer in desk.demand.peers.values())
        node.restart()
        node.settle()
        again = controller(node)._book.desk
        assert again is not desk
        assert again.pack() == before
        for part in ("cursor", "learned_s", "pool"):
            assert again.header()[part] == common[part], part
        assert not [text for _, text in node.life.logs if "is damaged" in text]


def floats(*values: float) -> str:
    return base64.b64encode(np.array(values, dtype="<f4").tobytes()).decode()


def changed(*path: Any, to: Any) -> Callable[[dict[str, Any]], str]:
    """A stored row with one of its parts replaced."""

    def text(row: dict[str, Any]) -> str:
        inner: Any = row
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = to(inner[path[-1]]) if callable(to) else to
        return json.dumps(row)

    return text


def without(part: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: json.dumps({key: value for key, value in row.items() if key != part})


DAMAGES: dict[str, Callable[[dict[str, Any]], str]] = {
    "no json": lambda row: "x",
    "empty": lambda row: "",
    "torn": lambda row: json.dumps(row)[:-40],
    "another shape": lambda row: "[]",
    "deep": lambda row: "[" * 100_000,
    **{f"without {part}": without(part) for part in ("posterior", "peer", "value", "draw", "aimd")},
    "short weights": changed("posterior", 0, to=lambda text: text[:-8]),
    "no base64": changed("posterior", 1, to="*" * 8),
    "no weights": changed("posterior", 0, to=lambda text: "A" * len(text)),
    "negative rates": changed("posterior", 1, to=lambda text: floats(*[-1.0] * 360)),
    "a shape that is no number": changed("posterior", 2, to=floats(float("nan"))),
    "a value that is no number": changed("value", to=[float("nan"), 0.0]),
    "a value of text": changed("value", to=["much", 0.0]),
    "an endless size": changed("peer", "size_sum_msat", to=float("inf")),
    "entries of text": changed("peer", "entered", to="alice"),
    "half a policy": changed("peer", "policies", to=[[1.0, 5]]),
    "half a draw": changed("draw", to=[1, 0.5]),
    "a draw that is no number": changed("draw", 4, to=float("nan")),
    "a multiplier of two": changed("aimd", 1, to=2.0),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_belief_costs_that_peer_alone_and_one_line(
    damage: Callable[[dict[str, Any]], str],
) -> None:
    with learning() as node:
        pay_until(node, START_S + 300.0, START_S + 3 * 3_600.0, node.advance)
        before = controller(node)._book.desk.pack()
        hurt = node.world.add_peer("bob")
        node.kill()
        with closing(sqlite3.connect(node.database)) as file, file:
            text = damage(json.loads(before[hurt]))
            file.execute("UPDATE fee_demand SET body = ? WHERE peer_id = ?", (text, hurt))
        node.start()
        node.settle()
        (line,) = [text for _, text in node.life.logs if "is damaged" in text]
        assert hurt in line
        kept = controller(node)._book.desk.pack()
        assert kept == {peer_id: row for peer_id, row in before.items() if peer_id != hurt}
        node.wait_s(2 * CYCLE_S)
        status = node.status()
        assert {actor["state"] for actor in status["actors"].values()} == {"ready"}
        assert status["actors"]["fee-controller"]["restarts"] == 0
        assert {recorded(node, name)["at_s"] for name in NAMES} == {cycle_s(7)}
        assert made(node).learned.keys() == before.keys()
        assert not [text for _, text in node.life.logs if "is damaged" in text and text != line]


# -- when the log does not answer ---------------------------------------------------------------

EVERYTHING_COUNTS_ONCE = {"revenue-ops-enable-reputation": "false"}


def settled(node: HouseNode) -> dict[str, float]:
    """How many forwards the log knows that were for each peer, as far as it was read."""
    sql = (
        "SELECT out_scid, count(*) FROM forward_log WHERE status = 'settled' AND seq <= ?"
        " GROUP BY out_scid"
    )
    by_scid = {c.scid: c.peer_id for c in node.world.channels.values()}
    rows = node.query(sql, made(node).cursor)
    return {by_scid[scid]: float(count) for scid, count in rows}


def newest(node: HouseNode) -> int:
    ((seq,),) = node.query("SELECT max(seq) FROM forward_log")
    return int(seq)


def trouble(node: HouseNode) -> str | None:
    told: str | None = node.call("revenue-fee-debug")["trouble"]
    return told


def silence(node: HouseNode) -> Callable[[], None]:
    """The Accountant reads nothing that it is sent; returns the end of it."""
    post = node.life.house.core.post
    post.box("accountant").mailbox.set_open(False)

    def end() -> None:
        post.box("accountant").mailbox.set_open(True)
        node.life.runtime._wake("accountant")

    return end


def crowd(node: HouseNode) -> Callable[[], None]:
    """The Accountant's mailbox has no room, so that it refuses; returns the end of it."""
    mailbox = node.life.house.core.post.box("accountant").mailbox
    limit, mailbox.limit = mailbox.limit, 0

    def end() -> None:
        mailbox.limit = limit

    return end


@pytest.mark.parametrize("cycles", [1, 3])
@pytest.mark.parametrize(
    ("hinder", "reason"), [(silence, "the forward log does not answer"), (crowd, "is busy")]
)
def test_without_the_log_a_cycle_goes_on_with_what_is_known_and_says_so(
    hinder: Callable[[HouseNode], Callable[[], None]], reason: str, cycles: int
) -> None:
    with learning(options=EVERYTHING_COUNTS_ONCE) as node:
        pay_until(node, START_S + 300.0, cycle_s(6) - 60.0, node.advance)
        before = made(node)
        end = hinder(node)
        node.advance(cycle_s(5 + cycles) + 60.0)
        without = made(node)
        assert f"nothing was learned: {reason}" in str(trouble(node)).replace("accountant is", "is")
        assert node.status()["actors"]["fee-controller"]["restarts"] == 0
        for name in NAMES:
            assert recorded(node, name)["at_s"] >= cycle_s(5 + cycles)
        assert without.cursor == before.cursor
        for peer_id, row in without.learned.items():
            assert row["posterior"] == before.learned[peer_id]["posterior"]
        end()
        node.advance(cycle_s(6 + cycles) + 60.0)
        assert trouble(node) is None
        after = made(node)
        assert after.cursor == newest(node) > before.cursor
        assert counted(after) == settled(node)


def test_what_was_read_before_the_log_fell_silent_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fee_evidence, "PAGE_ROWS", 2)
    with learning(options=EVERYTHING_COUNTS_ONCE) as node:
        pay_until(node, START_S + 300.0, cycle_s(6) - 60.0, node.advance)
        before = made(node)
        ends: list[Callable[[], None]] = []

        def look() -> bool:
            it = controller(node)._evidence
            if it.step is not None and it.rows and not ends:
                ends.append(silence(node))
            return False

        node.life.dies_when = look
        node.advance(cycle_s(6) + 60.0)
        assert "nothing was learned" in str(trouble(node))
        assert made(node).cursor == before.cursor
        ends[0]()
        node.advance(cycle_s(7) + 60.0)
        after = made(node)
        assert after.cursor == newest(node) > before.cursor
        assert counted(after) == settled(node)


def test_every_forward_counts_once_over_many_kills_and_silences() -> None:
    with learning(options=EVERYTHING_COUNTS_ONCE) as node:
        for hour in range(1, 7):
            pay_until(
                node, START_S + 3_600.0 * (hour - 1) + 300.0, START_S + 3_600.0 * hour, node.advance
            )
            if hour % 2:
                node.restart()
                node.settle()
            end = silence(node)
            node.wait_s(400.0)
            end()
        node.advance(cycle_s(15) + 60.0)
        after = made(node)
        assert after.cursor == newest(node)
        assert counted(after) == settled(node)
        assert sum(counted(after).values()) > 50
