"""The outside world behind the ports: lightningd and its notifications."""
