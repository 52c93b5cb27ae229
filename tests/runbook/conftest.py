from collections.abc import Callable
from pathlib import Path

import pytest

from diffbev_engine.runbook.workspace_paths import WorkspacePaths

Make = Callable[[str], WorkspacePaths]


@pytest.fixture
def roots(tmp_path: Path) -> WorkspacePaths:
    """An empty workspace beside an empty data root."""
    (tmp_path / "ws").mkdir()
    (tmp_path / "nuScenes").mkdir()
    (tmp_path / "ws/workspace.toml").write_text('nuscenes_root = "../nuScenes"\ndemo = true\n')
    return WorkspacePaths(tmp_path / "ws", tmp_path / "nuScenes", demo=True)


@pytest.fixture
def with_steps(roots: WorkspacePaths) -> Make:
    """Writes the runbook file of the workspace; each step is (id, shell, more lines of TOML)."""

    def write(steps: str) -> WorkspacePaths:
        text = '[[phase]]\nid = "9"\ntitle = { zh = "试", en = "Trial" }\n' + steps
        (roots.workspace / "runbook.toml").write_text(text, encoding="utf-8")
        return roots

    return write
