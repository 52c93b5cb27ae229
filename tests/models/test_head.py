import math

import pytest
import torch

from diffbev_engine.core.classes import CLASS_PRIORS
from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.head import Bottleneck, PyramidHead
from diffbev_engine.models.settings import HeadSettings


def test_default_head_has_the_published_size():
    head = PyramidHead(64, HeadSettings(), CLASS_PRIORS)
    assert sum(p.numel() for p in head.parameters()) == 1_951_758
    norms = [module for module in head.modules() if isinstance(module, torch.nn.GroupNorm)]
    assert {norm.num_groups for norm in norms} == {16}
    assert len(norms) == 8 * 3 + 2  # three a bottleneck, one a projection shortcut
    assert not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in head.modules())


def test_untrained_head_predicts_the_priors_at_twice_the_resolution():
    head = PyramidHead(64, HeadSettings(planes=(16, 16), blocks=1), CLASS_PRIORS)
    logits = head(torch.randn(1, 64, 98, 100))
    assert logits.shape == (1, 14, 196, 200)
    wanted = torch.tensor([math.log(p / (1 - p)) for p in CLASS_PRIORS])
    torch.testing.assert_close(logits, wanted[:, None, None].expand_as(logits[0])[None])
    torch.testing.assert_close(logits[0, :, 0, 0].sigmoid(), torch.tensor(CLASS_PRIORS))


def test_number_of_blocks_and_widths_follow_the_settings():
    head = PyramidHead(8, HeadSettings(planes=(32, 16), blocks=3, groups=8), CLASS_PRIORS)
    assert len(head.stage1) == len(head.stage2) == 3
    assert head.classifier.in_channels == 64


def test_bottleneck_keeps_its_input_as_a_shortcut_when_the_shape_stays():
    block = Bottleneck(64, 16, 16)
    torch.nn.init.zeros_(block.norm3.weight)
    x = torch.randn(1, 64, 5, 7)
    torch.testing.assert_close(block(x), x.relu())


def test_upsampling_bottleneck_doubles_odd_sizes_too():
    assert Bottleneck(8, 16, 16, upsample=True)(torch.randn(1, 8, 5, 7)).shape == (1, 64, 10, 14)


def test_groups_that_do_not_divide_a_width_are_refused():
    with pytest.raises(UsageError, match=r"model\.head\.groups=16 does not divide the width 24"):
        PyramidHead(64, HeadSettings(planes=(32, 24)), CLASS_PRIORS)
