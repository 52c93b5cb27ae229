"""Python-syntax configuration files: read as data, merged with their bases, never executed.

Rules
-----
* Every top-level name is a setting, but a name that begins with ``_`` is a local variable
  of its file.
* ``_base_`` names one file or several, relative to the file itself, or packaged presets.
  Bases are laid over each other in that order, each base after its own bases, and the file
  over all of them: dicts merge key by key, ``_delete_=True`` inside a dict replaces instead.  A base that is
  reached along two ways counts once, at its first place.
* Settings of the bases can be used as names, and as ``_base_.data.image_size``.
* A name that is no setting but is used by another expression is a variable too (``lr = 1e-4``,
  then ``optimizer = dict(lr=lr)``).
* Within one file a name works as in Python: the last assignment wins and earlier ones
  leave no trace.  Only what stands at the end is merged into the bases.  So ``runner =
  dict(max_iters=300)`` appended to a file keeps what the *bases* say about ``runner``, and
  drops what this file said about it before.
"""

import ast
import os
from collections.abc import Collection
from pathlib import Path
from typing import TypeGuard

from diffbev_engine.config.expressions import BASE, Expressions
from diffbev_engine.config.presets_index import find_preset
from diffbev_engine.config.refused import refuse
from diffbev_engine.config.source import parse_syntax, read_text, refuse_other_formats
from diffbev_engine.config.values import Entry, Origin, Value, collection, merge, plain
from diffbev_engine.core.errors import UsageError

_MAX_CHAIN = 30


def parse_config(path: Path, known: Collection[str] | None = None) -> Value:
    """Read a configuration file and all its bases into one dict of settings.

    Top-level names outside ``known`` that other expressions use are variables and are skipped.

    Raises:
        UsageError: naming file and line, if anything is missing, unreadable or not data.
    """
    layers = _Layers()
    config = _stack(list(layers.of(path, []).values()), Origin(str(path)))
    assert isinstance(config.data, dict)
    variables = set() if known is None else layers.used - set(known)
    settings = {name: entry for name, entry in config.data.items() if name not in variables}
    return collection(settings, config.where)


def config_files(path: Path) -> list[Path]:
    """The file and all its bases, the last one over the others.

    Raises:
        UsageError: as ``parse_config``.
    """
    return list(_Layers().of(path, []))


def parse_literal(text: str, origin: Origin) -> Value:
    """Evaluate one expression without any names, as ``--set key=value`` has on its right.

    Raises:
        UsageError: if ``text`` is not a literal.
    """
    module = parse_syntax(text.strip(), origin.source)
    match module.body:
        case [ast.Expr(value=expression)]:
            return Expressions(origin.source, {}, lines=False).value(expression)
    raise origin.error(f"{text!r} is not one value.")


class _Layers:
    """The files behind a configuration in the order in which they are laid over each other."""

    def __init__(self) -> None:
        self._known: dict[Path, dict[Path, Value]] = {}
        self.used: set[str] = set()
        """Names that expressions of the files refer to."""

    def of(self, path: Path, chain: list[Path]) -> dict[Path, Value]:
        """Own settings of ``path`` (last) and of every base, by resolved path.

        ``chain`` holds the files that led here.
        """
        resolved = _resolve(path)
        if resolved not in self._known:
            text = read_text(path)
            module = parse_syntax(text, str(path))
            refuse_other_formats(module, text, path)
            self.used |= {node.id for node in ast.walk(module) if _is_read(node)}
            chain = [*chain, path]
            layers: dict[Path, Value] = {}
            for base, origin in _bases(module, path):
                _check_chain(base, chain, origin)
                layers.update(self.of(base, chain))  # a file that is there already keeps its place
            layers[resolved] = _own_settings(module, path, _stack(list(layers.values()), Origin(str(path))))
            self._known[resolved] = layers
        return self._known[resolved]


def _stack(layers: list[Value], where: Origin) -> Value:
    merged = collection({}, where)
    for layer in layers:
        merged = merge(merged, layer)
    return merged


def _own_settings(module: ast.Module, path: Path, bases: Value) -> Value:
    """What ``path`` itself assigns; names of ``bases`` may be used in it."""
    source = str(path)
    assert isinstance(bases.data, dict)
    names: dict[str, Entry] = {BASE: Entry(bases, bases.where), **bases.data}
    own: dict[str, Entry] = {}
    expressions = Expressions(source, names)
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]):
                _check_underscores(name, Origin(source, statement.lineno))
                if name != BASE:
                    own[name] = Entry(expressions.value(statement.value), Origin(source, statement.lineno))
                    names[name] = own[name]
            case ast.Expr(value=ast.Constant(value=str())):
                pass  # a string that stands alone is a comment
            case ast.Assign():
                raise Origin(source, statement.lineno).error("an assignment has one plain name on its left.")
            case ast.Expr(value=expression):
                raise refuse(expression, Origin(source, statement.lineno))
            case _:
                raise refuse(statement, Origin(source, statement.lineno))
    settings = {name: entry for name, entry in own.items() if not name.startswith("_")}
    return collection(settings, Origin(source))


def _is_read(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


def _check_underscores(name: str, origin: Origin) -> None:
    """Local variables are free, but one that looks like a misspelt keyword would be lost in silence."""
    if name != BASE and name.startswith("_") and name.strip("_") in ("base", "bases", "delete"):
        raise origin.error(
            f"{name} has no meaning here; it is {BASE} = [...] at the top level, or _delete_=True in a dict."
        )


def _bases(module: ast.Module, path: Path) -> list[tuple[Path, Origin]]:
    """The files named by ``_base_``, each with the place that names it."""
    found = [
        statement
        for statement in module.body
        if isinstance(statement, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == BASE for target in statement.targets)
    ]
    if not found:
        return []
    if len(found) > 1:
        raise Origin(str(path), found[1].lineno).error(f"{BASE} is assigned twice; make it one list.")
    value = Expressions(str(path), {}).value(found[0].value)
    items = value.data if isinstance(value.data, list | tuple) else [value]
    bases = []
    for item in items:
        if not isinstance(item.data, str):
            raise item.where.error(
                f"{BASE} is a path in quotes or one flat list of them, found {plain(item)!r} in it."
            )
        base = _shown(path.parent / item.data)
        if not _is_file(base):
            preset = find_preset(item.data)
            if preset is None:
                raise item.where.error(f"{BASE} refers to {item.data!r}, but {base} does not exist.")
            base = preset
        bases.append((base, item.where))
    return bases


def _check_chain(base: Path, chain: list[Path], origin: Origin) -> None:
    resolved = [_resolve(path) for path in chain]
    if _resolve(base) in resolved:
        circle = [*chain[resolved.index(_resolve(base)) :], base]
        raise origin.error(f"circular {BASE}: {' -> '.join(map(str, circle))}. Remove one of them.")
    if len(chain) > _MAX_CHAIN:
        raise origin.error(f"more than {_MAX_CHAIN} files, each the base of the one before; merge some.")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False  # a name that no file can have


def _resolve(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a circle of links
        raise UsageError(f"{path}: cannot be read: {error}.") from None


def _shown(path: Path) -> Path:
    """``path`` without its ``..``, where links on the way do not make that another file."""
    short = Path(os.path.normpath(path))
    try:
        return short if short.samefile(path) else path
    except (OSError, ValueError):
        return short
