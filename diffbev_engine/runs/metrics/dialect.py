"""How programs write a ``metrics.csv``: encodings, line ends, delimiters, column names, numbers.

Imports nothing heavy.
"""

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.core.plain_text import plain

SCORES: tuple[str, ...] = ("mIoU", *(f"IoU/{name}" for name in CLASSES))
"""Columns that evaluations write; 0 to 1."""
COLUMNS: tuple[str, ...] = (
    *("step", "mode", "phase", "loss", "Lwce", "Ldepth", "Ldiff", "lr"),
    *SCORES,
    *("grad_norm", "images_per_s", "gpu_mem_mb"),
)
"""The header of this program."""
EVALUATION_MODES = frozenset({"eval", "val", "test", "valid", "validation", "evaluation"})
TRAINING_MODES = frozenset({"train", "training"})

_STEP = (
    *("step", "global_step", "iteration", "iter", "iterations", "iters", "steps", "_step", "train_step"),
    *("n_iter", "current_iter", "num_updates", "迭代次数", "迭代", "步数"),
)
_STEP_ENDS = (" - _step", " - step", "/global_step", "/step", "/iter", "/iteration")
_MODE = ("mode", "split", "stage", "subset", "phase")
_MAY_COUNT_STEPS = re.compile("step|iter|num_updates|迭代|步数", re.I)
_TEXT = frozenset({"step", *_MODE})
_OURS = {name.lower().replace("iou_", "iou/"): name for name in COLUMNS}
_SYNONYMS = {
    "loss": re.compile(r"(train|training)_loss(_step)?|loss_train|loss"),
    "lr": re.compile(r"lr(_\w+)?|learning_rate"),
    "mIoU": re.compile(r"((val|valid|validation|eval|test|metrics)_)?(m_?iou|mean_iou)(_val)?|val_mean_io_u"),
}
_BLANK = frozenset({"", "-", "–", "—", "na", "n/a", "#n/a", "null", "none"})
_NOT_A_NUMBER = re.compile(
    r"[+-]?(1[.,]#(ind|qnan|snan)\d*|nan\(.*\)|#(num|div/0|value|ref|name)[!?]?)", re.I
)
_INFINITE = re.compile(r"([+-]?)(1[.,]#inf\d*|∞)", re.I)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_SPACED = re.compile(r"[# ]*(step|iter|iteration)( +[A-Za-z_][\w/.()-]*)+ *", re.I)
"""Names and nothing else between blanks, as in ``# step loss``."""
_LINE_ENDS = re.compile("\r+\n|\r")


@dataclass(frozen=True)
class Header:
    """The columns of the rows below a header line."""

    theirs: tuple[str, ...]
    """As they are written there."""
    names: tuple[str, ...]
    """In our words; "" for a column that is passed over, such as the index of a table."""
    step: int
    """Where the step is."""
    mode: int | None = None
    """Where a row states whether training or an evaluation wrote it."""
    delimiter: str = ","

    @property
    def own(self) -> bool:
        """Whether this program wrote it."""
        return self.names == COLUMNS and self.delimiter == ","

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold numbers."""
        return tuple(name for name in self.names if name and name.lower() not in _TEXT)

    @cached_property
    def scores(self) -> tuple[int, ...]:
        """Where the scores of an evaluation are."""
        return tuple(place for place, name in enumerate(self.names) if name in SCORES)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """Where the other numbers are."""
        return tuple(
            place for place, name in enumerate(self.names) if name in self.columns and name not in SCORES
        )

    @cached_property
    def renamed(self) -> dict[str, str]:
        """Columns read under our name, with the name that they have there."""
        both = zip(self.names, self.theirs, strict=True)
        return {ours: theirs for ours, theirs in both if ours in _SYNONYMS and ours.lower() != theirs.lower()}

    def split(self, line: str) -> list[str]:
        """The cells of a line, each without the blanks around it."""
        if self.delimiter == " ":
            return line.split()
        if '"' in line:
            try:
                return [
                    cell.strip() for cell in next(csv.reader([line], delimiter=self.delimiter, strict=True))
                ]
            except csv.Error:
                return []
        cells = line.split(self.delimiter)
        return [cell.strip() for cell in cells] if " " in line or "\t" in line else cells


OWN = Header(COLUMNS, COLUMNS, 0, 1)


def header_of(line: str) -> Header | None:
    """The header that ``line`` is; ``None`` for a line without a column that counts steps."""
    if not _MAY_COUNT_STEPS.search(line):  # half a million lines may be none
        return None
    for delimiter in sorted(",;\t|", key=line.count, reverse=True) if not _SPACED.fullmatch(line) else " ":
        cells = [
            plain(cell.lstrip("#").strip()) for cell in Header((), (), 0, delimiter=delimiter).split(line)
        ]
        cells = [cell for cell in cells if cell] if delimiter == " " else cells
        while cells and not cells[-1]:
            cells.pop()
        step = _step_place([cell.lower() for cell in cells])
        if step is not None:
            lower = [cell.lower() for cell in cells]
            mode = next((lower.index(name) for name in _MODE if name in lower), None)
            return Header(tuple(cells), _names(cells, step), step, mode, delimiter)
    return None


def column_names(line: str) -> list[str]:
    """What may be the names of columns in a line that is no header of ours; empty for anything else."""
    delimiter = max(",;\t|", key=line.count)
    cells = [cell.strip(' "') for cell in line.split(delimiter)]
    named = [cell for cell in cells if cell]
    if (
        len(named) < 2
        or line.lstrip().startswith(("{", "["))
        or not all(name.isprintable() and "\ufffd" not in name for name in named)
    ):
        return []
    return [] if any(_is_number(name) for name in named) else named


def number(text: str) -> float | None:
    """The number that a cell holds, ``None`` if it is blank.

    Spreadsheets and C libraries have words of their own for what is not finite; a decimal comma and
    separated thousands are told apart by the digits.

    Raises:
        ValueError: something else than a number.
    """
    text = text.strip(' "')
    try:
        return float(text)
    except ValueError:
        pass
    if text.lower() in _BLANK:
        return None
    if text[-1] in "%％":
        share = number(text[:-1])
        return None if share is None else share / 100
    if _NOT_A_NUMBER.fullmatch(text):
        return float("nan")
    if infinite := _INFINITE.fullmatch(text):
        return float(f"{infinite[1]}inf")
    if _THOUSANDS.fullmatch(text):
        return float(text.replace(",", ""))
    if text.count(",") == 1:
        return float(text.replace(".", "").replace(",", "."))
    raise ValueError(text)


def step_of(text: str) -> int | None:
    """The step that a cell holds, also as ``50.0`` or ``1e3``; ``None`` for anything else."""
    try:
        step = number(text)
    except ValueError:
        return None
    return int(step) if step is not None and 0 <= step < 2**63 and step == int(step) else None


HEAD = 1 << 14
"""Bytes from which the encoding of a file is known."""


def encoding_of(head: bytes) -> str:
    """The encoding of a file that begins with ``head``.

    By its mark, else by the zero bytes of UTF-16; by its first line, if only GB 18030 can read that.
    """
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if head.startswith(mark):
            return name
    if len(head) > 3 and not any(head[1:4:2]) and all(head[0:4:2]):
        return "utf-16-le"
    if len(head) > 3 and not any(head[0:4:2]) and all(head[1:4:2]):
        return "utf-16-be"
    first = head.partition(b"\n")[0]
    return next((name for name in ("utf-8", "gb18030") if _can_read(first, name)), "utf-8")


def whole_lines(content: bytes, encoding: str) -> int:
    """How many bytes at the beginning of ``content`` are complete lines."""
    newline = "\n".encode(encoding)
    if newline not in content:
        newline = "\r".encode(encoding)
    at = content.rfind(newline)
    while at > 0 and at % len(newline):
        at = content.rfind(newline, 0, at + len(newline) - 1)
    return at + len(newline) if at >= 0 else 0


def text_of(content: bytes, encoding: str) -> str:
    """The complete lines in ``content``, without what a crash or a file system left between them.

    Every line ends with ``\\n``.
    """
    text = content.decode(encoding, "replace")
    if "\r" in text:
        text = _LINE_ENDS.sub("\n", text)
    for stray in ("\ufeff", "\0"):
        if stray in text:
            text = text.replace(stray, "")
    return text


def lines_of(content: bytes, encoding: str) -> list[str]:
    """The same as a list."""
    return text_of(content, encoding).removesuffix("\n").split("\n") if content else []


def _can_read(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _step_place(cells: Sequence[str]) -> int | None:
    for name in _STEP:
        if name in cells:
            return cells.index(name)
    return next((place for place, cell in enumerate(cells) if cell.endswith(_STEP_ENDS)), None)


def _names(cells: Sequence[str], step: int) -> tuple[str, ...]:
    names: list[str] = []
    for place, cell in enumerate(cells):
        lower = cell.lower()
        name = _OURS.get(lower.replace("iou_", "iou/", 1), cell)
        if cell.startswith("IoU_"):
            name = f"IoU/{cell[4:]}"
        if lower.startswith("unnamed:") or (name == "step" and place != step):
            name = ""
        name = "step" if place == step else name
        repeats = sum(one.lower() == lower for one in cells[:place])
        names.append(f"{name}.{repeats}" if name and repeats else name)
    for ours, pattern in _SYNONYMS.items():
        places = [place for place, cell in enumerate(cells) if pattern.fullmatch(_plain(cell))]
        if ours not in names and len(places) == 1:
            names[places[0]] = ours
    return tuple(names)


def _plain(cell: str) -> str:
    """``baseline - val/mIoU`` as ``val_miou``."""
    return re.sub(r"[^a-z0-9]+", "_", cell.rpartition(" - ")[2].lower())


def _is_number(text: str) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True
