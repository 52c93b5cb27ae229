"""Files from outside, opened so that none can make the program wait or fill its memory.

A name may lead to a pipe, a device, a directory or terabytes of zeros: whatever is not a regular file
of a sensible size is an ``OSError`` with a reason in words.  Imports nothing heavy.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from diffbev_engine.core.format import byte_size


def open_regular(path: Path) -> BinaryIO:
    """Open ``path`` for reading; at once, whatever it is.

    Raises:
        OSError: it is missing, may not be read, or is not a regular file.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a name with a zero byte
        raise OSError(errno.EINVAL, f"not a file name ({error})", str(path)) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bounded(path: Path, most: int) -> bytes:
    """All bytes of a regular file of at most ``most`` bytes.

    Raises:
        OSError: as ``open_regular``, or the file is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        # Not `most` at once: room for as much as is asked for is made, and given back, at every call.
        content = file.read(size + 1) if size <= most else b""
        if len(content) > size:  # it grows
            content += file.read(most + 1 - len(content))
    if size > most or len(content) > most:
        shown = f"too large: {byte_size(max(size, len(content)))}, at most {byte_size(most)} are read"
        raise OSError(errno.EFBIG, shown, str(path))
    return content


def read_end(path: Path, most: int) -> bytes:
    """The last ``most`` bytes of a regular file.

    Raises:
        OSError: as ``open_regular``.
    """
    with open_regular(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        return file.read(most)
