"""The estimate before any measurement, against measurements that its constants were not taken from."""

import pytest

from diffbev_engine.config.load import load_settings
from diffbev_engine.findings.memory.estimate import estimate_memory

CONTEXT_GIB = 1.0


def _gib(config: str, batch: int, *overrides: str) -> float:
    return estimate_memory(load_settings(config, overrides)).at(batch) / 1024


def test_a_batch_four_times_as_large_as_any_that_it_was_fitted_to():
    assert _gib("baseline/lss_swin_nuscenes", 32) - CONTEXT_GIB == pytest.approx(33.2, rel=0.06)


@pytest.mark.parametrize(
    ("config", "measured"),
    [
        ("baseline/lss_swin_nuscenes", 8.35),
        ("diffbev/diffbev_lss_swin_nuscenes", 9.78),
        ("diffbev/diffbev_lss_swin_nuscenes", 10.29),
    ],
)
def test_what_training_took_compiled_and_not(config, measured):
    assert _gib(config, 8) - CONTEXT_GIB == pytest.approx(measured, rel=0.06)


def test_what_is_recomputed_takes_less():
    config, parts = "diffbev/diffbev_lss_swin_nuscenes", ("backbone", "head", "diffusion")
    taken = [_gib(config, 8, f"recompute={list(parts[:count])}") for count in range(4)]
    assert taken == sorted(taken, reverse=True)
    assert taken[-1] - CONTEXT_GIB < 0.6 * (taken[0] - CONTEXT_GIB)


def test_another_backbone_is_not_guessed():
    settings = load_settings("baseline/lss_swin_nuscenes", ("model.backbone.name=convnext_tiny",))
    assert estimate_memory(settings) is None
