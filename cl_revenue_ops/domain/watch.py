"""Which stretches of time were watched, and for how long each channel could carry in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cl_revenue_ops.domain.flow import finite
from cl_revenue_ops.domain.flow_exposure import Carrying, exposure_s

GAP_S = 2_250.0


class Exposure(NamedTuple):
    """Seconds in which a channel could have carried inwards and outwards."""

    in_s: float = 0.0
    out_s: float = 0.0


class Stretch(NamedTuple):
    """A stretch of time that ended at `end_s`; nobody watched where no channel has exposure."""

    end_s: float
    exposure: Mapping[str, Exposure]


@dataclass(frozen=True)
class Watch:
    """Readings so far: the last one and what it said, and the stretches since the last analysis.

    Two readings further apart than `GAP_S` have an unwatched stretch between them (the plugin
    was down): what happened in it must not be counted against time that was watched.
    """

    read_s: float | None = None
    carrying: Mapping[str, Carrying] = field(default_factory=dict)
    running: Mapping[str, Exposure] = field(default_factory=dict)
    ended: tuple[Stretch, ...] = ()


def read(watch: Watch, now_carrying: Mapping[str, Carrying], at_s: float) -> Watch:
    """Take in a reading of all channels at `at_s`."""
    if watch.read_s is None:
        return Watch(at_s, dict(now_carrying))
    interval_s = at_s - watch.read_s
    if interval_s > GAP_S:
        ended = (*watch.ended, Stretch(watch.read_s, watch.running), Stretch(at_s, {}))
        return Watch(at_s, dict(now_carrying), {}, ended)
    running = dict(watch.running)
    for channel_id, now in now_carrying.items():
        before = watch.carrying.get(channel_id)
        if before is None:
            continue
        so_far = running.get(channel_id, Exposure())
        running[channel_id] = Exposure(
            so_far.in_s + exposure_s(before.inwards, now.inwards, interval_s),
            so_far.out_s + exposure_s(before.outwards, now.outwards, interval_s),
        )
    return Watch(max(at_s, watch.read_s), dict(now_carrying), running, watch.ended)


def close(watch: Watch, now_s: float) -> tuple[tuple[Stretch, ...], Watch]:
    """The stretches up to `now_s`, for an analysis, and the watch that goes on from there."""
    until_now = read(watch, watch.carrying, now_s)
    stretches = (*until_now.ended, Stretch(now_s, until_now.running))
    return stretches, Watch(until_now.read_s, until_now.carrying)


def not_after(watch: Watch, now_s: float) -> Watch:
    """The watch with every moment that lies ahead of the clock moved to `now_s`."""
    if watch.read_s is None:
        return watch
    ended = tuple(s._replace(end_s=min(s.end_s, now_s)) for s in watch.ended)
    return Watch(min(watch.read_s, now_s), watch.carrying, watch.running, ended)


def to_row(watch: Watch) -> list[Any]:
    """The watch as JSON keeps it exactly."""
    carrying = {key: list(value) for key, value in watch.carrying.items()}
    ended = [[end_s, _flat(exposure)] for end_s, exposure in watch.ended]
    return [watch.read_s, carrying, _flat(watch.running), ended]


def from_row(row: list[Any]) -> Watch:
    """The watch that `to_row` wrote.

    A row of another shape raises ValueError, TypeError, AttributeError or OverflowError.
    """
    read_s, carrying, running, ended = row
    return Watch(
        None if read_s is None else finite(read_s),
        {key: Carrying(*map(bool, value)) for key, value in carrying.items()},
        _unflat(running),
        tuple(Stretch(finite(end_s), _unflat(exposure)) for end_s, exposure in ended),
    )


def stretch_of(stretches: Iterable[Stretch], at_s: float) -> int:
    """The number of the stretch that a moment belongs to; the last one if it lies ahead."""
    number = 0
    for number, stretch in enumerate(stretches):  # noqa: B007
        if at_s <= stretch.end_s:
            break
    return number


def _flat(exposure: Mapping[str, Exposure]) -> dict[str, list[float]]:
    return {key: list(value) for key, value in exposure.items()}


def _unflat(exposure: Mapping[str, list[float]]) -> dict[str, Exposure]:
    return {key: Exposure(*map(finite, value)) for key, value in exposure.items()}
