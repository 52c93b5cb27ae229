import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffbev_engine.core.errors import DiffBEVError, ExitCode, UsageError
from diffbev_engine.nuscenes.tables import CameraFrame, Tables
from diffbev_engine.prepare import encoding, images, pipeline
from diffbev_engine.prepare.data_root import DataRoot
from diffbev_engine.prepare.encoding import decode_label, read_label
from diffbev_engine.prepare.pipeline import PreparationInterrupted, PrepareJob, prepare

SPLIT = "scene-0523=train,scene-0916=val"
PER_SCENE = 8
BOSTON, QUEENSTOWN = "scene-0523=train", "scene-0916=val"


@pytest.fixture
def nuscenes_copy(nuscenes_sample: Path, tmp_path: Path) -> Path:
    """Eight samples of either scene as a tree of symbolic links, free to be damaged."""
    root = tmp_path / "nuscenes"
    for source in nuscenes_sample.rglob("*"):
        if source.is_file() and source.name != ".diffbev_index.npz":
            target = root / source.relative_to(nuscenes_sample)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
    shorten(root / "v1.0-mini")
    return root


def shorten(folder: Path) -> None:
    samples = json.loads((folder / "sample.json").read_text())
    samples.sort(key=lambda sample: sample["timestamp"])
    scenes: dict[str, list[str]] = {}
    for sample in samples:
        scenes.setdefault(sample["scene_token"], []).append(sample["token"])
    kept = {token for tokens in scenes.values() for token in tokens[:PER_SCENE]}
    for table, key in (
        ("sample", "token"),
        ("sample_data", "sample_token"),
        ("sample_annotation", "sample_token"),
    ):
        rows = [row for row in json.loads((folder / f"{table}.json").read_text()) if row[key] in kept]
        damage(folder / f"{table}.json", lambda _, rows=rows: json.dumps(rows).encode())


@pytest.fixture
def job(nuscenes_copy: Path, tmp_path: Path) -> PrepareJob:
    return PrepareJob(nuscenes_copy, output_dir=tmp_path / "data", split=SPLIT, workers=1)


def root_of(job: PrepareJob) -> DataRoot:
    assert job.output_dir is not None
    return DataRoot(job.output_dir)


def frames_of(job: PrepareJob, scene: str | None = None) -> list[CameraFrame]:
    return Tables.open(job.nuscenes_root).frames(("CAM_FRONT",), [scene] if scene else None)


def contents(job: PrepareJob) -> dict[str, bytes]:
    root = root_of(job).root
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def tokens_in_index(job: PrepareJob) -> set[str]:
    return {entry.token for entry in root_of(job).read_index()}


def damage(path: Path, change: Callable[[bytes], bytes]) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(change(content))


def no_temporary_files(job: PrepareJob) -> bool:
    return not [path for path in root_of(job).root.rglob("*") if path.name.endswith(".tmp")]


def test_a_data_root_holds_images_labels_and_registers(job: PrepareJob):
    summary = prepare(job)
    root = root_of(job)
    assert (summary.written, summary.kept, summary.failed) == (16, 0, ())
    assert len(root.labels("train")) == len(root.images("train")) == 8
    assert len(root.labels("val")) == len(root.images("val")) == 8

    calib = json.loads(root.calib_path.read_text())
    lines = [json.loads(line) for line in root.index_path.read_text().splitlines()]
    assert len(lines) == len(calib) == 16
    by_token = {line["token"]: line for line in lines}
    for frame in frames_of(job):
        line = by_token[frame.token]
        assert line == {
            "token": frame.token,
            "camera": "CAM_FRONT",
            "scene": frame.scene,
            "sample": frame.sample_token,
            "timestamp": frame.timestamp,
            "location": frame.location,
            "split": "train" if frame.scene == "scene-0523" else "val",
            "unlabelled": ["carpark"],
        }
        assert np.array_equal(calib[frame.token], frame.intrinsics)
        label = decode_label(read_label(root.label(line["split"], frame.token)))
        assert label.classes[0].any()
        assert not label.classes[3].any()

    record = json.loads(root.record_path.read_text())
    assert record["images"] == {"train": 8, "val": 8}
    assert (record["version"], record["split"], record["raster"]) == ("v1.0-mini", SPLIT, "exact")
    assert (record["cameras"], record["map_version"], record["complete"]) == (["CAM_FRONT"], "1.3", True)


def test_images_are_links_to_the_files_themselves(job: PrepareJob):
    prepare(replace(job, split=BOSTON))
    for frame in frames_of(job, "scene-0523"):
        image = root_of(job).image("train", frame.token)
        assert not image.is_symlink()
        assert image.read_bytes() == frame.image_path.read_bytes()
        same_disk = image.stat().st_dev == frame.image_path.stat().st_dev
        assert image.samefile(frame.image_path) == same_disk


def test_images_are_copied_where_links_fail(job: PrepareJob, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(images.os, "link", refuse)
    summary = prepare(replace(job, split=BOSTON))
    assert summary.written == 8
    for frame in frames_of(job, "scene-0523"):
        image = root_of(job).image("train", frame.token)
        assert not image.samefile(frame.image_path)
        assert image.read_bytes() == frame.image_path.read_bytes()
    assert no_temporary_files(job)


def test_the_default_data_root_is_the_nuscenes_root(job: PrepareJob):
    prepare(replace(job, output_dir=None, split=BOSTON))
    assert (job.nuscenes_root / "ann_bev_dir" / "train").is_dir()
    assert (job.nuscenes_root / "index.jsonl").is_file()


def test_a_second_run_does_only_what_is_missing(job: PrepareJob):
    prepare(job)
    root = root_of(job)
    first = contents(job)
    labels, pictures = sorted(root.labels("train").values()), sorted(root.images("val").values())
    labels[3].unlink()
    pictures[5].unlink()
    before = {path: path.stat().st_mtime_ns for path in labels if path.exists()}
    summary = prepare(job)
    assert (summary.written, summary.kept) == (2, 14)
    assert contents(job) == first
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_an_image_under_another_suffix_is_not_doubled(job: PrepareJob):
    frame = frames_of(job, "scene-0523")[0]
    folder = root_of(job).image_dir("train")
    folder.mkdir(parents=True)
    shutil.copy(frame.image_path, folder / f"{frame.token}.png")  # JPEG bytes, as other organisers name them
    prepare(replace(job, split=BOSTON))
    assert not root_of(job).image("train", frame.token).exists()
    assert frame.token in tokens_in_index(job)


def test_several_processes_write_the_same_files(job: PrepareJob, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pipeline, "_FRAMES_A_PROCESS", 8)
    monkeypatch.setattr(pipeline, "_FRAMES_A_CHUNK", 4)
    torn = frames_of(job)[9]
    damage(torn.image_path, lambda content: content[:1000])
    alone = prepare(job)
    together = prepare(replace(job, output_dir=job.nuscenes_root / "parallel", workers=2))
    assert together.failed == alone.failed != ()
    assert contents(job) == contents(replace(job, output_dir=job.nuscenes_root / "parallel"))


def test_an_unwritable_label_in_a_worker_process_is_one_error(
    job: PrepareJob, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pipeline, "_FRAMES_A_PROCESS", 8)
    # A folder in the place of a label cannot be replaced by a file, whoever runs the test.
    root_of(job).label_dir("train").mkdir(parents=True)
    root_of(job).label("val", frames_of(job, "scene-0916")[7].token).mkdir(parents=True)
    monkeypatch.setattr(DataRoot, "labels", lambda *_: {})
    with pytest.raises(DiffBEVError, match=r"cannot write .*ann_bev_dir/val/.*\.png: .*to continue"):
        prepare(replace(job, workers=2))


def interrupt_after(count: int) -> Callable[..., Iterator[Any]]:
    def track(items: Iterator[Any], **_: Any) -> Iterator[Any]:
        for number, item in enumerate(items):
            if number == count:
                raise KeyboardInterrupt
            yield item

    return track


def test_ctrl_c_keeps_what_is_done_and_a_second_run_continues(
    job: PrepareJob, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "track", interrupt_after(5))
        with pytest.raises(PreparationInterrupted, match="Run the same command again") as caught:
            prepare(job)
    assert caught.value.exit_code == ExitCode.INTERRUPTED
    root = root_of(job)
    done = tokens_in_index(job)
    assert 5 <= len(done) < 16
    assert done == set(json.loads(root.calib_path.read_text()))
    assert done == set(root.labels("train")) | set(root.labels("val"))
    assert json.loads(root.record_path.read_text())["complete"] is False
    assert no_temporary_files(job)
    summary = prepare(job)
    assert (summary.written, summary.kept) == (16 - len(done), len(done))
    assert len(tokens_in_index(job)) == 16


CTRL_C = """
import os, signal, sys
from pathlib import Path
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.prepare import pipeline

def track(items, **_):
    for number, item in enumerate(items):
        if number == 3:
            os.killpg(0, signal.SIGINT)  # as a terminal does: to the workers too
        yield item

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pipeline.track, pipeline._FRAMES_A_PROCESS, pipeline._FRAMES_A_CHUNK = track, 8, 2
    try:
        pipeline.prepare(
            pipeline.PrepareJob(
                Path(sys.argv[1]), output_dir=Path(sys.argv[2]), split=sys.argv[3], workers=2
            )
        )
    except DiffBEVError as error:
        print(error)
        sys.exit(error.exit_code)
"""


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_ends_all_processes_without_a_traceback(job: PrepareJob, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(CTRL_C)
    run = subprocess.run(
        [sys.executable, script, job.nuscenes_root, str(job.output_dir), SPLIT],
        env={**os.environ, "PYTHONPATH": str(Path(pipeline.__file__).parents[2])},
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (ExitCode.INTERRUPTED, "")
    done = tokens_in_index(job)
    assert 3 <= len(done) < 16
    assert done == set(root_of(job).labels("train")) | set(root_of(job).labels("val"))
    assert no_temporary_files(job)


def test_a_full_disk_stops_with_one_message_and_nothing_half_written(
    job: PrepareJob, monkeypatch: pytest.MonkeyPatch
):
    real, written = encoding.write_bytes, []

    def fill_up(path: Path, content: bytes) -> None:
        if len(written) == 6:
            real(path, content[:100])  # what a file system may leave behind is removed by `atomic_path`
            path.unlink()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        real(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(encoding, "write_bytes", fill_up)
        with pytest.raises(DiffBEVError, match="No space left on device") as caught:
            prepare(job)
    assert "ann_bev_dir" in str(caught.value)
    labels = {**root_of(job).labels("train"), **root_of(job).labels("val")}
    assert len(labels) == 6
    for path in labels.values():
        read_label(path)
    assert no_temporary_files(job)
    assert prepare(job).kept == 6


def test_a_full_disk_while_writing_registers_is_one_message(job: PrepareJob, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("diffbev_engine.prepare.data_root.write_bytes", refuse)
    with pytest.raises(DiffBEVError, match=r"cannot write .*prepare\.json: No space left"):
        prepare(job)


@pytest.mark.parametrize(
    ("part", "change", "reason"),
    [
        ("image", None, "1 of 8 images missing"),
        ("image", lambda content: content[:-1000], "is truncated"),
        ("image", lambda _: b"<html>404</html>", "is an HTML page"),
        ("image", lambda _: b"", "is empty"),
        ("lidar", None, "1 of 8 LiDAR sweeps missing"),
        ("lidar", lambda content: content[:-3], "damaged"),
    ],
)
def test_a_bad_file_costs_one_frame_and_one_line(
    job: PrepareJob, part: str, change: Callable[[bytes], bytes] | None, reason: str
):
    job = replace(job, split=BOSTON)
    frame = frames_of(job, "scene-0523")[5]
    assert frame.lidar is not None
    path = frame.image_path if part == "image" else frame.lidar.path
    original = path.resolve()
    if change is None:
        path.unlink()
    else:
        damage(path, change)

    summary = prepare(job)
    assert [failure.tokens for failure in summary.failed] == [(frame.token,)]
    assert str(path) in summary.failed[0].reason
    assert reason in summary.failed[0].reason
    assert summary.written == summary.record.images["train"] == 7
    assert frame.token not in tokens_in_index(job)
    assert not root_of(job).label("train", frame.token).exists()
    assert not root_of(job).image("train", frame.token).exists()
    assert summary.to_text().count(str(path)) == 1
    assert str(path) in (root_of(job).root / "prepare_failed.txt").read_text()

    path.unlink(missing_ok=True)
    path.symlink_to(original)
    repaired = prepare(job)
    assert (repaired.written, repaired.kept, repaired.failed) == (1, 7, ())
    assert not (root_of(job).root / "prepare_failed.txt").exists()


def test_a_missing_map_fails_its_location_with_one_line(job: PrepareJob):
    path = job.nuscenes_root / "maps" / "expansion" / "singapore-queenstown.json"
    path.unlink()
    summary = prepare(job)
    assert len(summary.failed) == 1
    assert len(summary.failed[0].tokens) == summary.failed_images == 8
    assert str(path) in summary.failed[0].reason
    assert summary.record.images == {"train": 8, "val": 0}
    assert summary.record.complete is False
    assert "[8 images]" in summary.to_text()


def test_a_sample_without_lidar_is_left_out(job: PrepareJob):
    frame = frames_of(job, "scene-0523")[3]
    path = job.nuscenes_root / "v1.0-mini" / "sample_data.json"
    rows = json.loads(path.read_text())
    kept = [
        row
        for row in rows
        if row["sample_token"] != frame.sample_token or row["filename"].startswith("samples/CAM_FRONT")
    ]
    assert len(kept) == len(rows) - 1
    damage(path, lambda _: json.dumps(kept).encode())
    summary = prepare(replace(job, split=BOSTON))
    assert [failure.tokens for failure in summary.failed] == [(frame.token,)]
    assert "no LIDAR_TOP" in summary.failed[0].reason


def test_another_raster_is_refused_until_overwritten(job: PrepareJob):
    prepare(job)
    exact = contents(job)
    with pytest.raises(UsageError, match=r"their raster is exact, not pon.*--output-dir.*--overwrite"):
        prepare(replace(job, raster="pon"))
    assert contents(job) == exact
    summary = prepare(replace(job, raster="pon", overwrite=True))
    assert summary.written == 16
    changed = contents(job)
    assert changed.keys() == exact.keys()
    assert all((changed[name] != exact[name]) == name.endswith(".png") for name in exact if "dir/" in name)


def test_another_split_is_refused_until_overwritten(job: PrepareJob):
    prepare(job)
    swapped = replace(job, split="scene-0523=val,scene-0916=train")
    with pytest.raises(UsageError, match=r"scene-0523 in train, not in val \(and 1 more scenes\)"):
        prepare(swapped)
    with pytest.raises(UsageError, match=r"their split is scene-0523=train,scene-0916=val, not official"):
        prepare(replace(job, split="official"))
    prepare(replace(swapped, overwrite=True))
    root = root_of(job)
    assert len(root.labels("train")) == len(root.images("train")) == 8
    assert len(root.labels("val")) == len(root.images("val")) == 8
    assert {entry.split for entry in root.read_index() if entry.scene == "scene-0523"} == {"val"}


def test_more_scenes_join_an_existing_data_root(job: PrepareJob):
    prepare(replace(job, split=BOSTON))
    summary = prepare(replace(job, split=QUEENSTOWN))
    assert summary.written == 8
    assert summary.record.images == {"train": 8, "val": 8}
    assert summary.record.split == SPLIT
    assert len(tokens_in_index(job)) == len(root_of(job).read_calib()) == 16


def test_a_label_removed_by_hand_leaves_the_index(job: PrepareJob):
    prepare(replace(job, split=BOSTON))
    removed = sorted(root_of(job).labels("train"))[0]
    root_of(job).label("train", removed).unlink()
    prepare(replace(job, split=QUEENSTOWN))
    assert removed not in tokens_in_index(job)
    assert len(tokens_in_index(job)) == 15


def test_labels_of_unknown_origin_are_not_adopted(job: PrepareJob):
    folder = root_of(job).label_dir("train")
    folder.mkdir(parents=True)
    encoding.write_label(folder / "0123.png", np.zeros((196, 200), np.uint16))
    with pytest.raises(UsageError, match=r"without prepare\.json nobody can tell"):
        prepare(job)
    prepare(replace(job, overwrite=True))
    assert "0123" not in root_of(job).labels("train")


def test_overwrite_makes_all_labels_anew(job: PrepareJob):
    job = replace(job, split=BOSTON)
    prepare(job)
    path = sorted(root_of(job).labels("train").values())[0]
    good = path.read_bytes()
    path.write_bytes(b"rotten")
    assert prepare(job).written == 0
    assert prepare(replace(job, overwrite=True)).written == 8
    assert path.read_bytes() == good


def test_an_empty_part_of_the_split_is_mentioned(job: PrepareJob):
    summary = prepare(replace(job, split="pon"))  # both scenes are in PON's train list
    assert summary.record.images == {"train": 16, "val": 0}
    assert summary.note is not None
    assert "val empty" in summary.to_text()


def test_wrong_usage_is_told_before_anything_is_written(job: PrepareJob):
    wrong = [
        (replace(job, raster="convex"), "exact or pon"),
        (replace(job, cameras=("CAM_BACK",)), "CAM_BACK"),
        (replace(job, version="v1.0-test"), "v1.0-test"),
        (replace(job, split="scene-9999=train"), "scene-9999"),
    ]
    for each, reason in wrong:
        with pytest.raises(UsageError, match=reason):
            prepare(each)
    assert not root_of(job).root.exists()


def test_a_damaged_register_is_named(job: PrepareJob):
    job = replace(job, split=BOSTON)
    prepare(job)
    for path in (root_of(job).index_path, root_of(job).calib_path, root_of(job).record_path):
        good = path.read_bytes()
        path.write_bytes(good[:-30])
        with pytest.raises(DiffBEVError, match=f"{path.name} is damaged"):
            prepare(job)
        path.write_bytes(good)
