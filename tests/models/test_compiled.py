"""What compiled networks want otherwise than PyTorch's own kernels."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from diffbev_engine.models.compiled import as_if_compiled, innermost


@pytest.mark.parametrize("strides", [(64, 1, 6400, 64), (627200, 1, 6400, 64), (627200, 9800, 100, 1)])
def test_a_batch_of_one_has_the_strides_of_its_layout(strides):
    with as_if_compiled(), FakeTensorMode():
        x = torch.empty_strided((1, 64, 98, 100), strides, device="cuda")
        assert innermost(x).stride() == (627200, 1, 6400, 64)


def test_where_nothing_is_compiled_the_layout_stays():
    x = torch.zeros(1, 64, 98, 100)
    assert innermost(x) is x
