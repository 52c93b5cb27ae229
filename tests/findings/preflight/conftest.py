import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from diffbev_engine.config.settings import Settings
from diffbev_engine.findings.finding import Finding, Severity
from diffbev_engine.findings.preflight import preflight

Look = Callable[..., list[Finding]]


@pytest.fixture
def root(tiny_root: Path, tmp_path: Path) -> Path:
    """A data root to break, whose splits hold different scenes."""
    root = shutil.copytree(tiny_root, tmp_path / "nuScenes")
    index = root / "index.jsonl"
    lines = index.read_text().splitlines()
    index.write_text(
        "".join(
            (line.replace("scene-0061", "scene-0003") if '"val"' in line else line) + "\n" for line in lines
        )
    )
    return root


@pytest.fixture
def look(root: Path, tiny_settings: Settings, tmp_path: Path) -> Look:
    """All findings for the root, or those of one check that are not ok."""

    def run(check: str | None = None, **changes: object) -> list[Finding]:
        settings = tiny_settings.model_copy(update={"data_root": root, **changes})
        found = list(preflight(settings, "tiny.py", tmp_path / "run"))
        if check is None:
            return found
        return [each for each in found if each.id == check and each.severity is not Severity.OK]

    return run
