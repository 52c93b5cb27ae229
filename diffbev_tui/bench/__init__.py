"""What the terminal UI promises about speed and memory, measured: ``python -m diffbev_tui.bench``."""
