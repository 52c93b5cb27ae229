"""What ``compile=`` needs on this machine: the compiler and headers that Triton and Inductor call."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from diffbev_engine.core.bilingual import Bilingual, same
from diffbev_engine.findings.finding import Remedy

if TYPE_CHECKING:
    from diffbev_engine.config.settings import Settings

OFF = Remedy(Bilingual("或使用 --set compile=off", "or use --set compile=off"), overrides=("compile=off",))
WORTH_COMPILING = 2_500
"""Iterations from which on ``compile=auto`` compiles.  A first start takes up to 50 seconds longer on 16
cores, which is won back within 900 iterations at batch 8, and two to three minutes longer on two or three."""
_TRIAL = "#include <Python.h>\n#include <stdint.h>\n"
_TRIAL_S = 30.0


def why_not_compiled(settings: Settings, *, on_gpu: bool) -> Bilingual | None:
    """Why a training calls no compiler; ``None`` if it does.

    Under ``auto`` not for kernels that must be the same in every run: the fastest are chosen by measuring.
    """
    if settings.compile != "auto":
        return same("compile=off") if settings.compile == "off" else None
    if not on_gpu:
        return Bilingual("没有 GPU 时不编译", "nothing is compiled without a GPU")
    if settings.deterministic:
        return same("deterministic=True")
    iterations = settings.runner.max_iters
    if iterations < WORTH_COMPILING:
        return Bilingual(f"{iterations} 次迭代太短，不值得编译", f"{iterations} iterations are too few")
    return None


def missing_for_compile(
    *, on_gpu: bool, environment: Mapping[str, str] = os.environ, include: Path | None = None
) -> tuple[Bilingual, Remedy] | None:
    """What is missing and how to get it; ``None`` if ``compile=`` can work.

    On a GPU Triton builds its launchers with a C compiler (``CC``, else gcc or clang); on the CPU
    Inductor builds kernels with a C++ compiler (``CXX``, else g++).  Both include Python.h.

    Args:
        on_gpu: where the model runs.
        environment: ``CC``, ``CXX`` and ``PATH``.
        include: where Python.h is expected; default: where this Python has it.
    """
    language = "C" if on_gpu else "C++"
    command = _command(on_gpu, environment)
    if command is None:
        variable = "CC" if on_gpu else "CXX"
        named = environment.get(variable)
        why = f"{variable}={named}" if named else "gcc, clang" if on_gpu else _CPP
        what = Bilingual(
            f"未找到 {language} 编译器（{why}），torch.compile 需要它",
            f"no {language} compiler found ({why}); torch.compile needs one",
        )
        return what, _install("build-essential", "c-compiler" if on_gpu else "cxx-compiler")
    folder = include or _include()
    if not (folder / "Python.h").is_file():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        what = Bilingual(
            f"缺少 {folder}/Python.h，torch.compile 需要它",
            f"{folder}/Python.h is missing; torch.compile needs it",
        )
        return what, _install(f"python{version}-dev", f"python={version}")
    problem = _try(command, language.lower(), folder, environment)
    if problem is None:
        return None
    what = Bilingual(
        f"{language} 编译器 {command[0]} 无法工作：{problem}",
        f"the {language} compiler {command[0]} does not work: {problem}",
    )
    return what, _install("build-essential", "c-compiler" if on_gpu else "cxx-compiler")


_CPP = "clang++" if sys.platform == "darwin" else "g++"


def _command(on_gpu: bool, environment: Mapping[str, str]) -> list[str] | None:
    """The compiler as the libraries choose it; a variable that is set replaces the usual names."""
    path = environment.get("PATH", os.defpath)
    if on_gpu:  # Triton takes CC as one program
        names = [environment["CC"]] if "CC" in environment else ["gcc", "clang"]
        found = next((name for name in names if shutil.which(name, path=path)), None)
        return [found] if found else None
    try:
        words = shlex.split(environment.get("CXX", _CPP))  # such as "ccache g++"
    except ValueError:
        return None
    return words if words and shutil.which(words[0], path=path) else None


def _include() -> Path:
    scheme = sysconfig.get_default_scheme()
    # Debian's own scheme points below /usr/local, where no headers are.
    return Path(sysconfig.get_paths("posix_prefix" if scheme == "posix_local" else scheme)["include"])


def _try(command: list[str], language: str, folder: Path, environment: Mapping[str, str]) -> str | None:
    """Build a library with the headers, as they do; the compiler's first error if it cannot."""
    with tempfile.TemporaryDirectory() as scratch:
        library = str(Path(scratch) / "trial.so")
        arguments = [*command, "-x", language, "-shared", "-fPIC", f"-I{folder}", "-o", library, "-"]
        try:
            done = subprocess.run(
                arguments,
                input=_TRIAL,
                env=dict(environment),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TRIAL_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return next((line for line in lines if "error" in line.lower()), lines[0]).strip()[:200]


def _install(debian: str, conda: str) -> Remedy:
    command = f"sudo apt install {debian}"
    if os.environ.get("CONDA_PREFIX"):
        command = f"conda install -c conda-forge {conda}"
    return Remedy(
        Bilingual(
            f"安装 {debian}（conda 环境：conda-forge 的 {conda}）：{command}",
            f"install {debian} (in conda: {conda} from conda-forge): {command}",
        ),
        shell=command,
    )


def missing_libcuda(environment: Mapping[str, str] = os.environ) -> tuple[Bilingual, Remedy] | None:
    """Triton links against the driver's libcuda.so.1, which it takes from ldconfig or ``LD_LIBRARY_PATH``."""
    folders = [*environment.get("LD_LIBRARY_PATH", "").split(":"), environment.get("TRITON_LIBCUDA_PATH", "")]
    if any(folder and (Path(folder) / "libcuda.so.1").exists() for folder in folders):
        return None
    try:
        known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, timeout=_TRIAL_S, check=False)
        if b"libcuda.so.1" in known.stdout:
            return None
    except (OSError, subprocess.SubprocessError):
        pass
    what = Bilingual(
        "动态链接器找不到 libcuda.so.1，torch.compile 需要它",
        "the dynamic linker does not find libcuda.so.1; torch.compile needs it",
    )
    advice = Bilingual(
        "运行 sudo ldconfig，或将 LD_LIBRARY_PATH 设为其所在目录",
        "run sudo ldconfig, or set LD_LIBRARY_PATH to its directory",
    )
    return what, Remedy(advice, shell="sudo ldconfig")
