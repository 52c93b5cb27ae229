from pathlib import Path

import pytest

from diffbev_engine.config.load import dump_config
from diffbev_engine.config.settings import Settings


@pytest.fixture
def tiny_config(tiny_settings: Settings, tmp_path: Path) -> Path:
    """The tiny settings as a configuration file."""
    path = tmp_path / "tiny.py"
    path.write_text(dump_config(tiny_settings))
    return path
