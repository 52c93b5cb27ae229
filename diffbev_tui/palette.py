"""What the command palette offers in addition to keys: steps, runs, commands. No Textual."""

from dataclasses import dataclass
from typing import Literal

from diffbev_tui.fixes import Fix
from diffbev_tui.i18n import tr
from diffbev_tui.lines import say
from diffbev_tui.run_book import short_names
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.tools import tools


@dataclass(frozen=True)
class Entry:
    """One line of the palette."""

    title: str
    kind: Literal["step", "run", "compare", "diagnose", "tool", "notify"]
    target: tuple[str, ...] = ()
    """A step; a run, to show or to diagnose; runs to overlay."""
    fix: Fix | None = None
    """The command of a tool."""


def entries(snapshot: Snapshot, *, read_only: bool) -> list[Entry]:
    """In the language of the screen."""
    found: list[Entry] = []
    if snapshot.view is not None:
        for one in snapshot.view.steps:
            title = tr("app.go_to_step", step=one.step.id, title=say(one.step.title, snapshot.roots))
            found.append(Entry(title, "step", (one.step.id,)))
    paths = [run.path for run in snapshot.runs]
    names = dict(zip(paths, short_names(paths), strict=True))
    found += [Entry(tr("app.open_run", run=name), "run", (path,)) for path, name in names.items()]
    pinned = snapshot.book.pinned
    if pinned in names:
        others = ((path, name) for path, name in names.items() if path != pinned)
        found += [
            Entry(tr("app.compare_runs", run=name, other=names[pinned]), "compare", (pinned, path))
            for path, name in others
        ]
    if snapshot.roots is not None and not read_only:
        found += [
            Entry(f"{tr('app.tool_diagnose', method=names[run.path])}  (5 D)", "diagnose", (run.path,))
            for run in snapshot.runs
            if run.last_checkpoint
        ]
        found += [Entry(fix.text, "tool", fix=fix) for fix in tools(snapshot)]
        found.append(Entry(tr("app.tool_notify"), "notify"))
    return found
