"""Optional packages: found without importing them, named with the command that installs them.

Which versions are needed is told by the metadata of this package, which come from ``pyproject.toml``.
"""

import importlib.util
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from typing import TYPE_CHECKING, NamedTuple

from diffbev_engine.core.errors import UsageError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_THIS = "diffbev"


class Lack(NamedTuple):
    """A package that is absent or too old."""

    package: str
    wanted: str = ""
    """As in ``>=1.2``."""
    found: str = ""
    """The version that is installed; empty if none is."""

    def __str__(self) -> str:
        """As in "onnx", or "onnx>=1.16 (1.2 is installed)"."""
        return f"{self.package}{self.wanted} ({self.found} is installed)" if self.found else self.package


def lacking(packages: Sequence[str], extra: str) -> list[Lack]:
    """Those of ``packages`` that are not installed, or older than ``extra`` asks for.

    Args:
        packages: Names by which they are imported, and by which the extra asks for them.
        extra: The extra that installs them.
    """
    wanted, providers = _wanted(extra), packages_distributions()
    lacks = []
    for name in packages:
        if importlib.util.find_spec(name) is None:
            lacks.append(Lack(name))
        elif name in wanted and name in providers:
            found = version(providers[name][0])  # onnxruntime-gpu, say, for onnxruntime
            if not wanted[name].specifier.contains(found, prereleases=True):
                lacks.append(Lack(name, str(wanted[name].specifier), found))
    return lacks


def pip_command(extra: str) -> str:
    """What installs the packages of ``extra``."""
    return f'pip install "{_THIS}[{extra}]"'


def require(purpose: str, packages: Sequence[str], extra: str) -> None:
    """Refuse to go on without ``packages``, which the extra of that name installs.

    Raises:
        UsageError: with the pip command.
    """
    if lacks := lacking(packages, extra):
        raise UsageError(f"{purpose} needs {', '.join(map(str, lacks))}: {pip_command(extra)}.")


def _wanted(extra: str) -> "dict[str, Requirement]":
    """What ``extra`` asks for, by package; nothing is known of a source tree that is not installed."""
    from packaging.requirements import Requirement

    try:
        listed = requires(_THIS) or []
    except PackageNotFoundError:
        return {}
    plain, all_of_it = (
        {each.name: each for each in map(Requirement, listed) if _applies(each, name)} for name in ("", extra)
    )
    return {name: each for name, each in all_of_it.items() if each != plain.get(name)}


def _applies(requirement: "Requirement", extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
