"""Whatever the state files hold is a finding about their run: nothing raises, the other runs are listed."""

import json
import math
import os
from dataclasses import asdict

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbev_engine.cli.runs import command
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.launch import Launch
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import RunState, RunStatus
from diffbev_engine.runs.verdict import RunCondition

_ME = asdict(identify())
_LAUNCH = Launch(
    "1", ("train",), "/", {"OMP_NUM_THREADS": "1"}, "console_1.log", 1.7e9, identify(), identify()
)
FILES = {
    "run.json": {
        **{"started": "2026-01-01T00:00:00+00:00", "cwd": "/", "config_path": "c.py", "process": _ME},
        **{"arguments": {"config": "c.py", "gpu_ids": [0], "overrides": ["a=1"]}, "launch": "1"},
        **{"config": {"log_config": {"interval": 50}, "runner": {"max_iters": 9}}, "world_size": 1},
    },
    "status.json": {
        **asdict(RunStatus(RunState.TRAINING, 100, step=5, updated=1.7e9, message="m", it_per_s=2.0)),
        **{"median_step_s": 0.5, "monotonic": 1.0, "idle_s": 0.0, "process": _ME, "best_miou": 0.1},
    },
    "launch.json": {**asdict(_LAUNCH), "ended": 1.7e9, "exit_code": 1, "message": "m"},
    "run.lock": {**_ME, "since": 1.7e9, "command": ["train"], "launch": "1"},
    "stop.json": {"process": _ME, "requested": 1.7e9, "by": "host"},
}
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**400, 1e300, -1e300, math.nan, math.inf, 5.5, 1e11]),
    st.sampled_from(["", "\x00", "\x1b]52;c;eA==\x07", "\ud800", "../../etc/passwd", "9" * 5000, "训练"]),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)
ANYTHING = st.recursive(
    _SCALARS, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some, max_size=3)
)


def _fields(value, path=()):
    """The path of every field, those of nested objects too."""
    yield path
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _fields(child, (*path, key))


def _with(content, path, value):
    if not path:
        return value
    return {**content, path[0]: _with(content[path[0]], path[1:], value)}


FIELDS = [(name, path) for name, content in FILES.items() for path in _fields(content)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    (root / "good").mkdir()
    status = RunStatus(RunState.FINISHED, 10, step=10, updated=1.7e9)
    (root / "good/status.json").write_text(json.dumps(asdict(status)))
    (root / "odd").mkdir()
    return root


def _listed(root):
    for options in ([], ["--json"]):
        result = CliRunner().invoke(command, ["list", str(root), *options])
        assert result.exception is None, result.exception
        assert "good" in result.output
        assert "odd" in result.output
        assert "\x1b]" not in result.output
        assert "\x00" not in result.output
    shown = CliRunner().invoke(command, ["show", str(root / "odd")])
    assert shown.exception is None, shown.exception
    return inspect_run(root / "odd")


@settings(deadline=None)
@given(field=st.sampled_from(FIELDS), value=ANYTHING, missing=st.sets(st.sampled_from(sorted(FILES))))
def test_any_value_at_any_field(root, field, value, missing):
    name, path = field
    for file in (root / "odd").iterdir():
        file.unlink()
    for other in FILES.keys() - missing:
        (root / "odd" / other).write_text(json.dumps(FILES[other]))
    (root / "odd" / "status.json").touch()  # a run in any case
    (root / "odd" / name).write_text(json.dumps(_with(FILES[name], path, value)))
    _listed(root)


def test_hostile_values_at_every_field(folder):
    hostile = (None, True, -1, 10**400, 1e300, math.nan, "\x00", "\ud800", "../..", [], {}, [[None]])
    for name, content in FILES.items():
        (folder.path / name).write_text(json.dumps(content))
    for name, path in FIELDS:
        file = folder.path / name
        for value in hostile:
            file.write_text(json.dumps(_with(FILES[name], path, value)))
            json.dumps(inspect_run(folder.path).to_json(), allow_nan=False)
        file.write_text(json.dumps(FILES[name]))


def test_files_that_are_no_json_at_all(root):
    whole = json.dumps(FILES["status.json"])
    for content, words in (
        (b"", "status.json is damaged: it is empty"),
        (b"\x00" * 300, "status.json is damaged: it is not JSON"),
        (whole[:40].encode(), "status.json is damaged: it is not JSON"),
        (whole.encode("utf-16"), "status.json is damaged: it is not UTF-8 text"),
        (b"null", "status.json is damaged: Expected `object`, got `null`"),
        (whole.replace('"max_iters": 100', '"max_iters": null').encode(), "Expected `int`, got `null`"),
        (b"[" * 100_000, "status.json is damaged"),
        (b'{"state": "dancing", "max_iters": 1}', "Invalid enum value 'dancing'"),
    ):
        for file in (root / "odd").iterdir():
            file.unlink()
        (root / "odd/status.json").write_bytes(content)
        report = _listed(root)
        assert words in report.message, content[:50]
        assert report.damaged
        assert report.state is RunCondition.UNKNOWN


def test_names_and_messages_reach_no_terminal_as_commands(tmp_path):
    run = tmp_path / "a\x1b]52;c;eA==\x07b\x1b[2J"
    run.mkdir()
    status = RunStatus(RunState.FAILED, 10, updated=1.7e9, message="bad \x1b]0;title\x07news\x9b31m")
    (run / "status.json").write_text(json.dumps(asdict(status)))
    for arguments in (["list", str(tmp_path)], ["show", str(run)]):
        output = CliRunner().invoke(command, arguments).output
        assert "bad news" in output
        assert not {"\x1b", "\x07", "\x9b"} & set(output)


def test_what_is_no_file_is_not_waited_for(folder):
    os.mkfifo(folder.status)
    folder.manifest.mkdir()
    assert len(inspect_run(folder.path).damaged) == 2


def test_a_damaged_status_does_not_hide_that_the_run_is_alive(folder):
    folder.manifest.write_text(json.dumps(FILES["run.json"]))
    folder.status.write_text("{")
    report = inspect_run(folder.path)
    assert report.state is RunCondition.RUNNING
    assert "status.json is damaged" in report.message


def test_files_of_the_first_version_are_read(tmp_path):
    """As commit a41783c wrote them, keys that nobody reads included."""
    folder = RunFolder(tmp_path)
    status = {
        "state": "training",
        "max_iters": 100,
        "step": 50,
        "updated": 1.7e9,
        "message": "",
        "evaluated": None,
    }
    status |= {"it_per_s": 2.0, "images_per_s": 8.0, "data_wait": 0.1, "eta_s": 25.0, "gpu_mem_mb": None}
    status |= {"last_checkpoint": "iter_50.pth", "last_miou": 0.1, "best_miou": 0.2, "best_step": 40}
    manifest = {**FILES["run.json"], "pid": 3, "pid_started": 1.0, "git": None, "versions": {"torch": "2"}}
    folder.status.write_text(json.dumps(status))
    folder.manifest.write_text(json.dumps({**manifest, "process": {**_ME, "start": 1.0}, "launch": None}))
    report = inspect_run(tmp_path)
    assert (report.state, report.step, report.best_miou, report.damaged) == (RunCondition.DEAD, 50, 0.2, ())
