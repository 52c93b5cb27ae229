import json
import time
from pathlib import Path

import pytest
from textual.widgets import DataTable

from diffbev_engine.runs.labels import RunLabels, read_labels
from diffbev_engine.runs.status import RunState
from diffbev_tui.monitor.pane import MonitorPane
from diffbev_tui.runs.pane import RunsPane
from diffbev_tui.widgets.dialogs import Choice
from tests.tui.app import run_app, until
from tests.tui.monitor.run_files import write_run

NOW = time.time()


def _run(folder: Path, name: str, best: float, lr: float = 2e-4, age_h: float = 1.0):
    run = write_run(
        folder / name, step=300, max_iters=300, state=RunState.FINISHED, started=NOW - 3600 * age_h
    )
    for path, change in ((run.status, {"best_miou": best, "best_step": 200}), (run.manifest, {})):
        content = json.loads(path.read_text()) | change
        if path == run.manifest:
            content["config"] = {"optimizer": {"lr": lr}, "seed": 1}
        path.write_text(json.dumps(content))
    return run


@pytest.fixture
def thirty(workspace):
    """Thirty runs, the best of them number 17, 4 and 23."""
    scores = [0.100 + 0.001 * (number % 7) for number in range(30)]
    scores[17], scores[4], scores[23] = 0.30, 0.28, 0.26
    folder = workspace / "runs"
    return [_run(folder, f"run{n:02d}", score, age_h=31 - n) for n, score in enumerate(scores)]


async def _open(app, pilot) -> RunsPane:
    await until(pilot, lambda: len(app.snapshot.runs) > 0)
    await pilot.press("8")
    await until(pilot, lambda: isinstance(app.pane, RunsPane) and app.query_one(DataTable).row_count)
    return app.pane


def _names(pane) -> list[str]:
    return [Path(row.path).name for row in pane._listed]


@pytest.mark.usefixtures("thirty")
async def test_thirty_runs_are_sorted_by_score_and_the_best_three_overlaid_in_five_keys(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await _open(app, pilot)  # 8
        assert len(_names(pane)) == 30
        await pilot.press("b")
        assert _names(pane)[:3] == ["run17", "run04", "run23"]
        await pilot.press("space", "space", "space")
        await until(pilot, lambda: len(app.overlay) == 3)
        assert [Path(path).name for path in app.overlay] == ["run17", "run04", "run23"]
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.pane, MonitorPane) and len(app.pane.request.runs) == 3)
        assert {path.name for _, path in app.pane.request.runs} == {"run17", "run04", "run23"}


async def test_a_letter_stays_with_its_run_in_its_directory(workspace, thirty):
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: len(app.snapshot.book.entries) == 30)
        letters = [app.snapshot.book.letter(str(run.path.resolve())) for run in thirty]
    assert letters[:3] == ["A", "B", "C"]  # the oldest first
    assert len(set(letters)) == 30
    assert [read_labels(run.labels).letter for run in thirty] == letters
    thirty[0].path.rename(thirty[0].path.with_name("renamed"))
    _run(workspace / "runs", "older", 0.1, age_h=1000)
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: len(app.snapshot.book.entries) == 31)
        book = app.snapshot.book
        assert book.letter(str((workspace / "runs/renamed").resolve())) == "A"
        assert book.letter(str((workspace / "runs/older").resolve())) == "4"


async def test_a_read_only_ui_writes_no_letters(workspace, thirty):
    async with run_app(workspace, read_only=True) as (app, pilot):
        await until(pilot, lambda: len(app.snapshot.book.entries) == 30)
    assert not any(run.labels.exists() for run in thirty)


async def test_a_pinned_baseline_shows_differences_in_score_and_settings(workspace):
    _run(workspace / "runs", "baseline", 0.20, age_h=2)
    _run(workspace / "runs", "faster", 0.215, lr=4e-4)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await _open(app, pilot)
        await pilot.press("down", "p")
        await until(pilot, lambda: app.snapshot.book.pinned.endswith("baseline"))
        await until(pilot, lambda: any("+1.5" in row.cells[4] for row in pane._listed))
        await pilot.press("up")
        detail = lambda: str(pane.query_one("#runs-detail").content)  # noqa: E731
        await until(pilot, lambda: "against baseline:  optimizer.lr: 0.0002 → 0.0004" in detail())
        await until(pilot, lambda: "loss" in detail() and "▁" in detail())


async def test_runs_are_filtered_by_words_tags_and_settings(workspace):
    _run(workspace / "runs", "baseline", 0.20, age_h=2)
    _run(workspace / "runs", "faster", 0.215, lr=4e-4)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await _open(app, pilot)
        await pilot.press("slash", *"lr=4e-4", "enter")
        assert _names(pane) == ["faster"]
        await pilot.press("t")
        await pilot.pause()
        await pilot.press(*"paper", "enter")
        await until(pilot, lambda: "paper" in app.snapshot.book.labels(pane._listed[0].path).tags)
        await pilot.press("escape")
        assert len(_names(pane)) == 2
        await pilot.press("slash", *"paper", "enter")
        await until(pilot, lambda: _names(pane) == ["faster"])


async def test_a_run_is_moved_to_the_trash_after_a_question_with_its_size(workspace):
    run = _run(workspace / "runs", "old", 0.2)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Choice))
        await pilot.press("y")
        await until(pilot, lambda: not run.path.exists())
        [moved] = (workspace / "runs" / ".trash").iterdir()
        assert moved.name.startswith("old_")
        assert (moved / "metrics.csv").exists()
        await until(pilot, lambda: not app.snapshot.runs)


async def test_a_new_run_is_announced_and_not_inserted(workspace):
    _run(workspace / "runs", "first", 0.2, age_h=2)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await _open(app, pilot)
        _run(workspace / "runs", "second", 0.3)
        head = lambda: str(pane.query_one("#runs-head").content)  # noqa: E731
        await until(pilot, lambda: "1 new: press u" in head())
        assert _names(pane) == ["first"]
        await pilot.press("u")
        assert _names(pane) == ["second", "first"]


async def test_further_directories_are_listed_too(workspace, tmp_path):
    _run(tmp_path / "shared", "elsewhere", 0.2)
    with (workspace / "workspace.toml").open("a") as file:
        file.write(f'\n[runs]\nfolders = ["{tmp_path / "shared"}"]\n')
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        assert _names(await _open(app, pilot)) == ["elsewhere"]


def test_damaged_labels_are_no_labels(tmp_path):
    path = tmp_path / "labels.json"
    for content in ("", "[]", '{"letter": "AB"}', '{"tags": 3}', "\0"):
        path.write_text(content)
        assert read_labels(path) == RunLabels()
