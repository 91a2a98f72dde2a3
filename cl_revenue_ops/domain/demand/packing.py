"""How beliefs are written for the store and read back exactly."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from cl_revenue_ops.domain.demand.curve import CELLS, STEEPNESS
from cl_revenue_ops.domain.demand.peer import Asked, PeerDemand, Window
from cl_revenue_ops.domain.demand.pool import Pool
from cl_revenue_ops.domain.demand.posterior import Posterior, Single
from cl_revenue_ops.domain.demand.rivals import Known, Noise, Rivals

VERSION: Final = 1


def posterior_to_row(posterior: Posterior) -> list[str]:
    """Return one destination's posterior as base64 of its float32 values, least byte first."""
    arrays = (posterior.weight, posterior.rate, posterior.shape)
    return [base64.b64encode(array.astype("<f4").tobytes()).decode("ascii") for array in arrays]


def posterior_from_row(row: list[str]) -> Posterior:
    """Return what `posterior_to_row` wrote; ValueError or TypeError for anything else."""
    weight, rate, shape = (_floats(text) for text in row)
    found = Posterior(weight.reshape(1, CELLS), rate.reshape(1, CELLS), shape.reshape(1))
    if not (found.weight >= 0.0).all() or not found.weight.sum() > 0.5:
        raise ValueError("weights that are no probabilities")
    if not (found.rate > 0.0).all() or not found.shape[0] > 0.0:
        raise ValueError("rates and shape must lie above zero")
    return found


def _floats(text: str) -> Single:
    values = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("a value that is no number")
    return values


def peer_to_row(peer: PeerDemand) -> dict[str, Any]:
    """Return what is kept beside a posterior as plain JSON values."""
    return {
        "size_sum_msat": peer.size_sum_msat,
        "size_count": peer.size_count,
        "entered": dict(peer.entered),
        "sized_s": peer.sized_s,
        "policies": [list(entry) for entry in peer.policies],
        "seen": peer.seen,
        "refused_at_s": peer.refused_at_s,
        "window": list(peer.window),
    }


def peer_from_row(row: Mapping[str, Any]) -> PeerDemand:
    """Return what `peer_to_row` wrote; ValueError, TypeError or KeyError for anything else."""
    return PeerDemand(
        size_sum_msat=_number(row["size_sum_msat"]),
        size_count=_number(row["size_count"]),
        entered={str(name): _number(msat) for name, msat in dict(row["entered"]).items()},
        sized_s=_number(row["sized_s"]),
        policies=tuple(
            Asked(_number(at), _whole(ppm), _whole(base)) for at, ppm, base in row["policies"]
        ),
        seen=_number(row["seen"]),
        refused_at_s=_number(row["refused_at_s"]),
        window=Window(*map(_number, row["window"])),
    )


def rivals_to_row(rivals: Rivals) -> dict[str, Any]:
    """Return the rivals into a destination as plain JSON values."""
    known = {scid: list(one) for scid, one in rivals.known.items()}
    return {**rivals._asdict(), "known": known}


def rivals_from_row(row: Mapping[str, Any]) -> Rivals:
    """Return what `rivals_to_row` wrote; ValueError, TypeError or KeyError for anything else."""
    known = {str(scid): Known(*map(_number, one)) for scid, one in dict(row["known"]).items()}
    return Rivals(known, *(_number(row[name]) for name in ("level", "live", "read_s")))


def noise_from_row(row: list[Any]) -> Noise:
    """Return the noise of rivals' moves; ValueError or TypeError where it is none."""
    squares, weight = map(_number, row)
    if min(squares, weight) <= 0.0:
        raise ValueError("sums of which no mean can be taken")
    return Noise(squares, weight)


def pool_to_row(pool: Pool) -> list[Any]:
    """Return the pool as plain JSON values."""
    sums = [pool.squares, pool.means, pool.size_sum_msat, pool.size_count, pool.capped_msat]
    return [VERSION, *sums, list(pool.steepness)]


def pool_from_row(row: list[Any]) -> Pool:
    """Return what `pool_to_row` wrote; ValueError or TypeError for anything else."""
    version, *sums, steepness = row
    squares, means, size_sum, size_count, capped = map(_number, sums)
    weights = tuple(map(_number, steepness))
    if version != VERSION or len(weights) != len(STEEPNESS):
        raise ValueError("a pool of another version")
    if min(means, size_sum, size_count, capped) <= 0.0 or min(weights) < 0.0 or not any(weights):
        raise ValueError("sums and weights of which no mean can be taken")
    return Pool(squares, means, size_sum, size_count, capped, weights)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"not a number: {value}")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"not a whole number: {value}")
    return value
