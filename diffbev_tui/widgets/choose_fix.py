"""Fixes over the screen, of which one is chosen: the app previews it, and runs or copies it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from textual.app import App

from diffbev_tui.fixes import Fix, FixKind
from diffbev_tui.messages import RunFix
from diffbev_tui.widgets.choose_one import ChooseOne

Further = tuple[str, Callable[[], object]]
"""Words of another entry, and what it does."""


def choose_fix(
    app: App[Any],
    title: str,
    fixes: Sequence[Fix],
    further: Sequence[Further] = (),
    *,
    read_only: bool,
) -> None:
    """Let one be chosen; a single one is taken at once. Read-only, all are only copied."""
    if read_only:
        fixes = [replace(fix, kind=FixKind.COPY) for fix in fixes]
    choices = {f"fix {at}": fix for at, fix in enumerate(fixes)}
    others = {f"other {at}": act for at, (_, act) in enumerate(further)}
    if len(fixes) == 1 and not further:
        app.post_message(RunFix(fixes[0]))
        return
    words = [fix.label for fix in fixes] + [words for words, _ in further]
    options = list(zip([*choices, *others], words, strict=True))

    def chosen(answer: str | None) -> None:
        if answer in choices:
            app.post_message(RunFix(choices[answer]))
        elif answer in others:
            others[answer]()

    app.push_screen(ChooseOne(title, options), chosen)
