"""The one table of settings: each option of the plugin with its type, default, bounds and owner."""

from __future__ import annotations

from dataclasses import replace

from cl_revenue_ops.config.setting import (
    ACCOUNTANT,
    CLBOSS,
    FEE_CONTROLLER,
    FLOW_ANALYZER,
    HIVE_LIAISON,
    HOUSE,
    KELLY,
    OPTION_PREFIX,
    PRICE_LEARNING,
    REBALANCER,
    REPUTATION,
    VEGAS_REFLEX,
    Kind,
    Owner,
    Setting,
    SettingValue,
)

_PPM = (0, 100_000)
_INTERVAL_S = (30, 7 * 86_400)
_MAX_PATH_CHARS = 1_024


def _row(option: str, kind: Kind, default: SettingValue, owner: Owner, summary: str) -> Setting:
    key = option.replace("-", "_")
    return Setting(key, OPTION_PREFIX + option, "", kind, default, owner, summary)


def _whole(
    option: str, default: int, limits: tuple[int, int], unit: str, owner: Owner, summary: str
) -> Setting:
    row = _row(option, Kind.INT, default, owner, summary)
    return replace(row, unit=unit, low=limits[0], high=limits[1])


def _share(option: str, default: float, owner: Owner, summary: str) -> Setting:
    return replace(_row(option, Kind.FLOAT, default, owner, summary), unit="share", low=0, high=1)


def _switch(option: str, default: bool, owner: Owner, summary: str) -> Setting:
    return _row(option, Kind.BOOL, default, owner, summary)


def _choice(option: str, choices: tuple[str, ...], owner: Owner, summary: str) -> Setting:
    """A choice; the first word is the default."""
    return replace(_row(option, Kind.CHOICE, choices[0], owner, summary), choices=choices)


def _database_path() -> Setting:
    summary = (
        "SQLite database file; when not set, revenue_ops.db in the node's lightning-dir,"
        " so that each network has its own"
    )
    return replace(
        _row("db-path", Kind.PATH, None, HOUSE, summary),
        low=1,
        high=_MAX_PATH_CHARS,
        dynamic=False,
        computed_default="<lightning-dir>/revenue_ops.db",
    )


def _keyed(key: str, row: Setting) -> Setting:
    """A row whose key is not its option name with underscores."""
    return replace(row, key=key)


def _group(title: str, *rows: Setting) -> tuple[Setting, ...]:
    return tuple(replace(row, group=title) for row in rows)


# fmt: off
_CORE = _group(
    "Core Settings",
    _database_path(),
    _switch("dry-run", False, HOUSE,
            "Decide and record as usual, but change nothing on the node"),
    _switch("paused", False, HOUSE,
            "Make no fee changes and start no rebalances until switched off again"),
)
_INTERVALS = _group(
    "Interval Settings",
    _whole("flow-interval", 3600, _INTERVAL_S, "seconds", FLOW_ANALYZER,
           "Time between two flow analyses"),
    _whole("fee-interval", 1800, _INTERVAL_S, "seconds", FEE_CONTROLLER,
           "Time between two fee cycles"),
    _whole("rebalance-interval", 900, _INTERVAL_S, "seconds", REBALANCER,
           "Time between two searches for rebalances"),
    _whole("flow-window-days", 7, (1, 31), "days", FLOW_ANALYZER,
           "Length of the past that a flow analysis looks at"),
)
_FEES = _group(
    "Fee Settings",
    _whole("min-fee-ppm", 10, _PPM, "ppm", FEE_CONTROLLER,
           "Lowest fee rate that is set on a channel"),
    _whole("max-fee-ppm", 5000, (1, 100_000), "ppm", FEE_CONTROLLER,
           "Highest fee rate that is set on a channel"),
    _whole("fee-updates-per-day", 4, (1, 48), "updates", FEE_CONTROLLER,
           "Most fee changes of one channel in a day, emergencies apart"),
    _whole("base-fee-msat", 0, (0, 1_000_000), "msat", FEE_CONTROLLER,
           "Base fee of the channels whose fees are managed"),
    _whole("target-flow", 100_000, (0, 10_000_000_000), "sats per day", PRICE_LEARNING,
           "Daily flow aimed at for each channel"),
)
_REBALANCING = _group(
    "Rebalancing Settings",
    _keyed("rebalancer_plugin", _choice("rebalancer", ("sling",), REBALANCER,
           "Plugin that carries out rebalances")),
    _whole("rebalance-min-profit", 10, (0, 10_000_000), "sats", REBALANCER,
           "Lowest expected profit for which a rebalance is started"),
    _whole("daily-budget-sats", 5000, (0, 10_000_000), "sats", ACCOUNTANT,
           "Most that rebalances may cost in any 24 hours, with what is promised to those under"
           " way"),
    _whole("min-wallet-reserve", 1_000_000, (0, 100_000_000), "sats", ACCOUNTANT,
           "What stays on the chain (confirmed, unreserved) and in usable channels whatever"
           " rebalances cost; where it could not, none is started"),
    _keyed("enable_proportional_budget", _switch("proportional-budget", True, ACCOUNTANT,
           "Spend a share of the revenue in 24 hours: at most the daily budget, at least a tenth"
           " of it")),
    _share("proportional-budget-pct", 0.30, ACCOUNTANT,
           "Share of the mean daily routing fees of the last seven whole days (UTC) that"
           " rebalances may cost in 24 hours"),
    _whole("reservation-timeout-hours", 4, (1, 24), "hours", REBALANCER,
           "Age at which a budget reservation that nobody settled is given back"),
)
_ADVANCED_FEES = _group(
    "Advanced Fee Settings",
    _share("htlc-congestion-threshold", 0.8, FEE_CONTROLLER,
           "Share of HTLC slots in use above which a channel counts as congested"),
    _keyed("enable_vegas_reflex", _switch("vegas-reflex", True, VEGAS_REFLEX,
           "Raise the fee floor while on-chain fees spike")),
    _keyed("vegas_decay_rate", _share("vegas-decay", 0.85, VEGAS_REFLEX,
           "What is left of the raised floor after each step; 0.85 halves it in about 30 minutes")),
    _keyed("enable_scarcity_pricing", _switch("scarcity-pricing", True, FEE_CONTROLLER,
           "Raise the fee of a channel whose local balance runs out")),
    _share("scarcity-threshold", 0.35, FEE_CONTROLLER,
           "Share of local balance below which scarcity pricing begins"),
    _whole("decision-retention-days", 90, (1, 3650), "days", FEE_CONTROLLER,
           "Time for which the record of a fee decision is kept"),
)
_REPUTATION = _group(
    "Reputation Settings",
    _switch("enable-reputation", True, REPUTATION,
            "Weight decisions by the reputation of the peer"),
    _share("reputation-decay", 0.98, REPUTATION,
           "What is left of a peer's record after each flow interval"),
    _switch("enable-kelly", False, KELLY,
            "Size rebalances by the Kelly criterion"),
    _share("kelly-fraction", 0.5, KELLY,
           "Share of the full Kelly stake that is used"),
)
_HIVE = _group(
    "Hive Integration Settings",
    _choice("hive-enabled", ("auto", "true", "false"), HIVE_LIAISON,
            "Hive mode: auto detects cl-hive and membership, true requires them,"
            " false is standalone"),
    _whole("hive-fee-ppm", 0, _PPM, "ppm", FEE_CONTROLLER,
           "Fee rate of peers whose policy is hive, also below the lowest one"),
    _whole("hive-rebalance-tolerance", 50, (0, 100_000), "sats", REBALANCER,
           "Largest loss accepted for a rebalance towards a fleet member"),
)
_CLBOSS = _group(
    "CLBoss Integration",
    _switch("clboss-enabled", True, CLBOSS,
            "Tell CLBoss which peers it shall leave alone; false takes back what it was told of"
            " peers managed here, and asks nothing after that"),
)
_BOOKS = _group(
    "Accounting Settings",
    _whole("failed-forward-retention-days", 30, (0, 3650), "days", ACCOUNTANT,
           "Time for which each failed forward is kept, 0 for ever; they stay counted"),
    _whole("settled-forward-retention-days", 0, (0, 3650), "days", ACCOUNTANT,
           "Time for which each settled forward is kept, 0 for ever; all totals stay"),
)
_RPC = _group(
    "RPC Settings",
    _whole("rpc-timeout-seconds", 15, (1, 300), "seconds", HOUSE,
           "Time limit of one call to lightningd"),
    _whole("rpc-circuit-breaker-seconds", 60, (0, 3600), "seconds", HOUSE,
           "Time for which calls are held back after repeated failures"),
)
# fmt: on

SETTINGS: tuple[Setting, ...] = (
    *_CORE,
    *_INTERVALS,
    *_FEES,
    *_REBALANCING,
    *_ADVANCED_FEES,
    *_REPUTATION,
    *_HIVE,
    *_CLBOSS,
    *_BOOKS,
    *_RPC,
)
"""Every setting, in the order of the documentation."""

BY_KEY: dict[str, Setting] = {setting.key: setting for setting in SETTINGS}
