"""What is never written down or shown: values of secret variables and options, passwords in URLs.

Whatever records a command line, an environment or a message passes it through here. Imports nothing heavy.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
HIDDEN = "***"
_WORD = "TOKEN|KEY|SECRET|PASS|[._-]PWD|CREDENTIAL|AUTH|COOKIE|WEBHOOK|NOTIFY"
_SECRET_NAME = re.compile(_WORD, re.IGNORECASE)
_URL = re.compile(r"\b([a-z][a-z0-9+.-]{0,30}://)[^\s/@'\"]+@", re.IGNORECASE)
_NAME = rf"-{{0,2}}[\w.-]{{0,64}}(?:{_WORD})[\w.-]{{0,64}}"
_QUOTED = re.compile(rf"(?P<quote>['\"])(?P<name>{_NAME})=(?:(?!(?P=quote)).)+(?P=quote)", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?<![\w.-])(?P<name>{_NAME})=(?P<value>\"[^\"]*\"|'[^']*'|[^\s'\"&;]+)", re.IGNORECASE
)
_OPTION = re.compile(
    rf"(?<!\S)(?P<name>--[\w-]{{0,64}}(?:{_WORD})[\w-]{{0,64}})(?P<gap>\s+)(?P<value>\"[^\"]*\"|'[^']*'|[^\s'\"-][^\s'\"]*)",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\b((?:authorization|cookie)\s*:\s*(?:bearer |basic |token )?)[^\s'\"]+", re.IGNORECASE)
_SEGMENTS = re.compile(
    r"(?:^|[._-])(?:\w*(?:token|secret|passw(?:or)?d|apikey|webhook)s?|(?!^)key|pass|passphrase|pwd|credentials?"
    r"|auth|cookies?|notify)(?=$|[._-])"
)
"""Secret names in lower case, word by word: not ``author``, ``compass``, ``bypass`` or ``key`` alone."""
_HARMLESS = re.compile(r"(?:-?[\d.]+|true|false|none|null|[\[\](),]|)", re.IGNORECASE)
_SAMPLE = re.compile(r"[0-9a-f]{32}")
"""A token of nuScenes, which names a file: ``preview-labels --token`` takes it."""
_SHORTEST = 8
"""Characters of a value that is looked for in texts; shorter ones occur by chance."""


def is_secret_name(name: str) -> bool:
    """Whether the value of a variable, option or setting of this name is taken for a secret."""
    return bool(_SECRET_NAME.search(name))


def masked(text: str, environment: Mapping[str, str] | None = None) -> str:
    """``text`` with ``***`` for each secret in it.

    That is what follows a secret name (``HF_TOKEN=…``, ``--password …``), the user and password of a
    URL, and the values of secret variables of ``environment``, by default of this process.
    """
    return _masked(text, _values(os.environ if environment is None else environment))


def _masked(text: str, values: Iterable[str]) -> str:
    for value in values:
        text = text.replace(value, HIDDEN)
    if "://" in text:
        text = _URL.sub(rf"\1{HIDDEN}@", text)
    if not _SECRET_NAME.search(text):
        return text
    text = _QUOTED.sub(rf"\g<quote>\g<name>={HIDDEN}\g<quote>", text)
    text = _ASSIGNED.sub(_assignment, text)
    text = _OPTION.sub(_option, text)
    return _HEADER.sub(rf"\1{HIDDEN}", text)


def masked_command(command: Sequence[str]) -> list[str]:
    """A command line to be recorded: as it is, but for the secrets in its arguments."""
    values, shown = _values(os.environ), [""]
    for argument in command:
        name, equals, value = argument.partition("=")
        before = shown[-1]
        if equals and is_secret_name(name) and not _spared(name, value):
            argument = f"{name}={HIDDEN}"
        elif before.startswith("--") and "=" not in before and is_secret_name(before):
            argument = argument if _spared(before, argument) else HIDDEN
        shown.append(_masked(argument, values))
    return shown[1:]


def masked_values(content: T) -> T:
    """The same plain values with every text in them masked, before they become JSON."""
    values = _values(os.environ)

    def mask(one: Any) -> Any:
        if isinstance(one, str):
            return _masked(one, values)
        if isinstance(one, Mapping):
            return {name: mask(value) for name, value in one.items()}
        return [mask(value) for value in one] if isinstance(one, list | tuple) else one

    masked_content: T = mask(content)
    return masked_content


class MaskedLines(logging.Formatter):
    """Lines of a log: messages of the system or of a library may quote a secret."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return masked(super().format(record))


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that hold no secret, neither by their name nor in a URL."""
    return {
        name: value
        for name, value in environment.items()
        if not is_secret_name(name) and masked(value, environment) == value
    }


def _assignment(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    return found[0] if _spared(name, value) else f"{name}={HIDDEN}"


def _option(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    return found[0] if _spared(name, value) else f"{name}{found['gap']}{HIDDEN}"


def _spared(name: str, value: str) -> bool:
    """Whether a name only looks secret: settings such as ``key_stride=8``, tokens of nuScenes."""
    if name in ("--token", "token") and _SAMPLE.fullmatch(value):
        return True
    if name.isupper():
        return False
    return bool(_HARMLESS.fullmatch(value)) or not _SEGMENTS.search(name.lower().lstrip("-"))


def _values(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Values of secret variables, the longest first; a path that exists is no secret."""
    found = [value for name, value in environment.items() if len(value) >= _SHORTEST and is_secret_name(name)]
    return tuple(sorted((value for value in found if not _is_path(value)), key=len, reverse=True))


def _is_path(value: str) -> bool:
    try:
        return value.startswith("/") and Path(value).exists()
    except (OSError, ValueError):
        return False
