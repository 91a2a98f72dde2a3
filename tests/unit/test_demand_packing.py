"""Tests of how beliefs are stored: exactly, small, and never read back from damage."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.demand import packing, peer, posterior
from cl_revenue_ops.domain.demand.curve import CELLS, STEEPNESS
from cl_revenue_ops.domain.demand.peer import Arrival, PeerDemand, Window
from cl_revenue_ops.domain.demand.pool import Pool
from cl_revenue_ops.domain.demand.posterior import Offered, Posterior, Prior, Seen

NOW = 1_700_000_000.0
DAMAGED = (ValueError, TypeError, KeyError)
EVEN = (1.0 / len(STEEPNESS),) * len(STEEPNESS)
MOST_BYTES = 20_000


def law(seed: int = 1) -> Posterior:
    """The posterior of a peer that has seen a few weeks."""
    rng = np.random.default_rng(seed)
    found = posterior.initial(Prior(5.0, 1.0, 2e9, 0.05, EVEN))
    for _ in range(20):
        fee = float(rng.normal(5.0, 0.7))
        seen = [Seen(0, fee, float(rng.poisson(3.0) * 1e8))]
        exposed = posterior.exposure(1, [Offered(0, fee, 1.0)])
        found = posterior.observe(posterior.drifted(found, 1.0), seen, exposed, 3e8)
    return found


def lived(entries: int = 60) -> PeerDemand:
    """A peer whose traffic came in by many others."""
    known = PeerDemand()
    for place in range(3 * peer.POLICIES_KEPT):
        known = peer.asks(known, 100 + place, place % 2, NOW + place * 3_600.25)
    came = [
        Arrival(NOW + place, f"02{place:064x}", 123_456_789 + place, 1_000, place % 7 > 0)
        for place in range(entries)
    ]
    known = peer.take_sizes(known, came, NOW)
    return known._replace(seen=1e5 / 3, refused_at_s=NOW / 3, window=Window(NOW, 1e9 / 7, 2e9 / 3))


def through_json(value: Any) -> Any:
    """What a store gives back."""
    return json.loads(jsontext.dumps(value))


def test_a_posterior_comes_back_bit_by_bit() -> None:
    found = packing.posterior_from_row(through_json(packing.posterior_to_row(law())))
    for one, other in zip(
        (found.weight, found.rate, found.shape),
        (law().weight, law().rate, law().shape),
        strict=True,
    ):
        assert one.dtype == other.dtype == np.float32
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


def test_what_is_learned_next_is_the_same_after_a_restart() -> None:
    before = law()
    after = packing.posterior_from_row(packing.posterior_to_row(before))
    exposed = posterior.exposure(1, [Offered(0, 4.0, 1.0)])
    seen = [Seen(0, 4.0, 5e8)]
    moved = [
        posterior.observe(posterior.drifted(one, 0.1), seen, exposed, 3e8)
        for one in (before, after)
    ]
    assert moved[0].weight.tobytes() == moved[1].weight.tobytes()
    assert moved[0].rate.tobytes() == moved[1].rate.tobytes()


@pytest.mark.parametrize("known", [PeerDemand(), lived()], ids=["new", "old"])
def test_what_is_kept_of_a_peer_comes_back_exactly(known: PeerDemand) -> None:
    assert packing.peer_from_row(through_json(packing.peer_to_row(known))) == known


@given(st.tuples(*[st.floats(1e-3, 1e15)] * 5))
def test_a_pool_comes_back_exactly(sums: tuple[float, ...]) -> None:
    kept = Pool(sums[0], sums[1], sums[2], sums[3], sums[4], EVEN)
    assert packing.pool_from_row(through_json(packing.pool_to_row(kept))) == kept


def test_a_peer_takes_less_than_twenty_kilobytes() -> None:
    """Its arrays, and all that is written of it to the store."""
    held = law()
    arrays = held.weight.nbytes + held.rate.nbytes + held.shape.nbytes
    row = {"posterior": packing.posterior_to_row(held), "peer": packing.peer_to_row(lived())}
    assert arrays + len(jsontext.dumps(row)) < MOST_BYTES


# -- damage --------------------------------------------------------------------------------------


def coded(values: Any) -> str:
    """Numbers as they are stored."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode("ascii")


GOOD = packing.posterior_to_row(law())
SURE = np.full(CELLS, 1.0 / CELLS)
NOT_A_NUMBER = np.where(np.arange(CELLS) == 3, np.nan, SURE)


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        GOOD[:2],
        [*GOOD, GOOD[0]],
        [1, 2, 3],
        "abc",
        ["", "", ""],
        ["%%%%", *GOOD[1:]],
        [GOOD[0][:-8], *GOOD[1:]],
        [GOOD[0][:-3], *GOOD[1:]],
        [coded(SURE[:-1]), *GOOD[1:]],
        [coded(-SURE), *GOOD[1:]],
        [coded(0 * SURE), *GOOD[1:]],
        [coded(np.where(np.arange(CELLS) == 3, -0.01, SURE)), *GOOD[1:]],
        [GOOD[0][:40] + "%" + GOOD[0][40:], *GOOD[1:]],
        [coded(NOT_A_NUMBER), *GOOD[1:]],
        [coded(np.full(CELLS, np.inf)), *GOOD[1:]],
        [GOOD[0], coded(0 * SURE), GOOD[2]],
        [GOOD[0], coded(NOT_A_NUMBER), GOOD[2]],
        [GOOD[0], GOOD[1], coded([0.0])],
        [GOOD[0], GOOD[1], coded([-1.0])],
        [GOOD[0], GOOD[1], coded([1.0, 1.0])],
    ],
)
def test_a_damaged_posterior_is_refused(row: Any) -> None:
    with pytest.raises(DAMAGED):
        packing.posterior_from_row(row)


PEER_ROW = packing.peer_to_row(lived(3))
WRONG: list[Any] = [None, "x", [], {}, [1], float("nan"), float("inf"), True, 10**400, [[1, 2]]]


@pytest.mark.parametrize("name", sorted(PEER_ROW))
def test_a_peer_row_with_one_damaged_value_is_refused(name: str) -> None:
    for wrong in WRONG:
        if wrong in ([], {}) and name in ("policies", "entered"):
            continue
        if wrong == [[1, 2]] and name == "entered":
            continue
        with pytest.raises(DAMAGED):
            packing.peer_from_row({**PEER_ROW, name: wrong})
    with pytest.raises(KeyError):
        packing.peer_from_row({key: value for key, value in PEER_ROW.items() if key != name})


@pytest.mark.parametrize(
    "policy", [[NOW, 1], [NOW, 1, 2, 3], [NOW, 1.5, 0], [NOW, "1", 0], [NOW, float("inf"), 0], 7]
)
def test_a_policy_that_is_none_is_refused(policy: Any) -> None:
    with pytest.raises(DAMAGED):
        packing.peer_from_row({**PEER_ROW, "policies": [policy]})


@pytest.mark.parametrize("row", [None, 3, [], "abcdefg"])
def test_a_peer_row_that_is_no_object_is_refused(row: Any) -> None:
    with pytest.raises(DAMAGED):
        packing.peer_from_row(row)


POOL_ROW = packing.pool_to_row(Pool())


@pytest.mark.parametrize(
    "row",
    [
        None,
        5,
        [],
        "abcdefg",
        POOL_ROW[:-1],
        [*POOL_ROW, 1.0],
        [packing.VERSION + 1, *POOL_ROW[1:]],
        [*POOL_ROW[:-1], POOL_ROW[-1][:-1]],
        [*POOL_ROW[:-1], [*POOL_ROW[-1][:-1], -0.1]],
        [*POOL_ROW[:-1], [0.0] * len(STEEPNESS)],
        [*POOL_ROW[:-1], 7],
        *([*POOL_ROW[:at], float("nan"), *POOL_ROW[at + 1 :]] for at in range(1, 6)),
        *([*POOL_ROW[:at], "1", *POOL_ROW[at + 1 :]] for at in range(1, 6)),
        *([*POOL_ROW[:at], 0.0, *POOL_ROW[at + 1 :]] for at in range(2, 6)),
    ],
)
def test_a_damaged_pool_is_refused(row: Any) -> None:
    with pytest.raises(DAMAGED):
        packing.pool_from_row(row)
