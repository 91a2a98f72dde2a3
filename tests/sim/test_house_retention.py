"""Old records in the whole house: fee decisions are kept for as long as is configured."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.sim.house_support import HouseNode, house_node
from tests.sim.house_traffic import Traffic

DAY_S = 86_400.0


def file_away(node: HouseNode, age_s: float, count: int) -> None:
    """So many decisions of a channel that closed long ago, half of them fees that were set."""
    with closing(sqlite3.connect(node.database)) as connection:
        connection.executemany(
            "INSERT INTO fee_decision (channel_id, at_s, action, code, new_ppm, by_hand, body,"
            " last_at_s, repeats, outcome) VALUES ('gone', ?1, ?2, 'old', 5, 0, '{}', ?1, 1, ?3)",
            [
                (node.now_s - age_s - number, *(("set", "set") if number % 2 else ("none", None)))
                for number in range(count)
            ],
        )
        connection.commit()


def old(node: HouseNode) -> int:
    ((count,),) = node.query("SELECT count(*) FROM fee_decision WHERE channel_id = 'gone'")
    return int(count)


@pytest.mark.parametrize(("age_days", "left"), [(89.0, 20), (91.0, 0)])
def test_decisions_are_kept_for_the_default_of_ninety_days(age_days: float, left: int) -> None:
    with house_node() as node:
        Traffic(node)
        node.wait_s(600)
        file_away(node, age_days * DAY_S, 20)
        decided = node.query("SELECT count(*) FROM fee_decision WHERE channel_id != 'gone'")
        assert decided != [(0,)]
        node.wait_s(3_600)
        assert old(node) == left
        assert node.query("SELECT count(*) FROM fee_decision WHERE channel_id != 'gone'") >= decided
