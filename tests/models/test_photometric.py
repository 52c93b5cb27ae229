"""The distortion against OpenCV's colour conversion, one branch at a time."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from diffbev_engine.models.photometric import (
    Distortion,
    distort,
    draw_distortion,
    normalise,
)
from diffbev_engine.models.seeding import seeded_generator


def forced(
    batch: int = 1,
    brightness: float = 0.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    hue: float = 0.0,
    contrast_first: bool = True,
) -> Distortion:
    values = (brightness, contrast, saturation, hue)
    return Distortion(*(torch.full((batch,), v) for v in values), torch.full((batch,), contrast_first))


def random_images(batch: int = 1, size: int = 64) -> Tensor:
    """Noise, with grey, black, white and pure colours in a corner of the first image."""
    images = torch.randint(0, 256, (batch, 3, size, size), generator=torch.Generator().manual_seed(1))
    special = [(0, 0, 0), (255, 255, 255), (90, 90, 90), (255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 8)]
    images[0, :, 0, : len(special)] = torch.tensor(special).T
    return images.byte()


def to_hwc(images: Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).numpy()


def by_opencv(rgb: np.ndarray, brightness, contrast, saturation, hue, contrast_first) -> np.ndarray:
    """The same steps with OpenCV's float HSV (hue 0-360, saturation 0-1)."""
    x = np.clip(rgb.astype(np.float32) + brightness, 0, 255)
    if contrast_first:
        x = np.clip(x * contrast, 0, 255)
    hsv = cv2.cvtColor((x / 255).astype(np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 1)
    hsv[..., 0] = (hsv[..., 0] + 2 * hue) % 360
    x = 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return x if contrast_first else np.clip(x * contrast, 0, 255)


@pytest.mark.parametrize(
    "steps",
    [
        {"brightness": 31.5},
        {"brightness": -31.5},
        {"contrast": 1.5},
        {"contrast": 0.5, "contrast_first": False},
        {"saturation": 0.5},
        {"saturation": 1.5},
        {"hue": 17.0},
        {"hue": -18.0},
        {"brightness": 20.0, "contrast": 1.4, "saturation": 1.3, "hue": -9.0, "contrast_first": True},
        {"brightness": 20.0, "contrast": 1.4, "saturation": 1.3, "hue": -9.0, "contrast_first": False},
    ],
    ids=str,
)
def test_each_branch_agrees_with_opencv(steps: dict):
    images = random_images()
    draws = forced(**steps)
    wanted = by_opencv(to_hwc(images), *(draw.item() for draw in draws))
    np.testing.assert_allclose(to_hwc(distort(images, draws)), wanted, atol=0.05)


def test_8_bit_hsv_differs_by_its_own_rounding_only():
    # Few hues and full range, where 2-degree hue steps are coarse; the mean must still agree.
    images = random_images()
    hsv = cv2.cvtColor(to_hwc(images), cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.clip(hsv[..., 1].astype(np.float32) * 1.2, 0, 255).astype(np.uint8)
    hsv[..., 0] = (hsv[..., 0].astype(int) + 10) % 180
    wanted = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)
    error = np.abs(to_hwc(distort(images, forced(saturation=1.2, hue=10.0))) - wanted)
    assert error.mean() < 2
    assert error.max() < 10


def test_no_branch_taken_is_the_identity_to_the_last_bit():
    images = random_images(4)
    assert torch.equal(distort(images, forced(4)), images.float())


def test_hue_turned_all_the_way_round_returns():
    images = random_images()
    torch.testing.assert_close(distort(images, forced(hue=180.0)), images.float(), atol=1e-3, rtol=0)


def test_images_of_a_batch_are_distorted_independently():
    images = random_images(6)
    draws = draw_distortion(6, torch.Generator().manual_seed(3))
    together = distort(images, draws)
    for i in range(6):
        alone = distort(images[i : i + 1], Distortion(*(draw[i : i + 1] for draw in draws)))
        assert torch.equal(together[i : i + 1], alone)


def test_memory_layout_does_not_matter():
    images = random_images(2)
    draws = draw_distortion(2, torch.Generator().manual_seed(5))
    innermost = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(distort(images, draws), distort(innermost, draws))


def test_draws_follow_the_published_ranges():
    draws = draw_distortion(20_000, torch.Generator().manual_seed(0))
    for draw, identity in zip(draws[:4], (0, 1, 1, 0), strict=True):
        # Hue has one identity step among its 36.
        assert (draw != identity).float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert draws.brightness.abs().max() <= 32
    assert draws.brightness.abs().max() > 31
    for factor in (draws.contrast, draws.saturation):
        assert 0.5 <= factor.min() < 0.51
        assert 1.49 < factor.max() <= 1.5
    assert set(draws.hue.unique().tolist()) == set(range(-18, 18))
    assert draws.contrast_first.float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_draws_are_a_pure_function_of_seed_iteration_and_rank():
    def draws(*key: int) -> Tensor:
        return torch.stack([draw.float() for draw in draw_distortion(8, seeded_generator("cpu", *key))])

    assert torch.equal(draws(1, 2), draws(1, 2))
    others = [(2, 1), (1, 3), (1, 2, 1), (1, 2**32 + 2), (2**32 + 1, 2)]
    assert not any(torch.equal(draws(1, 2), draws(*other)) for other in others)


def test_normalise_gives_zero_at_the_mean_and_one_a_deviation_above():
    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
    torch.testing.assert_close(normalise(mean.expand(2, 3, 4, 5), mean, std), torch.zeros(2, 3, 4, 5))
    torch.testing.assert_close(normalise((mean + std).expand(2, 3, 4, 5), mean, std), torch.ones(2, 3, 4, 5))


def test_distortion_compiles_without_graph_breaks():
    images, draws = random_images(2), draw_distortion(2, torch.Generator().manual_seed(0))
    compiled = torch.compile(distort, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images, draws), distort(images, draws))
