"""cl-revenue-ops: prices, refills and accounts for the liquidity of a Lightning routing node."""
