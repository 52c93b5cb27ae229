"""Where a run begins: from which checkpoint, and what differs from the run that wrote it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.changes import Change, changes
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.manifest import Manifest, TrainingData, all_versions, read_manifest
from diffbev_engine.runs.metrics.file import read_metrics
from diffbev_engine.train.checkpoint import Checkpoint, Usable, load_checkpoint, newest_usable
from diffbev_engine.train.job import TrainingJob

_PROCESSES = "processes"
_DATA_ORDER = (
    *("seed", "data_root", "data.cameras", "data.samples_per_gpu", "optimizer_config.cumulative_iters"),
    _PROCESSES,
)
"""Settings that decide which images an iteration sees."""
_NO_EFFECT = (
    *("data.workers_per_gpu", "data.frame_cache", "log_config.", "checkpoint_config.", "dist_params."),
    *("model.backbone.pretrained", "load_from", "recompute"),
)
"""Settings that no result of a resumed run depends on."""


@dataclass(frozen=True)
class Start:
    """Where a run begins."""

    checkpoint: Checkpoint | None = None
    """``None``: from the configuration, at iteration 0."""
    path: Path | None = None
    """The file of the checkpoint."""
    notes: tuple[str, ...] = ()
    """What the user should know of it, one warning each."""

    @property
    def iteration(self) -> int:
        """Optimizer steps done."""
        return self.checkpoint.iteration if self.checkpoint else 0


def find_start(
    job: TrainingJob, folder: RunFolder, processes: int, data: TrainingData | None = None
) -> Start:
    """Choose and verify the checkpoint to resume from; nothing is written or moved.

    Args:
        job: what is asked for.
        folder: the run directory.
        processes: training processes of this start.
        data: the images of this start; compared with those of the run where it is given.

    Raises:
        UsageError: the checkpoint is beyond ``runner.max_iters`` or was trained on other images, or
            ``--resume`` finds a run that cannot be continued and would have to be started over.
        DiffBEVError: no checkpoint can be used.
    """
    if job.resume_from is not None:
        taken = Usable(job.resume_from, load_checkpoint(job.resume_from, to_resume=True))
    elif job.resume:
        found = newest_usable(folder.path)
        if found is None:
            _refuse_to_start_over(job, folder)
            return Start()
        taken = found
    else:
        return Start()
    checkpoint, last = taken.checkpoint, job.settings.runner.max_iters
    if checkpoint.iteration > last:
        raise UsageError(
            f"checkpoint is at iteration {checkpoint.iteration}, runner.max_iters is {last}; nothing to "
            f"train. Raise runner.max_iters ({taken.path})."
        )
    manifest = read_manifest(RunFolder(taken.path.parent)) or Manifest()
    same_images = _same_images(job, checkpoint, manifest.data, data)
    notes = [
        *([taken.note] if taken.note else []),
        *describe_changes(checkpoint, job.settings, processes, same_images=same_images),
        *_other_versions(manifest.versions),
    ]
    return Start(checkpoint, taken.path, tuple(notes))


def _same_images(
    job: TrainingJob, checkpoint: Checkpoint, before: TrainingData | None, now: TrainingData | None
) -> bool:
    """Whether a run continues with the images that it was trained on.

    Raises:
        UsageError: it does not, no setting says why, and ``--anyway`` was not given.
    """
    if before is None or now is None:
        return str(job.settings.data_root) == checkpoint.settings.get("data_root")
    cameras = checkpoint.settings.get("data", {}).get("cameras")
    if before == now or job.settings.data.cameras != cameras or job.anyway:
        return before == now
    raise UsageError(
        f"the training images of {job.settings.data_root} are not those that this run was trained on: "
        f"{before.images:,} images then, {now.images:,} now, or others. Restore the data root, start a new "
        "run in another --work-dir, or resume on these images with --anyway. Nothing was changed."
    )


def _other_versions(before: Mapping[str, str]) -> list[str]:
    now = all_versions()
    differing = [
        f"{name} {before[name]} → {now[name]}" for name in now if before.get(name, now[name]) != now[name]
    ]
    if not differing:
        return []
    return [f"other versions than before: {', '.join(differing)}. Results may differ slightly."]


def describe_changes(
    checkpoint: Checkpoint, settings: Settings, processes: int, *, same_images: bool
) -> list[str]:
    """Warnings, one per line, about what makes a resumed run differ from one that was never stopped.

    Args:
        checkpoint: what it continues from.
        settings: of this start.
        processes: training processes of this start.
        same_images: whether the data root has the same images, wherever it is now.
    """
    before, now = checkpoint.settings, settings.model_dump(mode="json")
    ignored = (*_NO_EFFECT, "data_root") if same_images else _NO_EFFECT
    found = [
        change
        for change in changes(_shared(before, now), _shared(now, before))
        if not change.key.startswith(ignored)
    ]
    if len(checkpoint.random) != processes:
        found.append(Change(_PROCESSES, len(checkpoint.random), processes))
    lines = [f"changed since the checkpoint was written: {change}" for change in found]
    if any(change.key in _DATA_ORDER for change in found):
        lines.append(
            "the images come in another order from here on; some of this epoch are repeated or skipped"
        )
    return lines


def _refuse_to_start_over(job: TrainingJob, folder: RunFolder) -> None:
    """Stop a ``--resume`` that would begin at iteration 0 where there was a run."""
    earlier = folder.earlier_runs()
    for directory in earlier:
        try:
            found = newest_usable(directory)
        except DiffBEVError:
            continue
        if found:
            command = ["diffbev-engine", "train", job.config_path, "--work-dir", str(folder.path)]
            raise UsageError(
                f"nothing to resume in {folder.path}: an earlier run was moved to {directory.name}/. Its "
                f"newest checkpoint is {found.path}, at iteration {found.checkpoint.iteration}. To continue "
                f"it, run `{shlex.join([*command, '--resume', str(found.path)])}`. To start a new run, leave "
                "out --resume. Nothing was changed."
            )
    if earlier:
        raise UsageError(
            f"nothing to resume in {folder.path}: an earlier run was moved to {earlier[0].name}/, and has no "
            "usable checkpoint there. To start a new run, leave out --resume. Nothing was changed."
        )
    if _has_rows(folder.metrics):
        raise UsageError(
            f"nothing to resume in {folder.path}: it has metrics of an earlier run, but none of its "
            "checkpoints. To start a new run, leave out --resume; the earlier files are then moved to a "
            "subdirectory. Nothing was changed."
        )


def _has_rows(metrics: Path) -> bool:
    try:
        return read_metrics(metrics, most=1 << 20).last_step > 0
    except DiffBEVError:  # no file, or nothing in it that could be lost
        return False


def _shared(settings: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that ``other`` has too: versions of this program know different ones."""
    return {
        name: _shared(value, other[name])
        if isinstance(value, dict) and isinstance(other[name], dict)
        else value
        for name, value in settings.items()
        if name in other
    }
