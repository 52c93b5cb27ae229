"""The runbook can be shown at once: reading, checking and diagnosing import nothing heavy."""

import subprocess
import sys
from pathlib import Path

import diffbev_engine.runbook

HEAVY = {"torch", "torchvision", "timm", "nuscenes", "matplotlib", "cv2", "scipy", "numpy", "pydantic"}
MODULES = sorted(path.stem for path in Path(diffbev_engine.runbook.__file__).parent.glob("[a-z]*.py"))


def test_importing_every_module_of_the_runbook_is_light():
    imports = "; ".join(f"import diffbev_engine.runbook.{name}" for name in MODULES)
    code = f"import sys; {imports}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY
