"""The hourly record of what a channel forwarded, bounded by a window of at most 31 days."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

HOUR_S = 3600
HOURS_A_DAY = 24
LONGEST_WINDOW_DAYS = 31
_HOURS_AHEAD = 2


class HourBucket(NamedTuple):
    """Settled forwards of one hour: `hour` is Unix time // 3600; amounts are msat.

    In is what entered through the channel (amount received), out what left (amount sent on).
    """

    hour: int
    in_count: int
    in_msat: int
    out_count: int
    out_msat: int


class Settled(NamedTuple):
    """One settled forward as this channel saw it: it left through it (`outgoing`) or entered."""

    at_s: float
    outgoing: bool
    amount_msat: int


class Totals(NamedTuple):
    """Sums over buckets; amounts are msat."""

    in_count: int
    in_msat: int
    out_count: int
    out_msat: int


Window = tuple[HourBucket, ...]
NO_FLOW = Totals(0, 0, 0, 0)


def collect(forwards: Iterable[Settled]) -> Window:
    """Return the buckets of these forwards, oldest first, each under the hour it settled in."""
    return merge(
        HourBucket(
            int(forward.at_s // HOUR_S),
            0 if forward.outgoing else 1,
            0 if forward.outgoing else forward.amount_msat,
            1 if forward.outgoing else 0,
            forward.amount_msat if forward.outgoing else 0,
        )
        for forward in forwards
    )


def merge(buckets: Iterable[HourBucket]) -> Window:
    """Return one bucket an hour, oldest first; empty hours have none."""
    hours: dict[int, HourBucket] = {}
    for bucket in buckets:
        old = hours.get(bucket.hour)
        hours[bucket.hour] = bucket if old is None else _sum(old, bucket)
    return tuple(hours[hour] for hour in sorted(hours))


def extend(window: Window, fresh: Window, now_s: float, window_days: int) -> Window:
    """Return the window with `fresh` merged in, bounded to `window_days` before `now_s`.

    The bound is 31 days whatever is asked, so size and cost never depend on the history's length.
    An hour far ahead of the clock (the clock was set back) is filed under the present one.
    """
    present = int(now_s // HOUR_S)
    if fresh:
        settled = bisect_left(window, (fresh[0].hour,))
        window = (*window[:settled], *merge((*window[settled:], *fresh)))
    if window and window[-1].hour > present + _HOURS_AHEAD:
        window = merge(b if b.hour <= present else b._replace(hour=present) for b in window)
    return _within(window, present, window_days)


def totals(window: Window, now_s: float, window_days: int) -> Totals:
    """Return the sums of the last `window_days` (at most 31) before `now_s`."""
    within = _within(window, int(now_s // HOUR_S), window_days)
    return Totals(
        sum(bucket.in_count for bucket in within),
        sum(bucket.in_msat for bucket in within),
        sum(bucket.out_count for bucket in within),
        sum(bucket.out_msat for bucket in within),
    )


def to_flat(window: Window) -> tuple[int, ...]:
    """Return the buckets as one tuple of integers, five to a bucket."""
    return tuple(number for bucket in window for number in bucket)


def from_flat(numbers: Sequence[int]) -> Window:
    """Return the window that `to_flat` wrote; raise ValueError on a torn one."""
    if len(numbers) % 5:
        raise ValueError(f"{len(numbers)} numbers are not whole buckets of five")
    return tuple(HourBucket(*numbers[at : at + 5]) for at in range(0, len(numbers), 5))


def _within(window: Window, present: int, window_days: int) -> Window:
    hours = max(1, min(window_days, LONGEST_WINDOW_DAYS)) * HOURS_A_DAY
    return window[bisect_left(window, (present - hours + 1,)) :]


def _sum(one: HourBucket, other: HourBucket) -> HourBucket:
    return HourBucket(
        one.hour,
        one.in_count + other.in_count,
        one.in_msat + other.in_msat,
        one.out_count + other.out_count,
        one.out_msat + other.out_msat,
    )
