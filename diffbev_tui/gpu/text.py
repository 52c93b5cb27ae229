"""The words and graphs of the GPU screen: every figure with its limit and its past."""

from collections.abc import Collection, Sequence
from itertools import pairwise

from rich.cells import cell_len
from rich.text import Text

from diffbev_engine.core.disk import disk_is_low
from diffbev_engine.core.format import UNKNOWN, byte_size, gib, percent, with_unit
from diffbev_engine.core.gpu.reading import Gpu, GpuProcess
from diffbev_engine.runs.host import HostReading
from diffbev_engine.runs.system import SystemHistory
from diffbev_engine.runs.system_figures import figures_in
from diffbev_tui.format import bar, duration, left
from diffbev_tui.gpu_history import GpuHistory, Track, sparkline
from diffbev_tui.i18n import language, tr
from diffbev_tui.lines import cut
from diffbev_tui.system_labels import figure_label

_LABEL, _VALUE = 14, 22
"""Columns of a row's name and figure; its graph has the rest."""
_BARS_FROM = 90
"""Width from which there is room for a bar next to the graph."""
_MOST_GRAPH = 80
_UNITS = {"load": "%", "power": "W", "temperature": "°C", "clock": "MHz"}
_NEARLY_FULL = 0.95


def gpu_block(gpu: Gpu, history: GpuHistory, family: Collection[int], width: int) -> Text:
    """One GPU: its figures, its MIG instances, and who uses it."""
    lines = Text()
    lines.append(f"GPU{gpu.index} {gpu.name}".rstrip(), "bold")
    for problem in _problems(gpu):
        lines.append(f"   ! {problem}", "bold red")
    lines.append("\n")
    if gpu.problem:
        return lines
    for track in history.tracks(gpu):
        _row(lines, track, width)
    if gpu.unified:
        lines.append(f"  {left('', _LABEL)}{tr('gpu.unified')}\n", "dim")
    if gpu.reserved_mib:
        lines.append(f"  {left('', _LABEL)}{tr('gpu.reserved', gib=gib(gpu.reserved_mib))}\n", "dim")
    for instance in gpu.instances:
        lines.append(f"  MIG {instance.index} {instance.name}\n", "bold")
        for track in history.tracks(instance):
            if track.now is not None:
                _row(lines, track, width)
        _processes(lines, instance.processes, family, width)
    if not gpu.instances:
        _processes(lines, gpu.processes, family, width)
    return lines


def host_block(host: HostReading) -> Text:
    """RAM, swap, shared memory, the run's disk, loader processes."""
    memory, lines = host.memory, Text()
    lines.append(f"{tr('gpu.host')}\n", "bold")
    used = memory.total - memory.available
    limited = f"   {tr('gpu.limited')}" if memory.limited else ""
    share = used / memory.total
    figures = f"{gib(used)} / {gib(memory.total)} GiB  {bar(share, 20)}  {percent(share)}"
    _line(lines, "RAM", figures + limited, loud=share > _NEARLY_FULL)
    _line(lines, "CPU", percent(host.cpu / 100, 0))
    if memory.swap_total:
        _line(lines, "swap", f"{gib(memory.swap_used)} / {gib(memory.swap_total)} GiB")
    else:
        _line(lines, "swap", tr("gpu.no_swap"))
    if host.shared:
        _line(lines, "/dev/shm", f"{_gib(host.shared[0])} / {_gib(host.shared[1])} GiB")
    if host.disk:
        words = tr("gpu.disk_free", free=_gib(host.disk[0]), total=_gib(host.disk[1]))
        if host.checkpoint:
            words += "   " + tr("gpu.checkpoint", size=byte_size(host.checkpoint))
        _line(lines, tr("gpu.disk"), words, loud=disk_is_low(host.disk[0], host.checkpoint))
    if host.workers:
        count, load = host.workers
        _line(lines, tr("gpu.workers"), tr("gpu.workers_load", count=count, load=round(load)))
    return lines


def _problems(gpu: Gpu) -> list[str]:
    full = gpu.used_mib is not None and gpu.total_mib and gpu.used_mib > _NEARLY_FULL * gpu.total_mib
    return [
        *([gpu.problem[language()]] if gpu.problem else []),
        *([tr("gpu.nearly_full")] if full else []),
        *([tr("gpu.too_hot")] if gpu.slowed else []),
    ]


def _row(lines: Text, track: Track, width: int) -> None:
    lines.append(f"  {left(tr('gpu.' + track.name), _LABEL)}", "dim")
    lines.append(left(_figure(track), _VALUE))
    share = track.now / track.limit if track.now is not None and track.limit else None
    if width >= _BARS_FROM:
        lines.append(f"{bar(share):<10}  ")
    room = width - _LABEL - _VALUE - (14 if width >= _BARS_FROM else 2)
    lines.append(f"{sparkline(track.past, track.limit, min(room, _MOST_GRAPH))}\n", "cyan")


def _figure(track: Track) -> str:
    if track.name == "memory":
        return f"{gib(track.now)} / {gib(track.limit)} GiB"
    unit = _UNITS[track.name]
    limit = "" if track.name in ("load", "temperature") else f" / {_number(track.limit)}"
    return f"{_number(track.now)}{limit} {unit}"


def _processes(
    lines: Text, processes: tuple[GpuProcess, ...] | None, family: Collection[int], width: int
) -> None:
    if not processes:
        lines.append(f"  {tr('gpu.no_list' if processes is None else 'gpu.no_process')}\n", "dim")
        return
    lines.append(f"  {'pid':<9}{'':2}{left(tr('gpu.user'), 12)}{'GiB':>7}  {tr('gpu.command')}\n", "dim")
    for process in processes:
        ours = process.pid in family
        command = tr("gpu.host_pid") if process.name is None else process.name
        mark = f"● {tr('gpu.ours')}  " if ours else ""
        row = f"  {process.pid:<9}{'':2}{left((process.user or UNKNOWN)[:11], 12)}{gib(process.mib):>7}  "
        room = max(10, width - cell_len(row) - cell_len(mark))
        lines.append(row + mark, "bold" if ours else "")
        lines.append(f"{cut(command, room)}\n", "bold" if ours else "dim")


def _line(lines: Text, name: str, words: str, *, loud: bool = False) -> None:
    lines.append(f"  {left(name, _LABEL)}", "dim")
    lines.append(f"{'! ' if loud else ''}{words}\n", "bold red" if loud else "")


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}"


def _gib(value: float) -> str:
    return gib(value / 2**20)


_HISTORY_LABEL = 22


def history_block(history: SystemHistory, run: str, width: int) -> Text:
    """Every figure over the whole run: its course, least and most."""
    if not history.times:
        return Text(tr("gpu.no_history"), "dim")
    took = duration(history.times[-1] - history.times[0])
    text = Text(f"{tr('gpu.history', run=run, took=took)}\n", "bold")
    for figure in figures_in(history.columns):
        _, values = figure.over_time(history)
        if values and max(values) > 0:
            text.append(left(f"  {figure_label(figure)}", _HISTORY_LABEL), "dim")
            text.append(sparkline(_shortened(values, 2 * _cells(width)), max(values), _cells(width)))
            text.append(f"  {with_unit(f'{min(values):.4g}–{max(values):.4g}', figure.unit)}\n")
    return text


def _cells(width: int) -> int:
    return max(10, min(80, width - _HISTORY_LABEL - 22))


def _shortened(values: Sequence[float], most: int) -> tuple[float | None, ...]:
    """At most so many, each the largest of its part: peaks stay."""
    if len(values) <= most:
        return tuple(values)
    edges = [place * len(values) // most for place in range(most + 1)]
    return tuple(max(values[first:last]) for first, last in pairwise(edges))
