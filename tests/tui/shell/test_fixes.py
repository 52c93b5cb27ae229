"""A fix is previewed, runs apart from the UI, and says how it ended."""

import sys
import time
from pathlib import Path

import pytest
from textual.widgets import Static

from diffbev_engine.core.bilingual import same
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.runbook.workspace_paths import find_roots
from diffbev_engine.runs.alerts import Alert, AlertKind, append_alerts
from diffbev_engine.runs.status import RunState
from diffbev_tui.engine import Answer
from diffbev_tui.fixes import Fix, FixKind, command_name, fix_of
from diffbev_tui.i18n import set_language
from diffbev_tui.messages import RunFix
from diffbev_tui.places import clip_file
from diffbev_tui.tools import tools, tools_of
from diffbev_tui.widgets import command_strip
from diffbev_tui.widgets.command_strip import CommandStrip
from diffbev_tui.widgets.dialogs import Choice
from tests.tui.app import run_app, until
from tests.tui.monitor.run_files import write_run

TOOL = (
    "import sys, time, pathlib\nprint('half done', flush=True)\nwhile not pathlib.Path('go').exists():\n"
    + ("    time.sleep(0.02)\nprint('all done')\nsys.exit(int(pathlib.Path('go').read_text()))")
)
PREPARE = Fix(FixKind.RUN, "do it", "diffbev-engine prepare", "creates labels", ("prepare",))


@pytest.fixture
def stand_in(monkeypatch):
    """A program in the place of the engine, which waits for the file ``go`` with its exit code."""
    monkeypatch.setattr(command_strip, "engine_command", lambda *_: [sys.executable, "-c", TOOL])


def _end(workspace, code):
    (workspace / "code").write_text(str(code))
    (workspace / "code").rename(workspace / "go")  # never there without its content


def _said(app):
    return "\n".join(notification.message for notification in app._notifications)


def _text(screen):
    return " ".join(str(one.content) for one in screen.query(Static))


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0: all done"), (3, "failed, exit code 3: all done")]
)
async def test_a_fix_is_previewed_followed_and_its_end_is_told(workspace, code, words):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await until(pilot, lambda: app.snapshot.view is not None)
        app.post_message(RunFix(PREPARE))
        await until(pilot, lambda: isinstance(app.screen, Choice))
        assert "$ diffbev-engine prepare creates labels" in " ".join(_text(app.screen).split())
        await pilot.press("y")
        strip = app.screen_stack[0].query_one(CommandStrip)
        await until(pilot, lambda: strip.display and "half done" in str(strip.content))
        assert "● prepare" in str(strip.content)
        _end(workspace, code)
        await until(pilot, lambda: words in _said(app))
        assert not strip.display
        assert "all done" in (workspace / ".diffbev" / "logs" / "prepare.log").read_text()


@pytest.mark.usefixtures("stand_in")
async def test_a_command_goes_on_without_the_ui_and_is_found_by_the_next(workspace):
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: app.snapshot.view is not None)
        app.post_message(RunFix(PREPARE))
        await until(pilot, lambda: isinstance(app.screen, Choice))
        await pilot.press("y")
        await until(pilot, lambda: app.screen_stack[0].query_one(CommandStrip).display)
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: app.query_one(CommandStrip).display)
        _end(workspace, 0)
        await until(pilot, lambda: "prepare has ended" in _said(app))


async def test_a_read_only_ui_copies_and_runs_nothing(workspace):
    async with run_app(workspace, read_only=True) as (app, pilot):
        await until(pilot, lambda: app.snapshot.view is not None)
        app.post_message(RunFix(PREPARE))
        await until(pilot, clip_file().exists)
        assert clip_file().read_text() == "diffbev-engine prepare"
        assert not isinstance(app.screen, Choice)


def test_a_remedy_is_run_resumed_with_or_copied(workspace):
    set_language("en")
    roots = find_roots(workspace)
    own = ("diffbev-engine", "prepare", "--nuscenes-root", "{nuscenes_root}")
    one = fix_of(Remedy(same("make"), argv=own), roots)
    assert (one.kind, one.argv[-1]) == (FixKind.RUN, str(roots.nuscenes_root))
    assert one.label == f"run: make\n    $ {one.command}\n    {one.changes}"
    again = ("diffbev-engine", "runs", "resume", "/r", "--set", "a=1", "--set", "b=2")
    one = fix_of(Remedy(same("go on"), argv=again), roots)
    assert (one.kind, one.run, one.overrides) == (FixKind.RESUME, Path("/r"), ("a=1", "b=2"))
    step = ("diffbev-engine", "runbook", "run", "{workspace}", "--step", "4.0")
    assert fix_of(Remedy(same("step"), argv=step), roots).step == "4.0"
    variable = Remedy(same("segments"), environment={"A": "1"}, changes=same("none"))
    assert fix_of(variable, roots).copied == "A=1"
    one = fix_of(variable, roots, "/runs/x")
    assert (one.kind, one.command) == (FixKind.RESUME, "A=1 diffbev-engine runs resume /runs/x")
    one = fix_of(Remedy(same("by hand"), shell="sudo ldconfig"), roots)
    assert (one.kind, one.copied) == (FixKind.COPY, "sudo ldconfig")
    assert command_name(("memory", "configs/a.py", "--max-batch", "2")) == "memory a"
    assert command_name(("runs", "stop", "/x/baseline")) == "runs stop baseline"
    assert command_name(("plot-metrics", "a", "b", "--output-dir", "c")) == "plot-metrics"


async def test_tools_are_offered_where_they_help(workspace):
    run = workspace / "runs" / "baseline"
    run.mkdir(parents=True, exist_ok=True)
    (run / "best_mIoU.pth").touch()
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: app.snapshot.view is not None)
        view = app.snapshot.view
        named = {
            name: {fix.argv[0] for fix in tools_of(view[name].step, app.snapshot)}
            for name in ("1.2", "3.2", "6.3")
        }
        assert "prepare" in named["1.2"]
        assert named["3.2"] == {"preflight", "memory"}
        assert named["6.3"] == {"visualize"}
        assert {"prepare", "preflight", "memory", "visualize"} <= {fix.argv[0] for fix in tools(app.snapshot)}


async def test_an_alert_offers_the_fixes_of_its_run(workspace):
    run = write_run(workspace / "runs" / "baseline", state=RunState.INTERRUPTED, started=time.time() - 90)
    run.latest.write_bytes(b"x")
    append_alerts(run.alerts, [Alert(time.time(), AlertKind.INTERRUPTED, 5)])
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await until(pilot, lambda: app.snapshot.alerts)
        await pilot.press("exclamation_mark", "f")
        await until(pilot, lambda: isinstance(app.screen, Choice))
        assert f"$ diffbev-engine runs resume {run.path}" in _text(app.screen).replace("\n", " ")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"ok": true, "message": {"zh": "好", "en": "sent\\nto ntfy"}}', "sent\nto ntfy"),
        ("error: workspace.toml: notify.url is unknown", "workspace.toml: notify.url is unknown"),
    ],
)
async def test_a_test_notification_says_what_became_of_it(workspace, monkeypatch, answer, words):
    asked = []
    monkeypatch.setattr(
        command_strip, "ask_engine", lambda *words, **_: asked.append(words) or Answer(0, answer)
    )
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: app.snapshot.view is not None)
        await pilot.press("exclamation_mark", "t")
        await until(pilot, lambda: words in _said(app))
        assert asked == [("runs", "notify-test", app.roots.workspace, "--json")]
