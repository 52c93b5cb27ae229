"""``plot-metrics`` as the runbook calls it."""

import json

import cv2
import pytest

from diffbev_engine.cli.main import cli
from diffbev_engine.report.plot_data import read_plot

FIGURES = ["loss", "mIoU", "Lwce", "Ldepth", "Ldiff", "lr", "class_IoU"]


def _run(*arguments):
    from click.testing import CliRunner

    return CliRunner().invoke(cli, ["plot-metrics", *map(str, arguments)])


@pytest.fixture
def runs(write_run):
    return write_run("baseline", [0.1, 0.2]), write_run("diffbev_default", [0.2, 0.3], diffusion=True)


def test_the_command_of_the_runbook(runs, tmp_path):
    out = tmp_path / "reports" / "comparison"
    result = _run(*runs, "--output-dir", out, "--experiment-names", "Baseline", "DiffBEV")
    assert result.exit_code == 0, result.output
    assert f"Loading metrics from {runs[0]}" in result.output
    assert "Generating plots..." in result.output
    assert result.output.count("✓ Generated: ") == 8
    assert result.output.splitlines()[-1].startswith("✓ All plots and summary generated")
    assert sorted(path.name for path in out.glob("plots/*.png")) == sorted(
        f"{name}_comparison.png" for name in FIGURES
    )
    for path in out.glob("plots/*.png"):
        assert (cv2.imread(str(path)) < 128).any()
    for path in out.glob("plots/*.png"):
        assert [run.name for run in read_plot(path).runs] == ["Baseline", "DiffBEV"]
    (loss,) = read_plot(out / "plots/Lwce_comparison.png").charts
    assert [(path.parent / curve.run.folder).resolve() for curve in loss.curves] == [*runs]
    assert (loss.steps, loss.windows, loss.curves[0].steps[:2]) == ((0.0, 1200.0), (3,), (10.0, 20.0))
    (ldiff,) = read_plot(out / "plots/Ldiff_comparison.png").charts
    assert [curve.run.name for curve in ldiff.curves] == ["DiffBEV"]
    head = (out / "summary.md").read_text().splitlines()[:20]
    assert any(line.startswith("| Baseline | 20.00 | 800 |") for line in head)
    assert any(line.startswith("| DiffBEV | 30.00 | 800 |") for line in head)


@pytest.mark.slow
def test_names_before_the_runs_and_vector_files(runs, tmp_path):
    arguments = ("--experiment-names", "A", "B", "--format", "pdf", "svg", "--output-dir", tmp_path / "out")
    result = _run(*arguments, *runs)
    assert result.exit_code == 0, result.output
    for suffix in ("png", "pdf", "svg"):
        assert len(list(tmp_path.glob(f"out/plots/*.{suffix}"))) == 7
    assert not list(tmp_path.glob("out/plots/.*"))


def test_json_alone_on_standard_output(runs, tmp_path):
    result = _run(*runs, "--output-dir", tmp_path / "out", "--json")
    answer = json.loads(result.stdout)
    assert [run["best_mIoU"] for run in answer["experiments"]] == [0.2, 0.3]
    assert len(answer["files"]) == 8


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "no metrics.csv in"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256))), "is damaged"),
        (lambda path: path.write_text(""), "is empty"),
    ],
)
def test_damage_is_one_message_and_exit_code_1(runs, tmp_path, program, damage, words):
    damage(runs[1] / "metrics.csv")
    code, output = program("plot-metrics", *runs, "--output-dir", tmp_path / "out")
    assert code == 1, output
    assert output.count("error:") == 1
    assert words in output
    assert str(runs[1]) in output


def test_wrong_number_of_names_is_wrong_usage(runs, tmp_path, program):
    code, output = program("plot-metrics", *runs, "--output-dir", tmp_path / "out", "--experiment-names", "A")
    assert code == 2
    assert "1 names for 2 runs" in output
