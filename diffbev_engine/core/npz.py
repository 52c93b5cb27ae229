"""Arrays of an ``.npz`` from outside: what a member claims to hold is checked before it is unpacked.

A few megabytes can unpack to as many gigabytes, and a header can claim any shape.  Imports nothing heavy
until an array is read.
"""

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO

from diffbev_engine.core.format import byte_size
from diffbev_engine.core.plain_text import plain

if TYPE_CHECKING:
    import numpy as np

_MOST_MEMBERS = 64
_LONGEST_REASON = 300  # characters
_BLOCK = 1 << 20
_LISTED = b"PK\x01\x02"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Ways to pack that are unpacked piece by piece; the others unpack a file at once, however large."""


class Npz:
    """An opened archive; its methods raise ``ValueError`` with what is wrong with it."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def header(self, name: str) -> "tuple[tuple[int, ...], np.dtype[Any]]":
        """Shape and type of an array."""
        with _damage_named(), self._open(name) as member:
            shape, _, dtype = _header(member)
        return shape, dtype

    def array(self, name: str, most: int) -> "np.ndarray":
        """An array of at most ``most`` bytes."""
        import numpy as np

        with _damage_named(), self._open(name) as member:
            shape, fortran, dtype = _header(member)
            size = prod(shape) * dtype.itemsize
            if dtype.hasobject or min(shape, default=0) < 0:
                raise ValueError(f"{name} is no array of plain values")
            if size > most:
                raise ValueError(f"{name} claims to hold {size} bytes, more than the {most} that may be read")
            content = np.empty(size, np.uint8)  # takes memory only as it is filled
            filled = 0
            while piece := member.read(_BLOCK):
                if filled + len(piece) > size:
                    break
                content[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
                filled += len(piece)
            if piece or filled != size:
                raise ValueError(f"{name} is not as long as its header says")
            array = content.view(dtype) if size else np.empty(prod(shape), dtype)
            return array.reshape(shape, order="F" if fortran else "C")

    def _open(self, name: str) -> Any:
        member = self._archive.getinfo(f"{name}.npy")
        if member.compress_type not in _METHODS:
            raise ValueError(f"{name} is packed in a way that is not read")
        return self._archive.open(member)


@contextmanager
def open_npz(file: BinaryIO, largest: int = 1 << 30) -> Iterator[Npz]:
    """Open an archive of a few arrays.

    Args:
        file: seekable.
        largest: bytes that it may have.

    Raises:
        ValueError: what is wrong with it.
        OSError: the file cannot be read.
    """
    if file.seek(0, 2) > largest:
        raise ValueError(f"larger than {byte_size(largest)}")
    # A listed member costs a kilobyte of memory, whether or not it is read.
    file.seek(0)
    listed = 0
    while block := file.read(_BLOCK):
        listed += block.count(_LISTED)
        if listed > _MOST_MEMBERS:
            raise ValueError("it has too many members")
    with _damage_named():
        archive = zipfile.ZipFile(file)
    with archive:
        yield Npz(archive)


def _header(member: Any) -> "tuple[tuple[int, ...], bool, np.dtype[Any]]":
    import numpy as np

    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)


_DAMAGED_HEADER = (
    *(AttributeError, IndexError, MemoryError, OverflowError, SyntaxError, TypeError),
    SystemError,  # of NumPy, for some damaged types
)


@contextmanager
def _damage_named() -> Iterator[None]:
    """Whatever the readers of zip files and NumPy headers meet in foreign bytes, as a ``ValueError``."""
    try:
        yield
    except OSError:
        raise
    except ValueError as error:  # NumPy quotes the file
        raise ValueError(plain(str(error), longest=_LONGEST_REASON)) from error
    except tokenize.TokenError as error:  # a header of Python 2
        raise ValueError("damaged header") from error
    except KeyError as error:
        raise ValueError(str(error.args[0]) if error.args else "a member is missing") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{error}" or type(error).__name__) from error
    except _DAMAGED_HEADER as error:
        raise ValueError(f"damaged header ({type(error).__name__})") from error
