"""The line through measured memory, what fits by it, and how the largest batch is searched."""

import json

import pytest

from diffbev_engine.bench import memory
from diffbev_engine.bench.memory import measure_memory
from diffbev_engine.core.host_memory import host_memory
from diffbev_engine.findings.memory.curve import MARGIN, MemoryPoint, fit_line, read_curve

CONFIG = "baseline/lss_swin_demo"


def _points(*pairs):
    return [MemoryPoint(batch, peak) for batch, peak in pairs]


def test_points_on_a_line_are_fitted_exactly():
    line = fit_line(_points((1, 1500.0), (2, 2000.0), (8, 5000.0)))
    assert (line.fixed, line.per_sample) == pytest.approx((1000, 500))
    assert (line.r2, line.worst) == pytest.approx((1, 0), abs=1e-9)
    assert line.largest(10_000) == int((10_000 * (1 - MARGIN) - 1000) / 500) == 16


def test_a_bad_fit_says_so():
    line = fit_line(_points((1, 1000.0), (2, 5000.0), (4, 1500.0)))
    assert line.r2 < 0.5
    assert line.worst > 1000


def test_points_that_did_not_fit_are_left_out():
    assert fit_line([*_points((1, 1000.0)), MemoryPoint(2, None)]) is None
    assert fit_line([*_points((1, 1000.0), (2, 1200.0)), MemoryPoint(4, 1300.0, retries=3)]).per_sample == 200


def test_a_falling_line_predicts_nothing():
    assert fit_line(_points((1, 1000.0), (2, 900.0))).largest(5000) is None


class _FakeGpu:
    """A GPU of 10 GiB on which a batch takes 1 + 0.7 GiB an image, and from some size on more."""

    def __init__(self, bend: int = 1000) -> None:
        self.tried: list[int] = []
        self._bend = bend
        self._more = 0

    def __call__(self, request):
        self.tried.append(request.batch)
        total = (request.limit or 12) * 1024.0
        device = {"device": "Fake", "kind": "gpu", "free": total - 2048, "total": total}
        peak = 1024 + self._more + 716.8 * request.batch + 2000 * max(0, request.batch - self._bend)
        if peak > total - 2048:
            return {**device, "problem": "out of memory: CUDA out of memory."}
        return {
            **device,
            "peak": peak,
            "reserved": peak + 100,
            "evaluation": 900.0,
            "retries": 0,
            "seconds": 1.0,
        }


@pytest.fixture
def fake(monkeypatch):
    def install(**arguments):
        gpu = _FakeGpu(**arguments)
        monkeypatch.setattr(memory, "run_child", gpu)
        return gpu

    return install


def test_the_predicted_size_is_measured_too(fake):
    gpu = fake()
    curve = measure_memory(CONFIG, ())
    assert gpu.tried == [1, 2, 4, 8, 11]
    assert (curve.largest, curve.predicted) == (11, 11)
    assert curve.line.per_sample == pytest.approx(716.8)


def test_a_smaller_gpu_is_measured_where_the_line_of_a_larger_one_says(fake):
    gpu = fake()
    large = measure_memory(CONFIG, (), limit=12.0)
    gpu.tried.clear()
    small = measure_memory(CONFIG, (), limit=8.0, like=large)
    assert gpu.tried == [6]
    assert (small.largest, small.predicted, small.total) == (6, 6, 8192)
    assert measure_memory(CONFIG, (), limit=8.0).largest == 6


def test_a_smaller_gpu_that_needs_more_than_the_line_says_is_searched(fake, monkeypatch):
    gpu = fake()
    large = measure_memory(CONFIG, (), limit=12.0)
    monkeypatch.setattr(gpu, "_bend", 4)
    gpu.tried.clear()
    small = measure_memory(CONFIG, (), limit=8.0, like=large)
    assert small.largest == 4
    assert gpu.tried[0] == 6


def test_a_size_that_only_just_fits_is_not_the_largest(fake, monkeypatch):
    gpu = fake()
    large = measure_memory(CONFIG, (), limit=12.0)
    monkeypatch.setattr(gpu, "_more", 400)  # which 6 images on 8 GiB leave, but the margin does not
    gpu.tried.clear()
    assert measure_memory(CONFIG, (), limit=8.0, like=large).largest == 5
    assert gpu.tried[0] == 6


def test_where_the_line_is_too_hopeful_the_search_goes_down(fake):
    gpu = fake(bend=5)
    curve = measure_memory(CONFIG, ())
    assert curve.largest == 6
    assert max(gpu.tried) == 8
    assert not next(point for point in curve.points if point.batch == 8).fits


def test_the_limit_is_kept(fake):
    gpu = fake()
    assert measure_memory(CONFIG, (), max_batch=3).largest == 3
    assert gpu.tried == [1, 2, 3]


def test_not_even_one_image_fits(monkeypatch):
    answer = {"device": "Fake", "kind": "gpu", "free": 100.0, "total": 200.0, "problem": "out of memory"}
    monkeypatch.setattr(memory, "run_child", lambda _request: answer)
    curve = measure_memory(CONFIG, ())
    assert (curve.largest, curve.line) == (None, None)


def test_a_process_that_the_system_kills_is_a_size_that_does_not_fit(monkeypatch):
    def child(request):
        if request.batch > 2:
            return {"problem": "killed by the system: the host has no memory for it"}
        return {"device": "CPU", "kind": "host", "peak": 100.0 * request.batch}

    monkeypatch.setattr(memory, "run_child", child)
    curve = measure_memory(CONFIG, (), max_batch=4)
    assert curve.largest == 2
    assert "killed" in curve.points[-1].problem


def test_a_curve_survives_its_file(fake, tmp_path):
    fake()
    curve = measure_memory(CONFIG, ())
    path = tmp_path / "memory.json"
    path.write_text(json.dumps(curve.to_json()))
    assert read_curve(path) == curve
    path.write_text("{")
    assert read_curve(path) is None


def test_the_limit_of_a_container_counts(tmp_path):
    group = tmp_path / "sys/fs/cgroup/job"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
    (group / "memory.max").write_text(str(100 * 2**20))
    (group / "memory.current").write_text(str(70 * 2**20))
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {20 * 2**20}\n")
    found = host_memory(tmp_path)
    assert found.limited
    assert (found.total, found.available) == (100, 50)
    (group / "memory.max").write_text("max")
    assert not host_memory(tmp_path).limited
