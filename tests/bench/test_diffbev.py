"""DiffBEV against its baseline: what is measured, and that its figures are consistent."""

import json

import pytest
from click.testing import CliRunner

from diffbev_engine.bench.diffbev import Cost
from diffbev_engine.bench.speed import Speed
from diffbev_engine.cli.main import cli
from diffbev_engine.core.errors import UsageError

FEW = ("--batch", "2", "--iterations", "1", "--rounds", "2")


def test_figures_are_consistent(diffbev_config):
    result = CliRunner().invoke(cli, ["bench", "diffbev", str(diffbev_config), *FEW, "--json"])

    assert result.exit_code == 0, result.output
    cost = json.loads(result.stdout)
    baseline, diffbev = cost["baseline"], cost["diffbev"]
    assert baseline["batch"] == diffbev["batch"] == 2
    assert baseline["parameters"] < diffbev["parameters"]
    assert baseline["inference_ms"].keys() == {"0"}
    assert diffbev["inference_ms"].keys() == cost["ratios"]["inference"].keys() == {"1", "3", "5"}
    assert len(diffbev["training_rounds_ms"]) == len(diffbev["inference_rounds_ms"]["5"]) == 2
    assert cost["ratios"]["training"] == pytest.approx(diffbev["training_ms"] / baseline["training_ms"])
    for steps, ratio in cost["ratios"]["inference"].items():
        assert ratio == pytest.approx(diffbev["inference_ms"][steps] / baseline["inference_ms"]["0"])
    assert diffbev["training_peak_gib"] is None
    assert cost["limits"] == {"training": 1.6, "inference": {"3": 2.0}}


@pytest.mark.parametrize(("choice", "why"), [("auto", "without a GPU"), ("off", "compile=auto compiles")])
def test_inference_is_not_called_compiled_where_nothing_is(diffbev_config, choice, why):
    options = ("--compiled", "--set", f"compile={choice}", "--set", "runner.max_iters=9000")
    result = CliRunner().invoke(cli, ["bench", "diffbev", str(diffbev_config), *FEW, *options])
    assert isinstance(result.exception, UsageError | SystemExit)
    assert why in f"{result.exception} {result.output}"


def test_the_text_holds_ratios_against_the_limits():
    baseline = Speed(1_000_000, 8, 70.0, (70.0,), 10.0, {0: 20.0}, {0: (20.0,)}, 2.0)
    times = {1: 30.0, 3: 44.0, 5: 60.0}
    diffbev = Speed(2_000_000, 8, 105.0, (105.0,), 15.0, times, {}, 3.0)
    device = ("NVIDIA H200", "2.11", "bf16", "off", False, 3)
    text = Cost("diffbev/x", *device, (600, 800), 30, 3, baseline, diffbev).to_text()

    rows = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert rows["training step"][-3:] == ["1.50", "1.6", "kept"]
    assert rows["inference, 3 DDIM"][-3:] == ["2.20", "2.0", "EXCEEDED"]
    assert rows["inference, 1 DDIM"][-1] == "1.50"
    assert rows["training peak"][-1] == "1.50"


def test_a_baseline_has_nothing_to_compare(diffbev_config):
    arguments = ["bench", "diffbev", str(diffbev_config), *FEW, "--set", "model.diffusion=None"]
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, UsageError)
    assert "nothing to compare" in str(result.exception)
