"""The fee rules that operators run today, as policies for the bench: `BASELINES` by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cl_revenue_ops.bench.baselines.brln import Brln
from cl_revenue_ops.bench.baselines.clboss import Clboss
from cl_revenue_ops.bench.baselines.earlier import Earlier
from cl_revenue_ops.bench.baselines.eclair import Eclair
from cl_revenue_ops.bench.baselines.feeadjuster import FeeAdjuster
from cl_revenue_ops.bench.baselines.feelancer import Feelancer
from cl_revenue_ops.bench.baselines.hindsight import BestStatic, best_static
from cl_revenue_ops.bench.baselines.lndg import LndgAutoFees
from cl_revenue_ops.bench.baselines.lndmanage import Lndmanage
from cl_revenue_ops.bench.baselines.lnoperator import LnOperator
from cl_revenue_ops.bench.baselines.nodeguard import NodeGuard
from cl_revenue_ops.bench.baselines.proportional import Proportional
from cl_revenue_ops.bench.baselines.static import FixedFees, Flat, Found
from cl_revenue_ops.bench.policy import FeePolicy

__all__ = ["BASELINES", "BestStatic", "FixedFees", "best_static"]

rng = np.random.default_rng

# Each takes the seed of its draws; those that draw nothing leave it unused. Variants of ours, to
# give a rule its best chance or to show one fault apart: -base0, -nosize, -low, -fast, -frozen.
BASELINES: dict[str, Callable[[int], FeePolicy]] = {
    "static": lambda _: Found(),
    "static-100": lambda _: Flat(100),
    "proportional": lambda _: Proportional(),
    "feeadjuster-global": lambda seed: FeeAdjuster("feeadjuster-global", False, rng(seed)),
    "feeadjuster-median": lambda seed: FeeAdjuster("feeadjuster-median", True, rng(seed)),
    "feeadjuster-median-base0": lambda seed: FeeAdjuster(
        "feeadjuster-median-base0", True, rng(seed), base_msat=0
    ),
    "clboss": lambda seed: Clboss("clboss", rng(seed)),
    "clboss-nosize": lambda seed: Clboss("clboss-nosize", rng(seed), by_size=False),
    "lndg": lambda _: LndgAutoFees(),
    "lndmanage": lambda _: Lndmanage(),
    "eclair": lambda _: Eclair("eclair"),
    "eclair-low": lambda _: Eclair("eclair-low", step=50, least=10),
    "nodeguard": lambda _: NodeGuard(),
    "lnoperator": lambda _: LnOperator(),
    "feelancer": lambda _: Feelancer("feelancer"),
    "feelancer-fast": lambda _: Feelancer("feelancer-fast", gain_ppm_per_day=200.0),
    "brln": lambda _: Brln(),
    "earlier": lambda seed: Earlier("earlier", rng(seed)),
    "earlier-frozen": lambda seed: Earlier("earlier-frozen", rng(seed), freezes=True),
}
