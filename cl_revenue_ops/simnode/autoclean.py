"""lightningd's autoclean: deletes old forwards at its cycle, by the ages in the node's options."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.simnode.errors import bad_params
from cl_revenue_ops.simnode.options import Options
from cl_revenue_ops.simnode.world import World

FORWARDS = ("succeededforwards", "failedforwards")
OTHERS = ("succeededpays", "failedpays", "paidinvoices", "expiredinvoices", "networkevents")


class Autoclean:
    """Acts on forwards; the other subsystems hold nothing in this node and are never enabled."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options
        self._cleaned = dict.fromkeys(FORWARDS, 0)
        self._next_s: float | None = None

    def _age_s(self, subsystem: str) -> int:
        return int(self._options.value(f"autoclean-{subsystem}-age"))

    def tick(self, now_s: float) -> None:
        """Clean if a cycle has passed since the last time."""
        cycle_s = int(self._options.value("autoclean-cycle"))
        if self._next_s is None:
            self._next_s = now_s + cycle_s
        if now_s < self._next_s:
            return
        self._next_s = now_s + cycle_s
        for subsystem in FORWARDS:
            age_s = self._age_s(subsystem)
            if age_s > 0:
                self._clean(subsystem, age_s, now_s)

    def _clean(self, subsystem: str, age_s: float, now_s: float) -> int:
        settled = subsystem == "succeededforwards"
        count = self._world.autoclean(age_s, settled=settled, failed=not settled, at_s=now_s)
        self._cleaned[subsystem] += count
        return count

    def status(self, subsystem: str | None) -> dict[str, Any]:
        """The autoclean-status object of one subsystem or of all."""
        every = (*FORWARDS, *OTHERS)
        if subsystem is not None and subsystem not in every:
            raise bad_params(f"subsystem: unknown subsystem {subsystem}")
        return {name: self._one(name) for name in every if subsystem in (None, name)}

    def _one(self, subsystem: str) -> dict[str, Any]:
        age_s = self._age_s(subsystem) if subsystem in FORWARDS else 0
        shown: dict[str, Any] = {"enabled": age_s > 0}
        if age_s > 0:
            shown["age"] = age_s
        return shown | {"cleaned": self._cleaned.get(subsystem, 0)}

    def once(self, subsystem: str, age_s: int) -> dict[str, Any]:
        """Clean one subsystem now; the autoclean-once object."""
        if subsystem not in FORWARDS:
            raise bad_params(f"subsystem: nothing to clean in {subsystem}")
        count = self._clean(subsystem, age_s, self._world.clock.now())
        return {subsystem: {"cleaned": count, "uncleaned": 0}}
