"""The estimate before any measurement, against measurements that its constants were not taken from."""

import pytest

from diffbev_engine.config.load import load_settings
from diffbev_engine.findings.memory.estimate import estimate_memory

CONTEXT_GIB = 1.0


def _gib(config: str, batch: int, *overrides: str) -> float:
    return estimate_memory(load_settings(config, overrides)).at(batch) / 1024


def test_a_batch_four_times_as_large_as_any_that_it_was_fitted_to():
    baseline = "baseline/lss_swin_nuscenes"
    assert _gib(baseline, 32) - CONTEXT_GIB == pytest.approx(48.8, rel=0.04)
    assert _gib(baseline, 32, "compile=all") - CONTEXT_GIB == pytest.approx(33.2, rel=0.04)


def test_what_ran_out_of_memory_on_a_shared_gpu_and_what_then_fitted():
    free = 79.2 - 52.8  # an H100 with another process; DiffBEV failed with 20 images and ran with 10
    assert (
        _gib("diffbev/diffbev_published_nuscenes", 20) > free > _gib("diffbev/diffbev_published_nuscenes", 10)
    )


def test_another_backbone_is_not_guessed():
    settings = load_settings("baseline/lss_swin_nuscenes", ("model.backbone.name=convnext_tiny",))
    assert estimate_memory(settings) is None
