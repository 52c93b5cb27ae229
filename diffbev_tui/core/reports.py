"""Reports and pictures that a workspace holds."""

from dataclasses import dataclass
from pathlib import Path

_MOST_CHARACTERS = 200_000


@dataclass(frozen=True)
class Reports:
    """What there is to read and to look at."""

    texts: tuple[Path, ...]
    pictures: tuple[Path, ...]


def find_reports(workspace: Path) -> Reports:
    """Markdown reports, then plots and BEV pictures."""
    folders = [workspace / "reports", *sorted((workspace / "runs").glob("*/vis"))]
    texts = sorted((workspace / "reports").rglob("*.md"))
    pictures = [path for folder in folders for path in sorted(folder.rglob("*.png"))]
    return Reports(tuple(texts), tuple(pictures))


def read_report(path: Path) -> str:
    """The text, cut where it is endless; in words why it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_CHARACTERS)
    except OSError as error:
        return f"{path}: {error.strerror or error}"
