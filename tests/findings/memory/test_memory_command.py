"""``memory`` measures real training steps in processes of their own."""

import json
import resource

import pytest
import torch

from diffbev_engine.bench import memory
from diffbev_engine.bench.memory import measure_memory, run_child
from diffbev_engine.bench.memory_child import Request
from diffbev_engine.config.load import dump_config
from diffbev_engine.core.errors import DiffBEVError, UsageError
from tests.processes import PATIENCE_S, engine


@pytest.fixture
def config(tiny_settings, tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(dump_config(tiny_settings.model_copy(update={"data_root": tmp_path / "not_read"})))
    return path


@pytest.mark.slow(30)
def test_a_larger_batch_takes_more_memory_of_the_host(config, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    big = ("--set", "data.image_size=(256,384)")
    process = engine("memory", config, *big, "--max-batch", "2", "--json", "--work-dir", tmp_path / "run")
    output = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 0, output
    assert output.startswith("measuring batch 1\nmeasuring batch 2\n{")
    curve = json.loads(output[output.index("{") :])
    peaks = [point["peak"] for point in curve["points"]]
    assert [point["batch"] for point in curve["points"]] == [1, 2]
    assert peaks == sorted(peaks)
    assert curve["kind"] == "host"
    assert curve["largest"] == 2
    assert curve["line"]["per_sample"] > 10
    assert json.loads((tmp_path / "run" / "memory.json").read_text()) == curve


@pytest.mark.slow
def test_a_measurement_is_that_of_a_fresh_process(config, monkeypatch):
    """Memory that the measuring program itself once held must not be counted."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    ballast = bytearray(3 * 2**30)
    ballast[:: 2**12] = b"x" * len(ballast[:: 2**12])
    del ballast
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 3 * 2**20
    assert run_child(Request(str(config), (), (), None, 1))["peak"] < 2000


def test_what_is_kept_of_a_run_is_about_this_gpu(config, tmp_path, program):
    code, said = program("memory", config, "--limit", "8", "--work-dir", tmp_path / "run")
    assert code == 2
    assert "another GPU" in said
    assert not (tmp_path / "run").exists()


def test_several_limits_are_a_table_of_what_fits_each(program, monkeypatch):
    def child(request):
        total = request.limit * 1024
        device = {"device": "Fake", "kind": "gpu", "free": total - 512, "total": total}
        return {**device, "peak": 2048.0 + 1024 * request.batch, "retries": 0}

    monkeypatch.setattr(memory, "run_child", child)
    code, said = program("memory", "baseline/lss_swin_demo", "--limit", "8,12,2.5", "--max-batch", "64")
    assert code == 1  # not even one image
    rows = [line.split() for line in said.splitlines() if "GiB" in line]
    assert rows[-3:] == [
        ["12.0", "GiB", "8", "10.00", "GiB"],
        ["8.0", "GiB", "4", "6.00", "GiB"],
        ["2.5", "GiB", "none"],
    ]
    code, said = program("memory", "baseline/lss_swin_demo", "--limit", "8,12", "--json")
    curves = json.loads(said[: said.index("measuring")])
    assert [curve["largest"] for curve in curves] == [8, 4]


@pytest.mark.parametrize(
    ("fixed", "per_image", "compile", "sizes"),
    [
        (1000, 600, "off", [1, 2, 4, 8, 16, 29]),  # 20,000 MiB less the margin
        (1000, 600, "auto", [1, 4, 29]),
        (1000, 6000, "auto", [1, 4, 2]),  # the second does not fit: between them
        (1000, 12000, "auto", [1, 4, 2]),
        (30000, 1, "auto", [1]),
    ],
)
def test_where_sizes_are_compiled_few_are_measured(fixed, per_image, compile, sizes, monkeypatch):
    def child(request):
        device = {"device": "Fake", "kind": "gpu", "free": 20_000.0, "total": 24_000.0}
        peak = fixed + per_image * request.batch
        return {
            **device,
            "retries": 0,
            **({"peak": peak} if peak <= 20_000 else {"problem": "out of memory"}),
        }

    monkeypatch.setattr(memory, "run_child", child)
    overrides = (f"compile={compile}", "runner.max_iters=200000")
    shown = []
    curve = measure_memory(
        "baseline/lss_swin_nuscenes", overrides, show=lambda point, _free: shown.append(point.batch)
    )
    assert shown == sizes
    fitting = [size for size in sizes if fixed + per_image * size <= 18_400]
    assert curve.largest == max(fitting, default=None)


@pytest.mark.parametrize("limits", ["0", "8,", "much", "8,-1", "inf"])
def test_limits_are_gib(limits, program):
    code, said = program("memory", "baseline/lss_swin_demo", "--limit", limits)
    assert code == 2
    assert "such as 12, or 8,12,16,24" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what happens without a GPU")
def test_a_limit_of_gpu_memory_needs_a_gpu(config):
    with pytest.raises(UsageError, match="there is none"):
        measure_memory(str(config), (), limit=8.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_limit_is_the_memory_of_a_smaller_gpu(config):
    free, total = torch.cuda.mem_get_info()
    if total - free > 2**30:
        pytest.skip("other programs use this GPU")
    curve = measure_memory(str(config), ("data.image_size=(256,384)",), limit=2.0, max_batch=256)
    assert curve.total == 2048
    assert curve.free < 2048
    assert max(point.reserved for point in curve.points if point.fits) <= curve.free


def test_a_mistake_is_not_taken_for_a_lack_of_memory(config):
    with pytest.raises(DiffBEVError, match="batch 1 could not be measured"):
        measure_memory(str(config), ("model.backbone.name=no_such_network",))
