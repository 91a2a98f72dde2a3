"""What a drain attack costs: of the channel that it aims at, and of the whole node."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cl_revenue_ops.bench.attack import FIRST_DAY
from cl_revenue_ops.bench.figures_play import PLAIN, RULE, Play, Run, Runs, Setting
from cl_revenue_ops.bench.figures_table import CHANGE, SATS, Estimate, Figure, Row, ratio

ATTACKED = "drain_attack"
MONTH_DAYS = 30.0


def attack_plays(setting: Setting) -> list[Play]:
    """Return the runs that `attack` is taken from."""
    return setting.plays((RULE,), (PLAIN, ATTACKED))


def profit_sat(run: Run, days: int, channels: tuple[int, ...] | None) -> float:
    """Return fees a month (sat) from the attack's first day on; his are among them."""
    return run.earned_msat(FIRST_DAY, days, channels) * MONTH_DAYS / 1e3


def stock_sat(run: Run, other: Run, days: int, channels: tuple[int, ...]) -> float:
    """Return how much more `run` holds at the end than `other`, at its peers' prices, a month."""
    more_msat = sum(
        (run.end_local_msat[k] - other.end_local_msat[k]) * run.end_ppm[k] / 1e6 for k in channels
    )
    return more_msat * MONTH_DAYS / (days - FIRST_DAY) / 1e3


def attack(runs: Runs, setting: Setting) -> Figure:
    """Return profits with and without the attack, and its change with the stock's at the end."""
    peace, war = (setting.had(runs, RULE, world) for world in (PLAIN, ATTACKED))
    pairs = {seed: (peace[seed], war[seed]) for seed in peace if seed in war}
    rows = [
        _row("target channel", pairs, setting.days, lambda run: (run.target,)),
        _row("its peer", pairs, setting.days, _peer_of_target),
        _row("node", pairs, setting.days, lambda run: tuple(range(len(run.peers)))),
    ]
    return Figure(
        "attack",
        f"attack: profit a month from day {FIRST_DAY} on, with a drain attack and without",
        ("of", "without", "with", "change", "with the stock", "he pays", "he moves"),
        tuple(rows),
        (
            "mean over seeds ± 95 % (of all seeds' sums), satoshi; the attacker's fees are profit; "
            "the stock at the end counts at the price of the peer's alternatives.",
        ),
    )


def _peer_of_target(run: Run) -> tuple[int, ...]:
    return tuple(k for k, peer in enumerate(run.peers) if peer == run.peers[run.target])


def _row(
    label: str,
    pairs: Mapping[int, tuple[Run, Run]],
    days: int,
    channels_of: Callable[[Run], tuple[int, ...]],
) -> Row:
    columns: list[dict[int, float]] = [{} for _ in range(6)]
    without, after, lost, whole, paid, moved = columns
    for seed, (peace, war) in pairs.items():
        channels = channels_of(peace)
        without[seed] = profit_sat(peace, days, channels)
        after[seed] = profit_sat(war, days, channels)
        lost[seed] = after[seed] - without[seed]
        whole[seed] = lost[seed] + stock_sat(war, peace, days, channels)
        month = MONTH_DAYS / (days - FIRST_DAY) / 1e3
        paid[seed] = war.outcome.attack_fees_msat * month
        moved[seed] = war.outcome.attack_msat * month
    return Row(
        (label,),
        (
            Estimate(without, SATS),
            Estimate(after, SATS),
            ratio(lost, without, CHANGE),
            ratio(whole, without, CHANGE),
            Estimate(paid, SATS),
            Estimate(moved, SATS),
        ),
    )
