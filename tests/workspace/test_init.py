"""``init``: what it writes, and what it never overwrites."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from diffbev_engine.cli.main import cli
from diffbev_engine.config.load import load_settings
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.workspace_paths import find_roots
from diffbev_engine.workspace.content import workspace_files
from diffbev_engine.workspace.init import Outcome, init_workspace
from diffbev_engine.workspace.workspace import (
    BASELINE_CONFIG,
    DIFFBEV_CONFIG,
    RUN_FOLDERS,
    find_workspace,
    load_workspace,
)

DATASET = "configs/_base_/datasets/nuscene.py"
RUNBOOK_FILES = {
    "configs/baseline/lss_swin_nuscenes.py",
    "configs/diffbev/diffbev_lss_swin_nuscenes.py",
    DATASET,
    "scripts/training/run_baseline_nuscenes.sh",
    "scripts/training/run_diffbev_nuscenes.sh",
    "tools/train.py",
    "tools/plot_metrics.py",
    "tools/vis_nuscenes_bev.py",
    "tools/data/prepare_nuscenes_depth_gt.py",
    "tools/debug/check_depth_gt.py",
    "tools/debug/diagnose_segmentation.py",
}
DEMO_LENGTH = (
    "data.samples_per_gpu=1",
    "optimizer.lr=2e-5",
    "runner.max_iters=60",
    "lr_config.warmup_iters=5",
    "checkpoint_config.interval=30",
    "evaluation.interval=60",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "nuScenes"
    path.mkdir()
    return path


@pytest.fixture
def root(tmp_path: Path, data: Path) -> Path:
    init_workspace(tmp_path / "ws", data)
    return tmp_path / "ws"


def test_everything_that_the_runbook_names_is_there(root):
    assert {path for path in RUNBOOK_FILES if not (root / path).is_file()} == set()
    assert all((root / folder).is_dir() for folder in RUN_FOLDERS)


@pytest.mark.parametrize("demo", [False, True])
@pytest.mark.parametrize("name", ["nuScenes", 'it\'s "my" data \\ 数据 $HOME'])
def test_configurations_are_the_presets_with_this_data_root(tmp_path, demo, name):
    data = tmp_path / name
    data.mkdir()
    init_workspace(tmp_path / "ws", data, demo=demo)
    kind = "demo" if demo else "nuscenes"
    for config, preset, weights in (
        (BASELINE_CONFIG, f"baseline/lss_swin_{kind}", "demo/baseline"),
        (DIFFBEV_CONFIG, f"diffbev/diffbev_lss_swin_{kind}", "demo/diffbev"),
    ):
        settings = load_settings(tmp_path / "ws" / config)
        assert settings.data_root == data
        changes = [f"data_root={str(data)!r}", "data.cameras=front", *(DEMO_LENGTH if demo else ())]
        changes += [f"load_from={weights!r}"] if demo else []
        assert settings == load_settings(preset, changes)


def test_the_manifest_is_read_back(root, data):
    workspace = load_workspace(root)
    assert (workspace.root, workspace.nuscenes_root, workspace.demo) == (root, data, False)
    assert workspace.files.keys() == workspace_files(data, demo=False).keys()
    assert find_workspace(root / "tools" / "debug") == workspace
    assert find_workspace(data) is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("format = 1", "newer"),
        ("demo = false", "demo is 'no'"),
        ('engine = "', "not TOML"),
        ("nuscenes_root", "nuscenes_root is missing"),
    ],
)
def test_a_damaged_manifest_is_one_message(root, line, complaint):
    path = root / "workspace.toml"
    broken = {"format = 1": "format = 99", "demo = false": 'demo = "no"', 'engine = "': "engine = ="}
    path.write_text(path.read_text().replace(line, broken.get(line, "other")))
    with pytest.raises(DiffBEVError, match=complaint):
        load_workspace(root)


def test_no_workspace_is_told_how_to_make_one(tmp_path):
    with pytest.raises(UsageError, match=r"diffbev-engine init"):
        load_workspace(tmp_path)


def test_a_second_init_changes_nothing(root, data):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.py")}
    report = init_workspace(root, data)
    assert {file.outcome for file in report.files} == {Outcome.UNCHANGED}
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.py")} == before


def test_a_changed_file_is_kept_and_named_and_the_rest_written(root, data):
    config, tool = root / BASELINE_CONFIG, root / "tools" / "train.py"
    config.write_text(config.read_text() + "seed = 7\n")
    tool.unlink()
    for _ in range(2):  # what was kept is not taken for ours the next time
        report = init_workspace(root, data)
        assert [file.path for file in report.of(Outcome.KEPT)] == [str(BASELINE_CONFIG)]
    assert config.read_text().endswith("seed = 7\n")
    assert tool.is_file()
    assert os.access(tool, os.X_OK)


def test_files_that_are_not_from_init_are_kept(tmp_path, data):
    theirs = tmp_path / "ws" / "tools" / "train.py"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("print('theirs')\n")
    report = init_workspace(tmp_path / "ws", data)
    assert [(file.path, file.news) for file in report.of(Outcome.KEPT)] == [("tools/train.py", True)]
    assert theirs.read_text() == "print('theirs')\n"


def test_another_data_root_reaches_the_files_that_nobody_changed(root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    config = root / BASELINE_CONFIG
    config.write_text(config.read_text() + "seed = 7\n")
    report = init_workspace(root, other)
    assert [file.path for file in report.of(Outcome.UPDATED)] == [DATASET]
    assert load_settings(config).data_root == other
    assert load_workspace(root).nuscenes_root == other


def test_upgrade_shows_both_sides_of_a_file_that_both_changed(root, monkeypatch):
    new = {path: _grown(content) for path, content in workspace_files(root, demo=False).items()}
    monkeypatch.setattr("diffbev_engine.workspace.init.workspace_files", lambda *_args, **_kind: new)
    config = root / BASELINE_CONFIG
    config.write_text(config.read_text() + "seed = 7\n")
    result = CliRunner().invoke(cli, ["init", str(root), "--upgrade"])
    assert result.exit_code == 0, result.output
    assert "kept     configs/baseline/lss_swin_nuscenes.py  +1 -1" in result.output
    assert "\n-seed = 7\n+# new\n" in result.output
    assert "updated  tools/train.py  +1 -0" in result.output
    assert (root / "tools/train.py").read_text().endswith("# new\n")
    assert config.read_text().endswith("seed = 7\n")


def test_upgrade_says_nothing_new_about_what_only_the_user_changed(root):
    config = root / BASELINE_CONFIG
    config.write_text(config.read_text() + "seed = 7\n")
    result = CliRunner().invoke(cli, ["init", str(root), "--upgrade", "--json"])
    kept = [file for file in json.loads(result.output)["files"] if file["outcome"] == "kept"]
    assert [(file["path"], file["news"]) for file in kept] == [(str(BASELINE_CONFIG), False)]


def test_a_workspace_stays_the_kind_it_is(tmp_path, data, root):
    with pytest.raises(UsageError, match="full workspace"):
        init_workspace(root, data, demo=True)
    init_workspace(tmp_path / "demo", data, demo=True)
    with pytest.raises(UsageError, match="demo workspace"):
        init_workspace(tmp_path / "demo", data)
    assert init_workspace(tmp_path / "demo", upgrade=True).workspace.demo


def test_a_path_that_a_shell_would_split_is_pointed_out(tmp_path, data):
    result = CliRunner().invoke(cli, ["init", str(tmp_path / "my ws"), "--nuscenes-root", str(data)])
    assert result.exit_code == 0
    assert f"note: {tmp_path}/my ws" in result.output
    assert f"`diffbev-engine prepare --nuscenes-root {data}`" in result.output


def test_wrong_roots_are_one_message(tmp_path, data):
    with pytest.raises(UsageError, match=f"Did you mean {data}?"):
        init_workspace(tmp_path / "ws", tmp_path / "nuscenes")
    with pytest.raises(UsageError, match="--nuscenes-root DIR is missing"):
        init_workspace(tmp_path / "ws")
    with pytest.raises(UsageError, match="not a workspace"):
        init_workspace(tmp_path / "ws", data, upgrade=True)
    assert not (tmp_path / "ws").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(DiffBEVError, match="cannot write the workspace"):
        init_workspace(tmp_path / "file", data)


def test_a_folder_that_cannot_be_written_names_itself(tmp_path, data):
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "tools").write_text("a file where a folder must be")
    with pytest.raises(DiffBEVError, match="tools"):
        init_workspace(tmp_path / "ws", data)


def test_scripts_and_tools_are_well_formed(root):
    for path in root.rglob("*.sh"):
        subprocess.run(["bash", "-n", path], check=True)
    for path in (root / "tools").rglob("*.py"):
        compile(path.read_text(), path, "exec")


def _grown(content):
    return type(content)(content.text + "# new\n", content.executable)


def test_a_read_only_root_gets_a_data_root_of_its_own(tmp_path, data):
    prepared = tmp_path / "prepared"
    report = init_workspace(tmp_path / "ws", data, data_root=prepared)
    assert report.workspace.data_root == prepared
    assert prepared.is_dir()
    config = tmp_path / "ws" / "configs/_base_/datasets/nuscene.py"
    assert f'data_root = "{prepared}"' in config.read_text()
    again = init_workspace(tmp_path / "ws")
    assert (again.workspace.nuscenes_root, again.workspace.data_root) == (data, prepared)
    roots = find_roots(tmp_path / "ws")
    assert (roots.nuscenes_root, roots.data_root) == (data, prepared)
    commands = {
        step.id: roots.command(step.commands[0].run) for step in load_runbook(roots).steps if step.commands
    }
    assert f"ls -ld {data}" in commands["1.1"]
    assert f"{prepared}/img_dir/train" in commands["1.2"]
    assert f"--nuscenes-root {data}" in commands["4.0"]
    assert f"--output-dir {prepared}/ann_bev_dir" in commands["4.0"]


def test_the_nuscenes_root_as_data_root_is_the_default(tmp_path, data):
    assert init_workspace(tmp_path / "ws", data, data_root=data).workspace.separate_data_root is None
    assert "data_root" not in (tmp_path / "ws" / "workspace.toml").read_text()


def test_init_says_which_tables_the_tools_use(tmp_path, data):
    (data / "v1.0-mini").mkdir()
    (data / "v1.0-mini" / "sample_data.json").write_text("[]")
    result = CliRunner().invoke(cli, ["init", str(tmp_path / "ws"), "--nuscenes-root", str(data)])
    assert "workspace uses v1.0-mini" in result.output
