"""Laws of the simulated node's money: conservation, fees, admission, grace and counters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.simnode.clock import VirtualClock
from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.model import Policy
from cl_revenue_ops.simnode.moves import ChainMove, ChannelMove
from cl_revenue_ops.simnode.world import World

START_S = 1_700_000_000.0


def small_world(**policy: int) -> tuple[World, list[str]]:
    """Three channels of one million satoshi, half ours each."""
    world = World(VirtualClock(START_S), seed=3)
    names = [
        world.open_channel(
            world.add_peer(f"peer-{n}"), 1_000_000, 500_000_000,
            opener=("local", "remote")[n % 2], policy=Policy(**policy), established=True,
        )
        for n in range(3)
    ]  # fmt: skip
    return world, names


step = st.tuples(
    st.sampled_from(["forward", "pending", "resolve", "circular", "pay", "receive", "policy"]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(1, 700_000_000),
    st.integers(0, 2_000_000),
    st.sampled_from(["settled", "failed", "local_failed"]),
)


def act(world: World, names: list[str], move: tuple[Any, ...], at_s: float) -> None:
    """Carry out one random step; what does not fit the state is left out."""
    kind, one, two, amount_msat, fee_msat, outcome = move
    there, here = names[one], names[two]
    if kind == "resolve" and world.pending:
        world.resolve(min(world.pending), outcome, at_s=at_s)
    elif kind == "policy":
        world.set_channel(there, ppm=fee_msat // 1000, at_s=at_s)
    elif kind == "pay":
        world.send_payment(there, "02" + "a" * 64, amount_msat, fee_msat, at_s=at_s)
    elif kind == "receive":
        world.receive_payment(there, amount_msat, at_s=at_s)
    elif one != two and kind == "circular":
        world.circular_payment(here, there, amount_msat, fee_msat, at_s=at_s)
    elif one != two and kind in ("forward", "pending"):
        ended = "pending" if kind == "pending" else outcome.replace("local_", "")
        world.forward(there, here, amount_msat, amount_msat + fee_msat, at_s, ended)


def booked_msat(world: World, account: str) -> int:
    """What the books say the account holds."""
    moves: list[ChannelMove | ChainMove] = [*world.books.channel_moves, *world.books.chain_moves]
    return sum(m.credit_msat - m.debit_msat for m in moves if m.account_id == account)


@settings(max_examples=60, deadline=None)
@given(st.lists(step, max_size=25))
def test_money_is_conserved(moves: list[tuple[Any, ...]]) -> None:
    world, names = small_world(base_msat=1000, ppm=100)
    for number, move in enumerate(moves):
        act(world, names, move, START_S + number)
        for channel in world.channels.values():
            ours = channel.to_us_msat - channel.pending_out_msat
            theirs = channel.to_them_msat - channel.pending_in_msat
            in_flight = channel.pending_out_msat + channel.pending_in_msat
            assert ours >= 0
            assert theirs >= 0
            assert ours + theirs + in_flight == channel.total_msat
            assert channel.pending_out_msat == sum(
                h.amount_msat for h in channel.pending_out.values()
            )
            assert booked_msat(world, channel.channel_id) == channel.to_us_msat


@settings(max_examples=60, deadline=None)
@given(st.lists(step, max_size=25))
def test_lifetime_fees_are_what_settled_forwards_left(moves: list[tuple[Any, ...]]) -> None:
    world, names = small_world()
    for number, move in enumerate(moves):
        act(world, names, move, START_S + number)
    log = world.forwards
    settled = [
        log.in_msat[n] - log.out_msat[n] for n in range(log.created_max) if log.status[n] == 1
    ]
    routed = [m for m in world.books.channel_moves if m.primary_tag == "routed"]
    assert log.fees_collected_msat == sum(settled)
    assert sum(m.fees_msat for m in routed if m.debit_msat) == sum(settled)
    assert len(routed) == 2 * len(settled)
    fees_kept = log.fees_collected_msat
    world.autoclean(0.0, at_s=START_S + 10_000)
    assert log.fees_collected_msat == fees_kept


def test_a_forward_moves_in_and_out_amounts_and_fills_counters() -> None:
    world, (one, two, _) = small_world(base_msat=1000, ppm=500)
    row = world.forward(one, two, 10_000_000, 10_006_000, START_S + 5, hold_s=2.0)
    assert (row.status, row.fee_msat, row.resolved_s) == ("settled", 6_000, START_S + 7)
    assert world.channels[one].to_us_msat == 510_006_000
    assert world.channels[two].to_us_msat == 490_000_000
    taken, given_ = world.channels[one].traffic_in, world.channels[two].traffic_out
    assert (taken.fulfilled, taken.fulfilled_msat) == (1, 10_006_000)
    assert (given_.offered, given_.fulfilled_msat) == (1, 10_000_000)


def test_a_fee_below_the_policy_is_refused_with_fee_insufficient() -> None:
    world, (one, two, _) = small_world(base_msat=1000, ppm=500)
    row = world.forward(one, two, 10_000_000, 10_005_999, START_S)
    assert (row.status, row.failcode, row.failreason) == (
        "local_failed", 4108, "WIRE_FEE_INSUFFICIENT",
    )  # fmt: skip
    assert world.channels[two].to_us_msat == 500_000_000
    assert world.channels[one].traffic_in.offered == 1
    assert world.channels[one].traffic_in.fulfilled == 0


def test_an_empty_side_a_missing_slot_and_an_absent_peer_fail_for_liquidity() -> None:
    world, (one, two, three) = small_world()
    stock = world.channels[two].spendable_msat
    assert world.forward(one, two, stock - 10_000_000, stock, START_S).status == "settled"
    empty = world.forward(three, two, 20_000_000, 30_000_000, START_S)
    assert (empty.status, empty.failreason) == ("local_failed", "WIRE_TEMPORARY_CHANNEL_FAILURE")
    world.channels[three].their_max_accepted_htlcs = 1
    held = world.forward(two, three, 1_000, 2_000, START_S, "pending")
    assert held.status == "offered"
    assert world.forward(two, three, 1_000, 2_000, START_S).failcode == 4103
    world.resolve(held.created_index)
    assert world.forward(two, three, 1_000, 2_000, START_S).status == "settled"
    world.disconnect(world.channels[three].peer_id)
    assert world.forward(two, three, 1_000, 2_000, START_S).failcode == 4103


def test_what_is_in_flight_cannot_be_sent_twice() -> None:
    world, (one, two, three) = small_world()
    before_msat = world.channels[two].spendable_msat
    world.forward(one, two, 300_000_000, 301_000_000, START_S, "pending")
    assert world.channels[two].to_us_msat == 500_000_000
    assert world.channels[two].spendable_msat <= before_msat - 300_000_000
    assert world.channels[one].receivable_msat <= 490_000_000 - 301_000_000
    assert world.forward(three, two, 300_000_000, 301_000_000, START_S).failcode == 4103


def test_what_the_incoming_peer_cannot_send_never_reaches_the_node() -> None:
    world, (one, two, _) = small_world()
    room = world.channels[one].receivable_msat
    row = world.forward(one, two, 1_000, room + 1, START_S)
    assert (row.status, row.created_index) == ("not_offered", 0)
    assert world.forwards.created_max == 0
    assert world.channels[one].traffic_in.offered == 0


def test_a_foreign_scid_stays_in_the_row() -> None:
    world, (one, _, _) = small_world()
    row = world.forward(one, "99x1x1", 1_000, 2_000, START_S)
    assert (row.status, row.out_scid, row.failreason) == (
        "local_failed", "99x1x1", "WIRE_UNKNOWN_NEXT_PEER",
    )  # fmt: skip


class TestGrace:
    """A raise leaves exactly one former policy honoured, for enforcedelay seconds."""

    def test_the_former_policy_is_honoured_until_the_delay_ends(self) -> None:
        world, (one, two, _) = small_world(base_msat=0, ppm=100)
        world.set_channel(two, ppm=1000, enforcedelay_s=600, at_s=START_S)
        old_fee = (1_000_000, 1_000_100)
        assert world.forward(one, two, *old_fee, START_S + 599).status == "settled"
        assert world.forward(one, two, *old_fee, START_S + 600).failcode == 4108

    def test_a_second_raise_loses_the_first_policy(self) -> None:
        world, (one, two, _) = small_world(base_msat=0, ppm=100)
        world.set_channel(two, ppm=500, at_s=START_S)
        world.set_channel(two, ppm=1000, at_s=START_S + 10)
        assert world.forward(one, two, 1_000_000, 1_000_100, START_S + 20).failcode == 4108
        assert world.forward(one, two, 1_000_000, 1_000_500, START_S + 20).status == "settled"

    def test_a_lower_price_counts_at_once_and_keeps_the_former_policy(self) -> None:
        world, (one, two, _) = small_world(base_msat=0, ppm=100)
        world.set_channel(two, ppm=500, at_s=START_S)
        world.set_channel(two, ppm=400, at_s=START_S + 10)
        assert world.forward(one, two, 1_000_000, 1_000_100, START_S + 20).status == "settled"
        assert world.forward(one, two, 1_000_000, 1_000_400, START_S + 700).status == "settled"

    def test_a_restart_forgets_it(self) -> None:
        world, (one, two, _) = small_world(base_msat=0, ppm=100)
        world.set_channel(two, ppm=1000, at_s=START_S)
        world.lose_memory()
        assert world.forward(one, two, 1_000_000, 1_000_100, START_S + 1).failcode == 4108

    def test_a_narrower_htlc_range_is_a_raise(self) -> None:
        world, (one, two, _) = small_world(base_msat=0, ppm=0)
        world.set_channel(two, htlc_max_msat=5_000, at_s=START_S)
        assert world.forward(one, two, 6_000, 6_000, START_S + 1).status == "settled"
        assert world.forward(one, two, 6_000, 6_000, START_S + 601).failcode == 4103
        world.set_channel(two, htlc_min_msat=4_000, at_s=START_S + 602)
        assert world.forward(one, two, 3_000, 3_000, START_S + 1300).failcode == 4107


def test_an_identical_policy_makes_no_gossip() -> None:
    world, (one, _, _) = small_world(base_msat=5, ppm=100)
    world.set_channel(one, ppm=100, base_msat=5, at_s=START_S + 1)
    assert world.update_times == {}
    world.set_channel(one, ppm=101, at_s=START_S + 2)
    assert world.update_times == {one: [START_S + 2]}


def test_policy_at_tells_what_was_configured_then() -> None:
    world, (one, _, _) = small_world(ppm=100)
    world.set_channel(one, ppm=200, at_s=START_S + 10)
    world.set_channel(one, ppm=300, at_s=START_S + 20)
    asked = (START_S - 1, START_S + 9.9, START_S + 10, START_S + 19, START_S + 99)
    assert [world.policy_at(one, at_s).ppm for at_s in asked] == [100, 100, 200, 200, 300]


def test_htlcmax_is_clamped_and_may_not_lie_below_htlcmin() -> None:
    world, (one, _, _) = small_world()
    entry = world.set_channel(one, htlc_max_msat=10**15)
    assert entry["maximum_htlc_out_msat"] == 990_000_000
    assert "warning_htlcmax_too_high" in entry
    with pytest.raises(SimRpcError) as refused:
        world.set_channel(one, htlc_max_msat=1_000, htlc_min_msat=2_000)
    assert refused.value.code == -1


def test_own_payments_count_in_the_channel_and_in_sendpays() -> None:
    world, (one, two, _) = small_world()
    done = world.circular_payment(two, one, 1_000_000, 250)
    assert (done["status"], done["amount_sent_msat"]) == ("complete", 1_000_250)
    assert done["destination"] == world.id
    assert world.channels[one].traffic_in.fulfilled == 1
    failed = world.circular_payment(two, one, 900_000_000, 250)
    assert failed["status"] == "failed"
    assert "payment_preimage" not in failed
    tags = [(m.primary_tag, m.fees_msat) for m in world.books.channel_moves[-2:]]
    assert tags == [("invoice", 0), ("invoice", 250)]


def test_same_seed_gives_the_same_world() -> None:
    def names(seed: int) -> list[str]:
        world = World(VirtualClock(START_S), seed=seed)
        peer = world.add_peer("a")
        return [world.id, peer, world.open_channel(peer, 100_000, established=True)]

    assert names(1) == names(1)
    assert not set(names(1)) & set(names(2))
