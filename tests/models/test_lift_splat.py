"""The column-collapsed splat against the definition: every frustum point goes to its own cell."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffbev_engine.models.geometry import LiftMode, frustum
from diffbev_engine.models.lift_splat import LiftSplat
from diffbev_engine.models.settings import LiftSettings

MODES: tuple[LiftMode, ...] = ("upstream", "aligned")
CAM_FRONT = np.array([[1266.417, 0, 816.267], [0, 1266.417, 491.507], [0, 0, 1]])
SIZE, STRIDE = (70, 130), 32  # neither is a multiple of the stride


def random_camera(seed: int) -> np.ndarray:
    """Intrinsics of a camera of any opening angle, representable in float32."""
    rng = np.random.default_rng(seed)
    fx, fy = rng.uniform(30, 400, 2)
    cx, cy = rng.uniform(0, SIZE[1]), rng.uniform(0, SIZE[0])
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32)


def small_lift(mode: LiftMode, channels: int = 3) -> LiftSplat:
    return LiftSplat(8, LiftSettings(mode=mode, channels=channels), SIZE, STRIDE)


def random_volume(lift: LiftSplat, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """Depth distribution (B, D, H, W) and context (B, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    rows, cols = lift.feature_size
    depth = torch.randn(batch, lift.num_bins, rows, cols, generator=generator).softmax(dim=1)
    return depth, torch.randn(batch, lift.channels, rows, cols, generator=generator)


def cell_of(point: np.ndarray) -> tuple[int, int] | None:
    """(row, column) of a camera-frame point, None outside of the volume."""
    x, y, z = point
    col, row, level = np.floor((x + 25) / 0.5), np.floor((z - 1) / 0.5), np.floor((y + 10) / 20)
    return (int(row), int(col)) if 0 <= col < 100 and 0 <= row < 98 and level == 0 else None


def splat_by_loops(mode: LiftMode, depth: np.ndarray, context: np.ndarray, k: np.ndarray) -> np.ndarray:
    points = frustum(mode, SIZE, STRIDE)
    inverse = np.linalg.inv(k.astype(np.float64))
    bev = np.zeros((context.shape[0], 98, 100))
    for (i, d), (h, v), (w, u) in product(enumerate(points.depths), enumerate(points.v), enumerate(points.u)):
        cell = cell_of(inverse @ np.array([u * d, v * d, d]))
        if cell:
            bev[:, cell[0], cell[1]] += depth[i, h, w] * context[:, h, w]
    return bev


def splat_materialised(mode: LiftMode, depth: Tensor, context: Tensor, k: Tensor) -> Tensor:
    """All points at once, in float64 and differentiable: B x C x 98 x 100."""
    points = frustum(mode, SIZE, STRIDE)
    d, v, u = np.meshgrid(points.depths, points.v, points.u, indexing="ij")
    pixels = torch.from_numpy(np.stack([u * d, v * d, d], axis=-1))  # D x H x W x 3
    # By substitution, not by an inverse that is rounded: a depth may be the border of a cell.
    rays = torch.linalg.solve_triangular(k.double(), pixels.flatten(0, 2).T, upper=True)  # B x 3 x DHW
    points_BDHW3 = rays.mT.unflatten(1, pixels.shape[:3])
    lower = torch.tensor([-25.0, -10.0, 1.0], dtype=torch.float64)
    cell = torch.tensor([0.5, 20.0, 0.5], dtype=torch.float64)
    x, y, z = ((points_BDHW3 - lower) / cell).floor().long().unbind(-1)
    keep = (x >= 0) & (x < 100) & (y == 0) & (z >= 0) & (z < 98)  # B x D x H x W
    volume = depth.double()[:, None] * context.double()[:, :, None]  # B x C x D x H x W
    batch, channels = context.shape[:2]
    index = (torch.arange(batch)[:, None, None, None] * 98 + z) * 100 + x
    rows = volume.movedim(1, -1)[keep]  # points x C
    bev = torch.zeros(batch * 9800, channels, dtype=torch.float64).index_add(0, index[keep], rows)
    return bev.view(batch, 98, 100, channels).permute(0, 3, 1, 2)


@pytest.mark.parametrize("mode", MODES)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=8)
def test_splat_equals_the_triple_loop(mode: LiftMode, seed: int):
    lift = small_lift(mode)
    depth, context = random_volume(lift, 1, seed)
    k = random_camera(seed)
    bev = lift.splat(depth, context, torch.from_numpy(k)[None])
    wanted = splat_by_loops(mode, depth[0].double().numpy(), context[0].double().numpy(), k)
    np.testing.assert_allclose(bev[0].numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_values_and_gradients_equal_the_materialised_frustum(mode: LiftMode, seed: int):
    lift = small_lift(mode)
    depth, context = (x.requires_grad_() for x in random_volume(lift, 3, seed))
    k = torch.from_numpy(np.stack([random_camera(seed + i) for i in range(3)]))
    bev, wanted = lift.splat(depth, context, k), splat_materialised(mode, depth, context, k)
    torch.testing.assert_close(bev.double(), wanted, atol=1e-6, rtol=1e-5)
    weight = torch.randn(bev.shape, generator=torch.Generator().manual_seed(seed))
    grads = torch.autograd.grad((bev * weight).sum(), (depth, context))
    wanted_grads = torch.autograd.grad((wanted * weight).sum(), (depth, context))
    torch.testing.assert_close(grads, wanted_grads, atol=1e-5, rtol=1e-5)


def occupied_cells(mode: LiftMode, batch: int = 1) -> Tensor:
    """Mask (98, 100) of the cells that the front camera of nuScenes reaches at 600 x 800."""
    lift = LiftSplat(4, LiftSettings(mode=mode), (600, 800), 32)
    k = torch.from_numpy(np.diag([800 / 1600, 600 / 900, 1]) @ CAM_FRONT).float()[None]
    ones = torch.ones(batch, lift.num_bins, *lift.feature_size)
    return lift.splat(ones, ones[:, :1], k)[0, 0] > 0


def test_upstream_lift_reaches_49_rows_and_1087_cells():
    occupied = occupied_cells("upstream")
    assert occupied.any(dim=1).sum() == 49
    assert occupied[::2].any(dim=1).all()  # every second row, the nearest one included
    assert occupied.sum() == 1087


def test_aligned_lift_reaches_all_rows_and_twice_the_cells():
    occupied = occupied_cells("aligned")
    assert occupied.any(dim=1).all()
    assert occupied.sum() > 2 * 1087


def test_row_0_is_near_and_column_0_is_left():
    lift = LiftSplat(4, LiftSettings(mode="aligned", channels=1), (64, 64), 32)
    k = torch.tensor([[[32.0, 0, 31.5], [0, 32.0, 31.5], [0, 0, 1]]])
    depth = torch.zeros(1, 98, 2, 2)
    depth[0, 4, 0, 0] = 1.0  # left feature, u = 15.5, at 3.25 m: x = -0.5 * 3.25 = -1.625 m
    bev = lift.splat(depth, torch.ones(1, 1, 2, 2), k)
    assert torch.nonzero(bev[0, 0]).tolist() == [[4, 46]]  # floor((-1.625 + 25) / 0.5) = 46


def test_points_far_above_the_axis_are_dropped():
    settings = LiftSettings(mode="aligned", channels=1, height_limit=1.0)
    lift = LiftSplat(4, settings, (64, 64), 32)
    k = torch.tensor([[[32.0, 0, 31.5], [0, 32.0, 31.5], [0, 0, 1]]])
    mass = lift.splat(torch.ones(1, 98, 2, 2), torch.ones(1, 1, 2, 2), k)[0, 0].sum(dim=1)  # per row
    depths = torch.arange(98) * 0.5 + 1.25
    torch.testing.assert_close(mass > 0, 0.5 * depths < 1.0)  # both feature rows are at |y| = z / 2


def test_forward_returns_a_distribution_weighted_feature_and_raw_logits():
    lift = small_lift("upstream")
    features = torch.randn(2, 8, 3, 5)  # one row and one column more than the frustum has
    k = torch.from_numpy(np.stack([random_camera(i) for i in range(2)]))
    bev, depth_logits = lift(features, k)
    assert bev.shape == (2, 3, 98, 100)
    assert bev.is_contiguous()
    assert depth_logits.shape == (2, 49, 2, 4)
    outputs = lift.depth_net(features[:, :, :2, :4])
    torch.testing.assert_close(depth_logits, outputs[:, :49])
    wanted = splat_materialised("upstream", depth_logits.softmax(1), outputs[:, 49:], k)
    torch.testing.assert_close(bev.double(), wanted, atol=1e-5, rtol=1e-5)


def test_sums_stay_in_float32_under_autocast():
    lift = small_lift("aligned")
    depth, context = random_volume(lift, 1, 0)
    k = torch.from_numpy(random_camera(0))[None]
    with torch.autocast("cpu", torch.bfloat16):
        bev = lift.splat(depth, context, k)
    assert bev.dtype == torch.float32
    torch.testing.assert_close(bev, lift.splat(depth, context, k))


def test_features_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="the lift needs"):
        small_lift("aligned")(torch.randn(1, 8, 2, 4), torch.eye(3)[None])


@pytest.mark.parametrize("mode", MODES)
def test_lift_compiles_without_graph_breaks(mode: LiftMode):
    lift = small_lift(mode)
    features = torch.randn(2, 8, 3, 5)
    k = torch.from_numpy(np.stack([random_camera(i) for i in range(2)]))
    compiled = torch.compile(lift, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(features, k).bev, lift(features, k).bev)


def test_default_depth_net_has_86897_parameters():
    lift = LiftSplat(768, LiftSettings(), (600, 800), 32)
    assert sum(p.numel() for p in lift.parameters()) == 86_897


@pytest.mark.parametrize("mode", MODES)
def test_the_portable_sum_is_the_same_to_the_last_bit(mode):
    lift = small_lift(mode, channels=5)
    for seed in range(15):
        depth, context = random_volume(lift, 2, seed)
        cameras = torch.from_numpy(np.stack([random_camera(seed), random_camera(seed + 100)]))
        columns = lift.columns(cameras)
        scattered = lift._sum_into_cells(depth, context, columns)
        assert torch.equal(scattered, lift._sum_by_products(depth, context, columns))


def test_a_fixed_camera_is_found_once_and_takes_no_other():
    lift = small_lift("aligned")
    depth, context = random_volume(lift, 2, 0)
    camera, other = (torch.from_numpy(random_camera(seed)).expand(2, 3, 3) for seed in (0, 1))
    expected = lift.splat(depth, context, camera)
    assert not torch.equal(expected, lift.splat(depth, context, other))
    lift.fix_camera(camera[0])
    for portable in (False, True):
        lift.portable = portable
        assert torch.equal(expected, lift.splat(depth, context, other))
