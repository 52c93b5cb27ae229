"""A workspace of somebody else: no command hands what it holds to the terminal, or into a report."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from diffbev_engine.cli.main import cli
from diffbev_engine.workspace.init import init_workspace
from tests.fuzz.bombs import png
from tests.fuzz.readers_runs import run_files
from tests.processes import PATIENCE_S, engine

EVIL = "E\x1b]52;c;ZXZpbA==\x07\x9b31m\u202eX\x1b[2J\r<script>alert(1)</script>"
_TEXT = {"zh": EVIL, "en": EVIL}
_RECORD = {
    **{"state": "failed", "reason": _TEXT, "started": 1.7e9, "seconds": 5.0, "exit_code": 1, "command": EVIL},
    **{"log": "../../secret", "lines": [EVIL], "problem": EVIL, "inputs": {EVIL: EVIL}},
    "checks": [{"description": _TEXT, "passed": False, "detail": _TEXT}],
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    for folder in ("img_dir/train", "img_dir/val", "ann_bev_dir/train", "ann_bev_dir/val"):
        (root / "nuScenes" / folder).mkdir(parents=True)
    workspace = root / "workspace"
    init_workspace(workspace, root / "nuScenes", demo=True)
    (root / "secret").write_text("a secret")
    for name in ("baseline", EVIL.replace("/", "")):
        _write_run(workspace / "runs" / name)
    state = {"version": 1, "steps": {"2.4": _RECORD, "3.2": _RECORD, EVIL: _RECORD}}
    (workspace / ".diffbev").mkdir(exist_ok=True)
    (workspace / ".diffbev/runbook_state.json").write_text(json.dumps(state))
    evil = json.dumps(EVIL)
    step = f'[[phase]]\nid = "7"\ntitle = {evil}\n[[phase.step]]\nid = "7.1"\ntitle = {evil}\nrun = "true"\n'
    problem = f'[[problem]]\nid = "p"\ntitle = {evil}\nexplanation = {evil}\nlogs = ["CUDA out"]\n'
    (workspace / "runbook.toml").write_text(f"{step}criterion = {evil}\n{problem}")
    plots = workspace / "reports/comparison/plots"
    plots.mkdir(parents=True, exist_ok=True)
    (plots / f"mIoU{EVIL.replace('/', '')}.png").write_bytes(png(4, 4))
    (plots / "secret.png").symlink_to(root / "secret")
    (root / "other.png").write_bytes(png(5, 5))
    (plots / "elsewhere.png").symlink_to(root / "other.png")
    os.mkfifo(plots / "pipe.png")
    return workspace


def _write_run(run: Path) -> None:
    run.mkdir(parents=True, exist_ok=True)
    files = run_files()
    gone = {**files["run.json"]["process"], "host": EVIL, "user": EVIL, "pid": 2**22 - 1}
    for name in ("run.json", "status.json", "stop.json", "failed_start.json"):
        files[name]["process"] = gone
    files["run.lock"] |= {**gone, "command": [EVIL]}
    files["launch.json"] |= {"message": EVIL, "signal": EVIL, "supervisor": gone, "process": gone}
    files["status.json"] |= {"state": "failed", "message": f"CUDA out of memory {EVIL}"}
    files["status.json"] |= {"last_checkpoint": EVIL, "evaluated": EVIL}
    files["run.json"] |= {"config_path": EVIL, "cwd": EVIL, "devices": [EVIL]}
    files["run.json"]["arguments"] |= {"config": EVIL, "overrides": [EVIL]}
    files["failed_start.json"]["message"] = EVIL
    files["labels.json"] |= {"tags": [EVIL], "note": EVIL}
    for name, content in files.items():
        (run / name).write_text(json.dumps(content, default=list))
    (run / "alerts.jsonl").write_text(json.dumps({"time": 1.7e9, "kind": "failed", "message": EVIL}) + "\n")
    (run / "metrics.csv").write_text(f"step,mode,loss,{EVIL.strip()}\n1,train,2,3\n")
    (run / "train_20261128_080000.log").write_text(
        f"RuntimeError: CUDA out of memory. {EVIL}\nerror: {EVIL}\n"
    )
    remedy = {"title": _TEXT, "overrides": [EVIL]}
    report = {"written": 1.8e9, "message": f"CUDA out of memory {EVIL}", "remedies": [remedy]}
    (run / "oom_report.json").write_text(json.dumps(report))


def _is_safe(text: str) -> bool:
    return text.replace("\n", "").replace("\t", "").isprintable()


@pytest.mark.parametrize(
    "command",
    [
        *("runs list {0}", "runs list --json {0}", "runs show {1}", "runs show --json {1}", "runs stop {1}"),
        *("runbook list {0}", "runbook list --json {0}", "runbook status {0}", "runbook status --json {0}"),
        *("runbook check {0}", "runbook check --step 2.4 {0}", "runbook doctor {0}", "runbook doctor {1}"),
        "runbook doctor --json {1}",
    ],
)
def test_commands_print_nothing_that_a_terminal_obeys(workspace, command):
    run = workspace / "runs" / EVIL.replace("/", "")
    for target in (workspace / "runs/baseline", run):
        arguments = [part.format(workspace, target) for part in command.split()]
        result = CliRunner().invoke(cli, arguments)
        assert _is_safe(result.output), ascii(result.output[-2000:])


def test_the_report_holds_no_script_and_no_file_from_elsewhere(workspace):
    result = CliRunner().invoke(cli, ["runbook", "report", str(workspace)])
    assert result.exit_code == 0, result.output
    page, text = (next(workspace.rglob(f"report.{kind}")).read_text() for kind in ("html", "md"))
    assert _is_safe(page)
    assert _is_safe(text)
    assert "<script" not in page
    assert page.count("<img") == 1
    assert "secret.png" not in page + text
    assert "elsewhere.png" not in page + text


def test_an_id_that_leads_out_of_the_workspace_is_refused(workspace, tmp_path):
    (tmp_path / "workspace.toml").write_text((workspace / "workspace.toml").read_text())
    for name in ("../../x", "/x", ".x", "a\u202eb", ""):
        step = f'[[step]]\nphase = "1"\nid = {json.dumps(name)}\ntitle = "t"\nrun = "true"\n'
        (tmp_path / "runbook.toml").write_text(step)
        result = CliRunner().invoke(cli, ["runbook", "list", str(tmp_path)])
        assert "id must be a name" in str(result.exception), name


def test_what_the_program_prints_is_filtered_once_more(tmp_path):
    (tmp_path / EVIL.replace("/", "")).mkdir()
    said, _ = engine("runs", "list", tmp_path / EVIL.replace("/", "")).communicate(timeout=PATIENCE_S)
    assert "no runs in" in said
    assert _is_safe(said)
