"""Fees of other writers in the whole house: left alone for a day, or written over if known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from cl_revenue_ops.simnode.faults import Fault
from tests.sim.house_support import HouseNode, house_node
from tests.sim.test_house_fees import decision, rivals_ask

DAY_S, CYCLE_S = 86_400.0, 1_800.0
OLD_S = 0.5 * DAY_S
FOREIGN = {"feeppm": 1_234, "feebase": 7}


@dataclass(frozen=True)
class Neighbour:
    """Another plugin on the node; here it only stands in the list."""

    path: str
    methods: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


CLBOSS = Neighbour("/opt/clboss")
HIVE = Neighbour("/opt/cl-hive/cl-hive.py")


@pytest.fixture
def node() -> Iterator[HouseNode]:
    """A house that knows other plugins that are not there yet."""
    with house_node(start=False) as node:
        for name in ("alice", "bob"):
            node.open(name, 1_000_000, 500_000)
            rivals_ask(node, node.world.add_peer(name), 300, 310, 320)
        for neighbour in (CLBOSS, HIVE):
            node.plugins.add_companion(neighbour, present=False)
        node.start()
        node.settle()
        yield node


def channel_id(node: HouseNode) -> str:
    return min(node.world.channels)


def fee(node: HouseNode) -> tuple[int, int]:
    policy = node.world.channel(channel_id(node)).policy
    return policy.ppm, policy.base_msat


def overwrite(node: HouseNode, **terms: int) -> tuple[int, int]:
    """Another writer sets the peer's fee, by the peer's id as CLBoss does; the fee before."""
    before = fee(node)
    peer_id = node.world.channel(channel_id(node)).peer_id
    node.call("setchannel", {"id": peer_id, **FOREIGN, **terms})
    return before


def told(node: HouseNode) -> dict[str, Any]:
    return decision(node, channel_id(node))


def change(node: HouseNode) -> dict[str, Any]:
    """The channel's newest change as revenue-status shows it."""
    scid = node.world.channel(channel_id(node)).scid
    changes = node.status()["recent_fee_changes"]
    return next(change for change in changes if change["channel_id"] == scid)


# -- nobody is known to write fees: an operator may have had a reason ----------------------------


def test_a_fee_of_nobody_known_is_left_alone_for_a_day_and_told(node: HouseNode) -> None:
    node.wait_s(OLD_S)
    overwrite(node)
    node.wait_s(DAY_S)
    assert fee(node) == (1_234, 7)
    row = told(node)
    assert (row["whose"], row["skip_reason"]) == ("foreign", "foreign_fee_held")
    assert "another writer set 1234 ppm and 7 msat where" in row["sentence"]
    assert row["record"]["inputs"]["facts"]["conditions"]["writers"] == []
    (held,) = node.status()["foreign_fees"]
    assert held["channel_id"] == node.world.channel(channel_id(node)).scid
    assert (held["fee_ppm"], held["fee_base_msat"]) == (1_234, 7)
    node.wait_s(CYCLE_S)
    assert node.status()["foreign_fees"] == []
    assert fee(node)[0] < 1_000
    assert "after 1234 ppm" in change(node)["reason"]


def test_each_other_fee_is_left_alone_for_a_day_of_its_own(node: HouseNode) -> None:
    node.wait_s(OLD_S)
    for ppm in (1_234, 1_300, 1_234):
        overwrite(node, feeppm=ppm)
        node.wait_s(0.9 * DAY_S)
        assert fee(node) == (ppm, 7)


def test_the_hold_outlives_a_kill(node: HouseNode) -> None:
    node.wait_s(OLD_S)
    overwrite(node)
    node.wait_s(0.5 * DAY_S)
    node.restart()
    node.wait_s(0.4 * DAY_S)
    assert fee(node) == (1_234, 7)
    node.wait_s(0.1 * DAY_S + 2 * CYCLE_S)
    assert fee(node)[0] < 1_000


# -- a plugin that writes fees ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "writers"),
    [([CLBOSS], "CLBoss"), ([HIVE], "cl-hive"), ([HIVE, CLBOSS], "CLBoss or cl-hive")],
)
def test_a_fee_of_a_known_writer_is_written_over_at_the_next_cycle_and_told(
    node: HouseNode, present: list[Neighbour], writers: str
) -> None:
    for neighbour in present:
        node.plugins.set_present(neighbour.path.rpartition("/")[2], True)
    node.wait_s(OLD_S)
    ours = overwrite(node)
    node.wait_s(CYCLE_S)
    now_ppm, now_base_msat = fee(node)
    assert ours[0] / 1.5 - 1 <= now_ppm <= ours[0] * 1.5 + 1
    assert now_base_msat == 0
    said = f"{writers} set 1234 ppm and 7 msat where ours stood, and ours applies again"
    row = told(node)
    assert (row["whose"], row["record"]["code"]) == ("foreign", "rewritten")
    assert said in row["sentence"]
    shown = change(node)
    assert said in shown["reason"]
    assert (shown["old_fee_ppm"], shown["new_fee_ppm"]) == (1_234, now_ppm)


def test_it_is_written_over_however_often_it_comes(node: HouseNode) -> None:
    """The updates that a day may have are for changes of our own mind."""
    node.plugins.set_present("clboss", True)
    node.wait_s(OLD_S)
    for _ in range(10):
        overwrite(node)
        node.wait_s(CYCLE_S)
        ppm, base_msat = fee(node)
        assert ppm != 1_234
        assert base_msat == 0


def test_a_young_channel_moves_on_from_our_fee_and_not_from_the_others(node: HouseNode) -> None:
    """Its steps are small, but nobody else can set it a new start."""
    node.plugins.set_present("clboss", True)
    node.wait_s(OLD_S)
    ours, _ = overwrite(node)
    node.wait_s(CYCLE_S)
    assert told(node)["record"]["code"] == "rewritten"
    assert ours / 1.5 - 1 <= fee(node)[0] <= ours * 1.5 + 1


def test_a_base_fee_of_a_known_writer_is_written_over_too(node: HouseNode) -> None:
    node.plugins.set_present("clboss", True)
    node.wait_s(OLD_S)
    ppm, _ = fee(node)
    overwrite(node, feeppm=ppm, feebase=5_000)
    node.wait_s(CYCLE_S)
    assert fee(node)[1] == 0
    assert "set" in told(node)["outcome"]


def test_what_it_wrote_before_we_came_is_the_first_price(node: HouseNode) -> None:
    node.kill()
    node.plugins.set_present("clboss", True)
    node.open("carol", 1_000_000, 500_000)
    (new,) = [c for c in node.world.channels if node.world.peers[_peer(node, c)].alias == "carol"]
    node.call("setchannel", {"id": _peer(node, new), **FOREIGN})
    node.start()
    node.wait_s(200)
    row = decision(node, new)
    assert (row["skip_reason"], row["fee_ppm"]) == ("first_contact", 1_234)


def _peer(node: HouseNode, channel: str) -> str:
    return node.world.channel(channel).peer_id


def test_a_writer_that_comes_or_goes_is_noticed_at_the_next_cycle(node: HouseNode) -> None:
    node.wait_s(OLD_S)
    overwrite(node)
    node.wait_s(4 * CYCLE_S)
    assert fee(node) == (1_234, 7)
    node.plugins.set_present("clboss", True)
    node.wait_s(CYCLE_S)
    assert fee(node)[0] < 1_000
    node.plugins.set_present("clboss", False)
    node.wait_s(CYCLE_S)
    overwrite(node)
    node.wait_s(4 * CYCLE_S)
    assert fee(node) == (1_234, 7)


def test_the_list_is_read_once_a_cycle(node: HouseNode) -> None:
    node.wait_s(DAY_S)
    before = node.calls["plugin"]
    node.wait_s(10 * CYCLE_S)
    assert node.calls["plugin"] - before == 10


@pytest.mark.parametrize("kind", ["timeout", "truncated", "error"])
def test_without_the_list_nobody_is_known_and_the_cycle_goes_on(node: HouseNode, kind: str) -> None:
    node.plugins.set_present("clboss", True)
    node.wait_s(OLD_S)
    overwrite(node)
    node.faults.add(Fault(kind, "plugin"))
    node.wait_s(CYCLE_S)
    row = told(node)
    assert (row["skip_reason"], fee(node)) == ("foreign_fee_held", (1_234, 7))
    assert "plugins could not be listed" in node.call("revenue-fee-debug")["trouble"]
    node.faults.clear()
    node.wait_s(2 * CYCLE_S)
    assert fee(node)[0] < 1_000
    assert node.call("revenue-fee-debug")["trouble"] is None


@pytest.mark.parametrize("key", ["paused", "dry_run"])
def test_while_nothing_may_be_written_nothing_is_written_over(node: HouseNode, key: str) -> None:
    node.plugins.set_present("clboss", True)
    node.wait_s(OLD_S)
    node.call("revenue-config", ["set", key, True])
    overwrite(node)
    node.wait_s(2 * CYCLE_S)
    assert fee(node) == (1_234, 7)
    node.call("revenue-config", ["set", key, False])
    node.wait_s(CYCLE_S)
    assert fee(node)[0] < 1_000


def test_what_could_not_be_written_over_is_written_over_at_the_next_cycle(node: HouseNode) -> None:
    node.plugins.set_present("clboss", True)
    node.wait_s(OLD_S)
    ours, _ = overwrite(node)
    node.faults.add(Fault("error", "setchannel"))
    node.wait_s(2 * CYCLE_S)
    assert fee(node) == (1_234, 7)
    assert told(node)["outcome"].startswith("failed")
    node.faults.clear()
    node.wait_s(CYCLE_S)
    assert told(node)["record"]["code"] == "rewritten"
    assert ours / 1.5 - 1 <= fee(node)[0] <= ours * 1.5 + 1


# -- an operator's order ------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
def test_an_order_holds_against_any_writer_until_it_is_taken_back(
    node: HouseNode, known: bool
) -> None:
    node.plugins.set_present("clboss", known)
    node.wait_s(OLD_S)
    node.call("revenue-set-fee", [channel_id(node), 777])
    for _ in range(3):
        overwrite(node)
        node.wait_s(CYCLE_S)
        assert fee(node) == (777, 0)
        assert told(node)["record"]["code"] == "pin_restored"
        assert "another writer set 1234 ppm, and the ordered fee" in told(node)["sentence"]
    answer = node.call("revenue-set-fee", [channel_id(node), "auto"])
    assert answer["pinned"] is False
    node.wait_s(2 * DAY_S)
    assert fee(node)[0] != 777
    overwrite(node)
    node.wait_s(CYCLE_S)
    assert (fee(node) == (1_234, 7)) is not known


def test_auto_ends_the_hold_on_anothers_fee(node: HouseNode) -> None:
    node.wait_s(OLD_S)
    overwrite(node)
    node.wait_s(CYCLE_S)
    assert fee(node) == (1_234, 7)
    node.call("revenue-set-fee", [channel_id(node), "auto"])
    node.wait_s(0.9 * DAY_S)
    assert fee(node)[0] < 1_000
