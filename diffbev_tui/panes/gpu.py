"""GPUs and the host: what is used, by whom, and how close to the limit."""

from collections import defaultdict, deque
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from diffbev_engine.runs.survey import RunCondition
from diffbev_tui.core.gpu import GpuSample
from diffbev_tui.core.host import HostReading, read_host
from diffbev_tui.core.show import UNKNOWN, bar, gib
from diffbev_tui.core.snapshot import Snapshot
from diffbev_tui.i18n import tr
from diffbev_tui.widgets.pane import Pane

_HISTORY = 60
_STEPS = " ▁▂▃▄▅▆▇█"


class GpuPane(Pane):
    """Drawn from the snapshot's reading of the driver; the host is read beside the UI."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._loads: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_HISTORY))
        self._memory: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_HISTORY))
        self._seen: object = None

    def compose(self) -> ComposeResult:
        """GPUs above the host."""
        with VerticalScroll():
            yield Static(id="gpu-gpus")
            yield Static(id="gpu-host")

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Show the newest reading."""
        if snapshot.gpus is not self._seen:
            self._seen = snapshot.gpus
            for gpu in snapshot.gpus.gpus:
                self._loads[gpu.uuid].append((gpu.utilisation or 0) / 100)
                self._memory[gpu.uuid].append((gpu.used_mib or 0) / (gpu.total_mib or 1))
        run = snapshot.current
        alive = run is not None and run.state is RunCondition.RUNNING and run.process is not None
        training = run.process.pid if alive and run and run.process and run.process.same_machine() else None
        lines = Text()
        for gpu in snapshot.gpus.gpus:
            self._draw(lines, gpu, training)
        if not snapshot.gpus.gpus:
            lines.append(tr("gpu.none", why=snapshot.gpus.message or UNKNOWN), "dim")
        self.query_one("#gpu-gpus", Static).update(lines)
        folder = Path(run.path) if run else snapshot.roots.workspace if snapshot.roots else Path.cwd()
        self.beside(lambda: read_host(folder, training), self._show_host)

    def _draw(self, lines: Text, gpu: GpuSample, training: int | None) -> None:
        share = gpu.used_mib / gpu.total_mib if gpu.used_mib is not None and gpu.total_mib else None
        lines.append(f"GPU{gpu.index} {gpu.name}\n", "bold")
        lines.append(
            f"  {tr('gpu.memory')}  {gib(gpu.used_mib)} / {gib(gpu.total_mib)} GiB  {bar(share, 20)}"
        )
        lines.append(f"  {_spark(self._memory[gpu.uuid])}", "dim")
        if gpu.reserved_mib:
            lines.append(f"  {tr('gpu.reserved', gib=gib(gpu.reserved_mib))}", "dim")
        power = f"{_number(gpu.power_w)}/{_number(gpu.power_limit_w)} W"
        lines.append(f"\n  {tr('gpu.load')}  {_number(gpu.utilisation)} %  {_spark(self._loads[gpu.uuid])}")
        lines.append(f"   {tr('gpu.power')} {power}   {_number(gpu.temperature_c)} °C   ")
        lines.append(f"{_number(gpu.clock_mhz)} MHz\n")
        for process in gpu.processes:
            ours = process.pid == training
            mark = tr("gpu.ours") if ours else ""
            hidden = tr("gpu.host_pid") if process.name is None else process.name
            lines.append(f"    pid {process.pid:<8} {process.user or UNKNOWN:<10} ", "bold" if ours else "")
            lines.append(f"{gib(process.mib):>6} GiB  {mark} {hidden[:90]}\n", "bold" if ours else "dim")
        lines.append("\n")

    def _show_host(self, host: HostReading) -> None:
        memory, lines = host.memory, Text()
        lines.append(f"{tr('gpu.host')}\n", "bold")
        used = memory.total - memory.available
        lines.append(f"  RAM  {gib(used)} / {gib(memory.total)} GiB  {bar(used / memory.total, 20)}")
        lines.append(f"   CPU {host.cpu:.0f} %\n")
        lines.append(f"  swap {gib(memory.swap_used)} / {gib(memory.swap_total)} GiB\n")
        if host.shared:
            lines.append(f"  /dev/shm {_bytes(host.shared[0])} / {_bytes(host.shared[1])} GiB\n")
        if host.disk:
            lines.append(f"  {tr('gpu.disk', free=_bytes(host.disk[0]), total=_bytes(host.disk[1]))}\n")
        if host.workers:
            lines.append(f"  {tr('gpu.workers', count=host.workers[0], load=round(host.workers[1]))}\n")
        self.query_one("#gpu-host", Static).update(lines)

    def copy_text(self) -> str | None:
        """What is shown."""
        return "\n".join(str(widget.content) for widget in self.query(Static))


def _spark(values: deque[float]) -> str:
    return "".join(_STEPS[round(min(max(value, 0.0), 1.0) * (len(_STEPS) - 1))] for value in values)


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}"


def _bytes(value: float) -> str:
    return f"{value / 2**30:.1f}"
