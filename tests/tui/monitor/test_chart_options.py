from dataclasses import replace

from diffbev_tui.charts.axis import Axis
from diffbev_tui.charts.view_window import Follow, Span, ViewWindow
from diffbev_tui.monitor.chart_options import ChartOptions
from diffbev_tui.preferences import AUTO

ALL = Span(0, 1000, 1000)


def test_smoothing_is_by_itself_where_runs_overlay_and_each_press_looks_different():
    options = ChartOptions()
    assert [options.smoothing_of(runs) for runs in (1, 2)] == [0.0, 0.9]
    one, several = [options], [options]
    for _ in range(4):
        one.append(one[-1].next_smoothing(1))
        several.append(several[-1].next_smoothing(2))
    assert [each.smoothing for each in one] == [AUTO, 0.6, 0.9, 0.97, AUTO]
    assert [each.smoothing for each in several] == [AUTO, 0.0, 0.6, 0.9, 0.97]


def test_another_axis_keeps_following_and_drops_places_of_the_one_before():
    options = ChartOptions(window=ViewWindow(Follow.TAIL, width=50), cursor=400.0)
    other = options.next_axis()
    assert (other.axis, other.cursor, other.window) == (Axis.RELATIVE, None, ViewWindow(Follow.TAIL))
    assert other.next_axis().next_axis().axis is Axis.STEP


def test_sideways_moves_the_window_or_the_cursor_which_stays_on_the_run():
    options = ChartOptions().zoomed(ALL, 0.5)
    assert options.sideways(ALL, -1, 106).window.of(ALL) == (375, 875)
    options = options.with_cursor(ALL)
    assert options.cursor == 1000
    assert options.sideways(ALL, -1, 106).cursor == 995
    assert options.sideways(ALL, 1, 106).cursor == 1000
    moved = replace(options, cursor=500.0).sideways(ALL, -1, 106)
    assert (moved.cursor, moved.window.of(ALL)) == (495, (495, 995))
