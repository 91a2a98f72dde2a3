"""The ledger: what happened as postings that sum to zero, and what they add up to."""
