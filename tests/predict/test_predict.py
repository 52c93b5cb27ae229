"""A checkpoint and an image give the map that is scored, as arrays, outlines and a picture."""

import json

import cv2
import numpy as np
import pytest
import torch
from shapely.geometry import Polygon

import diffbev_engine
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.dataset.records import read_records
from diffbev_engine.dataset.sample import collate, load_sample
from diffbev_engine.evaluate.network import network
from diffbev_engine.evaluate.reproducible import reproducible_kernels
from diffbev_engine.evaluate.run import trained_model
from diffbev_engine.predict.frames import frames_of, list_files
from tests.tiny import save_weights, trained

_NUMBERS = ("--fx", 80, "--fy", 80, "--cx", 48, "--cy", 32)
_MATRIX = np.array([[80.0, 0.0, 48.0], [0.0, 80.0, 32.0], [0.0, 0.0, 1.0]])


@pytest.fixture
def checkpoint(tmp_path, diffusion_settings):
    model = trained(diffusion_settings)
    with torch.no_grad():
        model.head.classifier.bias[
            2:
        ] = -30  # two classes are found, or their thousands of outlines take long
    return save_weights(model, tmp_path / "run", diffusion_settings)


def _scored(settings, checkpoint, record):
    """What an evaluation decides by, of the same image."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = network(trained_model(settings, checkpoint, device)[0], "fp32", device)
    batch = collate([load_sample(record, settings.data.image_size)]).to(device)
    with torch.inference_mode(), reproducible_kernels():
        return run(batch).logits[0].sigmoid().cpu().numpy()


def test_prepared_images_get_the_map_that_is_scored(
    checkpoint, diffusion_settings, tiny_root, tmp_path, program
):
    folder = tmp_path / "two of them"
    folder.mkdir()
    records = read_records(tiny_root, "val", "all")[:2]
    for record in records:
        (folder / record.image.name).hardlink_to(record.image)
    code, said = program(
        "predict",
        checkpoint,
        folder,
        "--intrinsics",
        tiny_root / "calib.json",
        "--output-dir",
        tmp_path / "out",
    )
    assert code == 0, said
    assert "2 frames in" in said
    for record in records:
        with np.load(tmp_path / "out" / f"{record.token}.npz") as arrays:
            assert (arrays["probability"] == _scored(diffusion_settings, checkpoint, record)).all()
            assert arrays["image_size"].tolist() == [96, 64]
            assert (arrays["intrinsics"] == record.intrinsics).all()
        about = json.loads((tmp_path / "out" / f"{record.token}.json").read_text())
        assert about["polygons"]
        assert all(
            Polygon(part["exterior"], part["holes"]).is_valid
            for parts in about["polygons"].values()
            for part in parts
        )
        assert cv2.imread(str(tmp_path / "out" / f"{record.token}.png")).shape[1] > 800


def test_python_gives_the_same_map_as_the_command(checkpoint, tiny_root, tmp_path, program):
    image = next((tiny_root / "img_dir" / "val").iterdir())
    assert program("predict", checkpoint, image, *_NUMBERS, "--output-dir", tmp_path)[0] == 0
    seen = diffbev_engine.load(checkpoint).predict(image, _MATRIX)
    with np.load(tmp_path / f"{image.stem}.npz") as arrays:
        assert (arrays["probability"] == seen.probability).all()
    assert not seen.classes()[:, 0, 0].any(), "outside the view nothing is said"
    area = sum(part.area for part in seen.polygons()["drivable_area"])
    assert area == pytest.approx(seen.classes()[0].sum() / 16)


def test_an_image_that_was_made_smaller_keeps_the_calibration_of_its_camera(checkpoint):
    image = np.random.default_rng(0).integers(0, 255, (128, 192, 3), np.uint8)
    model = diffbev_engine.load(checkpoint)
    large = model.predict(image, np.diag([2, 2, 1]) @ _MATRIX, name="a")
    small = model.predict(cv2.resize(image, (96, 64)), _MATRIX, name="a")
    assert (large.in_view == small.in_view).all()
    assert np.abs(large.probability - small.probability).max() < 1e-5


@pytest.mark.parametrize("damage", ["number", "shape", "type"])
def test_what_is_no_image_or_camera_is_refused_in_one_sentence(checkpoint, damage):
    image, matrix = np.zeros((64, 96, 3), np.uint8), _MATRIX.copy()
    if damage == "number":
        matrix[0, 0] = np.nan
    elif damage == "shape":
        image = image[..., 0]
    else:
        image = image.astype(np.float32)
    with pytest.raises(UsageError, match=r"finite 3x3 matrix|uint8, not"):
        diffbev_engine.load(checkpoint).predict(image, matrix)


def test_nothing_is_compiled_for_a_cpu(checkpoint):
    with pytest.raises(UsageError, match="compiling is for a GPU"):
        diffbev_engine.load(checkpoint, "cpu", compiled=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_compiled_kernels_give_nearly_the_same_map(checkpoint):
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    plain, fast = (
        [model.predict(image, _MATRIX, name="a").probability for _ in range(3)]
        for model in (diffbev_engine.load(checkpoint), diffbev_engine.load(checkpoint, compiled=True))
    )
    for one in fast:  # computed, captured, replayed
        assert np.abs(one - plain[0]).max() < 0.02


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "drive.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (96, 64))
    for number in range(12):
        writer.write(np.full((64, 96, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_a_video_is_predicted_frame_by_frame(checkpoint, video, tmp_path, program):
    out = tmp_path / "out"
    code, said = program("predict", checkpoint, video, *_NUMBERS, "--output-dir", out, "--every", 6, "--json")
    assert code == 0, said
    names = ["drive_000000", "drive_000006"]
    assert sorted(path.stem for path in out.glob("*.npz")) == names
    assert [one["name"] for one in json.loads(said[said.index("[") : said.rindex("]") + 1])] == names


def test_a_video_that_ends_early_keeps_its_frames_and_says_so(video):
    cut = video.with_name("cut.avi")
    writer = cv2.VideoWriter(str(cut), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for number in range(12):
        writer.write(np.random.default_rng(number).integers(0, 255, (64, 96, 3), np.uint8))
    writer.release()
    content = cut.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    seen = []
    with pytest.raises(DiffBEVError, match=r"cut.avi ends after \d+ of 12 frames"):
        seen.extend(frame.name for frame in frames_of(cut))
    assert seen[0] == "cut_000000"
    video.write_bytes(b"no video")
    with pytest.raises(DiffBEVError, match=r"no frame of the video .* can be decoded"):
        list(frames_of(video))


def test_sources_that_cannot_be_used_are_named_before_anything_is_predicted(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.png").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    for sources, words in (
        ([tmp_path / "a", tmp_path / "b"], "have the same name"),
        ([tmp_path / "empty"], "holds no image"),
        ([tmp_path / "notes.txt"], "neither an image nor a video"),
        ([tmp_path / "absent.png"], "no file"),
    ):
        with pytest.raises(UsageError, match=words):
            list_files(sources)


def test_a_camera_is_given_once_and_whole(checkpoint, tmp_path, program):
    image = tmp_path / "a.png"
    cv2.imwrite(str(image), np.zeros((64, 96, 3), np.uint8))
    for given in ((), _NUMBERS[:4], (*_NUMBERS, "--intrinsics", "calib.json")):
        code, said = program("predict", checkpoint, image, *given, "--output-dir", tmp_path / "out")
        assert (code, "either --intrinsics FILE, or all of" in said) == (2, True)
