"""``.npz`` files: small ones written fast, and those from outside read with care.

What a member claims to hold is checked before it is unpacked: a few megabytes can unpack to as many
gigabytes, and a header can claim any shape.  Imports nothing heavy until an array is read or written.
"""

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
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

_FAST = 2
"""The level of zlib-ng that packs arrays of mostly zeros as small as zlib's level 6, 14 times as fast."""
_VERSION, _UNIX, _DEFLATED, _MIDNIGHT, _1980 = 20, 3 << 8, 8, 0, 0x21
_OF_OWNER = 0o600 << 16
_LOCAL_HEADER = 30  # bytes, before name and extra field


def packed_npz(arrays: "Mapping[str, np.ndarray]") -> bytes:
    """The content of an ``.npz`` that ``numpy.load`` reads; equal arrays give equal bytes.

    ``zipfile`` cannot be told who compresses, and zlib would take most of the time in which depth is made.
    """
    import numpy as np
    from zlib_ng import zlib_ng

    members, directory = bytearray(), bytearray()
    for key, array in arrays.items():
        start, name, rows = io.BytesIO(), f"{key}.npy".encode(), np.asarray(array, order="C")
        np.lib.format.write_array_header_1_0(start, np.lib.format.header_data_from_array_1_0(rows))
        parts = start.getvalue(), rows.reshape(-1).view(np.uint8).data
        packer = zlib_ng.compressobj(_FAST, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = b"".join([*map(packer.compress, parts), packer.flush()])
        checksum = zlib_ng.crc32(parts[1], zlib_ng.crc32(parts[0]))
        sizes = (checksum, len(packed), sum(map(len, parts)), len(name), 0)
        described = struct.pack("<5H3I2H", _VERSION, 0, _DEFLATED, _MIDNIGHT, _1980, *sizes)
        directory += b"PK\1\2" + struct.pack("<H", _VERSION | _UNIX) + described
        directory += struct.pack("<3H2I", 0, 0, 0, _OF_OWNER, len(members)) + name
        members += b"PK\3\4" + described + name + packed
    end = struct.pack("<4H2IH", 0, 0, len(arrays), len(arrays), len(directory), len(members), 0)
    return bytes(members + directory) + b"PK\5\6" + end


class Npz:
    """An opened archive; its methods raise ``ValueError`` with what is wrong with it."""

    def __init__(self, file: BinaryIO, archive: zipfile.ZipFile) -> None:
        self._file, self._archive = file, archive

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
        if member.compress_type == zipfile.ZIP_STORED:
            return self._archive.open(member)
        return nullcontext(_Inflated(self._file, member))


class _Inflated:
    """A packed member as a stream.  zlib-ng unpacks and checks it in a quarter of zlib's time, or less."""

    def __init__(self, file: BinaryIO, member: zipfile.ZipInfo) -> None:
        from zlib_ng import zlib_ng

        self._file, self._checksum = file, zlib_ng.crc32
        self._damaged: type[Exception] = zlib_ng.error  # type: ignore[assignment]  # its stub: an instance
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or not header.startswith(b"PK\3\4"):
            raise zipfile.BadZipFile("damaged member")
        file.seek(sum(struct.unpack("<2H", header[-4:])), io.SEEK_CUR)
        self._packed, self._left = b"", member.compress_size
        self._unpacker = zlib_ng.decompressobj(-zlib.MAX_WBITS)
        self._expected, self._found = member.CRC, 0

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end, where the checksum must be right."""
        piece = b""
        try:
            while size and not piece and not self._unpacker.eof and self._fetched():
                piece = self._unpacker.decompress(self._packed, size)
                self._packed = self._unpacker.unconsumed_tail
        except self._damaged as error:
            raise zipfile.BadZipFile(str(error)) from error
        self._found = self._checksum(piece, self._found)
        if size and not piece and not (self._unpacker.eof and self._found == self._expected):
            raise zipfile.BadZipFile("wrong checksum")
        return piece

    def _fetched(self) -> bool:
        """Whether there is more to unpack, after reading on where there was not."""
        if not self._packed:
            self._packed = self._file.read(min(_BLOCK, self._left))
            self._left -= len(self._packed)
        return bool(self._packed)


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
    if file.seek(0, io.SEEK_END) > largest:
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
        yield Npz(file, archive)


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
