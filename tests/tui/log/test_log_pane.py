from textual.widgets import Log, Static

from tests.tui.app import run_app, until


def _log(workspace, lines, name="train_20260101_000000.log"):
    folder = workspace / ".diffbev" / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


async def test_the_newest_log_is_followed_filtered_and_searched(workspace):
    path = _log(
        workspace, ["12:00:00 I iter 10 loss 0.5", "12:00:01 W slow disk", "12:00:02 E out of memory"]
    )
    async with run_app(workspace) as (app, pilot):
        await pilot.press("6")
        await until(pilot, lambda: app.query(Log) and app.query_one(Log).line_count >= 3)
        with path.open("a") as file:
            file.write("12:00:03 I iter 20 loss 0.4\n")
        await until(pilot, lambda: "iter 20" in "\n".join(app.query_one(Log).lines))
        await pilot.press("f", "f")
        await until(pilot, lambda: "errors" in str(app.query_one("#log-name", Static).content))
        assert [line for line in app.query_one(Log).lines if line] == ["12:00:02 E out of memory"]
        await pilot.press("f", "slash", *"iter", "enter")
        await until(pilot, lambda: app.pane.copy_text() == "12:00:03 I iter 20 loss 0.4")
        await pilot.press("N")
        await until(pilot, lambda: app.pane.copy_text() == "12:00:00 I iter 10 loss 0.5")


async def test_without_a_log_it_says_where_one_would_come_from(workspace):
    async with run_app(workspace) as (app, pilot):
        await pilot.press("6")
        await until(
            pilot,
            lambda: (
                app.query("#log-name") and "No log yet" in str(app.query_one("#log-name", Static).content)
            ),
        )
