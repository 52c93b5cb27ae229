"""What makes a training step fast, by ``compile=``: torch.compile and CUDA graphs.

``auto`` compiles region by region, each distinct block once; then the step is replayed as a CUDA graph.
What this machine cannot do is left out, and said in one line.
"""

import warnings
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
from torch import nn

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import first_line
from diffbev_engine.findings.catalogue import says
from diffbev_engine.findings.compiler import missing_for_compile, missing_libcuda, why_not_compiled
from diffbev_engine.models.attention import CrossAttention, SelfAttention
from diffbev_engine.models.condition import Condition
from diffbev_engine.models.head import Bottleneck
from diffbev_engine.models.lift_splat import LiftSplat
from diffbev_engine.models.model import BEVEncoder, BEVModel
from diffbev_engine.models.unet_blocks import ConditionGate, ResidualBlock
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.objective import Objective
from diffbev_engine.train.recorder import logger
from diffbev_engine.train.step import TrainingStep

_REGIONS = (
    SwinTransformerBlock,
    PatchMerging,
    LiftSplat,
    BEVEncoder,
    Condition,
    ResidualBlock,
    ConditionGate,
    SelfAttention,
    CrossAttention,
    Bottleneck,
)
_VARIANTS = 64
"""Shapes and modes in which one region may be compiled; Swin's block alone has eight."""


def accelerate(step: TrainingStep, settings: Settings, processes: Processes) -> None:
    """Make ``step`` fast as ``compile=`` asks; ``auto`` does what this machine can and the length is worth.

    Args:
        step: before its first iteration.
        settings: of the training.
        processes: device, and whether there are others.
    """
    model, choice = step.model, settings.compile
    if choice == "all":
        model.backbone.unfuse_attention()
        model.compile()
    elif choice == "head":
        model.head.compile()
        if model.diffusion is not None:
            model.diffusion.unet.compile()
    elif choice == "auto" and processes.device.type == "cuda":
        if why := why_not_compiled(settings, processes.shard.world_size, on_gpu=True):
            logger.info(f"compile=auto: training runs uncompiled ({why.en})")
        else:
            _compile_where_possible(step)
        if reason := _why_not_captured(settings, processes):
            logger.info(f"compile=auto: no CUDA graph {reason}")
        step.graphs.wanted = not reason


def _compile_where_possible(step: TrainingStep) -> None:
    if absent := missing_for_compile(on_gpu=True) or missing_libcuda():
        logger.info(f"compile=auto: {absent[0].en}; training runs uncompiled")
        return
    compile_regions(step.model, step.objective)
    logger.info("compile=auto: the first step compiles, for two to three minutes if that was not done before")
    step.graphs.may_retry = _continues_uncompiled


def _why_not_captured(settings: Settings, processes: Processes) -> str:
    """What the graph of a step has not been shown to do right."""
    if processes.shard.world_size > 1:
        return "with several processes"
    if settings.optimizer_config.cumulative_iters > 1:
        return "with gradient accumulation"
    return "with precision='fp16'" if settings.precision == "fp16" else ""


def compile_regions(model: BEVModel, objective: Objective) -> None:
    """Compile the blocks of the network, the augmentation and the losses, each at its first call."""
    # Inductor would hand the fused kernel's backward a bias in a layout that it refuses.
    torch._dynamo.disallow_in_graph(F.scaled_dot_product_attention)
    for known in ("Dynamo does not know how to trace the builtin", "TensorFloat32 tensor cores"):
        warnings.filterwarnings("ignore", message=known)
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _VARIANTS)
    for region in regions(model):
        region.compile(dynamic=False)  # Swin's numbers of windows as variables: Inductor fails on them
    objective.prepare = torch.compile(objective.prepare, dynamic=False)
    objective.segmentation_loss = torch.compile(objective.segmentation_loss, dynamic=False)
    objective.depth_loss = torch.compile(objective.depth_loss, dynamic=False)


def regions(model: nn.Module) -> Iterator[nn.Module]:
    """The blocks that are compiled, none within another."""
    for child in model.children():
        if isinstance(child, _REGIONS):
            yield child
        else:
            yield from regions(child)


def _continues_uncompiled(error: Exception) -> bool:
    """Whether ``error`` is one of compiling, without which training continues from here."""
    origin = type(error).__module__.partition(".")[0]
    of_torch = type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
    if not (origin == "triton" or of_torch or says("compiler", f"{type(error).__name__}: {error}")):
        return False
    torch.compiler.set_stance("force_eager")
    logger.warning(f"compile=auto: training runs uncompiled, since compiling failed: {first_line(error)}")
    return True
