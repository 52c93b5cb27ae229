"""The command palette: everything that a key does, and the entries of ``palette`` as messages to the app."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.message import Message
from textual.screen import Screen

from diffbev_tui.i18n import tr
from diffbev_tui.messages import Overlay, RunFix, SendTestNotification, ShowScreen
from diffbev_tui.palette import Entry, entries
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.command_strip import CommandStrip
from diffbev_tui.widgets.key_line import commands_of


def palette_commands(
    app: App[Any], screen: Screen[Any], strip: CommandStrip, snapshot: Snapshot, *, read_only: bool
) -> Iterator[SystemCommand]:
    """What keys do, by name and with its key; steps, runs, commands of the engine."""
    for what, key, action, node in commands_of(screen):
        run = partial(app.run_action, action, default_namespace=node)
        yield SystemCommand(f"{what}  ({key})", "", lambda run=run: app.run_worker(run()))
    for process in strip.running:
        manage = tr("app.tool_manage", command=process.log.stem)
        yield SystemCommand(manage, "", partial(strip.manage, process))
    for entry in entries(snapshot, read_only=read_only):
        yield SystemCommand(entry.title, "", partial(_post, app, _messages(entry)))


def _post(app: App[Any], messages: tuple[Message, ...]) -> None:
    for message in messages:
        app.post_message(message)


def _messages(entry: Entry) -> tuple[Message, ...]:
    if entry.kind == "step":
        return (ShowScreen("runbook", step=entry.target[0]),)
    if entry.kind == "run":
        return (ShowScreen("monitor", entry.target[0]),)
    if entry.kind == "diagnose":
        return (ShowScreen("classes", entry.target[0], action="diagnose"),)
    if entry.kind == "compare":
        return Overlay(entry.target), ShowScreen("monitor")
    if entry.kind == "notify":
        return (SendTestNotification(),)
    return (RunFix(entry.fix),) if entry.fix is not None else ()
