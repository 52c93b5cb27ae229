"""The words of the UI in Chinese and English, from ``words/<area>.toml``. Imports nothing heavy."""

from functools import lru_cache
from pathlib import Path

from diffbev_engine.core.bilingual import Language, language_of_the_shell
from diffbev_engine.core.toml import read_toml

WORDS = Path(__file__).parent / "words"


class _Chosen:
    language: Language = language_of_the_shell()


def language() -> Language:
    """The language that the UI speaks now."""
    return _Chosen.language


def set_language(chosen: Language) -> None:
    """Speak ``chosen`` from now on."""
    _Chosen.language = chosen


def tr(key: str, **values: object) -> str:
    """The words for ``area.name`` in the language of the UI, with ``{names}`` filled in.

    Raises:
        KeyError: no such words.
    """
    area, _, name = key.partition(".")
    text = words_of(area)[name][language()]
    return text.format(**values) if values else text


def tr_if_key(text: str) -> str:
    """Words for a key such as ``monitor.smooth``; any other text as it is."""
    area, _, name = text.partition(".")
    known = name and " " not in text and area in _areas() and name in words_of(area)
    return tr(text) if known else text


@lru_cache
def _areas() -> frozenset[str]:
    return frozenset(path.stem for path in WORDS.glob("*.toml"))


@lru_cache
def words_of(area: str) -> dict[str, dict[str, str]]:
    """All words of an area: name to language to text."""
    return read_toml(WORDS / f"{area}.toml")
