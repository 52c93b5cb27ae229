"""Plots of reports, drawn from the numbers in their files."""

import struct
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from textual.widgets import Static

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.report.plot_data import PNG_KEY, Plot, PlotBar, PlotChart, PlotCurve, PlotRun, to_text
from diffbev_engine.runs.labels import RunLabels
from diffbev_tui.charts.bars import BarsSpec, draw_bars
from diffbev_tui.charts.panel import ChartPanel
from diffbev_tui.report.plots import legend, letters_of
from diffbev_tui.run_book import LETTERS, BookPage, RunEntry
from diffbev_tui.widgets.picture import load_picture
from tests.tui.app import run_app, until

ONE, OTHER = PlotRun("Baseline", "../../../runs/one"), PlotRun("训练\x1b[2J", "../../../runs/gone")
STEPS = tuple(float(step) for step in range(0, 300, 10))
LOSS = Plot(
    (ONE, OTHER),
    (
        PlotChart(
            "loss",
            (PlotCurve(ONE, STEPS, tuple(2 / (1 + step) for step in STEPS)),),
            (0.0, 300.0),
            windows=(3,),
        ),
    ),
)
SCORES = tuple(float(place) for place in range(14))
IOU = Plot(
    (ONE, OTHER),
    classes=(*CLASSES, "mIoU"),
    bars=(PlotBar(ONE, 300, (*SCORES, 6.5)), PlotBar(OTHER, 200, (*SCORES[:13], None, 6.0))),
)


def _write(folder, name, plot):
    about = PngInfo()
    about.add_itxt(PNG_KEY, to_text(plot), zip=True)
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (160, 80), (255, 128, 0)).save(folder / name, pnginfo=about)


def _words(figure):
    return ["".join(span.text for span in row) for row in figure.rows]


def test_a_run_has_the_letter_that_it_has_everywhere_and_another_one_that_nobody_has(tmp_path):
    book = BookPage({str(tmp_path / "runs/one"): RunEntry(RunLabels("C")), "/x": RunEntry(RunLabels("A"))})
    letters = letters_of(LOSS, tmp_path / "reports/comparison/plots", book)
    assert letters == {ONE: "C", OTHER: "Z"}
    words = legend(LOSS, letters, 20, dark=True).plain
    assert words == "C Baseline\nZ 训练 not logged"
    many = Plot(tuple(PlotRun(str(number)) for number in range(50)))
    assert set(letters_of(many, tmp_path, BookPage()).values()) <= set(LETTERS)


@pytest.mark.parametrize(("size", "rows"), [((50, 16), 16), ((100, 36), 31), ((160, 60), 45)])
def test_scores_of_classes_are_bars_where_there_is_room_and_a_line_each_elsewhere(size, rows):
    baseline, other = (bar.values for bar in IOU.bars)
    figure = draw_bars(BarsSpec(IOU.classes, (("A", baseline), ("B", other)), size))
    words = _words(figure)
    assert len(words) == rows
    assert all(len(row) <= size[0] for row in words)
    assert [row.split()[0] for row in words[:-1] if row.strip() and row[1] != " "] == list(IOU.classes)
    assert sum(word.isdigit() for word in words[-1].split()) >= 3, "round numbers on the axis"
    (last,) = (at for at, row in enumerate(words) if "barrier" in row)
    both = " ".join(words[last : last + 2] if rows > 16 else words[last : last + 1])
    assert "13.0" in both
    assert "–" in both


def test_runs_that_are_equally_good_stand_side_by_side_in_order():
    runs = (("A", (50.0,)), ("B", (49.9,)), ("C", (49.8,)), ("D", (0.0,)))
    (row, _axis) = _words(draw_bars(BarsSpec(("car",), runs, (60, 2))))
    assert row.split()[1].strip("·") == f"D{'·' * (len(row.split()[1]) - 4)}CBA"


async def test_a_plot_is_a_chart_and_the_picture_one_key_away(workspace):
    folder = workspace / "reports/comparison/plots"
    _write(folder, "loss_comparison.png", LOSS)
    _write(folder, "class_IoU_comparison.png", IOU)
    async with run_app(workspace, size=(80, 24)) as (app, pilot):
        await pilot.press("7")
        panel = lambda: app.query_one("#plot-0", ChartPanel)  # noqa: E731
        figure = lambda: app.query("#plot-0") and panel().figure  # noqa: E731
        await until(pilot, lambda: figure() and any("drivable_area" in row for row in _words(figure())))
        assert "\x1b" not in str(app.query_one("#plot-legend", Static).content)
        await pilot.press("j")
        await until(pilot, lambda: figure() and any("└" in row for row in _words(figure())))
        assert panel().title.plain.startswith("Training loss (weighted sum)")
        assert sum("┤" in row or "┼" in row for row in _words(panel().figure)) >= 3, "values on the left"
        notes = app.query_one("#plot-notes", Static)
        assert "mean of 3 rows" in str(notes.content)
        assert notes.region.bottom <= 23
        await pilot.press("v")
        await until(pilot, lambda: app.query(".picture"))
        assert not app.query(".report-note")
        await pilot.press("v")
        await until(pilot, lambda: figure() and figure().rows)
        await pilot.press("m", "L")
        await until(pilot, lambda: figure() and "训练损失" in panel().title.plain)
        assert app.pane.copy_text() == str(folder / "loss_comparison.png")
        assert app.pane in app.focused.ancestors, "keys still reach the screen"


def test_a_picture_that_claims_billions_of_pixels_is_a_message(tmp_path):
    for side in (8_000, 60_000):
        head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        chunk = b"IHDR" + head
        png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        (tmp_path / "a.png").write_bytes(png + struct.pack(">I", 0) + b"IDAT" + bytes(4))
        with pytest.raises(ValueError, match=r"a\.png"):
            load_picture(tmp_path / "a.png")
