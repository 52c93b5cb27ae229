"""A campaign under fire: trainings one after another, each to its end, a random fault at every interval."""

import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from psutil import NoSuchProcess, Process

from tests.faults.injections import (
    Clock,
    failing,
    full,
    moved_away,
    read_only,
    replaced,
    small_disk,
    suspended,
)
from tests.faults.lab import Lab, NotHere, Training

_FAULTS_PER_RUN = 4
_HURT_S = 5.0
_ENOUGH = 5
"""Starts in a row without an iteration; such a run will not finish."""
_DISK_MIB = 96


@dataclass
class Campaign:
    """What has happened so far."""

    lab: Lab
    clock: Clock | None
    faults: Counter[str] = field(default_factory=Counter)
    lost: dict[str, int] = field(default_factory=dict)
    """The most iterations that were done again after one fault, by kind."""
    resumes: int = 0
    runs: int = 0
    not_equal: list[str] = field(default_factory=list)
    not_here: dict[str, str] = field(default_factory=dict)


Injection = Callable[[Campaign, Training], AbstractContextManager[None]]


@contextmanager
def _sent(training: Training, number: signal.Signals) -> Iterator[None]:
    training.kill(number)
    yield


@contextmanager
def _clock_set(campaign: Campaign, seconds: int) -> Iterator[None]:
    if campaign.clock is None:
        raise NotHere("no clock that can be set")
    campaign.clock.set(seconds)
    yield
    campaign.clock.set(0)


@contextmanager
def _killed(process: Process) -> Iterator[None]:
    process.kill()
    yield


def _some_image(campaign: Campaign) -> Path:
    return campaign.lab.random.choice(sorted((campaign.lab.root / "img_dir/train").glob("*.jpg")))


INJECTIONS: dict[str, Injection] = {
    "kill -9": lambda _, training: _sent(training, signal.SIGKILL),
    **{
        number.name: (lambda _, training, number=number: _sent(training, number))  # type: ignore[misc]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    },
    "training suspended": lambda _, training: suspended(training.pid),
    "watcher killed": lambda _, training: _killed(training.watcher()),
    "loader killed": lambda _, training: _killed(training.workers()[0]),
    "loader suspended": lambda _, training: suspended(training.workers()[0].pid),
    "disk full": lambda _, training: full(training.folder.path.parent),
    "disk nearly full": lambda _, training: full(training.folder.path.parent, left=1 << 20),
    "disk read-only": lambda _, training: read_only(training.folder.path),
    "run directory moved": lambda _, training: moved_away(training.folder.path),
    "input/output error": lambda _, training: failing(training.pid, "fsync", "EIO"),
    "image truncated": lambda campaign, _: replaced(_some_image(campaign), by="truncated"),
    "image does not answer": lambda campaign, _: replaced(_some_image(campaign), by="fifo"),
    "clock set back": lambda campaign, _: _clock_set(campaign, -3600),
    "clock set forward": lambda campaign, _: _clock_set(campaign, 3600),
}


def soak(lab: Lab, seconds: float, every_s: float) -> tuple[str, bool]:
    """Run the campaign for ``seconds``; returns its summary and whether every end was bit-equal."""
    campaign = Campaign(lab, _clock(lab))
    iterations = _iterations(lab, min(every_s * _FAULTS_PER_RUN, seconds / 2))
    lab.reference(iterations)
    with _place(lab) as place:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            _one_run(campaign, place / f"run_{campaign.runs}", iterations, every_s)
    return _summary(campaign, iterations), not campaign.not_equal


@contextmanager
def _place(lab: Lab) -> Iterator[Path]:
    try:
        with small_disk(lab, _DISK_MIB) as disk:
            yield disk
    except NotHere:  # then it is not filled either
        yield lab.home


def _clock(lab: Lab) -> Clock | None:
    try:
        return Clock(lab)
    except NotHere:
        return None


def _iterations(lab: Lab, seconds: float) -> int:
    """How many take so long here."""
    training = lab.train(iterations=10_000).reaches(10)
    before, since = training.done(), time.monotonic()
    time.sleep(5)
    speed = (training.done() - before) / (time.monotonic() - since)
    training.end()
    return max(100, round(speed * seconds / 100) * 100)


def _one_run(campaign: Campaign, run: Path, iterations: int, every_s: float) -> None:
    """One training to its end, resumed whenever it has ended before it."""
    options = {"launcher": (), "environment": campaign.clock.environment} if campaign.clock else {}
    training = campaign.lab.train(run, iterations=iterations, **options)
    due, last, done, in_vain, counted = time.monotonic() + every_s, "", 0, 0, True
    while (code := training.poll()) != 0 and in_vain < _ENOUGH:
        time.sleep(0.2)
        if code is not None:
            in_vain = 0 if training.done() else in_vain + 1
            done, training = max(done, training.done()), training.resumed(**options)
            campaign.resumes += 1
            counted = False
        elif training.poll() is None and time.monotonic() >= due and training.done():
            last, due = _injected(campaign, training), max(due, time.monotonic() - _HURT_S) + every_s
        if not counted and (at := training.resumed_at()) is not None:
            counted = True  # of the fault that ended the run, not of those that follow
            campaign.lost[last] = max(campaign.lost.get(last, 0), done - at)
    campaign.runs += 1
    try:
        training.has_finished()
    except AssertionError as error:
        campaign.not_equal.append(f"run {campaign.runs}: {str(error).splitlines()[0]}")
        _note(f"{error}")
    _note(f"run {campaign.runs} has finished; failures so far: {len(campaign.not_equal)}")
    shutil.rmtree(run, ignore_errors=True)  # the process that watched it may still write


def _note(words: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {words}", err=True)


def _injected(campaign: Campaign, training: Training) -> str:
    """Inject one fault at random, for some seconds; returns its name."""
    kinds = [name for name in INJECTIONS if name not in campaign.not_here]
    fewest = min(campaign.faults[name] for name in kinds)
    name = campaign.lab.random.choice([name for name in kinds if campaign.faults[name] == fewest])
    try:
        with INJECTIONS[name](campaign, training):
            campaign.faults[name] += 1
            time.sleep(_HURT_S)
    except NotHere as reason:
        campaign.not_here[name] = str(reason)
    except (ProcessLookupError, NoSuchProcess, IndexError):  # it has just ended
        pass
    _note(f"{name}, iteration {training.done()}")
    return name


def _summary(campaign: Campaign, iterations: int) -> str:
    lines = [
        f"{campaign.runs} runs of {iterations:,} iterations, {sum(campaign.faults.values())} faults, "
        f"{campaign.resumes} resumes; end bit-equal to an undisturbed run of the same seed: "
        f"{campaign.runs - len(campaign.not_equal)} of {campaign.runs}.",
        *(f"NOT EQUAL: {words}" for words in campaign.not_equal),
        "",
        "| fault | times | iterations lost at most |",
        "|---|---|---|",
        *(f"| {name} | {count} | {campaign.lost.get(name, 0)} |" for name, count in campaign.faults.items()),
        *(f"| {name} | – | not run here: {why} |" for name, why in campaign.not_here.items()),
    ]
    return "\n".join(lines)


def seconds_of(text: str) -> float:
    """``90s``, ``20m`` or ``1h`` in seconds."""
    units = {"s": 1, "m": 60, "h": 3600}
    try:
        return float(text[:-1]) * units[text[-1]]
    except (KeyError, ValueError, IndexError):
        raise click.BadParameter(f"{text!r} is not a duration such as 20m or 1h") from None
