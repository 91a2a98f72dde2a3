"""What the tests of policies share: peers by number, and strategies for values, good and bad."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from messages.policies import REBALANCE_MODES, STRATEGIES

NOW_S = 1_700_000_000.0


def peer(number: int) -> str:
    """The node id of this number."""
    return f"{2 + number % 2:02x}{number:064x}"


PEERS = st.integers(0, 5).map(peer)
TAGS = st.text("ab ü", min_size=1, max_size=3).filter(lambda text: text.strip() != "")
PPM = st.one_of(st.none(), st.integers(0, 100_000))
MULTIPLIER = st.one_of(st.none(), st.floats(0.1, 5.0))
HOURS = st.one_of(st.floats(-5.0, 0.0), st.floats(1.0, 720.0))

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "strategy": st.sampled_from(STRATEGIES),
    "rebalance": st.sampled_from(REBALANCE_MODES),
    "fee_ppm": PPM,
    "fee_multiplier_min": MULTIPLIER,
    "fee_multiplier_max": MULTIPLIER,
    "min_fee_ppm": PPM,
    "max_fee_ppm": PPM,
    "tags": st.lists(TAGS, max_size=4),
}
OPTIONS = st.fixed_dictionaries({}, optional={**FIELDS, "expires_in_hours": HOURS})
"""Options of `set`: each is sound, together they may contradict each other."""

BAD: dict[str, list[Any]] = {
    "strategy": ["", "fast", 1, True, [], "static "],
    "rebalance": ["on", "source", 0, {}],
    "fee_ppm": [-1, 100_001, 1.5, "1e3", True, [], "abc", "12 ", float("nan"), 10**30, "9" * 40],
    "min_fee_ppm": [-1, 100_001, "0x10", False, {}],
    "max_fee_ppm": [-1, 100_001, "ten"],
    "fee_multiplier_min": [
        0,
        0.09,
        5.01,
        "x",
        True,
        [],
        "1e0",
        float("nan"),
        float("inf"),
        10**400,
    ],
    "fee_multiplier_max": [0, 0.0999, 5.0001, -1, "nan", {}],
    "tags": [5, {}, ["a\nb"], [""], ["x" * 101], [1], "[1", '["a", 2]', "a,,b", ["\ud800"], "\x00"],
    "expires_in_hours": [0.5, 0.99, 720.1, "soon", True, [], float("nan"), float("inf"), 1e300],
}
