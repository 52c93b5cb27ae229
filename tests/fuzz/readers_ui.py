"""What the screens read beside the files of runs."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.reader import Reader, check_shown
from tests.fuzz.readers_runs import _LOG, _log_seeds


def _read_plot(path: Path) -> None:
    from diffbev_engine.report.plot_data import read_plot
    from diffbev_tui.charts.bars import draw_bars
    from diffbev_tui.charts.chart import draw
    from diffbev_tui.report.plots import bars_spec, chart_spec, chart_title, legend, letters_of, notes
    from diffbev_tui.run_book import BookPage

    plot = read_plot(path)
    if plot is None:
        return
    letters = letters_of(plot, path.parent, BookPage())
    check_shown(legend(plot, letters, 80, dark=True).plain, notes(plot, 1.7e9, 1.8e9))
    for chart in plot.charts:
        check_shown(chart_title(chart, letters, 60, dark=True).plain)
        draw(chart_spec(chart, letters, (40, 10), along=True))
    if plot.bars:
        draw_bars(bars_spec(plot, letters, (40, 10)))


def _plot_seeds() -> Sequence[bytes]:
    from diffbev_engine.report.plot_data import PNG_KEY, Plot, PlotBar, PlotChart, PlotCurve, PlotRun, to_text

    run = PlotRun("main", "../runs/main")
    curve = PlotCurve(run, (50.0, 100.0, 150.0), (0.5, 0.4, 0.3), spread=((0.4, 0.3, 0.2), (0.6, 0.5, 0.4)))
    chart = PlotChart("loss", (curve,), (0.0, 200.0), log_y=True, windows=(5,))
    bars = PlotBar(run, 150, (50.0, None))
    plots = (Plot((run,), (chart,)), Plot((run,), (), ("car", "bus"), (bars,)))
    return [_png({PNG_KEY: to_text(plot)}) for plot in plots]


def _png(texts: dict[str, str]) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info, made = PngInfo(), io.BytesIO()
    for key, text in texts.items():
        info.add_itxt(key, text)
    Image.new("RGB", (8, 6)).save(made, "png", pnginfo=info)
    return made.getvalue()


def _read_sample(path: Path) -> None:
    from diffbev_tui.classes.samples import _read, find_samples

    _read.cache_clear()
    for sample in find_samples(path.parents[3], path.parents[1]):
        sample.score(path.parents[1])
        for part in sample.parts:
            sample.ratio(part)
            check_shown(part.name, sample.place)
            assert isinstance(part.miou, float | int | None)


def _sample_seeds() -> Sequence[bytes]:
    one = {"box": [0.5, 0, 0.75, 1], "name": "main", "checkpoint": "runs/a/latest.pth", "iteration": 5}
    about: dict[str, Any] = {"camera": "CAM_FRONT", "scene": "s", "camera_box": [0, 0, 0.5, 1]}
    about |= {"truth_box": [0.75, 0, 1, 1], "predictions": [{**one, "mIoU": 0.5, "classes": 3}]}
    return [_png({"DiffBEV": json.dumps(about)}), _png({})]


def _load_picture(path: Path) -> None:
    from diffbev_tui.widgets.picture import load_picture

    load_picture(path)


def _picture_seeds() -> Sequence[bytes]:
    from PIL import Image

    made = io.BytesIO()
    Image.new("P", (8, 6)).save(made, "png")
    return [_png({"a": "b"}), made.getvalue()]


def _read_diagnosis(path: Path) -> None:
    from diffbev_tui.classes.diagnosis import _read, find_diagnosis

    _read.cache_clear()
    found = find_diagnosis(path.parents[1], [path.parents[1]], path.parents[1])
    if found is not None:
        assert found.overwritten in (True, False)
        for share in found.shares.values():
            assert share.rare in (True, False)
            assert share.never_predicted in (True, False)
        texts = (found.title, *found.evidence, *found.further, *([found.action] if found.action else []))
        check_shown(*(text.en for text in texts), *found.shares)


def _diagnosis_seeds() -> Sequence[bytes]:
    text = {"zh": "健康", "en": "healthy"}
    counts = {"car": {"TP": 1, "FP": 2, "FN": 3}}
    content = {"verdict": "healthy", "findings": [{"title": text, "evidence": [text], "action": text}] * 2}
    made = {"checkpoint": "runs/a/latest.pth", "iteration": 5, "samples": 3, "split_samples": 9}
    shares = {"counts": counts, "share_truth": {"car": 0.1}, "share_predicted": {"car": None}}
    return [json.dumps({**content, "provenance": made, "predictions": shares}).encode()]


def _follow_log(path: Path) -> None:
    from diffbev_engine.runs.folder import RunFolder
    from diffbev_tui.log.scan import FileScan, read_window
    from diffbev_tui.log.wanted import Wanted
    from diffbev_tui.log_tail import LogTail, end_of
    from diffbev_tui.monitor.run_files import RunFiles
    from diffbev_tui.monitor.run_system import RunSystem
    from diffbev_tui.monitor.step_times import StepTimes

    tail = LogTail(path)
    tail.look()
    folder = RunFolder(path.parent)
    files = RunFiles(folder)
    files.look()
    StepTimes(folder, RunSystem(folder)).look()
    check_shown(*(line.replace("\t", " ") for line in tail.lines), tail.unfinished, end_of(path), *files.log)
    scan = FileScan(path, Wanted("errors", ("a",)), keep=True)
    for _ in range(10):
        if scan.step(0.01).finished:
            break
    if path.is_file():
        read_window(path, 10)


READERS = (
    Reader(
        "plot PNG",
        "reports/plot.png",
        _plot_seeds,
        _read_plot,
        "png",
        (OSError, ValueError, SyntaxError),
        cheap=False,
    ),
    Reader("sample PNG", "runs/a/vis/sample_0001.png", _sample_seeds, _read_sample, form="png"),
    Reader(
        "picture", "picture.png", _picture_seeds, _load_picture, "png", (OSError, ValueError, SyntaxError)
    ),
    Reader("summary.json", "diagnose/summary.json", _diagnosis_seeds, _read_diagnosis, form="json"),
    Reader(
        "log on a screen",
        "train_20261128_080000.log",
        lambda: [_LOG, *_log_seeds()],
        _follow_log,
        refusals=(OSError,),
    ),
)
