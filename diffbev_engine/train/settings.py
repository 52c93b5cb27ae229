"""Settings of training, under the names that the configuration files use."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from diffbev_engine.core.settings_base import StrictSettings

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class RunnerSettings(StrictSettings):
    """How long to train."""

    type: Literal["IterBasedRunner"] = "IterBasedRunner"
    max_iters: PositiveInt = 200_000


class OptimizerSettings(StrictSettings):
    """AdamW; norm layers and position tables are not decayed."""

    type: Literal["AdamW"] = "AdamW"
    lr: PositiveFloat = 2e-4
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 0.01


class GradClipSettings(StrictSettings):
    """Clipping of the gradient's global L2 norm."""

    max_norm: PositiveFloat = 35.0


class OptimizerConfigSettings(StrictSettings):
    """What happens between backward and the optimizer step."""

    grad_clip: GradClipSettings | None = GradClipSettings()
    cumulative_iters: PositiveInt = 1
    """Batches accumulated for one iteration; an iteration is one optimizer step."""


class LrSettings(StrictSettings):
    """Polynomial decay to ``min_lr`` after a linear warm-up."""

    policy: Literal["poly"] = "poly"
    power: PositiveFloat = 1.0
    min_lr: NonNegativeFloat = 0.0
    by_epoch: Literal[False] = False
    warmup: Literal["linear"] | None = "linear"
    warmup_iters: NonNegativeInt = 1500
    warmup_ratio: Annotated[float, Field(ge=0.0, le=1.0)] = 1e-6


class EmaSettings(StrictSettings):
    """Exponential moving average of the weights, which is what gets evaluated."""

    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.999
    """Share of the average that stays in an iteration; smaller at first: 1 - n^(-2/3) after n iterations."""


class CheckpointSettings(StrictSettings):
    """When checkpoints are written and how many are kept."""

    by_epoch: Literal[False] = False
    interval: PositiveInt = 5000
    max_keep_ckpts: PositiveInt = 3
    """Newest ``iter_<n>.pth`` that are kept; ``latest.pth`` and ``best_mIoU.pth`` always are."""


class DistSettings(StrictSettings):
    """Training with several processes."""

    timeout: Annotated[float, Field(ge=5.0)] = 60.0
    """Seconds within which all processes end after one has ended or hangs; see ``train.peers``."""


Tracker = Literal["tensorboard", "wandb", "swanlab"]
TRACKERS: tuple[Tracker, ...] = get_args(Tracker)
_HOOKS = {
    "TensorboardLoggerHook": "tensorboard",
    "WandbLoggerHook": "wandb",
    "SwanlabLoggerHook": "swanlab",
    "SwanLabLoggerHook": "swanlab",
}
"""Names of OpenMMLab's hooks."""


def _trackers(given: Any) -> Any:
    """Names of trackers out of names and of OpenMMLab's ``dict(type=...)``."""
    if not isinstance(given, list | tuple):
        return given
    names = []
    for hook in given:
        name = hook
        if isinstance(hook, dict):
            further = [key for key in hook if key not in ("type", "by_epoch", "interval")]
            if further:
                raise ValueError(
                    f"{further[0]} is not read: project and mode of a tracker are set by its own environment "
                    "variables, such as WANDB_PROJECT"
                )
            name = str(hook.get("type"))
            if name == "TextLoggerHook":  # a text log is always written
                continue
            name = _HOOKS.get(name, name)
        if name not in TRACKERS:
            raise ValueError(f"no tracker {name!r}: choose among {', '.join(TRACKERS)}")
        names.append(name)
    return tuple(dict.fromkeys(names))


class LogSettings(StrictSettings):
    """Rows of ``metrics.csv`` and lines of the log."""

    interval: PositiveInt = 50
    hooks: Annotated[tuple[Tracker, ...], BeforeValidator(_trackers)] = ()
    """Trackers that get every row of ``metrics.csv``: ``tensorboard``, ``wandb``, ``swanlab``."""
