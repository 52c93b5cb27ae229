"""Diffusion of the map: begins as the baseline, learns from the ground truth, samples what it was taught."""

import pytest
import torch

from diffbev_engine.core.classes import CLASS_PRIORS, NUM_CLASSES
from diffbev_engine.models.draws import Draws
from diffbev_engine.models.layout import LayoutDiffusion, with_layout
from diffbev_engine.models.seeding import seeded_generator
from diffbev_engine.models.settings import DiffusionSettings
from tests.models.test_diffbev import SMALL, baseline, build, inputs

CPU = torch.device("cpu")
SIZE = (12, 8)


def module(**changes) -> LayoutDiffusion:
    torch.manual_seed(0)
    settings = DiffusionSettings(**SMALL | {"target": "layout", "condition": "O"} | changes)
    return LayoutDiffusion(16, SIZE, settings, CLASS_PRIORS)


def scene(batch=2):
    """A BEV feature, its depth mass and ground truth: the left half is road."""
    feature = torch.randn(batch, 16, *SIZE, generator=torch.Generator().manual_seed(1))
    classes = torch.zeros(batch, NUM_CLASSES, 2 * SIZE[0], 2 * SIZE[1], dtype=torch.bool)
    classes[:, 0, :, : SIZE[1]] = True
    valid = torch.ones(batch, 2 * SIZE[0], 2 * SIZE[1], dtype=torch.bool)
    return feature, torch.zeros(batch, 1, *SIZE), classes, valid, torch.ones(batch, NUM_CLASSES).bool()


def drawn(one: LayoutDiffusion, classes, valid, known, seed=3) -> Draws:
    draws = one.training_draws(len(classes), seeded_generator("cpu", seed))
    return with_layout(draws, classes, valid, known)


@pytest.mark.parametrize("process", ["diffusion", "none"])
def test_an_untrained_network_is_its_baseline_to_the_bit(process):
    model, plain = build(target="layout", condition="O", process=process).eval(), baseline().eval()
    for network in (model, plain):  # else the zero classifier hides every difference
        torch.nn.init.normal_(network.head.classifier.weight, generator=torch.Generator().manual_seed(5))
    noise = model.diffusion.evaluation_draws(["a", "b"], 0, CPU)
    assert torch.equal(model(*inputs(), noise).logits, plain(*inputs()).logits)


def test_ldiff_starts_at_the_balanced_entropy_of_the_priors():
    one, (feature, mass, classes, valid, known) = module(), scene()
    error = one(feature, mass, drawn(one, classes, valid, known)).noise_error
    priors = torch.tensor(CLASS_PRIORS)
    share = classes.float().mean(dim=(0, 2, 3))  # cells are all or nothing here
    expected = share * priors.rsqrt() * -priors.log() + (1 - share) * -(1 - priors).log()
    assert error.item() == pytest.approx(expected.mean().item(), rel=1e-5)


def test_cells_and_classes_that_nobody_annotated_say_nothing():
    one, (feature, mass, classes, valid, known) = module(), scene()
    valid[:, : SIZE[0]] = False
    known[:, 1] = False
    draws = drawn(one, classes, valid, known)
    before = one(feature, mass, draws).noise_error
    classes[:, :, : SIZE[0]] ^= True
    classes[:, 1] ^= True
    changed = drawn(one, classes, valid, known)
    assert torch.equal(changed.layout[:, 1], torch.zeros_like(changed.layout[:, 1]))
    after = one(feature, mass, draws._replace(weight=changed.weight)).noise_error
    assert torch.equal(before, after)
    assert draws.weight[:, :, : SIZE[0] // 2].sum() == 0


def test_the_encoder_learns_from_the_map_and_the_estimates_carry_no_gradient():
    one, (feature, mass, classes, valid, known) = module(), scene()
    torch.nn.init.normal_(one.unet.leave.weight, std=0.1)
    torch.nn.init.normal_(one.fusion.project.weight, std=0.1)
    feature.requires_grad_()
    refined = one(feature, mass, drawn(one, classes, valid, known))
    (gradient,) = torch.autograd.grad(refined.noise_error, feature)
    assert gradient.abs().max() > 0
    x, *_ = one._task_input(one.conditioning(feature, mass), drawn(one, classes, valid, known))
    assert not x.requires_grad


def test_half_of_the_task_begins_with_noise_and_the_rest_with_estimates():
    one, (feature, mass, classes, valid, known) = module(), scene(batch=64)
    draws = drawn(one, classes, valid, known)
    begins = draws.task_times == one.process.timesteps
    assert 16 < begins.sum() < 48
    x, before, t = one._task_input(one.conditioning(feature, mass), draws)
    assert torch.equal(t, draws.task_times)
    assert torch.equal(x[begins], draws.start[begins])
    assert not before[begins].any()
    prior = 0.5 * (2 * torch.tensor(CLASS_PRIORS) - 1)[:, None, None].expand(NUM_CLASSES, *SIZE)
    torch.testing.assert_close(before[~begins], prior.expand(len(before[~begins]), -1, -1, -1))
    again = one.process.add_noise(prior.expand(64, -1, -1, -1), t, draws.start)
    torch.testing.assert_close(x[~begins], again[~begins])
    plain = module(aligned=False)
    x, before, t = plain._task_input(plain.conditioning(feature, mass), draws)
    assert torch.equal(x, draws.start)
    assert not before.any()
    assert set(t.tolist()) == {plain.process.timesteps}


def test_calibrated_estimates_are_the_share_of_cells_although_the_loss_overrates_rare_classes():
    one, (feature, mass, classes, valid, known) = module(calibrated=True), scene()
    share, prior = 0.2, CLASS_PRIORS[0]
    logit = torch.linspace(-5, 5, 20_001)
    weight = prior**-0.5
    loss = -share * weight * logit.sigmoid().log() - (1 - share) * (-logit).sigmoid().log()
    with torch.no_grad():
        one.unet.leave.bias[0] = logit[loss.argmin()]  # what training arrives at
    conditioning, start = one.conditioning(feature, mass), drawn(one, classes, valid, known).start
    estimate = one._estimate(start, torch.zeros_like(start), conditioning, one._full(1000, start))
    assert estimate[:, 0].mean().item() == pytest.approx(0.5 * (2 * share - 1), abs=1e-3)


def test_the_estimate_of_the_step_before_is_told():
    one, (feature, mass, *_) = module(self_condition=True).eval(), scene()
    torch.nn.init.normal_(one.unet.leave.weight, std=0.1)
    conditioning, start = one.conditioning(feature, mass), torch.zeros(2, NUM_CLASSES, *SIZE)
    t = one._full(500, start)
    first, second = (one._hidden(start, before, conditioning, t) for before in (start, start + 0.5))
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize("changes", [{}, {"calibrated": True, "self_condition": True}])
def test_it_learns_a_map_and_more_steps_do_not_unlearn_it(changes):
    one, (feature, mass, classes, valid, known) = module(timesteps=100, **changes), scene()
    optimizer = torch.optim.AdamW(one.parameters(), lr=3e-3)
    for number in range(60):
        error = one(feature, mass, drawn(one, classes, valid, known, seed=number)).noise_error
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert error.item() < 0.05
    one.eval()
    truth = classes[:, 0, ::2, ::2]
    for steps in (1, 3, 10):
        one.steps = steps
        conditioning = one.conditioning(feature, mass)
        hidden = one.sample(conditioning, one.evaluation_draws(["a", "b"], 0, CPU).start)
        assert ((one.unet.leave(hidden)[:, 0] > 0) == truth).float().mean() > 0.99, steps


def test_the_control_has_no_noise():
    one, (feature, mass, *_) = module(process="none").eval(), scene()
    torch.nn.init.normal_(one.fusion.project.weight, std=0.1)
    first, second = (
        one(feature, mass, one.evaluation_draws(tokens, 0, CPU)).feature
        for tokens in (["a", "b"], ["c", "d"])
    )
    assert torch.equal(first, second)
