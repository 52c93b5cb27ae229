"""The diffusion module inside the network: how it starts, what learns from what, what is random."""

import pytest
import torch

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.diffbev import DiffBEV
from diffbev_engine.models.draws import Draws
from diffbev_engine.models.losses import SegmentationLoss
from diffbev_engine.models.model import BEVModel, build_model
from diffbev_engine.models.seeding import seeded_generator
from diffbev_engine.models.settings import (
    BackboneSettings,
    DiffusionSettings,
    FusionSettings,
    HeadSettings,
    LiftSettings,
    ModelSettings,
)

SIZE = (64, 96)
SMALL = {"widths": (8, 16, 16), "groups": 4, "blocks": 1, "fusion": FusionSettings(heads=2, key_stride=7)}
INTRINSICS = torch.tensor([[[80.0, 0, 48], [0, 80.0, 32], [0, 0, 1]]])


def settings(**diffusion) -> ModelSettings:
    return ModelSettings(
        backbone=BackboneSettings(name="resnet10t", pretrained=None, out_stage=2),
        lift=LiftSettings(mode="aligned", channels=16),
        head=HeadSettings(planes=(8, 8), blocks=1, groups=4),
        diffusion=DiffusionSettings(**(SMALL | diffusion)),
    )


def build(**diffusion) -> BEVModel:
    torch.manual_seed(0)
    return build_model(settings(**diffusion), SIZE)


def baseline() -> BEVModel:
    torch.manual_seed(0)
    return build_model(settings().model_copy(update={"diffusion": None}), SIZE)


def inputs(batch: int = 2):
    images = torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    return images, INTRINSICS.expand(batch, 3, 3)


def draws(model: BEVModel, batch: int = 2) -> Draws:
    assert model.diffusion is not None
    return model.diffusion.training_draws(batch, seeded_generator("cpu", 3))


# Every pair of choices occurs.
@pytest.mark.parametrize(
    ("condition", "fusion", "prediction"),
    [
        (condition, fusion, ("epsilon", "v")[(row + column) % 2])
        for row, condition in enumerate(["O", "S", "O+S"])
        for column, fusion in enumerate(["cross_attn", "concat", "add"])
    ],
)
def test_untrained_diffbev_is_its_baseline_to_the_bit(condition, prediction, fusion):
    model = build(
        condition=condition, prediction=prediction, fusion=FusionSettings(type=fusion, heads=2, key_stride=7)
    )
    plain = baseline()
    for network in (model, plain):  # else the zero classifier hides every difference
        torch.nn.init.normal_(network.head.classifier.weight, generator=torch.Generator().manual_seed(5))
    assert torch.equal(model(*inputs(), draws(model)).logits, plain(*inputs()).logits)
    model.eval()
    noise = model.diffusion.evaluation_draws(["a", "b"], 0, torch.device("cpu"))
    assert torch.equal(model(*inputs(), noise).logits, plain.eval()(*inputs()).logits)


def test_ldiff_starts_at_one_and_is_absent_from_evaluation():
    model = build()
    assert model(*inputs(), draws(model)).noise_error.item() == pytest.approx(1.0, abs=0.01)
    noise = model.diffusion.evaluation_draws(["a", "b"], 0, torch.device("cpu"))
    assert model.eval()(*inputs(), noise).noise_error is None


def _moved(model: BEVModel) -> BEVModel:
    """Weights away from the zeros at which some gradients vanish."""
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    return model


def _with_gradient(module: torch.nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if p.grad is not None and p.grad.any()]


def test_no_gradient_of_ldiff_reaches_the_backbone_through_the_target():
    model = _moved(build(condition="O"))
    diffusion = model.diffusion
    condition = diffusion.condition.forward
    diffusion.condition.forward = lambda *both: condition(*both).detach()  # the other way is closed
    model(*inputs(), draws(model)).noise_error.backward()
    for part in (model.backbone, model.lift, model.bev_encoder):
        assert _with_gradient(part) == []
    assert _with_gradient(diffusion.unet)


@pytest.mark.parametrize(("condition", "part"), [("O", "bev_encoder"), ("S", "lift")])
def test_ldiff_reaches_the_backbone_through_the_condition(condition, part):
    model = _moved(build(condition=condition))
    model(*inputs(), draws(model)).noise_error.backward()
    assert _with_gradient(getattr(model, part))
    assert _with_gradient(model.backbone)


@pytest.mark.parametrize("xt_encoding", ["conv", "self_attn"])
def test_every_parameter_takes_part(xt_encoding):
    model = _moved(build(condition="O+S", xt_encoding=xt_encoding))
    output = model(*inputs(), draws(model))
    (output.logits.square().mean() + output.noise_error).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_the_segmentation_loss_trains_the_unet_through_the_denoised_feature():
    model = _moved(build())
    model(*inputs(), draws(model)).logits.square().mean().backward()
    assert _with_gradient(model.diffusion.unet)


def test_gradients_flow_through_the_last_step_alone():
    module = DiffBEV(16, (12, 12), DiffusionSettings(**SMALL | {"train_steps": 3}))
    calls = []
    unet = module.unet.forward
    module.unet.forward = lambda *args: calls.append(torch.is_grad_enabled()) or unet(*args)
    generator = torch.Generator().manual_seed(0)
    module(torch.randn(2, 16, 12, 12), torch.rand(2, 1, 12, 12), module.training_draws(2, generator))
    assert calls == [False, False, True]


def test_the_number_of_evaluation_steps_can_be_changed():
    module = DiffBEV(16, (12, 12), DiffusionSettings(**SMALL)).eval()
    calls = []
    unet = module.unet.forward
    module.unet.forward = lambda *args: calls.append(1) or unet(*args)
    noise = module.evaluation_draws(["a"], 0, torch.device("cpu"))
    for steps in (1, 5):
        module.steps, before = steps, len(calls)
        module(torch.randn(1, 16, 12, 12), torch.rand(1, 1, 12, 12), noise)
        assert len(calls) - before == steps


def test_the_denoised_feature_stays_within_the_clamp():
    module = DiffBEV(16, (12, 12), DiffusionSettings(**SMALL | {"clamp": 2.0}))
    torch.nn.init.normal_(module.unet.leave.weight, std=10)
    target = torch.randn(2, 16, 12, 12)
    denoised, _ = module.denoise(target, target, module.training_draws(2, torch.Generator()))
    assert denoised.abs().max() <= 2


def test_a_compressed_target_loses_less_to_the_clamp():
    one, other = (DiffBEV(16, (12, 12), DiffusionSettings(**SMALL | {"compress": c})) for c in (False, True))
    feature = torch.randn(2, 16, 12, 12, generator=torch.Generator().manual_seed(2)) ** 5  # few large values
    lost = [
        (target - target.clamp(-4, 4)).square().mean()
        for target in (one.target(feature), other.target(feature))
    ]
    assert lost[1] < lost[0] / 2
    assert other.target(feature).std().item() == pytest.approx(1, abs=0.01)


def test_evaluation_noise_belongs_to_the_image_not_to_its_batch():
    module = DiffBEV(16, (4, 4), DiffusionSettings(**SMALL))
    cpu = torch.device("cpu")
    alone = module.evaluation_draws(["b"], 0, cpu).start
    together = module.evaluation_draws(["a", "b"], 0, cpu).start
    assert torch.equal(alone[0], together[1])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(alone, module.evaluation_draws(["b"], 1, cpu).start)


def test_training_draws_are_standard_normal_and_cover_all_times():
    module = DiffBEV(16, (40, 40), DiffusionSettings(**SMALL | {"timesteps": 10}))
    drawn = module.training_draws(200, torch.Generator().manual_seed(0))
    assert drawn.start.mean().abs() < 0.01
    assert drawn.noise.std() == pytest.approx(1, abs=0.01)
    assert set(drawn.times.tolist()) == set(range(1, 11))


def test_a_model_with_diffusion_says_that_it_needs_draws():
    with pytest.raises(ValueError, match="needs draws"):
        build()(*inputs())


def test_channels_that_do_not_fit_the_heads_are_named():
    with pytest.raises(UsageError, match=r"lift.channels=16 is not a multiple of 4 \* .*heads=8"):
        DiffBEV(16, (4, 4), DiffusionSettings(**SMALL | {"fusion": FusionSettings(heads=8)}))


def test_autocast_gives_about_the_same_output():
    model = _moved(build()).eval()
    noise = model.diffusion.evaluation_draws(["a", "b"], 0, torch.device("cpu"))
    with torch.inference_mode():
        exact = model(*inputs(), noise).logits
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(*inputs(), noise).logits.float()
    assert (rounded - exact).abs().max() < 0.1 * exact.std() + 0.05 * exact.abs().max()


@pytest.mark.slow(25)
def test_overfits_one_sample():
    """All terms fall on one image: the segmentation to nothing, the noise well below its variance."""
    torch.manual_seed(0)
    narrow = LiftSettings(mode="aligned", channels=8)
    wide = settings(condition="O+S", widths=(16, 16, 16))  # as wide as the feature, or noise is lost
    model = build_model(wide.model_copy(update={"lift": narrow}), SIZE)
    loss = SegmentationLoss(settings().loss)
    classes = torch.zeros(1, 14, 196, 200, dtype=torch.bool)
    classes[0, 0, :120] = classes[0, 4, 40:80, 90:120] = True
    visible, known = torch.ones(1, 196, 200, dtype=torch.bool), torch.ones(1, 14, dtype=torch.bool)
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3)
    history = []
    for iteration in range(70):
        drawn = model.diffusion.training_draws(1, seeded_generator("cpu", iteration))
        output = model(*inputs(1), drawn)
        lwce = loss(output.logits, classes, visible, known)
        (lwce + output.noise_error).backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append((lwce.item(), output.noise_error.item()))
    lwce, ldiff = torch.tensor(history).T
    assert lwce[-10:].mean() < 0.2 * lwce[0]
    assert ldiff[-20:].mean() < 0.6 * ldiff[:5].mean()
    drawn = model.eval().diffusion.evaluation_draws(["a"], 0, torch.device("cpu"))
    predicted = model(*inputs(1), drawn).logits > 0
    for index in (0, 4):
        inter, union = predicted[0, index] & classes[0, index], predicted[0, index] | classes[0, index]
        assert inter.sum() / union.sum() > 0.8
