"""Each GPU is read on its own: what one does not answer hides neither itself nor the others."""

import multiprocessing
import os
import sys
from types import SimpleNamespace

import psutil
import pytest

from diffbev_engine.core.gpu.driver import Trouble
from diffbev_engine.core.gpu.processes import GpuProcess, describe, own_among
from diffbev_engine.core.gpu.reading import read_gpus
from tests.fake_nvml import GIB, card, error, install, process

SILENT = {name: error("NotSupported") for name in card() if name not in ("Name", "UUID")}


def test_every_figure_is_read(monkeypatch):
    me = process(os.getpid(), 2)
    install(monkeypatch, card(ComputeRunningProcesses=[me], GraphicsRunningProcesses=[me]))
    found = read_gpus()
    [gpu] = found.gpus
    assert (found.driver, found.cuda, found.trouble) == ("580.95.05", (13, 0), None)
    assert (gpu.total_mib, gpu.used_mib, gpu.free_mib) == (80 * 1024, 10 * 1024, 70 * 1024)
    assert (gpu.power_w, gpu.power_limit_w, gpu.temperature_c) == (300, 700, 61)
    assert (gpu.clock_mhz, gpu.clock_limit_mhz, gpu.utilization) == (1700, 1980, 50)
    assert (gpu.capability, gpu.compute_mode) == ((9, 0), "default")
    [own] = gpu.processes
    assert (own.pid, own.mib, own.mine) == (os.getpid(), 2048, True)
    assert gpu.label == "NVIDIA H100 80GB HBM3, 70.0/80.0 GiB"


def test_a_gpu_without_memory_of_its_own_has_that_of_the_host(monkeypatch):
    install(monkeypatch, card(**SILENT | {"Name": "NVIDIA GB10"}))
    [gpu] = read_gpus().usable
    assert gpu.unified
    assert gpu.total_mib == pytest.approx(psutil.virtual_memory().total / 2**20, rel=0.5)
    assert gpu.free_mib <= gpu.total_mib
    assert gpu.label.endswith("GiB unified")
    assert (gpu.power_w, gpu.capability, gpu.processes) == (None, None, None)


def test_a_restricted_mig_parent_counts_as_a_gpu_of_unknown_memory(monkeypatch):
    refused = {"MemoryInfo": error("NoPermission"), "UtilizationRates": error("NotSupported")}
    part = card(UUID="MIG-1234", Name="NVIDIA A100 MIG 1g.10gb", MigMode=error("InvalidArgument"))
    part["MemoryInfo"] = SimpleNamespace(total=10 * GIB, used=GIB, free=9 * GIB)
    gone = error("NotFound")
    install(monkeypatch, card(**refused), card(1, MigMode=[1, 1], instances=[part, gone], **refused))
    plain, split = read_gpus().usable
    assert (plain.total_mib, plain.unified, plain.label) == (None, False, "NVIDIA H100 80GB HBM3")
    assert split.mig
    assert [(one.uuid, one.free_mib) for one in split.instances] == [("MIG-1234", 9 * 1024)]


@pytest.mark.parametrize("late", [False, True])
def test_a_lost_gpu_is_reported_and_hides_no_other(monkeypatch, late):
    lost = error("GpuIsLost")
    broken = card(**dict.fromkeys(card(), lost)) if late else card(handle=lost)
    install(monkeypatch, broken, card(1))
    found = read_gpus()
    assert [gpu.index for gpu in found.usable] == [1]
    assert found.gpus[0].lost
    assert "GPU 0 is lost" in found.gpus[0].problem.en
    assert found.gpus[1].free_mib == 70 * 1024


def test_a_refused_gpu_is_named_and_is_not_lost(monkeypatch):
    install(monkeypatch, card(handle=error("NoPermission")), card(handle=error("IrqIssue", "IRQ issue")))
    first, second = read_gpus().gpus
    assert "no permission to use GPU 0" in first.problem.en
    assert "GPU 1 cannot be used: IRQ issue" in second.problem.en
    assert not first.lost
    assert read_gpus().usable == ()


@pytest.mark.parametrize(
    ("raised", "trouble", "words", "no_gpu"),
    [
        ("LibraryNotFound", Trouble.NO_LIBRARY, "libnvidia-ml.so.1", True),
        ("DriverNotLoaded", Trouble.NOT_LOADED, "kernel module is not loaded", True),
        ("LibRmVersionMismatch", Trouble.MISMATCH, "different versions", False),
        ("NoPermission", Trouble.NO_PERMISSION, "no permission", False),
        ("Unknown", Trouble.FAILED, "Unknown Error", False),
        ("SomethingNew", Trouble.FAILED, "Unknown Error", False),
    ],
)
def test_a_driver_that_fails_is_not_taken_for_no_gpu(monkeypatch, raised, trouble, words, no_gpu):
    install(monkeypatch, init=error(raised, "Unknown Error"))
    found = read_gpus()
    assert (found.gpus, found.trouble, found.trouble.means_no_gpu) == ((), trouble, no_gpu)
    assert words in found.problem.en
    assert found.problem.zh


def test_no_binding_and_no_gpu_are_told_apart(monkeypatch):
    install(monkeypatch)
    assert read_gpus().trouble is Trouble.NO_GPU
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert read_gpus().trouble is Trouble.NO_BINDING


def test_the_driver_is_opened_once_and_a_failure_is_not_retried_at_every_reading(monkeypatch):
    fake = install(monkeypatch, card())
    for _ in range(3):
        read_gpus()
    assert fake.inits == 1
    fake = install(monkeypatch, init=error("LibraryNotFound"))
    for _ in range(3):
        read_gpus()
    assert fake.inits == 1


def _inits_of_child(fake, answers):
    read_gpus()
    answers.put(fake.inits)


def test_a_forked_process_opens_the_driver_itself(monkeypatch):
    fake = install(monkeypatch, card())
    read_gpus()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_inits_of_child, args=(fake, answers))
    child.start()
    assert answers.get(timeout=30) == 2
    child.join()


def test_functions_that_an_old_binding_lacks_answer_nothing(monkeypatch):
    install(monkeypatch, card())
    for name in ("MigMode", "RemappedRows", "ComputeMode", "CurrentClocksThrottleReasons"):
        monkeypatch.delattr(sys.modules["pynvml"], f"nvmlDeviceGet{name}")
    [gpu] = read_gpus().usable
    assert (gpu.mig, gpu.compute_mode, gpu.throttle) == (False, None, ())


def test_damage_and_throttling_are_read(monkeypatch):
    install(monkeypatch, card(RemappedRows=(0, 1, 1, 0), TotalEccErrors=3, CurrentClocksThrottleReasons=0x44))
    [gpu] = read_gpus().gpus
    assert (gpu.ecc_errors, gpu.needs_reset, gpu.worn_out) == (3, True, False)
    assert gpu.throttle == ("sw_power_cap", "hw_thermal")
    assert gpu.slowed
    install(monkeypatch, card(CurrentClocksThrottleReasons=0x4))
    assert not read_gpus().gpus[0].slowed, "every GPU at work reaches its power limit"


def _proc(tmp_path, namespace, pids):
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "pid").symlink_to(f"pid:[{namespace}]")
    (tmp_path / "self" / "status").write_text(f"Name:\tpython\nNSpid:\t{pids}\n")
    return tmp_path


def test_a_process_of_the_host_is_anothers_only_where_pids_count_as_the_driver_does(tmp_path):
    parent = os.getppid()
    host = _proc(tmp_path / "host", 4026531836, str(os.getpid()))
    assert describe(parent, 2**30, proc=host).mine is False
    assert describe(2**22 + 9, None, proc=host) == GpuProcess(2**22 + 9, None, None, None, None)
    inside = _proc(tmp_path / "container", 4026532999, str(os.getpid()))
    assert describe(parent, 2**30, proc=inside).mine is None
    assert describe(os.getpid(), 2**30, proc=inside).mine is True
    seen_from_host = _proc(tmp_path / "unshared", 4026532999, f"562167 {os.getpid()}")
    assert describe(562167, 2**30, proc=seen_from_host).mine is True


def test_all_bits_set_is_no_size():
    assert describe(2**22 + 9, 2**64 - 1).mib is None


def test_this_process_is_found_by_its_memory_where_a_container_hides_its_pid():
    def hidden(*sizes):
        return [GpuProcess(pid, mib, None, None, None) for pid, mib in enumerate(sizes, 900)]

    def own(processes, **known):
        return [each.pid for each in own_among(processes, **known) if each.mine]

    assert own(hidden(948.0, 4157.0), held=4157.4) == [901]
    assert own(hidden(948.0, 4157.0), held=8000.0) == []
    assert own(hidden(948.0, 15616.0, 30000.0), least=14796.0) == [901]
    assert own(hidden(None)) == [900], "the only user of a GPU that this process uses"
    assert own(hidden(None, None)) == []
    visible = GpuProcess(5, 4157.0, "python", "ada", False)
    assert own([visible, *hidden(948.0)], held=4157.0) == []
