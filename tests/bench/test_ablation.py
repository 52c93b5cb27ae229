"""Whole campaigns of real trainings on tiny data."""

import json
import shutil
import signal

import pytest
from click.testing import CliRunner

from diffbev_engine.bench import ablation
from diffbev_engine.cli.main import cli
from diffbev_engine.core.errors import ExitCode, UsageError
from tests.processes import PATIENCE_S, engine, wait_until

TWO = ("--variants", "baseline,diffbev_S")


@pytest.fixture(scope="module")
def campaign(diffbev_config, depth_root, tmp_path_factory):
    """A finished campaign of two variants under one seed: its folder and the result of the command."""
    out = tmp_path_factory.mktemp("campaign")
    with pytest.MonkeyPatch.context() as patch:  # how fast it is says nothing here
        patch.setattr(ablation, "_SPEED_ITERATIONS", 1)
        patch.setattr(ablation, "_SPEED_ROUNDS", 2)
        return out, _ablation(diffbev_config, depth_root, out, *TWO, "--seeds", "0", "--jobs", "2")


def _ablation(config, root, out, *more):
    arguments = ["bench", "ablation", str(config), "--data-root", str(root), "--out", str(out), *more]
    return CliRunner().invoke(cli, arguments)


@pytest.mark.slow(110)
def test_a_campaign_trains_scores_and_times_every_variant(campaign, depth_root):
    out, result = campaign
    assert result.exit_code == 0, result.output
    assert sorted(line.split(":")[0] for line in result.stderr.splitlines() if "min (" in line) == [
        "baseline seed 0",
        "diffbev_S seed 0",
    ]
    table = (out / "ablation.md").read_text()
    assert table in result.stdout
    assert "8 training and 5 validation frames; 6 iterations × batch 2" in table

    content = json.loads((out / "ablation.json").read_text())
    baseline, diffbev = content["variants"]
    assert content["missing"] == []
    assert diffbev["gap"]["mean"] == pytest.approx(diffbev["mIoU"]["mean"] - baseline["mIoU"]["mean"])
    assert diffbev["speed"]["parameters"] > baseline["speed"]["parameters"]
    assert baseline["speed"]["inference_ms"].keys() == {"0"}
    assert diffbev["speed"]["inference_ms"].keys() == {"3"}
    assert diffbev["depth"]["rmse_m"] > 0
    assert diffbev["masks"].keys() == {"fov", "unseen"}
    assert "mIoU unseen (gap)" in table
    for variant in ("baseline", "diffbev_S"):
        run = json.loads((out / variant / "seed_0" / "run.json").read_text())
        assert run["config"]["data_root"] == str(depth_root)
        assert (run["config"]["model"]["diffusion"] is None) == (variant == "baseline")


@pytest.mark.slow
def test_the_same_command_trains_only_what_is_missing(campaign, diffbev_config, depth_root, tmp_path):
    out = tmp_path / "campaign"  # its own: other tests read the finished one
    shutil.copytree(campaign[0], out)
    before = json.loads((out / "ablation.json").read_text())
    run = out / "diffbev_S" / "seed_0"
    # As a campaign leaves it that was killed after iteration 4.
    (run / "latest.pth").unlink()
    (run / "iter_6.pth").unlink()
    (run / "status.json").write_text(json.dumps({"state": "training", "step": 4}))
    untouched = (out / "baseline" / "seed_0" / "console.log").stat().st_mtime_ns

    result = _ablation(diffbev_config, depth_root, out, *TWO, "--seeds", "0", "--no-speed", "--json")

    assert result.exit_code == 0, result.output
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["diffbev_S seed 0"]
    assert "resuming after iteration 4" in (run / "console.log").read_text()
    assert (out / "baseline" / "seed_0" / "console.log").stat().st_mtime_ns == untouched
    after = json.loads(result.stdout)
    for old, new in zip(before["variants"], after["variants"], strict=True):
        assert (new["mIoU"], new["depth"]) == (old["mIoU"], old["depth"])
        assert new["speed"] == old["speed"], "speeds are measured once"


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_count(campaign, diffbev_config, depth_root, tmp_path):
    out = tmp_path / "campaign"
    shutil.copytree(campaign[0], out)
    run = out / "diffbev_S" / "seed_0"
    for checkpoint in run.glob("*.pth"):
        checkpoint.write_bytes(b"not a checkpoint")
    (run / "status.json").write_text(json.dumps({"state": "training", "step": 4}))

    result = _ablation(diffbev_config, depth_root, out, *TWO, "--seeds", "0", "--no-speed")

    assert result.exit_code == 1, result.output
    table = (out / "ablation.md").read_text()
    assert "Failed: diffbev_S seed 0" in table
    assert "latest.pth cannot be read as a checkpoint" in table
    content = json.loads((out / "ablation.json").read_text())
    assert content["missing"] == ["diffbev_S seed 0"]
    assert content["variants"][0]["mIoU"]["seeds"] == 1


@pytest.mark.slow
def test_ctrl_c_keeps_a_checkpoint_and_a_table(diffbev_config, depth_root, tmp_path):
    out = tmp_path / "out"
    endless = ("--set", "runner.max_iters=100000", "--set", "evaluation.interval=100000")
    process = engine(
        *("bench", "ablation", diffbev_config, "--data-root", depth_root, "--out", out, *TWO),
        *("--seeds", "0,1", *endless),
    )
    run = out / "baseline" / "seed_0"
    metrics = run / "metrics.csv"
    wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > 3, process)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=PATIENCE_S)[0]

    assert process.returncode == 5, output
    assert "baseline seed 0: stopped" in output
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"
    assert (run / "latest.pth").exists()
    assert not (out / "diffbev_S").exists()
    assert "4 of 4 runs are missing" in (out / "ablation.md").read_text()

    other = _ablation(diffbev_config, depth_root, out, *TWO, "--seeds", "0", "--set", "runner.max_iters=9")
    assert isinstance(other.exception, UsageError)
    assert "runner.max_iters was 100000, is 9" in str(other.exception)


def test_past_its_deadline_a_campaign_only_writes_the_table(diffbev_config, depth_root, tmp_path):
    result = _ablation(diffbev_config, depth_root, tmp_path, *TWO, "--deadline", "0")

    assert result.exit_code == 5, result.output
    assert "6 of 6 runs are missing" in (tmp_path / "ablation.md").read_text()
    assert not (tmp_path / "baseline").exists()


def test_depth_supervision_needs_depth(diffbev_config, tiny_root, tmp_path):
    result = _ablation(diffbev_config, tiny_root, tmp_path, *TWO)
    assert isinstance(result.exception, UsageError)
    assert "prepare-depth --height 64 --width 96" in str(result.exception)


def test_wrong_arguments_are_refused(diffbev_config, depth_root, tmp_path):
    for more in (["--seeds", "0,0"], ["--seeds", "a"], ["--frames", "48"]):
        assert _ablation(diffbev_config, depth_root, tmp_path, *more).exit_code == 2
    result = CliRunner().invoke(cli, ["bench", "ablation", "--out", str(tmp_path), "--frames", "2893"])
    assert "at most 2880 frames" in str(result.exception)


def test_without_data_a_synthetic_world_is_made_once(diffbev_config, tmp_path):
    arguments = ["bench", "ablation", str(diffbev_config), "--out", str(tmp_path), "--frames", "24"]
    arguments += ["--variants", "depth", "--seeds", "0", "--no-speed", "--deadline", "0"]
    result = CliRunner().invoke(cli, arguments)

    assert result.exit_code == ExitCode.INTERRUPTED, result.output
    assert "12 training and 12 validation frames" in result.stdout
    assert any((tmp_path / "data" / "ann_bev_dir" / "val_depth").iterdir()), "there is depth as well"
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == ExitCode.INTERRUPTED, again.output
    assert "was there already" in again.stderr
