import itertools
import re

import pytest

from diffbev_engine.synth.itinerary import arrange
from diffbev_engine.synth.job import MAX_SCENES, SynthJob
from diffbev_engine.synth.names import scene_names, token


@pytest.mark.parametrize("count", [1, 2, 5, 8, 10, 60, MAX_SCENES])
def test_names_are_unique_and_about_a_fifth_is_for_validation(count: int):
    train, val = scene_names(count)
    assert len(train) + len(val) == count == len({*train, *val})
    if count > 1:
        assert val
    if count >= 8:
        assert 0.15 < len(val) / count < 0.26
    assert all(re.fullmatch(r"scene-\d{4}", name) for name in (*train, *val))


def test_the_first_ten_scenes_are_those_of_mini():
    train, val = scene_names(10)
    assert set(val) == {"scene-0757", "scene-0796"}
    assert set(train) == {f"scene-{n:04d}" for n in (61, 103, 553, 655, 916, 1077, 1094, 1100)}


def test_names_agree_with_the_pon_split():
    splits = pytest.importorskip("diffbev_engine.nuscenes.splits")
    train, val = scene_names(MAX_SCENES)
    assigned = splits.resolve_split("pon", [*train, *val], "v1.0-trainval")
    assert {name for name, part in assigned.items() if part == "train"} == set(train)
    assert {name for name, part in assigned.items() if part == "val"} == set(val)


def test_a_token_depends_on_seed_and_parts_alone():
    assert re.fullmatch(r"[0-9a-f]{32}", token(1, "sample", 2))
    assert token(1, "sample", 2) == token(1, "sample", 2)
    assert (
        len({token(1, "sample", 2), token(2, "sample", 2), token(1, "sample", 3), token(1, "scene", 2)}) == 4
    )


def test_scenes_have_tiles_of_their_own_within_the_canvas(tmp_path):
    recordings, canvases = arrange(SynthJob(tmp_path, scenes=60, samples_per_scene=40))
    assert len({(r.location, r.centre) for r in recordings}) == 60
    for recording in recordings:
        canvas = canvases[recording.location]
        half = canvas.cell / 2
        assert half <= recording.centre[0] <= canvas.edge[0] - half
        assert half <= recording.centre[1] <= canvas.edge[1] - half
    # Neither place nor vehicle tells training from validation.
    val = set(scene_names(60)[1])
    for of in (lambda r: r.location, lambda r: r.vehicle):
        assert {of(r) for r in recordings if r.scene in val} == {
            of(r) for r in recordings if r.scene not in val
        }
    starts = sorted((r.logfile, r.start) for r in recordings)
    for (log, start), (next_log, next_start) in itertools.pairwise(starts):
        assert log != next_log or next_start - start >= 40 * 500_000
