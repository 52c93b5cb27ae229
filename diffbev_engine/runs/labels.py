"""``labels.json``: the letter, tags and note that people gave a run; it moves with the run."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from diffbev_engine.core.files import write_text
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.state_file import decode_file

_Text = Annotated[str, Meta(max_length=2000)]


@dataclass(frozen=True)
class RunLabels:
    """Nothing of it is needed to train."""

    letter: Annotated[str, Meta(max_length=1)] = ""
    """By which charts name the run."""
    tags: tuple[_Text, ...] = ()
    note: _Text = ""


def read_labels(path: Path) -> RunLabels:
    """The labels in ``path``, safe to print; none where the file is missing or damaged."""
    found = decode_file(path, RunLabels).value or RunLabels()
    return RunLabels(plain(found.letter), tuple(map(plain, found.tags)), plain(found.note, keep="\n"))


def write_labels(path: Path, labels: RunLabels) -> None:
    """Write ``path``.

    Raises:
        OSError: it cannot be written.
    """
    write_text(path, json.dumps(asdict(labels), ensure_ascii=False, indent=1) + "\n")
