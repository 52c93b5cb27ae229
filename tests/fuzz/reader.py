"""What the harness knows of a reader: valid files to begin with, how it is called, how it may refuse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError


class Unsafe(Exception):
    """A reader gave a screen something that a terminal would obey."""


@dataclass(frozen=True)
class Reader:
    """One reader of one kind of file."""

    name: str
    file: str
    """Where the case is written, relative to a scratch directory."""
    seeds: Callable[[], Sequence[bytes]]
    """Valid files, small ones."""
    read: Callable[[Path], object]
    """Reads the file, and does with the result what a screen or a command does."""
    form: str = "text"
    """How to change it: ``text``, ``json``, ``lines`` (of JSON), ``png``, ``zip``, ``bytes``."""
    refusals: tuple[type[Exception], ...] = (DiffBEVError,)
    """How it says that a file cannot be used."""
    prepare: Callable[[Path], None] | None = None
    """Writes the other files that it needs into the scratch directory."""
    cheap: bool = True
    """Whether it takes less than a millisecond or so."""
    torch: bool = False


def check_shown(*texts: object) -> None:
    """Raise for text that would be obeyed by a terminal, were it printed as it is."""
    for text in texts:
        plain = str(text).replace("\n", " ").replace("\t", " ")
        if not plain.isprintable():
            bad = next(letter for letter in plain if not letter.isprintable())
            raise Unsafe(f"U+{ord(bad):04X} in {plain[:200]!a}")
