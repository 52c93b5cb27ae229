"""Wordings of failures, from the sources of the programs that print them."""

# ruff: noqa: E501 – the messages stay as they are printed

import time

import pytest

from diffbev_engine.findings.catalogue import LogText, Strength, Wording, kinds, says, signs_of

WORDINGS = {
    "gpu-memory": [
        "RuntimeError: CUDA driver error: 2",
        "thrust::system::system_error: parallel_for failed: cudaErrorMemoryAllocation: out of memory",
        "XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 1024 bytes.",
        "RuntimeError: CUDA out of memory. Tried to allocate 26.00 MiB (GPU 0; 5.80 GiB total capacity; 3.18 GiB already allocated)",
        "[rank3]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB. GPU 3 has a total capacity of 39.38 GiB",
        "torch.AcceleratorError: CUDA error: out of memory",
        "RuntimeError: MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB).",
        "torch.OutOfMemoryError: NPU out of memory. Tried to allocate 20.00 MiB (NPU 0; 60.97 GiB total capacity)",
        "RuntimeError: cuBLAS error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4294967296 bytes.",
        "cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 1,073,741,824 bytes (allocated so far: 0 bytes).",
        "host:7:9 [1] include/alloc.h:99 NCCL WARN Cuda failure 2 'out of memory'",
        "ncclUnhandledCudaError: Call to CUDA function failed. Last error: Failed to CUDA calloc 4194304 bytes",
        "RuntimeError: Triton Error [CUDA]: out of memory",
        "RuntimeError: HIP error: out of memory",
    ],
    "host-memory": [
        "python invoked oom-killer: gfp_mask=0x1100cca",
        "RuntimeError: CUDA error: out of memory (cudaHostAlloc)",
        "slurmstepd: error: Detected 2 oom-kill event(s) in step 370626.batch cgroup. Some of your processes may have been killed by the cgroup out-of-memory handler.",
        "slurmstepd-n7: error: Detected 1 oom_kill event in StepId=11.batch. Some of the step tasks have been OOM Killed.",
        "slurmstepd: error: Exceeded job memory limit at some point.",
        "Memory cgroup out of memory: Killed process 811 (python) total-vm:90012kB",
        "[18231.1] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=docker",
        "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 3.2 GiB for an array with shape (3, 900, 1600) and data type float64",
        "MemoryError",
        "[rank0]: MemoryError: Unable to allocate 1.00 GiB for an array with shape (134217728,)",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.",
        "OSError: [Errno 12] Cannot allocate memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "RuntimeError: DataLoader worker (pid 12) is killed by signal: Killed. ",
        "cv2.error: OpenCV(4.9.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 4320000 bytes in function 'OutOfMemoryError'",
    ],
    "loader-crash": [
        "fork: retry: Resource temporarily unavailable",
        "libgomp: Thread creation failed: Resource temporarily unavailable",
        "RuntimeError: DataLoader worker (pid(s) 1, 2) exited unexpectedly",
        "RuntimeError: DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory.",
        "RuntimeError: DataLoader worker (pid 7) is killed by signal: Segmentation fault. ",
        "RuntimeError: unable to write to file </torch_12_99_0>: No space left on device (28)",
        "RuntimeError: received 0 items of ancdata",
        "RuntimeError: can't start new thread",
        "OSError: [Errno 24] Too many open files",
        "OSError: [Errno 28] inotify watch limit reached",
    ],
    "device-assert": [
        "/pytorch/aten/src/ATen/native/cuda/Loss.cu:250: nll_loss_forward_reduce_cuda_kernel_2d: block: [0,0,0], thread: [7,0,0] Assertion `t >= 0 && t < n_classes` failed.",
        "torch.AcceleratorError: CUDA error: device-side assert triggered",
    ],
    "gpu-fault": [
        "RuntimeError: CUDA error: an illegal memory access was encountered",
        "torch.AcceleratorError: CUDA error: misaligned address",
        "RuntimeError: CUDA error: unspecified launch failure",
        "CUDA error: an illegal instruction was encountered",
        "NVRM: Xid (PCI:0000:c1:00): 31, pid=4111, name=python, Ch 00000008, intr 00000000. MMU Fault",
    ],
    "gpu-hardware": [
        "NVRM: Xid (PCI:0000:06:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
        "NVRM: Xid (PCI:0000:3b:00): 48, pid=12, An uncorrectable double bit error (DBE) has been detected",
        "RuntimeError: CUDA error: uncorrectable ECC error encountered",
        "Unable to determine the device handle for GPU0000:65:00.0: Unknown Error",
        "pynvml.NVMLError_GpuIsLost: GPU is lost",
    ],
    "gpu-unavailable": [
        "RuntimeError: Attempting to deserialize object on CUDA device 2 but torch.cuda.device_count() is 1.",
        "AssertionError: Invalid device id",
        "torch.AcceleratorError: CUDA error: invalid device ordinal",
        "RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable",
        "Failed to initialize NVML: Unknown Error",
        "error: there is no GPU 3: this machine has 2 (0 to 1)",
    ],
    "cuda-mismatch": [
        "NVRM: API mismatch: the client has the version 535.54, but this kernel module has the version 535.86",
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
        "Failed to initialize NVML: Driver/library version mismatch",
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "AssertionError: Torch not compiled with CUDA enabled",
    ],
    "missing-library": [
        "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
        "/lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /opt/x.so)",
        "Could not load library libcudnn_cnn_infer.so.8. Error: libcuda.so: cannot open shared object file",
        "Unable to load any of {libcudnn_graph.so.9.1.0, libcudnn_graph.so.9}",
        "ImportError: /opt/x.so: undefined symbol: _ZN3c105ErrorC2ENS_14SourceLocationESs",
    ],
    "numpy-abi": [
        "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.1.1 as it may crash.",
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88 from PyObject",
        "AttributeError: _ARRAY_API not found",
        "RuntimeError: module compiled against API version 0x10 but this version of numpy is 0xf",
    ],
    "compiler": [
        "subprocess.CalledProcessError: Command '['/usr/bin/gcc', '/tmp/x.c']' returned non-zero exit status 1.",
        "FileNotFoundError: [Errno 2] No such file or directory: 'gcc'",
        "torch._inductor.exc.InductorError: RuntimeError: Failed to find C compiler. Please specify via CC environment variable.",
        "/tmp/tmpq/main.c:5:10: fatal error: Python.h: No such file or directory",
        "KeyError: 'getpwuid(): uid not found: 1042'",
        "RuntimeError: Compiler: g++ is not found.",
    ],
    "scheduler": [
        "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.",
        "slurmstepd: error: *** JOB 99 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO TIME LIMIT ***",
        "slurmstepd: error: *** STEP 99.0 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO PREEMPTION ***",
        "slurmstepd: error: *** JOB 99 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***",
        "slurmstepd: error: *** JOB 99 ON n1 CANCELLED AT 2026-01-02T03:04:05 ***",
    ],
    "process-group": [
        "DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1970, remote process exited or there was a network error",
        "[rank1]:[E101 ProcessGroupNCCL.cpp:629] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=5, OpType=BROADCAST)",
        "ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.",
        "torch.distributed.DistBackendError: NCCL error in: NCCLUtils.hpp:275, unhandled system error, NCCL version 2.20.5",
        "misc/socket.cc:538 NCCL WARN Net : Connection closed by remote peer node7<47861>",
        "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.7]:4421",
        "torch.distributed.DistStoreError: Timed out after 601 seconds waiting for clients. 1/2 clients joined.",
    ],
    "port-in-use": [
        "RuntimeError: The server socket has failed to listen on any local network address. The server socket has failed to bind to [::]:29500 (errno: 98 - Address already in use).",
    ],
    "native-crash": [
        "Fatal Python error: Segmentation fault",
        "run.sh: line 4: 4711 Segmentation fault      (core dumped) python train.py",
        "  exitcode  : -11 (pid: 5277) (SIGSEGV)",
        "  traceback : Signal 11 (SIGSEGV) received by PID 5277",
        "free(): invalid pointer",
    ],
    "terminated": [
        "torch.distributed.elastic.multiprocessing.api.SignalException: Process 4242 got signal: 15",
        "Terminated",
    ],
    "disk-full": [
        "OSError: [Errno 28] No space left on device: '/runs/a/.iter_100.pth.tmp'",
        "OSError: [Errno 122] Disk quota exceeded",
        "RuntimeError: [enforce fail at inline_container.cc:595] . PytorchStreamWriter failed writing file data/3: file write failed",
    ],
    "io-error": [
        "OSError: [Errno 70] Communication error on send",
        "OSError: [Errno 103] Software caused connection abort: '/mnt/x'",
        "OSError: [Errno 5] Input/output error: '/data/x.jpg'",
        "OSError: [Errno 116] Stale file handle",
        "OSError: [Errno 107] Transport endpoint is not connected: '/mnt/data'",
    ],
    "read-only": ["OSError: [Errno 30] Read-only file system: 'metrics.csv'"],
    "permission": ["PermissionError: [Errno 13] Permission denied: '/runs/a/metrics.csv'"],
    "directory-gone": [
        "error: cannot write checkpoint runs/a/iter_5.pth: [Errno 2] No such file or directory",
        "RuntimeError: Parent directory runs/a does not exist.",
    ],
    "checkpoint-damaged": [
        "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory",
        "RuntimeError: unexpected EOF, expected 4186 more bytes. The file might be corrupted.",
        "_pickle.UnpicklingError: pickle data was truncated",
        "EOFError: Ran out of input",
    ],
    "checkpoint-foreign": [
        "_pickle.UnpicklingError: Weights only load failed. This file can still be loaded, to do so you have two options",
        "_pickle.UnpicklingError: invalid load key, '<'.",
    ],
    "image-damaged": [
        "cv2.error: OpenCV(4.8.0) /io/imgproc/resize.cpp:4065: error: (-215:Assertion failed) !ssize.empty() in function 'resize'",
        "OSError: image file is truncated (54 bytes not processed)",
        "PIL.UnidentifiedImageError: cannot identify image file 'a.jpg'",
        "libpng error: IDAT: CRC error",
        "OSError: broken data stream when reading image file",
    ],
    "diverged": [
        "FloatingPointError: Loss became infinite or NaN at iteration=77!",
        "ValueError: Expected parameter logits to satisfy the constraint, but found invalid values: tensor([nan, nan])",
        "error: training diverged at step 270: Lwce is NaN or infinite.",
        "2026-01-02 03:04:05,123 - mmseg - INFO - Iter [50/40000] lr: 1e-2, loss_seg: nan, loss: nan, grad_norm: nan",
        "RuntimeError: Function 'MulBackward0' returned nan values in its 0th output.",
        "Exception: Current loss scale already at minimum - cannot decrease scale anymore. Exiting run.",
    ],
    "unused-parameters": [
        "RuntimeError: Expected to mark a variable ready only once.",
        "RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one.",
        "Parameter indices which did not receive grad for rank 1: 4 5",
    ],
}
POSSIBLE = {
    "gpu-memory": [
        "RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "RuntimeError: GET was unable to find an engine to execute this computation",
        "RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    ],
    "host-memory": ["Killed", "  traceback : Signal 9 (SIGKILL) received by PID 14750"],
}
HEALTHY = [
    "W0306 14:40:15.990000 99 torch/_inductor/select_algorithm.py:1517] [2/0] out of resource: shared memory, Required: 131072, Hardware limit: 101376.",
    "conv.py:456: UserWarning: Plan failed with a cudnnException: cudnn_status: CUDNN_STATUS_NOT_SUPPORTED (Triggered internally at Conv_v8.cpp:919.)",
    "2026-11-20 08:00:01 I 28130 training images, on NVIDIA A40",
    "2026-11-20 08:11:02 I iter 100/200000 loss 0.61 Lwce 0.61 lr 2e-4 grad inf",
    "CPU, 2 threads (no GPU found)",
    "no checkpoint in runs/a; starting from iteration 0",
    "saved iter_2000.pth (best mIoU 12.34)",
    "UserWarning: find_unused_parameters=True was specified in DDP constructor, but did not find any unused parameters",
]


def _proven(text: str) -> set[str]:
    log = LogText(text)
    return {name for name, kind in kinds().items() if any(sign.proves for sign in signs_of(kind, log))}


def test_every_wording_names_its_kind():
    for name, wordings in WORDINGS.items():
        for wording in wordings:
            assert name in _proven(wording), wording


def test_a_wording_of_doubt_is_told_from_a_certain_one():
    for name, wordings in POSSIBLE.items():
        for wording in wordings:
            (sign, *_) = signs_of(kinds()[name], LogText(wording))
            assert sign.strength is not Strength.CERTAIN, wording
            assert sign.kind.doubt.zh
            assert not says(name, wording)


def test_healthy_lines_show_nothing():
    for line in HEALTHY:
        assert not _proven(line), line


def test_no_kind_is_taken_for_another():
    for name, other, text in (
        ("disk-full", "loader-crash", "unable to write to file </torch_1>: No space left on device (28)"),
        ("disk-full", "loader-crash", "[Errno 28] inotify instance limit reached"),
        ("no-gpu", "gpu-unavailable", "Failed to initialize NVML: Unknown Error"),
        ("host-memory", "gpu-memory", "torch.cuda.OutOfMemoryError: CUDA out of memory."),
        ("configuration-missing", "compiler", "fatal error: Python.h: No such file or directory"),
    ):
        assert name not in _proven(text), text
        assert other in _proven(text), text


def test_a_message_that_training_survived_proves_nothing():
    progress = "2026-11-20 08:00:0{} I iter {}00/900 loss 0.4\n"
    text = "W retry\nOSError: [Errno 28] No space left on device\n"
    assert _proven(text) == {"disk-full"}
    assert not _proven(text + "".join(progress.format(i, i) for i in range(1, 5)))
    assert not _proven(text + "finished after 900 iterations\n")
    assert "diverged" in _proven("".join(f"iter {i}/900 loss nan\n" for i in range(1, 9)))


def test_the_shown_part_of_a_long_line_holds_the_wording():
    (sign,) = signs_of(kinds()["gpu-memory"], LogText("x" * 5000 + " CUDA out of memory. " + "y" * 5000))
    assert "CUDA out of memory" in sign.text
    assert len(sign.text) <= 300


def test_escapes_and_carriage_returns_do_not_hide_a_message():
    assert _proven("\x1b[31mCUDA out of\x1b[0m memory\r 10%|█ ") == {"gpu-memory"}


def test_a_wording_is_matched_in_order_and_anchored():
    assert Wording.parse("a*c").find("xaxbc") == 1
    assert Wording.parse("a*c").find("cxa") == -1
    assert Wording.parse("^a$").find("[rank0]: a ") == 9
    assert Wording.parse("^a$").find("b a") == -1
    assert Wording.parse("^a$").find("ab") == -1


@pytest.mark.parametrize("line", ["loss " * 40_000, "tried to allocate " * 20_000, "a" * 400_000])
def test_time_is_linear_in_a_line(line):
    begun, log = time.process_time(), LogText(line)
    for kind in kinds().values():
        signs_of(kind, log)
    assert time.process_time() - begun < 20, "a backtracking match would take hours"


def test_kinds_have_names_of_their_own_and_wordings():
    for name, kind in kinds().items():
        assert name == kind.id
        assert [*kind.wordings]
        assert all(wording.parts for _, wording in kind.wordings), name
        assert bool(kind.doubt) == bool(kind.often or kind.possible), name
