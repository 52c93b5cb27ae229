"""Reports and pictures that a workspace holds."""

from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.regular_file import open_regular

_MOST_BYTES = 400_000
_PART_LINES = 40


@dataclass(frozen=True)
class Entry:
    """One file to read or to check."""

    path: Path
    written: float
    """Unix time; a change means that it is drawn again."""


@dataclass(frozen=True)
class Reports:
    """What there is, the newest report first; plots and pictures by name."""

    texts: tuple[Entry, ...]
    pages: tuple[Entry, ...]
    """For a browser."""
    plots: tuple[Entry, ...]
    pictures: tuple[Entry, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them, in the order in which they are listed."""
        return (*self.texts, *self.pages, *self.plots, *self.pictures)


def find_reports(workspace: Path) -> Reports:
    """Markdown and HTML reports, then plots, then pictures of samples."""
    reports, runs = workspace / "reports", workspace / "runs"
    texts = sorted(_entries(reports, "**/*.md"), key=lambda one: one.written, reverse=True)
    return Reports(
        tuple(texts),
        _entries(reports, "**/*.html"),
        _entries(reports, "**/*.png"),
        _entries(runs, "**/vis/*.png"),
    )


def _entries(folder: Path, pattern: str) -> tuple[Entry, ...]:
    found = []
    for path in sorted(folder.glob(pattern)):
        try:
            found.append(Entry(path, path.stat().st_mtime))
        except OSError:  # gone in the meantime
            continue
    return tuple(found)


def read_report(path: Path) -> str:
    """The text, cut where it is endless; in words why it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        return f"{path}: {error.strerror or error}"


def parts_of(text: str) -> list[str]:
    """Parts of a Markdown text, one at least: each begins with a heading, or with a paragraph in bold."""
    parts: list[list[str]] = [[]]
    fenced, blank = False, True
    for line in text.splitlines(keepends=True):
        if blank and not fenced and line.startswith(("#", "**")) and len(parts[-1]) >= _PART_LINES:
            parts.append([])
        parts[-1].append(line)
        fenced ^= line.lstrip().startswith("```")
        blank = not line.strip()
    return ["".join(part) for part in parts]


def linked_file(report: Path, link: str) -> Path | None:
    """The file that a link in a report names; ``None`` for addresses, anchors and what is not there."""
    if "://" in link or link.startswith(("#", "mailto:")):
        return None
    try:
        path = (report.parent / link.partition("#")[0]).resolve()
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None
