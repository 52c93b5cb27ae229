"""What was changed of a run after it had begun holds for every start that resumes it."""

import json
import os
import subprocess
import sys

import pytest

from diffbev_engine.cli.runs import _recorded_arguments
from diffbev_engine.errors import DiffBEVError, UsageError
from diffbev_engine.runs.launch import read_launch
from diffbev_engine.runs.overrides import RunOverrides, add_overrides, read_overrides
from diffbev_engine.runs.survey import inspect_run, read_manifest
from tests.processes import engine
from tests.runs.children import wait_for

SEGMENTS = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}


def test_what_is_added_is_read_again_and_says_why(folder):
    assert read_overrides(folder) == RunOverrides()
    add_overrides(folder, RunOverrides(("data.samples_per_gpu=4",)), "out of memory\nat step 9")
    add_overrides(folder, RunOverrides(("data.image_size=(448, 608)",), SEGMENTS), "again")
    assert read_overrides(folder) == RunOverrides(
        ("data.samples_per_gpu=4", "data.image_size=(448, 608)"), SEGMENTS
    )
    assert "out of memory at step 9\ndata.samples_per_gpu=4\n" in folder.overrides.read_text()


def test_people_may_edit_the_file(folder):
    folder.overrides.write_text("  compile = head \n\n  # a note\nexport A = b c\n")
    assert read_overrides(folder) == RunOverrides(("compile=head",), {"A": "b c"})
    folder.overrides.write_text("compile=head\nfaster please\n")
    with pytest.raises(UsageError, match=r"overrides\.txt, line 2: 'faster please' is neither"):
        read_overrides(folder)
    folder.overrides.write_bytes(b"\xff\xfe")
    with pytest.raises(DiffBEVError, match="cannot read"):
        read_overrides(folder)


def test_a_setting_of_the_first_start_yields_to_a_later_change(folder, tiny_config):
    arguments = {
        "config": str(tiny_config),
        "gpu_ids": [],
        "overrides": ["data.samples_per_gpu=8", "seed=3"],
    }
    add_overrides(folder, RunOverrides(("data.samples_per_gpu=4",)), "less")
    found = _recorded_arguments(folder, {"config": {}, "arguments": arguments}, ())
    assert found.overrides == ("seed=3",)


def test_an_earlier_run_is_set_aside_with_its_changes(folder):
    from datetime import datetime

    folder.metrics.touch()
    add_overrides(folder, RunOverrides(("compile=head",)), "")
    aside = folder.set_aside(datetime.now())
    assert not folder.overrides.exists()
    assert (aside / "overrides.txt").exists()


def _run(*arguments):
    process = engine(*arguments)
    output = process.communicate(timeout=180)[0]
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_a_run_goes_on_with_what_was_changed_however_it_is_resumed(folder, tiny_config):
    work_dir = folder.path
    _run("train", tiny_config, "--work-dir", work_dir, "--set", "data.samples_per_gpu=2")
    iterations = read_manifest(folder)["config"]["runner"]["max_iters"]
    add_overrides(folder, RunOverrides(("data.samples_per_gpu=1",), SEGMENTS), "out of memory")

    resumed = json.loads(
        _run("runs", "resume", work_dir, "--set", f"runner.max_iters={iterations + 1}", "--json")
    )
    assert "data.samples_per_gpu: 2 → 1" in resumed["changes"]
    wait_for(lambda: read_launch(folder).ended, 120)
    console = (work_dir / resumed["console"]).read_text()
    assert inspect_run(work_dir).state.value == "finished", console
    assert "PYTORCH_ALLOC_CONF=expandable_segments:True" in console
    assert read_manifest(folder)["config"]["data"]["samples_per_gpu"] == 1

    # As the runbook resumes: the command of the first start and --resume.
    _run("train", tiny_config, "--work-dir", work_dir, "--resume")
    config = read_manifest(folder)["config"]
    assert (config["data"]["samples_per_gpu"], config["runner"]["max_iters"]) == (1, iterations + 1)


@pytest.mark.slow
def test_without_a_checkpoint_a_run_starts_again_where_that_is_asked_for(folder, tiny_config):
    _run("train", tiny_config, "--work-dir", folder.path)
    for checkpoint in folder.path.glob("*.pth"):
        checkpoint.unlink()
    add_overrides(folder, RunOverrides(("data.samples_per_gpu=1",)), "out of memory")
    process = engine("runs", "resume", folder.path)
    assert "--from-start" in process.communicate(timeout=60)[0]
    _run("runs", "resume", folder.path, "--set", "seed=5", "--from-start")
    wait_for(lambda: read_launch(folder).ended, 120)
    config = read_manifest(folder)["config"]
    assert (config["data"]["samples_per_gpu"], config["seed"]) == (1, 5)
    assert folder.overrides.exists()
    assert list(folder.path.glob("previous_*/metrics.csv"))


def test_reading_them_is_light():
    code = "import sys, diffbev_engine.runs.overrides as o; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
