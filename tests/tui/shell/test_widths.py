"""Every row of every widget is as wide as the widget, also in Chinese: nothing is pushed out of place."""

import pytest

from diffbev_engine.runs.status import RunState
from diffbev_tui.app import PANES
from tests.tui.app import run_app, shown, uneven_rows, until
from tests.tui.monitor.run_files import write_run


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("size", [(60, 15), (80, 24), (140, 44)])
async def test_rows_are_as_wide_as_their_widgets(size, lang, workspace):
    write_run(workspace / "runs" / "baseline", step=4_000, max_iters=4_000, state=RunState.FINISHED)
    async with run_app(workspace, size=size, lang=lang) as (app, pilot):
        await until(pilot, lambda: app.snapshot.current is not None)
        for name in PANES:
            await app.show_pane(name)
            await pilot.pause(0.3)
            assert not uneven_rows(app), name


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_without_colour_the_states_are_still_told_apart(lang, workspace, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    write_run(workspace / "runs" / "baseline", step=4_000, max_iters=4_000, state=RunState.FINISHED)
    async with run_app(workspace, size=(140, 44), lang=lang) as (app, pilot):
        await until(pilot, lambda: app.snapshot.current is not None)
        await pilot.pause(0.3)
        assert "✓" in shown(app)
        assert ("finished" if lang == "en" else "已完成") in shown(app)
