"""Settings that differ between two starts of a run. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """One setting and its two values."""

    key: str
    """Such as ``optimizer.lr``."""
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key}: {_brief(self.old)} → {_brief(self.new)}"


def _brief(value: Any) -> str:
    """A value in a few words; a whole group of settings is not spelled out."""
    return "dict(…)" if isinstance(value, Mapping) else str(value)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Every setting that differs; a setting that one of them does not have counts as ``None``."""
    return _changes(old, new, "")


def _changes(old: Any, new: Any, key: str) -> list[Change]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = dict.fromkeys([*old, *new])
        return [
            change
            for name in names
            for change in _changes(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
        ]
    return [] if old == new else [Change(key, old, new)]
