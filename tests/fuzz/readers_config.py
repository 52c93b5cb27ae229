"""Configurations, and the files of a workspace."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.reader import Reader, check_shown
from tests.fuzz.readers_runs import CASES

_CONFIG = b"""_base_ = ['baseline/lss_swin_nuscenes.py']
lr = 1e-4
size = (64, 96)
optimizer = dict(lr=lr * 2, **{'weight_decay': 0.01})
data = dict(samples_per_gpu=2, image_size=size, cameras='front', _delete_=False)
runner = dict(max_iters=300 // 2 + 1)
model = {'backbone': {'pretrained': None}} | dict()
"""
_WORKSPACE = """format = 1
engine = "0.2.0"
nuscenes_root = "/data/nuScenes"
data_root = "/data/prepared"
demo = false
[notify]
urls = ["ntfy://ntfy.sh/topic"]
events = ["failed"]
language = "en"
[runs]
folders = ["/scratch/runs"]
[files]
"configs/a.py" = "abc"
"""
_RUNBOOK = """[[phase]]
id = "7"
title = { zh = "消融", en = "Ablation" }
[[phase.step]]
id = "7.1"
title = "Train without depth"
run = "bash scripts/ablation.sh"
after = ["3.2"]
inputs = ["configs/*.py"]
checks = [{ type = "path_exists", path = "runs/a/best_mIoU.pth" }, { type = "output_lacks", texts = ["a"] }]
[[step]]
id = "1.9"
phase = "1"
title = "More"
run = "true"
[[problem]]
id = "mine"
title = "Own"
logs = ["CUDA error"]
explanation = "e"
[[problem.remedy]]
text = "t"
command = "diffbev-engine runs list"
"""


def _read_config(path: Path) -> None:
    from diffbev_engine.config.load import dump_config, load_settings
    from diffbev_engine.core.errors import UsageError
    from diffbev_engine.runbook.files import settings_of

    try:
        dump_config(load_settings(path))
    except UsageError:
        settings_of(path)
        raise


def _config_seeds() -> Sequence[bytes]:
    found = sorted((CASES / "configs").glob("*.py")) if CASES.is_dir() else []
    return [_CONFIG, b"a = 1\n", *(path.read_bytes()[:2048] for path in found)]


def _read_workspace(path: Path) -> None:
    from diffbev_engine.core.errors import DiffBEVError
    from diffbev_engine.runbook.workspace_paths import find_roots
    from diffbev_engine.runs.notify import notify_settings
    from diffbev_engine.workspace.workspace import load_workspace

    errors = []
    for read in (find_roots, load_workspace, lambda folder: notify_settings(folder / path.name)):
        try:
            read(path.parent)
        except DiffBEVError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _read_runbook(path: Path) -> None:
    from diffbev_engine.runbook.load import load_runbook
    from diffbev_engine.runbook.present import runbook_json
    from diffbev_engine.runbook.workspace_paths import WorkspacePaths

    roots = WorkspacePaths(path.parent, path.parent)
    runbook = load_runbook(roots)
    added = [step for phase in runbook.phases if phase.source for step in phase.steps]
    json.dumps(runbook_json(runbook, roots, added))
    for step in added:
        assert "/" not in step.id
        check_shown(step.id, step.title.zh, step.title.en, *(block.run for block in step.commands))
        check_shown(*(text for check in step.checks for text in (check.describe(roots).en,)))
    for problem in runbook.problems:
        check_shown(problem.id, problem.title.en)


def _read_state(path: Path) -> None:
    """As ``runbook status`` does."""
    from diffbev_engine.runbook.load import packaged_runbook
    from diffbev_engine.runbook.present import state_json, state_line
    from diffbev_engine.runbook.state import StateStore
    from diffbev_engine.runbook.view import StepView
    from diffbev_engine.runbook.workspace_paths import WorkspacePaths

    records = StateStore(WorkspacePaths(path.parents[1], path.parents[1])).read()
    phase = packaged_runbook().phase("2")
    step = phase.steps[0]
    for record in records.values():
        view = StepView(step, phase, record)
        json.dumps(state_json(view))
        check_shown(state_line(view, "en"), record.log, record.command, *record.lines, record.problem)
        check_shown(*(text for one in record.checks for text in (one.description.en, one.detail.en)))


def _state_seeds() -> Sequence[bytes]:
    from diffbev_engine.core.bilingual import Bilingual
    from diffbev_engine.runbook.record import CheckRecord, StepRecord, StepState
    from diffbev_engine.runs.process import identify

    text = Bilingual("因为", "because")
    record = StepRecord(
        **{"state": StepState.FAILED, "reason": text, "started": 1.7e9, "finished": 1.8e9, "seconds": 5.0},
        **{"exit_code": 1, "command": "true", "chosen": 0, "log": "a.log", "lines": ("x",), "problem": "p"},
        **{"checks": (CheckRecord(text, False, text),), "inputs": {"configs/a.py": "sha:1"}},
        process=identify(),
    )
    return [json.dumps({"version": 1, "steps": {"2.4": record.to_json()}}).encode()]


def _read_preferences(path: Path) -> None:
    from diffbev_tui.preferences import read_preferences

    read_preferences(path)


_PREFERENCES = b'language = "zh"\ntheme = "nord"\npace = 1.0\nsmoothing = -1.0\ngraphics = "blocks"\n'

READERS = (
    Reader("configuration", "config.py", _config_seeds, _read_config, cheap=False),
    Reader("workspace.toml", "workspace.toml", lambda: [_WORKSPACE.encode()], _read_workspace),
    Reader("runbook.toml", "runbook.toml", lambda: [_RUNBOOK.encode()], _read_runbook, cheap=False),
    Reader("runbook_state.json", ".diffbev/runbook_state.json", _state_seeds, _read_state, form="json"),
    Reader("preferences.toml", "preferences.toml", lambda: [_PREFERENCES], _read_preferences),
)
