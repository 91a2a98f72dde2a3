"""Tests of what a decision is told of stock, and of where traffic is believed to enter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand.book import DemandBook, Stock
from cl_revenue_ops.domain.demand.curve import FloatArray
from cl_revenue_ops.domain.demand.peer import DAY_S, PeerDemand
from cl_revenue_ops.domain.demand.pool import TYPICAL_MSAT
from tests.unit.demand_support import SIZE_MSAT, START_S, STEP_S, Watched, world


def played(peers: int, days: float = 2.0) -> DemandBook:
    """A book that has watched some peers."""
    watched = Watched([world(seed, 20.0) for seed in range(peers)])
    for _ in range(int(days * DAY_S / STEP_S)):
        watched.vary()
        watched.step()
    return watched.book


def stocks(book: DemandBook, shares: list[float]) -> list[Stock]:
    """Stocks of so large a share of channels of equal capacity."""
    return [Stock(name, x * 5e9, 5e9) for name, x in zip(book.peers, shares, strict=True)]


def test_a_decision_is_told_what_the_plan_found() -> None:
    book = played(3)
    found = book.appraise(stocks(book, [0.1, 0.5, 0.9]), START_S)
    assert list(found) == list(book.peers)
    for place, (name, worth) in enumerate(found.items()):
        assert worth.belief == book.believed([name], START_S)[0]
        assert (worth.scarce_ppm, worth.full_ppm) == book.values[name]
        assert worth.surprise == book.surprises[name]
        assert worth.size_msat == pytest.approx(SIZE_MSAT, rel=0.2)
        lean = worth.own_ppm - (worth.scarce_ppm - worth.full_ppm)
        assert math.copysign(1.0, round(lean, 6)) == (1.0, 1.0, -1.0)[place]
        assert worth.level_ppm > 0.0
        for value in (worth.own_ppm, worth.entering_ppm, worth.scarce_ppm, worth.full_ppm):
            assert value == round(value, 3), "what is recorded is what was decided by"


def test_the_emptier_the_dearer() -> None:
    """In the mean over a day of cycles: a single plan is not at its optimum yet."""
    own = []
    for share in (0.9, 0.5, 0.1):
        book = played(4)
        day = [book.appraise(stocks(book, [share, 0.5, 0.5, 0.5]), START_S) for _ in range(48)]
        own.append(sum(worths["peer 0"].own_ppm for worths in day) / len(day))
    assert own[0] < own[1] < own[2]


def test_the_next_plan_goes_on_from_the_last_one() -> None:
    book, other = played(3), played(3)
    for name in other.peers:
        other.values[name] = (500.0, 0.0)
    shares = [0.05, 0.5, 0.95]
    cold = book.appraise(stocks(book, shares), START_S)
    warm = other.appraise(stocks(other, shares), START_S)
    assert cold["peer 1"].own_ppm != warm["peer 1"].own_ppm


def test_who_is_not_known_is_not_appraised() -> None:
    book = played(2)
    found = book.appraise([*stocks(book, [0.5, 0.5]), Stock("stranger", 1e9, 2e9)], START_S)
    assert list(found) == ["peer 0", "peer 1"]
    assert book.appraise([], START_S) == {}


def test_a_peer_alone_is_appraised_too() -> None:
    book = played(1)
    worth = book.appraise([Stock("peer 0", 1e9, 2e9)], START_S)["peer 0"]
    assert worth.own_ppm == pytest.approx(worth.entering_ppm, abs=0.01)


names = ["a", "b", "c", "d", "gone"]
entered = st.dictionaries(st.sampled_from(names), st.floats(0.0, 1e13), max_size=5)


def mixed(entries: dict[str, dict[str, float]]) -> DemandBook:
    """A book of peers whose traffic entered so."""
    book = DemandBook()
    for name, came in entries.items():
        book.peers[name] = PeerDemand(entered=came)
    return book


def shares_of(book: DemandBook, which: list[str]) -> FloatArray:
    """The share of what leaves by each (rows) that enters by each, what is common included."""
    one = book.mix(which)
    found = one.rest[:, None] * one.common[None, :]
    np.add.at(found, (one.out, one.into), one.share)
    return found


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(names[:-1]), entered, min_size=1))
def test_the_ways_in_sum_to_one(entries: dict[str, dict[str, float]]) -> None:
    found = shares_of(mixed(entries), list(entries))
    assert found.sum(axis=1) == pytest.approx(np.ones(len(entries)), rel=1e-9)
    assert found.min() >= 0.0


def test_where_much_was_seen_to_enter_that_is_the_way_in() -> None:
    book = mixed({"a": {"b": 3e12, "c": 1e12}, "b": {}, "c": {"gone": 1e12}})
    found = shares_of(book, ["a", "b", "c"])
    assert found[0] == pytest.approx([0.0, 0.75, 0.25], abs=1e-3)
    node = [0.0, 0.75, 0.25]
    assert found[1] == pytest.approx(node, abs=1e-3), "nothing seen: as the node's traffic"
    assert found[2] == pytest.approx(node, abs=1e-3), "who is gone says nothing"


def test_little_that_was_seen_leans_on_the_nodes_traffic() -> None:
    book = mixed({"a": {"b": TYPICAL_MSAT}, "b": {"c": 1e13}, "c": {}})
    found = shares_of(book, ["a", "b", "c"])
    assert 0.05 < found[0, 1] < 0.5 < found[0, 2]
