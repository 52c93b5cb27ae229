"""Memory as the data grows to the counts of nuScenes trainval: ``python -m tests.memory [--quick]``.

Makes nuScenes roots of 1/100, 1/10 and all of 34,149 samples with six cameras, 2.6 million rows of
``sample_data`` and 1.17 million boxes, runs every command on them, and compares the peak of all its
processes with a bound: so much, and so much per image. "growth" is that of a loader process over an
epoch, or of the writers over the second half of their rows. The exit code is 1 if a bound is exceeded.
``--quick`` stops at 1/10 (five minutes on two idle cores; all of it takes half an hour and 3 GB of disk).
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.memory.long_run import long_run
from tests.memory.usage import Usage, run
from tests.memory.world import make_world

_CAMERAS = 6
_CONFIG = """
_base_ = ["baseline/lss_swin_nuscenes"]
data_root = {root!r}
model = dict(
    backbone=dict(name="resnet10t", pretrained=None, out_stage=2),
    lift=dict(mode="aligned", channels=8),
    bev_encoder=False,
    head=dict(planes=(4, 4), blocks=1, groups=4),
)
data = dict(samples_per_gpu=2, workers_per_gpu=2, image_size=(64, 96), load_depth=True, cameras="all")
runner = dict(max_iters=20)
checkpoint_config = dict(interval=20)
evaluation = dict(interval=1000)
log_config = dict(interval=10)
precision = "fp32"
"""


@dataclass(frozen=True)
class Case:
    """One command, and what it may take."""

    name: str
    arguments: tuple[str, ...]
    base: float
    """MiB."""
    per_image: float
    """Bytes."""
    code: int = 0

    def bound(self, images: int) -> float:
        """MiB."""
        return self.base + self.per_image * images / 2**20


def cases(root: Path) -> list[Case]:
    """In an order in which each finds what it needs."""
    engine = ("-m", "diffbev_engine")
    child = ("-m", "tests.memory.child")
    config, where = str(root / "config.py"), str(root)
    size = ("--height", "64", "--width", "96")
    depth = (*engine, "prepare-depth", "--nuscenes-root", where, "--cameras", "all", *size, "--workers", "2")
    preview = (*engine, "preview-labels", "--data-root", where, "--split", "train", "--count", "2")
    front = ("--set", "data.cameras=front")
    work_dir = ("--work-dir", str(root / "run"))
    return [
        Case("read the tables", (*child, "tables", where), 64, 2000),
        Case("read their cache", (*child, "tables", where), 32, 700),
        Case("prepare", (*child, "prepare", where), 48, 2300),
        Case("prepare, nothing to do", (*child, "prepare", where), 48, 2300),
        Case("prepare-depth, 2 processes", depth, 110, 1200),
        Case("prepare-depth, nothing to do", depth, 48, 1400),
        Case("check-depth", (*engine, "check-depth", config), 350, 700),
        Case("preview-labels", (*preview, "--out", str(root / "preview")), 110, 700),
        Case("preflight", (*engine, "preflight", config, *work_dir), 450, 1300, code=1),
        Case("60,000 rows, states and log lines", (*child, "writers", where, "60000"), 400, 0),
        Case("epoch of the loader, 4 processes", (*child, "epoch", where, "4"), 700, 500),
        Case("train, 20 iterations", (*engine, "train", config, *work_dir), 900, 600),
        Case(
            "evaluate, 1 camera",
            (*engine, "evaluate", config, str(root / "run" / "latest.pth"), *front),
            640,
            600,
        ),
    ]


def _measure(case: Case, images: int) -> tuple[Usage, bool]:
    usage = run(case.arguments)
    good = usage.code in (0, case.code) and usage.peak <= case.bound(images)
    grown = [json.loads(line[7:]) for line in usage.output.splitlines() if line.startswith("RESULT ")]
    note = f"  growth {grown[0]['growth']:.1f} MiB" if grown else ""
    print(
        f"{case.name:34} {images:9,} {usage.peak:8.0f} {case.bound(images):8.0f} {usage.workers + 1:4} "
        f"{usage.seconds:8.1f}  {'met' if good else 'EXCEEDED'}{note}",
        flush=True,
    )
    if usage.code not in (0, case.code):
        print(usage.output[-2000:])
    return usage, good


def main() -> int:
    """Measure, and print a row for each command and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="stop at 1/10 of trainval")
    parser.add_argument("--only", default="", help="commands whose names contain this")
    parser.add_argument("--keep", type=Path, help="keep the data here, and use what is there")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="memory-"))
    all_good = True
    print(f"{'command':34} {'images':>9} {'MiB':>8} {'bound':>8} {'proc':>4} {'seconds':>8}")
    try:
        for share in (0.01, 0.1) if arguments.quick else (0.01, 0.1, 1.0):
            root = folder / f"share-{share:g}"
            images = _make(root, share) * _CAMERAS
            chosen = [case for case in cases(root) if arguments.only in case.name]
            for case in chosen:
                all_good &= _measure(case, images)[1]
        all_good &= long_run(folder / "share-0.01", 1000 if arguments.quick else 3000)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)
    return 0 if all_good else 1


def _make(root: Path, share: float) -> int:
    count = root / "samples.txt"
    if not count.exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        count.write_text(str(make_world(root, share)))
        (root / "config.py").write_text(_CONFIG.format(root=str(root)))
    return int(count.read_text())


if __name__ == "__main__":
    sys.exit(main())
