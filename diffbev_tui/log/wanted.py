"""Which lines of a log are wanted: at least this loud, with these texts. No Textual."""

import re
from dataclasses import dataclass
from functools import lru_cache

LEVELS = ("all", "warnings", "errors")
ERROR = re.compile(r" E |error|traceback", re.I)
WARNING = re.compile(r" W |warning", re.I)
_BLANKS = re.compile(r"\s{2,}")
"""May be a tab in the file."""
_ERROR_WORDS = (b" e ", b"error", b"traceback")
_WARNING_WORDS = (b" w ", b"warning")


@dataclass(frozen=True)
class Wanted:
    """A level and texts, all of which a line must have; upper and lower case are the same."""

    level: str = "all"
    texts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.level != "all" or any(self.texts)

    def fits(self, line: str) -> bool:
        """Whether a line is wanted."""
        if not all(pattern.search(line) for pattern in map(pattern_of, self.texts) if pattern):
            return False
        return of_level(line, self.level)

    @property
    def hints(self) -> tuple[bytes, ...]:
        """Lower-case bytes of which a wanted line has at least one; none: any line may be wanted.

        Finding them in a block is a hundred times as fast as looking at each of its lines.
        """
        words = [word for text in self.texts for word in _BLANKS.split(text) if word and _has_one_form(word)]
        if words:
            return (max(words, key=len).lower().encode(),)
        if self.level == "all":
            return ()
        return _ERROR_WORDS + (_WARNING_WORDS if self.level == "warnings" else ())


def _has_one_form(word: str) -> bool:
    """Whether its bytes in lower case are those of every spelling that is the same to ``pattern_of``."""
    return word.isascii() or (word.lower() == word.upper() and "\ufffd" not in word)


def of_level(line: str, level: str) -> bool:
    """Whether a line is at least as loud as ``level``."""
    if level == "all":
        return True
    return bool(ERROR.search(line)) or (level == "warnings" and bool(WARNING.search(line)))


@lru_cache(64)
def pattern_of(text: str) -> "re.Pattern[str] | None":
    """Finds a text as it is, in upper or lower case; ``None`` for nothing."""
    return re.compile(re.escape(text), re.I | (re.A if text.isascii() else 0)) if text else None
