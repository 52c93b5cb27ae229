import json
import time

import pytest
from textual.widgets import Static

from diffbev_engine.classes import CLASSES
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.metrics import MetricsWriter
from diffbev_engine.runs.metrics_reader import read_metrics
from diffbev_tui.core.classes import class_table, evaluations
from tests.tui.app import run_app, until


def _run(workspace, name, scores):
    folder = RunFolder(workspace / "runs" / name)
    folder.path.mkdir(parents=True, exist_ok=True)
    writer = MetricsWriter(folder.metrics)
    for step, iou in scores:
        for at in range(step - 50, step, 10):
            writer.write({"step": at, "mode": "train", "phase": "train", "loss": 0.3})
        row = {f"IoU/{one}": iou for one in CLASSES if one != "construction_vehicle"}
        writer.write({"step": step, "mode": "eval", "phase": "val", "mIoU": iou, **row, "IoU/car": iou / 2})
    writer.close()
    status = {"state": "finished", "max_iters": 200, "step": 200, "updated": time.time()}
    folder.status.write_text(json.dumps(status))
    return folder.path


def test_the_newest_evaluation_with_its_changes(workspace):
    run = _run(workspace, "b", [(100, 0.1), (200, 0.25)])
    other = _run(workspace, "a", [(200, 0.2)])
    table = class_table(run, other)
    assert not isinstance(table, str)
    assert (table.step, table.before, table.against_step, table.best) == (200, 100, 200, (200, 0.25))
    by_name = {one.name: one for one in table.classes}
    assert by_name["drivable_area"].change == pytest.approx(0.15)
    assert by_name["drivable_area"].against == pytest.approx(0.05)
    assert by_name["construction_vehicle"].iou is None
    assert by_name["car"].trend == (0.05, 0.125)


def test_only_evaluations_are_parsed_and_agree_with_the_engine(workspace):
    run = _run(workspace, "b", [(100, 0.1), (200, 0.25)])
    with (run / "metrics.csv").open("a") as file:
        file.write("300,eval,val,,half a li")
    assert list(evaluations(run / "metrics.csv")) == list(read_metrics(run).evaluation)


def test_a_run_without_metrics_says_so(workspace):
    assert "No such file" in str(class_table(workspace / "runs" / "none"))


async def test_the_table_sorts_compares_and_marks_absent_classes(workspace):
    _run(workspace, "baseline", [(100, 0.1), (200, 0.2)])
    _run(workspace, "diffbev_default", [(100, 0.1), (200, 0.25)])
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await pilot.press("5")
        page = lambda: str(app.query_one("#classes-page", Static).content)  # noqa: E731
        await until(pilot, lambda: app.query("#classes-page") and "drivable_area" in page())
        assert "not in this set" in page()
        await pilot.press("w")
        await until(pilot, lambda: page().index("car ") < page().index("drivable_area"))
        await pilot.press("c")
        await until(pilot, lambda: "vs " in page())
