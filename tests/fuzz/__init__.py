"""Readers of files from outside, given damaged and hostile ones: ``python -m tests.fuzz --help``."""
