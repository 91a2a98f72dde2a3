"""A fixed sample of the bench: fees that are learned stay near the truth and ahead of rules.

Eight short worlds, the same at every run. It guards against a rule that has lost its wits; what is
claimed stands in docs/economics.md and takes many more worlds.
"""

from __future__ import annotations

import pytest

from cl_revenue_ops.bench.outcome import Outcome
from cl_revenue_ops.bench.registry import parse, play_spec
from cl_revenue_ops.bench.scenarios import SCENARIOS

CHANNELS, DAYS = 10, 16
WORLDS = [(name, seed) for name in ("jumpy", "stationary") for seed in range(1030, 1034)]
BASELINE = "feeadjuster-median-base0"


def played(policy: str) -> list[Outcome]:
    """The outcomes of a policy in each world of the sample."""
    return [
        play_spec(parse(policy), SCENARIOS[name].market(seed, CHANNELS, DAYS), SCENARIOS[name])
        for name, seed in WORLDS
    ]


def fees_msat(outcomes: list[Outcome]) -> int:
    return sum(outcome.fees_msat for outcome in outcomes)


@pytest.fixture(scope="module")
def rule() -> list[Outcome]:
    return played("rule")


def test_what_is_learned_earns_most_of_what_the_truth_does(rule: list[Outcome]) -> None:
    share = fees_msat(rule) / fees_msat(played("truth"))
    assert share > 0.75, f"{share:.3f} of the truth in {WORLDS}"


def test_it_earns_more_than_the_best_of_the_rules(rule: list[Outcome]) -> None:
    gain = fees_msat(rule) / fees_msat(played(BASELINE))
    assert gain > 1.05, f"{gain:.3f} of {BASELINE} in {WORLDS}"


def test_gossip_stays_within_its_budget(rule: list[Outcome]) -> None:
    assert all(outcome.broadcasts_per_channel_day <= 4.0 for outcome in rule)
