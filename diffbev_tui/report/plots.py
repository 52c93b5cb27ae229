"""Plots of reports as charts of the UI: what to draw, and the words around it. No Textual."""

from collections.abc import Mapping
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from diffbev_engine.core.format import step_label
from diffbev_engine.core.plain_text import plain
from diffbev_engine.report.plot_data import Plot, PlotChart, PlotRun
from diffbev_tui.charts.bars import BarsSpec
from diffbev_tui.charts.chart import ChartFigure, ChartLine, ChartSpec, too_small
from diffbev_tui.charts.panel import run_colours
from diffbev_tui.charts.series import Band, on_log_scale
from diffbev_tui.charts.ticks import number
from diffbev_tui.charts.units import label_of, unit_in_words, unit_of
from diffbev_tui.format import clock
from diffbev_tui.i18n import tr
from diffbev_tui.run_book import LETTERS, BookPage

Letters = Mapping[PlotRun, str]
_NAMED = ("loss", "Lwce", "Ldepth", "Ldiff", "lr", "mIoU")
"""Columns whose charts have a title in words."""
_LONGEST_NAME = 60
_GAP = "   "


def letters_of(plot: Plot, folder: Path, book: BookPage) -> dict[PlotRun, str]:
    """The letter that each run has everywhere; one that nobody has for runs that are not in the workspace.

    Args:
        plot: in ``folder``.
        folder: from where the plot names its runs.
        book: of the workspace.
    """
    known = {Path(path).resolve(): book.letter(path) for path in book.entries}
    found: dict[PlotRun, str] = {}
    for run in plot.runs:
        path = _resolved(folder, run.folder) if run.folder else None
        letter = known.get(path, "") if path else ""
        if letter and letter not in found.values():
            found[run] = letter
    used = {*known.values(), *found.values()}
    free = [one for one in sorted(LETTERS, reverse=True) if one not in used]  # Z first, digits last
    for run in plot.runs:
        if run not in found:
            found[run] = free.pop(0) if free else LETTERS[-1]
    return found


def _resolved(folder: Path, way: str) -> Path | None:
    try:
        return (folder / way).resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def chart_spec(chart: PlotChart, letters: Letters, size: tuple[int, int], *, along: bool) -> ChartSpec:
    """A chart as it is drawn in so many cells; ``along``: with letters along the curves."""
    scaled = on_log_scale if chart.log_y else lambda band: band
    lines = tuple(
        ChartLine(
            letters[one.run],
            scaled(Band(one.steps, one.low, one.high or one.low)),
            scaled(Band(one.steps, *one.spread)) if one.spread else None,
            best=one.best if not chart.log_y else None,
        )
        for one in chart.curves
    )
    return ChartSpec(
        lines, chart.steps, size, chart.log_y, letters_along=along, clip=False, unit=unit_of(chart.column)
    )


def bars_spec(plot: Plot, letters: Letters, size: tuple[int, int]) -> BarsSpec:
    """The scores of classes in so many cells."""
    labels = tuple(plain(name, longest=_LONGEST_NAME) for name in plot.classes)
    return BarsSpec(labels, tuple((letters[bar.run], bar.values) for bar in plot.bars), size)


def chart_title(chart: PlotChart, letters: Letters, width: int, *, dark: bool) -> Text:
    """``Learning rate  A 1.6e-4  B 1.6e-4``: what is drawn, unit and scale; the last values, if all fit."""
    column = plain(chart.column, longest=_LONGEST_NAME)
    title = Text(_label(column), "bold", no_wrap=True)
    for mark in (unit_in_words(column), tr("monitor.log_mark") if chart.log_y else ""):
        title.append(f" {mark}" if mark else "", "not bold dim")
    values = Text()
    for curve in chart.curves:
        if curve.low:
            letter = letters[curve.run]
            values.append(f"  {letter} ", f"bold {run_colours(dark)[letter]}")
            values.append(number(curve.low[-1]), "not bold")
    return title.append_text(values) if title.cell_len + values.cell_len < width else title


def _label(column: str) -> str:
    return tr(f"report.chart_{column}") if column in _NAMED else label_of(column)


def bars_title() -> Text:
    """``IoU by class, best iteration  points``."""
    title = Text(tr("report.chart_classes"), "bold", no_wrap=True)
    return title.append(f" {unit_in_words('mIoU')}", "not bold dim")


def legend(plot: Plot, letters: Letters, width: int, *, dark: bool) -> Text:
    """Which letter is which run, with its best score; as many in a line as fit."""
    text, used = Text(no_wrap=True, overflow="ellipsis"), 0
    drawn = {one.run for chart in plot.charts for one in chart.curves} | {bar.run for bar in plot.bars}
    for run in plot.runs:
        name = plain(run.name, longest=_LONGEST_NAME)
        absent = tr("report.not_logged" if plot.charts else "report.not_evaluated")
        words = _best(plot, run) if run in drawn else f" {absent}"
        length = 2 + cell_len(name + words)
        if used and used + len(_GAP) + length > width:
            text.append("\n")
            used = 0
        elif used:
            text.append(_GAP)
            used += len(_GAP)
        text.append(f"{letters[run]} ", f"bold {run_colours(dark)[letters[run]]}")
        text.append(name).append(words, "dim")
        used += length
    return text


def _best(plot: Plot, run: PlotRun) -> str:
    """Where the best score of a run is; nothing where several charts would each have one."""
    bests: list[tuple[float, float | None]] = [
        (bar.step, bar.values[-1]) for bar in plot.bars if bar.run == run and bar.values
    ]
    if len(plot.charts) == 1:
        bests += [one.best for one in plot.charts[0].curves if one.run == run and one.best]
    for step, value in bests:
        if value is not None:
            return f" {tr('monitor.best')} {number(value)} @ {step_label(step)}"
    return ""


def notes(plot: Plot, written: float, now: float) -> str:
    """What a reader has to know: how lines were smoothed, what x is, and of when the numbers are."""
    windows = sorted({rows for chart in plot.charts for rows in chart.windows})
    words = [tr("report.running_mean", rows="/".join(map(str, windows)))] if windows else []
    words += [tr("report.averaged", value=one) for one in {chart.smoothing for chart in plot.charts} if one]
    words += [tr("report.x_axis")] if plot.charts else []
    return "  ".join([*words, tr("report.as_of", when=clock(written, now))])


def nothing_drawn(chart: PlotChart, figure: ChartFigure) -> str:
    """Why a chart is empty."""
    column = label_of(plain(chart.column, longest=_LONGEST_NAME))
    if figure.error:
        return tr("monitor.not_drawn", column=column, why=figure.error)
    if too_small(figure.size):
        return tr("monitor.too_small", column=column)
    return tr("report.none_logged", column=column)
