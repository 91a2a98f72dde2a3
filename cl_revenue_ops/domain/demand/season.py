"""When of the day and of the week payments come, learned over all of the node's channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

HOURS: Final = 24
WEEKDAYS: Final = 7
MEMORY_DAYS: Final = 45.0
# Forwards of usual size that an hour or weekday must have been worth before it is believed.
RELUCTANCE: Final = 40.0
DAY_S: Final = 86_400.0
# 1 January 1970 was a Thursday.
FIRST_WEEKDAY: Final = 3

Row = tuple[float, ...]


@dataclass(frozen=True)
class Season:
    """Volume that came and volume that was to be expected without any season, by hour of the day
    (UTC) and by weekday, in forwards of usual size over the dispersion; fading over MEMORY_DAYS.
    """

    hour_came: Row = (0.0,) * HOURS
    hour_hoped: Row = (0.0,) * HOURS
    weekday_came: Row = (0.0,) * WEEKDAYS
    weekday_hoped: Row = (0.0,) * WEEKDAYS


def hour_of(at_s: float) -> int:
    """Return the hour of the day, UTC."""
    return int(at_s // 3600.0) % HOURS


def weekday_of(at_s: float) -> int:
    """Return the weekday, Monday is 0, UTC."""
    return (int(at_s // DAY_S) + FIRST_WEEKDAY) % WEEKDAYS


def factor(season: Season, at_s: float) -> float:
    """Return by how much more than usual is to be expected at a moment; one on average."""
    hours = _ratios(season.hour_came, season.hour_hoped)
    weekdays = _ratios(season.weekday_came, season.weekday_hoped)
    return hours[hour_of(at_s)] * weekdays[weekday_of(at_s)]


def _ratios(came: Sequence[float], hoped: Sequence[float]) -> list[float]:
    ratios = [(n + RELUCTANCE) / (mean + RELUCTANCE) for n, mean in zip(came, hoped, strict=True)]
    usual = sum(ratios) / len(ratios)
    return [ratio / usual for ratio in ratios]


def counted(season: Season, at_s: float, came: float, hoped: float, days: float) -> Season:
    """Return the season after a stretch of `days` that ended near `at_s`.

    `came` and `hoped` (without season) are summed over the node's channels.
    """
    keep = math.exp(-days / MEMORY_DAYS)
    hour, weekday = hour_of(at_s), weekday_of(at_s)
    return Season(
        _added(season.hour_came, hour, came, keep),
        _added(season.hour_hoped, hour, hoped, keep),
        _added(season.weekday_came, weekday, came, keep),
        _added(season.weekday_hoped, weekday, hoped, keep),
    )


def _added(row: Row, place: int, value: float, keep: float) -> Row:
    return tuple(keep * old + (value if at == place else 0.0) for at, old in enumerate(row))


def to_row(season: Season) -> list[list[float]]:
    """Return the season as plain JSON values."""
    rows = (season.hour_came, season.hour_hoped, season.weekday_came, season.weekday_hoped)
    return [list(row) for row in rows]


def from_row(rows: Any) -> Season:
    """Return what `to_row` wrote; ValueError or TypeError for anything else."""
    found = [tuple(float(value) for value in row) for row in rows]
    if [len(row) for row in found] != [HOURS, HOURS, WEEKDAYS, WEEKDAYS]:
        raise ValueError("a season of another shape")
    if not all(math.isfinite(value) and value >= 0.0 for row in found for value in row):
        raise ValueError("a season with values that are none")
    return Season(*found)
