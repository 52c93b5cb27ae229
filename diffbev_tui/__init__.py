"""The terminal UI of DiffBEV: presentation only, on top of ``diffbev_engine``."""
