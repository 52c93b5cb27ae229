"""``diffbev-tui``: the entry point of the terminal UI."""

import sys

from diffbev_engine.errors import ExitCode


def main() -> None:
    """Say that this version has no screens yet, and what does the work meanwhile."""
    print(
        f"{sys.argv[0]}: this version has no terminal UI yet; everything runs headless. "
        "Start with `diffbev-engine demo`, or see `diffbev-engine --help`.",
        file=sys.stderr,
    )
    sys.exit(ExitCode.FAILED)
