"""The state of a run in a glyph and a word."""

from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.format import duration
from diffbev_tui.i18n import language, tr

GLYPHS = {
    RunCondition.RUNNING: "●",
    RunCondition.FINISHED: "✓",
    RunCondition.INTERRUPTED: "○",
    RunCondition.FAILED: "✗",
    RunCondition.OOM: "✗",
    RunCondition.DIVERGED: "✗",
    RunCondition.DEAD: "✗",
    RunCondition.UNKNOWN: "?",
}
QUIET_S = 300.0
"""From then on the age is shown also of what is no stall: a start, an evaluation, a checkpoint."""


def is_well(run: RunReport) -> bool:
    """Whether nobody has to look after it."""
    good = run.state in (RunCondition.RUNNING, RunCondition.FINISHED, RunCondition.INTERRUPTED)
    return good and not run.stalled and not run.trouble


def run_state(run: RunReport) -> str:
    """Glyph and word of a run's state; of one that makes no progress, for how long already."""
    running = run.state is RunCondition.RUNNING
    word = tr("app.state_" + (run.activity if running and run.activity else run.state.value))
    if run.suspended:
        word = tr("app.state_suspended")
    quiet = running and run.age_s is not None and (run.stalled or run.age_s > QUIET_S)
    return f"{'!' if run.stalled else GLYPHS[run.state]} {word}" + (
        f" {duration(run.age_s)}" if quiet else ""
    )


def why_not_well(run: RunReport) -> str:
    """Why it stalls, in the language of the screen; or how it ended, in the engine's words as in its log."""
    why = [run.stall[language()]] if run.stall else []
    return "; ".join([*why, run.trouble]) if run.trouble else "".join(why) or run.message
