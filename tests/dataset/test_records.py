"""Which files belong to a sample, and what is said when some are missing."""

import json
import shutil
import tracemalloc
from pathlib import Path

import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.records import RecordMaker, SampleRecords, read_records
from diffbev_engine.prepare.data_root import DataRoot, Files, IndexEntry


@pytest.fixture
def root(tiny_root, tmp_path):
    return shutil.copytree(tiny_root, tmp_path / "root")


def test_samples_are_sorted_and_complete(root):
    records = read_records(root, "train", "front")
    assert [record.token for record in records] == sorted(record.token for record in records)
    assert len(records) == 8
    assert all(record.image.exists() and record.label.exists() and record.known.all() for record in records)
    assert records[0].intrinsics[0, 0] == 80.0


def test_front_means_the_front_camera(root):
    _edit_first_row(root, camera="CAM_BACK")
    assert len(read_records(root, "train", "front")) == 7
    assert len(read_records(root, "train", "all")) == 8


def test_classes_that_the_map_lacks_are_not_known(root):
    _edit_first_row(root, unlabelled=["carpark"])
    known = read_records(root, "train", "all")[0].known
    assert known.tolist() == [True] * 3 + [False] + [True] * 10


def test_a_root_of_other_tools_needs_no_index(root):
    (root / "index.jsonl").unlink()
    assert len(read_records(root, "train", "all")) == 8
    with pytest.raises(DiffBEVError, match=r"index\.jsonl is missing.*data\.cameras='all'"):
        read_records(root, "train", "front")


def test_a_missing_root_is_named_and_the_other_case_offered(root):
    with pytest.raises(DiffBEVError, match=r"does not exist.*diffbev-engine prepare"):
        read_records(root.parent / "elsewhere", "train", "all")
    with pytest.raises(DiffBEVError, match=r"Did you mean .*/root\?"):
        read_records(root.parent / "ROOT", "train", "all")


def test_an_empty_split_says_how_to_fill_it(root):
    for path in (root / "img_dir" / "val").iterdir():
        path.unlink()
    with pytest.raises(DiffBEVError, match=r"the val split .* is empty"):
        read_records(root, "val", "all")


def test_an_image_without_label_or_calibration_is_named(root):
    next((root / "ann_bev_dir" / "train").iterdir()).unlink()
    with pytest.raises(DiffBEVError, match="1 of 8 images have no label"):
        read_records(root, "train", "all")
    (root / "calib.json").write_text("{}")
    with pytest.raises(DiffBEVError, match="5 of 5 images have no intrinsics"):
        read_records(root, "val", "all")


@pytest.mark.parametrize("element", [(0, 1), (2, 0), (0, 0)])
def test_intrinsics_that_are_no_pinhole_are_named(root, element):
    calibration = json.loads((root / "calib.json").read_text())
    token = next(iter(calibration))
    calibration[token][element[0]][element[1]] = -80.0 if element == (0, 0) else 0.5
    (root / "calib.json").write_text(json.dumps(calibration))
    with pytest.raises(DiffBEVError, match=f"intrinsics of {token} are not"):
        read_records(root, "train", "all")


@pytest.mark.parametrize("content", ["{not json", "[1, 2]", '{"train": 3'])
def test_a_damaged_calibration_file_is_named(root, content):
    (root / "calib.json").write_text(content)
    with pytest.raises(DiffBEVError, match=r"calib\.json"):
        read_records(root, "train", "all")


def test_a_damaged_index_line_is_named(root):
    with (root / "index.jsonl").open("a") as file:
        file.write('{"token": "x"')
    with pytest.raises(DiffBEVError, match=r"index\.jsonl is damaged \(line 14"):
        read_records(root, "train", "all")


def _edit_first_row(root, **changes):
    path = root / "index.jsonl"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | changes), *rest]) + "\n")


def test_many_samples_take_some_bytes_each():
    """Lists of objects would be copied into every loader process."""
    tokens = [f"{number:032x}" for number in range(20_000)]
    index = {
        token: IndexEntry(token, f"CAM_{number % 6}", f"scene-{number // 240}", token, number, "x", "train")
        for number, token in enumerate(tokens)
    }
    rows = [[[focal, 0.0, 48.0], [0.0, focal, 32.0], [0.0, 0.0, 1.0]] for focal in (80.0, 90.0)]
    calibration = {token: rows[number % 2] for number, token in enumerate(tokens)}
    images, labels = (
        Files(Path(name), dict.fromkeys(tokens, end)) for name, end in (("i", ".jpg"), ("l", ".png"))
    )
    make = RecordMaker(DataRoot(Path("root")), "train", calibration, index)
    tracemalloc.start()
    records = SampleRecords(make, tokens, images, labels)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < 80 * len(tokens)
    assert records.cameras() == {token: entry.camera for token, entry in index.items()}
    for number in (0, 239, 240, len(tokens) - 1):
        made = make(tokens[number], images[tokens[number]], labels[tokens[number]])
        assert repr(records[number]) == repr(made)
        assert (records[number].intrinsics == made.intrinsics).all()
    assert [record.token for record in records[-2:]] == tokens[-2:]
