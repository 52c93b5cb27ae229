from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from diffbev_engine.nuscenes.tables import CameraFrame, LidarSweep, Tables
from diffbev_engine.prepare.depth import empty_depth, project_depth, write_depth
from diffbev_engine.prepare.lidar import read_sweep

HEIGHT, WIDTH = 600, 800


@pytest.fixture(scope="module")
def real_frames(nuscenes_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> list[CameraFrame]:
    return Tables.open(nuscenes_sample, cache_dir=tmp_path_factory.mktemp("cache")).frames(["CAM_FRONT"])


@pytest.fixture(scope="module")
def devkit(nuscenes_sample: Path):
    return pytest.importorskip("nuscenes").NuScenes("v1.0-mini", str(nuscenes_sample), verbose=False)


def camera_at_lidar(width: int = 160, height: int = 90) -> CameraFrame:
    """A camera whose frame is the LiDAR's: points can be given in the camera frame."""
    unmoved = np.eye(4)
    sweep = LidarSweep(Path("sweep"), unmoved, unmoved)
    intrinsics = np.array([[100.0, 0, width / 2], [0, 100.0, height / 2], [0, 0, 1]])
    return CameraFrame(
        token="t",
        sample_token="s",
        scene="scene-0001",
        location="x",
        camera="CAM_FRONT",
        timestamp=0,
        image_path=Path("image"),
        width=width,
        height=height,
        intrinsics=intrinsics,
        ego_from_camera=unmoved,
        world_from_ego=unmoved,
        lidar=sweep,
    )


def at_pixel(frame: CameraFrame, u: float, v: float, z: float) -> np.ndarray:
    return np.linalg.inv(frame.intrinsics) @ [u * z, v * z, z]


def devkit_projection(devkit, frame: CameraFrame, monkeypatch: pytest.MonkeyPatch | None):
    """(3, K) pixels u, v and depth; in float64 when the devkit's own float32 is patched away."""
    import nuscenes.nuscenes as module

    if monkeypatch is not None:
        read = module.LidarPointCloud.from_file

        def read_double(path: str):
            return module.LidarPointCloud(read(path).points.astype(np.float64))

        monkeypatch.setattr(module.LidarPointCloud, "from_file", read_double)
    lidar_token = devkit.get("sample", frame.sample_token)["data"]["LIDAR_TOP"]
    points, depth, _ = devkit.explorer.map_pointcloud_to_image(lidar_token, frame.token)
    if monkeypatch is not None:
        monkeypatch.undo()
    return np.vstack([points[:2], depth])


def nearest_by_hand(pixels: np.ndarray, scale: tuple[float, float]) -> dict[tuple[int, int], float]:
    """Pixel to least depth, point after point."""
    image: dict[tuple[int, int], float] = {}
    for u, v, z in pixels.T.tolist():
        if 1 <= np.float32(z) < 50:
            where = (int(v * scale[0]), int(u * scale[1]))
            image[where] = min(z, image.get(where, np.inf))
    return image


def test_depth_equals_the_devkits_projection_on_all_real_frames(
    devkit, real_frames: list[CameraFrame], monkeypatch: pytest.MonkeyPatch
):
    for frame in real_frames:
        pixels = devkit_projection(devkit, frame, monkeypatch)
        expected = nearest_by_hand(pixels, (HEIGHT / frame.height, WIDTH / frame.width))
        assert frame.lidar is not None
        depth, mask = project_depth(frame, read_sweep(frame.lidar.path), HEIGHT, WIDTH, 1.0, 50.0)
        assert mask.sum() == len(expected) > 1000
        rows, columns = np.array(list(expected)).T
        assert mask[rows, columns].all()
        np.testing.assert_allclose(depth[rows, columns], list(expected.values()), rtol=1e-6)


def test_depth_is_near_the_devkits_own_single_precision(devkit, real_frames: list[CameraFrame]):
    # World coordinates of a kilometre leave float32 a tenth of a millimetre: a few points
    # change pixel, or cross an edge of the image.
    for frame in real_frames[::10]:
        pixels = devkit_projection(devkit, frame, None)
        expected = nearest_by_hand(pixels, (HEIGHT / frame.height, WIDTH / frame.width))
        assert frame.lidar is not None
        depth, mask = project_depth(frame, read_sweep(frame.lidar.path), HEIGHT, WIDTH, 1.0, 50.0)
        assert abs(int(mask.sum()) - len(expected)) <= 0.005 * len(expected)
        shared = [where for where in expected if mask[where]]
        assert len(shared) >= 0.97 * len(expected)
        differences = [abs(float(depth[where]) - expected[where]) for where in shared]
        assert np.quantile(differences, 0.98) < 1e-3


def test_real_valid_ratio_and_range_are_as_expected(real_frames: list[CameraFrame]):
    for frame in real_frames[::20]:
        assert frame.lidar is not None
        depth, mask = project_depth(frame, read_sweep(frame.lidar.path), HEIGHT, WIDTH, 1.0, 50.0)
        assert 0.004 < mask.mean() < 0.008  # 2 to 4 thousand pixels
        assert depth[mask == 1].min() >= 1
        assert depth.max() < 50
        assert (depth[mask == 0] == 0).all()


def test_nearest_point_wins():
    frame = camera_at_lidar()
    points = np.array([at_pixel(frame, 40.2 + 0.1 * step, 30.5, z) for step, z in enumerate((9, 4, 30, 5))])
    depth, mask = project_depth(frame, points, 90, 160, 1.0, 50.0)
    assert mask.sum() == 1
    assert depth[30, 40] == pytest.approx(4.0)


@given(arrays(np.float64, (40, 3), elements=st.floats(-30, 60, width=32)), st.randoms())
def test_every_pixel_holds_its_nearest_point_in_any_order(points: np.ndarray, random):
    frame = camera_at_lidar()
    points = points[points[:, 2] > 1]
    u, v = (frame.intrinsics[:2] @ points.T) / points[:, 2]
    # A hair from the edge of a pixel, rounding decides; that is not what is asked here.
    clear = (np.abs(u / 4 - np.rint(u / 4)) > 1e-9) & (np.abs(v / 2 - np.rint(v / 2)) > 1e-9)
    inside = clear & (u > 1.01) & (u < 158.99) & (v > 1.01) & (v < 88.99)
    points, pixels = points[inside], np.vstack([u, v, points[:, 2]])[:, inside]

    depth, mask = project_depth(frame, points, 45, 40, 1.0, 50.0)
    expected = nearest_by_hand(pixels, (45 / 90, 40 / 160))
    hits = zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True)
    assert {where: float(depth[where]) for where in hits} == pytest.approx(expected)

    shuffled = points[random.sample(range(len(points)), len(points))]
    for one, other in zip((depth, mask), project_depth(frame, shuffled, 45, 40, 1.0, 50.0), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("u", "v", "z", "kept"),
    [
        (80, 45, 1.0, False),  # the devkit's least depth is exclusive
        (80, 45, 1.001, True),
        (80, 45, -5.0, False),
        (80, 45, 49.99, True),
        (80, 45, 50.0, False),
        (80, 45, 49.9999999, False),  # is 50 as float32
        (0.9, 45, 9, False),
        (1.1, 45, 9, True),
        (158.9, 45, 9, True),
        (159.1, 45, 9, False),
        (80, 0.9, 9, False),
        (80, 88.9, 9, True),
        (80, 89.1, 9, False),
    ],
)
def test_limits_of_depth_and_image(u: float, v: float, z: float, kept: bool):
    frame = camera_at_lidar()
    depth, mask = project_depth(frame, at_pixel(frame, u, v, z)[None], 90, 160, 1.0, 50.0)
    assert mask.sum() == kept
    assert (depth[int(v), int(u)] > 0) == kept


def test_depth_limits_are_the_callers():
    frame = camera_at_lidar()
    points = np.array([at_pixel(frame, 20.5 + 10 * step, 45.5, z) for step, z in enumerate((2, 3, 7, 8))])
    depth, _ = project_depth(frame, points, 90, 160, 3.0, 8.0)
    np.testing.assert_allclose(depth[45, [20, 30, 40, 50]], [0, 3, 7, 0])


def test_pixels_scale_each_axis_by_itself_and_round_down():
    frame = camera_at_lidar()
    depth, mask = project_depth(frame, at_pixel(frame, 101.9, 31.9, 6)[None], 60, 80, 1.0, 50.0)
    assert (depth.shape, depth.dtype) == ((60, 80), np.float32)
    assert (mask.shape, mask.dtype) == ((60, 80), np.uint8)
    assert depth[21, 50] == pytest.approx(6)  # 31.9 * 60 / 90 = 21.27, 101.9 * 80 / 160 = 50.95


def test_file_holds_both_arrays_and_equal_arrays_give_equal_files(tmp_path: Path):
    depth, mask = empty_depth(30, 40)
    depth[3, 4], mask[3, 4] = 12.345, 1
    for name in ("a.npz", "b.npz"):
        write_depth(tmp_path / name, depth, mask)
    with np.load(tmp_path / "a.npz") as stored:
        assert sorted(stored) == ["depth", "mask"]
        for expected, array in ((depth, stored["depth"]), (mask, stored["mask"])):
            np.testing.assert_array_equal(array, expected)
            assert array.dtype == expected.dtype
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.npz").stat().st_size < 1000
