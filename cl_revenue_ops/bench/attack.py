"""The drain attack: somebody buys our best channel empty whenever it is at its cheapest."""

from __future__ import annotations

from cl_revenue_ops.bench.scenarios import potential_msat_per_day, target_of_attack
from cl_revenue_ops.simnode.market_driver import MarketDriver
from cl_revenue_ops.simnode.model import Channel
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S
from cl_revenue_ops.simnode.senders import Offer

FIRST_DAY = 5
LOOKS_EVERY_S = HOUR_S
REMEMBERS_S = 3 * DAY_S
PARTS = 50  # a payment is at most this part of the channel
LEAST_MSAT = 1_000_000
HOLD_S = 2.0


class Attacker:
    """Watches the fees that one channel broadcasts and drains it at its lowest of three days.

    Once an hour from day 5 on: if no fee of the last three days was lower than the present one,
    dear or not, he sends all that the channel can carry out over it. He brings it back where it is
    worth least to us: in over the channel with room whose peer pays worst. He pays what is asked;
    his fees are revenue.
    """

    def __init__(self, driver: MarketDriver) -> None:
        self.moved_msat = 0
        self.paid_msat = 0
        self._driver = driver
        self._target = target_of_attack(driver.market)
        worth = potential_msat_per_day(driver.market)
        others = [c for c in driver.market.channels if worth[c.peer] < worth.max()]
        self._entries = sorted(others, key=lambda c: (worth[c.peer], c.index))
        self._next_s = driver.market.start_s + FIRST_DAY * DAY_S

    def act(self, at_s: float) -> None:
        """Look, and buy where it is time; call it once a step, after the market's own payments."""
        if at_s < self._next_s:
            return
        self._next_s = at_s + LOOKS_EVERY_S
        world = self._driver.world
        channel = world.channels.get(self._driver.channel_ids[self._target])
        if channel is None or not channel.usable:
            return
        with world.lock:
            if self._cheap(channel, at_s):
                self._drain(channel, at_s)

    def _cheap(self, channel: Channel, at_s: float) -> bool:
        amount_msat = channel.total_msat // PARTS
        seen = [channel.policy_at(at_s - REMEMBERS_S)]
        seen += [policy for since_s, policy in channel.policies if since_s > at_s - REMEMBERS_S]
        asked_msat = channel.policy.fee_msat(amount_msat)
        return asked_msat <= min(policy.fee_msat(amount_msat) for policy in seen)

    def _drain(self, channel: Channel, at_s: float) -> None:
        for _ in range(4 * PARTS):
            amount_msat = min(channel.total_msat // PARTS, channel.spendable_msat)
            fee_msat = channel.policy.fee_msat(amount_msat)
            entry = self._entry(amount_msat + fee_msat)
            if entry is None or amount_msat < LEAST_MSAT:
                return
            offer = Offer(
                at_s=at_s,
                in_peer=-1,
                out_channel_id=channel.channel_id,
                out_msat=amount_msat,
                fee_msat=fee_msat,
                hold_s=HOLD_S,
                downstream_ok=True,
            )
            row = self._driver.bring(entry.channel_id, offer)
            if row.status != "settled":
                return
            self.moved_msat += amount_msat
            self.paid_msat += fee_msat

    def _entry(self, amount_msat: int) -> Channel | None:
        """The channel over which so much can come in and where we earn least with it."""
        for drawn in self._entries:
            channel = self._driver.world.channels.get(self._driver.channel_ids[drawn.index])
            if channel is not None and channel.usable and channel.receivable_msat >= amount_msat:
                return channel
        return None
