"""What people gave the runs, and their settings: read where files have changed. No Textual."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diffbev_engine.core.files import file_stamp, write_text
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.labels import RunLabels, read_labels, write_labels
from diffbev_engine.runs.manifest import read_manifest

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
"""As charts write them."""
MOST = 6
"""More curves in one chart cannot be told apart."""


@dataclass(frozen=True)
class RunEntry:
    """One run."""

    labels: RunLabels = field(default_factory=RunLabels)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Resolved, as ``run.json`` keeps them."""


@dataclass(frozen=True)
class BookPage:
    """All runs at one moment."""

    entries: Mapping[str, RunEntry] = field(default_factory=dict)
    """By the path of the run directory."""
    pinned: str = ""
    """The run that others are compared with."""

    def labels(self, run: str) -> RunLabels:
        """Of a run that may be unknown."""
        return self.entries[run].labels if run in self.entries else RunLabels()

    def letter(self, run: str) -> str:
        """Of a run; "" for none."""
        return self.labels(run).letter


class RunBook:
    """Gives every run a letter that it keeps for ever; all calls from one thread at a time."""

    def __init__(self, state_folder: Path) -> None:
        self._pinned = _pinned_file(state_folder)
        self._known: dict[str, tuple[object, RunEntry]] = {}

    def read(self, runs: Iterable[RunReport], *, may_write: bool) -> BookPage:
        """The page of these runs; letters that are new are written down where that is allowed."""
        oldest_first = sorted(runs, key=lambda run: (run.started or 0.0, run.path))
        self._known = {run.path: self._read(run.path) for run in oldest_first}
        taken: set[str] = set()
        for path, (stamp, entry) in self._known.items():
            letter = entry.labels.letter
            if letter and letter in LETTERS and letter not in taken:  # a copy of a run gets its own
                taken.add(letter)
            else:
                self._known[path] = (stamp, replace(entry, labels=replace(entry.labels, letter="")))
        for path, (stamp, entry) in self._known.items():
            if not entry.labels.letter:
                letter = next((one for one in LETTERS if one not in taken), "")
                taken.add(letter)
                labels = replace(entry.labels, letter=letter)
                self._known[path] = (stamp, replace(entry, labels=labels))
                if may_write and letter:
                    with suppress(OSError):
                        write_labels(RunFolder(Path(path)).labels, labels)
                        self._known[path] = (_stamp(path), replace(entry, labels=labels))
        return BookPage({path: entry for path, (_, entry) in self._known.items()}, self._read_pinned())

    def _read(self, path: str) -> tuple[object, RunEntry]:
        stamp, known = _stamp(path), self._known.get(path)
        if known and known[0] == stamp:
            return known
        folder = RunFolder(Path(path))
        manifest = read_manifest(folder)
        return stamp, RunEntry(read_labels(folder.labels), manifest.config if manifest else {})

    def _read_pinned(self) -> str:
        try:
            return read_bounded(self._pinned, 4096).decode().strip()
        except (OSError, ValueError):
            return ""


def pin(state_folder: Path, run: str) -> None:
    """Compare others with ``run`` from now on; "" for none.

    Raises:
        OSError: the workspace cannot be written.
    """
    path = _pinned_file(state_folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, run + "\n")


def _pinned_file(state_folder: Path) -> Path:
    return state_folder / "tui" / "baseline.txt"


def _stamp(path: str) -> object:
    folder = RunFolder(Path(path))
    return file_stamp(folder.manifest), file_stamp(folder.labels)


def short_names(paths: Sequence[str]) -> list[str]:
    """The names of run directories, with the one above where two would be the same."""
    names = [Path(path).name for path in paths]
    return [
        "/".join(Path(path).parts[-2:]) if names.count(name) > 1 else name
        for path, name in zip(paths, names, strict=True)
    ]
