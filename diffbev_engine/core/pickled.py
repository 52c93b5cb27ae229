"""Pickles from outside, looked through without being loaded.

``torch.load(weights_only=True)`` runs no code of a file, yet a file can keep it busy for hours: it
searches its own error message with a regular expression whose time grows with the square of a name in the
file, and writes out values that a file of a kilobyte can nest to any number.  Imports nothing heavy.
"""

import pickletools
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO

from diffbev_engine.core.format import byte_size

DAMAGED = "is damaged"
_LONGEST_NAME = 256  # characters of a class or function
_MOST_VALUES = 10_000_000  # written out, however often each is referred to
_LARGEST = 4 << 20  # the values without the tensors, some hundred bytes for each of these
_LEGACY_PICKLES = 5  # in a file without zip: magic number, protocol, machine, values, names of storages
_NAMES = ("GLOBAL", "INST")
_STORE = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_FETCH = ("GET", "BINGET", "LONG_BINGET")
_NEW = ("GLOBAL", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "EMPTY_TUPLE", "PROTO", "FRAME")
"""What takes nothing from the stack, yet is no plain value."""
_GROW = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")


class UnsafePickleError(ValueError):
    """A file must not be loaded; the message is the end of a sentence about it."""


class _Value:
    """A value that the pickle makes: only what it holds."""

    __slots__ = ("callable", "parts")

    def __init__(self, parts: "list[_Value]", *, callable_: bool = False) -> None:
        self.parts = parts
        self.callable = callable_


def problem_of_pickles(path: Path) -> str:
    """Why a file that ``torch.save`` may have written must not be loaded; empty if it may.

    Returns:
        The end of a sentence about the file.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return next(filter(None, map(_problem, _pickles(file))), "")
    except UnsafePickleError as error:
        return str(error)
    except (ValueError, IndexError, KeyError, UnicodeError, zipfile.BadZipFile):
        return DAMAGED


def _pickles(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Every pickle of the file, to be read one after the other."""
    if file.read(4) != b"PK\x03\x04":
        file.seek(0)
        beginning = BytesIO(file.read(_LARGEST))  # the tensors come after the pickles
        for _ in range(_LEGACY_PICKLES):
            if beginning.tell() < len(beginning.getbuffer()):
                yield beginning
        return
    with zipfile.ZipFile(file) as archive:
        for member in archive.filelist:
            if not member.filename.endswith("data.pkl"):
                continue
            if member.compress_type != zipfile.ZIP_STORED:
                raise UnsafePickleError("is packed, as torch.save never does")
            if member.file_size > _LARGEST:
                raise UnsafePickleError(
                    f"holds {byte_size(member.file_size)} next to its tensors, of which at most "
                    f"{byte_size(_LARGEST)} are read"
                )
            with archive.open(member) as opened:
                yield BytesIO(opened.read(_LARGEST + 1))


def _problem(file: IO[bytes]) -> str:
    stack: list[_Value | None] = []  # None: a mark
    memo: dict[int, _Value] = {}
    plain, made = _Value([]), []
    for code, argument, _ in pickletools.genops(file):
        if code.name in _NAMES and len(str(argument)) > _LONGEST_NAME:
            return f"names a class or function of {len(str(argument)):,} characters"
        if code.name in _STORE:
            memo[len(memo) if argument is None else int(argument)] = _top(stack)
        elif code.name in _FETCH:
            stack.append(memo[int(argument)])  # type: ignore[arg-type]
        elif code.name == "MARK":
            stack.append(None)
        elif code.stack_before == [] and code.name not in _NEW:
            stack.append(plain)
        else:
            taken = _take(stack, code)
            if code.name == "REDUCE" and not taken[0].callable:
                return "calls what is no function"
            if code.name in _GROW:
                taken[0].parts += taken[1:]
                stack.append(taken[0])
                continue
            for _ in code.stack_after:
                made.append(_Value(taken, callable_=code.name in _NAMES))
                stack.append(made[-1])
    return "holds values that refer to others without end" if _written_out(made) > _MOST_VALUES else ""


def _top(stack: list[_Value | None]) -> _Value:
    top = stack[-1]
    if top is None:
        raise ValueError("a mark is no value")
    return top


def _take(stack: list[_Value | None], code: pickletools.OpcodeInfo) -> list[_Value]:
    """Remove what an operation consumes from the stack, the deepest first."""
    wanted, taken = list(code.stack_before), []
    if pickletools.markobject in wanted:
        while (value := stack.pop()) is not None:
            taken.append(value)
        wanted = wanted[: wanted.index(pickletools.markobject)]
    for _ in wanted:
        taken.append(_top(stack))
        stack.pop()
    return taken[::-1]


def _written_out(made: list[_Value]) -> int:
    """How many values the largest one holds, each counted wherever it is referred to; rings count once."""
    sizes: dict[int, int] = {}
    opened: set[int] = set()
    for root in made:
        pending = [root]
        while pending:
            value = pending[-1]
            if id(value) in opened:  # all parts have their size, save one that holds this very value
                pending.pop()
                if id(value) not in sizes:
                    size = 1 + sum(sizes.get(id(part), 1) for part in value.parts)
                    sizes[id(value)] = min(size, _MOST_VALUES + 1)
            else:
                opened.add(id(value))
                pending += [part for part in value.parts if id(part) not in opened]
    return max(sizes.values(), default=0)
