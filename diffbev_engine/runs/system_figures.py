"""The columns of ``system.csv`` as curves next to those of ``metrics.csv``: names, units, iterations.

Imports nothing heavy.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf, isfinite

from diffbev_engine.runs.system import SystemHistory

PREFIX = "system.csv:"
"""Before the column, so that no metric has the same name."""
_GPU_COLUMN = re.compile(r"gpu(\d{1,4})_(\w+)", re.ASCII)
_OF_GPU = {
    "used_mib": ("GiB", 1024.0),
    "load": ("%", 1.0),
    "power_w": ("W", 1.0),
    "temperature_c": ("°C", 1.0),
    "clock_mhz": ("MHz", 1.0),
}
_OF_HOST = {
    "data_wait_percent": ("%", 1.0),
    "host_used_mib": ("GiB", 1024.0),
    "swap_used_mib": ("GiB", 1024.0),
    "disk_free_mib": ("GiB", 1024.0),
    "cpu_percent": ("%", 1.0),
    "loader_workers": ("", 1.0),
    "loader_cpu_percent": ("%", 1.0),
}
"""Unit to be read in, and what one of it is in the unit of the column."""


@dataclass(frozen=True)
class SystemFigure:
    """One figure of a GPU or of the host."""

    kind: str
    """The column, without its GPU."""
    gpu: int | None = None
    """Index of the GPU; ``None`` for the host."""

    @property
    def column(self) -> str:
        """Where it is in ``system.csv``."""
        return self.kind if self.gpu is None else f"gpu{self.gpu}_{self.kind}"

    @property
    def name(self) -> str:
        """What it is called among metrics."""
        return PREFIX + self.column

    @property
    def unit(self) -> str:
        """In which its values are given here."""
        return self._scale[0]

    @property
    def _scale(self) -> tuple[str, float]:
        return (_OF_HOST if self.gpu is None else _OF_GPU)[self.kind]

    def over_time(self, history: SystemHistory) -> tuple[list[float], list[float]]:
        """Unix times and values of the samples that have one."""
        values = self._values(history)
        kept = [place for place, value in enumerate(values) if isfinite(value)]
        return [history.times[place] for place in kept], [values[place] for place in kept]

    def over_iterations(self, history: SystemHistory) -> tuple[list[float], list[float]]:
        """Iterations and values; without the samples of a branch that a resume has abandoned.

        Several samples may be of one iteration, as during an evaluation.
        """
        steps, values = history.columns.get("step", ()), self._values(history)
        kept: list[int] = []
        earliest = inf
        for place in range(len(steps) - 1, -1, -1):
            if steps[place] <= earliest:  # false where the iteration is not known
                earliest = steps[place]
                if isfinite(values[place]):
                    kept.append(place)
        kept.reverse()
        return [steps[place] for place in kept], [values[place] for place in kept]

    def _values(self, history: SystemHistory) -> Sequence[float]:
        _, size = self._scale
        values = history.columns.get(self.column)
        return [value / size for value in values] if values else [inf] * len(history.times)


def is_system(name: str) -> bool:
    """Whether a name among metrics means a column of ``system.csv``."""
    return name.startswith(PREFIX)


def figure_called(name: str) -> SystemFigure | None:
    """The figure with this name; ``None`` if there is no such figure."""
    return _figure(name.removeprefix(PREFIX)) if is_system(name) else None


def figures_in(columns: Collection[str]) -> list[SystemFigure]:
    """The figures that columns of ``system.csv`` hold: GPUs in order, then the host."""
    found = [figure for column in columns if (figure := _figure(column))]
    kinds = [*_OF_GPU, *_OF_HOST]
    return sorted(
        found, key=lambda figure: (inf if figure.gpu is None else figure.gpu, kinds.index(figure.kind))
    )


def _figure(column: str) -> SystemFigure | None:
    if column in _OF_HOST:
        return SystemFigure(column)
    found = _GPU_COLUMN.fullmatch(column)
    return SystemFigure(found[2], int(found[1])) if found and found[2] in _OF_GPU else None
