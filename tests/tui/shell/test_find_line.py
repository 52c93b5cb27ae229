"""Typing fast: of the keys from the opening of the line on none is lost, and none overtakes another."""

from typing import ClassVar

import pytest
from textual.app import App
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import OptionList

from diffbev_tui.widgets.find_line import FindLine
from tests.tui.app import type_at_once, until


class _Pane(Vertical):
    BINDINGS: ClassVar = [
        Binding("slash", "find", priority=True),
        *(Binding(key, f"heard('{key}')") for key in "rxj"),
        Binding("enter", "heard('enter')"),
    ]

    heard = ""

    def compose(self):
        yield OptionList("one", "two")
        yield FindLine(id="line")

    def on_mount(self):
        self.query_one(OptionList).focus()

    def check_action(self, action, parameters):  # noqa: ARG002
        return action != "find" or not self.query_one(FindLine).typing

    def action_find(self):
        self.query_one(FindLine).open("find", then=self.query_one(OptionList))

    def action_heard(self, key):
        self.heard += f" {key}"

    def on_find_line_left(self, message):
        self.heard += f" [{message.text} {'taken' if message.take else 'dropped'}]"


class _App(App[None]):
    def compose(self):
        yield _Pane()


@pytest.mark.parametrize(
    ("typed", "heard"),
    [
        ("/ab⏎rx", " [ab taken] r x"),
        ("/ab⎋rx", " [ab dropped] r x"),
        ("/ab⌫c⏎x", " [ac taken] x"),
        ("/j⏎j", " [j taken] j"),
        ("/a/b⏎⏎", " [a/b taken]"),  # the list itself takes the second one
        ("/a⏎/b⏎x", " [a taken] [b taken] x"),
    ],
)
async def test_a_burst_of_keys_is_heard_in_its_order(typed, heard):
    app = _App()
    async with app.run_test() as pilot:
        pane = app.query_one(_Pane)
        type_at_once(app, typed)
        await until(pilot, lambda: len(pane.heard) >= len(heard))
        await pilot.pause()
        assert pane.heard == heard
        assert not app.query_one(FindLine).display
