"""What the monitor shows, computed in a background thread: curves of several runs as finished figures.

Imports nothing heavy.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.runs.metrics.integrity import remarks
from diffbev_engine.runs.metrics.table import is_loss
from diffbev_engine.runs.metrics.tail import Notice
from diffbev_engine.runs.system_figures import is_system
from diffbev_tui.charts.axis import Axis
from diffbev_tui.charts.chart import ChartFigure, ChartSpec, draw
from diffbev_tui.charts.units import unit_of
from diffbev_tui.charts.view_window import Span, ViewWindow
from diffbev_tui.monitor.columns import can_be_logarithmic
from diffbev_tui.monitor.run_series import RunSeries, best_of

_READ_S = 0.3
"""Reading gives way to drawing this often; a key interrupts it at once."""
_KEPT_FIGURES = 24
WATCHED = ("loss", "Lwce", "Ldepth", "Ldiff")
"""Where NaN is looked for."""


@dataclass(frozen=True)
class ChartRequest:
    """What is to be shown."""

    runs: tuple[tuple[str, Path], ...] = ()
    """Letter and directory."""
    charts: tuple[tuple[str, tuple[int, int]], ...] = ()
    """Column and size of the figure in cells."""
    window: ViewWindow = field(default_factory=ViewWindow)
    smoothing: float = 0.0
    """Of losses; everything else is shown as it was logged."""
    log_y: bool = False
    cursor: float | None = None
    axis: Axis = Axis.STEP
    clip: bool = True
    """Leave single values out that would flatten a chart."""
    letters_along: bool = False
    followed: str = ""
    """The letter of the run whose newest step is the end of a tail."""


@dataclass(frozen=True)
class RunValue:
    """One number of one run."""

    letter: str
    value: float
    step: float


@dataclass(frozen=True)
class ChartView:
    """One chart."""

    column: str
    figure: ChartFigure
    log_y: bool
    now: tuple[RunValue, ...]
    """The newest value of each run, or the one at the cursor; smoothed as the curve is."""
    smoothing: float
    """Of the curves; 0: as logged."""
    raw: tuple[RunValue, ...]
    """The same values as they were logged, where the curves are smoothed."""
    best: tuple[RunValue, ...]
    bad: tuple[RunValue, ...]
    """Where NaN or infinity begins."""


@dataclass(frozen=True)
class RunFacts:
    """What the files of a run hold in addition to its status."""

    letter: str
    progress: float
    """The share of metrics.csv that has been read."""
    rows: int
    last_step: int | None
    notice: Notice | None
    remarks: tuple[Bilingual, ...]
    """What a reader of the numbers has to know."""
    resumes: tuple[int, ...]
    grad_norm: float | None
    first_bad: tuple[str, int] | None
    """Column and step of the first NaN or infinity."""
    columns: tuple[str, ...]
    """That can be shown."""
    checkpoint: str | None
    saved: float | None
    """When the newest checkpoint was written; Unix time."""
    log: tuple[str, ...]
    """The last lines of the newest log."""


@dataclass(frozen=True)
class ChartResult:
    """The answer to a request."""

    request: ChartRequest
    charts: tuple[ChartView, ...] = ()
    facts: tuple[RunFacts, ...] = ()
    span: Span | None = None
    window: tuple[float, float] = (0.0, 1.0)
    steps: tuple[float, float] = (0.0, 1.0)
    """The window in iterations, of all runs."""

    @property
    def columns(self) -> frozenset[str]:
        """Those that some run has."""
        return frozenset(column for one in self.facts for column in one.columns)


class ChartWorker:
    """Serves requests from a worker thread that exits when idle."""

    def __init__(self, answer: Callable[[ChartResult], object]) -> None:
        """``answer`` is called in that thread with each finished result."""
        self._answer = answer
        self._lock = threading.Lock()
        self._request = ChartRequest()
        self._asked = False
        self._since: float | None = None
        self._series: dict[Path, RunSeries] = {}
        self._figures: dict[object, ChartFigure] = {}
        self._answered: ChartRequest | None = None
        self._seen: object = None
        self.builds = 0
        """Figures drawn so far."""

    def ask(self, request: ChartRequest) -> None:
        """Check the files again, and show this."""
        with self._lock:
            self._request, self._asked = request, True
            if self._since is None:
                self._since = time.monotonic()
                # A daemon, because a thread that waits for a dead disk could not be joined at the end.
                threading.Thread(target=self._work, daemon=True).start()

    @property
    def busy_s(self) -> float:
        """Seconds that the current job has taken; a hanging disk makes it long."""
        since = self._since
        return time.monotonic() - since if since is not None else 0.0

    def _work(self) -> None:
        try:
            self._work_until_all_is_said()
        except BaseException:
            self._since = None  # the next tick tries again
            raise

    def _work_until_all_is_said(self) -> None:
        more, reading = False, 0.0
        while True:
            with self._lock:
                if not self._asked and not more:
                    self._since = None
                    return
                request, self._asked = self._request, False
                self._since = time.monotonic()
            more = self._read(request, reading)
            self._answer_once(request)
            reading = _READ_S

    def _answer_once(self, request: ChartRequest) -> None:
        """Answer, unless the answer would be the one that was given last."""
        facts = tuple(_facts(letter, self._series[path]) for letter, path in request.runs)
        seen = facts, tuple(self._series[path].version for _, path in request.runs)
        if request is not self._answered or seen != self._seen:
            self._answered, self._seen = request, seen
            self._answer(self._result(request, facts))

    def _read(self, request: ChartRequest, seconds: float) -> bool:
        """Read a piece of each run, or pieces for so many seconds; whether there is more."""
        paths = [path for _, path in request.runs]
        self._series = {path: self._series.get(path) or RunSeries(path) for path in paths}
        for series in self._series.values():
            series.want(column for column, _ in request.charts)
        until = time.monotonic() + seconds
        waiting = list(self._series.values())
        while waiting and not self._asked:
            waiting = [series for series in waiting if series.advance()]
            if time.monotonic() >= until:
                break
        return bool(waiting)

    def _result(self, request: ChartRequest, facts: tuple[RunFacts, ...]) -> ChartResult:
        runs = [(letter, self._series[path]) for letter, path in request.runs]
        axis = request.axis
        columns = [column for column, _ in request.charts]
        spans = {
            letter: own
            for letter, series in runs
            if series.on(axis) and (own := series.span_on(axis, columns))
        }
        if not spans:
            empty = tuple(
                ChartView(column, ChartFigure((), size), False, (), 0.0, (), (), ())
                for column, size in request.charts
            )
            return ChartResult(request, empty, facts)
        last = max(last for _, last in spans.values())
        newest = spans[request.followed][1] if request.followed in spans else last
        span = Span(min(first for first, _ in spans.values()), last, newest)
        window = request.window.of(span)
        for _, series in runs:
            series.forget_all_but(columns, request.smoothing)
        charts = tuple(self._chart(request, column, size, runs, window) for column, size in request.charts)
        ends = [tuple(series.times.to_step(place, axis) for place in window) for _, series in runs]
        steps = min(end[0] for end in ends), max(end[1] for end in ends)
        return ChartResult(request, charts, facts, span, window, steps)

    def _chart(
        self,
        request: ChartRequest,
        column: str,
        size: tuple[int, int],
        runs: list[tuple[str, RunSeries]],
        window: tuple[float, float],
    ) -> ChartView:
        log_y = request.log_y and can_be_logarithmic(column)
        clip = request.clip and not is_system(column)  # the peaks of the machine are what is looked for
        beta = request.smoothing if is_loss(column) else 0.0
        axis = request.axis
        having = [(letter, series) for letter, series in runs if series.has(column) and series.on(axis)]
        versions = tuple((letter, str(series.folder.path), series.version) for letter, series in having)
        key = (column, size, window, beta, log_y, request.cursor, axis, clip, request.letters_along)
        figure = self._figures.get((key, versions))
        if figure is None:
            columns = max(size[0] - 6, 8)
            lines = tuple(
                series.line(letter, column, window, columns, beta, log_y, axis) for letter, series in having
            )
            cursor, along = request.cursor, request.letters_along
            figure = draw(ChartSpec(lines, window, size, log_y, cursor, along, clip, axis, unit_of(column)))
            self.builds += 1
            self._figures[key, versions] = figure
            while len(self._figures) > _KEPT_FIGURES:
                self._figures.pop(next(iter(self._figures)))
        cursor = request.cursor
        at = [(letter, series.value(column, beta, cursor, axis)) for letter, series in having]
        raw = [(letter, series.value(column, 0.0, cursor, axis)) for letter, series in having] if beta else []
        best = [(letter, best_of(column, series.curve(column))) for letter, series in having]
        bad = [(letter, series.tail.table.first_not_finite(column)) for letter, series in having]
        return ChartView(
            column,
            figure,
            log_y,
            tuple(RunValue(letter, value, step) for letter, (step, value) in at),
            beta,
            tuple(RunValue(letter, value, step) for letter, (step, value) in raw),
            tuple(RunValue(letter, one[1], one[0]) for letter, one in best if one),
            tuple(RunValue(letter, float("nan"), step) for letter, step in bad if step is not None),
        )


def _facts(letter: str, series: RunSeries) -> RunFacts:
    tail = series.tail
    table = tail.table
    bad = [(table.first_not_finite(column), column) for column in WATCHED]
    first_bad = min(((step, column) for step, column in bad if step is not None), default=None)
    return RunFacts(
        letter,
        tail.progress,
        len(table),
        table.last_step if len(table) else None,
        tail.notice,
        tuple(remarks(table)),
        tuple(series.resumes),
        table.newest_value("grad_norm"),
        (first_bad[1], first_bad[0]) if first_bad else None,
        series.columns,
        series.files.checkpoint,
        series.files.saved,
        series.files.log,
    )
