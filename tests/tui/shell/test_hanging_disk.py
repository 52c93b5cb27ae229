"""A file that never answers, as on a dead network disk: the UI in a real terminal goes on and says so."""

from pathlib import Path

import pytest

from tests.benchmarks.tui.terminal import Terminal
from tests.benchmarks.tui.workspace import add_run, bench_workspace


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "hanging_disk"))
    with bench_workspace() as bench:
        yield bench


def _hang(path):
    """From now on, opening it never returns."""
    Path(f"{path}.hangs").touch()


def _looks_around(terminal: Terminal) -> None:
    terminal.press("3")
    terminal.until(lambda screen: "Host" in screen.text)
    terminal.press("?")
    terminal.until(lambda screen: "All screens" in screen.text)
    terminal.press("?")
    terminal.until(lambda screen: "All screens" not in screen.text)
    terminal.press("2")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["status.json", "run.json"])
def test_a_run_that_does_not_answer_holds_nothing_up(name, bench):
    run = add_run(bench, "run", rows=100, running=True)
    with bench.open() as terminal:
        terminal.until(lambda screen: "training run" in screen.rows[0])
        _hang(run.path / name)
        _looks_around(terminal)
        terminal.until(lambda screen: " all " in screen.rows[2])
        terminal.until(lambda screen: "disk not responding" in screen.rows[0])


@pytest.mark.slow
def test_a_start_on_a_disk_that_does_not_answer_still_shows_screens(bench):
    run = add_run(bench, "run", rows=100, running=True)
    _hang(run.status)
    with bench.open() as terminal:
        terminal.until(lambda screen: "1 Runbook" in screen.rows[1])
        _looks_around(terminal)
        terminal.until(lambda screen: "disk not responding" in screen.rows[0])
        terminal.press("q")
        assert terminal.ended(20)


@pytest.mark.slow
def test_metrics_that_do_not_answer_hold_only_the_charts_up(bench):
    run = add_run(bench, "run", rows=100, running=True)
    _hang(run.metrics)
    with bench.open() as terminal:
        terminal.until(lambda screen: "training run" in screen.rows[0])
        terminal.press("2")
        terminal.until(lambda screen: "disk not responding" in screen.rows[2])
        for key, words in (("s", "smoothing 0.6"), ("e", "log scale")):
            terminal.press(key)
            terminal.until(lambda screen, words=words: words in screen.rows[2])
        terminal.press("1")
        terminal.until(lambda screen: "Next:" in screen.rows[2])
