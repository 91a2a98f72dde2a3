"""Rebalancing as pure functions: what a refill is worth, what it costs, which ones to make."""
