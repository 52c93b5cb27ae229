"""From files to tensors, and which file is to blame."""

import dataclasses
import multiprocessing

import cv2
import numpy as np
import pytest
import torch

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.loader import BEVDataset, training_batches
from diffbev_engine.dataset.order import TrainingOrder
from diffbev_engine.dataset.records import read_records
from diffbev_engine.dataset.sample import collate, load_sample
from diffbev_engine.prepare.encoding import decode_label, read_label


@pytest.fixture
def record(tiny_root):
    return read_records(tiny_root, "train", "front")[3]


def test_planes_equal_the_label_file(record):
    batch = collate([load_sample(record, (64, 96))] * 2)
    decoded = decode_label(read_label(record.label))
    assert batch.classes().shape == (2, 14, 196, 200)
    np.testing.assert_array_equal(batch.classes()[1].numpy(), decoded.classes)
    np.testing.assert_array_equal(batch.valid("pon")[0].numpy(), decoded.valid)
    np.testing.assert_array_equal(batch.valid("fov")[0].numpy(), decoded.valid_fov)
    assert decoded.valid.sum() < decoded.valid_fov.sum() < decoded.valid_fov.size


def test_images_are_rgb_in_the_size_asked_for(record, tmp_path):
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((90, 160, 3), (10, 20, 200), np.uint8))  # BGR
    sample = load_sample(dataclasses.replace(record, image=path), (60, 80))
    assert sample.image.shape == (60, 80, 3)
    assert sample.image[30, 40].tolist() == [200, 20, 10]
    batch = collate([sample])
    assert batch.images.shape == (1, 3, 60, 80)
    assert batch.images[0, :, 30, 40].tolist() == [200, 20, 10]


def test_intrinsics_follow_the_image(record, tmp_path):
    path = tmp_path / "front.jpg"
    cv2.imwrite(str(path), np.zeros((900, 1600, 3), np.uint8))
    front = np.array([[1266.4, 0, 816.3], [0, 1266.4, 491.5], [0, 0, 1]])
    sample = load_sample(dataclasses.replace(record, image=path, intrinsics=front), (600, 800))
    expected = torch.tensor([[633.2, 0, 408.15], [0, 844.27, 327.67], [0, 0, 1]])
    torch.testing.assert_close(sample.intrinsics, expected, rtol=1e-4, atol=0.01)


def test_depth_is_read_in_metres_and_may_be_absent(record, tmp_path):
    path = tmp_path / "depth.npz"
    depth = np.zeros((64, 96), np.float32)
    depth[5, 7], depth[6, 8] = 12.5, 99.0
    mask = np.zeros((64, 96), np.uint8)
    mask[5, 7] = 1
    np.savez_compressed(path, depth=depth, mask=mask)

    loaded = load_sample(dataclasses.replace(record, depth=path), (64, 96), with_depth=True).depth
    assert loaded is not None
    assert loaded[5, 7] == 12.5
    assert loaded.count_nonzero() == 1

    absent = load_sample(dataclasses.replace(record, depth=tmp_path / "none.npz"), (64, 96), with_depth=True)
    assert absent.depth is not None
    assert absent.depth.count_nonzero() == 0
    with pytest.raises(DiffBEVError, match="prepare-depth --height 32 --width 96"):
        load_sample(dataclasses.replace(record, depth=path), (32, 96), with_depth=True)


def _truncated_jpeg(record, path):
    path.write_bytes(record.image.read_bytes()[:-300])
    return dataclasses.replace(record, image=path)


def _eight_bit_label(record, path):
    path = path.with_suffix(".png")
    cv2.imwrite(str(path), np.zeros((196, 200), np.uint8))
    return dataclasses.replace(record, label=path)


def _small_label(record, path):
    path = path.with_suffix(".png")
    cv2.imwrite(str(path), np.zeros((98, 100), np.uint16))
    return dataclasses.replace(record, label=path)


def _missing_image(record, path):
    return dataclasses.replace(record, image=path)


def _no_depth_archive(record, path):
    path.write_bytes(b"PK\x03\x04 not a zip file")
    return dataclasses.replace(record, depth=path)


DAMAGES = [_truncated_jpeg, _eight_bit_label, _small_label, _missing_image, _no_depth_archive]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_names_itself(record, tiny_settings, tmp_path, damage, workers):
    path = tmp_path / "damaged.jpg"
    settings = tiny_settings.data.model_copy(update={"load_depth": True})
    dataset = BEVDataset([record, damage(record, path)], settings)
    batches = training_batches(dataset, TrainingOrder(2, 2, seed=0), workers)

    with pytest.raises(DiffBEVError, match=r"damaged\.(jpg|png)") as caught:
        next(batches)
    assert "Traceback" not in str(caught.value)
    assert not [child for child in multiprocessing.active_children() if child.daemon]


def test_workers_deliver_the_same_batches_in_the_same_order(tiny_root, tiny_settings):
    dataset = BEVDataset(read_records(tiny_root, "train", "front"), tiny_settings.data)
    order = TrainingOrder(len(dataset), 3, seed=5, first_batch=2)
    alone, helped = (training_batches(dataset, order, workers) for workers in (0, 2))
    for _ in range(6):
        ours, theirs = next(alone), next(helped)
        assert ours.tokens == theirs.tokens
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.label, theirs.label)
    helped.close()
