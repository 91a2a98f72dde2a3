"""Reports: what books, channels, policies and flows say to an operator; pure functions."""
