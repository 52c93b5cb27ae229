"""A resume takes the newest checkpoint that is sound, and says why it passed the others over."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.train.checkpoint import Best, Checkpoint, load_checkpoint, newest_usable
from diffbev_engine.train.saving import save_checkpoint


def _checkpoint(iteration: int, **changes: object) -> Checkpoint:
    content = {
        "iteration": iteration,
        "model": {"conv.weight": torch.full((64, 64), float(iteration)), "steps": torch.tensor(iteration)},
        "optimizer": {"state": {}, "param_groups": []},
        "scaler": {},
        "meter": {"sums": torch.zeros(1), "count": 0},
        "random": [{}],
        "best": Best(0.25, iteration),
        "evaluated": True,
        "settings": {"seed": 0},
    }
    return Checkpoint(**{**content, **changes})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with checkpoints at iterations 1 to 3; the best is at 1."""
    for iteration in (1, 2, 3):
        save_checkpoint(RunFolder(tmp_path), _checkpoint(iteration), is_best=iteration == 1, keep=9)
    return tmp_path


def _flip_a_weight(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(torch.full((8,), 3.0).numpy().tobytes()) + 2
    content[at] ^= 1
    path.write_bytes(content)


def _rewrite(path: Path, change: object) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def _replace_by_weights(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True)["model"], path)


def _dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone.pth")


DAMAGE = {
    "is missing": Path.unlink,
    "is a link to a file that does not exist": _dangle,
    "is empty": lambda path: path.write_bytes(b""),
    "contains only zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "is truncated": lambda path: path.write_bytes(path.read_bytes()[:-500]),
    "is damaged (checksum error in": _flip_a_weight,
    "is not a file that torch.save wrote": lambda path: path.write_text("a text"),
    "is an HTML page": lambda path: path.write_text("<html>"),
    "is a Git LFS pointer": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"),
    "is not a checkpoint of this program": _replace_by_weights,
    "lacks the field 'meter'": lambda path: _rewrite(path, lambda content: content.pop("meter")),
    "lacks the field 'best.step'": lambda path: _rewrite(path, lambda content: content["best"].pop("step")),
    "has a damaged field 'iteration'": lambda path: _rewrite(path, lambda c: c.update(iteration="3")),
    "was written by a newer version": lambda path: _rewrite(path, lambda content: content.update(format=2)),
    "holds NaN or infinite weights (conv.weight)": lambda path: _rewrite(
        path, lambda content: content["model"]["conv.weight"].fill_(float("nan"))
    ),
}


@pytest.mark.parametrize("reason", DAMAGE)
def test_a_damaged_latest_is_passed_over_and_the_reason_given(run, reason):
    DAMAGE[reason](run / "latest.pth")

    found = newest_usable(run)

    assert (found.path.name, found.checkpoint.iteration) == ("iter_3.pth", 3)
    assert found.note.startswith(f"latest.pth {reason}")
    assert found.note.endswith("; resuming from iter_3.pth")


@pytest.mark.parametrize("reason", DAMAGE)
def test_damage_of_all_that_is_newest_leads_to_the_one_before(run, reason):
    for name in ("latest.pth", "iter_3.pth"):
        DAMAGE[reason](run / name)

    found = newest_usable(run)

    assert (found.path.name, found.checkpoint.iteration) == ("iter_2.pth", 2)
    assert "weights_only" not in found.note


def test_a_sound_run_is_resumed_from_latest_without_a_word(run):
    found = newest_usable(run)
    assert (found.path.name, found.checkpoint.iteration, found.note) == ("latest.pth", 3, "")


def test_a_latest_that_lags_behind_is_not_taken(run):
    shutil.copy(run / "iter_1.pth", run / "latest.pth")
    assert newest_usable(run).path.name == "iter_3.pth"


def test_of_one_iteration_the_evaluated_checkpoint_is_taken(run):
    torch.save(
        torch.load(run / "latest.pth", weights_only=True) | {"evaluated": False}, run / "latest.pth"
    )  # killed between the two writes after an evaluation
    assert newest_usable(run).path.name == "iter_3.pth"


def test_the_best_is_the_last_resort(run):
    for path in run.glob("iter_*.pth"):
        path.unlink()
    DAMAGE["is truncated"](run / "latest.pth")
    assert (newest_usable(run).path.name, newest_usable(run).checkpoint.iteration) == ("best_mIoU.pth", 1)


def test_without_a_usable_checkpoint_each_reason_is_given(run):
    for path in run.glob("*.pth"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DiffBEVError) as caught:
        newest_usable(run)
    for name in ("latest.pth", "iter_3.pth", "iter_2.pth", "iter_1.pth", "best_mIoU.pth"):
        assert f"{name} cannot be read as a checkpoint: it is truncated" in str(caught.value)


def test_an_empty_directory_has_no_checkpoint(tmp_path):
    assert newest_usable(tmp_path) is None
    assert newest_usable(tmp_path / "nowhere") is None


def test_latest_and_best_outlive_damage_to_the_checkpoint_they_are_copies_of(tmp_path):
    folder = RunFolder(tmp_path)
    path = save_checkpoint(folder, _checkpoint(1), is_best=True, keep=1)
    with path.open("rb+") as file:  # in place, as a bad block is
        file.write(bytes(2000))
    for copy in (folder.latest, folder.best):
        assert not copy.is_symlink()
        assert load_checkpoint(copy).iteration == 1


def test_hard_links_of_earlier_versions_share_their_damage_and_the_one_before_is_taken(run):
    for name in ("latest.pth", "best_mIoU.pth"):
        (run / name).unlink()
        (run / name).hardlink_to(run / "iter_3.pth")
    with (run / "iter_3.pth").open("rb+") as file:
        file.truncate(3000)
    assert newest_usable(run).path.name == "iter_2.pth"


def test_pruning_keeps_what_a_fallback_relies_on(run):
    folder = RunFolder(run)
    for name in ("iter_3.pth", "latest.pth"):
        DAMAGE["is truncated"](run / name)
    assert newest_usable(run).checkpoint.iteration == 2

    torch.manual_seed(0)
    save_checkpoint(folder, _checkpoint(2), is_best=False, keep=1)  # the next one, before iteration 3

    assert [path.name for _, path in folder.checkpoints()] == ["iter_2.pth", "iter_3.pth"]
    assert newest_usable(run).checkpoint.iteration == 2


def test_a_failed_copy_leaves_the_new_checkpoint_and_the_old_latest(run, monkeypatch):
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DiffBEVError, match="No space left"):
        save_checkpoint(RunFolder(run), _checkpoint(4), is_best=True, keep=1)
    assert load_checkpoint(run / "latest.pth").iteration == 3
    assert newest_usable(run).checkpoint.iteration == 4
    assert len(list(run.glob("iter_*.pth"))) == 4
    assert not list(run.glob(".*"))


def test_prefixes_of_wrappers_are_dropped_and_unknown_fields_ignored(run):
    path = run / "latest.pth"
    for prefix in ("module.", "_orig_mod.", "module._orig_mod."):
        content = torch.load(run / "iter_3.pth", weights_only=True)
        model = {prefix + name: tensor for name, tensor in content["model"].items()}
        torch.save({**content, "model": model, "extra": 1}, path)
        loaded = load_checkpoint(path).model
        assert loaded.keys() == content["model"].keys()
        assert torch.equal(loaded["conv.weight"], content["model"]["conv.weight"])


def test_checkpoints_of_other_programs_are_named(run):
    path = run / "latest.pth"
    weights = torch.load(path, weights_only=True)["model"]
    torch.save({"state_dict": weights, "epoch": 3, "pytorch-lightning_version": "2.4.0"}, path)
    with pytest.raises(UsageError, match="written by PyTorch Lightning"):
        load_checkpoint(path)
    torch.save(weights, path)
    with pytest.raises(UsageError, match="holds 2 tensors and no training state"):
        load_checkpoint(path)


def test_code_in_a_file_is_not_run_and_the_advice_to_run_it_not_repeated(run):
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(run / "was_run"),)

    torch.save({"format": 1, "model": Evil()}, run / "latest.pth")
    with pytest.raises(DiffBEVError, match="never loaded") as caught:
        load_checkpoint(run / "latest.pth")
    assert "weights_only" not in str(caught.value)
    assert not (run / "was_run").exists()


def test_a_pipe_in_place_of_a_checkpoint_is_passed_over(run):
    (run / "latest.pth").unlink()
    os.mkfifo(run / "latest.pth")
    found = newest_usable(run)
    assert found.path.name == "iter_3.pth"
    assert "latest.pth is not a file" in found.note
