"""A list of rows outlives what happens to it while screens come and go."""

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Button, Static

from diffbev_tui.lines import Row
from diffbev_tui.widgets.row_list import RowList

ROWS = (Row("a", (("first", ""),)), Row("b", (("second", ""),)))


class _OneList(App[None]):
    def compose(self) -> ComposeResult:
        yield Button("elsewhere")
        yield RowList(id="rows")


async def test_focus_may_come_and_go_when_its_parts_are_removed_already():
    async with _OneList().run_test() as pilot:
        rows = pilot.app.query_one(RowList)
        rows.show(ROWS, "a")
        await rows.query_one(Static).remove()
        rows.focus()
        await pilot.pause()
        assert rows.has_focus
        pilot.app.query_one(Button).focus()
        await pilot.pause()


@pytest.mark.parametrize("key", ["a", "b"])
async def test_the_cursor_is_on_the_row_that_is_shown(key):
    async with _OneList().run_test() as pilot:
        rows = pilot.app.query_one(RowList)
        rows.show(ROWS, key)
        await pilot.pause()
        shown = str(rows.query_one(Static).render()).splitlines()
        assert [line.startswith(">") for line in shown] == [row.key == key for row in ROWS]
