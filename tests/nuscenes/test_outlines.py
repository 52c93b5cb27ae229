"""Outlines: the same edges, in runs that can be left out one by one."""

import itertools

import numpy as np
import pytest
import shapely

from diffbev_engine.nuscenes.outlines import Outlines, ranges


@pytest.fixture
def polygons():
    disc = shapely.Point(50, -20).buffer(30, quad_segs=40)
    return np.array([shapely.box(0, 0, 3, 2), disc.difference(shapely.Point(45, -15).buffer(9)), disc])


def _edges(vertices, turns):
    starts = np.flatnonzero(turns)
    return {tuple(edge) for edge in np.r_[vertices[:, starts], vertices[:, starts + 1]].T.tolist()}


def test_runs_hold_every_edge_once(polygons):
    outlines = Outlines.of_polygons(polygons)
    for number, polygon in enumerate(polygons):
        vertices, turns, counts = outlines.take(outlines.runs_of(np.array([number]))[0])
        rings = [np.array(ring.coords) for ring in (polygon.exterior, *polygon.interiors)]
        expected = [(*a, *b) for ring in rings for a, b in itertools.pairwise(ring)]
        assert _edges(vertices, turns) == set(expected)
        assert np.count_nonzero(turns) == len(expected)
        assert counts.sum() == len(turns)
    assert outlines.runs_of(np.array([0, 2]))[1].tolist() == [1, 7]


def test_every_vertex_is_within_the_circle_of_its_run(polygons):
    outlines = Outlines.of_polygons(polygons)
    vertices, _, counts = outlines.take(np.arange(len(outlines.radii)))
    middles, radii = (np.repeat(each, counts, axis=-1) for each in (outlines.middles, outlines.radii))
    assert (np.hypot(*(vertices - middles)) <= radii + 1e-9).all()


def test_nothing_has_no_runs():
    outlines = Outlines.of_polygons(np.empty(0, object))
    runs, counts = outlines.runs_of(np.empty(0, int))
    vertices, turns, _ = outlines.take(runs)
    assert (len(runs), len(counts), vertices.shape, len(turns)) == (0, 0, (2, 0), 0)


def test_ranges_follow_each_other():
    assert ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert ranges(np.empty(0, int), np.empty(0, int)).tolist() == []
