"""A checkpoint that cannot be written waits in memory, unchanged, and the training goes on."""

import resource
import shutil
import signal

import pytest
import torch

from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.train import saving
from diffbev_engine.train.checkpoint import Best, Checkpoint, load_checkpoint
from diffbev_engine.train.saving import Saver, UnwrittenCheckpointError


@pytest.fixture
def full_disk():
    """Let no file grow beyond a size, which is what a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda full: resource.setrlimit(
        resource.RLIMIT_FSIZE, (1000 if full else resource.RLIM_INFINITY, before[1])
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def weights():
    return torch.zeros(1000)


def checkpoint(iteration, weights) -> Checkpoint:
    return Checkpoint(
        iteration, {"weight": weights}, {"state": {0: {"step": weights}}, "param_groups": []}, {},
        {"sums": weights[:2], "count": 1}, [{}], Best(0.5, iteration), True, {},
    )  # fmt: skip


def test_what_cannot_be_written_is_written_later_as_it_was(tmp_path, full_disk, weights, monkeypatch, caplog):
    saver = Saver(RunFolder(tmp_path), keep=3)
    assert saver.save(checkpoint(1, weights), is_best=False)
    full_disk(True)
    assert saver.save(checkpoint(2, weights), is_best=True) is None
    weights += 1
    assert saver.save(checkpoint(3, weights), is_best=False) is None
    weights += 1
    assert "Free space on that disk" in saver.trouble
    saver.retry()  # not yet: ten seconds have not passed
    full_disk(False)
    saver.retry()
    assert saver.trouble, "tried again only after a while"
    monkeypatch.setattr(saving.time, "monotonic", lambda: saver._due)
    saver.retry()
    assert saver.trouble is None
    found = {path.name: load_checkpoint(path) for path in tmp_path.glob("*.pth")}
    reached = {name: (one.iteration, one.model["weight"][0].item()) for name, one in found.items()}
    assert reached == {
        "iter_1.pth": (1, 0.0),
        "iter_3.pth": (3, 1.0),
        "latest.pth": (3, 1.0),
        "best_mIoU.pth": (2, 0.0),
    }
    assert len([one for one in caplog.records if one.levelname == "WARNING"]) == 1, "said once"


def test_once_a_newer_checkpoint_is_written_nothing_waits_any_more(tmp_path, full_disk, weights):
    saver = Saver(RunFolder(tmp_path), keep=3)
    full_disk(True)
    saver.save(checkpoint(1, weights), is_best=False)
    full_disk(False)
    assert saver.save(checkpoint(2, weights), is_best=False)
    assert saver.trouble is None
    saver.settle(0.0, lambda: True, lambda: None)


def test_the_end_waits_for_the_disk_and_says_when_it_gives_up(tmp_path, full_disk, weights, monkeypatch):
    monkeypatch.setattr(saving, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(saving, "_LOOK_S", 0.001)
    saver = Saver(RunFolder(tmp_path), keep=3)
    full_disk(True)
    saver.save(checkpoint(9, weights), is_best=False)
    with pytest.raises(UnwrittenCheckpointError, match="then continue with --resume"):
        saver.settle(0.02, lambda: False, lambda: None)
    with pytest.raises(UnwrittenCheckpointError):
        saver.settle(60.0, lambda: True, lambda: None)
    saver.settle(60.0, lambda: False, lambda: full_disk(False))
    assert load_checkpoint(tmp_path / "latest.pth").iteration == 9


def test_a_directory_that_stays_away_ends_the_run(tmp_path, weights, monkeypatch):
    (tmp_path / "run").mkdir()
    saver = Saver(RunFolder(tmp_path / "run"), keep=3)
    shutil.rmtree(tmp_path / "run")
    assert saver.save(checkpoint(1, weights), is_best=False) is None
    assert "deleted or moved" in saver.trouble
    monkeypatch.setattr(saving, "WITHOUT_DIRECTORY_S", -1.0)
    with pytest.raises(UnwrittenCheckpointError, match="deleted or moved"):
        saver.retry(now=True)


def test_no_end_waits_for_what_is_in_the_way(tmp_path, weights):
    (tmp_path / "latest.pth").mkdir()
    saver = Saver(RunFolder(tmp_path), keep=3)
    saver.save(checkpoint(1, weights), is_best=False)
    with pytest.raises(UnwrittenCheckpointError, match=r"Remove .*latest\.pth, then continue"):
        saver.settle(3600.0, lambda: False, lambda: None)
