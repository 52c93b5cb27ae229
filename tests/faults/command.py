"""The command: which faults, how often, and the table."""

import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import click

from diffbev_engine.core.files import write_text
from diffbev_engine.core.format import duration
from tests.faults import damage, machine, stops
from tests.faults.lab import Lab, NotHere, Result
from tests.faults.soak import seconds_of, soak

_ENOUGH = 3
"""Failures of one fault; more say nothing new."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and how it is made to."""

    name: str
    how: str
    inject: Callable[[Lab], Result]
    times: int = 10
    """Unless another number is asked for."""


FAULTS = (
    Fault("kill -9", "SIGKILL at a random moment, `--resume`, in chains of ten", stops.kill_chain, 50),
    Fault("kill -9 while saving", "SIGKILL once a checkpoint's `.tmp` is there", stops.kill_while_saving),
    Fault("signal in training", "SIGTERM, INT, HUP, USR1, USR2 in turn", stops.stop_in_training),
    Fault("signal in evaluation", "the same, evaluating 200 images", stops.stop_in_evaluation),
    Fault("signal at start", "the same, 0.2 to 4 s after `--resume`", stops.stop_at_start),
    Fault("signal, loader hangs", "the same, loader process under SIGSTOP", stops.stop_with_hanging_loader),
    Fault("hang-up under nohup", "SIGHUP", stops.hangup_under_nohup),
    Fault("second SIGTERM", "two within 50 ms", stops.second_signal),
    Fault("loader process killed", "SIGKILL", stops.worker_killed),
    Fault("loader process crashed", "SIGSEGV", stops.worker_crashed),
    Fault("loader process hangs", "SIGSTOP until training says so", stops.worker_hangs),
    Fault("training suspended", "SIGSTOP for 1 s", stops.process_suspended),
    Fault("watcher killed", "SIGKILL", stops.watcher_killed),
    Fault("supervisor killed", "SIGKILL, `train --detach`", stops.supervisor_killed),
    Fault("two starts in one directory", "at the same moment, and later", stops.two_starts),
    Fault("lock of another host", "`run.lock` with another host and boot", stops.foreign_lock),
    Fault(
        "disk full between saves",
        "tmpfs, filled until training says so",
        machine.full_between_checkpoints,
    ),
    Fault("disk full while saving", "tmpfs with 1 MiB left for 2 s", machine.full_while_saving),
    Fault("disk full, then SIGTERM", "tmpfs, filled; later freed", machine.full_to_the_end),
    Fault("disk read-only", "read-only mount over the run directory for 2 s", machine.read_only_disk),
    Fault("run directory moved", "renamed for 2 s", machine.directory_moved),
    Fault("run directory deleted", "`rm -r`; 2 s later SIGTERM", machine.directory_deleted),
    Fault("input/output error", "strace: `fsync` gives EIO for 2 s", machine.fsync_fails),
    Fault("over quota", "strace: `rename` gives EDQUOT for 2 s", machine.over_quota),
    Fault("image truncated", "300 bytes are left", machine.truncated_image),
    Fault("data unmounted", "`umount -l` of the data root", machine.data_unmounted),
    Fault("data does not answer", "a fifo for an image; SIGTERM", machine.hanging_image),
    Fault("clock set back", "by an hour for 8 iterations (LD_PRELOAD)", machine.clock_back),
    Fault("clock set forward", "by an hour for 8 iterations (LD_PRELOAD)", machine.clock_forward),
    Fault("no more memory", "RLIMIT_AS below what it has", machine.memory_limit),
    Fault("memory limit of a job", "systemd-run, MemoryMax", machine.cgroup_limit),
    *(
        Fault(f"file damaged: {name}", "each file of a crashed run in turn", inject)
        for name, inject in damage.DAMAGES.items()
    ),
)


@dataclass
class Row:
    """What became of one fault."""

    fault: Fault
    times: int = 0
    outcomes: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    not_here: str = ""

    def add(self, result: Result) -> None:
        """Count one more result."""
        self.times += result.times
        self.outcomes += [result.outcome] if result.outcome not in ("", *self.outcomes) else []
        self.seconds += [] if result.seconds is None else [result.seconds]
        self.lost += [] if result.lost is None else [result.lost]
        self.failures += result.failures

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """Fault, how, times, outcome, bound."""
        bound = [f"reaction ≤ {max(self.seconds):.1f} s"] if self.seconds else []
        bound += [f"≤ {max(self.lost)} iterations lost"] if self.lost else []
        if self.not_here:
            outcome = f"not run here: {self.not_here}"
        else:
            failed = (
                f"**failed {len(self.failures)}×**: {first_line(self.failures[0])}" if self.failures else ""
            )
            outcome = "; ".join(filter(None, [failed, *self.outcomes]))
        return self.fault.name, self.fault.how, str(self.times or "–"), outcome, ", ".join(bound) or "–"


def first_line(failure: str) -> str:
    """The start of a failure, for a cell."""
    return re.sub(r"[|\s]+", " ", failure.splitlines()[0] if failure else "")[:200]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[NAME…]")
@click.option("--times", type=click.IntRange(1), help="Injections per fault. [default: 10, kill -9: 50]")
@click.option("--quick", is_flag=True, help="Each once.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the table to this file, too.")
@click.option(
    "--soak",
    "soak_for",
    metavar="TIME",
    help="A campaign of this time instead, such as 1h.",
)
@click.option("--every", default="60s", show_default=True, help="With --soak: the time between two faults.")
@click.option("--iterations", default=100, show_default=True, help="Of one training.")
@click.option("--seed", default=0, show_default=True, help="Of the random moments.")
def main(
    names: tuple[str, ...],
    times: int | None,
    quick: bool,
    markdown: Path | None,
    soak_for: str | None,
    every: str,
    iterations: int,
    seed: int,
) -> None:
    """Inject the faults whose names contain NAME, all by default, and print a table.

    Exits with 1 if one of them did what it must not; what that training printed is shown.
    """
    chosen = [fault for fault in FAULTS if not names or any(name in fault.name for name in names)]
    if not chosen:
        raise click.UsageError(f"no such fault; choose from: {', '.join(fault.name for fault in FAULTS)}")
    home = Path(tempfile.mkdtemp(prefix="diffbev_faults_"))
    lab = Lab(home, seed, iterations)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
    try:
        if soak_for:
            text, well = soak(lab, seconds_of(soak_for), seconds_of(every))
        else:
            text, well = every_fault(lab, chosen, 1 if quick else times)
    finally:
        lab.tidy()
        shutil.rmtree(home, ignore_errors=True)
    text = f"{_machine()}\n\n{text}\n"
    click.echo(text)
    if markdown:
        write_text(markdown, text)
    sys.exit(0 if well else 1)


def every_fault(lab: Lab, faults: list[Fault], times: int | None) -> tuple[str, bool]:
    """Inject each; returns the table and whether all went well."""
    table = []
    for fault in faults:
        started = time.monotonic()
        row = run(lab, fault, times or fault.times)
        table.append(row)
        took = duration(time.monotonic() - started)
        click.echo(f"{fault.name}: {' | '.join(row.cells[2:])} ({took})", err=True)
    lines = ["| fault | how injected | times | outcome | bound |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row.cells)} |" for row in table]
    return "\n".join(lines), not any(row.failures for row in table)


def run(lab: Lab, fault: Fault, times: int) -> Row:
    """Inject one fault as often as wanted; three failures are enough."""
    row = Row(fault)
    while row.times < times and len(row.failures) < _ENOUGH:
        lab.wanted = times - row.times
        try:
            row.add(fault.inject(lab))
        except NotHere as reason:
            row.not_here = str(reason)
            break
        except AssertionError as error:
            row.add(Result("", failures=(str(error),)))
        except Exception:
            row.add(Result("", failures=("\n".join(reversed(traceback.format_exc().splitlines())),)))
        finally:
            lab.tidy()
    for failure in row.failures:
        click.echo(f"\n{fault.name}: {failure}\n", err=True)
    return row


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"{date.today()}, {platform.system()}, {cores} CPU cores, Python {platform.python_version()}:"
