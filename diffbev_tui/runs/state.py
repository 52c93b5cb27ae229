"""Which runs the table lists, in which order, with which cells. No Textual."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from diffbev_engine.core.changes import changes
from diffbev_engine.core.format import UNKNOWN, points, step_label
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.format import clock, duration
from diffbev_tui.run_book import BookPage
from diffbev_tui.run_state import is_well, run_state
from diffbev_tui.snapshot import Snapshot

COLUMNS = ("run", "state", "progress", "best", "last", "speed", "delta", "started", "took", "tags")
_BY_IMPORTANCE = ("run", "state", "progress", "best", "delta", "last", "speed", "tags", "started", "took")
_MOST_COLUMNS = 8
"""More make the table slow to paint and hard to read."""
_CELL_PADDING = 2
_SCROLLBAR = 2
_MOST_DIFFERENCES = 8


@dataclass(frozen=True)
class RunsView:
    """How the table is shown."""

    sort: str = "best"
    """A column."""
    descending: bool = True
    wanted: str = ""
    """Words that a run must have, and settings such as ``lr=2e-4``."""


@dataclass(frozen=True)
class RunRow:
    """One run."""

    path: str
    cells: tuple[str, ...]
    """In the order of ``COLUMNS``."""
    bad: bool
    """Whether its state calls for somebody."""

    def cell(self, column: str) -> str:
        """Of one column."""
        return self.cells[COLUMNS.index(column)]


def rows(snapshot: Snapshot, view: RunsView, shown: Sequence[str]) -> list[RunRow]:
    """The runs that fit, in order.

    Args:
        snapshot: the newest.
        view: what is wanted.
        shown: runs that the charts overlay; they are marked.
    """
    found = [run for run in snapshot.runs if fits(run, snapshot.book, view.wanted)]
    key = _KEYS[view.sort]
    known = [run for run in found if key(run, snapshot) is not None]
    unknown = [run for run in found if key(run, snapshot) is None]
    known.sort(key=lambda run: key(run, snapshot), reverse=view.descending)
    return [_row(run, snapshot, shown) for run in (*known, *unknown)]


def columns_for(found: Sequence[RunRow], heads: Mapping[str, str], width: int, sort: str) -> tuple[str, ...]:
    """The most important columns that say something and fit, and the one that is sorted by.

    Args:
        found: rows of the table.
        heads: titles of all columns.
        width: of the table, in cells.
        sort: a column.
    """
    chosen: set[str] = set()
    room = width - _SCROLLBAR
    for name in (sort, *_BY_IMPORTANCE):
        cells = [row.cell(name) for row in found]
        if name in chosen or len(chosen) == _MOST_COLUMNS or (name != sort and set(cells) <= {"", UNKNOWN}):
            continue
        widest = max(cell_len(cell) for cell in (heads[name], *cells))
        needed = (min(widest, name_room(width)) if name == "run" else widest) + _CELL_PADDING
        if name in (sort, "run") or needed <= room:
            chosen.add(name)
            room -= needed
    return tuple(name for name in COLUMNS if name in chosen)


def name_room(width: int) -> int:
    """Cells for the name of a run in a table of this width; the complete one is below the table."""
    return max(18, width // 4)


def refreshed(listed: Sequence[str], snapshot: Snapshot, shown: Sequence[str]) -> list[RunRow]:
    """The same runs in the same order as they are now; runs that are gone are left out."""
    by_path = {run.path: run for run in snapshot.runs}
    return [_row(by_path[path], snapshot, shown) for path in listed if path in by_path]


def count_of_new(listed: Sequence[str], snapshot: Snapshot, view: RunsView) -> int:
    """Runs that would be listed and are not yet."""
    known = set(listed)
    return sum(run.path not in known and fits(run, snapshot.book, view.wanted) for run in snapshot.runs)


def fits(run: RunReport, book: BookPage, wanted: str) -> bool:
    """Whether a run has all the words and settings."""
    labels = book.labels(run.path)
    text = " ".join((run.path, run_state(run), *labels.tags, labels.note)).lower()
    settings = book.entries[run.path].settings if run.path in book.entries else {}
    return all(
        _has_setting(settings, *word.split("=", 1)) if "=" in word else word in text
        for word in wanted.lower().split()
    )


def _has_setting(settings: Mapping[str, Any], key: str, value: str) -> bool:
    for name, found in _flat(settings, ""):
        if name.lower() == key or name.lower().endswith("." + key):
            if str(found).lower() == value:
                return True
            try:
                if float(found) == float(value):
                    return True
            except (TypeError, ValueError):
                continue
    return False


def _flat(settings: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        path = f"{key}.{name}".lstrip(".")
        found += _flat(value, path) if isinstance(value, Mapping) else [(path, value)]
    return found


def took(run: RunReport, now: float) -> float | None:
    """Seconds of the newest start."""
    if run.started is None:
        return None
    end = now if run.state is RunCondition.RUNNING else run.ended or run.updated
    return max(0.0, end - run.started) if end else None


_KEYS: Mapping[str, Callable[[RunReport, Snapshot], Any]] = {
    "run": lambda run, _: Path(run.path).name.lower(),
    "state": lambda run, _: run.state.value,
    "progress": lambda run, _: run.step,
    "best": lambda run, _: run.best_miou,
    "last": lambda run, _: run.last_miou,
    "speed": lambda run, _: run.it_per_s,
    "delta": lambda run, _: run.best_miou,
    "started": lambda run, _: run.started,
    "took": lambda run, now: took(run, now.taken),
    "tags": lambda run, now: " ".join(now.book.labels(run.path).tags) or None,
}


def _row(run: RunReport, snapshot: Snapshot, shown: Sequence[str]) -> RunRow:
    book = snapshot.book
    labels = book.labels(run.path)
    mark = "●" if run.path in shown else "★" if run.path == book.pinned else " "
    best = f"{points(run.best_miou)} @ {step_label(run.best_step)}" if run.best_miou is not None else UNKNOWN
    cells = (
        f"{mark} {labels.letter or ' '} {plain(Path(run.path).name)}",
        run_state(run),
        f"{step_label(run.step)}/{step_label(run.max_iters)}" if run.step is not None else UNKNOWN,
        best,
        points(run.last_miou),
        f"{run.it_per_s:.3g} it/s" if run.it_per_s is not None else UNKNOWN,
        _delta(run, snapshot),
        clock(run.started, snapshot.taken) if run.started is not None else UNKNOWN,
        duration(took(run, snapshot.taken)),
        " ".join(map(plain, labels.tags)),
    )
    return RunRow(run.path, cells, not is_well(run))


def _delta(run: RunReport, snapshot: Snapshot) -> str:
    """Best mIoU less that of the pinned run."""
    pinned = next((one for one in snapshot.runs if one.path == snapshot.book.pinned), None)
    if pinned is None or pinned.best_miou is None or run.best_miou is None or pinned.path == run.path:
        return ""
    return points(run.best_miou - pinned.best_miou, signed=True)


def differences(run: str, other: str, book: BookPage) -> tuple[list[str], int]:
    """Settings in which a run differs from another one, and how many more there are."""
    if run not in book.entries or other not in book.entries or run == other:
        return [], 0
    found = [
        plain(str(change)) for change in changes(book.entries[other].settings, book.entries[run].settings)
    ]
    return found[:_MOST_DIFFERENCES], max(0, len(found) - _MOST_DIFFERENCES)
