"""Single values as exported files have them: times, amounts, texts that cannot be formulas."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LATEST_S = 253_402_300_799.0


def iso(at_s: float) -> str:
    """ISO 8601 in UTC with microseconds, e.g. 2023-11-14T22:13:20.250000Z."""
    return f"{_moment(at_s).isoformat(timespec='microseconds')[:-6]}Z"


def day(at_s: float) -> str:
    """The UTC day, e.g. 2023-11-14."""
    return _moment(at_s).date().isoformat()


def _moment(at_s: float) -> datetime:
    return _EPOCH + timedelta(seconds=min(max(at_s, 0.0), _LATEST_S))


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
