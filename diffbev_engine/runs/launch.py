"""Detached starts: a run in a session of its own, and ``launch.json``, which shows how it ended."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from diffbev_engine.core.errors import DiffBEVError, ExitCode
from diffbev_engine.core.files import make_writable_dir, write_text
from diffbev_engine.core.secrets import masked_command, without_secrets
from diffbev_engine.core.state_file import Amount, Count, Decoded, FileName, UnixTime, decode_file
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.lock import current_launch, refuse_if_held
from diffbev_engine.runs.process import ProcessIdentity

_FAMILIES = ("CUDA_", "NCCL_", "OMP_", "GOMP_", "KMP_", "MKL_", "PYTORCH_", "TORCHINDUCTOR_", "TORCH_NCCL_")
_SINGLE = (
    *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_HOME"),
    *("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE", "TORCH_LOGS", "TORCH_SHOW_CPP_STACKTRACES"),
)


@dataclass(frozen=True)
class Launch:
    """``launch.json``: one detached start."""

    id: str
    command: tuple[str, ...]
    """Secrets in it are masked."""
    cwd: str
    environment: Mapping[str, str]
    """The variables that can change a run."""
    console: FileName
    """File name, in the run directory, of what the training wrote to stdout and stderr."""
    started: UnixTime
    supervisor: ProcessIdentity
    process: ProcessIdentity | None = None
    """The started process; ``None`` if it could not be started."""
    ended: UnixTime | None = None
    """``None`` while it runs, and for good if the supervisor was killed too."""
    exit_code: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | None = None
    signal: str | None = None
    """The signal that ended the process, such as SIGKILL; ``exit_code`` is ``None`` then."""
    peak_memory_mb: Amount | None = None
    """Largest resident memory of the process or of one of its workers."""
    oom_kills_cgroup: Count | None = None
    """Processes that the kernel killed meanwhile at the memory limit of this container or job."""
    oom_kills_host: Count | None = None
    """The same for the whole machine."""
    message: str = ""
    """The end in words."""


@dataclass(frozen=True)
class TrainingArguments:
    """What ``diffbev-engine train`` is called with; kept in ``run.json`` so that a run can be resumed."""

    config: str
    work_dir: Path
    gpu_ids: tuple[int, ...] = ()
    overrides: tuple[str, ...] = ()
    resume: str | None = None
    """``latest``, the path of a checkpoint, or ``None`` for a new run."""
    processes: int = 1
    anyway: bool = False
    """Start although a precondition is not met."""

    def command(self) -> list[str]:
        """The command line, through torchrun where it takes several processes."""
        python = [sys.executable, "-m"]
        if self.processes > 1:
            python += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(self.processes), "-m"]
        command = [*python, "diffbev_engine", "train", self.config, "--work-dir", str(self.work_dir)]
        if self.gpu_ids:
            command += ["--gpu-ids", ",".join(map(str, self.gpu_ids))]
        for override in self.overrides:
            command += ["--set", override]
        if self.anyway:
            command += ["--anyway"]
        if self.resume:
            command += ["--resume"] if self.resume == "latest" else ["--resume", self.resume]
        return command


def start_detached(
    folder: RunFolder,
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Launch:
    """Start ``command`` under a supervisor in a session of its own; returns once it runs.

    It has no terminal, reads nothing, writes to a file in the run directory, and lives on when
    this process, its terminal or its SSH connection end, however they do.

    Args:
        folder: the run directory, made if missing.
        command: the program and its arguments.
        cwd: the working directory of the program; default: this process's.
        environment: variables to add to this process's.

    Raises:
        RunHeldError: another run writes to the directory; nothing was changed.
        DiffBEVError: the directory cannot be written, or the program not started.
    """
    refuse_if_held(folder)
    make_writable_dir(folder.path, "work dir")
    reading, writing = os.pipe()
    module = [sys.executable, "-m", "diffbev_engine.runs.supervisor"]
    with os.fdopen(reading, encoding="utf-8") as answers:
        try:
            supervisor = subprocess.Popen(
                [*module, str(folder.path.resolve()), str(writing), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(writing,),
                cwd=cwd,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise DiffBEVError(f"cannot start the training in {cwd or Path.cwd()}: {error}.") from error
        finally:
            os.close(writing)
        text = answers.read()  # to the end: the supervisor closes its side once the training runs
        supervisor.wait()  # it has forked: what supervises is nobody's child
    return _launch_from_answer(folder, text)


def _launch_from_answer(folder: RunFolder, text: str) -> Launch:
    answer: dict[str, Any] = json.loads(text) if text else {"error": "its supervisor ended at once"}
    launch = read_launch(folder)
    if "error" in answer or launch is None:
        error = DiffBEVError(answer.get("error", f"{folder.launch} cannot be read"))
        error.exit_code = ExitCode(answer.get("exit_code", ExitCode.FAILED))
        raise error
    return launch


def decode_launch(folder: RunFolder) -> Decoded[Launch]:
    """The newest detached start in the directory, or what is wrong with the file."""
    return decode_file(folder.launch, Launch)


def read_launch(folder: RunFolder) -> Launch | None:
    """The newest detached start in the directory; ``None`` without one, or if the file is damaged."""
    return decode_launch(folder).value


def write_launch(folder: RunFolder, launch: Launch) -> None:
    """Write ``launch.json``, so that a power cut leaves the old or the new one; for its owner to read."""
    content = {**asdict(launch), "command": masked_command(launch.command)}
    write_text(folder.launch, json.dumps(content, indent=1) + "\n", durable=True, private=True)


def own_launch_files(folder: RunFolder) -> tuple[Path, ...]:
    """The files of the detached start that this process belongs to; they stay when a run is moved away."""
    launch = read_launch(folder)
    if launch is None or launch.id != current_launch():
        return ()
    return folder.launch, folder.path / launch.console


def telling_environment() -> dict[str, str]:
    """The variables of this process that can change a run, secrets skipped."""
    listed = {
        name: value
        for name, value in sorted(os.environ.items())
        if name in _SINGLE or name.startswith(_FAMILIES)
    }
    return without_secrets(listed)
