"""What is believed of destinations before anything is seen: quotes, fees found, and each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

# All sd are of ln ppm about the price of the alternatives. That of a quote has a part that lasts
# however many rivals quote, and one that they average out.
QUOTE_VARIANCE: Final = 1.2
RIVAL_VARIANCE: Final = 11.0
FOUND_SD: Final = 0.8
LEVEL_SD: Final = 0.85
NOTHING_SD: Final = 1.3
NOWHERE_PPM: Final = 200.0


class Birth(NamedTuple):
    """What is known of a destination before it was watched: others' quote and the fee we found.

    `quote_ppm` is the median of what `quotes` rivals ask, None where nobody quotes, `found_ppm`
    None where the fee found says nothing. `rate_msat` is the volume a day that is expected at a
    fee of zero.
    """

    quote_ppm: float | None
    quotes: int
    found_ppm: float | None
    rate_msat: float


class Opinion(NamedTuple):
    """ln of the price of the alternatives (ppm), and the variance of that."""

    log_price: float
    variance: float


def opinions(births: Mapping[str, Birth], learned: Sequence[Opinion] = ()) -> Mapping[str, Opinion]:
    """Return the prior of the price into each newcomer.

    Three things speak, each by its precision: what rivals quote, the fee found, and where the
    node's other destinations lie, newcomers as they are told and the others as `learned`: the
    prices of one node scatter by LEVEL_SD about a level of its own. A fee that several newcomers
    share is one opinion, and counts once among them.
    """
    sharing = Counter(birth.found_ppm for birth in births.values())
    told = {name: _told(birth, sharing[birth.found_ppm]) for name, birth in births.items()}
    heard = [*(one for one in told.values() if one is not None), *learned]
    weights = [1.0 / (one.variance + LEVEL_SD**2) for one in heard]
    weight = math.fsum(weights)
    mass = math.fsum(w * one.log_price for w, one in zip(weights, heard, strict=True))
    found = {}
    for name, own in told.items():
        # Nobody is his own neighbour.
        mine = 0.0 if own is None else 1.0 / (own.variance + LEVEL_SD**2)
        theirs = weight - mine
        parts = [] if own is None else [own]
        if theirs > 1e-9:
            centre = (mass - (0.0 if own is None else mine * own.log_price)) / theirs
            parts.append(Opinion(centre, LEVEL_SD**2 + 1.0 / theirs))
        found[name] = _together(parts or [Opinion(math.log(NOWHERE_PPM), NOTHING_SD**2)])
    return found


def _told(birth: Birth, sharing: int) -> Opinion | None:
    """What quote and fee found say of a destination, None where there is neither."""
    parts = []
    if birth.quote_ppm is not None:
        variance = QUOTE_VARIANCE + RIVAL_VARIANCE / max(birth.quotes, 1)
        parts.append(Opinion(math.log(max(birth.quote_ppm, 1.0)), variance))
    if birth.found_ppm is not None:
        parts.append(Opinion(math.log(max(birth.found_ppm, 1.0)), FOUND_SD**2 * sharing))
    return _together(parts) if parts else None


def _together(parts: Sequence[Opinion]) -> Opinion:
    precision = math.fsum(1.0 / one.variance for one in parts)
    centre = math.fsum(one.log_price / one.variance for one in parts) / precision
    return Opinion(centre, 1.0 / precision)
