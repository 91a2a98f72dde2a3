"""The sentences of a decision: one template a code, filled with recorded numbers and no others."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import NamedTuple

Number = int | float | str

TEMPLATES: Mapping[str, str] = {
    # the stages of the alpha sequence
    "pinned": "the fee is pinned at {ppm} ppm ({origin})",
    "pinned_by_policy": "the peer's policy pins the fee at {ppm} ppm ({origin})",
    "pinned_over_policy": "the fee is pinned at {ppm} ppm ({origin}), and that stands above the "
    "peer's policy ({strategy})",
    "not_pinned": "no fee is pinned",
    "no_policy": "no policy asks anything of the peer's fees",
    "policy_passive": "the peer's policy is passive",
    "policy_pins": "the peer's policy orders an exact fee ({strategy})",
    "policy_behind": "an order for this channel stands above the peer's policy ({strategy})",
    "policy_bounds": "the peer's policy holds the fee within {floor_ppm} to {ceiling_ppm} ppm",
    "congested": "{used} of {slots} outgoing HTLC slots are in use ({used_pct} %) and the channel "
    "counts as congested above {threshold_pct} % until below {release_pct} %: max fee {ppm} ppm",
    "not_congested": "{used} of {slots} outgoing HTLC slots are in use ({used_pct} %), congested "
    "above {threshold_pct} % in {samples} samples running ({above} so far)",
    "scarce": "the local share of {share_pct} % is below {threshold_pct} %: "
    "{neutral_ppm} ppm x {multiplier}",
    "not_scarce": "the local share of {share_pct} % is not below {threshold_pct} %",
    "amnesty": "the peer opened the channel and nothing has left through it yet: no scarcity price "
    "at a local share of {share_pct} %",
    "scarcity_off": "scarcity pricing is switched off",
    "price_of_quotes": "others ask {price_ppm} ppm into the peer (weighted median of {quotes} "
    "quotes, log spread {spread})",
    "price_found": "nobody quotes a price into the peer: {price_ppm} ppm as found at first contact",
    "price_below_guard": "the scarcity price of {guard_ppm} ppm stands above the {price_ppm} ppm "
    "that demand asks",
    "drawn": "demand and stock ask {price_ppm} ppm (best guess {greedy_ppm} ppm with a sat of this "
    "stock worth {own_ppm} ppm and one where the traffic enters {entering_ppm} ppm; {alpha} of "
    "a draw of {z} x {sd} in the log)",
    "draw_below_guard": "the scarcity price of {guard_ppm} ppm stands above the {price_ppm} ppm "
    "that demand and stock ask (best guess {greedy_ppm} ppm, own sat {own_ppm} ppm, entering "
    "{entering_ppm} ppm)",
    "counts_as_expected": "no fewer forwards came than expected",
    "counts_improbably_low": "fewer forwards came than can be chance: {multiplier} of the price, "
    "{ppm} ppm",
    "vegas_off": "the Vegas reflex is switched off",
    "mempool_calm": "the mempool is calm",
    "mempool_spike": "block space costs {sat_per_vb} sat/vB against {mean} on average: the floor "
    "is {floor_ppm} ppm (intensity {intensity})",
    "mempool_fading": "a spike of the mempool fades: the floor is {floor_ppm} ppm (intensity "
    "{intensity})",
    "within_bounds": "{ppm} ppm is within {floor_ppm} to {ceiling_ppm} ppm",
    "raised_to_floor": "{asked_ppm} ppm is raised to the floor of {floor_ppm} ppm",
    "lowered_to_ceiling": "{asked_ppm} ppm is lowered to the ceiling of {ceiling_ppm} ppm",
    "step_free": "the channel has been observed for {observed_days} days: no limit to the step",
    "step_within": "{ppm} ppm is within a factor of {factor} of {from_ppm} ppm",
    "step_limited": "observed for {observed_days} of {needed_days} days, it moves by at most a "
    "factor of {factor}: from {from_ppm} to {ppm} ppm instead of {asked_ppm} ppm",
    "not_reached": "{stage} has settled the fee",
    # gossip
    "unchanged": "{ppm} ppm and {base_msat} msat stand already",
    "base_waits": "{ppm} ppm stands already, and the base fee of {base_msat} msat waits for the "
    "next change of ppm",
    "small_change": "{seen_ppm} to {ppm} ppm is a change of {change_pct} %, less than the "
    "{needed_pct} % that is worth gossip",
    "budget_spent": "{updates} updates of the channel in a day are as many as it may have, and "
    "{seen_ppm} to {ppm} ppm has to wait",
    "small_gain": "{seen_ppm} to {ppm} ppm promises {gain_msat} msat until the next draw, less "
    "than the {needed_msat} msat that an update is worth",
    "worth_gossip": "{seen_ppm} to {ppm} ppm is a change of {change_pct} %, at least the "
    "{needed_pct} % that is worth gossip",
    # emergencies, exempt from hysteresis
    "pin": "the ordered fee applies at once",
    "pin_restored": "another writer set {seen_ppm} ppm, and the ordered fee applies again",
    "congestion_enter": "the channel is congested",
    "congestion_leave": "congestion is over",
    "bounds": "the fee in force, {seen_ppm} ppm, is outside {floor_ppm} to {ceiling_ppm} ppm",
    "policy_bound": "the fee in force, {seen_ppm} ppm, is outside the {floor_ppm} to {ceiling_ppm} "
    "ppm of the peer's policy",
    "base_restored": "another writer changed the base fee to {seen_base_msat} msat",
    # reasons for doing nothing
    "safe_mode": "the house is in safe mode",
    "paused": "the house is paused",
    "passive": "the peer's policy is passive",
    "node_not_in_sync": "the node is not in sync",
    "lost_state": "the channel lost its state",
    "state_not_settable": "the channel is in {state}",
    "peer_disconnected": "the peer is disconnected",
    "not_reestablished": "the channel is not reestablished yet",
    "fee_unknown": "the node reports no fee for the channel",
    "first_contact": "this is the first contact: {seen_ppm} ppm and {seen_base_msat} msat as found "
    "are the first price",
    "rewritten": "{writer} set {seen_ppm} ppm and {seen_base_msat} msat where ours stood, and ours "
    "applies again",
    "foreign_fee_held": "another writer set {seen_ppm} ppm and {seen_base_msat} msat where "
    "{target_ppm} ppm was ours: left alone for {left_hours} more hours",
}


class Reason(NamedTuple):
    """A machine code and the numbers that its sentence is made of, by name in a fixed order."""

    code: str
    numbers: Mapping[str, Number]

    @property
    def text(self) -> str:
        """The plain words."""
        return TEMPLATES[self.code].format(**self.numbers)


_NEEDED: Mapping[str, frozenset[str]] = {
    code: frozenset(name for _, name, _, _ in Formatter().parse(template) if name)
    for code, template in TEMPLATES.items()
}


def reason(code: str, **numbers: Number) -> Reason:
    """Return a Reason; raise KeyError for a code without words or a number that they lack."""
    if not _NEEDED[code] <= numbers.keys():
        raise KeyError(f"{code} lacks {sorted(_NEEDED[code].difference(numbers))}")
    return Reason(code, numbers)


def percent(share: float) -> float:
    """Return a share as a percentage as it is shown: one decimal."""
    return round(100.0 * share, 1)
