"""The UI's own tree: what is shown is worked out below, without a screen."""

import ast
from pathlib import Path

TUI = Path(__file__).parents[3] / "diffbev_tui"
LAYERS = ["i18n", "core", "themes", "widgets", "panes", "later", "stack", "app", "served", "main"]
ROOMS = {"core", "runs", "runbook", "workspace", "findings"}
"""Of the engine, those that import nothing heavy."""
MODULES = sorted(TUI.rglob("*.py"))


def _imports(path: Path, *, typing_only: bool) -> set[str]:
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not typing_only:
            skipped.update(id(inner) for inner in ast.walk(node))
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_a_part_of_the_ui_imports_only_what_lies_below():
    owners = {path: path.relative_to(TUI).parts[0].removesuffix(".py") for path in MODULES}
    assert set(LAYERS) <= set(owners.values())
    for path, own in owners.items():
        if own == "__init__":
            continue
        for module in _imports(path, typing_only=False):
            parts, says = module.split("."), f"{path.relative_to(TUI)} must not import {module}"
            if parts[0] == "diffbev_tui" and len(parts) > 1:
                assert parts[1] == own or LAYERS.index(parts[1]) < LAYERS.index(own), says
            if parts[0] == "diffbev_engine" and len(parts) > 1:
                assert parts[1] in ROOMS, says
                assert parts[:3] != ["diffbev_engine", "findings", "prediction"], says
            if own in ("core", "i18n"):
                assert parts[0] not in ("textual", "textual_image"), says
