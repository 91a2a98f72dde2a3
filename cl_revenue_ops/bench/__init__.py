"""The bench: fee policies on the same drawn markets, against what no policy can beat."""
