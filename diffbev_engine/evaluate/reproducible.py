"""Deterministic evaluation: disable nondeterministic kernels."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic


@contextmanager
def reproducible_kernels() -> Iterator[None]:
    """Choose deterministic kernels in the enclosed block, and put everything back afterwards.

    Splatting on a GPU otherwise adds in whatever order its threads arrive, which can carry a score
    over the threshold.  Where there is no deterministic kernel the usual one runs.
    """
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        # cuBLAS is only non-deterministic on several streams, and evaluation uses one.
        warnings.filterwarnings("ignore", message=".*CuBLAS.*", category=UserWarning)
        try:
            torch.use_deterministic_algorithms(True, warn_only=not enabled or warn_only)
            deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            yield
        finally:
            deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
            torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
