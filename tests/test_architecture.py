"""The tree tells the story: a room imports only what lies below it, and the engine no UI."""

import ast
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "diffbev_engine"

# From the bottom up; rooms on one line do not import each other.
LAYERS = [
    {"core"},
    {"settings"},
    {"config", "synth", "nuscenes"},
    {"runs"},
    {"findings"},
    {"prepare", "workspace", "runbook"},
    {"dataset"},
    {"models"},
    {"findings before a run"},
    {"train"},
    {"evaluate"},
    {"report"},
    {"predict"},
    {"export"},
    {"findings.prediction"},
    {"bench", "demo"},
    {"cli"},
    {"__main__"},
]
BEFORE_A_RUN = {"data", "samples", "machine", "storage", "gpu", "gpu_memory", "weights", "plan", "preflight"}
"""Detectors that read data, models or the machine before training; the rest of findings is light."""
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
MODULES = sorted(ENGINE.rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _room(module: str) -> str:
    """``diffbev_engine.train.loop`` is in train; every ``settings`` module is in settings."""
    parts = module.split(".")
    if len(parts) == 1:
        return ""
    if parts[-1] == "settings" and parts[1] != "config":
        return "settings"
    if parts[1:3] == ["findings", "prediction"]:
        return "findings.prediction"
    if parts[1] == "findings" and len(parts) > 2 and parts[2] in BEFORE_A_RUN:
        return "findings before a run"
    return parts[1]


def _engine_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("diffbev_"):
            found.add(node.module)
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.startswith("diffbev_"))
    return found


def test_a_room_imports_only_what_lies_below():
    modules = [path for path in MODULES if path != ENGINE / "__init__.py" and "presets" not in path.parts]
    assert len(modules) > 100
    for path in modules:
        relative = path.relative_to(ROOT).with_suffix("")
        own = _room(".".join(part for part in relative.parts if part != "__init__"))
        for module in _engine_imports(path):
            assert not module.startswith("diffbev_tui"), f"{relative}: the engine never imports the UI"
            other = _room(module)
            allowed = other in ("", own) or LEVEL[other] < LEVEL[own]
            assert allowed, f"{relative}: {own} must not import {module}"


def test_package_files_import_nothing():
    for path in ENGINE.rglob("__init__.py"):
        nodes = ast.walk(_tree(path)) if path.parent != ENGINE else _tree(path).body  # its load() does
        found = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        assert all(isinstance(node, ast.ImportFrom) and node.module == "typing" for node in found), path


def test_functions_fit_a_screen():
    for path in [*MODULES, *(ROOT / "diffbev_tui").rglob("*.py")]:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef) and "cli" not in path.parts:
                length = (node.end_lineno or 0) - node.body[0].lineno + 1
                assert length <= 60, f"{path}: {node.name} has {length} lines"


def test_modules_hold_one_idea():
    for path in MODULES:
        lines = len(path.read_text().splitlines())
        assert lines <= 320, f"{path} has {lines} lines"


def test_only_the_reader_of_gpus_opens_the_driver():
    for path in [*MODULES, *(ROOT / "diffbev_tui").rglob("*.py")]:
        modules = {
            name
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
        }
        owner = path.parent == ENGINE / "core" / "gpu"
        assert owner or "pynvml" not in modules, path


def test_sizes_and_percentages_become_text_in_one_place():
    """Elsewhere a unit follows only what ``core.format`` made of the number."""
    unit = re.compile(r" ?[KMGT]i?B\b| %")
    for path in [*MODULES, *(ROOT / "diffbev_tui").rglob("*.py")]:
        if path == ENGINE / "core" / "format.py" or path.is_relative_to(ENGINE / "bench"):
            continue
        for text in ast.walk(_tree(path)):
            for number, rest in pairwise(text.values if isinstance(text, ast.JoinedStr) else []):
                spec = ast.unparse(number.format_spec or ast.Constant("")) if _is_value(number) else ""
                words = rest.value if isinstance(rest, ast.Constant) else ""
                assert not ("f" in spec[1:] and unit.match(str(words))), f"{path}:{text.lineno}"


def _is_value(part: ast.expr) -> bool:
    return isinstance(part, ast.FormattedValue)


def test_only_the_metrics_modules_take_lines_of_metrics_apart():
    """A second parser would accept other files than the first."""
    for path in [*MODULES, *(ROOT / "diffbev_tui").rglob("*.py")]:
        if path.parent == ENGINE / "runs" / "metrics":
            continue
        nodes = list(ast.walk(_tree(path)))
        near = any(
            (isinstance(node, ast.Attribute) and node.attr == "metrics")
            or (isinstance(node, ast.Constant) and node.value == "metrics.csv")
            for node in nodes
        )
        apart = any(
            (isinstance(node, ast.Attribute) and node.attr in ("reader", "DictReader"))
            or (
                isinstance(node, ast.Attribute)
                and node.attr in ("split", "partition")
                and _by_comma(node, nodes)
            )
            for node in nodes
        )
        assert not (near and apart), f"{path} takes lines of metrics.csv apart"


STATE_FILES = {"run.json", "status.json", "launch.json", "run.lock", "stop.json"}
OWNERS = {ENGINE / "runs" / f"{name}.py" for name in ("manifest", "status", "launch", "lock", "stop_request")}


def test_only_their_owners_decode_the_state_files_of_a_run():
    """Whoever else reads one would have to survive whatever it holds."""
    decoders = {"loads", "load", "decode", "decode_file", "convert", "read_text", "read_bytes"}
    for path in [*MODULES, *(ROOT / "diffbev_tui").rglob("*.py")]:
        if path in OWNERS:
            continue
        for node in ast.walk(_tree(path)):
            if not isinstance(node, ast.Call) or _name(node.func) not in decoders:
                continue
            inside = [inner for argument in (node.func, *node.args) for inner in ast.walk(argument)]
            named = {inner.attr for inner in inside if isinstance(inner, ast.Attribute)}
            written = {inner.value for inner in inside if isinstance(inner, ast.Constant)}
            assert not named & {"manifest", "status", "launch", "lock", "stop_request"}, path
            assert not written & STATE_FILES, path


def test_only_inspect_judges_what_a_run_does_and_how_it_ended():
    for path in [*MODULES, *(ROOT / "diffbev_tui").rglob("*.py")]:
        if path.parent == ENGINE / "runs":
            continue
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Call):
                assert _name(node.func) not in ("RunReport", "RunCondition", "liveness"), path
            if isinstance(node, ast.ImportFrom):
                assert "FINAL_STATES" not in {alias.name for alias in node.names}, path


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _by_comma(method: ast.Attribute, nodes: list[ast.AST]) -> bool:
    return any(
        isinstance(node, ast.Call)
        and node.func is method
        and any(isinstance(given, ast.Constant) and given.value in (",", b",") for given in node.args)
        for node in nodes
    )


def test_there_is_one_finding_and_one_remedy():
    for name in ("Finding", "Remedy"):
        homes = [
            path.relative_to(ROOT)
            for path in [*MODULES, *(ROOT / "diffbev_tui").rglob("*.py")]
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.ClassDef) and node.name.removesuffix("s").endswith(name)
        ]
        assert homes == [Path("diffbev_engine/findings/finding.py")], name


def test_wordings_of_failures_are_in_the_catalogue_alone():
    """A second list of them would know other libraries than the first."""
    telling = (
        "CUDA out of memory",
        "OutOfMemoryError",
        "ALLOC_FAILED",
        "oom_kill event",
        "DefaultCPUAllocator",
    )
    telling += (
        "No space left on device",
        "DataLoader worker (",
        "device-side assert",
        "unable to find an engine",
    )
    for path in [*ENGINE.rglob("*.toml"), *MODULES, *(ROOT / "diffbev_tui").rglob("*.py")]:
        if path.name == "failures.toml":
            continue
        if path.suffix == ".toml":
            text = "\n".join(
                line for line in path.read_text().splitlines() if line.startswith(("logs", "  '"))
            )
        else:
            tree = _tree(path)
            docs = {
                ast.get_docstring(node, clean=False)
                for node in ast.walk(tree)
                if isinstance(node, _DOCUMENTED)
            }
            strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            text = "\n".join(one for one in strings if isinstance(one, str) and one not in docs)
        assert not [words for words in telling if words in text], path


_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
