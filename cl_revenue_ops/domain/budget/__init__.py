"""The day's budget of rebalances as pure rules."""
