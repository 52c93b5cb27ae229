"""Torch's out-of-memory messages, in the forms seen in public threads."""

# ruff: noqa: E501 – the messages stay as they were written

import pytest

from diffbev_engine.findings.oom_message import OutOfMemory, parse_oom

GIB = 1024.0
FORMS = [
    (
        "CUDA out of memory. Tried to allocate 938.00 MiB. GPU 0 has a total capacity of 5.60 GiB of which 49.44 MiB "
        "is free. Process 12622 has 948.00 MiB memory in use. Including non-PyTorch memory, this process has 4.06 GiB "
        "memory in use. Of the allocated memory 3.73 GiB is allocated by PyTorch, and 233.73 MiB is reserved by "
        "PyTorch but unallocated. If reserved but unallocated",
        OutOfMemory(938, 0, 5.6 * GIB, 49.44, ((12622, 948),), 4.06 * GIB, 3.73 * GIB, None, 233.73),
    ),
    (
        "Tried to allocate 128.00 MiB. GPU 1 has a total capacty of 7.79 GiB of which 20.69 MiB is free. Including "
        "non-PyTorch memory, this process has 7.75 GiB memory in use. Of the allocated memory 7.45 GiB is allocated "
        "by PyTorch, and 8.61 MiB is reserved by PyTorch but unallocated.",
        OutOfMemory(128, 1, 7.79 * GIB, 20.69, (), 7.75 * GIB, 7.45 * GIB, None, 8.61),
    ),
    (
        "Tried to allocate 546.00 MiB. GPU 0 has a total capacity of 15.77 GiB of which 514.19 MiB is free. Process "
        "562167 has 15.25 GiB memory in use. Of the allocated memory 13.73 GiB is allocated by PyTorch, with 46.00 MiB "
        "allocated in private pools (e.g., CUDA Graphs), and 736.86 MiB is reserved by PyTorch but unallocated.",
        OutOfMemory(546, 0, 15.77 * GIB, 514.19, ((562167, 15.25 * GIB),), None, 13.73 * GIB, 46, 736.86),
    ),
    (
        "Tried to allocate 90.00 MiB. GPU 0 has a total capacity of 15.99 GiB of which 0 bytes is free. Of the "
        "allocated memory 29.53 GiB is allocated by PyTorch, and 25.74 MiB is reserved by PyTorch but unallocated.",
        OutOfMemory(90, 0, 15.99 * GIB, 0, (), None, 29.53 * GIB, None, 25.74),
    ),
    (
        "CUDA out of memory. Tried to allocate 26.00 MiB (GPU 0; 5.80 GiB total capacity; 3.18 GiB already allocated; "
        "62.19 MiB free; 188.00 MiB reserved in total by PyTorch)",
        OutOfMemory(26, 0, 5.8 * GIB, 62.19, (), None, 3.18 * GIB, None, 0.0),
    ),
    (
        "Tried to allocate 3.78 GiB. GPU  has a total capacity of 23.69 GiB of which 875.62 MiB is free. Process 492814 "
        "has 3.21 GiB memory in use. Including non-PyTorch memory, this process has 19.40 GiB memory in use. Of the "
        "allocated memory 17.97 GiB is allocated by PyTorch, and 1.02 GiB is reserved by PyTorch but unallocated.",
        OutOfMemory(
            3.78 * GIB,
            None,
            23.69 * GIB,
            875.62,
            ((492814, 3.21 * GIB),),
            19.4 * GIB,
            17.97 * GIB,
            None,
            1.02 * GIB,
        ),
    ),
]


@pytest.mark.parametrize(("message", "expected"), FORMS)
def test_every_form_is_read(message, expected):
    assert parse_oom(f"iter 40 loss 0.3\ntorch.OutOfMemoryError: {message}\n2026-01-01 more") == expected


def test_the_last_message_counts():
    assert parse_oom("\n".join(message for message, _ in FORMS)).capacity == 23.69 * GIB


def test_what_a_message_means():
    others, spilled = parse_oom(FORMS[0][0]), parse_oom(FORMS[3][0])
    assert others.others_matter
    assert not others.fragmented
    assert spilled.spilled
    assert parse_oom("loss 0.3") is None
    for message, _ in FORMS:
        assert all(text.zh and text.en for text in parse_oom(message).say())


OTHER_FORMS = [
    (
        "HIP out of memory. Tried to allocate 256.00 MiB. GPU 3 has a total capacity of 63.98 GiB of which 41.20 GiB is "
        "free. 20.00 GiB allowed; Of the allocated memory 18.63 GiB is allocated by PyTorch, and 1.93 GiB is reserved "
        "by PyTorch but unallocated.",
        {"gpu": 3, "requested": 256, "allowed": 20 * GIB, "free": 41.2 * GIB, "allocated": 18.63 * GIB},
    ),
    (
        "Tried to allocate 26.00 MiB (GPU 0; 5.80 GiB total capacity; 3.18 GiB already allocated; 62.19 MiB free; 4.00 "
        "GiB allowed; 188.00 MiB reserved in total by PyTorch)",
        {"allowed": 4 * GIB, "capacity": 5.8 * GIB, "free": 62.19},
    ),
    (
        "torch.cuda.OutOfMemoryError: Allocation on device 1 would exceed allowed memory. (out of memory)\n"
        "Currently allocated     : 10.93 GiB\nRequested               : 1.25 GiB\n"
        "Device limit            : 11.99 GiB\nFree (according to CUDA): 0 bytes\n"
        "PyTorch limit (set by user-supplied memory fraction)\n                        : 17179869184.00 GiB",
        {
            "gpu": 1,
            "requested": 1.25 * GIB,
            "allocated": 10.93 * GIB,
            "capacity": 11.99 * GIB,
            "free": 0.0,
            "allowed": None,
        },
    ),
    (
        "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 384.00 MB, max allowed: 9.07 GB). Tried "
        "to allocate 256.00 MB on private pool.",
        {"requested": 256, "allocated": 8 * GIB, "allowed": 9.07 * GIB},
    ),
    ("Last error:\nFailed to CUDA calloc async 2097152 bytes", {"requested": 2}),
    (
        "OutOfMemoryError: Out of memory allocating 1,073,741,824 bytes (allocated so far: 524,288 bytes).",
        {"requested": GIB, "allocated": 0.5},
    ),
    ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4194304 bytes.", {"requested": 4}),
    (
        "OOM when allocating tensor with shape[8,512,64,64] and type float on /job:localhost/replica:0/task:0/"
        "device:GPU:2 by allocator GPU_2_bfc",
        {"gpu": 2, "requested": 64},
    ),
]


def test_the_forms_of_other_allocators_are_read():
    for message, expected in OTHER_FORMS:
        found = parse_oom(f"iter 9\n{message}\n2026-01-01 00:00:00 I more")
        assert {name: getattr(found, name) for name in expected} == pytest.approx(expected), message
        assert all(text.zh and text.en for text in found.say())


def test_a_limit_of_the_memory_fraction_is_told():
    assert "limits PyTorch to 20.00 GiB" in parse_oom(OTHER_FORMS[0][0]).say()[1].en


def test_garbled_figures_are_no_figures():
    assert parse_oom("Tried to allocate 79.10.80 GiB. GPU 0 has a total capacity of 1 GiB") is None
    found = parse_oom("Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10.80 GiB")
    assert (found.requested, found.capacity) == (2 * GIB, None)
    assert parse_oom("Tried to allocate " + "9" * 5000 + " GiB") is None
