"""Which columns a chart can show: metrics and the figures of ``system.csv``. Imports nothing heavy."""

from collections.abc import Collection

from diffbev_engine.runs.metrics.dialect import SCORES
from diffbev_engine.runs.metrics.table import is_score
from diffbev_engine.runs.system import GPU_COLUMNS, HOST_COLUMNS
from diffbev_engine.runs.system_figures import figure_called, figures_in, is_system
from diffbev_tui.charts.units import label_of, unit_of
from diffbev_tui.monitor.chart_pages import FIRST_METRICS

_USUAL_SYSTEM = (*HOST_COLUMNS, *(f"gpu0_{name}" for name in GPU_COLUMNS))
"""What is offered before there is a ``system.csv``."""


def can_be_logarithmic(column: str) -> bool:
    """Whether a logarithmic axis makes sense: not for scores, nor for the machine."""
    return not (is_score(column) or is_system(column))


def choices(known: Collection[str]) -> list[tuple[str, str]]:
    """The columns to choose from, with the words for them.

    Args:
        known: those that have values in some run.
    """
    metrics = dict.fromkeys((*FIRST_METRICS, *SCORES, *sorted(name for name in known if not is_system(name))))
    system = [figure for name in known if (figure := figure_called(name))]
    figures = figures_in([figure.column for figure in system] or _USUAL_SYSTEM)
    return [
        *((name, name) for name in metrics),
        *((figure.name, f"{_with_unit(figure.name)}  system.csv") for figure in figures),
    ]


def _with_unit(column: str) -> str:
    unit = unit_of(column)
    return f"{label_of(column)} ({unit})" if unit else label_of(column)
