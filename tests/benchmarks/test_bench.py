"""That each part measures; how fast the machine is says nothing here."""

import json
import math
import subprocess
import sys

import pytest

from tests.benchmarks.tui.__main__ import PARTS
from tests.benchmarks.tui.keys import Press, mix
from tests.benchmarks.tui.monitor import curves
from tests.benchmarks.tui.screen import Screen
from tests.benchmarks.tui.terminal import Terminal, TooSlow

QUIET = {"first_paint", "empty_paint", "paint_ratio", "keys", "idle_running", "app_memory", "watched"}


@pytest.mark.slow
def test_every_part_gives_figures():
    command = [sys.executable, "-m", "tests.benchmarks.tui", "--quick", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    figures = {one["name"]: one for one in json.loads(ended.stdout)["figures"]}
    assert figures.keys() >= QUIET
    assert all(one["value"] is not None and math.isfinite(one["value"]) for one in figures.values())
    assert all(figures[name]["value"] > 0 for name in QUIET - {"watched", "idle_running"})
    assert figures["app_memory"]["value"] > 10


def test_parts_can_be_chosen_by_name():
    command = [sys.executable, "-m", "tests.benchmarks.tui", "nonsense"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert all(part in ended.stderr for part in PARTS)


def test_a_program_is_watched_until_it_says_something():
    program = "import time; print('one'); time.sleep(0.2); print('two', flush=True); input(); print('three')"
    with Terminal([sys.executable, "-c", program], {}, (20, 5)) as terminal:
        assert terminal.until(lambda screen: "two" in screen.text) > terminal.started
        assert terminal.memory_mb > 1
        terminal.press("\r")
        assert terminal.until(lambda screen: "three" in screen.text) > terminal.pressed
        assert terminal.ended(30)


def test_a_program_that_ends_early_is_not_waited_for():
    with (
        Terminal([sys.executable, "-c", "print('bye')"], {}, (20, 5)) as terminal,
        pytest.raises(TooSlow, match="bye"),
    ):
        terminal.until(lambda screen: "never" in screen.text, 60)


def test_keys_go_around_and_come_back_to_the_charts():
    presses = mix()
    cycles = [[next(presses) for _ in range(30)] for _ in range(5)]
    assert {press.kind for press in cycles[0]} == {"charts", "screens", "rows", "help"}
    assert all(isinstance(press, Press) for press in cycles[0])
    assert {cycle[20].key for cycle in cycles} == set("34567")


def test_charts_are_counted_by_their_curves():
    screen = Screen(20, 20)
    assert curves(screen) == 0
    screen.feed("\x1b[5;3H⠧".encode())
    assert curves(screen) == 1
    screen.feed("\x1b[5;15H⠧\x1b[11;3H⠧".encode())
    assert curves(screen) == 3
