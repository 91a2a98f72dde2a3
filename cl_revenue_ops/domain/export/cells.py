"""Single values as exported files have them: times, amounts, texts that cannot be formulas."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

_EPOCH = date(1970, 1, 1)
_DAY_S = 86_400
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LATEST_S = 253_402_300_799.0


def iso(at_s: float) -> str:
    """ISO 8601 in UTC with microseconds, e.g. 2023-11-14T22:13:20.250000Z."""
    seconds, micros = divmod(round(_bounded(at_s) * 1_000_000), 1_000_000)
    day, second = divmod(seconds, _DAY_S)
    hour, minute = second // 3_600, second // 60 % 60
    return f"{_date(day)}T{hour:02d}:{minute:02d}:{second % 60:02d}.{micros:06d}Z"


def day(at_s: float) -> str:
    """The UTC day, e.g. 2023-11-14."""
    return _date(int(_bounded(at_s)) // _DAY_S)


def _bounded(at_s: float) -> float:
    return min(max(at_s, 0.0), _LATEST_S)


@lru_cache(maxsize=64)
def _date(day: int) -> str:
    """The day of this number since 1970; rows come in the order of time, and share it."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def unix(at_s: float) -> str:
    """Unix seconds with six decimals."""
    return f"{at_s:.6f}"


def sats(msat: int) -> str:
    """An amount of msat in sats with three decimals, exactly."""
    whole, rest = divmod(abs(msat), 1_000)
    return f"{'-' if msat < 0 else ''}{whole}.{rest:03d}"


def text(value: str) -> str:
    """A text cell that no spreadsheet takes for a formula: one that could be begins with '."""
    return f"'{value}" if value.startswith(_FORMULA) else value
