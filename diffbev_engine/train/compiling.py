"""What makes a training step fast, by ``compile=``: torch.compile and CUDA graphs.

``auto`` compiles region by region, each distinct block once; then the step is replayed as a CUDA graph.
What this machine cannot do is left out, and said in one line.
"""

import warnings

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import first_line
from diffbev_engine.findings.catalogue import says
from diffbev_engine.findings.compiler import missing_for_compile, missing_libcuda, why_not_compiled
from diffbev_engine.models.regions import compile_regions
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.recorder import logger
from diffbev_engine.train.step import TrainingStep


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
        if why := why_not_compiled(settings, on_gpu=True):
            logger.info(f"compile=auto: training runs uncompiled ({why.en})")
        else:
            _compile_where_possible(step)
        step.graphs.wanted = True


def _compile_where_possible(step: TrainingStep) -> None:
    if absent := missing_for_compile(on_gpu=True) or missing_libcuda():
        logger.info(f"compile=auto: {absent[0].en}; training runs uncompiled")
        return
    _compile(step)
    logger.info("compile=auto: the first step compiles, for two to three minutes if that was not done before")
    step.graphs.may_retry = _continues_uncompiled


def _compile(step: TrainingStep) -> None:
    """Compile the network region by region, the augmentation and the losses, each at its first call."""
    warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores")
    compile_regions(step.model)
    objective = step.objective
    objective.prepare = torch.compile(objective.prepare, dynamic=False)
    objective.segmentation_loss = torch.compile(objective.segmentation_loss, dynamic=False)
    objective.depth_loss = torch.compile(objective.depth_loss, dynamic=False)


def _continues_uncompiled(error: Exception) -> bool:
    """Whether ``error`` is one of compiling, without which training continues from here."""
    origin = type(error).__module__.partition(".")[0]
    of_torch = type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
    if not (origin == "triton" or of_torch or says("compiler", f"{type(error).__name__}: {error}")):
        return False
    torch.compiler.set_stance("force_eager")
    logger.warning(f"compile=auto: training runs uncompiled, since compiling failed: {first_line(error)}")
    return True
