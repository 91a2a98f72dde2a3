"""What a rule remembers of its channels: amounts over sliding windows, last times, refusals."""

from __future__ import annotations

from bisect import bisect_right

from cl_revenue_ops.bench.policy import NodeView, Refused, Settled

DAY_S = 86_400.0
_TRIM_AT = 8_192


class Series:
    """Amounts by time with sums over any recent window in O(log n).

    Times must not fall; one that does is filed under the newest. Older than `keep_s` is
    forgotten now and then, so a window must not be longer than that.
    """

    __slots__ = ("_keep_s", "_sums", "_times")

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._times: list[float] = []
        self._sums: list[int] = []

    @property
    def last_s(self) -> float | None:
        """Return when the newest entry was; None where there is none yet."""
        return self._times[-1] if self._times else None

    def add(self, at_s: float, amount: int) -> None:
        """File one amount."""
        times, sums = self._times, self._sums
        if times:
            times.append(max(at_s, times[-1]))
            sums.append(sums[-1] + amount)
            if len(times) >= _TRIM_AT:
                self._trim()
        else:
            times.append(at_s)
            sums.append(amount)

    def since(self, start_s: float) -> int:
        """Return the sum of what came after `start_s`."""
        at = bisect_right(self._times, start_s)
        if at == len(self._times):
            return 0
        return self._sums[-1] - (self._sums[at - 1] if at else 0)

    def between(self, start_s: float, end_s: float) -> int:
        """Return the sum of what came after `start_s` and not after `end_s`."""
        return self.since(start_s) - self.since(end_s)

    def count_since(self, start_s: float) -> int:
        """Return how many entries came after `start_s`."""
        return len(self._times) - bisect_right(self._times, start_s)

    def _trim(self) -> None:
        half = len(self._times) // 2
        if self._times[half] < self._times[-1] - self._keep_s:
            lost = self._sums[half - 1]
            del self._times[:half], self._sums[:half]
            self._sums = [total - lost for total in self._sums]


class ChannelHistory:
    """What went through one channel, in msat: out and in by amount, earned and assisted by fee.

    `earned` is the fee of what left through the channel, `assisted` that of what entered by it.
    """

    __slots__ = ("assisted", "earned", "into", "out", "refused")

    def __init__(self, keep_s: float) -> None:
        self.out = Series(keep_s)
        self.into = Series(keep_s)
        self.earned = Series(keep_s)
        self.assisted = Series(keep_s)
        self.refused = Series(keep_s)

    def last_forward_s(self) -> float | None:
        """Return when anything last went through, either way; None where nothing ever did."""
        times = [series.last_s for series in (self.out, self.into) if series.last_s is not None]
        return max(times, default=None)


class History:
    """The histories of all channels by index, for windows up to `keep_s`."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._channels: dict[int, ChannelHistory] = {}

    def of(self, index: int) -> ChannelHistory:
        """Return one channel's history, an empty one where nothing was told yet."""
        found = self._channels.get(index)
        if found is None:
            found = self._channels[index] = ChannelHistory(self._keep_s)
        return found

    def settled(self, forward: Settled) -> None:
        """File a forward with both of its channels."""
        at_s, fee_msat = forward.at_s, forward.fee_msat
        leaving, entering = self.of(forward.out_index), self.of(forward.in_index)
        leaving.out.add(at_s, forward.out_msat)
        leaving.earned.add(at_s, fee_msat)
        entering.into.add(at_s, forward.out_msat + fee_msat)
        entering.assisted.add(at_s, fee_msat)

    def refused(self, refusal: Refused) -> None:
        """File a refusal with the channel that it should have left by."""
        self.of(refusal.out_index).refused.add(refusal.at_s, refusal.out_msat)


class Deaf:
    """The part of a policy that hears of forwards and refusals and does nothing about them."""

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Ignore it."""

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Ignore it."""


class Remembering:
    """The part of a policy that files forwards and refusals for windows up to `keep_s`."""

    def __init__(self, keep_s: float) -> None:
        self.history = History(keep_s)

    def settled(self, forward: Settled, node: NodeView) -> None:
        """File it."""
        self.history.settled(forward)

    def refused(self, forward: Refused, node: NodeView) -> None:
        """File it."""
        self.history.refused(forward)
