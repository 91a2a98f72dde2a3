"""Money of the simulated node through random stories: books, lists and the bookkeeper agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.model import SETTABLE
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.world import World

START_S = 1_700_000_000.0
KINDS = (
    "open", "opened", "forward", "pending", "resolve", "pay", "receive", "circle", "parts",
    "close", "closed", "force", "forced", "cheat", "splice", "spliced", "deposit", "withdraw",
    "mine", "mine",
)  # fmt: skip
step = st.tuples(
    st.sampled_from(KINDS), st.integers(0, 5), st.integers(0, 5), st.integers(1, 600_000_000),
    st.integers(0, 90_000),
)  # fmt: skip


def started() -> SimulatedNode:
    """Three channels, one of them with a balance of odd millisatoshi, and money in the wallet."""
    node = SimulatedNode(start_s=START_S, seed=5)
    for sat in (2_500_000, 2_500_000, 300_000):
        node.world.fund(sat)
    for number, opener in enumerate(("local", "remote", "local")):
        peer = node.world.add_peer(f"peer-{number}")
        node.world.open_channel(peer, 1_000_000, 500_000_123, opener=opener)
    node.world.mine(3)
    return node


def act(world: World, kind: str, one: int, two: int, amount_msat: int, extra: int) -> None:
    """Carry out a step; SimRpcError where the node would refuse it."""
    names = list(world.channels)
    if not names and kind not in ("open", "opened", "deposit", "withdraw", "mine"):
        return
    here, there = (names[n % len(names)] if names else "" for n in (one, two))
    sat = amount_msat // 1000 + 1
    fee_msat = extra % 9_000
    peer = world.add_peer(f"peer-{one % 3}")
    actions: dict[str, Callable[[], Any]] = {
        "open": lambda: world.open_channel(peer, 700_000, 700_000_000 - amount_msat),
        "opened": lambda: world.open_channel(peer, 700_000, amount_msat // 2, opener="remote"),
        "forward": lambda: world.forward(
            here, there, amount_msat, amount_msat + 60_000 + fee_msat, START_S,
            ("settled", "failed")[extra % 2],
        ),
        "pending": lambda: world.forward(
            here, there, amount_msat // 20 + 1, amount_msat // 20 + 60_000, START_S, "pending"
        ),
        "resolve": lambda: [
            world.resolve(created, ("settled", "failed")[extra % 2])
            for created in list(world.pending)[:1]
        ],
        "pay": lambda: world.send_payment(here, "02" + "a" * 64, amount_msat, fee_msat),
        "receive": lambda: world.receive_payment(here, amount_msat),
        "circle": lambda: world.circular_payment(here, there, amount_msat, fee_msat),
        "parts": lambda: world.circular_parts(
            [(here, there, amount_msat // 3 + 1, fee_msat), (here, there, amount_msat // 3 + 1, 7)]
        ),
        "close": lambda: world.close(here),
        "closed": lambda: world.close(here, by="remote"),
        "force": lambda: world.force_close(here),
        "forced": lambda: world.force_close(here, by="remote"),
        "cheat": lambda: world.cheat(here, world.channel(here).total_msat // (1 + one)),
        "splice": lambda: world.splice(here, sat if extra % 2 else -sat),
        "spliced": lambda: world.splice(here, sat if extra % 2 else -sat, by="remote"),
        "deposit": lambda: world.fund(sat),
        "withdraw": lambda: world.withdraw(sat),
        "mine": lambda: world.mine(1 + extra % 60),
    }  # fmt: skip
    actions[kind]()


def told(node: SimulatedNode, story: list[tuple[str, int, int, int, int]]) -> None:
    """Tell a story step by step, looking at the balances after each."""
    for kind, one, two, amount_msat, extra in story:
        # A refusal is the node's good right, and a channel cannot pay through itself.
        try:
            act(node.world, kind, one, two, amount_msat, extra)
        except SimRpcError as refused:
            assert refused.code in (-1, 301, -32602), refused
        except ValueError as nonsense:
            assert "circular" in str(nonsense), nonsense
        balances_agree(node)


def accounts(node: SimulatedNode) -> dict[str, dict[str, Any]]:
    answer = node.bookkeeper.methods["bkpr-listbalances"]({})
    return {row["account"]: row for row in answer["accounts"]}


def balances_agree(node: SimulatedNode) -> None:
    """Open channels hold what listpeerchannels says, HTLCs in flight still counted as ours."""
    world, rows = node.world, accounts(node)
    for channel in world.channels.values():
        if channel.open_booked and channel.state in (*SETTABLE, "CHANNELD_SHUTTING_DOWN"):
            held = rows[channel.channel_id]["balances"][0]["balance_msat"]
            assert held == channel.to_us_msat, channel.state
        elif channel.state == "ONCHAIN":
            assert rows[channel.channel_id]["account_closed"]
    confirmed = [o.amount_msat for o in world.outputs if o.height is not None and not o.spent]
    assert rows["wallet"]["balances"][0]["balance_msat"] == sum(confirmed)


def transactions_balance(node: SimulatedNode, strange: set[str]) -> None:
    """What went in came out or was a fee of plausible size; `strange` had parts we cannot see."""
    world = node.world
    spent: dict[str, int] = {}
    made: dict[str, int] = {}
    for move in world.books.chain_moves:
        if move.spending_txid is not None:
            spent[move.spending_txid] = spent.get(move.spending_txid, 0) + move.output_msat
        else:
            made[move.txid] = made.get(move.txid, 0) + move.output_msat
    # Dust and parts of a satoshi that found no output come on top of the fee.
    most_msat = world.chain_fee_msat(4_000) + 4 * 546_000
    for txid, amount_msat in spent.items():
        if txid in made and txid not in strange:
            assert 0 <= amount_msat - made[txid] <= most_msat, txid


@settings(max_examples=80, deadline=None)
@given(st.lists(step, max_size=22))
def test_books_and_lists_agree_through_any_story(
    story: list[tuple[str, int, int, int, int]],
) -> None:
    node = started()
    balances_agree(node)
    told(node, story)
    world = node.world
    for created in list(world.pending):
        world.resolve(created, "failed")
    world.fund(1_000_000)  # transactions of HTLCs need something to pay their fee with
    world.mine(4)
    node.forget()
    balances_agree(node)
    rows = accounts(node)
    for entry in world.closed:
        row = rows.get(entry["channel_id"])
        assert row is not None
        assert row["balances"][0]["balance_msat"] == 0
        assert row["account_resolved"], entry
        assert 0 < row["resolved_at_block"] <= world.height
    remote_splices = {
        move.spending_txid
        for move in world.books.chain_moves
        if move.spending_txid is not None and "splice" in move.extra_tags
    }
    transactions_balance(node, remote_splices)


def test_the_story_teller_reaches_every_end() -> None:
    """The property above is worth nothing for what its stories never come to."""
    node = started()
    world = node.world
    one, two, three = list(world.channels)
    for _ in range(3):
        for there in (one, three):
            held = world.forward(two, there, 20_000_111, 20_100_000, START_S, "pending")
            assert held.status == "offered"
            held_too = world.forward(there, two, 21_000_222, 21_100_000, START_S, "pending")
            assert held_too.status == "offered"
    for name, by in ((one, "local"), (two, "remote"), (three, "remote")):
        world.force_close(name, by=by)
    world.mine(1)
    for number, created in enumerate(list(world.pending)):
        world.resolve(created, "failed" if number % 3 else "settled")
    node.forget()
    balances_agree(node)
    assert world.pending == {}
    rows = accounts(node)
    assert all(rows[name]["account_resolved"] for name in (one, two, three))
    tags = {(m.primary_tag, m.account_id == "external") for m in world.books.chain_moves}
    assert {
        ("htlc_timeout", False), ("htlc_timeout", True), ("htlc_fulfill", False),
        ("htlc_fulfill", True), ("htlc_tx", False), ("delayed_to_us", False),
        ("to_wallet", False), ("anchor", True), ("to_them", True),
    } <= tags  # fmt: skip


@pytest.mark.parametrize("delta_sat", [250_000, -250_000])
@pytest.mark.parametrize("by", ["local", "remote"])
def test_a_splice_moves_the_balance_of_who_made_it(by: str, delta_sat: int) -> None:
    node = started()
    name = next(iter(node.world.channels))
    channel = node.world.channels[name]
    ours_msat, total_msat = channel.to_us_msat, channel.total_msat
    txid = node.splice(name, delta_sat, by=by)
    moved_msat = delta_sat * 1000 if by == "local" else 0
    assert channel.to_us_msat == ours_msat + moved_msat
    assert channel.total_msat == total_msat + delta_sat * 1000
    balances_agree(node)
    rows = node.bookkeeper.methods["bkpr-listaccountevents"]({"account": name})["events"]
    paid = [r["credit_msat"] - r["debit_msat"] for r in rows if r.get("txid") == txid]
    fee_msat = node.world.chain_fee_msat(1100) if by == "local" else 0
    closes = [r["debit_msat"] for r in rows if r["tag"] == "channel_close"]
    assert sum(paid) + sum(closes) == fee_msat
