"""What the simulated node books when channels end on the chain: row for row as real nodes do."""

from __future__ import annotations

from typing import Any

import pytest

from cl_revenue_ops.simnode import wallet
from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.node import SimulatedNode

START_S = 1_700_000_000.0
HTLC_MSAT, OUT_MSAT = 20_007_000, 20_000_000
Line = tuple[str, int, bool]


@pytest.fixture
def node() -> SimulatedNode:
    """Money in the wallet; `a` pays in, `b` pays out, both with an odd balance."""
    node = SimulatedNode(start_s=START_S, seed=8)
    node.deposit(2_000_000)
    return node


def pair(node: SimulatedNode, opener: str = "local") -> tuple[str, str]:
    return (
        node.open("a", 1_000_000, 400_000, opener="remote"),
        node.open("b", 1_000_000, 800_000, opener=opener),
    )


def held(node: SimulatedNode, one: str, two: str) -> int:
    """A forward that the next peer holds back; its created_index."""
    row = node.world.forward(one, two, 20_000_111, 20_007_888, START_S, "pending")
    assert row.status == "offered"
    return row.created_index


def since(node: SimulatedNode, account: str, mark: int) -> list[Line]:
    """What was booked on chain for an account after `mark`: tag, change in msat, spend or not."""
    return [
        (m.primary_tag, m.credit_msat - m.debit_msat, m.spending_txid is not None)
        for m in node.world.books.chain_moves[mark:]
        if m.account_id == account
    ]


def marked(node: SimulatedNode) -> int:
    return len(node.world.books.chain_moves)


def asked(node: SimulatedNode, method: str, **params: Any) -> list[dict[str, Any]]:
    (rows,) = node.bookkeeper.methods[method](params).values()
    found: list[dict[str, Any]] = rows
    return found


class TestOurCommitment:
    """Published by us: everything of ours is delayed, HTLC transactions are paid by the wallet."""

    def test_what_they_claim_is_booked_outside_and_settles_only_what_came_in(
        self, node: SimulatedNode
    ) -> None:
        one, two = pair(node)
        created = held(node, one, two)
        node.force_close(two)
        mark = marked(node)
        assert node.world.resolve(created).status == "offered"
        node.mine(1)
        assert since(node, "external", mark) == [
            ("htlc_fulfill", OUT_MSAT, False), ("htlc_fulfill", 0, True),
        ]  # fmt: skip
        claimed, spent = node.world.books.chain_moves[mark:]
        assert claimed.payment_hash is not None and spent.payment_hash is None
        assert {claimed.originating_account, spent.originating_account} == {two}
        (routed,) = (m for m in node.world.books.channel_moves if m.primary_tag == "routed")
        assert (routed.account_id, routed.credit_msat, routed.fees_msat) == (one, 20_007_888, 7_777)
        node.forget()
        tags = [(r["account"], r["tag"], r["debit_msat"]) for r in asked(node, "bkpr-listincome")]
        assert (two, "htlc_fulfill", OUT_MSAT) in tags
        assert "routed" not in {tag for _, tag, _ in tags}

    def test_what_we_claim_comes_in_two_transactions(self, node: SimulatedNode) -> None:
        one, two = pair(node)
        created = held(node, one, two)
        node.force_close(one)
        mark = marked(node)
        assert node.world.resolve(created).status == "settled"
        node.mine(1)
        paid = since(node, "wallet", mark)
        assert [tag for tag, _, _ in paid] == ["withdrawal", "deposit"]
        assert sum(change for _, change, _ in paid) == -node.world.chain_fee_msat(1_080)
        assert node.world.channels[one].to_us_msat == 400_000_000
        node.forget()
        assert [line for line in since(node, one, mark) if abs(line[1]) == HTLC_MSAT] == [
            ("htlc_fulfill", HTLC_MSAT, False), ("htlc_fulfill", -HTLC_MSAT, True),
            ("htlc_tx", HTLC_MSAT, False), ("to_wallet", -HTLC_MSAT, True),
        ]  # fmt: skip
        routed = [m for m in node.world.books.channel_moves if m.primary_tag == "routed"]
        assert [(m.account_id, m.debit_msat) for m in routed] == [(two, 20_000_111)]

    def test_what_nobody_claims_is_theirs_again(self, node: SimulatedNode) -> None:
        one, two = pair(node)
        created = held(node, one, two)
        node.force_close(one)
        mark = marked(node)
        node.world.resolve(created, "failed")
        node.forget()
        assert since(node, "external", mark) == [("htlc_timeout", HTLC_MSAT, False)]
        row = {r["account"]: r for r in asked(node, "bkpr-listbalances")}[one]
        assert row["account_resolved"]

    def test_without_a_wallet_an_htlc_waits(self, node: SimulatedNode) -> None:
        one, two = pair(node)
        held(node, one, two)
        for output in node.world.outputs:
            output.reserved = True
        node.force_close(two)
        mark = marked(node)
        node.mine(60)
        assert "htlc_timeout" not in {tag for tag, _, _ in since(node, two, mark)}
        node.deposit(100_000)
        node.mine(1)
        assert ("htlc_timeout", -OUT_MSAT, True) in since(node, two, mark)
        assert node.world.pending == {}

    def test_htlcs_too_small_for_an_output_are_lost_to_the_miner(self, node: SimulatedNode) -> None:
        one, two = pair(node)
        node.world.forward(one, two, 300_000, 400_000, START_S, "pending")
        node.force_close(two)
        assert node.world.pending == {}
        node.forget()
        assert {r["account"]: r for r in asked(node, "bkpr-listbalances")}[two]["account_resolved"]


class TestTheirCommitment:
    """Published by the peer: our balance is the wallet's at once, HTLCs need one step each."""

    def test_our_balance(self, node: SimulatedNode) -> None:
        _, two = pair(node, "remote")
        mark = marked(node)
        node.force_close(two, by="remote")
        rows = node.world.books.chain_moves[mark:]
        (deposit,) = (m for m in rows if m.account_id == "wallet")
        assert (deposit.credit_msat, deposit.originating_account) == (800_000_000, two)
        tags = [(m.account_id, m.primary_tag) for m in rows]
        assert tags[0] == (two, "channel_close")
        assert sorted(tags[1:]) == [
            ("external", "anchor"), ("external", "anchor"), ("external", "to_them"),
            ("wallet", "deposit"),
        ]  # fmt: skip
        assert rows[0].output_count == 4
        row = {r["account"]: r for r in asked(node, "bkpr-listbalances")}[two]
        assert (row["account_resolved"], row["resolved_at_block"]) == (True, node.world.height)

    def test_the_ways_of_htlcs(self, node: SimulatedNode) -> None:
        one, two = pair(node)
        created = held(node, one, two)
        node.force_close(one, by="remote")
        node.force_close(two, by="remote")
        mark = marked(node)
        node.mine(40)
        assert since(node, two, mark) == [
            ("htlc_timeout", OUT_MSAT, False), ("to_wallet", -OUT_MSAT, True),
        ]  # fmt: skip
        assert created not in node.world.pending
        again, third = pair(node)
        created = held(node, again, third)
        node.force_close(again, by="remote")
        mark = marked(node)
        node.world.resolve(created)
        node.mine(1)
        assert since(node, again, mark) == [
            ("htlc_fulfill", HTLC_MSAT, False), ("to_wallet", -HTLC_MSAT, True),
        ]  # fmt: skip
        assert since(node, "wallet", mark)[0][1] == HTLC_MSAT - node.world.chain_fee_msat(483)

    def test_between_broadcast_and_block_nothing_moves_off_the_chain(
        self, node: SimulatedNode
    ) -> None:
        one, two = pair(node)
        created = held(node, one, two)
        node.world.force_close(two, by="remote")
        assert node.pay(one, two, 1_000_000).status == "local_failed"
        with pytest.raises(SimRpcError):
            node.world.splice(two, 100_000)
        assert node.world.resolve(created).status == "offered"
        node.mine(2)
        assert node.world.pending == {}
        assert node.world.forwards.fees_collected_msat == 7_777


@pytest.mark.parametrize("cheats", [False, True])
def test_an_opener_without_money_pays_for_no_anchors(node: SimulatedNode, cheats: bool) -> None:
    name = node.open("b", 1_000_000, 1_000_000, opener="remote")
    mark = marked(node)
    if cheats:
        node.cheat(name, 1_000_000)
    else:
        node.force_close(name, by="remote")
    made = [m for m in node.world.books.chain_moves[mark:] if m.spending_txid is None]
    assert [(m.account_id, m.credit_msat) for m in made] == [("wallet", 1_000_000_000)]


def test_change_that_is_dust_is_left_to_the_miner(node: SimulatedNode) -> None:
    fee_sat = node.world.chain_fee_msat(561) // 1000
    node.withdraw(2_000_000 - fee_sat - 545)
    assert [o for o in node.world.outputs if not o.spent] == []
    (row,) = (r for r in asked(node, "bkpr-listbalances") if r["account"] == "wallet")
    assert row["balances"][0]["balance_msat"] == 0


def test_a_cheater_loses_everything(node: SimulatedNode) -> None:
    _, two = pair(node)
    mark = marked(node)
    node.cheat(two, 750_000)
    cost_msat = node.world.chain_fee_msat(483)
    before_msat = 750_000_000 - node.world.channels[two].commitment_cost_msat(0) - 660_000
    assert since(node, two, mark) == [
        ("channel_close", -800_000_000, True), ("penalty", 250_000_000, False),
        ("to_wallet", -250_000_000, True),
    ]  # fmt: skip
    assert [change for _, change, _ in since(node, "wallet", mark)] == [
        before_msat, 250_000_000 - cost_msat,
    ]  # fmt: skip
    adjusted = node.world.books.channel_moves[-2:]
    assert [(m.primary_tag, m.credit_msat, m.debit_msat) for m in adjusted] == [
        ("penalty_adj", 250_000_000, 0), ("penalty_adj", 0, 250_000_000),
    ]  # fmt: skip
    txid = node.world.books.chain_moves[-1].spending_txid
    rows = [r for r in asked(node, "bkpr-listincome") if r["account"] == two]
    assert [r["credit_msat"] for r in rows if r["tag"] == "penalty_adj"] == [250_000_000]
    assert [r["debit_msat"] for r in rows if r.get("txid") == txid] == [cost_msat]
    account = {r["account"]: r for r in asked(node, "bkpr-listbalances")}[two]
    assert (account["account_resolved"], account["balances"][0]["balance_msat"]) == (True, 0)


class TestMutualClose:
    """The opener pays the miner; parts of a satoshi and dust are lost to it."""

    @pytest.mark.parametrize("opener", ["local", "remote"])
    def test_who_pays(self, node: SimulatedNode, opener: str) -> None:
        name = node.open("b", 1_000_000, 800_000, opener=opener)
        assert node.world.receive_payment(name, 1_234_567)
        mark = marked(node)
        node.close(name)
        fee_msat = node.world.chain_fee_msat(673) if opener == "local" else 0
        deposit, close, theirs = node.world.books.chain_moves[mark:]
        assert deposit.credit_msat == (801_234_567 - fee_msat) // 1000 * 1000
        assert (close.debit_msat, close.output_count, close.peer_id) == (801_234_567, 2, None)
        assert (theirs.account_id, theirs.originating_account) == ("external", name)
        paid_msat = node.world.chain_fee_msat(673) - fee_msat
        assert theirs.credit_msat == (198_765_433 - paid_msat) // 1000 * 1000

    def test_dust_has_no_output(self, node: SimulatedNode) -> None:
        name = node.open("b", 1_000_000, 500, opener="remote")
        before_msat = wallet.balance_msat(node.world)
        mark = marked(node)
        node.close(name)
        assert [m.primary_tag for m in node.world.books.chain_moves[mark:]] == [
            "channel_close", "to_them",
        ]  # fmt: skip
        assert wallet.balance_msat(node.world) == before_msat
        account = {r["account"]: r for r in asked(node, "bkpr-listbalances")}[name]
        assert account["account_resolved"]


def test_a_splice_in_a_block_is_completed_by_a_close(node: SimulatedNode) -> None:
    _, two = pair(node)
    node.deposit(500_000)
    node.world.splice(two, 250_000)
    node.mine(1)
    channel = node.world.channels[two]
    node.close(two)
    assert channel.total_msat == 1_250_000_000
    tags = [m.primary_tag for m in node.world.books.chain_moves if m.account_id == two]
    assert tags == ["channel_open", "channel_close", "channel_open", "channel_close"]


def test_an_opening_is_booked_when_it_locks_in(node: SimulatedNode) -> None:
    world = node.world
    name = world.open_channel(world.add_peer("c"), 500_000, 400_000_000)
    world.mine(2)
    assert [m for m in world.books.chain_moves if m.account_id == name] == []
    world.mine(1)
    (opened,) = (m for m in world.books.chain_moves if m.account_id == name)
    assert opened.blockheight == world.height - 2
    (pushed,) = world.books.channel_moves
    assert (pushed.primary_tag, pushed.debit_msat) == ("pushed", 100_000_000)
    early = world.open_channel(world.add_peer("d"), 500_000)
    world.mine(1)
    world.force_close(early)
    world.mine(1)
    tags = [m.primary_tag for m in world.books.chain_moves if m.account_id == early]
    assert tags[:2] == ["channel_open", "channel_close"]
