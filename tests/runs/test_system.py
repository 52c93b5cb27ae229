"""The machine over a whole run: rows of a bounded file."""

import csv
import math

from diffbev_engine.core.gpu.reading import Gpu, GpuReading
from diffbev_engine.core.host_memory import HostMemory
from diffbev_engine.runs import system
from diffbev_engine.runs.host import HostReading
from diffbev_engine.runs.system import SystemTail, SystemWriter, read_system, sample
from diffbev_engine.runs.system_figures import figures_in

HOST = HostReading(HostMemory(1000.0, 400.0, 64.0, 8.0, False), None, (2**30, 2**40), 12.5, (4, 310.0))


def gpus(*indexes: int) -> GpuReading:
    return GpuReading(
        tuple(Gpu(i, f"GPU {i}", total_mib=100.0, used_mib=50.0 + i, power_w=200.0) for i in indexes)
    )


def test_a_row_holds_what_is_known_and_nothing_else(tmp_path):
    writer = SystemWriter(tmp_path / "system.csv")
    writer.write(sample(1_790_000_000.25, 70, HOST, gpus(0)))
    history = read_system(tmp_path / "system.csv")
    assert history.times == [1_790_000_000.25 - 0.25] or abs(history.times[0] - 1_790_000_000.25) < 1
    last = {name: values[-1] for name, values in history.columns.items()}
    assert (last["step"], last["host_used_mib"], last["swap_used_mib"]) == (70, 600, 8)
    assert (last["disk_free_mib"], last["loader_workers"], last["loader_cpu_percent"]) == (1024, 4, 310)
    assert (last["gpu0_used_mib"], last["gpu0_power_w"]) == (50, 200)
    assert math.isnan(last["gpu0_load"]), "the driver did not say"
    assert {figure.gpu for figure in figures_in(history.columns)} == {0, None}


def test_another_start_appends_also_with_other_gpus(tmp_path):
    path = tmp_path / "system.csv"
    SystemWriter(path).write(sample(1000.0, 1, HOST, gpus(0)))
    SystemWriter(path).write(sample(1010.0, 2, HOST, gpus(0, 1)))
    SystemWriter(path).write(sample(1020.0, 3, HOST, GpuReading()))
    history = read_system(path)
    assert history.times == [1000, 1010, 1020]
    assert history.columns["gpu1_used_mib"][1] == 51
    assert [math.isnan(value) for value in history.columns["gpu1_used_mib"]] == [True, False, True]
    assert {figure.gpu for figure in figures_in(history.columns)} == {0, 1, None}


def test_a_long_file_is_thinned_and_keeps_its_beginning_and_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "MOST_ROWS", 60)
    monkeypatch.setattr(system, "_NEWEST", 10)
    path = tmp_path / "system.csv"
    writer = SystemWriter(path)
    for number in range(1000):
        writer.write(sample(float(10 * number), number, HOST, gpus(0)))
    steps = [int(value) for value in read_system(path).columns["step"]]
    assert len(steps) <= 60
    assert steps[0] == 0
    assert steps[-10:] == list(range(990, 1000))
    assert steps == sorted(set(steps))


def test_torn_and_foreign_lines_are_passed_over(tmp_path):
    path = tmp_path / "system.csv"
    SystemWriter(path).write(sample(1000.0, 1, HOST, gpus(0)))
    with path.open("a") as file:
        file.write("\n\0\0,\nx,y\n1010,")
    assert read_system(path).times == [1000]
    assert read_system(tmp_path / "none").times == ()
    path.write_bytes(b"\xff" * 100)
    assert read_system(path).times == ()


def test_it_is_a_plain_table(tmp_path):
    path = tmp_path / "system.csv"
    SystemWriter(path).write(sample(1000.0, None, HOST, gpus(1)))
    [row] = csv.DictReader(path.open())
    assert row["step"] == ""
    assert row["gpu1_used_mib"] == "51"


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path):
    tail = SystemTail(tmp_path / "system.csv")
    assert tail.look().times == ()
    SystemWriter(tail.path).write(sample(1000.0, 1, HOST, gpus(0)))
    history = tail.look()
    assert history.times == [1000]
    assert tail.look() is history
