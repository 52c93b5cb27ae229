import re
import shutil
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.widgets import DataTable

from diffbev_engine.runs.labels import RunLabels, read_labels, write_labels
from diffbev_tui.i18n import tr
from diffbev_tui.runs.pane import RunsPane
from diffbev_tui.widgets.dialogs import Choice
from tests.tui.app import run_app, type_at_once, until
from tests.tui.runs.many_runs import write_scored, write_thirty


@pytest.fixture
def thirty(workspace):
    """Thirty runs, the best of them number 17, 4 and 23."""
    return write_thirty(workspace / "runs")


async def _open(app, pilot) -> RunsPane:
    await until(pilot, lambda: len(app.snapshot.runs) > 0)
    await pilot.press("8")
    await until(pilot, lambda: isinstance(app.pane, RunsPane) and app.query_one(DataTable).row_count)
    return app.pane


def _names(pane) -> list[str]:
    return [Path(row.path).name for row in pane._listed]


@pytest.mark.usefixtures("thirty")
async def test_the_best_of_thirty_runs_are_on_top_at_once_and_by_a_key_at_any_time(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await _open(app, pilot)
        assert len(_names(pane)) == 30
        assert _names(pane)[:3] == ["run17", "run04", "run23"]
        await pilot.press("greater_than_sign", "r", "b")
        assert _names(pane)[:3] == ["run17", "run04", "run23"]
        await pilot.press("b")  # stays
        assert _names(pane)[:3] == ["run17", "run04", "run23"]


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
@pytest.mark.usefixtures("thirty")
def test_the_three_best_of_thirty_runs_are_overlaid_in_five_keys(workspace, terminal):
    """In a real terminal: one key to the table sorted by score, three to choose, one to the Monitor."""
    terminal.open(workspace, "--lang", "en", size=(100, 30))
    terminal.shows("Next:")
    terminal.keys("8")
    terminal.wait(lambda: re.search(r"run17 .*\n.* run04 .*\n.* run23 ", terminal.text()))
    terminal.keys("Space", "Space", "Space")
    terminal.shows("3 overlaid in Monitor")
    terminal.keys("2")
    terminal.wait(lambda: all(name in terminal.text() for name in ("Lwce", "run17", "run04", "run23")))


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [60, 80, 140])
async def test_the_table_never_scrolls_sideways_and_what_it_leaves_out_is_below(width, lang, workspace):
    run = write_scored(workspace / "runs", "diffbev_default_with_a_long_name_seed_1", 0.2)
    write_labels(run.labels, RunLabels(tags=("paper",)))
    async with run_app(workspace, size=(width, 24), lang=lang) as (app, pilot):
        pane = await _open(app, pilot)
        table = app.query_one(DataTable)
        assert table.max_scroll_x == 0
        columns = [column.value for column in table.columns]
        assert columns[:4] == ["run", "state", "progress", "best"]
        assert len(columns) <= 8
        detail = str(pane.query_one("#runs-detail").content)
        assert "diffbev_default_with_a_long_name_seed_1" in detail
        assert ("paper" in detail) != ("tags" in columns)
        assert (tr("runs.col_took") in detail) != ("took" in columns)
        rows = detail.split("\n")
        assert all(cell_len(row) <= width for row in rows)
        assert all(row.startswith(" ") for row in rows)


async def test_a_letter_stays_with_its_run_in_its_directory(workspace, thirty):
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: len(app.snapshot.book.entries) == 30)
        letters = [app.snapshot.book.letter(str(run.path.resolve())) for run in thirty]
    assert letters[:3] == ["A", "B", "C"]  # the oldest first
    assert len(set(letters)) == 30
    assert [read_labels(run.labels).letter for run in thirty] == letters
    thirty[0].path.rename(thirty[0].path.with_name("renamed"))
    write_scored(workspace / "runs", "older", 0.1, age_h=1000)
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
    write_scored(workspace / "runs", "baseline", 0.20, age_h=2)
    write_scored(workspace / "runs", "faster", 0.215, lr=4e-4)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await _open(app, pilot)
        await pilot.press("down", "p")
        await until(pilot, lambda: app.snapshot.book.pinned.endswith("baseline"))
        await until(pilot, lambda: any(row.cell("delta") == "+1.5" for row in pane._listed))
        await pilot.press("up")
        detail = lambda: str(pane.query_one("#runs-detail").content)  # noqa: E731
        await until(pilot, lambda: "against baseline:  optimizer.lr: 0.0002 → 0.0004" in detail())
        await until(pilot, lambda: "loss" in detail() and "▁" in detail())


async def test_runs_are_filtered_by_words_tags_and_settings(workspace):
    write_scored(workspace / "runs", "baseline", 0.20, age_h=2)
    write_scored(workspace / "runs", "faster", 0.215, lr=4e-4)
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


async def test_a_filter_typed_at_once_is_there_before_the_keys_behind_it(workspace):
    write_scored(workspace / "runs", "baseline", 0.20)
    write_scored(workspace / "runs", "faster", 0.215)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await _open(app, pilot)
        type_at_once(app, "/base⏎d")
        await until(pilot, lambda: isinstance(app.screen, Choice) and app.focused)
        assert _names(pane) == ["baseline"]


async def test_a_run_is_moved_to_the_trash_after_a_question_with_its_size(workspace):
    run = write_scored(workspace / "runs", "old", 0.2)
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
    write_scored(workspace / "runs", "first", 0.2, age_h=2)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await _open(app, pilot)
        write_scored(workspace / "runs", "second", 0.3)
        head = lambda: str(pane.query_one("#runs-head").content)  # noqa: E731
        await until(pilot, lambda: "1 new: press u" in head())
        assert _names(pane) == ["first"]
        await pilot.press("u")
        assert _names(pane) == ["second", "first"]


async def test_further_directories_are_listed_too(workspace, tmp_path):
    write_scored(tmp_path / "shared", "elsewhere", 0.2)
    with (workspace / "workspace.toml").open("a") as file:
        file.write(f'\n[runs]\nfolders = ["{tmp_path / "shared"}"]\n')
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        assert _names(await _open(app, pilot)) == ["elsewhere"]


def test_damaged_labels_are_no_labels(tmp_path):
    path = tmp_path / "labels.json"
    for content in ("", "[]", '{"letter": "AB"}', '{"tags": 3}', "\0"):
        path.write_text(content)
        assert read_labels(path) == RunLabels()
