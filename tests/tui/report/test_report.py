import cv2
import numpy as np
from textual.widgets import Markdown, OptionList, Static

from diffbev_tui.core.reports import find_reports
from diffbev_tui.widgets.picture import picture
from tests.tui.app import run_app, until


def _reports(workspace):
    folder = workspace / "reports" / "comparison"
    (folder / "plots").mkdir(parents=True)
    (folder / "summary.md").write_text("# Comparison\n\nbest mIoU 0.21\n")
    image = np.full((80, 160, 3), (0, 128, 255), np.uint8)
    cv2.imwrite(str(folder / "plots" / "mIoU_comparison.png"), image)
    (folder / "plots" / "broken.png").write_text("no picture")
    return folder


def test_reports_come_before_pictures(workspace):
    folder = _reports(workspace)
    found = find_reports(workspace)
    assert found.texts == (folder / "summary.md",)
    assert [path.name for path in found.pictures] == ["broken.png", "mIoU_comparison.png"]


def test_a_picture_keeps_its_shape(workspace):
    shown = picture(_reports(workspace) / "plots" / "mIoU_comparison.png", 100)
    assert (shown.styles.width.value, shown.styles.height.value) == (100, 25)


async def test_reports_are_rendered_pictures_shown_and_broken_ones_named(workspace):
    _reports(workspace)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await pilot.press("7")
        await until(pilot, lambda: app.query(Markdown))
        app.query_one(OptionList).focus()
        await pilot.press("down")
        await until(pilot, lambda: any("cannot be shown" in str(one.content) for one in app.query(Static)))
        await pilot.press("j")
        await until(pilot, lambda: app.query(".picture"))
        assert app.query_one(".picture").region.height > 5
        assert app.pane.copy_text().endswith("mIoU_comparison.png")
