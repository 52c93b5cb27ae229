"""Fixes over the screen, of which one is chosen: the app previews it, and runs or copies it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from diffbev_tui.fixes import Fix, FixKind
from diffbev_tui.messages import RunFix
from diffbev_tui.widgets.choose_one import ChooseOne
from diffbev_tui.widgets.pane import Pane

Further = tuple[str, Callable[[], object]]
"""Words of another entry, and what it does."""


def choose_fix(pane: Pane, title: str, fixes: Sequence[Fix], further: Sequence[Further] = ()) -> None:
    """Let one be chosen; a single one is taken at once. A read-only screen only copies."""
    if pane.read_only:
        fixes = [replace(fix, kind=FixKind.COPY) for fix in fixes]
    choices = {f"fix {at}": fix for at, fix in enumerate(fixes)}
    others = {f"other {at}": act for at, (_, act) in enumerate(further)}
    if len(fixes) == 1 and not further:
        pane.ask_app(RunFix(fixes[0]))
        return
    words = [fix.label for fix in fixes] + [words for words, _ in further]
    options = list(zip([*choices, *others], words, strict=True))

    def chosen(answer: str | None) -> None:
        if answer in choices:
            pane.ask_app(RunFix(choices[answer]))
        elif answer in others:
            others[answer]()

    pane.app.push_screen(ChooseOne(title, options), chosen)
