"""Depth metrics: the numbers are those of the formula, and no ground truth is no error."""

import json

import pytest
import torch

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.order import ALONE
from diffbev_engine.dataset.records import read_records
from diffbev_engine.dataset.sample import load_sample
from diffbev_engine.evaluate.depth import DepthStream
from diffbev_engine.evaluate.run import evaluate_model, evaluation_in_training
from diffbev_engine.models.model import build_model
from diffbev_engine.prepare.depth import empty_depth, write_depth
from diffbev_engine.train.distributed import Processes
from tests.tiny import trained

CPU = torch.device("cpu")
SINGLE = Processes(CPU, ALONE)


def _evaluate(model, settings, root):
    settings = settings.model_copy(update={"data_root": root})
    return evaluate_model(model, settings, read_records(root, "val", "front"), "val", SINGLE)


def test_metrics_equal_a_hand_computation(tiny_settings):
    """The model says 10 m everywhere; LiDAR says 8, 10 and 20 m in three features."""
    model = build_model(tiny_settings.model, tiny_settings.data.image_size)
    stride, size = model.backbone.stride, model.lift.feature_size
    ten = int((model.lift.depths - 10).abs().argmin())
    said = float(model.lift.depths[ten])
    logits = torch.zeros(2, len(model.lift.depths), *size)
    logits[:, ten] = 100
    sparse = torch.zeros(2, 64, 96)
    sparse[0, 0, 0], sparse[0, 1, 1] = 8, 30  # one feature: the nearest counts
    sparse[0, 0, stride] = 10
    sparse[1, stride, 0] = 20
    stream = DepthStream(model, CPU)
    stream.add(logits, sparse)
    stream.add(logits[:1], torch.zeros(1, 64, 96))  # an image without points counts nothing

    scores = stream.result()
    truths = (8, 10, 20)
    assert scores.features == 3
    assert scores.images == 2
    assert scores.absolute_relative == pytest.approx(sum(abs(said - t) / t for t in truths) / 3, rel=1e-6)
    assert scores.rmse == pytest.approx((sum((said - t) ** 2 for t in truths) / 3) ** 0.5, rel=1e-6)
    assert scores.within_quarter == pytest.approx(sum(max(said / t, t / said) < 1.25 for t in truths) / 3)


def test_a_whole_evaluation_equals_one_pass_by_hand(tiny_settings, depth_root):
    """Another way to the same numbers: every feature in a loop, in double precision."""
    model = trained(tiny_settings).eval()
    stride, (rows, cols) = model.backbone.stride, model.lift.feature_size
    errors = []
    for record in read_records(depth_root, "val", "front"):
        sample = load_sample(record, (64, 96), with_depth=True)
        image = (sample.image.permute(2, 0, 1)[None] - model.pixel_mean) / model.pixel_std
        with torch.no_grad():
            p = model(image, sample.intrinsics[None]).depth_logits[0].double().softmax(0)  # D x h x w
        estimate = (p * model.lift.depths[:, None, None]).sum(0)
        for row in range(rows):
            for col in range(cols):
                cell = sample.depth[row * stride : (row + 1) * stride, col * stride : (col + 1) * stride]
                if cell.any():
                    errors.append((float(estimate[row, col]), float(cell[cell > 0].min())))

    report = json.loads(json.dumps(_evaluate(model, tiny_settings, depth_root).to_json()))["depth"]
    count = len(errors)
    assert report["features"] == count > 20
    assert report["images"] == 5
    assert report["abs_rel"] == pytest.approx(sum(abs(e - t) / t for e, t in errors) / count, rel=1e-4)
    assert report["rmse_m"] == pytest.approx((sum((e - t) ** 2 for e, t in errors) / count) ** 0.5, rel=1e-4)
    assert report["delta_1.25"] == pytest.approx(sum(max(e / t, t / e) < 1.25 for e, t in errors) / count)


def test_a_baseline_that_loads_no_depth_is_measured_too(tiny_settings, depth_root):
    assert not tiny_settings.data.load_depth
    result = _evaluate(trained(tiny_settings), tiny_settings, depth_root)
    assert "depth: abs rel" in result.to_text()
    assert f"RMSE {result.depth.rmse:.3f} m" in result.to_text()


def test_images_without_a_file_count_nothing(tiny_settings, depth_root):
    files = sorted((depth_root / "ann_bev_dir" / "val_depth").iterdir())
    for path in files[:2]:
        path.unlink()
    result = _evaluate(trained(tiny_settings), tiny_settings, depth_root)
    assert result.samples == 5
    assert result.depth.images == 3


@pytest.mark.parametrize("load_depth", [False, True])
def test_no_ground_truth_is_said_and_is_no_error(tiny_settings, tiny_root, load_depth):
    data = tiny_settings.data.model_copy(update={"load_depth": load_depth})
    settings = tiny_settings.model_copy(update={"data": data})
    result = _evaluate(trained(settings), settings, tiny_root)
    assert result.depth is None
    assert "depth: no ground truth (" in result.to_text()
    assert result.to_json()["depth"] is None
    assert "prepare-depth" in result.to_json()["depth_note"]


@pytest.mark.parametrize("load_depth", [False, True])
def test_ground_truth_of_another_size_is_said_and_is_no_error(tiny_settings, depth_root, load_depth):
    data = tiny_settings.data.model_copy(update={"image_size": (96, 128), "load_depth": load_depth})
    settings = tiny_settings.model_copy(update={"data": data})
    result = _evaluate(trained(settings), settings, depth_root)
    assert result.depth is None
    assert "depth: no ground truth at this size (val_depth holds 64 x 96, the images are 96 x 128)" in (
        result.to_text()
    )


def test_files_without_any_point_are_no_depth(tiny_settings, depth_root):
    for path in (depth_root / "ann_bev_dir" / "val_depth").iterdir():
        write_depth(path, *empty_depth(64, 96))
    result = _evaluate(trained(tiny_settings), tiny_settings, depth_root)
    assert result.depth is None
    assert "depth: no LiDAR point in these images" in result.to_text()


def test_a_damaged_file_names_itself(tiny_settings, depth_root):
    first = min((depth_root / "ann_bev_dir" / "val_depth").iterdir())
    first.write_bytes(b"PK\x03\x04 not a zip file")
    with pytest.raises(DiffBEVError, match=first.name):
        _evaluate(trained(tiny_settings), tiny_settings, depth_root)


def test_training_logs_the_depth_of_its_evaluations(tiny_settings, depth_root, caplog):
    settings = tiny_settings.model_copy(update={"data_root": depth_root})
    with caplog.at_level("INFO", logger="diffbev_engine"):
        evaluation_in_training(settings, SINGLE)(
            trained(settings), None, lambda _images: None, lambda _seconds: None
        )
    assert "depth: abs rel" in caplog.text
