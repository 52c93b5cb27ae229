"""The UI: facts without Textual below, widgets above them, screens apart from each other, the app on top."""

import ast
from pathlib import Path

TUI = Path(__file__).parents[3] / "diffbev_tui"
FACTS = [
    *("i18n", "format", "lines", "run_state", "engine", "log_tail", "alert_log", "run_book", "gpu_history"),
    *("workspace_lock", "detached_process", "run_reports", "snapshot", "poller", "places"),
    *("terminal_graphics", "preferences", "fixes", "tools", "palette", "screen_text"),
    "system_labels",
]
SCREENS = {"runbook", "monitor", "gpu", "memory", "classes", "log", "report", "runs", "welcome"}
LAYERS = [
    *FACTS,
    *("threads", "messages", "themes", "plain_console", "charts", "widgets", "leaving", "palette_commands"),
    "screens",
    *("preload", "switcher", "main_screen", "app", "served", "main"),
]
WITH_TEXTUAL = {
    *("pane", "actions", "checking", "drawing", "choose_runs", "lines", "panel", "sample_view"),
    "chart_grid",
    *("step_detail", "step_dialogs", "step_find", "step_tabs", "plot_view"),
}
"""Modules of a screen or of the charts that are widgets or use them; the others hold facts and texts."""
ROOMS = {"core", "runs", "runbook", "workspace", "findings"}
"""Of the engine, those that import nothing heavy."""
LIGHT = {"diffbev_engine.report.plot_data"}
"""Modules of other rooms that import nothing heavy either."""
MODULES = sorted(TUI.rglob("*.py"))


def _imports(path: Path) -> set[str]:
    """Also those that only types need: a circle is a circle."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def _owner(part: str) -> str:
    return "screens" if part in SCREENS else part


def test_a_part_of_the_ui_imports_only_what_lies_below():
    owners = {path: path.relative_to(TUI).parts[0].removesuffix(".py") for path in MODULES}
    assert {_owner(own) for own in owners.values()} == {*LAYERS, "__init__"}
    for path, own in owners.items():
        if own == "__init__":
            continue
        for module in _imports(path):
            parts, says = module.split("."), f"{path.relative_to(TUI)} must not import {module}"
            if parts[0] == "diffbev_tui" and len(parts) > 1:
                below = LAYERS.index(_owner(parts[1])) < LAYERS.index(_owner(own))
                assert parts[1] == own or below, says
            if parts[0] == "diffbev_engine" and len(parts) > 1:
                assert parts[1] in ROOMS or module in LIGHT, says
                assert parts[:3] != ["diffbev_engine", "findings", "prediction"], says


def test_facts_and_texts_know_no_widgets():
    for path in MODULES:
        own, name = path.relative_to(TUI).parts[0].removesuffix(".py"), path.stem
        if own in FACTS or (own in SCREENS | {"charts"} and name not in WITH_TEXTUAL):
            for module in _imports(path):
                says = f"{path.relative_to(TUI)} must not import {module}"
                assert module.split(".")[0] not in ("textual", "textual_image"), says
                assert not module.startswith("diffbev_tui.widgets"), says


def test_work_off_the_ui_thread_has_one_owner():
    for path in MODULES:
        if path.name not in ("threads.py", "chart_worker.py", "leaving.py"):  # the last ends the process
            for other in ("threading.Thread(", "thread=True", "to_thread(", "call_from_thread("):
                assert other not in path.read_text(), f"{path.relative_to(TUI)}: {other}"


def test_libraries_are_used_by_their_public_names():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = (*node.module.split("."), *(alias.name for alias in node.names))
                private = [name for name in names if name.startswith("_") and not name.startswith("__")]
                assert not private, f"{path.relative_to(TUI)}: {private} of {node.module}"
