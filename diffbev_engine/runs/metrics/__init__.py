"""``metrics.csv``: its rows, dialects of other programs, reading while it grows, writing, integrity."""
