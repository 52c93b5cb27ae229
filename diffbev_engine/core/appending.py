"""A file that is appended to for days: a full, read-only or absent disk loses nothing and ends nothing."""

import logging
import os
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger("diffbev_engine")

MOST_WAITING = 64 << 20
"""Bytes that may wait for the disk; what comes after them is lost."""


class Appender:
    """Appends text to a file; what cannot be written waits in memory and is written with what comes next.

    The only writer of its file.  The first failure and the end of it are logged, nothing between.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``, which is made where it does not exist.

        Raises:
            OSError: it cannot be opened.
        """
        self._path = path
        self._file: int | None = self._opened(os.O_CREAT)
        self._waiting = b""
        self._lost = 0
        self.failing = False
        """Whether something waits for the disk."""

    def add(self, text: str) -> None:
        """Append ``text``; returns whether it reached the file or not."""
        content = text.encode("utf-8", "backslashreplace")
        if len(self._waiting) + len(content) > MOST_WAITING:
            self._lost += len(content)
        else:
            self._waiting += content
        self.flush()

    def flush(self) -> None:
        """Try to write what waits."""
        try:
            if self._file is None:
                self._file = self._opened()
            while self._waiting:  # a full disk may take a part, of which the rest follows later
                self._waiting = self._waiting[os.write(self._file, self._waiting) :]
        except OSError as error:
            self._drop_descriptor()
            if not self.failing:
                self.failing = True
                logger.warning(
                    f"cannot write {self._path}: {error.strerror or error}. Training continues; what belongs "
                    "there is kept in memory and written as soon as that is possible."
                )
            return
        if self.failing:
            self.failing = False
            lost = f"; {self._lost:,} bytes did not fit into memory and are lost" if self._lost else ""
            logger.info(f"{self._path.name} is written again{lost}")

    def close(self) -> None:
        """Try once more, and close the file."""
        self.flush()
        if self._waiting:
            logger.warning(f"{self._path}: the last {len(self._waiting):,} bytes could not be written")
        self._drop_descriptor()

    def _opened(self, also: int = 0) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | also, 0o644)

    def _drop_descriptor(self) -> None:
        """The next attempt opens the file again: a network mount that came back knows no old descriptors."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
        self._file = None
