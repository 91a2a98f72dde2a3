"""The FeeController's eye on the mempool: samples the feerate, keeps the Vegas reflex in memory."""

from __future__ import annotations

from cl_revenue_ops.domain.fees import vegas
from cl_revenue_ops.domain.fees.facts import Spike
from cl_revenue_ops.ports import Clock, Node, PortError
from cl_revenue_ops.runtime.rng import uniform


class FeeMempool:
    """One sample a cycle; `trouble` says why there was none. Nothing of it outlives the process."""

    def __init__(self, clock: Clock, node: Node) -> None:
        self._clock = clock
        self._node = node
        self._state = vegas.VegasState()
        self._samples = 0
        self._newest: tuple[float, float | None] | None = None
        self.trouble: str | None = None

    def sample(self, root_seed: int, decay: float) -> None:
        """Read the feerate and take it in; blocks on the node."""
        self.trouble = None
        try:
            sat_per_vb = self._node.feerate_sat_per_vb()
        except PortError as error:
            self.trouble = f"the feerate could not be read: {error}"
            return
        if sat_per_vb is None:
            return
        self._samples += 1
        draw = uniform(root_seed, "vegas", self._samples)
        now_s = self._clock.now()
        self._state, verdict = vegas.observe(self._state, sat_per_vb, now_s, draw, decay)
        self._newest = (sat_per_vb, verdict.mean_sat_per_vb)

    def spike(self, decay: float) -> Spike | None:
        """The spike as it holds now; None while there is none."""
        intensity = round(vegas.intensity_at(self._state, self._clock.now(), decay), 4)
        multiplier = round(vegas.floor_multiplier(intensity), 4)
        if multiplier <= 1.0:
            return None
        return Spike(intensity, multiplier, *(self._newest or (None, None)))
