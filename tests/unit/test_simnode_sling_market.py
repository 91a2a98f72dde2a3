"""The simulated sling on a drawn market: the same routes as anybody meets, day after day."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from cl_revenue_ops.simnode import sling
from cl_revenue_ops.simnode.market import draw_market
from cl_revenue_ops.simnode.market_driver import MarketDriver
from cl_revenue_ops.simnode.model import Channel
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.route_market import RouteMarket
from cl_revenue_ops.simnode.sling_routes import MarketRoutes, RouteTable, Try


class Traded:
    """A node of eight channels in a market without payments of others."""

    def __init__(self, seed: int) -> None:
        self.market = draw_market(seed, 8, 3)
        self.node = SimulatedNode(start_s=self.market.start_s, sling=sling.NEWEST)
        self.driver = MarketDriver(self.market, self.node.world)
        self.routes = RouteMarket(self.market)
        assert self.node.sling is not None
        self.node.sling.routes = MarketRoutes(self.routes, self.driver.peer_ids)

    def pair(self) -> tuple[Channel, Channel]:
        """A channel that can give and one of another peer that can take."""
        channels = [self.node.world.channel(c) for c in self.driver.channel_ids if c]
        out = max(channels, key=lambda channel: channel.spendable_msat)
        rest = [channel for channel in channels if channel.peer_id != out.peer_id]
        return out, max(rest, key=lambda channel: channel.receivable_msat)

    def peer(self, channel: Channel) -> int:
        return self.driver.peer_ids.index(channel.peer_id)


@pytest.fixture
def it() -> Iterator[Traded]:
    made = Traded(5)
    with made.node:
        yield made


def test_its_quote_and_its_tries_are_the_markets(it: Traded) -> None:
    assert it.node.sling is not None
    (out, into), now_s = it.pair(), it.market.start_s
    route = it.routes.cheapest(it.peer(out), it.peer(into), now_s)
    routes = it.node.sling.routes
    quote = routes.quote(out, into, 10_000_000, now_s)
    assert quote is not None and quote.cost_msat == math.ceil(10 * route.ppm)
    for number in range(1, 6):
        same = it.routes.pay(it.peer(out), it.peer(into), 10_000_000, 10_000, now_s, number)
        assert routes.attempt(out, into, 10_000_000, 10_000, now_s, number) == Try(*same)
    assert routes.quote(out, out, 10_000_000, now_s) is None


def test_a_job_pays_what_the_market_asks_and_gets_there(it: Traded) -> None:
    (out, into), now_s = it.pair(), it.market.start_s
    route = it.routes.cheapest(it.peer(out), it.peer(into), now_s)
    amount_sat = max(1, min(route.room_msat, out.spendable_msat // 4) // 4_000_000)
    it.node.call(
        "sling-once",
        {
            "scid": into.scid, "direction": "pull", "amount": amount_sat,
            "onceamount": 3 * amount_sat, "maxppm": 50_000, "candidates": [out.scid],
            "depleteuptopercent": 0.0, "depleteuptoamount": 0,
        },
    )  # fmt: skip
    for _ in range(48):
        it.node.advance(it.node.clock.now() + 600)
    rows = it.node.call("listsendpays", {"status": "complete"})["payments"]
    assert sum(row["amount_msat"] for row in rows) >= 3_000 * amount_sat
    for row in rows:
        began_s = row["created_at"]
        asked = it.routes.cheapest(it.peer(out), it.peer(into), began_s).ppm
        cost_msat = row["amount_sent_msat"] - row["amount_msat"]
        assert cost_msat == math.ceil(row["amount_msat"] * asked / 1_000_000)


def test_a_ceiling_is_never_paid_beyond(it: Traded) -> None:
    (out, into), now_s = it.pair(), it.market.start_s
    ppm = it.routes.cheapest(it.peer(out), it.peer(into), now_s).ppm
    it.node.call(
        "sling-once",
        {
            "scid": into.scid, "direction": "pull", "amount": 1_000, "onceamount": 50_000,
            "maxppm": ppm, "candidates": [out.scid], "depleteuptopercent": 0.0,
            "depleteuptoamount": 0,
        },
    )  # fmt: skip
    for _ in range(144):
        it.node.advance(it.node.clock.now() + 600)
    rows = it.node.call("listsendpays")["payments"]
    assert rows
    for row in rows:
        assert (row["amount_sent_msat"] - row["amount_msat"]) * 1_000_000 <= ppm * 1_000_000


def test_the_same_run_gives_the_same_payments() -> None:
    def played() -> list[dict[str, object]]:
        it = Traded(9)
        _, into = it.pair()
        with it.node:
            order = {
                "scid": into.scid, "direction": "pull", "amount": 10_000, "onceamount": 200_000,
                "maxppm": 5_000, "outppm": 10_000, "depleteuptopercent": 0.1,
            }  # fmt: skip
            it.node.call("sling-once", order)
            for _ in range(36):
                it.node.advance(it.node.clock.now() + 600)
            rows: list[dict[str, object]] = it.node.call("listsendpays")["payments"]
            return rows

    assert played() == played() != []


def test_a_table_tries_its_ways_in_the_order_of_its_failures(it: Traded) -> None:
    out, into = it.pair()
    table = RouteTable(failures=["WIRE_FEE_INSUFFICIENT"])
    tries = [table.attempt(out, into, 10_000_000, 10_000, 0.0, n) for n in (1, 2)]
    assert [(t.ok, t.why) for t in tries] == [(False, "WIRE_FEE_INSUFFICIENT"), (True, "")]
    assert table.attempt(out, into, 10_000_000, 0, 0.0, 3).why == "NoCheapRoute"
    table.ways[out.peer_id, into.peer_id] = None
    assert table.quote(out, into, 10_000_000, 0.0) is None
    with pytest.raises(ValueError, match="not there"):
        table.attempt(out, into, 10_000_000, 10_000, 0.0, 4)
