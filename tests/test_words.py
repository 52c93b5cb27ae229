"""Rules of language that a test can keep: plain terms in English, spaces around Latin letters in Chinese."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "diffbev_engine", ROOT / "diffbev_tui")
SOURCES = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]
OWN_WORDS = [
    *(ROOT / "diffbev_tui/words").glob("*.toml"),
    ROOT / "diffbev_engine/runbook/data/problems_own.toml",
]
_UNIT = (
    "run|row|line|step|sample|image|model|class|cell|batch|second|name|seed|GPU|split|core|file|frame|size"
)
_AFTER_TRAINING = "set|split|step|run|process|job|script|log|image|loop|row|path|data|sample|iteration|time"
PRIVATE = {
    rf"\b(one|rows?|images?|lines?|milliseconds|processes) an? ({_UNIT})\b": "per: one per run",
    rf"\btrainings\b|\b(an|this|another|each|every|earlier) training\b(?! ({_AFTER_TRAINING}))": "run",
    r"\b(goes|going|went) on\b": "continue, keep running",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\banew\b|\bbegun\b": "again, restarted",
    r"\bbeside\b": "next to, in addition to",
    r"\bheld against\b": "compared with",
    r"\bto the bit\b": "bit-identical",
    r"\bfor (want|lack) of\b": "because ... ran out",
    r"\brests? on\b": "depends on",
    r"\b(put off|cut short|moved aside)\b": "deferred, interrupted, moved",
    r"\bthe most fitting\b|\bthe surest\b": "best first",
    r"\bworked out\b|\bin hand\b|\bat hand\b": "computed, current, available",
    r"\bwedges?\b": "field of view",
    r"\bLight( itself)?\.(\s|\"|$)": "imports nothing heavy",
    r"\bsign of life\b": "heartbeat",
    r"\bcampaigns?\b": "ablation, report",
}
_CHINESE = "[\u4e00-\u9fff]"
UNSPACED = re.compile(rf"{_CHINESE}[A-Za-z0-9]|[A-Za-z0-9%]{_CHINESE}")


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    """Comments, docstrings and messages of a file, with their lines; names in the code do not count."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        is_text = (
            token.type in (tokenize.COMMENT, tokenize.STRING)
            or "FSTRING_MIDDLE" in tokenize.tok_name[token.type]
        )
        if is_text and " " in token.string:
            yield token.start[0], token.string


def test_english_uses_the_terms_of_the_field():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]!r}: write {better!r}"
        for path in SOURCES
        for line, text in _prose(path)
        for pattern, better in PRIVATE.items()
        if (match := re.search(pattern, text))
    ]
    assert not found, "\n".join(found)


def _chinese_texts() -> Iterator[tuple[str, str]]:
    """(place, text) of every Chinese text of ours; the original runbook's wording is its author's."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Bilingual" and node.args:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", _constant(node.args[0])
    for path in [
        *(ROOT / "diffbev_tui/words").glob("*.toml"),
        ROOT / "diffbev_engine/runbook/data/problems_own.toml",
    ]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            yield f"{path.relative_to(ROOT)}:{number}", line


def _constant(node: ast.expr) -> str:
    """The text of a literal, each placeholder as a space."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else " " for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else ""


def test_chinese_has_spaces_around_latin_letters_and_numbers():
    texts = [(place, re.sub(r"\{[^}]*\}|\\n", " ", text)) for place, text in _chinese_texts()]
    assert len(texts) > 500
    found = [
        f"{place}: {match[0]!r} in {text[:60]!r}" for place, text in texts if (match := UNSPACED.search(text))
    ]
    assert not found, "\n".join(found)
