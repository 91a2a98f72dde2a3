"""What a job of the simulated sling is: parameters, their checks, and how it is written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.identity import scid_number

PULL, PUSH = "pull", "push"
SLING_ERROR = -32700
"""The one code that its errors carry: a default of the framework that it is written in."""

_KEYS = (
    "scid", "direction", "amount", "maxppm", "outppm", "target", "maxhops", "candidates",
    "depleteuptopercent", "depleteuptoamount", "paralleljobs",
)  # fmt: skip


class Settings(NamedTuple):
    """Its options with its own defaults; seconds, satoshi, blocks."""

    maxhops: int = 8
    paralleljobs: int = 1
    timeoutpay_s: float = 120.0
    max_htlc_count: int = 5
    depleteuptopercent: float = 0.2
    depleteuptoamount_sat: int = 2_000_000_000
    candidates_min_age: int = 0
    stats_days: int = 30
    stats_rows: int = 10_000
    autogo: bool = False


@dataclass(frozen=True)
class Job:
    """What is to be moved and at which price; None is a parameter that was not given."""

    direction: str
    amount_msat: int
    maxppm: int
    outppm: int | None = None
    target: float | None = None
    maxhops: int | None = None
    candidates: tuple[str, ...] | None = None
    depleteuptopercent: float | None = None
    depleteuptoamount_msat: int | None = None
    paralleljobs: int | None = None
    onceamount_msat: int | None = None

    @property
    def pulls(self) -> bool:
        """True if the job's channel is to be filled."""
        return self.direction == PULL

    def tasks(self, settings: Settings) -> int:
        """How many tasks work at it side by side."""
        count = settings.paralleljobs if self.paralleljobs is None else self.paralleljobs
        return count if self.pulls else min(count, settings.max_htlc_count)

    def hops(self, settings: Settings) -> int:
        """The longest route that it takes."""
        return settings.maxhops if self.maxhops is None else self.maxhops

    def floor_msat(self, total_msat: int, settings: Settings) -> int:
        """What a candidate of that capacity must have more than, on the side that it gives from."""
        percent, amount_msat = self.depleteuptopercent, self.depleteuptoamount_msat
        if percent is None:
            percent = settings.depleteuptopercent
        if amount_msat is None:
            amount_msat = settings.depleteuptoamount_sat * 1_000
        return max(self.amount_msat + 10_000_000, min(int(percent * total_msat), amount_msat))


def refuse(message: str) -> SimRpcError:
    """An error as sling gives it."""
    return SimRpcError(SLING_ERROR, message)


def scid_of(value: Any, what: str = "scid") -> str:
    """A short channel id given as text."""
    if not isinstance(value, str):
        raise refuse(f"{what}: a text is needed")
    try:
        scid_number(value)
    except ValueError:
        raise refuse(f"{what}: not a short channel id: {value}") from None
    return value


def _whole(bits: int, scale: int = 1, least: int = 0) -> Callable[[str, Any], int]:
    def parse(key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << bits:
            raise refuse(f"{key}: a whole number of at most {bits} bits is needed")
        if value < least:
            raise refuse(f"{key}: must be at least {least}")
        return value * scale

    return parse


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(f"{key}: a number is needed")
    return float(value)


def _share(key: str, value: Any) -> float:
    share = _number(key, value)
    if not 0.0 <= share < 1.0:
        raise refuse(f"{key}: must be from 0 to below 1")
    return share


def _direction(key: str, value: Any) -> str:
    if value not in (PULL, PUSH):
        raise refuse(f"{key}: neither pull nor push: {value}")
    return str(value)


def _channels(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise refuse(f"{key}: an array is needed")
    return tuple(scid_of(item, key) for item in value)


_PARSERS: Mapping[str, tuple[str, Callable[[str, Any], Any]]] = {
    "direction": ("direction", _direction),
    "amount": ("amount_msat", _whole(64, 1_000, 1)),
    "maxppm": ("maxppm", _whole(32)),
    "outppm": ("outppm", _whole(64)),
    "target": ("target", _number),
    "maxhops": ("maxhops", _whole(8, 1, 2)),
    "candidates": ("candidates", _channels),
    "depleteuptopercent": ("depleteuptopercent", _share),
    "depleteuptoamount": ("depleteuptoamount_msat", _whole(64, 1_000)),
    "paralleljobs": ("paralleljobs", _whole(16, 1, 1)),
    "onceamount": ("onceamount_msat", _whole(64, 1_000, 1)),
}


def parse_job(params: Any, once: bool, settings: Settings) -> tuple[str, Job]:
    """The channel and the job of sling-job, or of sling-once; -32700 for what does not fit."""
    if not isinstance(params, dict):
        raise refuse("the parameters of a job come as an object")
    known = {*_KEYS, "onceamount"} if once else set(_KEYS)
    for key in params:
        if key not in known:
            raise refuse(f"{key}: no such parameter")
    if once and "target" in params:
        raise refuse("target: a once-job has none")
    for key in ("scid", "direction", "amount", "maxppm", *(["onceamount"] if once else [])):
        if key not in params:
            raise refuse(f"{key}: is missing")
    scid = scid_of(params["scid"])
    job = Job(**{
        name: parse(key, params[key]) for key, (name, parse) in _PARSERS.items() if key in params
    })  # fmt: skip
    if job.onceamount_msat is not None and job.onceamount_msat % job.amount_msat:
        raise refuse("onceamount: must be a multiple of amount")
    if not job.pulls and (job.paralleljobs or 0) > settings.max_htlc_count:
        raise refuse("paralleljobs: more tasks than HTLCs that a channel may hold")
    if job.outppm is None and job.candidates is None:
        raise refuse("outppm or candidates: one of both is needed")
    return scid, job


def entry(job: Job, elder: bool) -> dict[str, Any]:
    """A job as jobs.json and sling-jobsettings have it; `elder` before 4.0."""
    names = {
        "candidates": "candidatelist" if elder else "candidates",
        "depleteuptoamount_msat": "depleteuptoamount" if elder else "depleteuptoamount_msat",
    }
    optional = {
        "outppm": job.outppm, "target": job.target, "maxhops": job.maxhops,
        "candidates": None if job.candidates is None else list(job.candidates),
        "depleteuptopercent": job.depleteuptopercent,
        "depleteuptoamount_msat": job.depleteuptoamount_msat, "paralleljobs": job.paralleljobs,
    }  # fmt: skip
    return {
        "sat_direction": job.direction.capitalize(), "amount_msat": job.amount_msat,
        "maxppm": job.maxppm,
        **{names.get(key, key): value for key, value in optional.items() if value is not None},
    }  # fmt: skip


def from_entry(written: Mapping[str, Any]) -> Job:
    """The job of an entry; KeyError, TypeError where it is none."""
    candidates = written.get("candidates", written.get("candidatelist"))
    return Job(
        str(written["sat_direction"]).lower(), int(written["amount_msat"]), int(written["maxppm"]),
        written.get("outppm"), written.get("target"), written.get("maxhops"),
        None if candidates is None else tuple(candidates), written.get("depleteuptopercent"),
        written.get("depleteuptoamount_msat", written.get("depleteuptoamount")),
        written.get("paralleljobs"),
    )  # fmt: skip
