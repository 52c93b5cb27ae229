"""The benchmark measures the real path and its figures are consistent."""

import json

import pytest
from click.testing import CliRunner

from diffbev_engine.cli.main import cli
from diffbev_engine.config.load import dump_config


def test_figures_are_consistent(tiny_settings, tiny_root, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(dump_config(tiny_settings))
    arguments = ["bench", "train", str(config), "--data-root", str(tiny_root)]
    result = CliRunner().invoke(
        cli, [*arguments, "--iterations", "2", "--warmup", "1", "--rounds", "3", "--json"]
    )

    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout.splitlines()[-1])
    assert figures["batch"] == 2
    assert figures["images_per_s"] == pytest.approx(2 / (figures["step_ms"] / 1000))
    rounds = figures["rounds_images_per_s"]
    assert len(rounds) == 3
    assert figures["images_per_s"] == sorted(rounds)[1]
    assert figures["mfu"] == pytest.approx(figures["tflops"] / figures["matmul_tflops"])
    assert 0 <= figures["data_wait"] <= 1


def test_networks_with_all_losses_are_measured_too(diffbev_config, depth_root):
    arguments = ["bench", "train", str(diffbev_config), "--data-root", str(depth_root)]
    result = CliRunner().invoke(
        cli, [*arguments, "--iterations", "1", "--warmup", "1", "--rounds", "1", "--json"]
    )

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1])["tflops"] > 0
