"""Files that are hostile to any reader, and names that lead to no file at all."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fuzz.mutate import HOSTILE_TEXT

MIB = 1 << 20


def contents() -> Iterator[tuple[str, bytes]]:
    """Small files that claim, nest or unpack to much; a few of some megabytes."""
    yield "empty", b""
    yield "zeros", bytes(MIB)
    yield "brackets", b"[" * 100_000
    yield "nested objects", b'{"a":' * 100_000
    yield "closed brackets", b"[" * 100_000 + b"]" * 100_000
    yield "nested in a key", b'{"step": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield "nested arrays of TOML", b"a = " + b"[" * 50_000 + b"]" * 50_000
    yield "dotted keys of TOML", b"a." * 50_000 + b"a = 1"
    yield "parentheses", b"a = " + b"(" * 50_000 + b"1" + b")" * 50_000
    yield "signs", b"a = " + b"-" * 50_000 + b"1"
    yield "sums", b"a = 1" + b" + 1" * 50_000
    yield "digits", b"9" * MIB
    yield "digits in JSON", b'{"step": ' + b"9" * 100_000 + b"}"
    yield "one long line", b"a," * (2 * MIB)
    yield "empty lines", b"\n" * MIB
    yield "quotes", b'"' * 100_000
    yield "not UTF-8", bytes(range(128, 256)) * 100
    yield "UTF-16", "step,mode,loss\n1,train,2\n".encode("utf-16")
    yield "UTF-32", '{"state": "training"}'.encode("utf-32")
    yield "escapes", "\n".join(HOSTILE_TEXT).encode("utf-8", "surrogatepass") * 10
    yield "numbers", b"[NaN, Infinity, -Infinity, 1e999, -0, 1e-999, " + b"9" * 400 + b"]"
    yield "same key", b'{"a": 1, "a": [], "a": {"a": 2}}'
    yield "page", b"<!DOCTYPE html><script>alert(1)</script>"
    yield "pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield "PNG of 50,000 x 50,000", png(50_000, 50_000)
    yield "16-bit PNG of 50,000 x 50,000", png(50_000, 50_000, bits=16, colour=0)
    yield "PNG of 2^31 x 1", png(2**31 - 1, 1)
    yield "PNG with text that unpacks to 64 MiB", png(1, 1, text=zlib.compress(bytes(64 * MIB), 9))
    yield "JPEG of 65,500 x 65,500", jpeg(65_500, 65_500)
    yield "npz of 4.5 GB", npz_bomb()
    yield "npz that claims much", npz_claim()
    yield "zip of 60,000 members", many_members()


def png(width: int, height: int, bits: int = 8, colour: int = 2, text: bytes = b"") -> bytes:
    """A PNG without most of its pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    inside = chunk(b"zTXt", b"DiffBEV plot\0\0" + text) if text else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + inside
        + chunk(b"IDAT", zlib.compress(b"\0" * 9))
        + chunk(b"IEND", b"")
    )


def jpeg(width: int, height: int) -> bytes:
    """A JPEG of a header and nothing else."""
    frame = (
        b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes([1, 34, 0, 2, 17, 1, 3, 17, 1])
    )
    return b"\xff\xd8" + frame + b"\xff\xda" + struct.pack(">HB", 12, 3) + bytes(9) + b"\xff\xd9"


def npz_bomb() -> bytes:
    """4.5 GB of zeros, packed as well as deflate can; made of a small one by repeating its blocks."""
    header = io.BytesIO()
    shape = (34_000, 33_000)
    header.write(b"\x93NUMPY\x01\x00")
    words = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    header.write(struct.pack("<H", len(words)) + words)
    size = shape[0] * shape[1] * 4
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(header.getvalue()) + packer.flush(zlib.Z_FULL_FLUSH)
    block = 1 << 24
    zeros = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed += zeros * (size // block)
    packed += packer.compress(bytes(size % block)) + packer.flush()
    return _archive([(name, packed, size + len(header.getvalue())) for name in ("depth.npy", "mask.npy")])


def npz_claim() -> bytes:
    """A header that claims 10^18 values, and none of them."""
    words = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }\n"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(words)) + words
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in ("depth.npy", "mask.npy", "fingerprint.npy"):
            archive.writestr(name, member)
    return made.getvalue()


def many_members() -> bytes:
    """A valid archive whose list is all there is of it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number in range(60_000):
            archive.writestr(zipfile.ZipInfo(f"{number:x}"), b"")
    return made.getvalue()


def _archive(members: list[tuple[str, bytes, int]]) -> bytes:
    """A zip archive of members that are packed already."""
    body, listed = b"", b""
    for name, packed, size in members:
        fields = struct.pack(
            "<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(packed), min(size, 2**32 - 1), len(name), 0
        )
        listed += b"PK\x01\x02" + b"\x14\x00" + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        listed += name.encode()
        body += b"PK\x03\x04" + fields + name.encode() + packed
    count = len(members)
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(listed), len(body), 0)
    return body + listed + b"PK\x05\x06" + end


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nothing")


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 * 10**9)


PLACES: dict[str, Callable[[Path], object]] = {
    **{"pipe": _pipe, "link to itself": _loop, "broken link": _dangling, "/dev/zero": _device},
    **{"directory": os.mkdir, "10 GB of nothing": _sparse},
}
