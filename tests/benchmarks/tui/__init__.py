"""What the terminal UI promises about speed and memory, measured: ``python -m tests.benchmarks.tui``."""
