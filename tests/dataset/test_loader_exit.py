"""A crash of the training process leaves no loader process behind, and does not hang."""

import subprocess
import sys

import pytest

_CRASH = """
import sys
from pathlib import Path
from diffbev_engine.dataset.loader import BEVDataset, training_batches
from diffbev_engine.dataset.order import TrainingOrder
from diffbev_engine.dataset.records import read_records
from diffbev_engine.dataset.settings import DataSettings

records = read_records(Path(sys.argv[1]), "train", "all")
batches = training_batches(BEVDataset(records, DataSettings(image_size=(64, 96))), TrainingOrder(8, 2, 0), 2)
next(batches)
raise RuntimeError("a defect")
"""


@pytest.mark.slow
def test_an_unexpected_error_ends_the_process(tiny_root):
    command = [sys.executable, "-c", _CRASH, str(tiny_root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "RuntimeError: a defect" in done.stderr
