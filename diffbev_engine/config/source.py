"""Text and syntax tree of a configuration file; other encodings and formats are named."""

import ast
import codecs
import re
import unicodedata
import warnings
from pathlib import Path

from diffbev_engine.config.values import Origin
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.file_kind import kind_of
from diffbev_engine.core.regular_file import read_bounded

_MAX_FILE_BYTES = 256 * 1024
_BYTE_ORDER_MARKS = (  # the longer one first: UTF-32 begins like UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FORMATS = {".json": "JSON", ".yaml": "YAML", ".yml": "YAML", ".toml": "TOML", ".ini": "INI", ".xml": "XML"}
_PUNCTUATION = {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "、": ",", "。": "."}
TEMPLATE = "{{ }} is not supported: templates are not expanded."
_CJK = re.compile("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")


def read_text(path: Path) -> str:
    """The text of ``path``: UTF-8, or UTF-16 and UTF-32 with their byte order mark.

    Raises:
        UsageError: an unreadable file, one too large, or one in another encoding or format.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise UsageError(
                f"{path}: larger than {_MAX_FILE_BYTES // 1024} kB; "
                "this does not look like a configuration file."
            )
        content = read_bounded(path, _MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be read: {reason}.") from None
    kind = kind_of(content)
    if kind:
        raise _other_kind(path, kind)
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8-sig")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path, content, error.start) from None


def parse_syntax(text: str, source: str) -> ast.Module:
    """The syntax tree of ``text``.

    Raises:
        UsageError: naming ``source`` and the line, if it is not Python syntax.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape such as "\d" stays the text it is
            return ast.parse(text)
    except SyntaxError as error:
        raise _wrong_syntax(error, text, source) from None
    except ValueError as error:  # a null byte, before Python 3.12
        raise Origin(source).error(f"not valid Python syntax: {error}.") from None
    except (RecursionError, MemoryError):
        raise Origin(source).error("nested too deeply to be a configuration file.") from None


def refuse_other_formats(module: ast.Module, text: str, path: Path) -> None:
    """Raise if ``path`` is written in another format, some of which are valid Python by chance."""
    starts_with_value = bool(module.body) and isinstance(module.body[0], ast.Expr)
    if path.suffix.lower() in _FORMATS or starts_with_value:
        _refuse_format(text, str(path))


def _other_kind(path: Path, kind: str) -> UsageError:
    is_data = kind.endswith(("archive", "pickle", "binary file"))
    order = " Name the configuration (.py) first, then the checkpoint." if is_data else ""
    return UsageError(f"{path}: {kind}, not a configuration file.{order}")


def _wrong_encoding(path: Path, content: bytes, start: int) -> UsageError:
    if b"\0" in content:
        return _other_kind(path, "a binary file")
    line = content.count(b"\n", 0, start) + 1
    name = _likely_encoding(content)
    if name is None:
        return UsageError(f"{path}:{line}: not a text file in UTF-8; save it with that encoding.")
    title = "GBK (GB18030)" if name == "GB18030" else name
    return UsageError(
        f"{path}:{line}: not in UTF-8, probably in {title}. "
        f"Convert it: `iconv -f {name} -t UTF-8 {path.name} > {path.stem}_utf8{path.suffix}`."
    )


def _likely_encoding(content: bytes) -> str | None:
    try:
        foreign = [letter for letter in content.decode("gb18030") if not letter.isascii()]
    except UnicodeDecodeError:
        pass
    else:
        if 2 * sum(bool(_CJK.match(letter)) for letter in foreign) > len(foreign):
            return "GB18030"
    try:
        letters = [letter for letter in content.decode("cp1252") if not letter.isascii()]
    except UnicodeDecodeError:
        return None
    return "CP1252" if all(letter.isalpha() for letter in letters) else None


def _wrong_syntax(error: SyntaxError, text: str, source: str) -> UsageError:
    where = Origin(source, error.lineno)
    if letter := _refused_letter(error):
        return where.error(_wrong_letter(letter))
    if "{{" in text and "{{" in (error.text or ""):
        return where.error(f"{TEMPLATE} Write the value itself.")
    try:
        _refuse_format(text, source)
    except UsageError as refusal:
        return refusal
    advice = " Every setting starts in the first column." if isinstance(error, IndentationError) else ""
    return where.error(f"not valid Python syntax: {error.msg.rstrip('.')}.{advice}")


def _refused_letter(error: SyntaxError) -> str:
    """The character that Python does not know; empty if it is not about one."""
    found = re.search(r"U\+([0-9A-F]{4,6})", error.msg)
    if found:
        return chr(int(found[1], 16))
    if not error.msg.endswith("literal"):
        return ""
    # Python 3.10 blames the number before the character, and points at its last digit.
    letter = (error.text or "")[error.offset or 0 :][:1]
    return "" if letter.isascii() or letter.isidentifier() else letter


def _wrong_letter(letter: str) -> str:
    """A character that looks like one of Python's but is not."""
    shown = f"U+{ord(letter):04X}"
    if unicodedata.category(letter) in ("Zs", "Cf", "Cc"):
        name = unicodedata.name(letter, "a control character").lower()
        return f"not valid Python syntax: an invisible character ({shown}, {name}). Replace it with a space."
    plain = _PUNCTUATION.get(letter) or unicodedata.normalize("NFKC", letter)
    if plain.isascii():
        kind = "a typographic quote" if plain in "\"'" else "a full-width character"
        return f"not valid Python syntax: {letter} ({shown}) is {kind}; type {plain} instead."
    return f"not valid Python syntax: {letter} ({shown}) outside quotes; text is written in quotes."


def _refuse_format(text: str, source: str) -> None:
    """Raise if the name or the first line belong to another format of configuration files."""
    first = next((line for line in text.splitlines() if line.strip() and line.lstrip()[0] not in "#;"), "")
    name = _FORMATS.get(Path(source).suffix.lower())
    if name is None and re.match(r"\s*\{\s*(\"|$)", first):
        name = "JSON"
    if name is None and re.match(r"---|[\w.-]+:(\s|$)|- \S", first):
        name = "YAML"
    if name is None and re.match(r"\[+[\w. -]+\]+\s*$", first):
        name = "TOML or INI"
    if name:
        raise UsageError(
            f"{source}: a file in {name}, but configuration files are written in Python syntax. "
            "Write key = value, and groups as runner = dict(max_iters=300), in a .py file."
        )
