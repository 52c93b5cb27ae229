from pathlib import Path

import cv2
import numpy as np
import pytest

from diffbev_engine.core.bev_colors import BACKGROUND_COLOUR, colourise, rgb
from diffbev_engine.core.classes import CLASS_COLOURS, CLASS_PRIORS, CLASSES, IGNORE_COLOUR
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.prepare.data_root import DataRoot, IndexEntry, PrepareRecord
from diffbev_engine.prepare.encoding import encode_label, write_label
from diffbev_engine.prepare.preview import preview_labels
from diffbev_engine.prepare.validity import ClassFrequency, check_labels

SHAPE = LABEL_GRID.shape
TOKENS = [f"{number:032x}" for number in range(4)]


def make_label(ignored_rows: int = 0) -> np.ndarray:
    """Drivable everywhere, a car of 400 cells at the near left, ``ignored_rows`` of the far end hidden."""
    classes = np.zeros((14, *SHAPE), bool)
    classes[0] = True
    classes[4, :20, :20] = True
    ignore, outside = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    ignore[SHAPE[0] - ignored_rows :] = True
    outside[-1] = ignored_rows > 0
    return encode_label(classes, ignore, outside)


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    """A data root of four images whose labels hide half of the rows."""
    root = DataRoot(tmp_path / "data")
    root.image_dir("val").mkdir(parents=True)
    root.label_dir("val").mkdir(parents=True)
    image = np.full((90, 160, 3), (200, 120, 40), np.uint8)
    for token in TOKENS:
        cv2.imwrite(str(root.image("val", token)), image)
        write_label(root.label("val", token), make_label(ignored_rows=98))
    entries = [
        IndexEntry(token, "CAM_FRONT", "scene-0001", f"s{token}", 7, "boston-seaport", "val", ("carpark",))
        for token in TOKENS
    ]
    root.write_index(entries)
    root.write_calib({token: np.eye(3).tolist() for token in TOKENS})
    root.write_record(PrepareRecord("v1.0-mini", "pon", ("CAM_FRONT",), "exact"))
    return root


def read_picture(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture[:, :, ::-1]


def cells_of(picture: np.ndarray, colour: str) -> np.ndarray:
    """(N, 2) row and column of the pixels of a colour."""
    return np.argwhere((picture == rgb(colour)).all(axis=2))


def test_later_classes_are_painted_over_earlier_ones_and_ignore_over_all():
    classes = np.zeros((14, 1, 16), bool)
    for plane in range(14):
        classes[plane, 0, plane:14] = True
    ignore = np.zeros((1, 16), bool)
    ignore[0, 15] = ignore[0, 0] = True
    picture = colourise(classes, ignore)
    expected = [IGNORE_COLOUR, *CLASS_COLOURS[1:], BACKGROUND_COLOUR, IGNORE_COLOUR]
    assert picture[0].tolist() == [list(rgb(colour)) for colour in expected]
    assert colourise(classes)[0, 0].tolist() == list(rgb(CLASS_COLOURS[0]))


def test_a_preview_has_the_camera_at_the_bottom_and_both_masks(root: DataRoot, tmp_path: Path):
    written = preview_labels(root.root, "val", tmp_path / "out", tokens=[TOKENS[2]])
    assert written == [tmp_path / "out" / f"{TOKENS[2]}.png"]
    picture = read_picture(written[0])
    height, width = picture.shape[:2]
    assert width > 1000
    middle = int(0.73 * width)  # between the two BEV pictures
    for half in (picture[:, int(0.45 * width) : middle], picture[:, middle:]):
        half = half[: int(0.85 * height)]  # without the legend
        car, drivable = cells_of(half, CLASS_COLOURS[4]), cells_of(half, CLASS_COLOURS[0])
        assert car[:, 0].mean() > drivable[:, 0].mean()  # row 0 is below
        assert car[:, 1].mean() < drivable[:, 1].mean()  # column 0 is left
    hidden = cells_of(picture[: int(0.85 * height)], IGNORE_COLOUR)
    pon, fov = (hidden[:, 1] < middle).sum(), (hidden[:, 1] >= middle).sum()
    assert 30 * fov < pon  # 98 rows against one


def test_the_camera_image_is_shown(root: DataRoot, tmp_path: Path):
    (path,) = preview_labels(root.root, "val", tmp_path / "out", tokens=TOKENS[:1])
    picture = read_picture(path)
    near = np.abs(picture.astype(int) - (40, 120, 200)).max(axis=2) < 12
    assert near.mean() > 0.2


def test_the_random_choice_follows_the_seed(root: DataRoot, tmp_path: Path):
    def choose(seed: int) -> list[str]:
        return [path.stem for path in preview_labels(root.root, "val", tmp_path / "out", 1, seed=seed)]

    assert choose(1) == choose(1)
    assert len({tuple(choose(seed)) for seed in range(3)}) > 1
    assert len(preview_labels(root.root, "val", tmp_path / "all", count=100)) == len(TOKENS)


def test_previews_of_nothing_or_of_unknown_tokens_are_refused(root: DataRoot, tmp_path: Path):
    with pytest.raises(UsageError, match="no labels in"):
        preview_labels(root.root, "train", tmp_path / "out")
    with pytest.raises(UsageError, match=r"no label .* for abc"):
        preview_labels(root.root, "val", tmp_path / "out", tokens=["abc"])


def test_a_preview_without_or_with_a_damaged_image_names_it(root: DataRoot, tmp_path: Path):
    path = root.image("val", TOKENS[0])
    path.write_bytes(b"\xff\xd8 no more")
    with pytest.raises(DiffBEVError, match=f"{path.name} is damaged"):
        preview_labels(root.root, "val", tmp_path / "out", tokens=TOKENS[:1])
    path.unlink()
    with pytest.raises(DiffBEVError, match="no image of"):
        preview_labels(root.root, "val", tmp_path / "out", tokens=TOKENS[:1])


def test_good_labels_are_counted_over_visible_cells(root: DataRoot):
    report = check_labels(root.root, "val")
    assert report.ok
    assert (report.labels, report.read) == (4, 4)
    assert report.visible == pytest.approx(0.5)
    assert report.visible_fov == pytest.approx(195 / 196)
    classes = {each.name: each for each in report.classes}
    assert list(classes) == list(CLASSES)
    visible = 4 * 98 * 200
    assert classes["drivable_area"] == ClassFrequency("drivable_area", visible, 1.0, CLASS_PRIORS[0], 4)
    assert classes["car"].share == pytest.approx(4 * 400 / visible)
    assert classes["car"].ratio == pytest.approx(4 * 400 / visible / CLASS_PRIORS[4])
    assert (classes["bus"].share, classes["bus"].labels) == (0.0, 0)
    assert classes["carpark"].share is None
    text = report.to_text()
    assert "labels are valid" in text
    assert "not annotated in any label, so not scored: carpark" in text
    assert report.to_dict()["ok"] is True


def test_hidden_cells_do_not_count(root: DataRoot):
    label = make_label()
    label |= np.uint16(1 << 14)
    label[50, 50] = 1  # the only visible cell: drivable
    write_label(root.label("val", TOKENS[0]), label)
    classes = {each.name: each for each in check_labels(root.root, "val").classes}
    assert classes["car"].labels == 3
    assert classes["drivable_area"].cells == 3 * 98 * 200 + 1


def test_a_map_without_annotation_does_not_dilute_a_class(root: DataRoot):
    entries = [
        IndexEntry(
            token, "CAM_FRONT", "scene-0001", "s", 7, "a", "val", () if token == TOKENS[0] else ("car",)
        )
        for token in TOKENS
    ]
    root.write_index(entries)
    car = check_labels(root.root, "val").classes[4]
    assert car.share == pytest.approx(400 / (98 * 200))


def test_each_defect_is_one_problem(root: DataRoot):
    cv2.imwrite(str(root.label("val", TOKENS[0])), np.zeros(SHAPE, np.uint8))
    write_label(root.label("val", TOKENS[1]), np.zeros((98, 100), np.uint16))
    write_label(root.label("val", TOKENS[2]), np.zeros(SHAPE, np.uint16))
    write_label(root.label("val", TOKENS[3]), np.full(SHAPE, 3 << 14, np.uint16))
    report = check_labels(root.root, "val")
    assert not report.ok
    assert [report.labels, report.read] == [4, 2]
    eight_bit, size, zero, hidden = report.problems
    assert f"{TOKENS[0]}.png is 8-bit" in eight_bit
    assert f"{TOKENS[1]}.png has shape 98×100" in size
    assert f"not even ignore: 1 ({TOKENS[2]})" in zero
    assert f"without a visible cell: 1 ({TOKENS[3]})" in hidden
    assert "labels are NOT valid" in report.to_text()


def test_a_label_that_contradicts_its_masks_is_found(root: DataRoot):
    write_label(root.label("val", TOKENS[0]), make_label() | np.uint16(1 << 15))
    (problem,) = check_labels(root.root, "val").problems
    assert "bit 15 set, bit 14 not" in problem


def test_files_are_held_against_each_other(root: DataRoot):
    root.image("val", TOKENS[0]).unlink()
    root.label("val", TOKENS[1]).unlink()
    calib = root.read_calib()
    del calib[TOKENS[2]]
    root.write_calib(calib)
    root.write_index([entry for entry in root.read_index() if entry.token != TOKENS[3]])
    problems = check_labels(root.root, "val").problems
    assert problems == (
        f"labels without an image: 1 ({TOKENS[0]})",
        f"images without a label: 1 ({TOKENS[1]})",
        f"labels without intrinsics in calib.json: 1 ({TOKENS[2]})",
        f"labels missing from index.jsonl: 1 ({TOKENS[3]})",
        f"entries of index.jsonl without label or image: 2 ({TOKENS[0]}, {TOKENS[1]})",
    )


def test_labels_without_bit_15_are_mentioned(root: DataRoot):
    for token in TOKENS:
        write_label(root.label("val", token), make_label(98) & np.uint16(0x7FFF))
    report = check_labels(root.root, "val")
    assert report.ok
    assert any("bit 15 is never set" in note for note in report.notes)


def test_a_sample_reads_only_that_many(root: DataRoot):
    report = check_labels(root.root, "val", sample=2)
    assert (report.labels, report.read) == (4, 2)
    with pytest.raises(UsageError, match="no labels in"):
        check_labels(root.root, "train")
