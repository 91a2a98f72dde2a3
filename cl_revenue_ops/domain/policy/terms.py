"""What a peer's policy asks at a moment: the terms of its fees, and which way may be rebalanced."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from messages.policies import PeerPolicy

PPM_MOST: Final = (1 << 32) - 1
"""The largest ppm that a channel update has room for."""

HIVE_BASE_MSAT: Final = 0


class Terms(NamedTuple):
    """What a policy asks of the fees of a peer's channels, from `since_s` until `until_s`.

    `pin_ppm` is the exact fee of a static or hive policy, or of one whose absolute bounds are
    equal; its base fee is `pin_base_msat`, None for the configured one. The multiples bound the fee
    over the inventory-neutral price, `min_ppm` and `max_ppm` as it is. Times are Unix seconds;
    `until_s` None means until it is changed.
    """

    strategy: str
    since_s: float
    until_s: float | None = None
    pin_ppm: int | None = None
    pin_base_msat: int | None = None
    min_ppm: int | None = None
    max_ppm: int | None = None
    min_multiple: float | None = None
    max_multiple: float | None = None

    @property
    def passive(self) -> bool:
        """Whether the peer's fees are somebody else's to set."""
        return self.strategy == "passive"

    @property
    def origin(self) -> str:
        """Whose order the exact fee is, in one word or two."""
        return self.strategy if self.strategy in ("static", "hive") else "equal bounds"

    @property
    def bounded(self) -> bool:
        """Whether there are bounds, and no exact fee instead of them."""
        bounds = (self.min_ppm, self.max_ppm, self.min_multiple, self.max_multiple)
        return self.pin_ppm is None and bounds != (None,) * 4


class Limits(NamedTuple):
    """The lowest and the highest ppm that may be set, both included."""

    floor_ppm: int
    ceiling_ppm: int

    def nearest(self, ppm: int) -> int:
        """The fee within the limits that is nearest to `ppm`."""
        return max(self.floor_ppm, min(self.ceiling_ppm, ppm))

    def imposed(self, least: int | None, most: int | None) -> Limits:
        """Narrowed to `least` and `most`; where nothing is left in between, those two win."""
        floor, ceiling = self
        if least is not None:
            floor, ceiling = max(floor, least), max(ceiling, least)
        if most is not None:
            floor, ceiling = min(floor, most), min(ceiling, most)
        return Limits(floor, ceiling)


def terms_of(policy: PeerPolicy | None, now_s: float, hive_fee_ppm: int) -> Terms | None:
    """Return what the policy asks of fees at `now_s`; None where it asks nothing, or has ended.

    A strategy that orders an exact fee stands above the policy's own bounds. A static policy
    without a fee orders none.
    """
    if policy is None or ended(policy, now_s):
        return None
    plain = Terms(policy.strategy, policy.updated_at_s, policy.expires_at_s)
    if plain.passive:
        return plain
    if policy.strategy == "hive":
        return plain._replace(pin_ppm=_ppm(hive_fee_ppm), pin_base_msat=HIVE_BASE_MSAT)
    if policy.strategy == "static" and policy.fee_ppm is not None:
        return plain._replace(pin_ppm=_ppm(policy.fee_ppm))
    least, most = (
        None if ppm is None else _ppm(ppm) for ppm in (policy.min_fee_ppm, policy.max_fee_ppm)
    )
    terms = plain._replace(
        strategy="dynamic",
        pin_ppm=least if least == most else None,
        min_ppm=least,
        max_ppm=most,
        min_multiple=policy.fee_multiplier_min,
        max_multiple=policy.fee_multiplier_max,
    )
    return terms if terms.bounded or terms.pin_ppm is not None else None


def limits_of(
    terms: Terms | None, configured: Limits, neutral_ppm: float, *, moving: bool = True
) -> Limits:
    """Return within what a fee must lie.

    From the general to the special: an absolute bound of the peer stands in place of the configured
    one on its side; the multiples of `neutral_ppm` (in ppm) narrow what is left; where two cannot
    both hold, the peer's absolute bound wins over a multiple, and a multiple over a configured
    bound. Rounded inwards. Without `moving` the multiples are left out: they move with the price.
    """
    if terms is None or not terms.bounded:
        return configured
    start = Limits(
        configured.floor_ppm if terms.min_ppm is None else 0,
        configured.ceiling_ppm if terms.max_ppm is None else PPM_MOST,
    )
    if moving:
        low, high = terms.min_multiple, terms.max_multiple
        start = start.imposed(
            None if low is None else math.ceil(_held(low * neutral_ppm)),
            None if high is None else math.floor(_held(high * neutral_ppm)),
        )
    return start.imposed(terms.min_ppm, terms.max_ppm)


def ended(policy: PeerPolicy, now_s: float) -> bool:
    """Whether the policy no longer holds: its end is the first second without it."""
    return policy.expires_at_s is not None and now_s >= policy.expires_at_s


def may_fill(policy: PeerPolicy | None, now_s: float) -> bool:
    """Whether our rebalances may bring local balance into the peer's channels at `now_s`."""
    return _mode(policy, now_s) in ("enabled", "sink_only")


def may_drain(policy: PeerPolicy | None, now_s: float) -> bool:
    """Whether our rebalances may take local balance out of the peer's channels at `now_s`."""
    return _mode(policy, now_s) in ("enabled", "source_only")


def _mode(policy: PeerPolicy | None, now_s: float) -> str:
    return "enabled" if policy is None or ended(policy, now_s) else policy.rebalance


def _ppm(asked: int) -> int:
    return min(max(asked, 0), PPM_MOST)


def _held(ppm: float) -> float:
    return min(max(ppm, 0.0), float(PPM_MOST))
