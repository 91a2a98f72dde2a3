"""The executor of rebalances over sling: its once-jobs, begun through the gate, ended by scid."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.validate import parse_scid, parse_word
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.ports import (
    Clock,
    ExecutorAbsent,
    Lease,
    MalformedReply,
    NodeRefused,
    PortError,
    Unavailable,
    WriteRefused,
)
from messages.rebalance import (
    MAYBE_STARTED,
    NOT_STARTED,
    STARTED,
    ExecutorJob,
    JobOrder,
    StartOutcome,
)

NAME = "sling"
VERSION, JOBS, STATS = "sling-version", "sling-jobsettings", "sling-stats"
ONCE, STOP, DELETE = "sling-once", "sling-stop", "sling-deletejob"
LOWEST = (4, 0)

DEADLINE_S = 180.0
"""sling waits up to sling-timeoutpay (120 s) for its payments, and its commands wait with it."""

SETTLING_S = 5.0
"""In its first second sling knows no channel: a job deleted then takes all others with it."""

ENDING_S = 0.25
"""A once-job looks 20 ms after it was stopped whether it was. Deleted before that it panics, or
goes on in the place of the next job of its channel."""

LEAVING_S = 0.08

_UNKNOWN_COMMAND, _BAD_PARAMETERS, _SLING_REFUSES, _DIED = -32601, -32602, -32700, -4
_NOTHING_BEGUN = (_BAD_PARAMETERS, _SLING_REFUSES)
_U32_LIMIT = 1 << 32
# The lower of a share and an amount is what sling leaves; with the share open the amount decides.
_ALL_BUT_NOTHING = 0.999999
# In these a task moves nothing any more, or pauses for so long that it need not be waited for.
_IDLE = frozenset(
    (
        *("Balanced", "NoCandidates", "NoRoutes", "NoCheapRoute", "HTLCcapped"),
        *("Disconnected", "PeerNotReady", "PeerBad", "GraphEmpty", "ChanNotInGraph"),
        *("ChanNotNormal", "PeerNotFound", "Error", "Stopped", "NotStarted"),
    )
)
_version_form = re.compile(r"v?(\d{1,4})\.(\d{1,4})(\D.*)?")


class Presence:
    """Since when sling has answered without a break, as far as this process saw; shared by it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: float | None = None

    def seen(self) -> None:
        """It has just answered."""
        if self._since_s is None:
            self._since_s = self._clock.monotonic()

    def lost(self) -> None:
        """It was away, or may have been."""
        self._since_s = None

    def require_settled(self) -> None:
        """Raise Unavailable while it may have started just now."""
        since_s = self._since_s
        if since_s is None or self._clock.monotonic() - since_s < SETTLING_S:
            raise Unavailable(f"sling has been seen for less than {SETTLING_S:g} s")


class Sling:
    """Implements ports.Executor. Jobs of others are read and never touched.

    Ours are once-jobs only, so a persistent one is somebody else's. `presence` and the tally of
    entries left out are shared by the whole process.
    """

    name = NAME

    def __init__(
        self,
        rpc: NodeRpc,
        gate: WriteGate,
        lease: Lease,
        presence: Presence,
        left_out: Tally,
        pause: Callable[[float], None],
    ) -> None:
        self._rpc = rpc
        self._gate = gate
        self._lease = lease
        self._presence = presence
        self._left_out = left_out
        self._pause = pause

    def version(self) -> str:
        """See ports.Executor; sling answers this without waiting for its jobs."""
        version = parse_word(self._ask(VERSION).get("version"))
        match = _version_form.fullmatch(version or "")
        if version is None or match is None:
            raise ExecutorAbsent("sling does not tell its version")
        if (int(match[1]), int(match[2])) < LOWEST:
            lowest = ".".join(map(str, LOWEST))
            raise ExecutorAbsent(f"sling {version} is too old: at least {lowest} is needed")
        return version

    def jobs(self) -> tuple[ExecutorJob, ...]:
        """See ports.Executor; persistent ones also where their channel has no task now."""
        persistent = self._persistent()
        words: dict[str, list[str]] = {scid: [] for scid in persistent}
        try:
            rows = self._rpc.call_for_list(STATS, {"json": True}, at_least_s=DEADLINE_S)
        except PortError as error:
            raise self._understood(error) from error
        for row in rows:
            scid = parse_scid(row.get("scid")) if isinstance(row, dict) else None
            if scid is None:
                self._left_out.add(STATS)
            else:
                words.setdefault(scid, []).extend(_statuses(row.get("status")))
        return tuple(
            ExecutorJob(scid, scid in persistent, _IDLE.issuperset(found), ", ".join(found))
            for scid, found in sorted(words.items())
        )

    def start(self, order: JobOrder) -> StartOutcome:
        """See ports.Executor. What sling refuses, and what never went out, was not begun."""
        sent = False

        def last_look() -> None:
            # The gate may have closed, or a successor taken over, while the connection was made.
            # The generation is not held for the answer: that may take minutes, and a successor
            # does not carry the same order out again.
            nonlocal sent
            with self._lease.effect():
                self._check_gate()
            sent = True

        try:
            params = _once_params(order)
            self._check_gate()
            self._check_free(order)
            reply = self._ask(ONCE, params, before_send=last_look)
        except (PortError, ValueError) as error:
            nothing = not sent or isinstance(error, ExecutorAbsent)
            if isinstance(error, NodeRefused) and error.code in _NOTHING_BEGUN:
                nothing = True
            return StartOutcome(NOT_STARTED if nothing else MAYBE_STARTED, str(error))
        if reply.get("result") == "started":
            return StartOutcome(STARTED, "sling has begun")
        return StartOutcome(MAYBE_STARTED, f"{ONCE}: sling does not confirm that it has begun")

    def stop(self, scid: str) -> None:
        """See ports.Executor. Where sling is not there, or the channel has a persistent job, no
        once-job of ours can be left: nothing is sent."""
        _require_scid(scid)
        try:
            persistent = self._persistent()
            self._presence.require_settled()
            if scid in persistent:
                return
            self._ask(STOP, {"scid": scid})
            self._pause(ENDING_S)
            self._ask(DELETE, {"job": scid})
        except ExecutorAbsent:
            return

    def stop_without_waiting(self, scid: str) -> None:
        """See ports.Executor; less than a tenth of a second."""
        _require_scid(scid)
        try:
            self._rpc.call(STOP, {"scid": scid}, patience_s=LEAVING_S)
        except PortError:
            # Whether it was heard is found out at the next start.
            return

    def touched(self) -> None:
        """See ports.Executor."""
        self._presence.lost()

    # -- inner workings -----------------------------------------------------------------------

    def _persistent(self) -> frozenset[str]:
        scids = [parse_scid(name) for name in self._ask(JOBS)]
        known = frozenset(scid for scid in scids if scid is not None)
        self._left_out.add(JOBS, len(scids) - len(known))
        return known

    def _check_free(self, order: JobOrder) -> None:
        self.version()
        self._presence.require_settled()
        for job in self.jobs():
            if job.scid == order.scid and (job.persistent or not job.idle):
                kind = "persistent" if job.persistent else "running"
                raise Unavailable(f"sling has a {kind} job for {job.scid} already: {job.words}")

    def _check_gate(self) -> None:
        reason = self._gate.closed_because()
        if reason is not None:
            raise WriteRefused(reason)

    def _ask(
        self, method: str, params: Mapping[str, object] | None = None, **how: Any
    ) -> dict[str, Any]:
        try:
            reply = self._rpc.call(method, params, at_least_s=DEADLINE_S, **how)
        except PortError as error:
            raise self._understood(error) from error
        self._presence.seen()
        return reply

    def _understood(self, error: PortError) -> PortError:
        """Take in what a failed call says about whether sling is there."""
        if isinstance(error, NodeRefused) and error.code in (_UNKNOWN_COMMAND, _DIED):
            self._presence.lost()
        elif isinstance(error, (NodeRefused, MalformedReply)):
            self._presence.seen()
        if isinstance(error, NodeRefused) and error.code == _UNKNOWN_COMMAND:
            return ExecutorAbsent("sling is not on this node")
        return error


def _once_params(order: JobOrder) -> dict[str, object]:
    """The parameters of sling-once; ValueError for what must not be sent.

    No candidates would mean all channels, and without limits sling empties them.
    """
    _require_scid(order.scid)
    for scid in order.candidates:
        _require_scid(scid)
    amount_sat, odd = divmod(order.payment_msat, 1_000)
    if not order.candidates or order.scid in order.candidates:
        raise ValueError("a job needs candidates, and its own channel is none")
    if amount_sat <= 0 or odd or order.total_msat <= 0 or order.total_msat % order.payment_msat:
        raise ValueError("a job moves whole satoshis, in whole payments")
    if not 0 < order.max_ppm < _U32_LIMIT or order.max_hops < 2 or order.keep_msat < 0:
        raise ValueError("a job needs a highest price, at least two hops, and no debt")
    # sling looks before it pays: what one payment takes comes on top of what is to stay.
    fee_msat = math.ceil(order.payment_msat * order.max_ppm / 1_000_000)
    floor_msat = order.keep_msat + order.payment_msat + fee_msat
    return {
        "scid": order.scid,
        "direction": "pull",
        "amount": amount_sat,
        "maxppm": order.max_ppm,
        "onceamount": order.total_msat // 1_000,
        "candidates": list(order.candidates),
        "depleteuptopercent": _ALL_BUT_NOTHING,
        "depleteuptoamount": -(-floor_msat // 1_000),
        "maxhops": order.max_hops,
        "paralleljobs": 1,
    }


def _require_scid(scid: str) -> None:
    # Anything else that sling accepts may mean every job there is, the operator's included.
    if parse_scid(scid) is None:
        raise ValueError(f"not a short channel id: {scid!r}")


def _statuses(value: object) -> list[str]:
    """The states of a job's tasks, without their numbers; before 4.0 it may be a bare text."""
    rows: Sequence[object] = value if isinstance(value, list) else [value]
    words = [parse_word(row.partition(":")[2] or row) for row in rows if isinstance(row, str)]
    return [word for word in words if word is not None]
