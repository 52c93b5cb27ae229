import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbev_engine.core.classes import CATEGORY_TO_CLASS, CLASSES
from diffbev_engine.synth.actors import Cast, Motion, footprints, overlap, poses
from diffbev_engine.synth.centreline import Centreline
from diffbev_engine.synth.solids import Body, box
from diffbev_engine.synth.tables import CATEGORIES
from diffbev_engine.synth.traffic import EGO_SIZE
from diffbev_engine.synth.world import build_site, populate

STRAIGHT = Centreline((0.0, 0.0, 0.0), 0.0, (), ())


def _thing(width: float = 1.0, length: float = 2.0) -> Body:
    solid = box((-length / 2, -width / 2, 0), (length / 2, width / 2, 1), (1, 1, 1))
    return Body("thing", (width, length, 1.0), (solid,))


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3.2, 3.2))
def test_rectangles_overlap_when_they_share_a_point(x: float, y: float, heading: float):
    first = footprints(np.array([0.0, 0.0, 0.0]), (1.0, 2.0, 1.0))
    second = footprints(np.array([x, y, heading]), (0.8, 1.7, 1.0))
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 41), np.linspace(-0.5, 0.5, 41)), -1).reshape(-1, 2)
    cos, sin = np.cos(heading), np.sin(heading)
    points = (grid * [1.7, 0.8]) @ np.array([[cos, sin], [-sin, cos]]) + [x, y]
    shared = ((np.abs(points[:, 0]) < 1.0) & (np.abs(points[:, 1]) < 0.5)).any()
    if shared:
        assert overlap(first, second)
    elif overlap(first, second):  # touching by less than the grid can show
        assert overlap(first, footprints(np.array([x, y, heading]), (0.85, 1.75, 1.0)))


def test_apart_rectangles_do_not_overlap():
    first = footprints(np.array([0.0, 0.0, 0.0]), (1.0, 2.0, 1.0))
    assert not overlap(first, footprints(np.array([2.1, 0.0, 0.0]), (1.0, 2.0, 1.0)))
    assert not overlap(first, footprints(np.array([1.5, 1.2, np.pi / 4]), (1.0, 1.0, 1.0)))


def test_a_cast_turns_away_what_would_run_into_another():
    cast = Cast(STRAIGHT, duration=10.0)
    assert cast.add(_thing(), Motion(50.0, 0.0))
    assert not cast.add(_thing(), Motion(10.0, 0.0, speed_s=5.0))
    assert cast.add(_thing(), Motion(10.0, 3.0, speed_s=5.0))
    assert len(cast.actors) == 2


def test_a_reserved_way_stays_free():
    cast = Cast(STRAIGHT, duration=10.0)
    cast.reserve(Motion(0.0, 0.0, speed_s=8.0), EGO_SIZE, margin=0.3)
    assert not cast.add(_thing(), Motion(40.0, 0.5))
    assert cast.add(_thing(), Motion(40.0, 4.0))


@pytest.fixture(scope="module", params=[0, 1, 2])
def world(request: pytest.FixtureRequest):
    scene = f"scene-{request.param:04d}"
    return populate(build_site(7, scene, 12, request.param == 1, (250.0, 250.0)), 7, scene)


def test_no_two_objects_ever_touch(world):
    motions = [actor.motion for actor in world.actors if actor.annotated]
    sizes = [actor.body.size for actor in world.actors if actor.annotated]
    times = np.arange(13) * 0.5
    where = poses(world.site.street.centreline, [*motions, world.site.ego], times)
    outlines = np.stack([footprints(p, s) for p, s in zip(where, [*sizes, EGO_SIZE], strict=True)])
    first, second = np.triu_indices(len(outlines), 1)
    touching = overlap(outlines[first], outlines[second]).any(axis=1)
    # Clearances are checked a few times a second, so a brush in between may slip through.
    assert touching.sum() <= 1


def test_categories_are_known_and_every_class_is_there(world):
    categories = {actor.body.category for actor in world.actors if actor.annotated}
    assert categories <= set(CATEGORIES)
    found = {CATEGORY_TO_CLASS.get(category) for category in categories}
    assert found >= set(CLASSES[4:])


def test_vehicles_in_lanes_head_the_way_they_move(world):
    movers = [
        actor
        for actor in world.actors
        if actor.attribute in ("vehicle.moving", "cycle.with_rider", "pedestrian.moving")
    ]
    assert len(movers) > 10
    now, later = (
        poses(world.site.street.centreline, [a.motion for a in movers], time) for time in (1.0, 1.1)
    )
    step = (later - now)[:, :2]
    assert (np.linalg.norm(step, axis=1) > 0.05).all()
    ahead = np.stack([np.cos(now[:, 2]), np.sin(now[:, 2])], -1)
    assert ((step * ahead).sum(axis=1) / np.linalg.norm(step, axis=1) > 0.99).all()
