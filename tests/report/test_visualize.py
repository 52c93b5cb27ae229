"""``visualize`` draws what models predict, and scores it as ``evaluate`` does."""

import json
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from diffbev_engine.cli.main import cli
from diffbev_engine.config.load import dump_config
from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import UsageError
from diffbev_engine.dataset.records import read_records
from diffbev_engine.evaluate.run import evaluate_model
from diffbev_engine.models.model import build_model
from diffbev_engine.report.sample_picture import METADATA, draw_picture
from diffbev_engine.report.visualize import (
    ModelSource,
    VisualizeJob,
    choose_device,
    load_models,
    picture_of,
    visualize,
)
from diffbev_engine.train.checkpoint import load_checkpoint, load_weights
from diffbev_engine.train.distributed import join_processes
from tests.tiny import save_weights

FUSION = {"heads": 2, "key_stride": 8}
DIFFUSION = {"widths": (8, 8, 8), "blocks": 1, "groups": 4, "steps": 2, "fusion": FUSION}


def _saved(settings, folder):
    """A checkpoint of weights as if they had been trained, so that something is predicted."""
    model = build_model(settings.model, settings.data.image_size)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return save_weights(model, folder)


@pytest.fixture
def sources(tiny_settings: Settings, tmp_path):
    content = tiny_settings.model_dump()
    content["model"]["diffusion"] = DIFFUSION
    diffbev = Settings.model_validate(content)
    return [
        ModelSource(tiny_settings, _saved(tiny_settings, tmp_path / "baseline"), "Baseline"),
        ModelSource(diffbev, _saved(diffbev, tmp_path / "diffbev"), "DiffBEV"),
    ]


def test_one_picture_an_index(sources, tmp_path):
    lines = []
    drawn = visualize(VisualizeJob(sources, tmp_path / "out", indices=[0, 3], device="cpu"), lines.append)
    assert [each.path.name for each in drawn] == ["sample_0000.png", "sample_0003.png"]
    for each in drawn:
        picture = cv2.imread(str(each.path))
        assert picture.shape[1] > 4 * picture.shape[0]  # four panels and the legend
    assert "Loading dataset..." in lines[0]
    assert sum(line.startswith("Loading model...") for line in lines) == 2
    assert lines[-2:] == ["Processing sample 3...", f"✓ Saved to {drawn[1].path}"]
    assert drawn[0].path.parent == tmp_path / "out" / "vis"
    named = visualize(VisualizeJob(sources, tmp_path / "vis", indices=[0], device="cpu"))
    assert named[0].path == tmp_path / "vis" / "sample_0000.png"


def test_scores_are_those_of_evaluate(sources):
    record = read_records(sources[0].settings.data_root, "val", "front")[2]
    device = torch.device("cpu")
    picture = picture_of(record, 2, load_models(sources, device), device)
    for source, panel in zip(sources, picture.panels, strict=True):
        model = build_model(source.settings.model, source.settings.data.image_size)
        load_weights(model, load_checkpoint(source.checkpoint).model, source.checkpoint)
        result = evaluate_model(model, source.settings, [record], "val", join_processes(()))
        assert panel.score == result.main
        assert 0 < panel.score.miou < 1
        assert panel.predicted.any()
        expected = sum(panel.predicted[number][~picture.ignore].sum() for number in range(14))
        assert expected == sum(count.predicted for count in panel.score.counts)


def test_the_picture_shows_label_predictions_and_scores(sources):
    record = read_records(sources[0].settings.data_root, "val", "front")[0]
    device = torch.device("cpu")
    figure = draw_picture(picture_of(record, 0, load_models(sources, device), device))
    camera, label, baseline, diffbev, table = figure.axes
    assert camera.get_images()[0].get_array().shape == (64, 96, 3)  # as it was recorded
    label_colours = {tuple(colour) for colour in np.reshape(label.get_images()[0].get_array(), (-1, 3))}
    assert label_colours == {(166, 206, 227), (251, 154, 153), (255, 255, 255), (48, 48, 48)}
    assert baseline.get_title().startswith("Baseline\nmIoU ")
    assert diffbev.get_title().startswith("DiffBEV\nmIoU ")
    words = [text.get_text() for text in table.texts]
    assert {"car", "Baseline", "DiffBEV", "ignored"} <= set(words)
    assert words.count("–") == 2 * 12  # this sample has drivable area and a car


def test_a_picture_says_what_it_shows_and_where(sources, tmp_path):
    drawn = visualize(VisualizeJob(sources, tmp_path / "out", indices=[1], device="cpu"))[0]
    with Image.open(drawn.path) as picture:
        about = json.loads(picture.text[METADATA])
        boxes = [about["camera_box"], about["truth_box"], *(one["box"] for one in about["predictions"])]
        width, height = picture.size
        sides = [(box[0] * width, box[1] * height, box[2] * width, box[3] * height) for box in boxes]
        truth = picture.convert("RGB").crop(tuple(round(side) for side in sides[1]))
    assert about["token"] == drawn.token
    for one, source in zip(about["predictions"], sources, strict=True):
        assert (one["name"], one["checkpoint"]) == (source.name, str(source.checkpoint))
        assert one["iteration"] == load_checkpoint(source.checkpoint).iteration
        assert one["mIoU"] == drawn.scores[source.name].miou
    for left, right in pairwise(sides):
        assert left[2] < right[0]  # side by side, without overlap
    assert (sides[1][2] - sides[1][0]) / (sides[1][3] - sides[1][1]) == pytest.approx(200 / 196, abs=0.02)
    inner = np.asarray(truth)[4:-4, 4:-4].reshape(-1, 3)  # without the frame
    colours = {(166, 206, 227), (251, 154, 153), (255, 255, 255), (48, 48, 48)}
    assert np.mean([tuple(colour) in colours for colour in inner]) > 0.9


def test_where_samples_of_the_diffusion_differ_is_drawn_beside_their_mean(sources, tmp_path):
    drawn = visualize(VisualizeJob(sources, tmp_path / "out", indices=[1], device="cpu", samples=3))[0]
    with Image.open(drawn.path) as picture:
        baseline, diffbev = json.loads(picture.text[METADATA])["predictions"]
    assert "spread_box" not in baseline
    assert diffbev["samples"] == 3
    assert diffbev["spread_box"][0] > diffbev["box"][2]
    record = read_records(sources[0].settings.data_root, "val", "front")[1]
    device = torch.device("cpu")
    models = load_models(sources, device, samples=3)
    figure = draw_picture(picture_of(record, 1, models, device))
    spread = figure.axes[4]
    assert spread.get_title().startswith("DiffBEV: spread of 3 samples")
    assert spread.get_images()[0].get_array().max() > 0


def test_samples_are_spread_where_none_are_named(sources, tmp_path):
    drawn = visualize(VisualizeJob(sources[:1], tmp_path / "out", count=2, device="cpu"))
    assert [each.index for each in drawn] == [0, 2]


def test_an_index_beyond_the_split(sources, tmp_path):
    with pytest.raises(UsageError, match=r"5, 10.*val split of .* 0 to 4"):
        visualize(VisualizeJob(sources[:1], tmp_path / "out", indices=[0, 5, 10]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what happens without a GPU")
def test_a_machine_without_gpu_uses_the_cpu_and_says_so():
    lines = []
    assert choose_device("cuda:0", lines.append).type == "cpu"
    assert "using the CPU instead of cuda:0" in lines[0]
    with pytest.raises(UsageError, match="name cpu, cuda or cuda:N"):
        choose_device("gpu", lines.append)


@pytest.mark.slow
def test_the_command_of_the_runbook_on_trained_models(tiny_settings, tmp_path, program):
    content = tiny_settings.model_dump()
    content["model"]["diffusion"] = DIFFUSION
    arguments = []
    for name, settings in (("baseline", tiny_settings), ("diffbev", Settings.model_validate(content))):
        config = tmp_path / f"{name}.py"
        config.write_text(dump_config(settings))
        assert program("train", config, "--work-dir", tmp_path / name)[0] == 0
        arguments.append((config, tmp_path / name / "best_mIoU.pth"))
    command = ["visualize", *arguments[0], "--diffbev-config", arguments[1][0]]
    command += ["--diffbev-checkpoint", arguments[1][1], "--indices", "0", "1", "4"]
    command += ["--work-dir", tmp_path / "out", "--device", "cpu"]
    result = CliRunner().invoke(cli, [*map(str, command)])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "Visualization complete!"
    assert sorted(path.name for path in (tmp_path / "out" / "vis").iterdir()) == [
        f"sample_{index:04d}.png" for index in (0, 1, 4)
    ]
    answer = CliRunner().invoke(cli, [*map(str, command), "--json"])
    first = json.loads(answer.stdout)[0]
    assert first["scores"].keys() == {"Baseline", "DiffBEV"}


def test_half_a_second_model_is_wrong_usage(tmp_path):
    arguments = ["visualize", "a.py", "a.pth", "--diffbev-config", "b.py", "--work-dir", str(tmp_path)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "must be used together" in result.output
