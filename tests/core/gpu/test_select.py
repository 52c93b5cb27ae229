"""The numbers of a CUDA program, as ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER`` make them."""

import os

import pytest
from click.testing import CliRunner

from diffbev_engine.cli.main import cli
from diffbev_engine.core.bilingual import same
from diffbev_engine.core.gpu.reading import Gpu
from diffbev_engine.core.gpu.select import ORDER, VISIBLE, by_uuid, visible

CARDS = [Gpu(number, "H100", f"GPU-{letter * 8}-0000") for number, letter in enumerate("abcd")]
PARTS = tuple(Gpu(number, "A100 MIG 1g.10gb", f"MIG-{number}-77") for number in range(2))
SPLIT = Gpu(1, "A100", "GPU-ffffffff-0000", mig=True, instances=PARTS)


def _seen(value, gpus=CARDS, **environment):
    return visible(gpus, environment if value is None else {VISIBLE: value, **environment})


@pytest.mark.parametrize(
    ("value", "indices", "ignored"),
    [
        (None, [0, 1, 2, 3], ""),
        ("2", [2], ""),
        ("3, 1", [3, 1], ""),
        ("", [], ""),
        ("-1", [], "-1"),
        ("1,-1,2", [1], "-1,2"),
        ("0,9,1", [0], "9,1"),
        ("1gpu,2", [1, 2], ""),
        ("one", [], "one"),
        ("1,1", [], "1,1"),
        ("GPU-bbbbbbbb-0000", [1], ""),
        ("GPU-c,GPU-aaaa", [2, 0], ""),
        ("GPU-a,1", [0], "1"),
        ("GPU-", [], "GPU-"),
        ("GPU-e,GPU-a", [], "GPU-e,GPU-a"),
        ("NoDevFiles", [], "NoDevFiles"),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(value, indices, ignored):
    seen = _seen(value)
    assert [gpu.index for gpu in seen.gpus] == indices
    assert (seen.ignored, seen.certain) == (ignored, True)


def test_of_mig_instances_a_process_gets_one():
    gpus = [CARDS[0], SPLIT]
    assert _seen(None, gpus).gpus == (PARTS[0],)
    assert _seen("MIG-1-77", gpus).gpus == (PARTS[1],)
    assert _seen("MIG-1-77,MIG-0-77", gpus).gpus == (PARTS[1],)
    assert _seen("1", gpus).gpus == (PARTS[0],)
    assert _seen("0", gpus).gpus == (CARDS[0],)
    assert _seen("MIG-GPU-ffffffff-0000/1/0", gpus).gpus == (PARTS[0],)
    assert _seen(None, [Gpu(0, "A100", mig=True)]).gpus == (), "MIG mode without an instance"


def test_the_order_of_different_models_is_certain_only_by_bus_or_uuid():
    mixed = [CARDS[0], Gpu(1, "T4", "GPU-99999999-0000")]
    assert not _seen(None, mixed).certain
    assert not _seen("1", mixed).certain
    assert _seen("GPU-9", mixed).certain
    assert _seen("1", mixed, **{ORDER: "PCI_BUS_ID"}).certain
    assert not _seen("1", mixed, **{ORDER: "FASTEST_FIRST"}).certain


def test_a_lost_gpu_has_no_number():
    seen = _seen(None, [Gpu(0, lost=True, problem=same("lost")), CARDS[1]])
    assert [gpu.index for gpu in seen.gpus] == [1]
    assert not seen.certain


def test_a_number_that_does_not_exist_is_answered_with_those_that_do():
    assert _seen("2,3").problem(3).en == "there is no GPU 3: visible are 0, 1 (CUDA_VISIBLE_DEVICES=2,3)"
    assert "only GPU 0 is visible" in _seen(None, CARDS[:1]).problem(1).en
    assert "no GPU is visible" in _seen("").problem(0).en
    assert not _seen("2,3").problem(1)


def test_a_uuid_is_found_with_and_without_its_prefix():
    for uuid in ("GPU-bbbbbbbb-0000", "bbbbbbbb-0000"):
        assert by_uuid(CARDS, uuid) is CARDS[1]
    assert by_uuid([SPLIT], "1-77") is PARTS[1]
    assert by_uuid(CARDS, None) is by_uuid(CARDS, "b") is None


def test_gpu_ids_are_those_of_nvidia_smi_unless_the_user_chose_an_order(monkeypatch, tmp_path):
    arguments = ["train", str(tmp_path / "none.py"), "--work-dir", str(tmp_path), "--gpu-ids"]
    monkeypatch.delenv(ORDER, raising=False)
    CliRunner().invoke(cli, arguments[:-1])
    assert ORDER not in os.environ
    CliRunner().invoke(cli, [*arguments, "1"])
    assert os.environ[ORDER] == "PCI_BUS_ID"
    monkeypatch.setenv(ORDER, "FASTEST_FIRST")
    CliRunner().invoke(cli, [*arguments, "1"])
    assert os.environ[ORDER] == "FASTEST_FIRST"
