from collections.abc import Callable
from pathlib import Path

import pytest

from diffbev_engine.runbook.roots import Roots

Make = Callable[[str], Roots]


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """An empty workspace beside an empty data root."""
    (tmp_path / "ws").mkdir()
    (tmp_path / "nuScenes").mkdir()
    (tmp_path / "ws/workspace.toml").write_text('nuscenes_root = "../nuScenes"\ndemo = true\n')
    return Roots(tmp_path / "ws", tmp_path / "nuScenes", demo=True)


@pytest.fixture
def with_steps(roots: Roots) -> Make:
    """Writes the runbook file of the workspace; each step is (id, shell, more lines of TOML)."""

    def write(steps: str) -> Roots:
        text = '[[phase]]\nid = "9"\ntitle = { zh = "试", en = "Trial" }\n' + steps
        (roots.workspace / "runbook.toml").write_text(text, encoding="utf-8")
        return roots

    return write
