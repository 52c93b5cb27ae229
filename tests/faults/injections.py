"""The faults of a machine, for as long as a block lasts: real mounts, real signals, real bytes."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.lab import Lab, NotHere

OWN_MOUNTS = "FAULTS_HAVE_OWN_MOUNTS"
"""Set in a process whose mounts nobody else sees, and which end with it."""

_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("FAULTS_CLOCK"), "r");
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (!result && clock == CLOCK_REALTIME) now->tv_sec += shift();
    return result;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec; out->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


def with_own_mounts() -> None:
    """Start this program again where its mounts are its own, if the system lets it."""
    if OWN_MOUNTS in os.environ or shutil.which("unshare") is None:
        return
    command = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
        os.environ[OWN_MOUNTS] = "1"
        os.execvp("unshare", [*command, sys.executable, "-m", "tests.faults", *sys.argv[1:]])


def system(*command: object) -> None:
    """Run a program of the system that must succeed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"


@contextmanager
def small_disk(lab: Lab, mib: int) -> Iterator[Path]:
    """A file system of its own of ``mib`` MiB, in memory."""
    if OWN_MOUNTS not in os.environ:
        raise NotHere("needs root or user namespaces, to mount a small disk")
    path = lab.new("disk")
    path.mkdir()
    system("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", path)
    try:
        yield path
    finally:
        system("umount", "-l", path)


@contextmanager
def full(disk: Path, left: int = 0) -> Iterator[None]:
    """Fill the disk up to ``left`` bytes."""
    if not os.path.ismount(disk):
        raise NotHere("only a disk of its own is filled")
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            _take_all(file.fileno(), disk, left)
        yield
    finally:
        filler.unlink()


def _take_all(descriptor: int, disk: Path, left: int) -> None:
    """Give a file the free space of ``disk`` but for ``left`` bytes; training takes some at the same time."""
    for pages in range(64):  # which the file system may need for itself
        free = os.statvfs(disk)
        size = os.fstat(descriptor).st_size + free.f_bavail * free.f_frsize - left - pages * free.f_frsize
        try:
            os.posix_fallocate(descriptor, 0, max(1, size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        else:
            return


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Whatever is opened below ``path`` from now on is on a read-only mount."""
    if OWN_MOUNTS not in os.environ:
        raise NotHere("needs root or user namespaces, to mount read-only")
    system("mount", "--bind", path, path)
    try:
        _remount_read_only(path)
        yield
    finally:
        system("umount", "-l", path)


def _remount_read_only(path: Path) -> None:
    """Make a mount read-only, between two writes: while a file is open for one, the system refuses."""
    deadline = time.monotonic() + 5.0
    while True:
        try:
            system("mount", "-o", "remount,bind,ro", path)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """``path`` has another name."""
    elsewhere = path.with_name(f"{path.name}_elsewhere")
    path.rename(elsewhere)
    try:
        yield
    finally:
        if path.exists():  # made anew meanwhile
            path.rename(path.with_name(f"{path.name}_anew"))
        elsewhere.rename(path)


@contextmanager
def failing(pid: int, calls: str, error: str) -> Iterator[None]:
    """System calls of a process fail; for programs that it starts too."""
    if shutil.which("strace") is None:
        raise NotHere("strace is not installed")
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={calls}"]
    tracer = subprocess.Popen([*command, "-e", f"inject={calls}:error={error}"], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 5
        while tracer.poll() is None and not _traced(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        if not _traced(pid):
            raise NotHere("strace cannot attach to a process here")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)


def _traced(pid: int) -> bool:
    return "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text()


@contextmanager
def replaced(path: Path, *, by: str) -> Iterator[None]:
    """The file is ``by``: a fifo (a read of which hangs), truncated, or gone."""
    kept = path.with_name(f"{path.name}.kept")
    path.rename(kept)
    try:
        if by == "fifo":
            os.mkfifo(path)
        elif by == "truncated":
            path.write_bytes(kept.read_bytes()[:300])
        yield
    finally:
        if by == "fifo":  # whoever waits for it reads on, to its end
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        kept.replace(path)


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """A process is stopped by SIGSTOP."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Clock:
    """A clock that can be set, for programs that are started with its environment."""

    def __init__(self, lab: Lab) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise NotHere("no C compiler (cc), to build a clock that can be set")
        self._shift = lab.new("clock")
        self.set(0)
        library = lab.home / "clock.so"
        if not library.exists():
            source = library.with_suffix(".c")
            source.write_text(_CLOCK)
            system(compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl")
        self.environment = {"LD_PRELOAD": str(library), "FAULTS_CLOCK": str(self._shift)}

    def set(self, seconds: int) -> None:
        """Set it ``seconds`` beside the right time."""
        temporary = self._shift.with_suffix(".new")
        temporary.write_text(f"{seconds}\n")
        temporary.replace(self._shift)
