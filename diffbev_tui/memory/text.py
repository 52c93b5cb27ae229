"""The words and bars of the memory screen."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from diffbev_engine.core.format import UNKNOWN, mib_size
from diffbev_engine.findings.command import PROGRAM
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.findings.memory.curve import MemoryCurve
from diffbev_tui.format import bar
from diffbev_tui.i18n import language, tr
from diffbev_tui.memory.state import MemoryCase, Part

_FILLS = {"torch": "█", "unused": "▓", "context": "▒", "others": "▤", "free": "░"}
"""The share of each part is told by its pattern, and by its colour."""
_COLOURS = {"torch": "#56B4E9", "unused": "#E69F00", "context": "#999999", "others": "#CC79A7", "free": "dim"}
_MOST_NAME = 80


@dataclass(frozen=True)
class Chosen:
    """The marked remedy, and whether what it changes is shown."""

    number: int
    difference: bool


def crash_page(case: MemoryCase, chosen: Chosen, width: int) -> Text:
    """After the GPU ran out of memory: what was asked, who held it, what to do."""
    page = Text()
    _head(page, case)
    _memory_bar(page, *case.parts(), width)
    _others(page, case)
    _curve(page, case.curve)
    _remedies(page, case, chosen)
    return page


def host_page(case: MemoryCase, chosen: Chosen) -> Text:
    """After the kernel killed a run because host memory ran out."""
    page = Text()
    page.append("! ", "bold red")
    page.append(tr("memory.host_crashed", run=Path(case.run.path).name) + "\n", "bold")
    page.append(f"{case.run.message}\n\n")
    page.append(tr("memory.host_what") + "\n")
    _remedies(page, case, chosen)
    return page


def calm_page(case: MemoryCase, *, can: bool = True) -> Text:
    """Memory did not run out, as far as anyone knows: memory by batch size, or how to measure it."""
    killed = case.kind == "killed"
    page = Text(tr("memory.killed" if killed else "memory.calm", run=Path(case.run.path).name) + "\n")
    if killed:
        page.append(f"{case.run.message}\n")
    _curve(page, case.curve)
    if case.curve is None:
        command = shlex.join(case.measure) or f"{PROGRAM} memory CONFIG --work-dir {case.run.path}"
        page.append(
            "\n"
            + tr("memory.measure" if can and case.measure else "memory.measure_yourself", command=command)
            + "\n",
            "dim",
        )
        page.append(tr("memory.measure_why") + "\n", "dim")
    return page


def differences(remedy: Remedy) -> list[str]:
    """The settings and variables that a remedy sets."""
    return [*remedy.overrides, *(f"{name}={value}" for name, value in remedy.environment.items())]


def bar_of(parts: Sequence[Part], total: float, width: int) -> list[tuple[str, int]]:
    """(part, cells) that fill ``width`` in all; nothing that exists gets less than one cell."""
    known = sum(part.mib for part in parts)
    scale = width / max(total, known)
    cells = {part.name: max(1, round(part.mib * scale)) for part in parts}
    while sum(cells.values()) > width and max(cells.values()) > 1:
        cells[max(cells, key=lambda name: cells[name])] -= 1
    return list(cells.items())


def _head(page: Text, case: MemoryCase) -> None:
    report, run = case.report, Path(case.run.path).name
    happened = tr("memory.crashed", run=run)
    if "step" in report:
        happened = tr("memory.crashed_at", run=run, step=f"{report['step']:,}")
    page.append("! ", "bold red")
    page.append(f"{happened}{_circumstances(report)}\n", "bold")
    if case.parsed is not None:
        asked, free, total = case.parsed.requested, case.parsed.free, case.parsed.capacity
        page.append(
            tr("memory.asked", asked=mib_size(asked), free=mib_size(free), total=mib_size(total)) + "\n"
        )
        if case.parsed.spilled:
            page.append(tr("memory.spilled") + "\n", "bold")
    page.append("\n")


def _circumstances(report: Mapping[str, Any]) -> str:
    """Phase, batch size, precision and compilation, as far as they are known."""
    facts, compiled = [], report.get("compile")
    if phase := report.get("phase"):
        facts.append(tr("memory.in_phase", phase=phase))
    if batch := (report.get("batch") or {}).get("samples_per_gpu"):
        facts.append(tr("memory.with_batch", batch=batch))
    if precision := report.get("precision"):
        facts.append(str(precision))
    if compiled is not None:
        facts.append("eager" if compiled == "off" else tr("memory.compiled", what=compiled))
    colon, comma = ("：", "，") if language() == "zh" else (": ", ", ")
    return colon + comma.join(facts) if facts else ""


def _memory_bar(page: Text, parts: list[Part], total: float | None, width: int) -> None:
    if not parts or not total:
        return
    for name, cells in bar_of(parts, total, max(20, min(width, 100))):
        page.append(_FILLS[name] * cells, _COLOURS[name])
    page.append("\n")
    line = 0
    for part in parts:
        words = f"{_FILLS[part.name]} {tr('memory.part_' + part.name)} {mib_size(part.mib)}"
        if line and line + cell_len(words) > width:
            page.append("\n")
            line = 0
        page.append(words[0], _COLOURS[part.name])
        page.append(words[1:] + "   ")
        line += cell_len(words) + 3
    page.append("\n")


def _others(page: Text, case: MemoryCase) -> None:
    users = {one.get("pid"): one.get("user") for one in case.report.get("processes") or ()}
    others = case.report.get("others") or ()
    for one in others:
        pid, name = one.get("pid"), one.get("name") or tr("memory.name_hidden")
        user = users.get(pid) or UNKNOWN
        page.append(f"    pid {pid}  {user}  {mib_size(one.get('mib'))}  {name[:_MOST_NAME]}\n", "dim")


def _curve(page: Text, curve: MemoryCurve | None) -> None:
    if curve is None or not curve.points:
        return
    page.append("\n" + tr("memory.curve", device=curve.device) + "\n", "bold")
    most = max((point.peak or 0.0 for point in curve.points), default=0.0) or 1.0
    for point in sorted(curve.points, key=lambda point: point.batch):
        planned = tr("memory.planned") if point.batch == curve.planned else ""
        if point.peak is None:
            page.append(f"  {point.batch:>4}  ! {tr('memory.does_not_fit')}  {planned}\n", "bold")
        else:
            page.append(
                f"  {point.batch:>4}  {bar(point.peak / most, 20)}  {mib_size(point.peak)}  {planned}\n"
            )
    if curve.largest is not None:
        page.append("  " + tr("memory.largest", batch=curve.largest) + "\n")


def _remedies(page: Text, case: MemoryCase, chosen: Chosen) -> None:
    page.append("\n" + tr("memory.what_to_do") + "\n", "bold")
    if not case.remedies:
        page.append("  " + tr("memory.no_remedies") + "\n")
        return
    spoken = language()
    for number, remedy in enumerate(case.remedies):
        marked = number == chosen.number
        mark = "▶" if marked else " "
        page.append(f" {mark} {number + 1} {remedy.text[spoken]}\n", "bold" if marked else "")
        words = tr("memory.saves_and_costs", saving=remedy.saving[spoken], cost=remedy.changes[spoken])
        page.append(f"      {words}\n", "dim")
        if chosen.difference and marked:
            lines = differences(remedy) or [tr("memory.no_setting")]
            page.append("".join(f"      + {line}\n" for line in lines), "green")
    words = tr("memory.resume_from", checkpoint=case.checkpoint) if case.checkpoint else tr("memory.restart")
    page.append("\n" + words + "\n", "dim")
