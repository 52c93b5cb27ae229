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
from diffbev_engine.train.objective import COMPILED_FUNCTIONS
from diffbev_engine.train.recorder import logger
from diffbev_engine.train.step import TrainingStep


def why_plain(settings: Settings, processes: Processes) -> str:
    """Why ``compile=auto`` compiles nothing for a run on this machine; empty if it does."""
    if why := why_not_compiled(settings, on_gpu=processes.device.type == "cuda"):
        return why.en
    absent = missing_for_compile(on_gpu=True) or missing_libcuda()
    return absent[0].en if absent else ""


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
        if why := why_plain(settings, processes):
            logger.info(f"compile=auto: training runs uncompiled ({why})")
        else:
            compile_parts(step)
            step.graphs.may_retry = _continues_uncompiled
        step.graphs.wanted = True


def compile_parts(step: TrainingStep) -> None:
    """Let the network's regions, the augmentation and the losses be compiled, each at its first call."""
    warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores")
    step.halves_weights = True
    compile_regions(step.model)
    for name in COMPILED_FUNCTIONS:
        setattr(step.objective, name, torch.compile(getattr(step.objective, name), dynamic=False))


def _continues_uncompiled(error: Exception) -> bool:
    """Whether ``error`` is one of compiling, without which training continues from here."""
    origin = type(error).__module__.partition(".")[0]
    of_torch = type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
    if not (origin == "triton" or of_torch or says("compiler", f"{type(error).__name__}: {error}")):
        return False
    torch.compiler.set_stance("force_eager")
    logger.warning(f"compile=auto: training runs uncompiled, since compiling failed: {first_line(error)}")
    return True
