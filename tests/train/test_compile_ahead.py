"""Parts are compiled ahead as training will call them, and what fails there does not end it."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters
from torch.utils._pytree import tree_map

from diffbev_engine.config.load import load_settings
from diffbev_engine.core.errors import DiffBEVError, InterruptedTraining
from diffbev_engine.dataset.order import ALONE
from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.models.regions import regions
from diffbev_engine.train import compile_ahead, compile_worker, train
from diffbev_engine.train.compile_ahead import Request, how_many, start_compiling
from diffbev_engine.train.compile_worker import step_to_compile
from diffbev_engine.train.compiled_calls import Described, distinct_calls, make
from diffbev_engine.train.compiling import compile_parts
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.random_batch import random_batch
from diffbev_engine.train.train import build_step
from tests.processes import PATIENCE_S

CPU = torch.device("cpu")
ALONE_ON_THE_CPU = Processes(CPU, ALONE)


@pytest.mark.parametrize(
    ("cores", "gpu_mib", "host_mib", "expected"),
    [(16, 140_000, 128_000, 8), (4, 24_000, 64_000, 2), (16, 7_000, 64_000, 2), (16, 24_000, 9_000, 2)],
)
def test_so_many_processes_compile_as_cores_and_memory_allow(cores, gpu_mib, host_mib, expected):
    assert how_many(cores, gpu_mib, host_mib) == expected


@pytest.mark.parametrize("fixture", ["tiny_settings", "diffusion_settings"])
def test_following_the_shapes_finds_the_calls_of_a_real_pass(fixture, request):
    objective = step_to_compile(request.getfixturevalue(fixture), CPU).objective
    found, real = (distinct_calls(objective, really=really) for really in (False, True))
    # Compiled parts lay out their results as followed; some of the CPU's own kernels do otherwise.
    assert [_without_strides(call.kind) for call in found] == [_without_strides(call.kind) for call in real]
    names = {type(region).__name__ for region in regions(objective.model)}
    assert {call.name for call in found} - {"prepare", "segmentation_loss"} == names
    assert not any(region._forward_pre_hooks for region in regions(objective.model))


def _without_strides(kind):
    return tree_map(lambda x: replace(x, stride=()) if isinstance(x, Described) else x, kind)


def test_blocks_alike_are_compiled_once_and_each_way_of_calling_a_part():
    chosen = ("model.backbone.pretrained=None", "data.samples_per_gpu=1")
    settings = load_settings("diffbev/diffbev_lss_swin_nuscenes", chosen)
    names = [call.name for call in distinct_calls(step_to_compile(settings, CPU).objective)]
    assert names.count("CompiledSwinBlock") == 4  # one for each stage
    assert names.count("PatchMerging") == 3
    assert names.count("ConditionalUNet") == 2  # with gradients, and for the estimate that it is given


def test_a_call_is_made_with_tensors_like_those_of_training(diffusion_settings):
    step = step_to_compile(diffusion_settings, CPU)
    for call in distinct_calls(step.objective):
        make(call, step.objective)
    assert all(parameter.grad is None for parameter in step.model.parameters())


def test_a_step_finds_its_parts_compiled_once_they_were_called(diffusion_settings, monkeypatch):
    step = step_to_compile(diffusion_settings.model_copy(update={"precision": "bf16"}), CPU)
    calls = distinct_calls(step.objective, really=True)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    counters.clear()
    compile_parts(step)
    for call in calls:
        make(call, step.objective)
    graphs = counters["stats"]["unique_graphs"]
    step.run(0, [random_batch(diffusion_settings, CPU)])
    assert counters["stats"]["unique_graphs"] == graphs > 5


def test_each_part_is_taken_on_once(tmp_path):
    assert compile_worker._claim(tmp_path / "0")
    assert not compile_worker._claim(tmp_path / "0")


def test_a_process_that_compiles_ends_with_the_one_that_started_it(tiny_settings, tmp_path):
    request = Request(tiny_settings.model_dump(mode="json"), "cpu", str(tmp_path / "no such folder"))
    worker = subprocess.Popen(
        [sys.executable, "-c", f"import threading\n{_WAITS}"], stdin=subprocess.PIPE, text=True
    )
    worker.stdin.write(json.dumps(asdict(request)) + "\n")
    worker.stdin.close()
    assert worker.wait(PATIENCE_S) == 1


_WAITS = """
from diffbev_engine.train import compile_worker
compile_worker._measure_one_at_a_time = lambda _path: threading.Event().wait()
compile_worker.main()
"""


@pytest.fixture
def on_a_gpu(monkeypatch, tmp_path):
    """As if there were one, with room for two processes."""
    monkeypatch.setattr(compile_ahead, "why_plain", lambda *_: "")
    monkeypatch.setattr(compile_ahead, "_affordable", lambda _: (2, 1))
    monkeypatch.setattr(compile_ahead, "_mark", lambda *_: tmp_path / "done")
    return tmp_path / "done"


def _compiled_by(monkeypatch, program):
    monkeypatch.setattr(compile_ahead, "_COMMAND", [sys.executable, "-c", program])


def test_training_compiles_what_its_processes_could_not(tiny_settings, on_a_gpu, monkeypatch, caplog):
    caplog.set_level("INFO", "diffbev_engine")
    _compiled_by(monkeypatch, "raise SystemExit('no space left')")
    step = build_step(tiny_settings, ALONE_ON_THE_CPU, resuming=True)
    step.run(0, [random_batch(tiny_settings, CPU)])
    assert "the first step compiles the rest (2 of them failed: no space left)" in caplog.text
    assert on_a_gpu.exists()
    caplog.clear()
    build_step(tiny_settings, ALONE_ON_THE_CPU, resuming=True).await_compilers()
    assert "processes compile" not in caplog.text


_MAKES_TWO = """
import json, sys
from pathlib import Path
folder = Path(json.loads(sys.stdin.readline())["folder"])
for number in (1, 0):
    (folder / f"{number}.made").touch()
"""


@pytest.fixture
def taken(monkeypatch):
    """The parts that training takes from the cache."""
    names = []
    monkeypatch.setattr(compile_ahead, "make", lambda call, _objective: names.append(call.name))
    return names


@pytest.mark.usefixtures("on_a_gpu")
def test_training_takes_what_its_processes_have_made_and_nothing_else(tiny_settings, taken, monkeypatch):
    _compiled_by(monkeypatch, _MAKES_TWO)
    step = build_step(tiny_settings, ALONE_ON_THE_CPU, resuming=True)
    step.await_compilers()
    calls = distinct_calls(step_to_compile(tiny_settings, CPU).objective)
    assert len(calls) > 2
    assert taken == [call.name for call in calls[:2]]


@pytest.mark.usefixtures("on_a_gpu")
def test_a_stop_comes_before_what_could_be_taken(tiny_settings, taken, monkeypatch):
    _compiled_by(monkeypatch, _MAKES_TWO)
    step = build_step(tiny_settings, ALONE_ON_THE_CPU, resuming=True)
    step.await_compilers(lambda: True)
    assert taken == []


@pytest.mark.usefixtures("on_a_gpu")
def test_a_part_that_cannot_be_taken_is_left_to_the_first_step(tiny_settings, monkeypatch, caplog):
    caplog.set_level("INFO", "diffbev_engine")

    def fail(*_):
        raise RuntimeError("a damaged cache")

    uncompiled = tiny_settings.model_copy(update={"compile": "off"})
    plain = build_step(uncompiled, ALONE_ON_THE_CPU, resuming=True)
    monkeypatch.setattr(compile_ahead, "make", fail)
    _compiled_by(monkeypatch, _MAKES_TWO)
    step = build_step(tiny_settings, ALONE_ON_THE_CPU, resuming=True)
    batch = random_batch(tiny_settings, CPU)
    assert step.run(0, [batch])[0] == plain.run(0, [batch])[0]
    assert caplog.text.count("the first step loads the compiled parts (a damaged cache)") == 1


@pytest.mark.usefixtures("on_a_gpu")
def test_training_does_not_wait_for_ever(tiny_settings, monkeypatch, caplog):
    caplog.set_level("INFO", "diffbev_engine")
    _compiled_by(monkeypatch, _SLEEPS)
    monkeypatch.setattr(compile_ahead, "_LONGEST_S", 0.3)
    start_compiling(tiny_settings, ALONE_ON_THE_CPU).wait()
    assert "(2 of them failed: not done after 0 minutes)" in caplog.text


@pytest.mark.usefixtures("on_a_gpu")
def test_a_process_that_cannot_be_started_is_no_error(tiny_settings, monkeypatch, caplog):
    caplog.set_level("INFO", "diffbev_engine")
    monkeypatch.setattr(compile_ahead, "_COMMAND", ["/no/such/program"])
    start_compiling(tiny_settings, ALONE_ON_THE_CPU).wait()
    assert "(2 of them failed: it could not be started)" in caplog.text


@pytest.fixture
def started(monkeypatch):
    """The processes that are started to compile."""
    _compiled_by(monkeypatch, _SLEEPS)
    processes, popen = [], subprocess.Popen

    def start(*arguments, **named):
        process = popen(*arguments, **named)
        if _SLEEPS in process.args:
            processes.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", start)
    return processes


_SLEEPS = "import time; time.sleep(600)"


def test_processes_that_compile_end_when_building_the_model_fails(
    tiny_settings, on_a_gpu, started, monkeypatch
):
    def fail(*_):
        raise DiffBEVError("no weights")

    monkeypatch.setattr(train, "build_model", fail)
    with pytest.raises(DiffBEVError, match="no weights"):
        build_step(tiny_settings, ALONE_ON_THE_CPU, resuming=True)
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)
    assert not on_a_gpu.exists()


def test_a_stop_that_is_asked_for_ends_them_at_once(tiny_settings, on_a_gpu, started):
    compilers, asked = start_compiling(tiny_settings, ALONE_ON_THE_CPU), iter([False, False])
    compilers.wait(lambda: next(asked, True))
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)
    assert not on_a_gpu.exists()


def test_a_training_that_is_stopped_while_it_compiles_leaves_at_once(
    tiny_settings, tmp_path, on_a_gpu, started, monkeypatch
):
    def running(_compilers):
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    monkeypatch.setattr(compile_ahead.CompilingAhead, "_running", running)
    with pytest.raises(InterruptedTraining, match="stopped by SIGTERM at iteration 0"):
        train.train(train.TrainingJob(tiny_settings, "tiny.py", tmp_path), evaluation_in_training)
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "interrupted"
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)
    assert not on_a_gpu.exists()


def test_what_was_compiled_for_other_sizes_is_not_taken_for_it(tiny_settings):
    larger = tiny_settings.model_copy(
        update={"data": tiny_settings.data.model_copy(update={"samples_per_gpu": 7})}
    )
    marks = [compile_ahead._mark(each, ALONE_ON_THE_CPU) for each in (tiny_settings, larger)]
    assert marks[0] != marks[1]
    assert marks[0] == compile_ahead._mark(tiny_settings, ALONE_ON_THE_CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("preset", ["baseline/lss_swin_nuscenes", "diffbev/diffbev_lss_swin_nuscenes"])
def test_training_finds_all_that_was_compiled_ahead(preset, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    script = Path(__file__).with_name("one_compiled_step.py")
    done = subprocess.run(
        [sys.executable, str(script), preset], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["fxgraph_cache_hit"] > 10, done.stderr
    assert counts.get("fxgraph_cache_miss", 0) == 0
    assert counts["graphs_before"] == counts["graphs_after"] > 10
