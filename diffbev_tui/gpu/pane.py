"""GPUs and the host: what is used, by whom, and how close to the limit."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Static

from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.host import HostReading, read_host
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.system import SystemHistory, SystemTail
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.gpu.text import gpu_block, history_block, host_block
from diffbev_tui.i18n import language, tr
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.plain import PlainVerticalScroll

_MARGINS = 6
"""Columns that the page leaves free, its scroll bar among them."""


class GpuPane(Pane):
    """Drawn from the snapshot's reading of the driver; the host is read in a background thread."""

    @dataclass
    class SystemRead(Message):
        """What was recorded of the machine over a run."""

        run: str
        history: SystemHistory

    @dataclass
    class HostRead(Message):
        """The host was read."""

        host: HostReading

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._family: frozenset[int] = frozenset()
        self._system: SystemTail | None = None
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        """GPUs above the host."""
        self._drawn = None
        with PlainVerticalScroll():
            yield Static(id="gpu-gpus")
            yield Static(id="gpu-host")
            yield Static(id="gpu-run")

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Show the newest reading."""
        width = (self.size.width or self.app.size.width) - _MARGINS
        lines = Text()
        reading = snapshot.gpus
        for gpu in reading.gpus:
            lines.append_text(gpu_block(gpu, snapshot.gpu_history, self._family, width))
            lines.append("\n")
        if reading.trouble is None and not reading.gpus:
            lines.append(tr("gpu.asking"), "dim")
        elif reading.broken:
            lines.append(tr("gpu.broken", why=reading.problem[language()]), "bold red")
        elif not reading.gpus:
            lines.append(tr("gpu.none", why=reading.problem[language()]), "dim")
        self.query_one("#gpu-gpus", Static).update(lines)
        run = snapshot.current
        folder = Path(run.path) if run else snapshot.roots.workspace if snapshot.roots else Path.cwd()
        if run is not None:
            self._read_system(RunFolder(Path(run.path)))
        self.run_in_thread("host", partial(read_host, folder, _training(run)), self.HostRead)

    def _read_system(self, folder: RunFolder) -> None:
        if self._system is None or self._system.path != folder.system:
            self._system = SystemTail(folder.system)
        name = plain(folder.path.name)
        self.run_in_thread("system", self._system.look, partial(self.SystemRead, name))

    def on_gpu_pane_system_read(self, message: SystemRead) -> None:
        """Show how it went over the whole run."""
        if self.ready:
            width = (self.size.width or self.app.size.width) - _MARGINS
            shown = (message.run, message.history, width, language())
            if shown != self._drawn:  # thousands of samples become text only when there are new ones
                self._drawn = shown
                block = history_block(message.history, message.run, width)
                self.query_one("#gpu-run", Static).update(block)

    def on_gpu_pane_host_read(self, message: HostRead) -> None:
        """Show the host."""
        if self.ready:
            self._family = message.host.family
            self.query_one("#gpu-host", Static).update(host_block(message.host))

    def copy_text(self) -> str | None:
        """What is shown."""
        return "\n".join(str(widget.content) for widget in self.query(Static))


def _training(run: RunReport | None) -> int | None:
    """The process of a run that is running on this machine."""
    if run is None or run.state is not RunCondition.RUNNING or run.process is None:
        return None
    return run.process.pid if run.process.same_machine() else None
