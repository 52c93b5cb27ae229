"""What stands on a terminal, worked out from what a program writes to it."""

import codecs
import re

from rich.cells import cell_len

_PIECES = re.compile(
    r"\x1b\[(?P<parameters>[0-9;:<=>?]*)[ -/]*(?P<final>[@-~])"  # CSI
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\)"  # OSC, DCS and other strings
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x1f\x7f]"
    r"|[^\x00-\x1f\x7f]+",
    re.DOTALL,
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:<=>?]*[ -/]*|[\]PX^_][^\x07]*|[ -/]*)?\Z", re.DOTALL)


class Screen:
    """As much of a terminal as the UI uses: text at places, and erasing; colours are left out."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns = columns
        self._cells = [[" "] * columns for _ in range(rows)]
        self._x = self._y = 0
        self._left = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def rows(self) -> list[str]:
        """The text of each row; a character of two cells is followed by nothing in its second."""
        return ["".join(row) for row in self._cells]

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.rows)

    def feed(self, written: bytes) -> None:
        """Take what the program wrote; pieces may be cut anywhere."""
        text = self._left + self._decoder.decode(written)
        unfinished = _UNFINISHED.search(text)
        end = unfinished.start() if unfinished else len(text)
        self._left = text[end:]
        for piece in _PIECES.finditer(text, 0, end):
            if piece["final"]:
                self._control(piece["parameters"], piece["final"])
            elif piece[0] == "\n":
                self._y = min(self._y + 1, len(self._cells) - 1)
            elif piece[0] == "\r":
                self._x = 0
            elif piece[0] == "\b":
                self._x = max(self._x - 1, 0)
            elif piece[0][0] >= " " and piece[0] != "\x7f":
                self._put(piece[0])

    def _control(self, parameters: str, final: str) -> None:
        if parameters[:1] in "<=>?" and parameters:
            return
        numbers = [int(part) if part.isdigit() else 0 for part in parameters.split(";")]
        if final in "Hf":
            row, column = (*numbers, 1, 1)[:2] if len(numbers) > 1 else (numbers[0], 1)
            self._y = min(max(row, 1), len(self._cells)) - 1
            self._x = min(max(column, 1), self._columns) - 1
        elif final in "ABCD":
            by = max(numbers[0], 1)
            self._y += {"A": -by, "B": by}.get(final, 0)
            self._x += {"C": by, "D": -by}.get(final, 0)
            self._y = min(max(self._y, 0), len(self._cells) - 1)
            self._x = min(max(self._x, 0), self._columns - 1)
        elif final == "J" and numbers[0] == 2:
            self._cells = [[" "] * self._columns for _ in self._cells]
        elif final == "K" and numbers[0] == 0:
            self._cells[self._y][self._x :] = [" "] * (self._columns - self._x)

    def _put(self, text: str) -> None:
        row = self._cells[self._y]
        if text.isascii():
            text = text[: self._columns - self._x]
            row[self._x : self._x + len(text)] = text
            self._x += len(text)
            return
        for character in text:
            width = cell_len(character)
            if width and self._x + width <= self._columns:
                row[self._x : self._x + width] = [character, ""][:width]
                self._x += width
