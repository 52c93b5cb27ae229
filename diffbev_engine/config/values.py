"""Values of a configuration that know where they were written, and how two of them merge.

Values are never changed in place, so one value may be part of several others.
"""

from dataclasses import dataclass

from diffbev_engine.core.errors import UsageError

DELETE_KEY = "_delete_"
"""``_delete_=True`` inside a dict replaces the dict below it instead of merging into it."""

_MAX_DEPTH = 50
MAX_SIZE = 10_000
"""Values that one list, tuple, dict or file may hold."""

Scalar = bool | int | float | str | None


@dataclass(frozen=True)
class Origin:
    """The place of a value: a file as the user would name it and a line, or an override."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"

    def error(self, message: str) -> UsageError:
        """A usage error that begins with this place."""
        return UsageError(f"{self}: {message}")


@dataclass(frozen=True)
class Entry:
    """One key of a dict, or one top-level name: its value and where the key was written."""

    value: "Value"
    where: Origin


@dataclass(frozen=True)
class Value:
    """A number, string, bool, ``None``, list, tuple or dict, and where it was written."""

    data: "Scalar | list[Value] | tuple[Value, ...] | dict[str, Entry]"
    where: Origin
    size: int = 1
    """Values inside, this one included."""
    depth: int = 0
    """Levels of lists, tuples and dicts."""


def collection(data: "list[Value] | tuple[Value, ...] | dict[str, Entry]", where: Origin) -> Value:
    """A list, tuple or dict.

    Raises:
        UsageError: if it is nested too deeply or has too many parts, as a few lines that
            repeat each other can build.
    """
    parts = [entry.value for entry in data.values()] if isinstance(data, dict) else list(data)
    size = 1 + sum(part.size for part in parts)
    depth = 1 + max((part.depth for part in parts), default=0)
    if depth > _MAX_DEPTH:
        raise where.error(f"nested more than {_MAX_DEPTH} levels deep; write it flatter.")
    if size > MAX_SIZE:
        raise where.error(f"more than {MAX_SIZE} values in one list, tuple, dict or file; shorten it.")
    return Value(data, where, size, depth)


def plain(value: Value) -> object:
    """The value as ordinary Python objects, without places."""
    data = value.data
    if isinstance(data, dict):
        return {key: plain(entry.value) for key, entry in data.items()}
    if isinstance(data, list):
        return [plain(item) for item in data]
    if isinstance(data, tuple):
        return tuple(plain(item) for item in data)
    return data


def merge(below: Value | None, above: Value) -> Value:
    """Lay ``above`` over ``below``: dicts merge key by key, anything else replaces.

    A dict with ``_delete_=True`` replaces too.  The result holds no ``_delete_``.
    """
    if not isinstance(above.data, dict):
        return above
    merged: dict[str, Entry] = {}
    replaces = _replaces(above.data)
    if below is not None and isinstance(below.data, dict) and not replaces:
        merged.update(below.data)
    for key, entry in above.data.items():
        if key != DELETE_KEY:
            old = merged[key].value if key in merged else None
            merged[key] = Entry(merge(old, entry.value), entry.where)
    return collection(merged, above.where)


def _replaces(data: dict[str, Entry]) -> bool:
    entry = data.get(DELETE_KEY)
    if entry is None:
        return False
    if not isinstance(entry.value.data, bool):
        raise entry.where.error(f"{DELETE_KEY} is either True or False.")
    return entry.value.data
