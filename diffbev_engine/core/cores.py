"""Processor cores."""

import os


def usable_cores() -> int:
    """The cores that this process may run on, which a job or container can limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
