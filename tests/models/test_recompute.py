"""Recomputed blocks give the same numbers, and keep less."""

import pytest
import torch

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.model import build_model
from diffbev_engine.models.recompute import recompute
from diffbev_engine.models.regions import regions
from diffbev_engine.models.seeding import seeded_generator
from tests.models.test_diffbev import SIZE, inputs, settings

PARTS = ("backbone", "diffusion", "head")


def _model(parts=(), name="swin_tiny_patch4_window7_224"):
    torch.manual_seed(0)
    plain = settings()
    backbone = plain.backbone.model_copy(update={"name": name})
    model = build_model(plain.model_copy(update={"backbone": backbone}), SIZE)
    recompute(model, parts)
    return model


def _step(model):
    """Loss, gradients, and the bytes that the forward pass keeps for the backward pass, without weights."""
    weights = {each.untyped_storage().data_ptr() for each in [*model.parameters(), *model.buffers()]}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    drawn = model.diffusion.training_draws(1, seeded_generator("cpu", 0))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(*inputs(1), drawn)
        loss = output.logits.square().mean() + output.noise_error
    held = sum(size for place, size in kept.items() if place not in weights)
    loss.backward()
    return loss.detach(), {name: each.grad for name, each in model.named_parameters()}, held


@pytest.fixture(scope="module")
def plain():
    return _step(_model())


@pytest.mark.parametrize("part", PARTS)
def test_each_part_gives_the_same_gradients_and_keeps_less(plain, part):
    loss, gradients, held = _step(_model((part,)))
    assert torch.equal(loss, plain[0])
    assert all(torch.equal(gradients[name], plain[1][name]) for name in plain[1])
    assert held < 0.9 * plain[2]


def test_all_parts_together_keep_a_fraction(plain):
    loss, gradients, held = _step(_model(PARTS))
    assert torch.equal(loss, plain[0])
    assert all(torch.equal(gradients[name], plain[1][name]) for name in plain[1])
    assert held < 0.5 * plain[2]


def test_names_of_weights_stay_as_they_are():
    assert _model(PARTS).state_dict().keys() == _model().state_dict().keys()


def test_compiled_regions_recompute_too(plain):
    model = _model(PARTS)
    for region in (
        model.head,
        next(regions(model.backbone.features.layers_0)),
    ):  # the others take half a minute
        region.compile(backend="aot_eager_decomp_partition", dynamic=False, fullgraph=True)
    loss, gradients, held = _step(model)
    assert torch.allclose(loss, plain[0], rtol=1e-4)
    for name, expected in plain[1].items():
        assert torch.allclose(gradients[name], expected, rtol=1e-2, atol=1e-5), name
    assert held < 0.5 * plain[2]


def test_what_would_change_results_or_is_not_there_is_refused():
    with pytest.raises(UsageError, match="batch norms"):
        _model(("backbone",), "efficientnet_lite0")
    with pytest.raises(UsageError, match="not made of blocks"):
        _model(("backbone",), "resnet10t")
    model = _model()
    model.diffusion = None
    with pytest.raises(UsageError, match=r"model\.diffusion=None"):
        recompute(model, ("diffusion",))
