"""The words around the charts: titles, the line above them, the run below them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from diffbev_engine.core.format import UNKNOWN, percent, points, progress, step_label
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.metrics.tail import Notice
from diffbev_engine.runs.system_figures import is_system
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.charts.axis import Axis
from diffbev_tui.charts.chart import too_small
from diffbev_tui.charts.panel import run_colours
from diffbev_tui.charts.ticks import number
from diffbev_tui.charts.units import label_of, unit_in_words
from diffbev_tui.format import age, bar, clock, duration
from diffbev_tui.i18n import language, tr
from diffbev_tui.monitor.chart_pages import ChartPages
from diffbev_tui.monitor.chart_worker import ChartRequest, ChartResult, ChartView, RunFacts
from diffbev_tui.run_state import is_well, run_state, why_not_well

_GAP = "   "


def chart_title(chart: ChartView, cursor: float | None, *, dark: bool) -> Text:
    """``loss smoothed  A 0.412 (raw 0.398)``, ``mIoU points  B 21.4   best B 21.4 @ 40k``.

    What does not fit is left out whole, never cut: first the best values, then the raw ones, then the last.
    """
    colours, width = run_colours(dark), chart.figure.size[0]  # the first cell is the mark of the focus
    forms = [(cursor is None, True, len(chart.now)), (False, True, len(chart.now))]
    forms += [(False, False, count) for count in range(len(chart.now), -1, -1)]
    title = Text()
    for best, raw, values in forms:
        title = _chart_title(chart, best=best, raw=raw, values=values, colours=colours)
        if title.cell_len < width:
            break
    title.truncate(max(width - 1, 1), overflow="ellipsis")
    return title


def _chart_title(chart: ChartView, *, best: bool, raw: bool, values: int, colours: dict[str, str]) -> Text:
    title = Text(no_wrap=True)
    title.append(label_of(chart.column), "bold")
    for mark in (unit_in_words(chart.column), tr("monitor.log_mark") if chart.log_y else ""):
        title.append(f" {mark}" if mark else "", "dim")
    if chart.smoothing:
        title.append(f" {tr('monitor.smoothed_mark')}", "dim")
    unsmoothed = {one.letter: one.value for one in chart.raw} if raw else {}
    for one in chart.now[:values]:
        title.append("  ")
        title.append(f"{one.letter} ", f"bold {colours[one.letter]}")
        title.append(number(one.value) if isfinite(one.value) else UNKNOWN)
        if isfinite(unsmoothed.get(one.letter, nan)):
            title.append(f" ({tr('monitor.raw_value', value=number(unsmoothed[one.letter]))})", "dim")
    if values < len(chart.now):
        title.append("  …", "dim")
    for one in chart.bad:
        title.append(_GAP)
        title.append(tr("monitor.bad", letter=one.letter, step=f"{one.step:,.0f}"), "bold reverse")
    if chart.figure.clipped:
        low, high = (10**value if chart.log_y else value for value in chart.figure.clipped)
        title.append(_GAP)
        title.append(tr("monitor.clipped", low=number(low), high=number(high)), "bold")
    if best and chart.best:
        words = (f"{one.letter} {number(one.value)} @ {step_label(one.step)}" for one in chart.best)
        title.append(f"{_GAP}{tr('monitor.best')} {'  '.join(words)}", "dim")
    return title


def chart_note(chart: ChartView, known: Collection[str]) -> str:
    """Why a chart is empty.

    Args:
        chart: the chart.
        known: the columns that some run has.
    """
    label = label_of(chart.column)
    if chart.figure.error:
        return tr("monitor.not_drawn", column=label, why=chart.figure.error)
    if too_small(chart.figure.size):
        return tr("monitor.too_small", column=label)
    if is_system(chart.column) and chart.column not in known:
        none = not any(map(is_system, known))
        return tr("monitor.no_system" if none else "monitor.not_in_system", column=label)
    if chart.now:
        return tr("monitor.no_positive" if chart.log_y else "monitor.none_in_view", column=label)
    return tr("monitor.no_values", column=label)


@dataclass(frozen=True)
class HeadLook:
    """What else the line tells."""

    busy_s: float
    """How long the files have been waited for."""
    automatic: bool
    """Whether nobody chose the smoothing."""
    dark: bool


def head_line(
    request: ChartRequest,
    result: ChartResult | None,
    names: dict[str, str],
    pages: ChartPages,
    look: HeadLook,
) -> Text:
    """How the charts are shown, and which letter is which run."""
    head = Text(" ", no_wrap=True, overflow="ellipsis")
    head.append(tr(f"monitor.follow_{request.window.follow.value}"), "bold")
    smooth = tr("monitor.smooth", value=request.smoothing) if request.smoothing else tr("monitor.raw")
    head.append(f"  {smooth}{tr('monitor.automatic') if look.automatic and request.smoothing else ''}")
    if request.axis is not Axis.STEP:
        head.append(f"  {tr(f'monitor.axis_{request.axis.value}')}")
    if not request.clip:
        head.append(f"  {tr('monitor.not_clipped')}")
    if request.log_y:
        head.append(f"  {tr('monitor.log')}")
    if request.cursor is not None:
        head.append(f"  {tr('monitor.cursor_at', step=_place(request))}", "bold")
    if pages.count > 1:
        head.append(f"  {tr('monitor.page', page=pages.page + 1, pages=pages.count)}", "dim")
    if look.busy_s > 5:
        head.append(f"  {tr('monitor.slow_disk', age=duration(look.busy_s))}", "bold")
    reading = [facts.progress for facts in result.facts if facts.progress < 1] if result else []
    if reading:
        head.append(f"  {tr('monitor.reading', share=percent(min(reading), 0))}", "bold")
    head.append(_GAP)
    for letter, name in names.items():
        head.append(f" {letter} ", f"bold {run_colours(look.dark)[letter]}")
        head.append(f"{name} ")
    return head


def _place(request: ChartRequest) -> str:
    cursor = request.cursor or 0.0
    return f"{cursor:,.0f}" if request.axis is Axis.STEP else request.axis.label(cursor)


def run_text(
    letter: str, run: RunReport, facts: RunFacts | None, now: float, width: int, *, dark: bool
) -> Text:
    """The run in a few lines: is it alive, how fast, how long still, how good."""
    lines = _Lines(width)
    if letter:
        lines.add(letter, f"bold {run_colours(dark)[letter]}", gap=1)
    lines.add(Path(run.path).name, "bold", gap=1)
    lines.add(run_state(run), "" if is_well(run) else "bold reverse")
    for words in _speed(run, now):
        lines.add(words)
    if not is_well(run) and (why := why_not_well(run)):
        lines.start()
        lines.add(why, "bold")
    if facts is not None:
        lines.start()
        for words, loud in _health(run, facts, now):
            lines.add(words, "bold reverse" if loud else "dim", gap=3)
        for words in _troubles(facts):
            lines.start()
            lines.add(words, "bold")
    return lines.text


class _Lines:
    """Pieces of text one after the other, each whole on one line, later lines set in."""

    def __init__(self, width: int) -> None:
        self.text = Text(" ")
        self._width, self._used, self._gap = width, 1, 0

    def start(self) -> None:
        """Go on in a new line."""
        self.text.append("\n   ")
        self._used, self._gap = 3, 0

    def add(self, words: str, style: str = "", gap: int = 2) -> None:
        """Add a piece, with so many blanks before the next."""
        if self._used + self._gap + cell_len(words) > self._width and self._used > 3:
            self.start()
        self.text.append(" " * self._gap)
        self.text.append(words, style)
        self._used += self._gap + cell_len(words)
        self._gap = gap


def run_steps(run: RunReport) -> str:
    """``41,350/200,000``."""
    return progress(run.step, run.max_iters)


def _speed(run: RunReport, now: float) -> list[str]:
    status = run.status
    if status is None or run.step is None:
        return []
    share = run.step / run.max_iters if run.max_iters else None
    words = [run_steps(run), bar(share)]
    if run.state is not RunCondition.RUNNING or run.stalled:
        return words
    if status.evaluated and run.activity == "evaluating":
        words.append(tr("monitor.evaluated", done=status.evaluated))
    words.append(f"{_or_dash(run.it_per_s, '.3g')} it/s")
    words.append(f"{_or_dash(run.images_per_s, '.3g')} img/s")
    words.append(tr("monitor.data_wait", share=percent(run.data_wait)))
    if run.eta_s is None:
        return [*words, tr("monitor.eta_unknown")]
    last_iteration = now - (run.age_s or 0.0)
    return [
        *words,
        tr("monitor.eta", left=duration(run.eta_s), clock=clock(last_iteration + run.eta_s, now)),
    ]


def _health(run: RunReport, facts: RunFacts, now: float) -> list[tuple[str, bool]]:
    """Words, and whether they are loud."""
    words: list[tuple[str, bool]] = []
    if facts.saved is not None:
        saved = age(now - facts.saved)
        words.append((tr("monitor.checkpoint", name=facts.checkpoint, age=saved), False))
    else:
        words.append((tr("monitor.no_checkpoint"), False))
    if run.best_miou is not None:
        step = f"{run.best_step:,}" if run.best_step is not None else UNKNOWN
        words.append((tr("monitor.best_miou", value=points(run.best_miou), step=step), False))
    else:
        words.append((tr("monitor.no_miou"), False))
    norm = number(facts.grad_norm) if facts.grad_norm is not None else UNKNOWN
    words.append((tr("monitor.grad_norm", value=norm), False))
    if facts.first_bad:
        column, bad_step = facts.first_bad
        words.append((tr("monitor.nan_since", column=column, step=f"{bad_step:,}"), True))
    else:
        words.append((tr("monitor.no_nan"), False))
    words.append((_resumed(facts.resumes), False))
    return words


def _resumed(resumes: Sequence[int]) -> str:
    if not resumes:
        return tr("monitor.not_resumed")
    steps = ", ".join(f"{step:,}" for step in resumes[-3:])
    if len(resumes) == 1:
        return tr("monitor.resumed_one", steps=steps)
    return tr("monitor.resumed_many", count=len(resumes), steps=steps)


def _troubles(facts: RunFacts) -> list[str]:
    words = [notice_text(facts.notice)] if facts.notice else []
    return words + [remark[language()] for remark in facts.remarks]


def notice_text(notice: Notice) -> str:
    """What has happened to a metrics.csv, in words."""
    step = f"{notice.step:,}" if notice.step is not None else UNKNOWN
    values = {"detail": notice.detail[language()], "step": step, "rows": notice.rows}
    return tr(f"monitor.file_{notice.trouble.value}", **values)


def log_text(lines: Sequence[str], count: int) -> Text:
    """The last lines of the log, with the time of day only."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for line in lines[-count:] if count else ():
        moment, _, rest = line.partition(" ")
        dated = len(moment) == 10 and moment[:4].isdigit() and moment[4] == "-"
        words = rest if dated else line
        level = words[9:10] if dated else ""
        text.append(f" {words}\n", "bold" if level in "EWC" and level else "dim")
    text.right_crop(1)
    return text


def _or_dash(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)
