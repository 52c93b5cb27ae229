"""The table holds what the benchmarks said, and measures nothing twice."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from diffbev_engine.bench import speed_table
from diffbev_engine.bench.diffbev import Cost
from diffbev_engine.bench.speed import Speed
from diffbev_engine.bench.speed_table import cases_of, measure, table
from diffbev_engine.bench.throughput import TrainingSpeed
from diffbev_engine.cli import bench
from diffbev_engine.cli.main import cli

CASES = cases_of("baseline.py", "diffbev.py", (4, 8), 8, on_gpu=True)
TRAINING = TrainingSpeed(
    device="NVIDIA H200",
    torch="2.15",
    batch=4,
    precision="bf16",
    compile="auto",
    iterations=30,
    images_per_s=274.6,
    rounds_images_per_s=(270.0, 274.6, 279.9),
    step_ms=14.57,
    data_wait=0.028,
    tflops=1.0,
    mfu=0.151,
    matmul_tflops=7.0,
    peak_gib=4.04,
    warmup_s=9.4,
)
SPEED = Speed(1, 1, 2.0, (2.0,), 1.0, {0: 1.84}, {0: (1.84,)}, 1.0)
BY_STEPS = Speed(1, 1, 3.0, (3.0,), 1.0, {1: 2.0, 3: 4.5}, {1: (2.0,), 3: (4.5,)}, 1.0)
ON = ("NVIDIA H200", "2.15", "bf16", "auto", True, 3)
COST = Cost("diffbev.py", *ON, (600, 800), 30, 3, SPEED, BY_STEPS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_is_a_command_that_there_is(case, tmp_path):
    group, name, *arguments = case.command(
        tmp_path, ["--set", "seed=1", "--iterations", "1", "--rounds", "1"]
    )
    assert group == "bench"
    given = bench.command.commands[name].make_context(name, arguments).params
    assert given["config"] == case.config
    assert given["as_json"]
    assert {f"compile={case.compile}", "seed=1"} <= set(given["overrides"])
    if case.training:
        assert f"data.samples_per_gpu={case.batch}" in given["overrides"]
    else:
        assert (given["batch"], given["compiled"]) == (case.batch, case.compile == "auto")


def test_without_a_gpu_nothing_compiled_is_asked_for():
    cases = cases_of("baseline.py", "diffbev.py", (4,), 8, on_gpu=False)
    assert set(CASES[:2] + CASES[4:]) - set(cases) == {CASES[-2]}
    assert not any("--compiled" in case.command(Path(), []) for case in cases)


def test_what_failed_is_named_and_tried_again(tmp_path, monkeypatch):
    asked = []

    def answer(command, _variables=None):
        asked.append(" ".join(command))
        if "baseline.py" in command and "data.samples_per_gpu=8" in command:
            return {"problem": "out of GPU memory"}
        return json.loads((TRAINING if command[1] == "train" else COST).to_json())

    monkeypatch.setattr(speed_table, "_run", answer)
    results = list(measure(CASES, tmp_path, tmp_path, cold=True))
    rows = table(results).splitlines()
    row = "| baseline | 4 | auto | 274.6 (270.0–279.9) | 14.6 ms | 15.1% | 2.8% | 4.0 GiB | 9 s"
    assert f"{row}, 9 s with an empty cache |" in rows
    assert f"{row} |".replace("auto", "off") in rows
    assert "| baseline | 8 | off | out of GPU memory | | | | | |" in rows
    assert "| | auto | 1.8 ms | 1: 2.0 ms; 3: 4.5 ms |" in rows
    asked.clear()
    assert list(measure(CASES, tmp_path, tmp_path)) == results
    assert [("baseline.py" in each, "samples_per_gpu=8" in each) for each in asked] == [(True, True)] * 2
    asked.clear()
    list(measure(CASES, tmp_path, tmp_path, ["--set", "seed=1"]))
    assert len(asked) == len(CASES), "other settings are measured"


def test_a_cold_start_that_was_not_timed_is_timed_when_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_table, "_run", lambda *_: json.loads(TRAINING.to_json()))
    first, second = (list(measure(CASES[:1], tmp_path, tmp_path, cold=cold)) for cold in (False, True))
    assert "cold_s" not in first[0][1]
    assert second[0][1]["cold_s"] == TRAINING.warmup_s


def test_where_nothing_could_be_measured_the_table_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_table, "_run", lambda *_: {"problem": "no compiler"})
    rows = table(list(measure(CASES, tmp_path, tmp_path))).splitlines()
    assert sum("no compiler" in row for row in rows) == len(CASES)


def test_batches_are_whole_numbers(tmp_path):
    result = CliRunner().invoke(cli, ["bench", "speed", "--out", str(tmp_path), "--batches", "4,x"])
    assert result.exit_code == 2
    assert "whole numbers" in result.output
