"""Loss accumulation and NaN guard on the device, without host synchronization.

Sums and the first bad step of every term stay in device tensors.  At a log step they are
copied to page-locked host memory asynchronously; the row is written when it has arrived.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from diffbev_engine.core.errors import DivergedError

_NEVER = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Reading:
    """Means over one log interval, on the host."""

    step: int
    means: dict[str, float]
    grad_norm: float
    extra: dict[str, Any]
    """Whatever the caller attached when it asked for the reading."""


@dataclass
class _Pending:
    step: int
    values: Tensor
    first_bad: Tensor
    arrived: torch.cuda.Event | None
    extra: dict[str, Any]


class Meter:
    """Running means of named losses, and the step at which one stopped being finite."""

    def __init__(self, names: tuple[str, ...], device: torch.device, *, guard_grad_norm: bool) -> None:
        """Watch the losses ``names``.

        Args:
            names: the loss terms first, their sum last, so that the guard names the culprit.
            device: where the losses live.
            guard_grad_norm: whether an infinite gradient is a divergence; not so under fp16,
                where the loss scaler skips such steps.
        """
        self._names = names
        self._device = device
        self._guarded = (*names, "grad_norm") if guard_grad_norm else names
        self._sums = torch.zeros(len(names), device=device)
        self._grad_norm = torch.zeros((), device=device)
        self._first_bad = torch.full((len(self._guarded),), _NEVER, dtype=torch.int64, device=device)
        self._count = 0
        self._pending: list[_Pending] = []

    def add(self, step: int, losses: Mapping[str, Tensor], grad_norm: Tensor) -> None:
        """Take the losses of one step; nothing is copied to the host."""
        values = torch.stack([losses[name].detach().float() for name in self._names])
        self._sums += values
        self._count += 1
        self._grad_norm = grad_norm.detach().float()
        watched = torch.cat([values, self._grad_norm[None]])[: len(self._guarded)]
        newly_bad = ~torch.isfinite(watched) & (self._first_bad == _NEVER)
        self._first_bad = self._first_bad.masked_fill(newly_bad, step)

    def publish(self, step: int, extra: dict[str, Any]) -> None:
        """Ask for the means since the last reading; they arrive later through ``readings``."""
        values = torch.cat([self._sums / max(self._count, 1), self._grad_norm[None]])
        first_bad = self._first_bad.clone()
        if distributed.is_initialized():
            distributed.all_reduce(values)
            values /= distributed.get_world_size()
            distributed.all_reduce(first_bad, op=distributed.ReduceOp.MIN)
        self._pending.append(_Pending(step, *self._to_host(values, first_bad), extra))
        self._sums = torch.zeros_like(self._sums)
        self._count = 0

    def readings(self, *, wait: bool = False) -> list[Reading]:
        """The readings that have arrived, oldest first; ``wait`` for all that were published.

        Raises:
            DivergedError: naming the step and the loss that is not finite.
        """
        done = []
        while self._pending:
            head = self._pending[0]
            if head.arrived is not None and not head.arrived.query():
                if not wait:
                    break
                head.arrived.synchronize()
            self._pending.pop(0)
            self._check(head.first_bad)
            means = dict(zip(self._names, head.values.tolist(), strict=False))
            done.append(Reading(head.step, means, float(head.values[-1]), head.extra))
        return done

    def check(self) -> None:
        """Wait for the device and raise ``DivergedError`` if any step so far was not finite."""
        first_bad = self._first_bad.clone()
        if distributed.is_initialized():
            distributed.all_reduce(first_bad, op=distributed.ReduceOp.MIN)
        self._check(first_bad)

    def state(self) -> dict[str, Any]:
        """Sums since the last reading, averaged over the processes, for a checkpoint."""
        sums = self._sums.clone()
        if distributed.is_initialized():
            distributed.all_reduce(sums)
            sums /= distributed.get_world_size()
        return {"sums": sums.cpu(), "count": self._count}

    def empty_state(self) -> dict[str, Any]:
        """For a checkpoint that is written without the other processes: the next means begin there."""
        return {"sums": torch.zeros(len(self._names)), "count": 0}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from ``state``; sums of other terms, of a run with another loss, begin again at 0."""
        if len(state["sums"]) != len(self._names):
            return
        self._sums = state["sums"].to(self._device)
        self._count = state["count"]

    def _to_host(self, values: Tensor, first_bad: Tensor) -> tuple[Tensor, Tensor, torch.cuda.Event | None]:
        if self._device.type != "cuda":
            return values, first_bad, None
        host = [torch.empty(x.shape, dtype=x.dtype, pin_memory=True) for x in (values, first_bad)]
        for target, source in zip(host, (values, first_bad), strict=True):
            target.copy_(source, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return host[0], host[1], arrived

    def _check(self, first_bad: Tensor) -> None:
        steps = first_bad.tolist()
        step = min(steps)
        if step == _NEVER:
            return
        culprit = self._guarded[steps.index(step)]
        raise DivergedError(
            f"training diverged at step {step}: {culprit} is NaN or infinite. "
            "The last checkpoint was written before it; resume with a lower optimizer.lr, "
            "precision='fp32', or after checking the labels with `diffbev-engine preview-labels`."
        )
