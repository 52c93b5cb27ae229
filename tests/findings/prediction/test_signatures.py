"""Every signature, provoked in real files or in the weights of a network that has learned them."""

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from diffbev_engine.core.classes import CLASS_PRIORS
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.dataset.records import read_records
from diffbev_engine.findings.prediction.causes import CAUSES
from diffbev_engine.findings.prediction.diagnosis import healthy
from diffbev_engine.prepare.depth import write_depth
from diffbev_engine.prepare.encoding import read_label, write_label

WEIGHT, BIAS = "head.classifier.weight", "head.classifier.bias"
CLASS_BITS = (1 << 14) - 1
OUTSIDE = (1 << 14) | (1 << 15)


def _causes(diagnosis):
    return [finding.id for finding in diagnosis.findings]


def _evidence(diagnosis):
    return " ".join(text.en for text in diagnosis.findings[0].evidence)


def test_healthy(examine):
    diagnosis = examine()
    assert _causes(diagnosis) == ["healthy"]
    assert diagnosis.predictions.result.miou > 0.5
    assert diagnosis.predictions.references["truth"].miou == 1.0
    assert all(view.fits_its_camera for view in diagnosis.labels.views)
    assert diagnosis.labels.mean_separation()["identity"] > 0.99
    assert "4 of 4 labels match" in _evidence(diagnosis)


def test_a_healthy_score_close_to_that_of_a_constant_answer_is_called_so(examine):
    diagnosis = examine()
    assert "slightly better" not in _evidence(diagnosis)
    score = diagnosis.predictions.result
    close = replace(diagnosis.predictions, references={"all_positive": score, "drivable_only": score})
    assert "slightly better" in healthy(diagnosis.labels, close).evidence[1].en


# The model.


def _constant_scores(bias):
    def change(weights):
        weights[WEIGHT].zero_()
        for number in range(14):
            weights[BIAS][number] = bias(number)

    return change


def _never(*classes):
    def change(weights):
        for number in classes:
            weights[WEIGHT][number] = 0
            weights[BIAS][number] = -50

    return change


def test_initial_state(examine):
    diagnosis = examine(_constant_scores(lambda c: math.log(CLASS_PRIORS[c] / (1 - CLASS_PRIORS[c]))))
    assert _causes(diagnosis) == ["all_negative"]
    assert "initial state" in _evidence(diagnosis)
    assert diagnosis.predictions.result.miou == 0


def test_dead_head(examine):
    diagnosis = examine(_constant_scores(lambda _c: -4.0))
    assert _causes(diagnosis) == ["all_negative"]
    assert "dead head" in _evidence(diagnosis)


def test_all_positive(examine):
    diagnosis = examine(_constant_scores(lambda _c: 4.0))
    assert _causes(diagnosis) == ["all_positive"]
    reference = diagnosis.predictions.references["all_positive"].miou
    assert diagnosis.predictions.result.miou == reference
    assert f"{reference:.4f}" in _evidence(diagnosis)


def test_not_finite(examine):
    assert _causes(examine(_constant_scores(lambda _c: math.nan))) == ["not_finite"]


def test_all_drivable_whatever_the_image(examine):
    diagnosis = examine(_constant_scores(lambda c: 4.0 if c == 0 else -4.0))
    assert _causes(diagnosis) == ["collapse"]
    assert "all drivable" in _evidence(diagnosis)
    assert diagnosis.to_json()["collapsed"] is True


def test_blind_to_the_image(examine):
    def blind(weights):
        weights["lift.depth_net.weight"].zero_()
        weights[BIAS][:4] += 20

    assert _causes(examine(blind, camera="CAM_FRONT")) == ["constant"]


def test_drivable_only(examine):
    diagnosis = examine(_never(*range(1, 14)))
    assert _causes(diagnosis) == ["drivable_only"]
    assert "recall of 0.0000" in _evidence(diagnosis)


def test_drivable_and_a_few_wrong_cars(examine):
    def change(weights):
        for name in (WEIGHT, BIAS):
            weights[name][12] = weights[name][4].clone()  # cars are called cones
        _never(*range(1, 12), 13)(weights)

    diagnosis = examine(change)
    assert _causes(diagnosis) == ["drivable_only"]
    assert diagnosis.predictions.result.counts[12].false_positive > 100


def test_collapse_to_another_class(examine):
    def change(weights):
        weights[WEIGHT][6], weights[BIAS][6] = weights[WEIGHT][0].clone(), weights[BIAS][0].clone()
        _never(0, 4, 9)(weights)

    diagnosis = examine(change)
    assert _causes(diagnosis) == ["collapse"]
    assert "are bus, but only 0.0% of the labels" in _evidence(diagnosis)


def test_classes_in_another_order(examine):
    def change(weights):
        for name in (WEIGHT, BIAS):
            weights[name].copy_(weights[name].roll(2, dims=0))

    assert _causes(examine(change)) == ["no_better_than_constant"]


def test_the_main_class_under_another_name(examine):
    """Cars are found, so the mean alone would not tell."""

    def change(weights):
        for name in (WEIGHT, BIAS):
            weights[name][[0, 6]] = weights[name][[6, 0]]

    diagnosis = examine(change)
    assert _causes(diagnosis) == ["no_better_than_constant"]
    assert "drivable_area, the most frequent class" in _evidence(diagnosis)


# Axes.


def _swap(planes):
    return cv2.resize(planes.T, planes.shape[::-1], interpolation=cv2.INTER_NEAREST)


AXES = {"near_far": np.flipud, "left_right": np.fliplr, "swapped": _swap}


@pytest.mark.parametrize("name", AXES)
def test_prediction_and_label_disagree_on_axes(examine, rewrite, name):
    """The masks are right, so only the prediction can tell."""
    rewrite(lambda label: AXES[name](label & CLASS_BITS) | (label & OUTSIDE))
    diagnosis = examine()
    assert _causes(diagnosis)[0] == "prediction_axes"
    best = max(diagnosis.predictions.changed.items(), key=lambda item: item[1].miou)[0]
    assert best == name
    assert "4 of 4 images score better" in _evidence(diagnosis)


@pytest.mark.parametrize("name", ["near_far", "swapped"])
def test_whole_labels_with_wrong_axes(examine, rewrite, name):
    rewrite(AXES[name])
    diagnosis = examine()
    assert _causes(diagnosis)[0] == "label_axes"
    separation = diagnosis.labels.mean_separation()
    assert separation[name] > 0.95
    assert f"{separation[name]:+.2f}" in _evidence(diagnosis)


@pytest.fixture
def with_depth(root):
    """Depth of a world in which a wall stands 8 m ahead on the left; the rest is open."""
    folder = root / "ann_bev_dir/val_depth"
    folder.mkdir()
    for record in read_records(root, "val", "all"):
        label = read_label(record.label)
        label[28:, :80] |= 1 << 14  # hidden behind the wall: 8 m ahead, left of x = -5 m
        write_label(record.label, label)
        fx, cx = record.intrinsics[0, 0], record.intrinsics[0, 2]
        tangent = (np.arange(96) + 0.5 - cx) / fx
        visible = (label >> 14 & 1) == 0
        reach = [_farthest(visible, t) for t in tangent]
        depth = np.zeros((64, 96), np.float32)
        depth[40] = reach
        write_depth(folder / f"{record.token}.npz", depth, (depth > 0).astype(np.uint8))


def _farthest(visible, tangent):
    z = LABEL_GRID.corners_z()
    cols = np.floor((tangent * z - LABEL_GRID.x_min) / LABEL_GRID.cell).astype(int)
    inside = (cols >= 0) & (cols < LABEL_GRID.cols)
    seen = z[inside][visible[np.flatnonzero(inside), cols[inside]]]
    return seen.max(initial=0.0)


@pytest.mark.usefixtures("with_depth")
def test_lidar_tells_labels_that_are_flipped_left_to_right(examine, rewrite):
    """The wedge of the camera is its own mirror image."""
    assert _causes(examine()) == ["healthy"]
    rewrite(np.fliplr)
    diagnosis = examine()
    assert _causes(diagnosis)[0] == "label_axes"
    assert "left and right flipped (columns)" in _evidence(diagnosis)
    assert "better in 4 of 4 images" in _evidence(diagnosis)
    assert diagnosis.labels.mean_separation()["identity"] > 0.95


def test_without_lidar_a_flip_is_said_to_be_unknown(examine):
    assert "labels alone cannot reveal a left-right flip" in examine().to_text("en")


def test_a_drivable_only_model_with_flipped_columns(examine, rewrite):
    rewrite(lambda label: np.fliplr(label & CLASS_BITS) | (label & OUTSIDE))
    assert _causes(examine(_never(*range(1, 14)))) == ["prediction_axes", "drivable_only"]


def test_a_drivable_only_model_with_flipped_columns_among_many_classes(examine, rewrite):
    """The mean over 14 classes hides what drivable area gains."""

    def change(label):
        changed = np.fliplr(label & CLASS_BITS) | (label & OUTSIDE)
        changed[115:135] |= 1  # a road across, which the model misses either way
        for number in range(1, 14):
            changed[20, 90 + number] = 1 << number
        return changed

    rewrite(change)
    diagnosis = examine(_never(*range(1, 14)))
    assert diagnosis.predictions.changed["left_right"].miou < diagnosis.predictions.result.miou + 0.02
    assert _causes(diagnosis) == ["prediction_axes", "drivable_only"]


# Labels.


def test_labels_with_bits_0_to_7(examine, rewrite):
    rewrite(lambda label: label & 0xFF)
    diagnosis = examine()
    assert _causes(diagnosis)[0] == "truncated_labels"
    assert "bit 14 (ignore) is never set" in _evidence(diagnosis)
    assert "bits 8-13" in _evidence(diagnosis)


def test_labels_in_8_bit_files(examine, root):
    for path in (root / "ann_bev_dir/val").iterdir():
        cv2.imwrite(str(path), read_label(path).astype(np.uint8))
    lines = []
    diagnosis = examine(say=lines.append)
    assert _causes(diagnosis) == ["truncated_labels"]
    assert "4 of 4 labels are 8-bit" in _evidence(diagnosis)
    assert diagnosis.predictions is None
    assert "model was not run" in diagnosis.to_text("en")
    assert lines == [f"labels: {CAUSES['truncated_labels'][0].en}"]


def test_one_damaged_label(examine, root):
    path = sorted((root / "ann_bev_dir/val").iterdir())[1]
    path.write_bytes(path.read_bytes()[:100])
    diagnosis = examine()
    assert _causes(diagnosis) == ["unreadable_labels"]
    assert str(path) in _evidence(diagnosis)
    assert diagnosis.predictions.images == 3


def test_labels_without_ignore_bit(examine, rewrite):
    rewrite(lambda label: label & CLASS_BITS)
    assert _causes(examine())[0] == "ignore_bit_missing"


def test_labels_with_255(examine, rewrite):
    def change(label):
        label[60:70, 95:105] = 255
        return label

    rewrite(change)
    diagnosis = examine()
    assert _causes(diagnosis)[0] == "out_of_range_bits"
    assert "6 classes or more" in _evidence(diagnosis)


def test_255_instead_of_the_ignore_bits(examine, rewrite):
    ignored = (1 << 14) | (1 << 15)
    rewrite(lambda label: np.where(label & ignored, 255, label).astype(np.uint16))
    assert _causes(examine())[0] == "out_of_range_bits"


def test_out_of_view_but_not_ignored(examine, rewrite):
    def change(label):
        label[:4] &= ~np.uint16(1 << 14)
        return label

    rewrite(change)
    diagnosis = examine()
    assert _causes(diagnosis)[0] == "out_of_range_bits"
    assert "bit 15" in _evidence(diagnosis)


@pytest.mark.parametrize("bits", [1 << 14, OUTSIDE], ids=["pon", "both"])
def test_inverted_ignore_mask(examine, rewrite, bits):
    rewrite(lambda label: label ^ np.uint16(bits))
    diagnosis = examine()
    assert _causes(diagnosis)[0] == "inverted_ignore"
    assert diagnosis.labels.views[0].separation_pon < -0.3


# Calibration.


@pytest.fixture
def recalibrate(root):
    """Change calib.json by a function of its tokens and (3, 3) arrays."""

    def apply(change):
        path = root / "calib.json"
        arrays = {token: np.array(rows) for token, rows in json.loads(path.read_text()).items()}
        path.write_text(json.dumps({token: k.tolist() for token, k in change(arrays).items()}))

    return apply


@pytest.mark.parametrize("scale", [0.28, 2.0])
@pytest.mark.parametrize("with_fov_bit", [True, False])
def test_intrinsics_of_another_image_size(examine, recalibrate, rewrite, scale, with_fov_bit):
    recalibrate(lambda all_k: {token: np.diag([scale, scale, 1]) @ k for token, k in all_k.items()})
    if not with_fov_bit:  # as other tools write labels
        rewrite(lambda label: label & np.uint16(0x7FFF))
    diagnosis = examine()
    assert _causes(diagnosis)[0] == "calibration_scale"
    assert f"{scale * 96:.0f} pixels wide" in _evidence(diagnosis)


def test_intrinsics_of_the_wrong_token(examine, recalibrate):
    def shift(all_k):
        tokens = sorted(all_k)
        return {token: all_k[tokens[number - 1]] for number, token in enumerate(tokens)}

    recalibrate(shift)
    diagnosis = examine()
    assert _causes(diagnosis)[0] == "calibration_pairing"
    assert "4 of them match the intrinsics of another token" in _evidence(diagnosis)


def test_one_shifted_principal_point(examine, recalibrate):
    def shift(all_k):
        all_k[min(all_k)][0, 2] += 20
        return all_k

    recalibrate(shift)
    diagnosis = examine()
    assert _causes(diagnosis)[0] == "calibration_mismatch"
    assert "1 of 4 labels do not fit" in _evidence(diagnosis)


# The sample.


def test_the_sample_is_random_but_seeded(examine):
    def drawn(seed):
        return [record.token for record in examine(samples=2, seed=seed).labels.readable]

    assert drawn(42) == drawn(42)
    assert len({tuple(drawn(seed)) for seed in range(6)}) > 1


def test_a_camera_that_is_not_there(examine):
    assert examine(camera="CAM_BACK").labels.images == 2
    with pytest.raises(UsageError, match="CAM_BACK, CAM_FRONT"):
        examine(camera="CAM_SIDE")


def test_every_cause_has_two_languages():
    for title, action in CAUSES.values():
        assert all((title.zh, title.en, action.zh, action.en))
