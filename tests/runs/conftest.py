import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from diffbev_engine.config.load import dump_config
from diffbev_engine.config.settings import Settings
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import read_launch


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    """A run directory; whatever was started detached in it ends with the test."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    yield folder
    launch = read_launch(folder)
    for process in (launch.process, launch.supervisor) if launch else ():
        if process and process.alive and process.pid != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def tiny_config(tiny_settings: Settings, tmp_path: Path) -> Path:
    """The tiny settings as a configuration file."""
    path = tmp_path / "tiny.py"
    path.write_text(dump_config(tiny_settings))
    return path
