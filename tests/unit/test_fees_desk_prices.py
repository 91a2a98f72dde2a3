"""The pricing desk: prices before and after learning, draws, AIMD, and what the settings change."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from cl_revenue_ops.domain.demand.price import HOLD_S
from cl_revenue_ops.domain.demand.rivals import Ask
from cl_revenue_ops.domain.fees import aimd
from cl_revenue_ops.domain.fees.aimd import AimdState
from cl_revenue_ops.domain.fees.decide import FeeDecision, decide
from cl_revenue_ops.domain.fees.desk import DEFAULT_POLICIES, PricingDesk
from cl_revenue_ops.domain.reputation import Trust
from messages.channels import ChannelFact
from tests.unit.fees_desk_support import (
    CAFE,
    EVERYBODY,
    FLOW_MSAT,
    HOUSE,
    MINER,
    QUOTE,
    SHOP,
    begun,
    fact,
    laws,
    learn,
    many,
    priced,
    watched,
)
from tests.unit.fees_support import DEFAULTS, HOUR_S, NOW, facts, known

# -- what is known before, and what is asked --------------------------------------------------


def test_the_fee_found_is_a_price_unless_it_is_what_lightningd_asks_by_itself() -> None:
    def neutral(**changes: Any) -> float:
        desk = PricingDesk()
        desk.meet([fact(SHOP, **changes)], {}, FLOW_MSAT)
        return priced(desk, NOW, [fact(SHOP, **changes)])[SHOP].priced.neutral

    nothing = neutral(fee_ppm=None, fee_base_msat=None)
    for ppm, base_msat in DEFAULT_POLICIES:
        assert neutral(fee_ppm=ppm, fee_base_msat=base_msat) == nothing
    assert neutral(fee_ppm=1500, fee_base_msat=1000) > nothing + 0.5
    assert neutral(fee_ppm=12, fee_base_msat=1000) < nothing - 0.5


def test_a_quote_moves_the_price_and_one_that_moves_moves_it_further() -> None:
    desk = PricingDesk()
    desk.meet(HOUSE, {SHOP: QUOTE, MINER: QUOTE._replace(ppm=2000.0)}, FLOW_MSAT)
    first = {name: made.priced.neutral for name, made in priced(desk, NOW).items()}
    assert first[MINER] > first[SHOP] + 0.15
    desk.hear(SHOP, [Ask("1x1x1", 400, 10**9)], NOW)
    desk.hear(SHOP, [Ask("1x1x1", 900, 10**9)], NOW + 1.0)
    then = {name: made.priced.neutral for name, made in priced(desk, NOW + HOUR_S).items()}
    assert then[SHOP] > first[SHOP] + 0.2
    assert then[MINER] == first[MINER]


def test_where_channels_to_a_peer_differ_the_lowest_fee_that_can_be_used_is_on_offer() -> None:
    cheap, dear = fact(SHOP, fee_ppm=200, fee_base_msat=9), fact(SHOP, 5, fee_ppm=700)
    away = fact(SHOP, 6, fee_ppm=1, connected=False)
    silent = fact(SHOP, 7, fee_ppm=None)
    stranger = fact("02" + "ee" * 32, 8)
    desk = begun()
    desk.ask([dear, cheap, away, silent, stranger], NOW + 5.0)
    assert desk.demand.peers[SHOP].policies[-1] == (NOW + 5.0, 200, 9)
    assert stranger.peer_id not in desk.demand.peers


# -- prices -----------------------------------------------------------------------------------


def test_a_draw_depends_on_root_peer_and_number_and_on_nothing_else() -> None:
    one, other = begun(), begun()
    first = priced(one, NOW)
    assert priced(other, NOW, HOUSE[::-1]) == first
    assert {made.fresh_z for made in first.values()} != {0.0}
    assert len({made.fresh_z for made in first.values()}) == 3
    fewer = priced(begun(), NOW, HOUSE[:2])
    assert fewer[SHOP].fresh_z == first[SHOP].fresh_z
    assert priced(begun(), NOW, root=8)[SHOP].fresh_z != first[SHOP].fresh_z


def test_a_draw_is_held_for_six_hours_and_then_drawn_anew() -> None:
    desk = begun()
    first = priced(desk, NOW)[SHOP].priced
    held = priced(desk, NOW + HOLD_S - 1.0)[SHOP]
    assert (held.priced.redrawn, held.priced.draw, held.held) == ("", first.draw, first.draw)
    again = priced(desk, NOW + HOLD_S)[SHOP].priced
    assert (again.redrawn, again.draw.number) == ("hold_over", first.draw.number + 1)
    assert again.draw.z != first.draw.z


def test_only_what_can_be_traded_with_is_priced_and_channels_to_a_peer_are_one_stock() -> None:
    twin = fact(SHOP, 5, local_msat=100_000_000)
    away = fact(CAFE, connected=False)
    markets = priced(begun((*HOUSE, twin)), NOW, (fact(SHOP), twin, fact(MINER), away))
    assert sorted(markets) == [SHOP, MINER]
    assert markets[SHOP].share == pytest.approx(4.9 / 19.6, abs=1e-4)
    assert markets[MINER].share == pytest.approx(0.5)
    assert markets[SHOP].worth.own_ppm > markets[MINER].worth.own_ppm


def test_aimd_gives_way_where_nothing_comes_any_more_recovers_and_teaches_nothing() -> None:
    desk = begun()
    now_s = NOW
    for _ in range(20):
        then_s = watched(desk, 6.0, from_s=now_s)
        learn(desk, many(60, now_s, then_s), then_s)
        now_s = then_s
    assert desk.aimd[SHOP] == AimdState()
    then_s = watched(desk, 6.0, from_s=now_s)
    untouched = copy.deepcopy(desk)
    untouched.aimd = {SHOP: AimdState(0.5, NOW)}
    for one in (desk, untouched):
        learn(one, (), then_s)
    assert desk.aimd[SHOP] == AimdState(aimd.DECREASE, then_s)
    assert desk.aimd[MINER] == AimdState()
    assert laws(desk) == laws(untouched)
    desk.ask(HOUSE, then_s)
    assert priced(desk, then_s)[SHOP].multiplier == aimd.DECREASE
    last_s = watched(desk, 1.0, from_s=then_s)
    learn(desk, many(10, then_s, last_s), last_s)
    assert desk.aimd[SHOP].multiplier == pytest.approx(aimd.DECREASE + 2 * aimd.RECOVERY)


# -- what the settings change -----------------------------------------------------------------


def test_reputation_weighs_what_counts_as_evidence() -> None:
    """Bounded: at most one and a half of a forward, at least a quarter of one."""
    seen = {}
    for name, scores in (
        ("off", None),
        ("usual", {SHOP: 0.9, MINER: 0.9, CAFE: 0.9}),
        ("poor", {SHOP: 0.9, MINER: 0.45, CAFE: 0.9}),
        ("worst", {SHOP: 0.9, MINER: 1e-9, CAFE: 0.9}),
        ("best", {SHOP: 0.05, MINER: 0.99, CAFE: 0.05}),
    ):
        desk = begun()
        now_s = watched(desk, 6.0)
        learn(desk, many(12, NOW, now_s), now_s, trust=Trust(scores))
        seen[name] = desk.demand.peers[SHOP].seen
    assert seen["off"] == seen["usual"] == pytest.approx(12.0)
    assert seen["poor"] == pytest.approx(12.0 * 0.45 / 0.75)
    assert seen["worst"] == pytest.approx(3.0)
    assert seen["best"] == pytest.approx(18.0)


def test_enable_reputation_changes_a_decision() -> None:
    """The same traffic for two days: what enters by a peer whose forwards mostly fail further on
    promises less demand, and so a lower price.
    """
    wanted = {}
    for name, trust in (("off", EVERYBODY), ("on", Trust({SHOP: 0.95, MINER: 0.1, CAFE: 0.95}))):
        desk, now_s = begun(), NOW
        for _ in range(8):
            then_s = watched(desk, 6.0, from_s=now_s)
            learn(desk, many(20, now_s, then_s), then_s, trust=trust)
            now_s = then_s
        seen = facts(market=priced(desk, now_s)[SHOP])
        decision, _ = decide(seen, known(), DEFAULTS, now_s)
        wanted[name] = decision.wanted.ppm
    assert wanted["off"] > 1.1 * wanted["on"]


def under(flow_msat: int, *houses: ChannelFact) -> list[FeeDecision]:
    """What is decided for each peer before anything came; only the shop's price is quoted."""
    desk = PricingDesk()
    desk.meet(houses, {SHOP: QUOTE}, flow_msat)
    markets = priced(desk, NOW, houses)
    unguarded = replace(DEFAULTS, enable_scarcity_pricing=False)
    tried = known(updates_s=(NOW - 7_200.0,))
    return [decide(facts(market=markets[one.peer_id]), tried, unguarded, NOW)[0] for one in houses]


def test_target_flow_changes_what_a_small_stock_is_worth_and_so_a_decision() -> None:
    """The more is expected to flow before anything was seen, the scarcer is a small stock: it
    becomes dearer, and what enters there makes the others cheaper.
    """
    small = fact(SHOP, local_msat=500_000_000)
    little, much = (under(flow, small, *HOUSE[1:]) for flow in (FLOW_MSAT, 100 * FLOW_MSAT))
    assert much[0].wanted.ppm > little[0].wanted.ppm
    assert much[1].wanted.ppm < little[1].wanted.ppm
    assert much[2].wanted.ppm < little[2].wanted.ppm


def test_target_flow_decides_whether_trying_a_price_out_is_worth_an_update() -> None:
    """Where next to nothing is expected to flow, nothing is to be learned from either."""
    assert under(FLOW_MSAT, *HOUSE)[2].code == "worth_gossip"
    assert under(FLOW_MSAT // 1_000, *HOUSE)[2].code == "small_gain"
