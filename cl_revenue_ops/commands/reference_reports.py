"""What the reference page says of the reports."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.commands.reference_text import CommandText

_REPORTER = (
    "By the Reporter from the Accountant's totals, whatever the window; balances are read from the"
    " node for it. Field by field: [reports.md](../specs/reports.md)."
)
_FORMAT = "json, or text: tables that `lightning-cli` prints as they are"
_NO_BOOKS = "the books or the channels are not there yet: a result with `error`"

REPORT_TEXTS: Mapping[str, CommandText] = {
    "revenue-report": CommandText(
        "`summary` (also without a type): net worth, operating margin, counts of channels, lifetime"
        " figures, counts of policies. `peer`: its `policy`, `profitability` of all its channels as"
        " one, `flow_state`, `channels` and `closed_channels`. `channel`: the same of one channel,"
        " open or closed, with every on-chain cost. `costs`: `opening_costs`, `closure_costs`,"
        " `splice_costs`, `rebalance_costs`, each `last_24h_sats`, `last_7d_sats`,"
        " `last_30d_sats`, `total_sats`. `policies`, `hive`: what holds for peers. `reconcile`:"
        " `rows` of the books beside the node with `remainder_msat`, `balanced`, `in_words`."
        " `rebalances`: `totals` and, for each job, what it promised, what it brought, whether"
        " it has `paid`, and whether rebalancing has `suspended` itself ([rebalancing.md]"
        "(../specs/rebalancing.md))."
        " `shadow`: what the fees decided on would have done beside those in force, with an 80 %"
        " interval; field by field: [api.md](../specs/api.md).",
        _REPORTER + " `shadow` by the FeeController, one comparison at a time; `rebalances` by the"
        " Rebalancer.",
        {
            "report_type": "summary, peer, channel, costs, policies, hive, reconcile, rebalances or"
            " shadow",
            "format": f"all but shadow: {_FORMAT}",
            "peer_id": "peer: a node id",
            "channel_id": "channel: by any of its names, closed ones too",
            "window_days": "shadow: how many days to look back, 1 to 31; rebalances: jobs begun"
            " within so many days, 1 to 3650, without it all",
        },
        (
            "another report, a channel that there never was: -32602",
            _NO_BOOKS,
            "another comparison is under way: a result with `error`",
        ),
        (
            "revenue-report",
            "revenue-report costs format=text",
            "revenue-report channel 900000x12x0",
            "revenue-report reconcile format=text",
            "revenue-report rebalances window_days=30 format=text",
            "revenue-report shadow window_days=14",
        ),
    ),
    "revenue-dashboard": CommandText(
        "`financial_health` (`tlv_sats` net worth, `net_profit_sats`, `operating_margin_pct`,"
        " `annualized_roc_pct`, and by how much the net worth changed), `period` (revenue, every"
        " kind of cost, forwards, volume), `warnings` in words, `bleeder_count` and"
        " `bleeder_warnings`: channels into which rebalances cost more than they earned on both"
        " sides, with `estimated_loss_sats`, `spent`, `earned`. `covers` says of which days"
        " anything is known; rates divide by those. Net worth is null, with the reason, while the"
        " node does not tell its balances.",
        _REPORTER,
        {
            "window_days": "1 to 3650: whole days in UTC before today, and today so far",
            "format": _FORMAT,
        },
        ("a window out of range: -32602", _NO_BOOKS),
        ("revenue-dashboard", "revenue-dashboard 7", "revenue-dashboard 90 format=text"),
    ),
    "revenue-profitability": CommandText(
        "`summary`, `channels_by_class` (profitable, break_even, underwater, stagnant_candidate,"
        " zombie), `channels` flat, `rankings`, all of open channels over their lives. Net is"
        " revenue less costs. What others earned with traffic that came in by a channel counts for"
        " its class and stands beside it; it adds up to no total. With a channel: `profitability`"
        " of it in full, closed ones too.",
        _REPORTER,
        {
            "channel_id": "a channel by any of its names; without it all open channels",
            "format": _FORMAT,
        },
        ("a channel that there never was: -32602", _NO_BOOKS),
        (
            "revenue-profitability",
            "revenue-profitability format=text",
            "revenue-profitability 900000x12x0",
        ),
    ),
    "revenue-history": CommandText(
        "`lifetime_revenue_sats`, the four kinds of costs, `lifetime_net_profit_sats`,"
        " `lifetime_roi_percent`, `lifetime_forward_count`, closed channels included;"
        " `closed_channels_summary`; `snapshots`: the newest 30 days, each with net worth at its"
        " end. A day whose end nobody saw has null balances and says so.",
        _REPORTER,
        {"format": _FORMAT},
        (_NO_BOOKS,),
        ("revenue-history", "revenue-history format=text"),
    ),
    "revenue-capacity-report": CommandText(
        "`mempool_recommendation` (begins with HOLD, PROCEED or UNKNOWN), `winners` (where more"
        " capital would earn), `losers` (where it is idle or lost, with what closing costs by the"
        " node's estimate, null where it has none), `recommendations` in words. Each with"
        " `value_ppm`, what a sat of stock is worth there, and `evidence_days`. Advice only:"
        " nothing is done.",
        _REPORTER,
        refusals=(_NO_BOOKS,),
        examples=("revenue-capacity-report",),
    ),
    "revenue-cleanup-closed": CommandText(
        "`archived` (how many now), `cleaned` (always 0: nothing is deleted), `channels` (their"
        " records), `waiting` (closed, but on-chain costs are not final), `errors`, and a `message`"
        " where there was nothing to do. Again it changes nothing.",
        _REPORTER,
        refusals=("the channels have not been read yet: a result with `error`",),
        examples=("revenue-cleanup-closed",),
    ),
}
