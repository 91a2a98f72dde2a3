"""The table of commands: name, parameters, help, and what each does with its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cl_revenue_ops.commands import (
    clboss,
    exchange,
    policy,
    rebalance,
    reports,
    settings,
    values,
)
from cl_revenue_ops.commands.binding import BadInput, Param, bind, bind_chosen
from cl_revenue_ops.commands.channels import the_channel
from cl_revenue_ops.commands.desk import FrontDesk, HandOn
from cl_revenue_ops.commands.status import hive_status, status
from messages.fees import ExplainFees, SetFeeByHand, WakeAll
from messages.flow import AnalyzeNow

PPM_MOST = 100_000

Outcome = dict[str, object] | HandOn
Run = Callable[[FrontDesk, Mapping[str, Any]], Outcome]


@dataclass(frozen=True)
class RpcCommand:
    """One `revenue-*` method: `run` answers from notices, or hands the work to its owner.

    Where there is `more`, the only one of `params` is a word, and what follows depends on it.
    """

    name: str
    help: str
    run: Run
    params: tuple[Param, ...] = ()
    more: Mapping[str, tuple[Param, ...]] = field(default_factory=dict)

    def bind(self, raw: object) -> dict[str, object]:
        """The values of the arguments of a call; BadInput where they are at fault."""
        if self.more:
            return bind_chosen(self.name, self.params[0], self.more, raw)
        return bind(self.name, self.params, raw)

    @property
    def all_params(self) -> tuple[Param, ...]:
        """Every parameter that some call takes, each once; none of `more` is taken by all."""
        found = {
            param.name: replace(param, required=False)
            for params in self.more.values()
            for param in params
        }
        return (*self.params, *found.values())


def _optional_channel(desk: FrontDesk, name: str | None) -> str | None:
    return None if name is None else the_channel(desk, name).channel_id


def _analyze(desk: FrontDesk, args: Mapping[str, Any]) -> Outcome:
    channel_id = _optional_channel(desk, args["channel_id"])
    return HandOn("flow-analyzer", lambda i, to, by: AnalyzeNow(i, to, by, channel_id))


def _set_fee(desk: FrontDesk, args: Mapping[str, Any]) -> Outcome:
    ppm, force = args["fee_ppm"], args["force"]
    channel_id = the_channel(desk, args["channel_id"]).channel_id
    config = desk.book().config
    if ppm is not None and not force and not config.min_fee_ppm <= ppm <= config.max_fee_ppm:
        raise BadInput(
            f"fee_ppm {ppm} lies outside {config.min_fee_ppm}..{config.max_fee_ppm}"
            " (min_fee_ppm..max_fee_ppm); add force=true to set it all the same"
        )
    return HandOn(
        "fee-controller", lambda i, to, by: SetFeeByHand(i, to, by, channel_id, ppm, force)
    )


def _fee_debug(desk: FrontDesk, args: Mapping[str, Any]) -> Outcome:
    channel_id = _optional_channel(desk, args["channel_id"])
    return HandOn("fee-controller", lambda i, to, by: ExplainFees(i, to, by, channel_id))


def _wake_all(desk: FrontDesk, args: Mapping[str, Any]) -> Outcome:
    return HandOn("fee-controller", WakeAll)


CHANNEL = Param("channel_id", values.channel_name("channel_id"))

COMMANDS: tuple[RpcCommand, ...] = (
    RpcCommand(
        "revenue-status",
        "Health of the plugin, totals of forwards, state of every channel.",
        lambda desk, args: status(desk),
    ),
    RpcCommand(
        "revenue-hive-status",
        "Whether this node works in a fleet, and which fleet features are in use.",
        lambda desk, args: hive_status(desk),
    ),
    RpcCommand(
        "revenue-config",
        "get, set, reset, list or list-mutable: settings, with where each comes from.",
        settings.run,
        settings.PARAMS,
    ),
    RpcCommand(
        "revenue-analyze",
        "Analyse the flow of one channel, or of all, now.",
        _analyze,
        (CHANNEL,),
    ),
    RpcCommand(
        "revenue-set-fee",
        "Pin the fee of a channel by hand; 'auto' gives it back to the controller.",
        _set_fee,
        (
            Param("channel_id", values.channel_name("channel_id"), required=True),
            Param("fee_ppm", values.ppm_or_auto("fee_ppm", PPM_MOST), required=True),
            Param("force", values.flag("force"), default=False),
        ),
    ),
    RpcCommand(
        "revenue-fee-debug",
        "Why each channel has its fee: the last decision with all that went into it.",
        _fee_debug,
        (CHANNEL,),
    ),
    RpcCommand(
        "revenue-wake-all",
        "Let every held draw go and decide the fees of all channels anew, now.",
        _wake_all,
    ),
    RpcCommand(
        "revenue-rebalance",
        "Move sats between channels: a search now, the best move into a channel, or one by hand.",
        rebalance.run,
        rebalance.PARAMS,
    ),
    RpcCommand(
        "revenue-rebalance-debug",
        "Every candidate pair with its arithmetic and verdict; budget, reservations, breakers.",
        rebalance.explain,
        (rebalance.CHANNEL,),
    ),
    RpcCommand(
        "revenue-clear-reservations",
        "Release the budget of jobs that are proven ended, and name what stays reserved.",
        rebalance.clear,
    ),
    RpcCommand(
        "revenue-policy",
        "What holds for a peer: set, get, list, delete, tag, untag, find, batch, changes, suggest.",
        policy.run,
        policy.PARAMS,
        policy.MORE,
    ),
    RpcCommand(
        "revenue-report",
        "Reports: summary, peer, channel, costs, policies, hive, reconcile, rebalances, shadow.",
        reports.run,
        reports.PARAMS,
        reports.MORE,
    ),
    RpcCommand(
        "revenue-dashboard",
        "How the node does: net worth, profit, margin, return, and the channels that bleed.",
        reports.dashboard,
        (reports.WINDOW, reports.FORMAT),
    ),
    RpcCommand(
        "revenue-profitability",
        "What each channel earned, cost and contributed; with a channel, that one in full.",
        reports.profitability,
        (reports.CHANNEL, reports.FORMAT),
    ),
    RpcCommand(
        "revenue-history",
        "Lifetime figures, closed channels, and the newest daily snapshots.",
        reports.history,
        (reports.FORMAT,),
    ),
    RpcCommand(
        "revenue-capacity-report",
        "Where capital is worth more, and where it is idle; advice only.",
        reports.capacity,
    ),
    RpcCommand(
        "revenue-cleanup-closed",
        "Archive closed channels whose costs are final; does so by itself every hour as well.",
        reports.cleanup,
    ),
    RpcCommand(
        "revenue-clboss-status",
        "Whether CLBoss is here, what it leaves alone and for whom, and which fees it reverted.",
        clboss.status,
    ),
    RpcCommand(
        "revenue-ignore",
        "Tell CLBoss to leave a peer alone altogether; our own policy is unchanged.",
        clboss.ignore,
        (clboss.PEER, clboss.REASON),
    ),
    RpcCommand(
        "revenue-unignore",
        "Take revenue-ignore back: CLBoss may manage the peer again.",
        clboss.unignore,
        (clboss.PEER,),
    ),
    RpcCommand(
        "revenue-list-ignored",
        "List the peers that CLBoss was told to leave alone by revenue-ignore.",
        clboss.list_ignored,
    ),
    RpcCommand(
        "revenue-remanage",
        "Give one tag of a peer, or all that were ordered from here, back to CLBoss.",
        clboss.remanage,
        (clboss.PEER, clboss.TAG),
    ),
    RpcCommand(
        "revenue-import",
        "Take policies, earnings, costs and history from the earlier plugin's database, once.",
        exchange.run_import,
        exchange.IMPORT,
    ),
    RpcCommand(
        "revenue-export",
        "Write ledger, forwards or fee decisions to a new file inside the node's directory.",
        exchange.run_export,
        exchange.EXPORT,
    ),
)
