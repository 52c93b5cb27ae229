"""What the column of a chart is called, and in which unit: metrics and the figures of ``system.csv``.

Imports nothing heavy.
"""

from diffbev_engine.runs.metrics.table import is_score
from diffbev_engine.runs.system_figures import figure_called
from diffbev_tui.i18n import tr
from diffbev_tui.system_labels import figure_label

_UNITS = {"images_per_s": "img/s", "gpu_mem_mb": "MiB"}


def label_of(column: str) -> str:
    """A metric by its own name, a figure of the machine in words."""
    figure = figure_called(column)
    return figure_label(figure) if figure else column


def unit_of(column: str) -> str:
    """In what a column is measured, as axes can write it; scores are points, losses have no unit."""
    figure = figure_called(column)
    return figure.unit if figure else _UNITS.get(column, "")


def unit_in_words(column: str) -> str:
    """The same for a title."""
    return tr("monitor.points") if is_score(column) else unit_of(column)
