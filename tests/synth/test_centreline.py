import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbev_engine.synth.centreline import Centreline

BENDY = Centreline((10.0, -5.0, 0.4), 0.0, (20.0, 40.0, 15.0, 60.0), (0.0, 0.01, 0.0, -0.008))


def test_heading_turns_by_length_times_curvature():
    before, after = BENDY.place(np.array([20.0, 60.0]), np.array(0.0))[:, 2]
    assert after - before == pytest.approx(40.0 * 0.01)


def test_ends_go_on_straight():
    behind = BENDY.place(np.array([-30.0, 0.0]), np.array(0.0))
    assert np.linalg.norm(behind[1, :2] - behind[0, :2]) == pytest.approx(30.0)
    assert behind[0, 2] == behind[1, 2] == 0.4


@given(st.floats(-50, 200), st.floats(-8, 8), st.booleans())
def test_a_step_along_the_line_is_a_step_in_the_world(s: float, t: float, mirrored: bool):
    line = Centreline(BENDY.start, 0.0, BENDY.lengths, BENDY.curvatures, mirrored)
    step = 1e-4
    first, second = line.points(np.array([s, s + step]), 0.0)
    assert np.linalg.norm(second - first) == pytest.approx(step, rel=1e-3)
    # Offsets are measured at a right angle, whatever the bend.
    assert np.linalg.norm(line.points(np.array(s), t) - first) == pytest.approx(abs(t), abs=1e-9)


def test_mirroring_swaps_left_and_right_only():
    mirrored = Centreline(BENDY.start, 0.0, BENDY.lengths, BENDY.curvatures, mirrored=True)
    s = np.linspace(-10, 150, 9)
    np.testing.assert_allclose(mirrored.points(s, 3.0), BENDY.points(s, -3.0))
    np.testing.assert_allclose(mirrored.points(s, 0.0), BENDY.points(s, 0.0))


def test_stations_leave_no_visible_chord():
    stations = BENDY.stations(-10.0, 140.0)
    middles = (stations[:-1] + stations[1:]) / 2
    chords = (BENDY.points(stations[:-1], 0.0) + BENDY.points(stations[1:], 0.0)) / 2
    assert np.linalg.norm(BENDY.points(middles, 0.0) - chords, axis=1).max() < 0.011
    assert stations[0] == -10.0
    assert stations[-1] == 140.0


def test_pieces_cover_the_stretch_once():
    pieces = BENDY.pieces(-10.0, 140.0)
    assert sum(length for _, length, _ in pieces) == pytest.approx(150.0)
    assert [round(curvature, 3) for _, _, curvature in pieces] == [0.0, 0.0, 0.01, 0.0, -0.008, 0.0]
