"""Words in the two languages of the runbook."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Language = Literal["zh", "en"]


@dataclass(frozen=True)
class Bilingual:
    """The same thing said in Chinese and in English."""

    zh: str
    en: str

    def __getitem__(self, language: Language) -> str:
        return self.zh if language == "zh" else self.en

    def __bool__(self) -> bool:
        return bool(self.zh or self.en)

    def map(self, change: Callable[[str], str]) -> "Bilingual":
        """Both languages, changed by the same function."""
        return Bilingual(change(self.zh), change(self.en))

    def to_json(self) -> dict[str, str]:
        """Both languages by name."""
        return {"zh": self.zh, "en": self.en}


def filler(values: Mapping[str, str]) -> Callable[[str], str]:
    """A function that fills in ``{name}`` for each of ``values`` and leaves other braces alone."""

    def fill(text: str) -> str:
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        return text

    return fill


EMPTY = Bilingual("", "")


def same(text: str) -> Bilingual:
    """What needs no translation: a path, a number, the words of a program."""
    return Bilingual(text, text)


def join(texts: Iterable[Bilingual], zh: str = "；", en: str = "; ") -> Bilingual:
    """One text of several."""
    parts = list(texts)
    return Bilingual(zh.join(part.zh for part in parts), en.join(part.en for part in parts))


def language_of_the_shell() -> Language:
    """Chinese where the locale is Chinese, else English."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"
