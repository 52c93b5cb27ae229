"""The configuration files that come with the package, and finding a file by path or preset name."""

import ast
import difflib
from collections.abc import Iterator
from pathlib import Path

from diffbev_engine.core.errors import UsageError

PRESETS_DIR = Path(__file__).with_name("presets")
"""Same tree as ``configs/`` of a workspace: ``_base_/…`` and one directory per kind of experiment."""


def preset_names() -> list[str]:
    """Presets that can be trained, such as ``baseline/lss_swin_nuscenes.py``; bases are skipped."""
    paths = sorted(path.relative_to(PRESETS_DIR) for path in PRESETS_DIR.rglob("*.py"))
    return [path.as_posix() for path in paths if path.parts[0] != "_base_"]


def setting_keys() -> list[str]:
    """The settings that presets write, as ``data.samples_per_gpu``; read without evaluating anything."""
    found: set[str] = set()
    for path in PRESETS_DIR.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found.update(_keys(node.targets[0].id, node.value))
    return sorted(key for key in found if not key.startswith("_"))


def _keys(name: str, value: ast.expr) -> Iterator[str]:
    """``name``, or for a ``dict(…)`` the names of what is in it."""
    if not (isinstance(value, ast.Call) and value.keywords):
        yield name
        return
    for part in value.keywords:
        yield from _keys(f"{name}.{part.arg}", part.value)


def find_preset(name: str) -> Path | None:
    """The packaged preset called ``name``; ``.py`` may be skipped."""
    for candidate in (name, f"{name}.py"):
        if candidate in preset_names():
            return PRESETS_DIR / candidate
    return None


def find_config(path: str | Path) -> Path:
    """The file at ``path``, else the packaged preset of that name (``.py`` may be skipped).

    Raises:
        UsageError: naming files and presets with similar names, if there is neither.
    """
    wanted = Path(path)
    try:
        if wanted.is_file():
            return wanted
        exists = wanted.exists()
    except (OSError, ValueError):
        exists = False  # a name that no file can have
    if exists:
        raise UsageError(f"{path}: not a file; name a configuration file such as {path}/….py.")
    preset = find_preset(wanted.as_posix())
    if preset is not None:
        return preset
    presets = preset_names()
    near = [*_similar_files(wanted), *_similar_presets(wanted, presets)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(f"{path}: no such file.{hint} Packaged presets: {', '.join(presets)}.")


def _similar_files(wanted: Path) -> list[str]:
    try:
        beside = {entry.name: str(entry) for entry in wanted.parent.iterdir() if entry.suffix == ".py"}
    except (OSError, ValueError):
        return []
    return [beside[name] for name in difflib.get_close_matches(wanted.name, beside, n=2)]


def _similar_presets(wanted: Path, presets: list[str]) -> list[str]:
    stems = {Path(preset).stem: preset for preset in presets}
    return [f"the preset {stems[stem]}" for stem in difflib.get_close_matches(wanted.stem, stems, n=1)]
