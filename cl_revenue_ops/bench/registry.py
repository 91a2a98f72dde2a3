"""Which policies the bench knows, by name, and how each of them is played."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cl_revenue_ops.bench.arena import play
from cl_revenue_ops.bench.baselines import BASELINES, FixedFees, best_static
from cl_revenue_ops.bench.outcome import Outcome
from cl_revenue_ops.bench.policy import FeePolicy
from cl_revenue_ops.bench.rebalancers import NATIVE, REBALANCERS, Paired
from cl_revenue_ops.bench.routes import TrueRoutes
from cl_revenue_ops.bench.scenarios import Scenario, potential_msat_per_day
from cl_revenue_ops.simnode.market import Market

Factory = Callable[[Market, int], FeePolicy]

HOUSE, PROCESS, HINDSIGHT = "house", "plugin", "oracle-static"
PLUGINS = (HOUSE, PROCESS)
HINDSIGHT_GRID_PPM = (1, 10, 25, 50, 80, 120, 180, 270, 400, 600, 900, 1_400, 2_500, 5_000)

ROOT = Path(__file__).resolve().parents[2]
# What a drawn market and its play are made of: a change there makes every kept run stale.
WORLD_FILES = (
    *("market", "market_driver", "market_parameters", "market_quantiles", "prices", "senders"),
    *("traffic", "world", "state", "model", "routing", "policies", "forward_log", "lifecycle"),
    *("wallet", "closing", "gossip", "identity"),
)
PLAY_FILES = ("scenarios", "stage", "attack", "arena", "outcome", "policy")
# What a policy with a rebalancer is made of besides.
MOVING_FILES = ("moving", "routes")
BOUND_NAME, REBALANCING_BOUND = "bound", "bound-rebalancing"
BOUNDS = (BOUND_NAME, REBALANCING_BOUND)
PAIR_SIGN, EXPECTED_VALUE = "/", "ev"
RULE, TRUTH = OURS = ("rule", "truth")


class Spec(NamedTuple):
    """A policy as it is asked for: its name, and options if it is the plugin."""

    name: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """How tables and files call it: `house`, `house+revenue-ops-x=1`, a baseline's name."""
        return "+".join([self.name, *(f"{key}={value}" for key, value in self.options)])

    @property
    def is_pair(self) -> bool:
        """True for a fee rule with a rebalancer, `fee/rebalancer`."""
        return PAIR_SIGN in self.name


class BadPolicy(ValueError):
    """There is no such policy; the message says it in one line."""


@cache
def factories() -> Mapping[str, Factory]:
    """Every rule that is played in the arena, by name."""
    return {RULE: _rule, TRUTH: _truth, **{n: _blind(m) for n, m in BASELINES.items()}}


def _rule(market: Market, seed: int) -> FeePolicy:
    """The plugin's own rule, which is not shown the market."""
    from cl_revenue_ops.bench.rule import Rule

    return Rule(seed)


def _truth(market: Market, seed: int) -> FeePolicy:
    """The same rule, told the true demand."""
    from cl_revenue_ops.bench.rule import Rule

    return Rule(seed, market)


def _blind(make: Callable[[int], FeePolicy]) -> Factory:
    """A rule that is not shown the market."""
    return lambda _, seed: make(seed)


def names() -> list[str]:
    """Everything that `--policy` takes, the plugin first."""
    return [HOUSE, PROCESS, *factories(), HINDSIGHT]


def all_names() -> list[str]:
    """What `--policy all` stands for: one of the two ways to run the plugin, no search."""
    return [HOUSE, *factories()]


def pair_names() -> list[str]:
    """The pairs that are worth a comparison: native ones, and ours where there is one."""
    ours = [f"{fees}{PAIR_SIGN}{EXPECTED_VALUE}" for fees in OURS]
    return [*(ours if EXPECTED_VALUE in REBALANCERS else ()), *NATIVE]


def rebalancing_names() -> list[str]:
    """What `--policy rebalancing` stands for: those pairs, each behind its fee rule alone."""
    found = dict.fromkeys(fees_of(pair) for pair in pair_names())
    return [name for fees in found for name in (fees, *_beside(fees))]


def _beside(fees: str) -> list[str]:
    return [pair for pair in pair_names() if fees_of(pair) == fees]


def fees_of(name: str) -> str:
    """Return the fee rule of a pair; any other name is its own."""
    return name.partition(PAIR_SIGN)[0]


def parse(text: str) -> Spec:
    """Read `name`, `fee/rebalancer` or `house+option=value+...`; BadPolicy for anything else."""
    name, *words = text.split("+")
    fees, sign, rebalancer = name.partition(PAIR_SIGN)
    if fees not in names():
        raise BadPolicy(f"no policy {name!r}; there are: {', '.join(names())}")
    if sign and not _goes_with(fees, rebalancer):
        raise BadPolicy(
            f"no pair {name!r}; fee rules but {HINDSIGHT} go with: {', '.join(REBALANCERS)}; "
            f"{HOUSE} and {PROCESS} with their own alone, {EXPECTED_VALUE}"
        )
    if words and fees not in PLUGINS:
        raise BadPolicy(f"{name} has no options: only {' and '.join(PLUGINS)} have")
    return Spec(name, tuple(option(word) for word in words))


def _goes_with(fees: str, rebalancer: str) -> bool:
    own = fees in PLUGINS and rebalancer == EXPECTED_VALUE
    return own or (fees in factories() and rebalancer in REBALANCERS)


def option(text: str) -> tuple[str, str]:
    """Read one `option=value` of the plugin; BadPolicy for anything else."""
    key, sign, value = text.partition("=")
    if not sign or not key or "+" in text:
        raise BadPolicy(f"expected option=value (without a plus sign), not {text!r}")
    return key, value


def play_spec(spec: Spec, market: Market, scenario: Scenario) -> Outcome:
    """Play one policy through one market; the outcome carries the spec's label."""
    options = dict(spec.options)
    if fees_of(spec.name) == HOUSE:
        from cl_revenue_ops.bench.house import play_house

        return play_house(
            market, scenario, options=options, name=spec.label, rebalances=spec.is_pair
        )
    if fees_of(spec.name) == PROCESS:
        from cl_revenue_ops.bench.process import play_process

        return play_process(
            market, scenario, options=options, name=spec.label, rebalances=spec.is_pair
        )
    if spec.name == HINDSIGHT:
        return _play_hindsight(market, scenario)
    return replace(play(market, scenario, _made(spec.name, market)), policy=spec.label)


def _made(name: str, market: Market) -> FeePolicy:
    """Make a fee rule, or one with a rebalancer; only the rule told the truth has true routes."""
    fees_name, sign, rebalancer = name.partition(PAIR_SIGN)
    fees = factories()[fees_name](market, market.seed)
    if not sign:
        return fees
    routes = TrueRoutes(market) if fees_name == TRUTH else None
    return Paired(fees, REBALANCERS[rebalancer](fees, market.seed, routes))


def _play_hindsight(market: Market, scenario: Scenario) -> Outcome:
    """Search the best fixed fees by playing them, then play those."""
    worth = potential_msat_per_day(market)
    order = sorted(market.channels, key=lambda channel: -float(worth[channel.peer]))

    def earned_msat(fees: Mapping[int, int]) -> int:
        return play(market, scenario, FixedFees(fees)).net_msat

    best = best_static(earned_msat, HINDSIGHT_GRID_PPM, [channel.index for channel in order])
    return replace(play(market, scenario, FixedFees(best.ppm_by_index)), policy=HINDSIGHT)


# -- which code a kept run was made by -----------------------------------------------------------


@cache
def fingerprint(name: str) -> str:
    """Sixteen hex digits that change with the code that a run of this policy depends on."""
    package = ROOT / "cl_revenue_ops"
    bench, simnode = package / "bench", package / "simnode"
    files = [simnode / f"{stem}.py" for stem in WORLD_FILES]
    files += [bench / f"{stem}.py" for stem in PLAY_FILES]
    fees, is_pair, _ = name.partition(PAIR_SIGN)
    if is_pair or name == REBALANCING_BOUND:
        files += [simnode / "route_market.py", *(bench / f"{stem}.py" for stem in MOVING_FILES)]
    if is_pair and fees not in PLUGINS:
        files += sorted((bench / "rebalancers").glob("*.py"))
    if name in BOUNDS:
        files += sorted(bench.glob("bound*.py"))
    elif fees in PLUGINS:
        files += sorted((ROOT / "actors").glob("*.py")) + sorted((ROOT / "messages").glob("*.py"))
        files += [path for path in sorted(package.rglob("*.py")) if bench not in path.parents]
        files += [*sorted(bench.glob("house*.py")), bench / "process.py"]
    elif fees in BASELINES or name == HINDSIGHT:
        files += sorted((bench / "baselines").glob("*.py"))
    else:
        files += [bench / "rule.py", *sorted(bench.glob("bound*.py"))]
        files += sorted((package / "domain").rglob("*.py"))
    digest = hashlib.sha256()
    for path in files:
        if path.exists():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
