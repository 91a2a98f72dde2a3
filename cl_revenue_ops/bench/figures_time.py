"""How fast the rule earns: on a fresh node, and after the price of its best peer has jumped."""

from __future__ import annotations

from collections.abc import Callable

from cl_revenue_ops.bench.figures_play import (
    DOWN,
    JUMP_DAY,
    JUMP_FACTOR,
    PLAIN,
    RULE,
    TRUTH,
    UP,
    Play,
    Run,
    Runs,
    Setting,
)
from cl_revenue_ops.bench.figures_table import NUMBER, SATS, Estimate, Figure, Row, ratio

Window = tuple[float, float]

LAST_DAYS = 10
RAMP_WINDOWS: tuple[tuple[str, Window], ...] = (
    ("day 1", (0, 1)),
    ("day 2", (1, 2)),
    ("day 3", (2, 3)),
    ("days 1-3", (0, 3)),
    ("days 4-7", (3, 7)),
    ("days 8-14", (7, 14)),
)
JUMP_WINDOWS: tuple[tuple[str, Window], ...] = (
    ("10 days before", (JUMP_DAY - 10, JUMP_DAY)),
    ("first 4 days", (JUMP_DAY, JUMP_DAY + 4)),
    ("10 days from then", (JUMP_DAY + 4, JUMP_DAY + 14)),
)
RAMP_LEAST_DAYS = 14 + LAST_DAYS
JUMP_LEAST_DAYS = JUMP_DAY + 14

Earned = Callable[[Run], float]


def ramp_plays(setting: Setting) -> list[Play]:
    """Return the runs that `ramp` is taken from."""
    return setting.plays((RULE, TRUTH), (PLAIN,))


def ramp(runs: Runs, setting: Setting) -> Figure:
    """Return what of its final daily revenue the rule has on the first days, and of the truth's."""
    last = (float(setting.days - LAST_DAYS), float(setting.days))
    rows = []
    for label, window in (*RAMP_WINDOWS, (f"last {LAST_DAYS} days", last)):
        final, truths, now, true = (
            _by_seed(setting, runs, policy, PLAIN, span)
            for span, policy in ((last, RULE), (last, TRUTH), (window, RULE), (window, TRUTH))
        )
        of_truth = ratio(now, true)
        relative = _relative(of_truth, ratio(final, truths))
        rows.append(Row((label,), (ratio(now, final), ratio(true, truths), of_truth, relative)))
    return Figure(
        "ramp",
        f"ramp: revenue on a fresh node, {setting.days} days",
        (
            "days",
            "rule, of its last days",
            "truth, of its last",
            "rule of truth",
            "over the last days'",
        ),
        tuple(rows),
        (
            "mean over seeds ± 95 % (of all seeds' sums); 'truth' is the same rule told the true "
            "demand; the last column is 'rule of truth' over the same of the last days.",
        ),
    )


def _relative(one: Estimate, other: Estimate) -> Estimate:
    """Return one share over another, by seed and of all seeds together."""
    found = ratio(one.by_seed, other.by_seed)
    pooled = one.pooled / other.pooled if one.pooled is not None and other.pooled else None
    return found._replace(pooled=pooled)


def _by_seed(
    setting: Setting, runs: Runs, policy: str, world: str, window: Window, peer_only: bool = False
) -> dict[int, float]:
    return {
        seed: run.earned_msat(*window, run.busiest_channels if peer_only else None)
        for seed, run in setting.had(runs, policy, world).items()
    }


def jump_plays(setting: Setting) -> list[Play]:
    """Return the runs that `jump` is taken from."""
    return setting.plays((RULE, TRUTH), (UP, DOWN, PLAIN))


def jump(runs: Runs, setting: Setting) -> Figure:
    """Return what the rule earns of the truth's revenue before, after and long after a jump."""
    rows = []
    worlds = ((UP, f"up x{JUMP_FACTOR}"), (DOWN, f"down /{JUMP_FACTOR}"), (PLAIN, "none"))
    for world, word in worlds:
        for scope, peer_only in (("node", False), ("its peer", True)):
            for label, window in JUMP_WINDOWS:
                rule, truth, control, still = (
                    _by_seed(setting, runs, policy, where, window, peer_only)
                    for where in (world, PLAIN)
                    for policy in (RULE, TRUTH)
                )
                share, usual = ratio(rule, truth), ratio(control, still)
                cells = (
                    share,
                    _relative(share, usual),
                    ratio(truth, still, NUMBER),
                    Estimate({seed: value / 1e3 for seed, value in truth.items()}, SATS),
                )
                rows.append(Row((word, scope, label), cells))
    return Figure(
        "jump",
        f"jump: the price of the busiest peer's alternatives jumps on day {JUMP_DAY}",
        (
            *("jump", "of", "when", "rule of truth", "over that without jump"),
            *("truth, times that without jump", "truth sat/day"),
        ),
        tuple(rows),
        (
            "mean over seeds ± 95 % (of all seeds' sums); the rows without a jump are the control: "
            "the same days and peer in the world where nothing jumps.",
        ),
    )
