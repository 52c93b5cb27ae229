"""What to change after running out of memory, in order, with the settings to change."""

# ruff: noqa: E501 – the messages stay as they were written

import pytest

from diffbev_engine.config.load import load_settings
from diffbev_engine.core.gpu.processes import GpuProcess
from diffbev_engine.findings.memory.curve import MemoryLine
from diffbev_engine.findings.memory.oom_report import remedies_of, remedy_json
from diffbev_engine.findings.memory.remedies import Circumstances, other_processes, rank_remedies
from diffbev_engine.findings.oom_message import parse_oom
from diffbev_engine.models.model import build_model
from diffbev_engine.models.recompute import recompute

OTHERS = "CUDA out of memory. Tried to allocate 938.00 MiB. GPU 0 has a total capacity of 5.60 GiB of which 49.44 MiB is free. Process 12622 has 948.00 MiB memory in use. Including non-PyTorch memory, this process has 4.06 GiB memory in use. Of the allocated memory 3.73 GiB is allocated by PyTorch, and 233.73 MiB is reserved by PyTorch but unallocated."
ALONE = "Tried to allocate 128.00 MiB. GPU 1 has a total capacty of 7.79 GiB of which 20.69 MiB is free. Including non-PyTorch memory, this process has 7.75 GiB memory in use. Of the allocated memory 7.45 GiB is allocated by PyTorch, and 8.61 MiB is reserved by PyTorch but unallocated."
ITSELF = "Tried to allocate 546.00 MiB. GPU 0 has a total capacity of 15.77 GiB of which 514.19 MiB is free. Process 562167 has 15.25 GiB memory in use. Of the allocated memory 13.73 GiB is allocated by PyTorch, with 46.00 MiB allocated in private pools (e.g., CUDA Graphs), and 736.86 MiB is reserved by PyTorch but unallocated."
SPILLED = "Tried to allocate 90.00 MiB. GPU 0 has a total capacity of 15.99 GiB of which 0 bytes is free. Of the allocated memory 29.53 GiB is allocated by PyTorch, and 25.74 MiB is reserved by PyTorch but unallocated."
OLD = "CUDA out of memory. Tried to allocate 26.00 MiB (GPU 0; 5.80 GiB total capacity; 3.18 GiB already allocated; 62.19 MiB free; 188.00 MiB reserved in total by PyTorch)"
NAMELESS = "Tried to allocate 3.78 GiB. GPU  has a total capacity of 23.69 GiB of which 875.62 MiB is free. Process 492814 has 3.21 GiB memory in use. Including non-PyTorch memory, this process has 19.40 GiB memory in use. Of the allocated memory 17.97 GiB is allocated by PyTorch, and 1.02 GiB is reserved by PyTorch but unallocated."
FRAGMENTED = ALONE.replace("8.61 MiB is reserved", "2.00 GiB is reserved")


def _known(message, *overrides, **changes):
    settings = load_settings("baseline/lss_swin_nuscenes", overrides)
    return Circumstances(config=settings.model_dump(mode="json"), oom=parse_oom(message), **changes)


def _ids(*arguments, **changes):
    return [remedy.id for remedy in rank_remedies(_known(*arguments, **changes))]


@pytest.mark.parametrize(
    ("message", "first"),
    [
        (OTHERS, "others"),
        (ALONE, "micro_batch"),
        (ITSELF, "micro_batch"),
        (SPILLED, "micro_batch"),
        (OLD, "micro_batch"),
        (NAMELESS, "others"),
        (FRAGMENTED, "expandable_segments"),
    ],
)
def test_each_form_of_the_message_leads_to_its_first_remedy(message, first):
    assert _ids(message)[0] == first
    for remedy in rank_remedies(_known(message)):
        plain = remedy_json(remedy)
        assert all(plain[key]["zh"] and plain[key]["en"] for key in ("title", "saving", "cost"))


def test_everything_at_once_comes_in_order():
    message = OTHERS.replace("233.73 MiB is reserved", "1.50 GiB is reserved")
    assert _ids(message, "precision=fp32") == [
        "others",
        "expandable_segments",
        "bf16",
        "micro_batch",
        "recompute",
    ]


@pytest.mark.parametrize(
    ("batch", "accumulated", "expected"),
    [(4, 1, (2, 2)), (4, 2, (2, 4)), (3, 1, (1, 3)), (6, 1, (3, 2)), (5, 2, (2, 5)), (2, 1, (1, 2))],
)
def test_smaller_batches_keep_the_images_of_a_step(batch, accumulated, expected):
    known = _known(ALONE, f"data.samples_per_gpu={batch}", f"optimizer_config.cumulative_iters={accumulated}")
    remedy = next(remedy for remedy in rank_remedies(known) if remedy.id == "micro_batch")
    size, times = expected
    assert remedy.overrides == (f"data.samples_per_gpu={size}", f"optimizer_config.cumulative_iters={times}")
    assert size * times == batch * accumulated
    assert remedy.saving_mib == pytest.approx((7.45 * 1024 + 128 - 500) * (1 - size / batch), rel=0.01)


def test_every_override_is_a_valid_one():
    for known in (
        _known(ALONE, "precision=fp32"),
        _known(ALONE, "data.samples_per_gpu=1"),
        _known(ALONE, phase="evaluation"),
    ):
        for remedy in rank_remedies(known):
            load_settings("baseline/lss_swin_nuscenes", remedy.overrides)


def test_smaller_images_are_the_last_resort_and_said_to_change_the_results():
    known = _known(ALONE, "data.samples_per_gpu=1", "data.load_depth=True")
    *others, remedy = rank_remedies(known)
    assert [each.id for each in others] == ["recompute"]
    assert (remedy.id, remedy.changes_results) == ("image_size", True)
    assert remedy.overrides == ("data.image_size=(448,576)",)
    assert "prepare-depth" in remedy.changes.en


def test_evaluation_gets_a_batch_of_its_own():
    remedies = rank_remedies(_known(ALONE, phase="evaluation"))
    assert [remedy.overrides for remedy in remedies] == [("evaluation.samples_per_gpu=2",)]


def test_what_was_measured_gives_the_saving():
    known = _known(ALONE, line=MemoryLine(500, 1000, 1.0, 0.0))
    remedy = next(remedy for remedy in rank_remedies(known) if remedy.id == "micro_batch")
    assert remedy.saving_mib == 2000
    assert remedy.saving_known.en == "measured on this machine"


@pytest.mark.parametrize(
    ("config", "overrides", "expected"),
    [
        ("baseline/lss_swin_nuscenes", (), "recompute=['backbone', 'head']"),
        ("diffbev/diffbev_lss_swin_nuscenes", (), "recompute=['backbone', 'diffusion', 'head']"),
        ("baseline/lss_swin_nuscenes", ("recompute=['head']",), "recompute=['backbone', 'head']"),
        ("baseline/lss_swin_nuscenes", ("recompute=['backbone','head']",), None),
        ("baseline/lss_swin_nuscenes", ("model.backbone.name=resnet10t",), "recompute=['head']"),
    ],
)
def test_what_can_be_recomputed_is_proposed_and_accepted(config, overrides, expected):
    settings = load_settings(config, overrides)
    known = Circumstances(config=settings.model_dump(mode="json"), oom=parse_oom(ALONE))
    found = [remedy for remedy in rank_remedies(known) if remedy.id == "recompute"]
    assert [remedy.overrides for remedy in found] == ([(expected,)] if expected else [])
    for remedy in found:
        smaller = ["data.image_size=(64,96)", "model.backbone.pretrained=None", *overrides, *remedy.overrides]
        changed = load_settings(config, smaller)
        recompute(build_model(changed.model, changed.data.image_size), changed.recompute)


def test_expandable_segments_are_not_proposed_twice():
    environment = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    assert "expandable_segments" not in _ids(FRAGMENTED, environment=environment)


def test_the_run_itself_is_not_another_process():
    assert other_processes(_known(ITSELF)) == [], "named by its pid on the host, as containers do"
    assert other_processes(_known(OTHERS, own_pid=12622)) == []
    processes = (
        GpuProcess(77, 4.06 * 1024, None, None, None),
        GpuProcess(12622, 948.0, "python train.py", "ada", False),
    )
    others = other_processes(_known(OTHERS, processes=processes))
    assert others == [(12622, 948.0, "python train.py")]
    title = rank_remedies(_known(OTHERS, processes=processes))[0].text
    assert "process 12622 (python train.py) holds 948 MiB" in title.en


def test_a_long_command_is_named_in_one_short_line():
    processes = (GpuProcess(12622, 948.0, "python -c import torch\n" + "x = 1; " * 30, "alice", False),)
    title = rank_remedies(_known(OTHERS, processes=processes))[0].text.en
    assert "process 12622 (python -c import torch x = 1;" in title
    assert "\n" not in title
    assert len(title) < 160


def test_unified_memory_and_mig_have_remedies_of_their_own():
    assert _ids(ALONE, "data.workers_per_gpu=4", unified=True) == ["micro_batch", "recompute", "workers"]
    assert _ids(ALONE, mig=True)[-1] == "larger_instance"


def test_the_allocator_says_which_process_is_the_run_where_the_message_does_not():
    hidden = [GpuProcess(pid, mib, None, None, None) for pid, mib in ((900, 5000.0), (901, 20000.0))]
    others = other_processes(_known("CUBLAS_STATUS_ALLOC_FAILED", processes=hidden, reserved=18000.0))
    assert others == [(900, 5000.0, "")]


def test_a_report_gives_back_its_remedies_whatever_else_it_holds():
    found = rank_remedies(_known(FRAGMENTED))
    read = remedies_of({"remedies": [*map(remedy_json, found), 7, {"title": 3, "overrides": "x"}]})
    assert [(each.id, each.overrides, each.environment) for each in read[:-1]] == [
        (each.id, each.overrides, dict(each.environment)) for each in found
    ]
    assert remedies_of({"remedies": "none"}) == ()
    [hostile] = remedies_of({"remedies": [{"environment": {"LD_PRELOAD": "/tmp/x.so"}}]})
    assert hostile.environment == {}, "another user's file starts nothing with variables of its own"
