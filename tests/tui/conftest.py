"""A workspace to look at, and a home of its own for what the UI remembers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from diffbev_engine.workspace.init import init_workspace
from tests.tui.terminal import Terminal


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A demo workspace without data."""
    folder = tmp_path / "DiffBEV"
    (tmp_path / "nuScenes").mkdir()
    init_workspace(folder, tmp_path / "nuScenes", demo=True)
    return folder


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A real terminal, closed at the end."""
    terminal = Terminal()
    yield terminal
    terminal.close()
