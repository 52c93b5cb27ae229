"""The calibrations of other programs give one camera; what cannot be one is a sentence."""

import cv2
import numpy as np
import pytest

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.predict.calibration import read_calibration
from diffbev_engine.predict.camera import Camera

_OPENCV = """%YAML:1.0
---
image_width: 1600
image_height: 900
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 1266.4, 0., 816.2, 0., 1260.5, 491.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ -3.0e-01, 1.0e-01, 1.0e-03, 0., 0. ]
"""
_ROS_FILE = """image_width: 1600
image_height: 900
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [1266.4, 0, 816.2, 0, 1260.5, 491.5, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0.1, 0.001, 0, 0]}
"""
_ROS_TOPIC = """header:
  frame_id: front
height: 900
width: 1600
distortion_model: plumb_bob
d: [-0.3, 0.1, 0.001, 0.0, 0.0]
k: [1266.4, 0.0, 816.2, 0.0, 1260.5, 491.5, 0.0, 0.0, 1.0]
---
height: 1
"""
_COLMAP = "# Camera list\n7 FULL_OPENCV 1600 900 1266.4 1260.5 816.7 492 -0.3 0.1 0.001 0 0 0 0 0\n"


@pytest.mark.parametrize("text", [_OPENCV, _ROS_FILE, _ROS_TOPIC, _COLMAP])
def test_calibrations_of_other_programs_give_one_camera(text, tmp_path):
    (tmp_path / "camera").write_text(text)
    camera = read_calibration(tmp_path / "camera")("any")
    assert camera.matrix == pytest.approx(np.array([[1266.4, 0, 816.2], [0, 1260.5, 491.5], [0, 0, 1]]))
    assert camera.size == (1600, 900)
    assert camera.distortion[:4] == pytest.approx((-0.3, 0.1, 0.001, 0.0))
    assert not camera.fisheye
    assert camera.scaled_to(800, 450)[0, 0] == pytest.approx(633.2)
    with pytest.raises(ValueError, match="cropped or stretched"):
        camera.scaled_to(800, 600)


@pytest.mark.parametrize(
    ("line", "distortion", "fisheye"),
    [
        ("1 SIMPLE_PINHOLE 90 60 80 45.5 30.5", (), False),
        ("1 PINHOLE 90 60 80 80 45.5 30.5", (), False),
        ("1 SIMPLE_RADIAL 90 60 80 45.5 30.5 0.1", (0.1, 0, 0, 0), False),
        ("1 RADIAL 90 60 80 45.5 30.5 0.1 0.2", (0.1, 0.2, 0, 0), False),
        ("1 OPENCV_FISHEYE 90 60 80 80 45.5 30.5 0.1 0.2 0.3 0.4", (0.1, 0.2, 0.3, 0.4), True),
    ],
)
def test_the_models_of_colmap(line, distortion, fisheye, tmp_path):
    (tmp_path / "cameras.txt").write_text(line)
    camera = read_calibration(tmp_path / "cameras.txt")("any")
    assert (camera.matrix == [[80, 0, 45], [0, 80, 30], [0, 0, 1]]).all()
    assert (camera.distortion, camera.fisheye) == (distortion, fisheye)


@pytest.mark.parametrize(
    ("theirs", "other"),
    [
        ("camera_matrix", "Camera_Matrix"),  # OpenCV 2.4
        ("camera_matrix", "cameraMatrix"),
        ("camera_matrix", "K"),
        ("distortion_coefficients", "Distortion_Coefficients"),
        ("distortion_coefficients", "dist_coeffs"),  # OpenCV's interactive-calibration, and its ArUco samples
        ("distortion_coefficients", "distCoeffs"),
        ("distortion_coefficients", "D"),
        ("image_width", "image_Width"),
    ],
)
def test_what_the_same_is_called_by_other_programs(theirs, other, tmp_path):
    (tmp_path / "camera").write_text(_OPENCV.replace(theirs, other))
    camera = read_calibration(tmp_path / "camera")("any")
    assert (camera.matrix[0, 0], camera.size, camera.distortion[0]) == (1266.4, (1600, 900), -0.3)


@pytest.mark.parametrize("fisheye", [0, 1])
def test_a_fisheye_camera_of_opencv_is_one(fisheye, tmp_path):
    text = _OPENCV.replace("cols: 5", "cols: 4").replace("0., 0. ]\n", "0. ]\n")
    (tmp_path / "camera").write_text(text + f"fisheye_model: {fisheye}\n")
    camera = read_calibration(tmp_path / "camera")("any")
    assert (camera.fisheye, camera.distortion) == (bool(fisheye), (-0.3, 0.1, 0.001, 0.0))


@pytest.mark.parametrize("distortion", [(), (0.0, 0.0, 0.0, 0.0)])
def test_a_fisheye_lens_without_coefficients_is_no_pinhole_camera(distortion):
    matrix = np.array([[40.0, 0.0, 48.0], [0.0, 40.0, 32.0], [0.0, 0.0, 1.0]])
    image = np.zeros((64, 96, 3), np.uint8)
    image[32, 48 + round(40 * np.arctan(0.8)) :] = 255  # an edge at x / z = 0.8
    straight = Camera(matrix, None, distortion, fisheye=True).undistort(image)[32, :, 0]
    assert np.flatnonzero(straight > 127)[0] == pytest.approx(48 + 40 * 0.8, abs=1)
    assert np.array_equal(Camera(matrix, None, distortion).undistort(image), image)


@pytest.mark.parametrize("fisheye", [False, True])
def test_images_are_undistorted_to_the_pinhole_camera_of_the_same_matrix(fisheye):
    matrix = np.array([[80.0, 0.0, 48.0], [0.0, 80.0, 32.0], [0.0, 0.0, 1.0]])
    coefficients = (-0.3, 0.05, 0.0, 0.0)
    point = np.array([[[0.5, -0.3]]])
    project = cv2.fisheye.distortPoints if fisheye else None
    if project:
        seen = project(point, matrix, np.array(coefficients))[0, 0]
    else:
        ahead = np.array([[0.5, -0.3, 1.0]])
        seen = cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), matrix, np.array(coefficients))[0][0, 0]
    image = np.zeros((64, 96, 3), np.uint8)
    image = cv2.circle(image, np.round(seen * 16).astype(int).tolist(), 32, (255, 255, 255), -1, shift=4)
    straight = Camera(matrix, None, coefficients, fisheye).undistort(image)[..., 0].astype(float)
    rows, columns = np.indices(straight.shape)
    centre = (straight * columns).sum() / straight.sum(), (straight * rows).sum() / straight.sum()
    assert centre == pytest.approx((48 + 80 * 0.5, 32 - 80 * 0.3), abs=0.6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 THIN_PRISM_FISHEYE 90 60 " + "1 " * 12, "THIN_PRISM_FISHEYE with 12 parameters is not supported"),
        ("1 PINHOLE 90 60 nan 80 45 30", "not a finite 3x3 matrix"),
        ("1 PINHOLE 90 60 -80 80 45 30", "not \\[\\[fx, 0, cx\\]"),
        (_ROS_TOPIC.replace("plumb_bob", "fov"), "distortion_model fov is not supported"),
        (_ROS_FILE.replace("1266.4", ".nan"), "not a finite 3x3 matrix"),
        (_ROS_FILE.replace("1266.4", "[1, 2]"), "10 numbers|no number"),
        (_ROS_FILE.replace("-0.3", ".inf"), "distortion coefficients that are not finite"),
        (_OPENCV.replace("tion_coefficients", "tion_params"), "its distortion_params is unknown; call it"),
        (_ROS_FILE.replace("image_width", "w"), "no image_width and image_height"),
        ("a: &a [1]\nk: *a", "refers to another part"),
        ("k: !!python/object/apply:os.system ['true']", "neither YAML nor a cameras.txt"),
        ("[" * 20_000, "neither YAML nor a cameras.txt"),
        ("<?xml version='1.0'?><opencv_storage>", "it is XML; OpenCV writes YAML"),
        ("\udcff\udcfe", "it is no text .*cameras.txt, not cameras.bin"),
        ("hello", "neither YAML nor a cameras.txt"),
        ("x" * 70_000, "too large"),
    ],
)
def test_what_is_no_camera_is_one_sentence(text, words, tmp_path):
    (tmp_path / "camera.yaml").write_text(text, errors="surrogateescape")
    with pytest.raises(DiffBEVError, match=words) as told:
        read_calibration(tmp_path / "camera.yaml")
    assert len(str(told.value)) < 500


def test_one_of_several_cameras_is_chosen(tmp_path):
    path = tmp_path / "cameras.txt"
    path.write_text("1 PINHOLE 90 60 80 80 45 30\n2 PINHOLE 90 60 70 70 45 30\n")
    assert read_calibration(path, "2")("any").matrix[0, 0] == 70
    for chosen in (None, "3"):
        with pytest.raises(UsageError, match="--camera-id"):
            read_calibration(path, chosen)


def test_images_of_a_data_root_have_their_own_cameras(tiny_root):
    camera_of = read_calibration(tiny_root / "calib.json")
    assert camera_of(f"val{0:027d}").matrix[0, 0] == 80
    with pytest.raises(DiffBEVError, match="holds no intrinsics for foreign"):
        camera_of("foreign")
