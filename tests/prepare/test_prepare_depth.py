import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.nuscenes.tables import Tables
from diffbev_engine.prepare import prepare_depth as module
from diffbev_engine.prepare.depth import project_depth
from diffbev_engine.prepare.lidar import read_sweep
from diffbev_engine.prepare.prepare_depth import DepthJob, DepthSummary, prepare_depth

TOKENS = [
    f"{scene}-{step}-{camera}-samples"
    for scene in ("s1", "s2")
    for step in (0, 1)
    for camera in ("CAM_FRONT", "CAM_BACK")
]
FRONT = [token for token in TOKENS if "FRONT" in token]


@pytest.fixture
def job(tiny_nuscenes: Path, tmp_path: Path) -> DepthJob:
    img_dir = tmp_path / "img_dir/train"
    img_dir.mkdir(parents=True)
    for token in TOKENS:
        (img_dir / f"{token}.jpg").touch()
    return DepthJob(
        nuscenes_root=tiny_nuscenes,
        output_dir=tmp_path / "ann_bev_dir",
        split="train",
        img_dir=img_dir,
        cameras=("CAM_FRONT",),
        height=45,
        width=80,
    )


def times(job: DepthJob) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in job.folder.glob("*.npz")}


def counts(summary: DepthSummary) -> tuple[int, int, int]:
    return summary.written, summary.skipped, len(summary.failed)


def sweep_of(job: DepthJob, sample: str) -> Path:
    return job.nuscenes_root / f"samples/LIDAR_TOP/{sample}-LIDAR_TOP-samples.pcd.bin"


def test_one_file_for_each_image_of_the_cameras(job: DepthJob):
    summary = prepare_depth(job)
    assert counts(summary) == (4, 0, 0)
    assert summary.other_cameras == 4
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(
        [f"{token}.npz" for token in FRONT] + ["depth.json"]
    )
    ratios = []
    for frame in Tables.open(job.nuscenes_root).frames(["CAM_FRONT"]):
        assert frame.lidar is not None
        expected = project_depth(frame, read_sweep(frame.lidar.path), 45, 80, 1.0, 50.0)
        with np.load(job.folder / f"{frame.token}.npz") as stored:
            for name, array in zip(("depth", "mask"), expected, strict=True):
                np.testing.assert_array_equal(stored[name], array)
            ratios.append(stored["mask"].mean())
    assert min(ratios) > 0
    assert summary.mean_valid_ratio == pytest.approx(np.mean(ratios))


def test_worker_processes_write_the_same_files(job: DepthJob, tmp_path: Path):
    job = replace(job, cameras=("CAM_FRONT", "CAM_BACK"))
    parallel = replace(job, workers=2, output_dir=tmp_path / "parallel")
    assert counts(prepare_depth(job)) == counts(prepare_depth(parallel)) == (8, 0, 0)
    for token in TOKENS:
        file = f"{token}.npz"
        assert (job.folder / file).read_bytes() == (parallel.folder / file).read_bytes()


def test_second_run_skips_whole_files_and_mends_cut_ones(job: DepthJob):
    prepare_depth(job)
    cut = job.folder / f"{FRONT[1]}.npz"
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-10])
    before = times(job)
    summary = prepare_depth(job)
    assert counts(summary) == (1, 3, 0)
    after = times(job)
    assert [name for name in before if after[name] != before[name]] == [cut.name]
    assert cut.read_bytes() == whole
    summary = prepare_depth(job)
    assert counts(summary) == (0, 4, 0)
    assert summary.mean_valid_ratio is None


def test_another_camera_later_leaves_the_first_alone(job: DepthJob):
    prepare_depth(job)
    before = times(job)
    assert counts(prepare_depth(replace(job, cameras=("CAM_FRONT", "CAM_BACK")))) == (4, 4, 0)
    after = times(job)
    assert {name: after[name] for name in before} == before


def test_changed_settings_are_refused_until_overwritten(job: DepthJob):
    prepare_depth(replace(job, cameras=("CAM_FRONT", "CAM_BACK")))
    before = times(job)
    changed = replace(job, width=40, max_depth=20)
    with pytest.raises(UsageError, match=r"8 depth files of 45x80 \(1 to 50 m\), not of 45x40 \(1 to 20 m\)"):
        prepare_depth(changed)
    assert times(job) == before
    summary = prepare_depth(replace(changed, overwrite=True))
    assert counts(summary) == (4, 0, 0)
    assert "width was 80, is 40, max_depth was 50.0, is 20" in summary.notes[0]
    # files of cameras not asked for this time would have been stale
    assert sorted(times(job)) == sorted(f"{token}.npz" for token in FRONT)
    with np.load(job.folder / f"{FRONT[0]}.npz") as stored:
        assert stored["depth"].shape == (45, 40)
        assert stored["depth"].max() < 20


def test_stop_while_starting_over_leaves_no_stale_file_behind(job: DepthJob, monkeypatch: pytest.MonkeyPatch):
    prepare_depth(job)
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_text", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(DiffBEVError, match="full"):
            prepare_depth(replace(job, width=40, overwrite=True))
    assert counts(prepare_depth(replace(job, width=40, overwrite=True))) == (4, 0, 0)


def test_files_of_unknown_origin_are_not_touched(job: DepthJob):
    job.folder.mkdir(parents=True)
    (job.folder / "someone.npz").write_text("elses")
    with pytest.raises(DiffBEVError, match=r"1 \.npz files but no depth\.json"):
        prepare_depth(job)
    assert (job.folder / "someone.npz").read_text() == "elses"


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_sweeps_cost_only_their_images(job: DepthJob, workers: int):
    job = replace(job, cameras=("CAM_FRONT", "CAM_BACK"), workers=workers)
    sweep_of(job, "s1-0").unlink()
    sweep_of(job, "s2-1").write_bytes(b"123")
    summary = prepare_depth(job)
    assert counts(summary) == (4, 0, 2)
    missing, damaged = summary.failed
    assert str(sweep_of(job, "s1-0")) in missing
    assert "no depth for 2 images: s1-0-CAM_BACK-samples, s1-0-CAM_FRONT-samples" in missing
    assert str(sweep_of(job, "s2-1")) in damaged
    sweep_of(job, "s1-0").write_bytes(sweep_of(job, "s1-1").read_bytes())
    assert counts(prepare_depth(job)) == (2, 4, 1)


def test_sample_without_lidar_gets_an_empty_mask(job: DepthJob):
    table = job.nuscenes_root / "v1.0-mini/sample_data.json"
    rows = [row for row in json.loads(table.read_text()) if row["token"] != "s1-0-LIDAR_TOP-samples"]
    table.write_text(json.dumps(rows))
    summary = prepare_depth(job)
    assert counts(summary) == (4, 0, 0)
    assert summary.without_lidar == 1
    with np.load(job.folder / "s1-0-CAM_FRONT-samples.npz") as stored:
        assert stored["mask"].shape == stored["depth"].shape == (45, 80)
        assert not stored["mask"].any()
        assert not stored["depth"].any()


def test_unknown_images_are_a_failure_but_the_rest_is_done(job: DepthJob):
    for number in range(5):
        (job.img_dir / f"stranger{number}.png").touch()
    summary = prepare_depth(job)
    assert counts(summary) == (4, 0, 1)
    assert summary.failed[0].startswith(f"5 images in {job.img_dir} are not in")
    assert "stranger0, stranger1, stranger2, ..." in summary.failed[0]


def test_full_disk_stops_with_one_message_and_whole_files(job: DepthJob, monkeypatch: pytest.MonkeyPatch):
    true_write = module.write_depth
    written: list[Path] = []

    def fail_on_third(path: Path, depth: np.ndarray, mask: np.ndarray) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        true_write(path, depth, mask)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_depth", fail_on_third)
        with pytest.raises(DiffBEVError, match=r"No space left on device.*to continue"):
            prepare_depth(job)
    assert len(times(job)) == 2
    assert counts(prepare_depth(job)) == (2, 2, 0)


def test_images_of_no_wanted_camera_are_a_usage_error(job: DepthJob):
    for token in FRONT:
        (job.img_dir / f"{token}.jpg").unlink()
    with pytest.raises(UsageError, match=r"of 4 images .* none is a key-frame of CAM_FRONT .*4 are of other"):
        prepare_depth(job)
    assert not job.output_dir.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "test"}, "'test' is neither train nor val"),
        ({"height": 0}, "0 x 80"),
        ({"min_depth": 50.0}, r"from 50\.0 to 50\.0"),
        ({"min_depth": float("nan")}, "from nan"),
        ({"cameras": ()}, "no camera"),
        ({"cameras": ("CAM_LEFT",)}, "no camera CAM_LEFT"),
        ({"img_dir": Path("/nowhere")}, "cannot list images in /nowhere"),
        ({"version": "v9"}, "no version 'v9'"),
    ],
)
def test_wrong_settings_are_usage_errors(job: DepthJob, change: dict, message: str):
    with pytest.raises(UsageError, match=message):
        prepare_depth(replace(job, **change))


def test_empty_image_folder_says_what_to_run(job: DepthJob, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no images in .*empty: run `prepare` first"):
        prepare_depth(replace(job, img_dir=tmp_path / "empty"))


def test_real_scene(nuscenes_sample: Path, tmp_path: Path):
    frames = Tables.open(nuscenes_sample, cache_dir=tmp_path / "cache").frames(["CAM_FRONT"], ["scene-0523"])
    img_dir = tmp_path / "img_dir/val"
    img_dir.mkdir(parents=True)
    for frame in frames[:6]:
        (img_dir / f"{frame.token}.png").touch()
    job = DepthJob(
        nuscenes_sample, tmp_path / "ann", "val", img_dir, ("CAM_FRONT",), cache_dir=tmp_path / "cache"
    )
    summary = prepare_depth(job)
    assert counts(summary) == (6, 0, 0)
    assert summary.mean_valid_ratio is not None
    assert 0.004 < summary.mean_valid_ratio < 0.008
    assert len(list((tmp_path / "ann/val_depth").glob("*.npz"))) == 6
