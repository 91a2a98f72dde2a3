"""The budget as clients read it: whole satoshis, and msat beside them."""

from __future__ import annotations

from messages.budget import BudgetState


def in_status(state: BudgetState) -> dict[str, object]:
    """The field `budget` of revenue-status; what is spent rounds up, what is left rounds down."""
    return {
        "at": state.at_s,
        "daily_budget_sats": state.configured_msat // 1_000,
        "effective_budget_sats": state.effective_msat // 1_000,
        "daily_spent_sats": -(-state.spent_msat // 1_000),
        "daily_reserved_sats": -(-state.reserved_msat // 1_000),
        "budget_remaining_sats": state.free_msat // 1_000,
        "wallet_reserve_sats": state.wallet_reserve_msat // 1_000,
        "effective_budget_msat": state.effective_msat,
        "spent_msat": state.spent_msat,
        "reserved_msat": state.reserved_msat,
        "remaining_msat": state.free_msat,
        "revenue_msat_per_day": state.revenue_msat_per_day,
        "reservations": [
            {
                "job_id": row.job_id,
                "spender": row.spender,
                "opened_at": row.opened_s,
                "reserved_msat": row.reserved_msat,
                "committed_msat": row.committed_msat,
            }
            for row in state.reservations
        ],
        "trouble": state.trouble,
    }
