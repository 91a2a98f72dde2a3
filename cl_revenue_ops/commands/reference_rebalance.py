"""What the reference page says of rebalances."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.commands.reference_text import CommandText

_REBALANCER = "By the Rebalancer, one thing after the other; "
_NOT_READ = "channels, money or budget could not be read: a result with `error`"

REBALANCE_TEXTS: Mapping[str, CommandText] = {
    "revenue-rebalance": CommandText(
        "Without arguments a search now, with one channel the best move into it: `begun` (each with"
        " `job_id`, channels, `amount_sats`, `max_fee_sats`, `expected_profit_sats`), or why"
        " nothing was in `message`, and in `would` what would have been, were writing allowed. With"
        " two channels and an amount that move: `status` initiated, `job_id`, `amount_sats` (a"
        " little less than asked for: by the odd amount of its payments a job is told from all"
        " others), `max_fee_sats`, `candidate` with the arithmetic. It goes on in the background;"
        " `revenue-status` shows it among `running_rebalances`, later among `recent_rebalances`.",
        _REBALANCER + "answered as soon as the jobs are planned and their budget is reserved.",
        {
            "from_channel": "the channel that gives, by any of its names; alone, the one to fill",
            "to_channel": "the channel that is filled",
            "amount_sats": "how much to move at most",
            "max_fee_sats": "the most that all of it may cost; without it, what it is worth",
            "force": "also where it is expected to lose, or a breaker, a policy or a peer that came"
            " back lately says no; never over the budget, the wallet reserve, a pause or a dry run",
        },
        (
            "no such channel, the same one twice, an amount below 1 or above what the channels can"
            " send and receive, a part of the arguments: -32602",
            "not worth it, not allowed now, nothing left of the budget, a job of somebody else on"
            " one of the channels: a result with `error` that says why",
            _NOT_READ,
        ),
        (
            "revenue-rebalance",
            "revenue-rebalance 900000x12x0",
            "revenue-rebalance 900000x12x0 900000x13x1 250000",
            "revenue-rebalance 900000x12x0 900000x13x1 250000 max_fee_sats=100 force=true",
        ),
    ),
    "revenue-rebalance-debug": CommandText(
        "`pairs`: every candidate pair with its arithmetic, `verdict` (move or leave) and `refusal`"
        " in words; `no_destination` and `no_source`: why a channel is neither;"
        " `rejection_reasons`: what keeps anything from being moved now; `capital_controls`: funds,"
        " wallet reserve, budget and `reservations`; `breakers`; `executor` with its version and"
        " all of its jobs; `channels` by balance, with `active_jobs` of ours.",
        _REBALANCER + "it reads money and channels for it, and begins nothing.",
        {"channel_id": "a channel by any of its names: the pairs into it; without it all"},
        ("no such channel: -32602", _NOT_READ),
        ("revenue-rebalance-debug", "revenue-rebalance-debug 900000x12x0"),
    ),
    "revenue-clear-reservations": CommandText(
        "Releases what is reserved for jobs that are proven ended: `cleared_count`,"
        " `released_sats`, `cleared`; `kept` names every other reservation and says why it stays."
        " `budget_available`: what is left of the day's budget, sats.",
        _REBALANCER + "the Accountant releases.",
        {},
        ("the budget could not be read or written: a result with `error`",),
        ("revenue-clear-reservations",),
    ),
}
