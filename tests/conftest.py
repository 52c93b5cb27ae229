import gc
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite runs in parallel processes already

import hypothesis
import pytest

from diffbev_engine.cli.main import main
from diffbev_engine.config.settings import Settings
from tests.tiny import save_weights, tiny_settings_for, trained, write_tiny_root

gc.set_threshold(50_000, 20, 100)  # torch, Textual and the rest stay; looking through them takes long

# The same few examples on every machine and in every run; `HYPOTHESIS_PROFILE=thorough` looks for new ones.
hypothesis.settings.register_profile("few", max_examples=25, deadline=None, derandomize=True)
hypothesis.settings.register_profile("thorough", max_examples=500, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))

_DEFAULT_SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "nuscenes"


_SLOW_S = 15
"""What a slow test takes that does not say how long it does."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, the longest before all: for one that begins last, all others wait.

    pytest-xdist gives each process one piece of the list, so each piece begins with its share of them;
    those of one file stay together, for they share fixtures.
    """
    files: dict[Path, list[pytest.Item]] = {}
    seconds: dict[Path, float] = {}
    for item in items:
        if marker := item.get_closest_marker("slow"):
            files.setdefault(item.path, []).append(item)
            seconds[item.path] = seconds.get(item.path, 0) + next(iter(marker.args), _SLOW_S)
    longest_first = [files[path] for path in sorted(files, key=lambda path: -seconds[path])]
    others = [item for item in items if not item.get_closest_marker("slow")]
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    pieces = [[item for file in longest_first[at::processes] for item in file] for at in range(processes)]
    size = -(-len(items) // processes)
    items.clear()
    for piece in pieces:
        rest = max(size - len(piece), 0)
        items += [*piece, *others[:rest]]
        del others[:rest]
    items += others


def pytest_collection_finish() -> None:
    """What was imported stays; no collection has to look through it again."""
    gc.collect()
    gc.freeze()


Program = Callable[..., tuple[int, str]]


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs ``diffbev-engine ARGUMENTS`` in this process; returns its exit code and all that it printed.

    An exception that users would see as a traceback is the test's own.
    """

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["diffbev-engine", *map(str, arguments)])
        monkeypatch.setenv("GOMP_SPINCOUNT", "2000")  # the program sets it; not for the tests that follow
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def nuscenes_sample() -> Path:
    """Two real nuScenes scenes (CC BY-NC-SA 4.0, so never part of this repository)."""
    root = Path(os.environ.get("DIFFBEV_NUSCENES_SAMPLE", _DEFAULT_SAMPLE))
    if not (root / "v1.0-mini").is_dir():
        pytest.skip(f"no nuScenes sample at {root}; set DIFFBEV_NUSCENES_SAMPLE to a nuScenes root")
    return root


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of 8 training and 5 validation images, written by the project's own writers."""
    return write_tiny_root(tmp_path_factory.mktemp("tiny_root"))


@pytest.fixture(scope="session")
def tiny_settings(tiny_root: Path) -> Settings:
    """A network that trains in milliseconds, in full precision on one CPU."""
    return tiny_settings_for(tiny_root)


@pytest.fixture
def diffusion_settings(tiny_settings):
    """The tiny network with diffusion; without attention, which a CPU takes seconds for."""
    diffusion = {"widths": (8, 8, 8), "blocks": 1, "groups": 4, "steps": 2, "fusion": {"type": "add"}}
    content = tiny_settings.model_dump()
    content["model"]["diffusion"] = diffusion
    return type(tiny_settings).model_validate(content)


@pytest.fixture
def saved(tmp_path):
    """Writes a configuration and a checkpoint of ``trained`` settings; returns both paths."""
    from diffbev_engine.config.load import dump_config

    def save(settings):
        config = tmp_path / "tiny.py"
        config.write_text(dump_config(settings))
        return config, save_weights(trained(settings), tmp_path / "run", settings)

    return save
