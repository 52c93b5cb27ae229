"""The arithmetic and the two forms of an ablation's result; scores inside are shares, 0 to 1."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import mean, stdev
from typing import Any

from diffbev_engine.bench.scheduler import Entry, State
from diffbev_engine.bench.speed import Speed
from diffbev_engine.bench.variants import VARIANTS, reference_of
from diffbev_engine.config.settings import Settings
from diffbev_engine.core.classes import CLASSES, OBJECT_CLASSES
from diffbev_engine.core.format import points
from diffbev_engine.evaluate.result import MASK_NAMES


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its uncertainty."""

    mean: float
    spread: float | None
    """Of scores the sample standard deviation, of gaps the standard error; ``None`` for one seed."""
    seeds: int


@dataclass(frozen=True)
class Circumstances:
    """Heading of the table: how its numbers were made."""

    command: str
    config: str
    torch: str
    train_frames: int
    val_frames: int
    seeds: tuple[int, ...]
    variants: tuple[str, ...]
    settings: Settings
    """Of any training: they differ in the model and the seed."""


def score(outcomes: Mapping[int, float]) -> Estimate | None:
    """Mean and sample standard deviation of ``outcomes``, seed to score."""
    if not outcomes:
        return None
    values = list(outcomes.values())
    return Estimate(mean(values), stdev(values) if len(values) > 1 else None, len(values))


def gap(outcomes: Mapping[int, float], reference: Mapping[int, float]) -> Estimate | None:
    """Mean difference to ``reference`` over the seeds that both have, and its standard error."""
    seeds = sorted(outcomes.keys() & reference.keys())
    if not seeds:
        return None
    differences = [outcomes[seed] - reference[seed] for seed in seeds]
    error = stdev(differences) / sqrt(len(seeds)) if len(seeds) > 1 else None
    return Estimate(mean(differences), error, len(seeds))


def scores_by_variant(entries: Sequence[Entry], mask: str = "") -> dict[str, dict[int, float]]:
    """Variant to seed to mIoU, of the finished runs; under another ``mask`` than that of the settings."""
    scores: dict[str, dict[int, float]] = {}
    for entry in entries:
        by_seed = scores.setdefault(entry.training.variant, {})
        if entry.outcome and (not mask or mask in entry.outcome.masks):
            by_seed[entry.training.seed] = entry.outcome.masks[mask] if mask else entry.outcome.miou
    return scores


def _other_masks(facts: "Circumstances", entries: Sequence[Entry]) -> dict[str, dict[str, dict[int, float]]]:
    """The scores under each ignore mask that is not the main one."""
    found = {mask for entry in entries if entry.outcome for mask in entry.outcome.masks}
    names = [name for name in MASK_NAMES if name in found - {facts.settings.evaluation.mask}]
    return {mask: scores_by_variant(entries, mask) for mask in names}


def as_json(
    facts: Circumstances, entries: Sequence[Entry], speeds: Mapping[str, Speed], date: str
) -> dict[str, Any]:
    """Everything for programs; percent points appear nowhere."""
    settings, scores = facts.settings, scores_by_variant(entries)
    others, reference = _other_masks(facts, entries), reference_of(facts.variants)
    batch = settings.data.samples_per_gpu * settings.optimizer_config.cumulative_iters
    return {
        "command": facts.command,
        "config": facts.config,
        "date": date,
        "devices": devices(entries),
        "torch": facts.torch,
        "frames": {"train": facts.train_frames, "val": facts.val_frames},
        "iterations": settings.runner.max_iters,
        "batch": batch,
        "image_size": list(settings.data.image_size),
        "precision": settings.precision,
        "split": "val",
        "mask": settings.evaluation.mask,
        "seeds": list(facts.seeds),
        "reference": reference,
        "variants": [
            {
                "variant": name,
                "overrides": list(VARIANTS[name]),
                "mIoU": _plain(score(scores[name]), "std"),
                "gap": _plain(gap(scores[name], scores[reference]), "standard_error"),
                "masks": {
                    mask: {
                        "mIoU": _plain(score(each[name]), "std"),
                        "gap": _plain(gap(each[name], each[reference]), "standard_error"),
                    }
                    for mask, each in others.items()
                },
                "IoU": _mean_by_class(_of(entries, name)),
                "runs": [_run(entry) for entry in _of(entries, name)],
                "depth": _depth(_of(entries, name)),
                "speed": asdict(speeds[name]) if name in speeds else None,
            }
            for name in facts.variants
        ],
        "missing": [entry.training.name for entry in entries if entry.state is not State.FINISHED],
        "failed": {entry.training.name: entry.message for entry in entries if entry.state is State.FAILED},
    }


def as_markdown(
    facts: Circumstances, entries: Sequence[Entry], speeds: Mapping[str, Speed], date: str
) -> str:
    """The table for people, with everything next to it that its numbers need to be compared."""
    scores, others = scores_by_variant(entries), _other_masks(facts, entries)
    reference, total = reference_of(facts.variants), len(facts.seeds)
    lines = [
        f"# Ablation of {facts.config}",
        "",
        f"```\n{facts.command}\n```",
        "",
        *_header(facts, entries, date),
        "",
        f"| variant | mIoU | gap to {reference} | map | objects | "
        f"{''.join(f'mIoU {mask} (gap) | ' for mask in others)}"
        "seeds | depth abs rel | depth RMSE | parameters | training step | inference a batch | peak memory |",
        f"|{'---|' * (12 + len(others))}",
    ]
    for name in facts.variants:
        difference = None if name == reference else gap(scores[name], scores[reference])
        cells = [name, _points(score(scores[name])), _points(difference, sign="+")]
        cells += [
            *_group_cells(_of(entries, name)),
            *(
                _with_gap(each[name], None if name == reference else each[reference])
                for each in others.values()
            ),
            f"{len(scores[name])}/{total}",
            *_depth_cells(_of(entries, name)),
            *_speed_cells(speeds.get(name)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *_shortfalls(entries)]) + "\n"


def devices(entries: Sequence[Entry]) -> list[str]:
    """The devices that finished runs ran on, each once."""
    return sorted({entry.outcome.device for entry in entries if entry.outcome})


def _header(facts: Circumstances, entries: Sequence[Entry], date: str) -> list[str]:
    settings = facts.settings
    height, width = settings.data.image_size
    batch = settings.data.samples_per_gpu * settings.optimizer_config.cumulative_iters
    mask = settings.evaluation.mask
    return [
        f"{', '.join(devices(entries)) or 'no finished run yet'}; torch {facts.torch}; {date}.",
        f"{facts.train_frames} training and {facts.val_frames} validation frames; "
        f"{settings.runner.max_iters} iterations × batch {batch}, images {height}×{width} (height × width), "
        f"{settings.precision}; seeds {', '.join(map(str, facts.seeds))}.",
        "",
        "mIoU: percent points, after the last iteration, val split, "
        f"ignore mask `{mask}` ({MASK_NAMES[mask]}); "
        "mean ± sample standard deviation over seeds. Gap: mean difference to "
        f"`{reference_of(facts.variants)}` under the same seed ± its standard error. "
        "map, objects: mean IoU of the four layers of the map and of the ten objects. "
        "Times and memory: each network alone on the device, without loader.",
    ]


def _shortfalls(entries: Sequence[Entry]) -> list[str]:
    missing = [entry for entry in entries if entry.state is not State.FINISHED]
    if not missing:
        return []
    lines = [
        "",
        f"{len(missing)} of {len(entries)} runs are missing. Run the same command again to continue.",
    ]
    for entry in missing:
        if entry.state is State.FAILED:
            lines += ["", f"Failed: {entry.training.name}", "```", entry.message, "```"]
    return lines


def _speed_cells(speed: Speed | None) -> list[str]:
    if speed is None:
        return ["–"] * 4
    [(steps, inference)] = speed.inference_ms.items()
    peak = speed.training_peak_gib
    return [
        f"{speed.parameters / 1e6:.2f} M",
        f"{speed.training_ms:.1f} ms",
        f"{inference:.1f} ms" + (f" ({steps} DDIM)" if steps else ""),
        "–" if peak is None else f"{peak:.2f} GiB",
    ]


def _depth_cells(entries: Sequence[Entry]) -> list[str]:
    depth = _depth(entries)
    return ["–"] * 2 if depth is None else [f"{depth['abs_rel']:.4f}", f"{depth['rmse_m']:.3f} m"]


def _depth(entries: Sequence[Entry]) -> dict[str, float] | None:
    """Means over the finished runs whose evaluation measured depth."""
    depths = [entry.outcome.depth for entry in entries if entry.outcome and entry.outcome.depth]
    if not depths:
        return None
    return {"abs_rel": mean(depth[0] for depth in depths), "rmse_m": mean(depth[1] for depth in depths)}


def _of(entries: Sequence[Entry], variant: str) -> list[Entry]:
    return [entry for entry in entries if entry.training.variant == variant]


def _points(estimate: Estimate | None, *, sign: str = "") -> str:
    if estimate is None:
        return "–"
    spread = "" if estimate.spread is None else f" ± {points(estimate.spread, 2)}"
    return f"{points(estimate.mean, 2, signed=bool(sign))}{spread}"


def _with_gap(scores: Mapping[int, float], reference: Mapping[int, float] | None) -> str:
    difference = gap(scores, reference) if reference else None
    text = _points(score(scores))
    return f"{text} ({_points(difference, sign='+')})" if difference else text


def _mean_by_class(entries: Sequence[Entry]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for name in CLASSES:
        values = [entry.outcome.iou[name] for entry in entries if entry.outcome]
        present = [value for value in values if value is not None]
        means[name] = mean(present) if present else None
    return means


def _group_cells(entries: Sequence[Entry]) -> list[str]:
    """Mean IoU of the map's layers, and of the objects."""
    means = {name: value for name, value in _mean_by_class(entries).items() if value is not None}
    objects = [value for name, value in means.items() if name in OBJECT_CLASSES]
    layers = [value for name, value in means.items() if name not in OBJECT_CLASSES]
    return [points(mean(values), 2) if values else "–" for values in (layers, objects)]


def _run(entry: Entry) -> dict[str, Any]:
    outcome = entry.outcome
    return {
        "seed": entry.training.seed,
        "folder": str(entry.training.folder.path),
        "state": entry.state.value,
        "mIoU": outcome.miou if outcome else None,
        "IoU": outcome.iou if outcome else None,
        "minutes": outcome.minutes if outcome else None,
    }


def _plain(estimate: Estimate | None, spread: str) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {"mean": estimate.mean, spread: estimate.spread, "seeds": estimate.seeds}


def to_text(content: dict[str, Any]) -> str:
    """The JSON file."""
    return json.dumps(content, indent=1) + "\n"
