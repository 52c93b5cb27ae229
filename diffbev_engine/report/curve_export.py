"""Curves as they are chosen on a screen, written to one file: a table, or a figure.

Columns are those of metrics.csv, and of system.csv by their names in :mod:`system_figures`.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.files import write_text
from diffbev_engine.report.plot_data import Plot, PlotChart
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.metrics.file import read_metrics
from diffbev_engine.runs.metrics.smoothing import Smoother
from diffbev_engine.runs.metrics.table import MetricsTable, is_loss, is_score
from diffbev_engine.runs.system import SystemHistory, read_system
from diffbev_engine.runs.system_figures import SystemFigure, figure_called, is_system

FORMATS = (".csv", ".png", ".svg", ".pdf")
_WIDTH, _HEIGHT = 4.2, 2.6
"""Inches of one chart."""


@dataclass(frozen=True)
class CurveChoice:
    """What to write."""

    runs: Sequence[tuple[str, Path]]
    """Name and run directory."""
    columns: Sequence[str]
    steps: tuple[float, float]
    """The first and the last iteration."""
    smoothing: float = 0.0
    """Weight of the past in the moving average of losses; 0: as logged."""
    log_y: bool = False


@dataclass(frozen=True)
class _Curve:
    run: str
    column: str
    steps: Sequence[int]
    values: Sequence[float]
    smoothed: Sequence[float] | None


def export_curves(choice: CurveChoice, output: Path) -> Path:
    """Write the curves to ``output``; its suffix is the format. Scores are in points.

    Raises:
        UsageError: another suffix.
        DiffBEVError: a metrics.csv cannot be read, none has values there, or the file cannot be written.
    """
    if output.suffix not in FORMATS:
        raise UsageError(f"{output}: the name must end in {', '.join(FORMATS)}.")
    curves = _curves(choice)
    if not curves:
        raise DiffBEVError("none of these runs has values of these metrics there.")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix == ".csv":
            write_text(output, _table(curves))
        else:
            _draw(choice, curves, output)
    except OSError as error:
        raise DiffBEVError(f"cannot write {output}: {error.strerror or error}.") from error
    return output


def _curves(choice: CurveChoice) -> list[_Curve]:
    found: list[_Curve | None] = []
    tables = [(name, read_metrics(RunFolder(path).metrics)) for name, path in choice.runs]
    machines = [
        (name, read_system(RunFolder(path).system) if any(map(is_system, choice.columns)) else None)
        for name, path in choice.runs
    ]
    for column in choice.columns:
        if figure := figure_called(column):
            found += [_of_machine(name, history, figure, choice) for name, history in machines if history]
        else:
            found += [_of_metrics(name, table, column, choice) for name, table in tables]
    return [curve for curve in found if curve is not None]


def _of_metrics(name: str, table: MetricsTable, column: str, choice: CurveChoice) -> _Curve | None:
    series = table.series(column)
    scale = 100.0 if is_score(column) else 1.0
    values = [scale * value for value in series.values]
    smoothed = None
    if choice.smoothing and is_loss(column):
        smoother = Smoother(choice.smoothing)
        smoother.extend(values)
        smoothed = smoother.values
    return _within(choice, _Curve(name, column, series.steps, values, smoothed))


def _of_machine(
    name: str, history: SystemHistory, figure: SystemFigure, choice: CurveChoice
) -> _Curve | None:
    steps, values = figure.over_iterations(history)
    return _within(choice, _Curve(name, figure.name, [int(step) for step in steps], values, None))


def _within(choice: CurveChoice, curve: _Curve) -> _Curve | None:
    """The part between the iterations that were asked for."""
    first, last = choice.steps
    inside = [place for place, step in enumerate(curve.steps) if first <= step <= last]
    if not inside:
        return None
    part = slice(inside[0], inside[-1] + 1)
    smoothed = curve.smoothed[part] if curve.smoothed else None
    return _Curve(curve.run, curve.column, curve.steps[part], curve.values[part], smoothed)


def _table(curves: Sequence[_Curve]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["run", "metric", "step", "value", "smoothed"])
    for curve in curves:
        smoothed: Sequence[float | str] = curve.smoothed or [""] * len(curve.steps)
        rows = zip(curve.steps, curve.values, smoothed, strict=True)
        writer.writerows([curve.run, curve.column, step, value, soft] for step, value, soft in rows)
    return text.getvalue()


def _draw(choice: CurveChoice, curves: Sequence[_Curve], output: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from diffbev_engine.report.style import paper_style, run_style, save_figure

    columns = list(dict.fromkeys(curve.column for curve in curves))
    names = [name for name, _ in choice.runs]
    across = min(3, len(columns))
    down = ceil(len(columns) / across)
    with paper_style():
        figure = Figure(figsize=(_WIDTH * across, _HEIGHT * down), facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        for place, column in enumerate(columns, start=1):
            axes = figure.add_subplot(down, across, place)
            soft = choice.smoothing and is_loss(column)
            machine = figure_called(column)
            title = f"{machine.column} ({machine.unit})" if machine and machine.unit else column
            axes.set_title(f"{column} (smoothed {choice.smoothing:g})" if soft else title, loc="left")
            axes.set_xlabel("iteration")
            if choice.log_y and not (is_score(column) or is_system(column)):
                axes.set_yscale("log")
            for curve in (one for one in curves if one.column == column):
                style = run_style(names.index(curve.run))
                if curve.smoothed is not None:
                    axes.plot(curve.steps, curve.values, color=style.colour, alpha=0.25, linewidth=0.6)
                shown = curve.values if curve.smoothed is None else curve.smoothed
                axes.plot(curve.steps, shown, color=style.colour, linestyle=style.line, label=curve.run)
            if place == 1:
                axes.legend(loc="best")
        plot = _plot(choice, curves, columns, output.parent)
        save_figure(figure, output.with_suffix(""), [output.suffix.removeprefix(".")], plot)


def _plot(choice: CurveChoice, curves: Sequence[_Curve], columns: Sequence[str], folder: Path) -> Plot:
    """What the figure shows, as the numbers that its PNG keeps."""
    from diffbev_engine.report.plotted import plot_run, reduced

    runs = {name: plot_run(name, RunFolder(path).path, folder) for name, path in choice.runs}
    first, last = min(one.steps[0] for one in curves), max(one.steps[-1] for one in curves)
    steps = max(choice.steps[0], float(first)), min(choice.steps[1], float(last))
    return Plot(
        tuple(runs.values()),
        tuple(
            PlotChart(
                column,
                tuple(
                    reduced(runs[curve.run], curve.steps, curve.values, column, curve.smoothed)
                    for curve in curves
                    if curve.column == column
                ),
                steps,
                log_y=choice.log_y and not is_score(column),
                smoothing=choice.smoothing if is_loss(column) else 0.0,
            )
            for column in columns
        ),
    )
