import math

from diffbev_tui.charts.chart import ChartFigure
from diffbev_tui.i18n import set_language
from diffbev_tui.monitor.chart_worker import ChartView, RunValue
from diffbev_tui.monitor.text import chart_title


def title(width: int, *, last: float = 0.104) -> str:
    now = (RunValue("A", last, 300), RunValue("B", 0.110, 300))
    raw = (RunValue("A", 0.0941, 300), RunValue("B", 0.0947, 300))
    bad = () if math.isfinite(last) else (RunValue("A", last, 300),)
    best = (RunValue("A", 0.09, 250),)
    view = ChartView("loss", ChartFigure((), (width, 8)), False, now, 0.9, raw, best, bad)
    set_language("en")
    text = chart_title(view, None, dark=True)
    assert text.cell_len < width
    return text.plain


def test_what_does_not_fit_above_a_chart_is_left_out_whole():
    assert title(90) == "loss smoothed  A 0.104 (raw 0.0941)  B 0.110 (raw 0.0947)   best A 0.0900 @ 250"
    assert title(70) == "loss smoothed  A 0.104 (raw 0.0941)  B 0.110 (raw 0.0947)"
    assert title(50) == "loss smoothed  A 0.104  B 0.110"
    assert title(30) == "loss smoothed  A 0.104  …"
    assert title(20) == "loss smoothed  …"
    assert title(10).endswith("…")


def test_a_value_that_is_not_a_number_is_said_before_the_best_one():
    assert title(60, last=math.nan).endswith("! NaN A @ 300")


def test_in_little_room_a_warning_is_said_instead_of_values():
    assert title(36, last=math.nan) == "loss smoothed  …   ! NaN A @ 300"
