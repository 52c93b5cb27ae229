"""Every kind of check says yes, says no, and says so in both languages."""

import json
from pathlib import Path
from unittest import mock

import pytest

from diffbev_engine.core import patterns
from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.gpu.reading import Gpu, GpuReading
from diffbev_engine.runbook.checks import files
from diffbev_engine.runbook.checks.check import CHECK_TYPES, Outcome, look_at
from diffbev_engine.runbook.parse import Place, build
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.metrics.file import MetricsWriter

PRINTED = Outcome("Loading model...\ngt_depth_mask valid_ratio: 0.0041\niter 300 loss 0.41\n", 0)
NOTHING = Outcome("", 2)
# type, keys, outcome where it holds, outcome where it does not; files as _furnish makes them.
OF_OUTPUT = [
    ("exit_code", {}),
    ("output_contains", {"texts": ["Loading model..."]}),
    ("output_contains", {"pattern": r"(?m)^iter \d+"}),
    ("output_number", {"pattern": r"valid_ratio: ([\d.]+)", "above": 0.001}),
]
OF_FILES = [
    ("path_exists", {"path": "there.txt", "kind": "file"}, {"path": "there.txt", "kind": "folder"}),
    ("path_exists", {"path": "runs", "kind": "folder"}, {"path": "missing"}),
    (
        "file_contains",
        {"path": "there.txt", "texts": ["max_iters=300"]},
        {"path": "there.txt", "texts": ["no"]},
    ),
    ("file_contains", {"path": "there.txt", "pattern": r"=\d+"}, {"path": "missing", "pattern": "x"}),
    (
        "csv_reaches_step",
        {"path": "runs/a/metrics.csv", "step": 300},
        {"path": "runs/a/metrics.csv", "step": 301},
    ),
    ("csv_reaches_step", {"path": "runs/a/metrics.csv"}, {"path": "runs/b/metrics.csv"}),
    (
        "csv_has_values",
        {"path": "runs/a/metrics.csv", "columns": ["loss", "mIoU"]},
        {"path": "runs/a/metrics.csv", "columns": ["Ldiff"]},
    ),
    (
        "csv_has_values",
        {"path": "runs/a/metrics.csv", "columns": ["lr"]},
        {"path": "there.txt", "columns": ["lr"]},
    ),
    ("files_at_least", {"pattern": "runs/*/*.csv", "count": 2}, {"pattern": "runs/*/*.csv", "count": 3}),
    (
        "file_per_sample",
        {
            "root": "{nuscenes_root}",
            "split": "val",
            "folder": "depth",
            "suffix": ".npz",
            "camera": "CAM_FRONT",
        },
        {"root": "{nuscenes_root}", "split": "val", "folder": "depth", "suffix": ".npz"},
    ),
    ("disk_free", {"path": "runs", "gib": 0.0}, {"path": "runs/not/yet/there", "gib": 1e9}),
]


@pytest.fixture
def furnished(roots: WorkspacePaths) -> WorkspacePaths:
    (roots.workspace / "there.txt").write_text("runner = dict(max_iters=300)\n")
    for name, last in (("a", 300), ("b", 200)):
        run = roots.workspace / "runs" / name
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"config": {"runner": {"max_iters": 300}}}))
        writer = MetricsWriter(run / "metrics.csv")
        writer.write({"step": 100, "mode": "train", "loss": 0.4, "lr": 1e-3})
        writer.write({"step": last, "mode": "eval", "mIoU": 0.1})
        writer.close()
    _data(roots.nuscenes_root)
    return roots


def _data(root: Path) -> None:
    (root / "depth").mkdir()
    (root / "depth/t1.npz").touch()
    rows = [
        {"token": "t1", "camera": "CAM_FRONT", "split": "val"},
        {"token": "t2", "camera": "CAM_BACK", "split": "val"},
    ]
    (root / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _result(kind: str, keys: dict, roots: WorkspacePaths, outcome: Outcome):
    result = look_at(build(CHECK_TYPES[kind], keys, Place("test")), roots, outcome)
    assert result.description.zh
    assert result.description.en
    return result


@pytest.mark.parametrize(("kind", "keys"), OF_OUTPUT)
def test_checks_of_the_output(kind, keys, roots):
    assert _result(kind, keys, roots, PRINTED).passed is True
    assert _result(kind, keys, roots, NOTHING).passed is False
    assert _result(kind, keys, roots, Outcome()).passed is None


def test_what_must_not_be_printed(roots):
    keys = {"texts": ["No such file"]}
    assert _result("output_lacks", keys, roots, PRINTED).passed is True
    assert _result("output_lacks", keys, roots, Outcome("ls: x: No such file\n", 2)).passed is False
    assert _result("output_lacks", keys, roots, Outcome()).passed is None


@pytest.mark.parametrize(("kind", "good", "bad"), OF_FILES)
def test_checks_of_files(kind, good, bad, furnished):
    assert _result(kind, good, furnished, Outcome()).passed is True
    refused = _result(kind, bad, furnished, Outcome())
    assert refused.passed is False
    assert refused.seen.detail.zh
    assert refused.seen.detail.en


def test_gpu_check(roots):
    lost = Gpu(0, lost=True, problem=Bilingual("已丢失", "GPU 0 is lost"))
    unknown = Gpu(1, "NVIDIA A100-SXM4-80GB")
    for reading, passed, words in (
        (GpuReading((Gpu(0, "RTX", total_mib=24576, free_mib=20480),)), True, "RTX, 20.0/24.0 GiB"),
        (GpuReading((lost, unknown)), True, "GPU 0 is lost; NVIDIA A100-SXM4-80GB"),
        (GpuReading((lost,)), False, "GPU 0 is lost"),
        (GpuReading(problem=Bilingual("没有驱动", "no driver")), False, "no driver"),
    ):
        with mock.patch.object(files, "read_gpus", return_value=reading):
            result = _result("gpu_answers", {}, roots, Outcome())
        assert (result.passed, result.seen.detail.en) == (passed, words)


def test_every_kind_is_tested():
    tested = {row[0] for row in (*OF_OUTPUT, *OF_FILES)} | {"gpu_answers", "output_lacks"}
    assert tested == set(CHECK_TYPES)


def test_unreadable_file_is_an_answer(roots):
    (roots.workspace / "folder.csv").mkdir()
    assert (
        _result("csv_has_values", {"path": "folder.csv", "columns": ["loss"]}, roots, Outcome()).passed
        is False
    )


def test_evidence_is_the_line_that_matched(roots):
    seen = _result("output_contains", {"pattern": r"loss [\d.]+"}, roots, PRINTED).seen
    assert seen.detail.en == "iter 300 loss 0.41"


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("output_contains", {"pattern": "(a+)+$"}),
        ("output_number", {"pattern": "(a+)+$", "above": 1}),
        ("file_contains", {"path": "long.txt", "pattern": "(a+)+$"}),
    ],
)
def test_a_pattern_that_takes_for_ever_is_an_answer(kind, keys, roots, monkeypatch):
    monkeypatch.setattr(patterns, "LIMIT_S", 0.5)
    endless = "a" * 60 + "!"
    (roots.workspace / "long.txt").write_text(endless)
    seen = _result(kind, keys, roots, Outcome(endless, 0)).seen
    assert seen.passed is False
    assert "took longer than" in seen.detail.en
