"""What `diagnose` found last."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbev_engine.runbook.text import Text, same

_FOLDER = "runs/diagnose"


@dataclass(frozen=True)
class Verdict:
    """The first cause with its evidence."""

    title: Text
    evidence: tuple[Text, ...]
    path: Path


def read_verdict(workspace: Path) -> Verdict | None:
    """The verdict in the folder that the runbook names; ``None`` when there is none to be read."""
    path = workspace / _FOLDER / "summary.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        findings = content["findings"]
        if not findings:
            return Verdict(same(str(content["verdict"])), (), path)
        first = findings[0]
        evidence = tuple(_text(one) for one in first["evidence"])
        return Verdict(_text(first["title"]), evidence, path)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _text(data: dict[str, str]) -> Text:
    return Text(str(data["zh"]), str(data["en"]))
