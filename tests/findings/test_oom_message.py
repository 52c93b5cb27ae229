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
