import time

from diffbev_engine.runs.status import RunState
from diffbev_tui.classes.pane import ClassesPane
from diffbev_tui.monitor.pane import MonitorPane
from diffbev_tui.palette import entries
from diffbev_tui.run_book import pin
from diffbev_tui.runbook.pane import RunbookPane
from tests.tui.app import run_app, until
from tests.tui.monitor.run_files import write_run


def _titles(app) -> list[str]:
    return [command.title for command in app.get_system_commands(app.screen)]


def _choose(app, title) -> None:
    next(one for one in app.get_system_commands(app.screen) if one.title == title).callback()


async def test_the_palette_speaks_in_sentences_with_keys_in_the_chosen_language(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await until(pilot, lambda: app.snapshot.view is not None and app.pane is not None)
        assert {"Help  (?)", "Quit  (q)", "Alerts  (!)"} <= set(_titles(app))
        assert "Go to step 2.4: Run the baseline smoke test" in _titles(app)
        assert any("(preflight)" in title for title in _titles(app))
        await pilot.press("L")
        await until(pilot, lambda: "退出  (q)" in _titles(app))
        assert any(title.startswith("前往步骤 2.4：") for title in _titles(app))


async def test_it_goes_to_steps_and_runs_and_compares(workspace):
    ago = time.time() - 9000
    for name in ("baseline", "diffbev_default"):
        write_run(workspace / "runs" / name, state=RunState.FINISHED, step=300, max_iters=300, started=ago)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await until(pilot, lambda: len(app.snapshot.runs) == 2 and app.snapshot.view and app.pane)
        baseline = next(run.path for run in app.snapshot.runs if run.path.endswith("baseline"))
        pin(app.roots.state_folder, baseline)
        await until(pilot, lambda: app.snapshot.book.pinned == baseline)
        _choose(app, "Compare diffbev_default with baseline")
        await until(pilot, lambda: isinstance(app.pane, MonitorPane) and len(app.pane.request.runs) == 2)
        _choose(app, "Go to step 4.2: Run the DiffBEV training")
        await until(pilot, lambda: isinstance(app.pane, RunbookPane))
        await until(pilot, lambda: app.query_one("#runbook-steps").key == "4.2")
        _choose(app, "Open run baseline")
        await until(pilot, lambda: isinstance(app.pane, MonitorPane) and app.pane.run.path == baseline)
        said = []
        app.say = lambda text, *_: said.append(text)
        _choose(app, "Diagnose the best checkpoint of baseline (diagnose)  (5 D)")
        await until(pilot, lambda: isinstance(app.pane, ClassesPane))
        # this run does not say how it was started: the refusal is that of the key
        await until(pilot, lambda: any("does not say with which configuration" in text for text in said))


async def test_a_read_only_ui_offers_no_commands_of_the_engine(workspace):
    async with run_app(workspace, read_only=True) as (app, pilot):
        await until(pilot, lambda: app.snapshot.view is not None)
        assert not any(one.kind == "tool" for one in entries(app.snapshot, read_only=True))
        assert any(one.kind == "tool" for one in entries(app.snapshot, read_only=False))
