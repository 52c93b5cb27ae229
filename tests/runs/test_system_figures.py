"""Columns of ``system.csv`` as curves: units, iterations after a resume, gaps in what is known."""

import csv
from math import nan

from diffbev_engine.report.curve_export import CurveChoice, export_curves
from diffbev_engine.runs.metrics.file import MetricsWriter
from diffbev_engine.runs.system import SystemHistory, SystemWriter, read_system
from diffbev_engine.runs.system_figures import SystemFigure, figure_called, figures_in


def test_figures_are_found_by_column_and_by_name():
    columns = ["time", "step", "disk_free_mib", "gpu1_load", "gpu10_load", "gpu1_used_mib", "gpu1_fan"]
    found = figures_in(columns)
    assert [figure.column for figure in found] == [
        "gpu1_used_mib",
        "gpu1_load",
        "gpu10_load",
        "disk_free_mib",
    ]
    assert [figure_called(figure.name) for figure in found] == found
    assert [figure.unit for figure in found] == ["GiB", "%", "%", "GiB"]
    assert figure_called("system.csv:fan") is figure_called("loss") is None


def test_values_are_in_units_that_people_read_and_unknown_ones_are_left_out():
    history = SystemHistory((10.0, 20.0, 30.0), {"step": (0, 5, 9), "host_used_mib": (1024.0, nan, 512.0)})
    assert SystemFigure("host_used_mib").over_time(history) == ([10.0, 30.0], [1.0, 0.5])
    assert SystemFigure("load", 0).over_time(history) == ([], [])


def test_what_a_resume_did_again_counts_once_and_an_evaluation_keeps_its_samples():
    steps = (nan, 0, 50, 100, 60, 80, 120, 120, 120)
    history = SystemHistory(tuple(map(float, range(9))), {"step": steps, "cpu_percent": tuple(range(9))})
    figure = SystemFigure("cpu_percent")
    assert figure.over_iterations(history) == ([0, 50, 60, 80, 120, 120, 120], [1, 2, 4, 5, 6, 7, 8])


def test_an_export_holds_them_next_to_metrics(tmp_path):
    writer = MetricsWriter(tmp_path / "metrics.csv")
    writer.write({"step": 50, "mode": "train", "loss": 0.5})
    writer.close()
    system = SystemWriter(tmp_path / "system.csv")
    for step, load in ((0, 90.0), (50, 30.0)):
        system.write({"time": 1000.0 + step, "step": step, "gpu0_load": load})
    assert read_system(tmp_path / "system.csv").times == [1000, 1050]
    choice = CurveChoice((("a", tmp_path),), ("loss", "system.csv:gpu0_load"), (0, 100), smoothing=0.9)
    rows = list(csv.reader(export_curves(choice, tmp_path / "out.csv").open()))
    assert [row[1:4] for row in rows[1:]] == [
        ["loss", "50", "0.5"],
        ["system.csv:gpu0_load", "0", "90.0"],
        ["system.csv:gpu0_load", "50", "30.0"],
    ]
    assert rows[-1][4] == "", "the machine is never smoothed"
