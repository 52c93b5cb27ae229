from textual.widgets import Input, Static

from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.runner import Reporter, Selection, run_steps
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runs.process import identify
from diffbev_tui.places import clip_file
from diffbev_tui.runbook.process import start_steps
from diffbev_tui.widgets.ask_text import AskText
from diffbev_tui.widgets.choose_one import ChooseOne
from diffbev_tui.widgets.dialogs import Choice
from diffbev_tui.widgets.row_list import RowList
from tests.processes import PATIENCE_S
from tests.tui.app import run_app, shown, type_at_once, until


def _text(app, where):
    return str(app.query_one(f"{where}", Static).content)


def _list(app):
    return _text(app, "#runbook-steps > Static")


def _detail(app):
    return _text(app, "#runbook-detail > Static")


def _next(app):
    return _text(app, "#runbook-next")


def _state(roots, step):
    return StateStore(roots).read().get(step, StepRecord()).state


def _said(app):
    return "\n".join(notification.message for notification in app._notifications)


async def _ready(app, pilot):
    await until(pilot, lambda: app.snapshot.view is not None and app.query("#runbook-steps"))
    await until(pilot, lambda: app.query_one("#runbook-steps", RowList).key != "")


async def _go_to(app, pilot, step):
    await pilot.press("slash", *step)
    await pilot.press("enter")
    await until(pilot, lambda: app.query_one("#runbook-steps", RowList).key == step)


async def test_it_opens_on_what_is_next(trial):
    async with run_app(trial.workspace, size=(140, 44)) as (app, pilot):
        await _ready(app, pilot)
        await until(pilot, lambda: "run 0.1" in _next(app))
        assert ">○ pending 0.1" in _list(app)
        assert f"$ cd {trial.workspace}" in _detail(app)
        assert app.query_one("#runbook-steps").has_focus


async def test_enter_runs_a_step_and_the_selection_moves_on(trial):
    async with run_app(trial.workspace, size=(140, 44)) as (app, pilot):
        await _ready(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: _state(trial, "0.1") is StepState.PASSED)
        await until(pilot, lambda: app.query_one("#runbook-steps", RowList).key == "0.2")
        assert "✓ passed" in _list(app)
        await until(pilot, lambda: "0.1 passed" in _said(app))


async def test_on_a_narrow_screen_enter_opens_the_details_and_escape_closes_them(trial):
    async with run_app(trial.workspace, size=(80, 24)) as (app, pilot):
        await _ready(app, pilot)
        assert "✗" not in _text(app, "#runbook-tabs")
        await pilot.press("l", "l", "j")
        await until(pilot, lambda: "2.2" in app.query_one("#runbook-steps", RowList).key)
        assert not app.query_one("#runbook-detail").display
        await pilot.press("enter")
        await until(pilot, lambda: app.query_one("#runbook-detail").display)
        await until(pilot, lambda: "max_iters=300" in _detail(app))
        await pilot.press("escape")
        await until(pilot, lambda: not app.query_one("#runbook-detail").display)
        assert app.query_one("#runbook-steps").has_focus


async def test_a_training_asks_first_and_no_changes_nothing(trial):
    async with run_app(trial.workspace, size=(140, 44)) as (app, pilot):
        await _ready(app, pilot)
        await _go_to(app, pilot, "9.4")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, Choice))
        text = " ".join(str(one.content) for one in app.screen.query(Static))
        assert "starts training in runs/toy" in text
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, Choice))
        assert _state(trial, "9.4") is StepState.PENDING


async def test_a_failure_names_its_problem_and_opens_it(trial):
    async with run_app(trial.workspace, size=(140, 44)) as (app, pilot):
        await _ready(app, pilot)
        await _go_to(app, pilot, "9.3")
        await pilot.press("r")
        await until(pilot, lambda: _state(trial, "9.3") is StepState.FAILED)
        await until(pilot, lambda: "CUDA out of memory during training" in _detail(app))
        assert "1 more failed: f" in _next(app)
        await pilot.press("f")
        await until(pilot, lambda: "Failed and stale" in _text(app, "#runbook-title"))
        assert _list(app).count("\n") == 0
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, ChooseOne))
        assert any(words.startswith("copy: ") for _, words in app.screen._options)
        await pilot.press("end", "enter")  # the known problem
        await until(pilot, lambda: "fixes" in _detail(app))
        await pilot.press("y")
        await until(pilot, clip_file().exists)
        assert "expandable_segments" in clip_file().read_text()


async def test_a_running_step_is_shown_stopped_gently_and_attached_to_again(trial):
    started = start_steps(trial, ["--step", "9.1", "--step", "9.2"], ["9.1", "9.2"])
    async with run_app(trial.workspace, size=(140, 44)) as (app, pilot):
        await _ready(app, pilot)
        await until(pilot, lambda: "wait for 9.2" in _next(app))
        await until(pilot, lambda: "waiting" in _detail(app))
        await pilot.press("r")
        await until(pilot, lambda: "9.2 is already running" in _said(app))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Choice))
        await pilot.press("left", "enter")
        await until(pilot, lambda: _state(trial, "9.2") is StepState.FAILED)
        await until(pilot, lambda: "interrupted" in _detail(app))
        await until(pilot, lambda: "9.2 failed: interrupted" in _said(app))
    assert started.process.wait(PATIENCE_S) == 5


async def test_skipping_takes_a_reason_and_can_be_taken_back(trial):
    async with run_app(trial.workspace, size=(140, 44)) as (app, pilot):
        await _ready(app, pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        await pilot.press("enter")
        assert isinstance(app.screen, AskText)
        await pilot.press(*"here", "enter")
        await until(pilot, lambda: _state(trial, "0.1") is StepState.SKIPPED)
        assert StateStore(trial).read()["0.1"].reason.en == "here"
        await until(pilot, lambda: app.query_one("#runbook-steps", RowList).key == "0.2")
        await pilot.press("k")
        await until(pilot, lambda: "skipped 0.1" in _list(app))
        await pilot.press("s")
        await until(pilot, lambda: _state(trial, "0.1") is StepState.PENDING)


async def test_checking_changes_nothing_and_shows_what_holds(trial):
    async with run_app(trial.workspace, size=(140, 44)) as (app, pilot):
        await _ready(app, pilot)
        await _go_to(app, pilot, "9.1")
        await pilot.press("c")
        await until(pilot, lambda: "0 of 2 criteria met" in _said(app))
        await until(pilot, lambda: "✗ file made.txt exists  (missing)" in _detail(app))
        assert "9.1" not in StateStore(trial).read()


async def test_finding_searches_all_phases_and_problems(trial):
    async with run_app(trial.workspace, size=(80, 24)) as (app, pilot):
        await _ready(app, pilot)
        await pilot.press("slash", *"loader")
        await until(pilot, lambda: "4.1.1" in _list(app) and "A data loader process crashed" in _list(app))
        assert app.query_one("#runbook-find", Input).has_focus
        await pilot.press("down", "enter")
        await until(pilot, lambda: "Known problems" in _text(app, "#runbook-title"))
        await until(pilot, lambda: "fixes" in _detail(app))


async def test_the_final_checklist_is_looked_at_when_it_is_opened(trial):
    async with run_app(trial.workspace, size=(140, 44)) as (app, pilot):
        await _ready(app, pilot)
        await _go_to(app, pilot, "final")
        await until(pilot, lambda: "✗ file runs/baseline/best_mIoU.pth exists  (missing)" in _detail(app))
        await until(pilot, lambda: "0/13" in _text(app, "#runbook-phases > Static"))


async def test_read_only_starts_and_writes_nothing(trial):
    run_steps(load_runbook(trial), trial, Selection(steps=("0.1",)), Reporter())
    StateStore(trial).change("9.1", lambda _: StepRecord(StepState.RUNNING, runner=identify(), started=1.0))
    async with run_app(trial.workspace, size=(140, 44), read_only=True) as (app, pilot):
        await _ready(app, pilot)
        before = (trial.workspace / ".diffbev/runbook_state.json").read_bytes()
        for keys in (("r",), ("p",), ("R",), ("s",), ("x",)):
            app.clear_notifications()
            await pilot.press(*keys)
            await until(pilot, lambda: "Read-only" in _said(app))
            assert len(app.screen_stack) == 1
        assert (trial.workspace / ".diffbev/runbook_state.json").read_bytes() == before
        assert not (trial.workspace / ".diffbev/tui").exists()


async def test_the_language_changes_while_it_is_open(trial):
    async with run_app(trial.workspace, size=(140, 44)) as (app, pilot):
        await _ready(app, pilot)
        await pilot.press("L")
        await until(pilot, lambda: "下一步" in _next(app) and "待运行" in _list(app))
        await until(pilot, lambda: "命令" in _detail(app))
        await pilot.press("L")
        await until(pilot, lambda: "Next:" in _next(app))


async def test_what_is_typed_ahead_of_the_line_that_finds_goes_into_it(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await until(pilot, lambda: app.snapshot.view is not None)
        await pilot.pause()
        type_at_once(app, "/1./")
        line = app.query_one("#runbook-find")
        await until(pilot, lambda: line.value == "1./")
        assert line.has_focus


async def test_a_step_is_found_and_skipped_without_a_look(trial):
    async with run_app(trial.workspace, size=(140, 44)) as (app, pilot):
        await _ready(app, pilot)
        type_at_once(app, "/0.↓⏎s")
        await until(pilot, lambda: isinstance(app.screen, AskText) and "0.2" in shown(app))
