"""The fast paths of the training step give its numbers, and what they cannot do is left to the plain one."""

from collections import Counter
from dataclasses import fields

import pytest
import torch
from timm.models.swin_transformer import SwinTransformerBlock
from torch._dynamo.exc import TorchDynamoException

from diffbev_engine.config.load import load_settings
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.order import ALONE
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.evaluate.network import evaluated, network
from diffbev_engine.models.model import build_model
from diffbev_engine.models.regions import regions
from diffbev_engine.train import compiling
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.objective import Inputs
from diffbev_engine.train.random_batch import random_batch
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
    passes = settings.optimizer_config.cumulative_iters
    found = []
    for iteration in range(steps):
        numbers = range(passes * iteration, passes * (iteration + 1))
        losses, norm = step.run(iteration, [batch.map(lambda x, by=n: x.roll(3 * by, -1)) for n in numbers])
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


def test_what_another_thread_saves_are_the_real_weights(tiny_settings):
    settings = tiny_settings.model_copy(update={"precision": "bf16"})
    step = build_step(settings, CPU, resuming=True)
    step.halves_weights = True
    before = {name: weight.clone() for name, weight in step.state()["model"].items()}
    seen = []
    right = step.objective.segmentation_loss

    def look(*arguments):
        seen.append((step.model.head.classifier.weight.dtype, step.state()["model"]))
        return right(*arguments)

    step.objective.segmentation_loss = look
    step.run(0, [random_batch(settings, CPU.device)])
    [(inside, saved)] = seen
    assert inside == torch.bfloat16
    assert list(saved) == list(before)
    assert all(saved[name].dtype == before[name].dtype for name in before)
    after = step.state()["model"]
    assert all(saved[name].data_ptr() == after[name].data_ptr() for name in before)
    assert not torch.equal(after["head.classifier.weight"], before["head.classifier.weight"])


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
    "preset", ["diffbev/diffbev_lss_swin_nuscenes", "diffbev/diffbev_published_nuscenes"]
)
def test_the_parts_of_a_swin_network_are_compiled_each_by_itself(preset):
    settings = load_settings(preset, ("model.backbone.pretrained=None",))
    model = build_model(settings.model, (64, 96))
    found = list(regions(model))
    names = Counter(type(region).__name__ for region in found)
    single = (
        "PatchEmbed",
        "LiftSplat",
        "BEVEncoder",
        "Condition",
        "ConditionalUNet",
        "Fusion",
        "PyramidHead",
    )
    assert names == {"CompiledSwinBlock": 12, "PatchMerging": 3, **dict.fromkeys(single, 1)}
    inner = {id(module) for region in found for module in region.modules() if module is not region}
    assert not any(id(region) in inner for region in found)


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
@pytest.mark.parametrize(
    "override",
    [{}, {"optimizer_config": {"cumulative_iters": 3}}, {"precision": "fp16"}, {"ema": {"decay": 0.9}}],
)
def test_replayed_steps_give_the_losses_and_weights_of_plain_ones(fixture, override, request):
    gpu = Processes(torch.device("cuda", 0), ALONE)
    settings = _short(request.getfixturevalue(fixture))
    values = {**settings.model_dump(), "deterministic": True, **override}
    (plain, step), (replayed, graphed) = (
        _losses(type(settings).model_validate(values | {"compile": choice}), gpu, steps=10)
        for choice in ("off", "auto")
    )
    assert graphed.graphs.captured
    assert not step.graphs.captured
    assert replayed == pytest.approx(plain, rel=1e-5, nan_ok=True)
    theirs = graphed.evaluated_model.state_dict()
    for name, tensor in step.evaluated_model.state_dict().items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-4, atol=1e-6)
    assert graphed.scaler.get_scale() == step.scaler.get_scale()


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


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs")
def test_a_batch_is_replayed_on_the_gpu_of_its_model_whichever_is_the_current_one(tiny_settings):
    device = torch.device("cuda", 1)
    model = build_model(tiny_settings.model, tiny_settings.data.image_size).to(device).eval()
    run, plain = (network(model, "fp32", device, graphs=graphs) for graphs in (True, False))
    batch = random_batch(tiny_settings, device)
    with torch.inference_mode(), torch.cuda.device(0):
        for shift in range(4):
            moved = batch.map(lambda x, by=shift: x.roll(3 * by, -1))
            assert torch.equal(run(moved).logits, plain(moved).logits)


@needs_gpu
@pytest.mark.parametrize("fixture", ["tiny_settings", "diffusion_settings"])
def test_evaluation_between_replayed_steps_takes_no_memory_and_changes_no_number(fixture, request):
    gpu = Processes(torch.device("cuda", 0), ALONE)
    settings = _short(request.getfixturevalue(fixture)).model_copy(
        update={"deterministic": True, "compile": "auto"}
    )
    batch = random_batch(settings, gpu.device)

    def trained(*, evaluating):
        step = build_step(settings, gpu, resuming=True)
        losses, outputs = [], []
        for iteration in range(12):
            losses.append(float(step.run(iteration, [batch])[0]["loss"]))
            if evaluating and iteration >= 8:
                step.model.eval()
                before = torch.cuda.memory_reserved()
                run = evaluated(step.model, settings, gpu.device, memory=step.graphs.memory)
                alone = evaluated(step.model, settings, gpu.device)
                with torch.inference_mode():
                    outputs = [run(batch).logits for _ in range(3)]
                    held = torch.cuda.memory_reserved() - before
                    outputs.append(alone(batch).logits)
                assert held < 2**21 * 20, "all but the copies of the outputs"
                assert all(torch.equal(outputs[0], other) for other in outputs[1:])
                step.model.train()
        return losses

    assert trained(evaluating=True) == pytest.approx(trained(evaluating=False), rel=1e-6)
