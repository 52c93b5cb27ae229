import subprocess
import sys
import threading
from dataclasses import dataclass

from textual.app import App
from textual.message import Message

from diffbev_engine.core.errors import UsageError
from diffbev_tui.threads import JobFailed, RunInThread
from tests.tui.app import until


@dataclass
class Answered(Message):
    number: int


class Asking(RunInThread, App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.answers: list[int] = []
        self.failures: list[str] = []

    def on_answered(self, message: Answered) -> None:
        self.answers.append(message.number)

    def on_job_failed(self, message: JobFailed) -> None:
        self.failures.append(f"{message.key}: {message.words}")


async def test_while_a_job_runs_only_the_newest_of_its_key_waits():
    go = threading.Event()
    app = Asking()
    async with app.run_test() as pilot:
        app.run_in_thread("read", lambda: go.wait(20) and 0, Answered)
        for number in range(1, 6):
            app.run_in_thread("read", lambda number=number: number, Answered)
        app.run_in_thread("other", lambda: 9, Answered)
        await until(pilot, lambda: app.answers == [9])
        assert app.busy_seconds("read") > 0
        assert app.busy_seconds("other") == 0
        go.set()
        await until(pilot, lambda: app.answers == [9, 0, 5])
        await until(pilot, lambda: not app.busy_seconds("read"))


async def test_a_job_that_raises_is_told_in_one_sentence():
    def fail(error: Exception) -> int:
        raise error

    app = Asking()
    async with app.run_test() as pilot:
        app.run_in_thread("init", lambda: fail(UsageError("give a directory")), Answered)
        await until(pilot, lambda: app.failures == ["init: give a directory"])
        app.run_in_thread("bug", lambda: fail(KeyError("x")), Answered)
        await until(pilot, lambda: app.failures[1:] == ["bug: KeyError: 'x'"])


def test_a_job_that_hangs_does_not_keep_the_program_from_ending():
    code = """
import time
from textual.app import App
from diffbev_tui.threads import RunInThread
class Hanging(RunInThread, App[None]):
    def on_mount(self):
        self.run_in_thread("disk", lambda: time.sleep(600), None)
        self.exit()
Hanging().run(headless=True)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
