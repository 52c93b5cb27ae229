"""Valid files into damaged and hostile ones, some hundred thousand a second; the same seed gives the same."""

import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

HOSTILE_TEXT = (
    *("", "\x00", "\x1b]52;c;eA==\x07", "\x1b[2J", "\x9b31m", "\u202etxt.exe", "\ud800", "\ufeff", "\u2028"),
    *(
        "../../etc/passwd",
        "/dev/zero",
        "~nobody/x",
        "a" * 300,
        "9" * 5000,
        "训练",
        "<script>alert(1)</script>",
    ),
    *(
        "NaN",
        "-Infinity",
        "1e999",
        "-0",
        "0x10",
        "1_0",
        "null",
        "true",
        "{workspace}",
        "%s",
        "\r",
        "\n",
        "\t",
    ),
)
HOSTILE_NUMBERS = (
    *(0, -1, 1, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**400, 1e300, -1e300),
    *(float("nan"), float("inf"), float("-inf"), 5.5, 1e11, -0.0, 5e-324, True),
)
_TOKENS = (
    *(text.encode("utf-8", "surrogatepass") for text in HOSTILE_TEXT),
    *(
        b"\xff",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\x1b",
        b"PK\x01\x02",
    ),
    *(b"[" * 2000, b"{" * 2000, b'{"a":' * 1000, b"(" * 300, b"-" * 300, b"[[]]" * 50, b'""', b"''", b"'''"),
    *(b"\n\n", b"\r\n", b",,,,", b";", b'"', b"'", b"=", b":", b"#", b"\\", b"\\u0000", b"\\x1b", b"*" * 30),
)
_NUMBERS = tuple(
    struct.pack(form, value & mask)
    for form, mask in ((">H", 0xFFFF), ("<H", 0xFFFF), (">I", 0xFFFFFFFF), ("<I", 0xFFFFFFFF))
    for value in (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 50_000)
)
_WORD = re.compile(rb"[\w.+-]+|[^\w\s]")


class Mutator:
    """Makes cases of the seeds of one reader."""

    def __init__(self, seeds: Sequence[bytes], form: str, seed: int = 0) -> None:
        self._seeds = [bytes(one) for one in seeds]
        self._random = random.Random(seed)
        self._documents = [_document(one) for one in self._seeds] if form in ("json", "lines") else []
        self._change = {
            "json": self._json,
            "lines": self._lines,
            "text": self._text,
            "png": self._png,
            "zip": self._zip,
            "bytes": self._bytes,
        }[form]

    def __call__(self) -> bytes:
        """The next case."""
        number = self._random.randrange(len(self._seeds))
        if self._random.random() < 0.25:
            return self._bytes(number)
        return self._change(number)

    def change(self, content: bytes) -> bytes:
        """A few changes of bytes, whatever they mean."""
        pick = self._random.randrange
        data = bytearray(content)
        for _ in range(1 << pick(4)):
            at, what = pick(len(data) + 1), pick(9)
            if what == 0 and at < len(data):
                data[at] ^= 1 << pick(8)
            elif what == 1 and at < len(data):
                data[at] = pick(256)
            elif what == 2:
                del data[at : at + 1 + pick(16)]
            elif what == 3:
                data[at:at] = self._random.choice(_TOKENS)
            elif what == 4:
                number = self._random.choice(_NUMBERS)
                data[at : at + len(number)] = number
            elif what == 5:
                size = 1 + pick(64)
                data[at:at] = data[pick(len(data) + 1) :][:size]
            elif what == 6:
                other = self._random.choice(self._seeds)
                data[at:] = other[pick(len(other) + 1) :]
            elif what == 7 and pick(8) == 0:
                del data[at:]
            elif what == 8 and pick(8) == 0:
                data[at:] = bytes(pick(64))
        return bytes(data)

    def _bytes(self, number: int) -> bytes:
        return self.change(self._seeds[number])

    def _text(self, number: int) -> bytes:
        """A word or sign replaced by a hostile one, or by another of the file."""
        content = self._seeds[number]
        for _ in range(1 + self._random.randrange(3)):
            at = self._random.randrange(len(content) + 1)
            found = _WORD.search(content, at)
            if found is None:
                return self.change(content)
            if self._random.random() < 0.3:
                other = _WORD.search(content, self._random.randrange(len(content) + 1)) or found
                token = other[0]
            elif self._random.random() < 0.5:
                token = repr(self._random.choice(HOSTILE_NUMBERS)).encode()
            else:
                token = self._random.choice(_TOKENS)
            content = content[: found.start()] + token + content[found.end() :]
        return content

    def _json(self, number: int) -> bytes:
        document = self._documents[number]
        if document is None:
            return self._text(number)
        text = self._dumped(document)
        if self._random.random() < 0.05:  # a key twice
            text = text.replace("{", '{"time": 1, ', 1).replace("}", ', "time": []}', 1)
        return text.encode("utf-8", "surrogatepass")

    def _lines(self, number: int) -> bytes:
        """JSON, one value a line: one of them is changed."""
        lines = self._seeds[number].split(b"\n")
        at = self._random.randrange(len(lines))
        document = _document(lines[at])
        if document is not None:
            lines[at] = self._dumped(document).encode("utf-8", "surrogatepass")
        return b"\n".join(lines)

    def _dumped(self, document: Any) -> str:
        paths = list(_paths(document))
        changed = document
        for _ in range(1 + self._random.randrange(2)):
            changed = self._replaced(changed, self._random.choice(paths), 0)
        return json.dumps(changed, ensure_ascii=self._random.random() < 0.5)

    def _replaced(self, value: Any, path: tuple[Any, ...], depth: int) -> Any:
        if depth == len(path):
            return self._anything(value)
        key = path[depth]
        if isinstance(value, dict) and key in value:
            if self._random.random() < 0.03:
                return {name: one for name, one in value.items() if name != key}
            if self._random.random() < 0.02:
                return {**value, self._random.choice(HOSTILE_TEXT): value[key]}
            return {**value, key: self._replaced(value[key], path, depth + 1)}
        if isinstance(value, list) and isinstance(key, int) and key < len(value):
            return [*value[:key], self._replaced(value[key], path, depth + 1), *value[key + 1 :]]
        return self._anything(value)

    def _anything(self, value: Any) -> Any:
        what = self._random.randrange(10)
        if what < 3:
            return self._random.choice(HOSTILE_TEXT)
        if what < 6:
            return self._random.choice(HOSTILE_NUMBERS)
        some = (None, [], {}, [None], {"a": 1}, [[1, 2], [3]], [value], {"": value}, [value] * 3, str(value))
        return self._random.choice(some)

    def _png(self, number: int) -> bytes:
        """One chunk changed, with a right checksum: what is wrong is found by what reads it."""
        content = self._seeds[number]
        chunks = list(_chunks(content))
        if not chunks:
            return self.change(content)
        start, kind, body = self._random.choice(chunks)
        if kind == b"IDAT" and self._random.random() < 0.7:
            start, kind, body = chunks[0]
        new = self.change(body)[: 1 << 20]
        if kind == b"IHDR":
            new = (new + body)[:13]
        made = struct.pack(">I", len(new)) + kind + new + struct.pack(">I", zlib.crc32(kind + new))
        return content[:start] + made + content[start + 12 + len(body) :]

    def _zip(self, number: int) -> bytes:
        """One member changed and packed again, so that checksums are right."""
        made = io.BytesIO()
        try:
            with zipfile.ZipFile(io.BytesIO(self._seeds[number])) as old, zipfile.ZipFile(made, "w") as new:
                names = old.namelist()
                chosen = self._random.choice(names)
                for name in names:
                    content = old.read(name)
                    if name == chosen:
                        content = self._member(content)
                    how = self._random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
                    new.writestr(zipfile.ZipInfo(name), content, how, 1)
        except (zipfile.BadZipFile, ValueError):
            return self.change(self._seeds[number])
        return made.getvalue()

    def _member(self, content: bytes) -> bytes:
        if self._random.random() < 0.5 and content[:6] == b"\x93NUMPY":  # its header, which is Python's
            size = 10 + int.from_bytes(content[8:10], "little")
            header = self._random.choice((self.change, self._word))(content[10:size])
            return content[:8] + len(header).to_bytes(4, "little")[:2] + header + content[size:]
        return self.change(content[:4096]) + content[4096:]

    def _word(self, content: bytes) -> bytes:
        found = _WORD.search(content, self._random.randrange(len(content) + 1))
        token = self._random.choice((*_TOKENS, b"(999999, 999999)", b"'O'", b"'<f8'", b"True", b"-1"))
        return content[: found.start()] + token + content[found.end() :] if found else content


def _document(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inside:
        yield from _paths(child, (*path, key))


def _chunks(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Where each chunk of a PNG begins, its kind and what is in it."""
    at = 8
    while at + 12 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        yield at, content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        at += 12 + size
