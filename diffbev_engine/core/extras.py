"""Optional packages: found without importing them, named with the command that installs them."""

import importlib.util
from collections.abc import Sequence

from diffbev_engine.core.errors import UsageError


def missing(packages: Sequence[str]) -> list[str]:
    """Those of the importable names that are not installed."""
    return [name for name in packages if importlib.util.find_spec(name) is None]


def pip_command(extra: str) -> str:
    """What installs the packages of ``extra``."""
    return f'pip install "diffbev[{extra}]"'


def require(purpose: str, packages: Sequence[str], extra: str) -> None:
    """Refuse to go on without ``packages``, which the extra of that name installs.

    Raises:
        UsageError: with the pip command.
    """
    absent = missing(packages)
    if absent:
        raise UsageError(f"{purpose} needs {', '.join(absent)}: {pip_command(extra)}.")
