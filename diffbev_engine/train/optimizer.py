"""AdamW whose weight decay leaves norms and position tables alone, and its learning rate."""

from typing import Any

import torch
from torch import Tensor, nn

from diffbev_engine.train.settings import LrSettings, OptimizerSettings

_CONFIGURED = ("weight_decay", "betas", "lr", "fused", "capturable")
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
_POSITION_TABLES = ("relative_position_bias_table", "pos_embed", "absolute_pos_embed")


def decay_groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split the trainable parameters into (decayed, not decayed).

    Not decayed: parameters of norm layers, relative position bias tables and absolute
    position embeddings (the recipe of Swin, which DiffBEV's configurations repeat).
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            spare = isinstance(module, _NORMS) or name in _POSITION_TABLES
            (spared if spare else decayed).append(parameter)
    return decayed, spared


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW over both groups.

    On a GPU with one fused kernel a step, which reads the learning rate from the device, so that it can
    be captured as a CUDA graph.
    """
    decayed, spared = decay_groups(model)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    device = next(model.parameters()).device
    if device.type != "cuda":
        return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=False)
    lr = torch.tensor(settings.lr, device=device)
    return torch.optim.AdamW(groups, lr=lr, betas=settings.betas, fused=True, capturable=True)


def optimizer_state(optimizer: torch.optim.Optimizer, lr: float) -> dict[str, Any]:
    """The state for a checkpoint, with the learning rate as a number on every device."""
    state = optimizer.state_dict()
    return {**state, "param_groups": [{**group, "lr": lr} for group in state["param_groups"]]}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Continue from ``state`` with the options of this start and device, not with those that it holds."""
    configured = [{name: group[name] for name in _CONFIGURED} for group in optimizer.param_groups]
    saved = state["param_groups"]
    # In the state, for there they also decide where torch keeps the number of steps.
    options = [{**group, **own} for group, own in zip(saved, configured, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": options})


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the learning rate of this step."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def learning_rate(iteration: int, base_lr: float, max_iters: int, settings: LrSettings) -> float:
    """Learning rate of the optimizer step number ``iteration``, counted from 0; needs no state to resume.

    Polynomial decay from ``base_lr`` to ``min_lr`` at ``max_iters``, times a linear ramp from
    ``warmup_ratio`` to 1 over the first ``warmup_iters`` steps.
    """
    remaining = max(0.0, 1.0 - iteration / max_iters) ** settings.power
    decayed = (base_lr - settings.min_lr) * remaining + settings.min_lr
    if settings.warmup is None or iteration >= settings.warmup_iters:
        return decayed
    return decayed * (1.0 - (1.0 - iteration / settings.warmup_iters) * (1.0 - settings.warmup_ratio))
