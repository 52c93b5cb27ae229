"""The line on every screen: is it alive, is it healthy, how long, and the GPU."""

from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from diffbev_engine.core.format import gib, percent, points, progress
from diffbev_engine.core.gpu.reading import GpuReading
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.format import duration
from diffbev_tui.i18n import tr
from diffbev_tui.run_state import run_state
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.line import Line

_STYLES = {RunCondition.RUNNING: "green", RunCondition.FINISHED: "green", RunCondition.INTERRUPTED: "yellow"}
_WIDE = 100
"""Columns from which there is room for more than how far the run is and how long it still takes."""


class StatusLine(Line):
    """One line that leaves out its last pieces where there is no room; the state comes first."""

    def show(self, snapshot: Snapshot, *, read_only: bool, behind_s: float) -> None:
        """Show a snapshot.

        Args:
            snapshot: the newest.
            read_only: marked, so that nobody wonders why nothing can be started.
            behind_s: its age, said when a disk or driver keeps the next one waiting.
        """
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(" DiffBEV ", "bold")
        if read_only:
            line.append(f" {tr('app.read_only_mark')} ", "reverse")
        if behind_s > 5:
            line.append(f" ! {tr('app.behind', age=duration(behind_s))} ", "bold red")
        width = self.size.width or self.app.size.width
        wide = width >= _WIDE
        if snapshot.roots is not None and wide:
            line.append(f" {_short(snapshot.roots.workspace)} ", "dim")
        if snapshot.current is not None:
            current = _run(snapshot.current, with_step=True, with_speed=wide)
            if line.cell_len + current.cell_len > width:
                current = _run(snapshot.current, with_step=False, with_speed=wide)
            line.append_text(current)
        elif snapshot.roots is not None:
            line.append(f"  {tr('app.no_run')}", "dim")
        for run in snapshot.runs:
            if run.stalled and run is not snapshot.current:
                line.append(f"  ! {plain(Path(run.path).name)}: {run_state(run)}", "bold red")
        _append_gpus(line, snapshot.gpus)
        self.put(_whole_pieces(line, width))


def _whole_pieces(line: Text, width: int) -> Text:
    """The line without the last of its pieces, with two blanks before each, that have no room."""
    text = line.plain
    while cell_len(text) > width and "  " in text.strip():
        text = text.rpartition("  ")[0].rstrip()
    return line[: len(text)]


def _run(run: RunReport, *, with_step: bool, with_speed: bool) -> Text:
    line = Text()
    line.append(f"  {run_state(run)}", "bold red" if run.stalled else _STYLES.get(run.state, "bold red"))
    line.append(f" {plain(Path(run.path).name)}")
    if run.step is None or run.max_iters is None:
        return line
    if with_step:
        line.append(f"  {progress(run.step, run.max_iters)}")
    if run.max_iters:
        line.append(f"  {percent(run.step / run.max_iters)}")
    if run.state is RunCondition.RUNNING:
        if run.it_per_s is not None and with_speed:
            line.append(f"  {run.it_per_s:.3g} it/s")
        if not run.stalled:
            line.append(f"  {tr('app.eta')} {duration(run.eta_s)}")
    elif run.best_miou is not None:
        line.append(f"  mIoU {points(run.best_miou)}")
    return line


def _append_gpus(line: Text, reading: GpuReading) -> None:
    if reading.broken:
        line.append(f"   {tr('app.gpu_broken')}", "bold red")
    elif reading.trouble is not None:
        line.append(f"   {tr('app.no_gpu')}", "dim")
    for gpu in reading.gpus[:4]:
        if gpu.problem:
            why = tr("app.gpu_lost" if gpu.lost else "app.gpu_refused")
            line.append(f"   GPU{gpu.index} ! {why}", "bold red")
            continue
        load = "" if gpu.utilization is None else f" {percent(gpu.utilization / 100, 0)}"
        memory = "" if gpu.total_mib is None else f" {gib(gpu.used_mib)}/{gib(gpu.total_mib)} GiB"
        line.append(f"   GPU{gpu.index}{memory}{load}")


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:]).lstrip("/")
