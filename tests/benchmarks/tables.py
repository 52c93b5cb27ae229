"""Time to open the tables of v1.0-trainval: ``python -m tests.benchmarks.tables``.

Tables with the real counts of rows and the real form, 2.6 GB, are written to a temporary folder first.
"""

import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from diffbev_engine.nuscenes.tables import Tables
from tests.memory import world


def main() -> None:
    """Print seconds without a cached index, and with one."""
    with tempfile.TemporaryDirectory() as scratch:
        root, cache = Path(scratch) / "nuScenes", Path(scratch) / "cache"
        root.mkdir()
        with patch.object(world, "_link_files"):  # tables alone
            world.make_world(root, 1.0)
        for what in ("first time", "from the cache"):
            started = time.perf_counter()
            Tables.open(root, cache_dir=cache)
            print(f"{what}: {time.perf_counter() - started:.2f} s", flush=True)


if __name__ == "__main__":
    main()
