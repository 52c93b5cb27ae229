"""The estimate before any measurement gives back what was measured on an H200."""

import pytest

from diffbev_engine.config.load import load_settings
from diffbev_engine.findings.memory.estimate import estimate_memory

CONTEXT_GIB = 1.0


@pytest.mark.parametrize(
    ("config", "overrides", "batch", "gib"),
    [
        ("baseline/lss_swin_nuscenes", (), 4, 6.5),
        ("baseline/lss_swin_nuscenes", (), 8, 12.6),
        ("baseline/lss_swin_nuscenes", (), 32, 48.8),
        ("baseline/lss_swin_nuscenes", ("compile=head",), 32, 32.5),
        ("baseline/lss_swin_nuscenes", ("precision=fp32",), 8, 14.5),
        ("diffbev/diffbev_lss_swin_nuscenes", (), 8, 14.8),
        ("diffbev/diffbev_lss_swin_synth", (), 8, 11.2),
    ],
)
def test_measured_peaks_are_met(config, overrides, batch, gib):
    estimate = estimate_memory(load_settings(config, overrides))
    assert estimate.at(batch) / 1024 - CONTEXT_GIB == pytest.approx(gib, rel=0.04)


def test_another_backbone_is_not_guessed():
    settings = load_settings("baseline/lss_swin_nuscenes", ("model.backbone.name=convnext_tiny",))
    assert estimate_memory(settings) is None
