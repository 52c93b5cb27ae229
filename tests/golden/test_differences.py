"""The comparison of two trees sees one bit, one row, one key, one file; and refuses to compare nothing."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.prepare.encoding import write_label
from tests.golden.differences import (
    Different,
    same_arrays,
    same_checkpoint,
    same_files,
    same_json,
    same_labels,
    same_rows,
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Results of one tree, a little of each kind."""
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"\x00\x01\x02")
    np.savez(folder / "a.npz", depth=np.float32([0, 1.5]))
    (folder / "a.json").write_text(json.dumps({"mIoU": 0.1 + 0.2, "images_per_s": 3.0}))
    rows = ["step,mode,loss,mIoU,images_per_s", "1,train,0.5,,9", "2,train,0.25,,9", "2,eval,,0.1,"]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    torch.save(_checkpoint(), folder / "a.pth")
    return folder


@pytest.fixture
def new(old: Path) -> Path:
    """The same results of another tree."""
    return shutil.copytree(old, old.with_name("new"))


def _checkpoint(weight: float = 1.0, **added: object) -> dict[str, object]:
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}}
    return {"model": {"weight": torch.tensor([weight, 0.0])}, "optimizer": optimizer, **added}


def _all(old: Path, new: Path) -> None:
    same_files(old, new, "*.png", 1)
    same_arrays(old, new, "*.npz", 1)
    same_json(old / "a.json", new / "a.json")
    same_rows(old / "metrics.csv", new / "metrics.csv", 2, ("loss",))
    same_checkpoint(old / "a.pth", new / "a.pth")


def test_equal_results_are_equal_and_timings_do_not_count(old, new):
    (new / "a.json").write_text(json.dumps({"mIoU": 0.1 + 0.2, "images_per_s": 4.0}))
    (new / "metrics.csv").write_text((new / "metrics.csv").read_text().replace(",9", ",8"))
    _all(old, new)


def test_the_smallest_difference_is_seen(old, new):
    smallest = np.nextafter(np.float32(1.5), np.float32(2))
    changes = {
        "a.png": lambda path: path.write_bytes(b"\x00\x01\x03"),
        "a.npz": lambda path: np.savez(path, depth=np.float32([0, smallest])),
        "a.json": lambda path: path.write_text(json.dumps({"mIoU": 0.3, "images_per_s": 3.0})),
        "metrics.csv": lambda path: path.write_text(path.read_text().replace("0.25", "0.250001")),
        "a.pth": lambda path: torch.save(_checkpoint(weight=1 + 2**-23), path),
    }
    for name, change in changes.items():
        shutil.copytree(old, new, dirs_exist_ok=True)
        change(new / name)
        with pytest.raises(Different):
            _all(old, new)
    shutil.copytree(old, new, dirs_exist_ok=True)
    torch.save({**_checkpoint(), "model": {"weight": torch.tensor([1.0, -0.0])}}, new / "a.pth")
    with pytest.raises(Different, match=r"model\.weight has other bits"):
        _all(old, new)


def test_labels_are_compared_by_their_cells(old, new):
    label = np.zeros(LABEL_GRID.shape, np.uint16)
    write_label(old / "b.png", label)
    cv2.imwrite(str(new / "b.png"), label)
    assert (old / "b.png").read_bytes() != (new / "b.png").read_bytes()
    same_labels(old, new, "b.png", 1)
    label[3, 5] = 1
    write_label(new / "b.png", label)
    with pytest.raises(Different, match=r"b\.png"):
        same_labels(old, new, "b.png", 1)


def test_only_a_key_that_is_listed_may_be_added_and_none_may_go(old, new):
    (new / "a.json").write_text(json.dumps({"mIoU": 0.1 + 0.2, "images_per_s": 3.0, "size": 1}))
    with pytest.raises(Different, match="size"):
        same_json(old / "a.json", new / "a.json")
    same_json(old / "a.json", new / "a.json", frozenset({"size"}))
    with pytest.raises(Different, match="size"):
        same_json(new / "a.json", old / "a.json", frozenset({"size"}))
    torch.save(_checkpoint(crc=1), new / "a.pth")
    with pytest.raises(Different, match="crc"):
        same_checkpoint(old / "a.pth", new / "a.pth")
    same_checkpoint(old / "a.pth", new / "a.pth", frozenset({"crc"}))


def test_a_file_of_one_tree_only_is_a_difference(old, new):
    (new / "b.png").write_bytes(b"")
    for first, second in ((old, new), (new, old)):
        with pytest.raises(Different, match=r"b\.png"):
            same_files(first, second, "*.png", 1)


def test_nothing_to_compare_is_a_difference(old, new):
    empty = old.with_name("empty")
    empty.mkdir()
    comparisons = [
        lambda: same_files(empty, empty, "*.png", 1),
        lambda: same_arrays(empty, empty, "*.npz", 1),
        lambda: same_json(old / "a.json", new / "a.json", at_least=3),
        lambda: same_rows(old / "metrics.csv", new / "metrics.csv", 3, ("loss",)),
        lambda: same_rows(old / "metrics.csv", new / "metrics.csv", 2, ("mIoU",)),
    ]
    for folder in (old, new):
        torch.save({"model": {}, "optimizer": {"state": {}}}, folder / "none.pth")
        np.savez(folder / "zeros.npz", depth=np.zeros(3))
    comparisons += [
        lambda: same_checkpoint(old / "none.pth", new / "none.pth"),
        lambda: same_arrays(old, new, "zeros.npz", 1),
    ]
    for compare in comparisons:
        with pytest.raises(Different):
            compare()
