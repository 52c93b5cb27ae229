import subprocess
import sys

HEAVY = ("torch", "numpy", "matplotlib", "cv2", "pydantic", "timm", "nuscenes", "plotext")
SHOW_ALL = """
import asyncio, sys
from pathlib import Path
from tests.tui.app import run_app
from diffbev_tui.app import PANES

async def main():
    async with run_app(Path(sys.argv[1]), size=(140, 44)) as (app, pilot):
        for name in PANES:
            await app.show_pane(name)
            await pilot.pause()

asyncio.run(main())
print(*(name for name in sys.argv[2:] if name in sys.modules))
"""


def test_no_screen_imports_anything_heavy(workspace):
    heavy = HEAVY[:-1]
    done = subprocess.run(
        [sys.executable, "-c", SHOW_ALL, workspace, *heavy], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == []


def test_help_imports_no_ui():
    code = (
        "import sys; from diffbev_tui.main import cli; print(*(n for n in sys.argv[1:] if n in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "textual", *HEAVY], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
