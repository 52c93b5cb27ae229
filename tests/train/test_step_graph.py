"""The fast paths of the training step give its numbers, and what they cannot do is left to the plain one."""

from dataclasses import fields

import pytest
import torch
from timm.models.swin_transformer import SwinTransformerBlock
from torch._dynamo.exc import TorchDynamoException

from diffbev_engine.bench.speed import random_batch
from diffbev_engine.config.load import load_settings
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.order import ALONE
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.evaluate.network import network
from diffbev_engine.models.backbone import Backbone
from diffbev_engine.models.model import build_model
from diffbev_engine.train import compiling
from diffbev_engine.train.compiling import accelerate, regions
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.objective import Inputs
from diffbev_engine.train.step_graph import PLAIN_STEPS
from diffbev_engine.train.train import build_step

CPU = Processes(torch.device("cpu"), ALONE)
STEPS = PLAIN_STEPS + 2
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def _losses(settings, processes, prepare=lambda _step: None, steps=STEPS):
    """The loss of each of some steps on changing batches."""
    step = build_step(settings, processes, resuming=True)
    prepare(step)
    batch = random_batch(settings, processes.device)
    found = []
    for iteration in range(steps):
        moved = batch.map(lambda x, by=iteration: x.roll(3 * by, -1))
        losses, norm = step.run(iteration, [moved])
        found.append((losses["loss"].item(), norm.item()))
    return found, step


def _short(settings):
    return settings.model_copy(update={"lr_config": settings.lr_config.model_copy(update={"warmup": None})})


def test_what_cannot_be_captured_runs_plainly_with_the_same_numbers(tiny_settings, caplog):
    settings = _short(tiny_settings)
    plain, _ = _losses(settings, CPU)

    def capture(step):
        step.graphs.wanted = True  # here without a GPU

    tried, step = _losses(settings, CPU, capture)
    assert tried == plain
    assert not step.graphs.captured
    if not torch.cuda.is_available():
        assert caplog.text.count("the training step runs without a CUDA graph: ") == 1


def test_a_compiler_that_fails_is_told_once_and_training_continues_without(
    tiny_settings, caplog, monkeypatch
):
    plain, _ = _losses(_short(tiny_settings), CPU)
    stances = []
    monkeypatch.setattr(torch.compiler, "set_stance", stances.append)

    def break_compiler(step):
        right = step.objective.prepare

        def prepare(*arguments):
            if not stances:
                raise TorchDynamoException("backend='inductor' raised:\nCalledProcessError")
            return right(*arguments)

        step.objective.prepare = prepare
        step.graphs.may_retry = compiling._continues_uncompiled

    tried, _ = _losses(_short(tiny_settings), CPU, break_compiler)
    assert tried == plain
    assert stances == ["force_eager"]
    assert caplog.text.count("compiling failed: backend='inductor' raised:") == 1


def test_any_other_error_of_a_first_step_stays_one(tiny_settings):
    def break_step(step):
        step.graphs.may_retry = compiling._continues_uncompiled
        step.objective.prepare = _refuse

    with pytest.raises(DiffBEVError, match="a damaged file"):
        _losses(tiny_settings, CPU, break_step)


def _refuse(*_arguments):
    raise DiffBEVError("a damaged file")


def test_without_a_gpu_nothing_is_accelerated(tiny_settings):
    step = build_step(tiny_settings, CPU, resuming=True)
    assert tiny_settings.compile == "auto"
    assert not step.graphs.wanted
    assert all(region._compiled_call_impl is None for region in regions(step.model))


@pytest.mark.parametrize(
    ("override", "says"),
    [({"optimizer_config": {"cumulative_iters": 2}}, "accumulation"), ({"precision": "fp16"}, "fp16")],
)
def test_what_was_not_shown_to_be_right_in_a_graph_is_not_captured(tiny_settings, caplog, override, says):
    step = build_step(tiny_settings, CPU, resuming=True)
    settings = type(tiny_settings).model_validate({**tiny_settings.model_dump(), **override})
    with caplog.at_level("INFO"):
        accelerate(step, settings, Processes(torch.device("cuda"), ALONE))
    assert not step.graphs.wanted
    assert says in caplog.text


def test_the_blocks_of_a_swin_network_are_compiled_each_by_itself():
    settings = load_settings("baseline/lss_swin_nuscenes", ("model.backbone.pretrained=None",))
    model = build_model(settings.model, (64, 96))
    found = list(regions(model))
    names = [type(region).__name__ for region in found]
    assert names.count("SwinTransformerBlock") == 12
    assert names.count("PatchMerging") == 3
    assert names.count("Bottleneck") == len(list(model.head.stage1)) + len(list(model.head.stage2))
    inner = {id(module) for region in found for module in region.modules() if module is not region}
    assert not any(id(region) in inner for region in found)
    assert not any(isinstance(region, Backbone) for region in found)


@pytest.mark.slow
def test_a_swin_block_can_be_traced_as_a_whole():
    torch._dynamo.reset()
    block = SwinTransformerBlock(16, (14, 14), num_heads=2, window_size=7, shift_size=3)
    for module in block.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    images = torch.randn(1, 14, 14, 16)
    traced = torch.compile(block, fullgraph=True, backend="eager", dynamic=False)
    torch.testing.assert_close(traced(images), block(images))


def test_the_inputs_of_a_step_are_all_of_its_tensors(diffusion_settings):
    step = build_step(diffusion_settings, CPU, resuming=True)
    batch = random_batch(diffusion_settings, CPU.device)
    inputs = step.objective.inputs(batch, 0)
    tensors = list(inputs.tensors())
    of_batch = [x for item in fields(Batch) if isinstance(x := getattr(batch, item.name), torch.Tensor)]
    assert len(tensors) == len(of_batch) + len(inputs.distortion) + sum(x is not None for x in inputs.draws)
    copied = list(inputs.clone().tensors())
    assert all(torch.equal(a, b) for a, b in zip(tensors, copied, strict=True))
    assert not {x.data_ptr() for x in tensors} & {x.data_ptr() for x in copied}
    assert isinstance(inputs.clone(), Inputs)


@needs_gpu
@pytest.mark.parametrize("fixture", ["tiny_settings", "diffusion_settings"])
def test_replayed_steps_give_the_losses_of_plain_ones(fixture, request):
    gpu = Processes(torch.device("cuda", 0), ALONE)
    settings = _short(request.getfixturevalue(fixture)).model_copy(update={"deterministic": True})
    plain, _ = _losses(settings.model_copy(update={"compile": "off"}), gpu, steps=10)
    replayed, step = _losses(settings, gpu, steps=10)
    assert step.graphs.captured
    assert replayed == pytest.approx(plain, rel=1e-5)


@needs_gpu
def test_a_replayed_batch_is_computed_to_the_bit(diffusion_settings):
    device = torch.device("cuda", 0)
    model = build_model(diffusion_settings.model, diffusion_settings.data.image_size).to(device).eval()
    run = network(model, "bf16", device)
    batch = random_batch(diffusion_settings, device)
    with torch.inference_mode():
        outputs = [run(batch).logits for _ in range(3)]  # plain, captured, replayed
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[1], outputs[2])
