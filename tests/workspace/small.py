"""Settings that one CPU core trains in seconds; only sizes and counts, appended as a user would."""

from pathlib import Path

ITERATIONS = 100
DIFFBEV_ITERATIONS = 12

SMALL_BASELINE = f"""
optimizer = dict(lr=2e-3)
data = dict(samples_per_gpu=1, workers_per_gpu=0, image_size=(64, 96))
runner = dict(max_iters={ITERATIONS})
checkpoint_config = dict(interval={ITERATIONS})
evaluation = dict(interval={ITERATIONS})
log_config = dict(interval=10)
model = dict(
    backbone=dict(name="resnet10t", pretrained=None, out_stage=2),
    lift=dict(mode="aligned", channels=8),
    bev_encoder=False,
    head=dict(planes=(4, 4), blocks=1, groups=4),
)
"""
SMALL_DIFFBEV = f"""
load_from = None
runner = dict(max_iters={DIFFBEV_ITERATIONS})
checkpoint_config = dict(interval={DIFFBEV_ITERATIONS // 3})
evaluation = dict(interval={DIFFBEV_ITERATIONS})
log_config = dict(interval=2)
model = dict(
    depth_loss=dict(form="bce_mean", weight=10.0),
    diffusion=dict(widths=(8, 8, 8), blocks=1, groups=4, fusion=dict(heads=2, key_stride=8)),
)
"""


def shrink(workspace: Path, more: str = "") -> Path:
    """Make both networks of a demo workspace small; the file of the settings that they share."""
    with (workspace / "configs/baseline/lss_swin_nuscenes.py").open("a") as file:
        file.write("load_from = None\n")
    shared = workspace / "configs/_base_/demo.py"
    with shared.open("a") as file:
        file.write(SMALL_BASELINE + more)
    return shared


# The command line, its demo on a city of small images with one validation scene.
SMALL_ENGINE = """
import diffbev_engine.demo as demo
from diffbev_engine.cli.main import main
demo.os.cpu_count = lambda: 1  # two processes would take longer to start than to draw this
demo._IMAGE_SIZE, demo._SCENES = (90, 160), 2
main()
"""
