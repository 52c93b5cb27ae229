"""The speed table: each network and batch by the plain and the fast path, in one run on one machine.

Every case is a benchmark of its own in a process of its own, and its figures a file: what has been measured
is not measured again, so that a table may take several calls.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from diffbev_engine.core.files import make_writable_dir, write_text

PLAIN, FAST = "off", "auto"
_CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
ORIGINAL = (
    "For comparison, the modules of the original repository (527acdb), training at batch 8: 29.5 images/s in "
    "fp32, 40.8 in TF32, 40.5 in bf16; inference 66 to 82 at batch 8, 32 at batch 1. One NVIDIA H200, "
    "torch 2.11, 2026-11-27."
)


@dataclass(frozen=True)
class Case:
    """One benchmark of the table."""

    network: str
    config: str
    batch: int
    compile: str
    training: bool = True
    """Of the whole training path; otherwise of inference alone."""

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.network}_{'training' if self.training else 'inference'}_{self.batch}_{self.compile}"

    def command(self, data_root: Path, options: Sequence[str]) -> list[str]:
        """The arguments of ``diffbev-engine``."""
        sets = ["--set", f"compile={self.compile}", *options]
        if self.training:
            batch = ["--set", f"data.samples_per_gpu={self.batch}"]
            return ["bench", "train", self.config, "--data-root", str(data_root), "--json", *sets, *batch]
        compiled = ["--compiled"] if self.compile == FAST else []
        return ["bench", "diffbev", self.config, "--batch", str(self.batch), "--json", *compiled, *sets]


def cases_of(
    baseline: str, diffbev: str, batches: Sequence[int], diffbev_batch: int, *, on_gpu: bool
) -> list[Case]:
    """All cases of a table, those that people ask for first at the front.

    Args:
        baseline: configuration of the baseline.
        diffbev: configuration of DiffBEV.
        batches: of the baseline.
        diffbev_batch: of DiffBEV.
        on_gpu: whether there is one, without which nothing is compiled for inference.
    """
    ways = (FAST, PLAIN) if on_gpu else (PLAIN,)
    trained = [Case("baseline", baseline, batch, way) for batch in batches for way in (FAST, PLAIN)]
    trained += [Case("DiffBEV", diffbev, diffbev_batch, way) for way in (FAST, PLAIN)]
    return trained + [Case("DiffBEV", diffbev, 1, way, training=False) for way in ways]


def measure(
    cases: Sequence[Case],
    out: Path,
    data_root: Path,
    options: Sequence[str] = (),
    *,
    cold: bool = False,
    show: Callable[[str], None] = lambda _line: None,
) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Measure what ``out`` does not hold yet.

    Args:
        cases: which.
        out: folder of the results.
        data_root: prepared data, with depth.
        options: further arguments of each benchmark.
        cold: start each compiled training with an empty cache first, and note what that takes.
        show: told what is being measured.

    Yields:
        Each case with its figures; ``problem`` is why there are none.
    """
    make_writable_dir(out, "folder of the results")
    for case in cases:
        path, command = out / f"{case.name}.json", case.command(data_root, options)
        figures, starts_cold = _read(path), cold and case.training and case.compile == FAST
        measured = figures is not None and figures["command"] == command  # not under other settings
        if figures is None or not measured or (starts_cold and "cold_s" not in figures):
            show(f"measuring {case.name}")
            figures = _measured_cold(command, out / "caches" / case.name) if starts_cold else _run(command)
            figures["command"] = command
            if "problem" not in figures:  # what failed is tried again by the next call
                write_text(path, json.dumps(figures) + "\n")
        yield case, figures


def table(results: Sequence[tuple[Case, Mapping[str, Any]]]) -> str:
    """Markdown."""
    machines = {
        f"{figures['device']}, torch {figures['torch']}, {figures['precision']}.": None
        for _, figures in results
        if "problem" not in figures
    }
    rows = [*_training_rows(results), "", *_inference_rows(results)]
    return "\n".join([*machines, "", *rows, "", ORIGINAL])


def _training_rows(results: Sequence[tuple[Case, Mapping[str, Any]]]) -> Iterator[str]:
    heads = ("training", "batch", "compile", "images/s (rounds)", "step", "MFU", "waiting for data")
    yield f"| {' | '.join((*heads, 'peak memory', 'start'))} |"
    yield "|---" * 9 + "|"
    for case, figures in results:
        if not case.training:
            continue
        if "problem" in figures:
            yield f"| {case.network} | {case.batch} | {case.compile} | {figures['problem']} | | | | | |"
            continue
        rounds, peak = figures["rounds_images_per_s"], figures["peak_gib"]
        cold = f", {figures['cold_s']:.0f} s with an empty cache" if "cold_s" in figures else ""
        cells = (
            *(case.network, case.batch, case.compile),
            f"{figures['images_per_s']:.1f} ({min(rounds):.1f}–{max(rounds):.1f})",
            *(f"{figures['step_ms']:.1f} ms", f"{figures['mfu']:.1%}", f"{figures['data_wait']:.1%}"),
            *("–" if peak is None else f"{peak:.1f} GiB", f"{figures['warmup_s']:.0f} s{cold}"),
        )
        yield f"| {' | '.join(map(str, cells))} |"


def _inference_rows(results: Sequence[tuple[Case, Mapping[str, Any]]]) -> Iterator[str]:
    yield "| inference, one image | compile | baseline | DiffBEV, by steps |"
    yield "|---|---|---|---|"
    for case, figures in results:
        if case.training:
            continue
        if "problem" in figures:
            yield f"| | {case.compile} | {figures['problem']} | |"
            continue
        [baseline] = figures["baseline"]["inference_ms"].values()
        by_steps = "; ".join(
            f"{steps}: {ms:.1f} ms" for steps, ms in figures["diffbev"]["inference_ms"].items()
        )
        yield f"| | {case.compile} | {baseline:.1f} ms | {by_steps} |"


def _measured_cold(command: Sequence[str], caches: Path) -> dict[str, Any]:
    """The figures of a start that finds compiled kernels, and the time of the one that made them."""
    shutil.rmtree(caches, ignore_errors=True)
    places = {name: str(caches / name) for name in _CACHES}
    first = _run([*command, "--iterations", "1", "--rounds", "1"], places)
    return first if "problem" in first else {**_run(command, places), "cold_s": first["warmup_s"]}


def _run(command: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "diffbev_engine", *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    if done.returncode == 0:
        figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return figures
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return {"problem": said[-1] if said else f"exit code {done.returncode}"}


def _read(path: Path) -> dict[str, Any] | None:
    """What an earlier call measured; ``None`` where it did not, or nobody can tell."""
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return figures if isinstance(figures, dict) and "command" in figures else None
