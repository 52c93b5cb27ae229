"""All settings of one experiment: what a configuration file becomes."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, model_validator

from diffbev_engine.core.settings_base import StrictSettings
from diffbev_engine.dataset.settings import DataSettings
from diffbev_engine.evaluate.settings import EvaluationSettings
from diffbev_engine.models.settings import ModelSettings
from diffbev_engine.train.settings import (
    CheckpointSettings,
    DistSettings,
    EmaSettings,
    LogSettings,
    LrSettings,
    OptimizerConfigSettings,
    OptimizerSettings,
    RunnerSettings,
)


class Settings(StrictSettings):
    """One experiment, complete."""

    data_root: Annotated[Path, Field(strict=False)]
    """Directory with ``img_dir``, ``ann_bev_dir``, ``calib.json`` and ``index.jsonl``."""
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    optimizer_config: OptimizerConfigSettings = OptimizerConfigSettings()
    lr_config: LrSettings = LrSettings()
    runner: RunnerSettings = RunnerSettings()
    load_from: str | None = None
    """Weights to start from: a checkpoint of a run, a ``.safetensors``, or ``demo/baseline`` and
    ``demo/diffbev``, which come with the package; ``None``: each part starts as its own settings say."""
    ema: EmaSettings | None = None
    """Average of the weights; ``None``: the weights themselves are evaluated."""
    checkpoint_config: CheckpointSettings = CheckpointSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    log_config: LogSettings = LogSettings()
    dist_params: DistSettings = DistSettings()
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Arithmetic of the network; geometry, losses and softmaxes stay in fp32."""
    compile: Literal["auto", "off", "head", "all"] = "auto"
    """How training goes faster on a GPU.

    ``auto``: the step is replayed as a CUDA graph; in runs of 2,500 iterations and more each distinct
    block goes through torch.compile before, unless ``deterministic``; on a CPU neither.  ``off``: neither.
    ``head``, ``all``: the head with the U-Net, or the whole network, through torch.compile.
    """
    recompute: Annotated[tuple[Literal["backbone", "diffusion", "head"], ...], Field(strict=False)] = ()
    """Parts whose activations are computed again in the backward pass instead of kept: the same numbers in
    less memory, and slower."""
    seed: NonNegativeInt = 0
    deterministic: bool = False
    """Only deterministic kernels: slower on a GPU, the same numbers in every run."""

    @model_validator(mode="after")
    def _depth_supervision_has_depth(self) -> "Settings":
        if self.model.depth_loss and not self.data.load_depth:
            raise ValueError(
                "model.depth_loss needs depth ground truth: set data.load_depth=True (and run "
                "`diffbev-engine prepare-depth`), or model.depth_loss=None"
            )
        return self
