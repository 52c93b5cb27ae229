"""``status.json`` is always whole, and written when it matters."""

import json

from diffbev_engine.runs.status import RunState, StatusWriter


def test_a_change_of_state_is_written_at_once(tmp_path):
    path = tmp_path / "status.json"
    writer = StatusWriter(path, max_iters=10, interval_s=1e9)
    assert json.loads(path.read_text())["state"] == "starting"
    writer.update(state=RunState.TRAINING, step=3)
    writer.update(step=4)
    written = json.loads(path.read_text())
    assert (written["state"], written["step"], written["max_iters"]) == ("training", 3, 10)
    assert writer.current.step == 4


def test_a_full_disk_does_not_end_the_run(tmp_path):
    path = tmp_path / "run" / "status.json"
    path.parent.mkdir()
    writer = StatusWriter(path, max_iters=10, interval_s=0)
    path.unlink()
    path.parent.rmdir()  # as good as unwritable, for root too
    writer.update(state=RunState.TRAINING, step=3)
    path.parent.mkdir()
    writer.update(step=4)
    assert json.loads(path.read_text())["step"] == 4


def test_other_changes_wait_for_the_interval(tmp_path):
    path = tmp_path / "status.json"
    writer = StatusWriter(path, max_iters=10, interval_s=0)
    writer.update(step=7, eta_s=1.5)
    assert json.loads(path.read_text())["eta_s"] == 1.5
    assert [child.name for child in tmp_path.iterdir()] == ["status.json"]
