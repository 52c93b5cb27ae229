import os
import stat
import time

import pytest
from PIL import Image
from textual.widgets import Markdown, OptionList, Static

from diffbev_tui.places import clip_file
from diffbev_tui.report.desktop import viewer
from diffbev_tui.report.files import find_reports, linked_file, parts_of
from diffbev_tui.widgets.picture import load_picture, picture
from tests.tui.app import run_app, until

SUMMARY = """# Comparison

best mIoU 0.21

![mIoU](<plots/mIoU_comparison.png>) ![gone](plots/gone.png) [paper](https://example.org/x) [up](#comparison)

| a | b |
| :-- | --: |
| 训练 | 2 |
"""


LONG = "".join(
    f"## Phase {number}\n\n**Step {number}.1** — done\n\n```bash\n# no heading\n\n**no step\n```\n\n"
    "- loose\n\n- list\n\n| a | b |\n| --- | --- |\n| 训练 | 2 |\n\n"
    for number in range(16)
)


@pytest.fixture
def folder(workspace):
    """A comparison with two plots, one of them broken."""
    folder = workspace / "reports" / "comparison"
    (folder / "plots").mkdir(parents=True)
    (folder / "summary.md").write_text(SUMMARY)
    Image.new("RGB", (160, 80), (255, 128, 0)).save(folder / "plots" / "mIoU_comparison.png")
    (folder / "plots" / "broken.png").write_text("no images")
    return folder


def _statics(app):
    return [str(one.content) for one in app.pane.query(Static)]


def _names(app):
    options = app.query_one(OptionList)
    return [str(options.get_option_at_index(at).prompt).strip() for at in range(options.option_count)]


async def _open(app, pilot):
    await pilot.press("7")
    await until(pilot, lambda: app.query(Markdown) and app.query_one(OptionList).has_focus)


async def _to_plot(app, pilot):
    await _open(app, pilot)
    await pilot.press("j")
    await until(pilot, lambda: any("cannot show this file" in text for text in _statics(app)))
    await pilot.press("j")
    await until(pilot, lambda: app.query(".picture"))


def test_the_newest_report_comes_first_then_pages_plots_and_samples(workspace, folder):
    older = workspace / "reports/runbook/report.md"
    older.parent.mkdir()
    older.write_text("# Record")
    (older.parent / "report.html").write_text("<p>")
    os.utime(older, (1, 1))
    sample = workspace / "runs/b/diagnose/vis/sample_0003.png"
    sample.parent.mkdir(parents=True)
    Image.new("RGB", (16, 8)).save(sample)
    found = find_reports(workspace)
    assert [entry.path for entry in found.texts] == [folder / "summary.md", older]
    assert [entry.path.name for entry in found.pages] == ["report.html"]
    assert [entry.path.name for entry in found.plots] == ["broken.png", "mIoU_comparison.png"]
    assert [entry.path for entry in found.pictures] == [sample]


@pytest.mark.parametrize("text", ["", "no newline", SUMMARY, LONG])
def test_the_parts_of_a_report_are_the_report(text):
    parts = parts_of(text)
    assert "".join(parts) == text
    assert len(parts) == (6 if text is LONG else 1)
    assert all(part.startswith(("## Phase", "**Step")) for part in parts[1:])


async def test_a_long_report_looks_as_if_it_came_in_one_piece(workspace, folder):
    (folder / "summary.md").write_text(LONG)
    async with run_app(workspace, size=(120, 40)) as (app, pilot):
        await _open(app, pilot)
        shown = app.query_one(Markdown)
        blocks = lambda: [(type(one), one.size, one.region.y) for one in shown.children]  # noqa: E731
        whole = lambda: len(blocks()) == 5 * 16 and all(size.area for _, size, _ in blocks())  # noqa: E731
        await until(pilot, whole)
        in_parts = blocks()
        await shown.update("")
        await shown.update(LONG)
        await until(pilot, whole)
        assert in_parts == blocks()


async def test_a_long_report_is_left_halfway(workspace, folder):
    (folder / "summary.md").write_text(LONG)
    async with run_app(workspace, size=(120, 40)) as (app, pilot):
        await _open(app, pilot)
        await pilot.press("j")
        await until(pilot, lambda: any("cannot show this file" in text for text in _statics(app)))
        await pilot.pause(0.3)
        assert not app.query(Markdown)
        await pilot.press("k")
        await until(pilot, lambda: app.query(Markdown))
        await pilot.press("L")
        await until(pilot, lambda: app.query(Markdown) and app.query_one(Markdown).source == LONG)


@pytest.mark.parametrize(
    ("room", "size"), [((100, None), (100, 25)), ((100, 10), (40, 10)), ((300, 90), (160, 40))]
)
def test_a_picture_keeps_its_shape(folder, room, size):
    shown = picture(load_picture(folder / "plots" / "mIoU_comparison.png"), *room, "blocks")
    assert (shown.styles.width.value, shown.styles.height.value) == size


def test_links_lead_to_files_only(folder):
    report = folder / "summary.md"
    plot = folder / "plots/mIoU_comparison.png"
    assert linked_file(report, "plots/mIoU_comparison.png") == plot
    assert linked_file(report, "../comparison/plots/mIoU_comparison.png#top") == plot
    for link in ("plots/gone.png", "https://example.org/x", "#comparison", "plots", "\0", "x" * 5000):
        assert linked_file(report, link) is None


async def test_reports_are_rendered_pictures_shown_and_broken_ones_named(workspace, folder):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _to_plot(app, pilot)
        assert _names(app) == ["Reports", "summary.md", "Plots", "broken", "mIoU_comparison"]
        assert app.query_one(".picture").region.height > 5
        assert any("contains no data" in text for text in _statics(app))
        assert app.pane.copy_text() == str(folder / "plots/mIoU_comparison.png")


@pytest.mark.parametrize("key", ["m", "enter"])
async def test_a_picture_is_shown_alone_and_zoomed(key, workspace, folder):
    Image.new("RGB", (1600, 800), (255, 128, 0)).save(folder / "plots" / "mIoU_comparison.png")
    async with run_app(workspace, size=(80, 24)) as (app, pilot):
        await _to_plot(app, pilot)
        width = lambda: app.query_one(".picture").region.width if app.query(".picture") else 0  # noqa: E731
        small = width()
        await pilot.press(key)
        await until(pilot, lambda: width() > small)
        assert not app.query_one(OptionList).display
        whole = app.query_one(".picture").region
        assert whole.right <= 80
        assert whole.bottom <= 23
        await pilot.press("plus")
        await until(
            pilot, lambda: app.query(".picture") and app.query_one(".picture").size.width > whole.width
        )
        content = app.query_one("#report-content")
        await until(pilot, lambda: content.max_scroll_y > 0)
        await pilot.press("down", "right")
        await until(pilot, lambda: content.scroll_y > 0)
        await pilot.press("escape")
        await until(pilot, lambda: width() == small)
        assert app.query_one(OptionList).has_focus


async def test_a_link_to_a_picture_shows_it_and_another_is_copied(workspace, folder):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        markdown = app.query_one(Markdown)
        await until(pilot, lambda: markdown.children)
        markdown.post_message(Markdown.LinkClicked(markdown, "https://example.org/x"))
        await until(pilot, clip_file().exists)
        assert clip_file().read_text() == "https://example.org/x"
        markdown.post_message(Markdown.LinkClicked(markdown, "plots/mIoU_comparison.png"))
        await until(pilot, lambda: app.query(".picture"))
        assert app.pane.copy_text() == str(folder / "plots/mIoU_comparison.png")


async def test_a_report_that_was_written_again_is_shown_anew(workspace, folder):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        (folder / "summary.md").write_text("# Another")
        os.utime(folder / "summary.md", (time.time() + 5,) * 2)
        await until(pilot, lambda: app.query(Markdown) and "Another" in app.query_one(Markdown).source)


async def test_without_a_desktop_it_says_so(workspace, folder, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        await pilot.press("O")
        await until(pilot, lambda: any("No desktop viewer" in one.message for one in app._notifications))
        assert any(str(folder / "summary.md") in one.message for one in app._notifications)


async def test_the_desktop_opens_the_file_that_is_shown(workspace, folder, tmp_path, monkeypatch):
    program, opened = tmp_path / "bin" / "xdg-open", tmp_path / "opened"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.part && mv {opened}.part {opened}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("sys.platform", "linux")
    assert viewer() == str(program)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        await pilot.press("O")
        await until(pilot, opened.exists)
        assert opened.read_text() == str(folder / "summary.md")


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_without_reports_it_says_what_will_appear_and_how(lang, workspace):
    async with run_app(workspace, lang=lang) as (app, pilot):
        await pilot.press("7")
        await until(pilot, lambda: app.query("#report-empty"))
        text = str(app.query_one("#report-empty", Static).content)
        assert "summary.md" in text
        assert " w " in text
        await pilot.press("O", "m", "plus", "y", "escape")
        assert app.is_running
