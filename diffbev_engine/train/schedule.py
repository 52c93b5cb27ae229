"""The learning rate as a function of the iteration alone, so that resuming needs no state."""

from diffbev_engine.train.settings import LrSettings


def learning_rate(iteration: int, base_lr: float, max_iters: int, settings: LrSettings) -> float:
    """Learning rate of the optimizer step number ``iteration``, counted from 0.

    Polynomial decay from ``base_lr`` to ``min_lr`` at ``max_iters``, times a linear ramp from
    ``warmup_ratio`` to 1 over the first ``warmup_iters`` steps.
    """
    remaining = max(0.0, 1.0 - iteration / max_iters) ** settings.power
    decayed = (base_lr - settings.min_lr) * remaining + settings.min_lr
    if settings.warmup is None or iteration >= settings.warmup_iters:
        return decayed
    return decayed * (1.0 - (1.0 - iteration / settings.warmup_iters) * (1.0 - settings.warmup_ratio))
