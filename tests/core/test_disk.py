from diffbev_engine.core.disk import disk_is_low, free_bytes
from diffbev_engine.findings import failure
from diffbev_engine.findings.failure import FailureContext, disk_full

GIB = 2**30


def test_a_disk_with_room_for_less_than_three_checkpoints_is_low():
    assert disk_is_low(2 * GIB, GIB)
    assert not disk_is_low(4 * GIB, GIB)
    assert disk_is_low(GIB - 1, None)


def test_the_doctor_asks_the_same_of_the_disks_of_a_failure(tmp_path, monkeypatch):
    context = FailureContext(workspace=tmp_path)
    monkeypatch.setattr(failure, "free_bytes", lambda _: 400 * 2**20)
    assert disk_full(context).en == f"{tmp_path}: 400 MiB free"
    monkeypatch.setattr(failure, "free_bytes", lambda _: 40 * GIB)
    assert disk_full(context) is None


def test_a_directory_that_is_gone_has_no_free_space_to_tell(tmp_path):
    assert free_bytes(tmp_path / "gone") is None
