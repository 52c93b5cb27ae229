"""``summary.md``: the numbers of a comparison, ready to be quoted. Imports nothing heavy."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.core.format import points
from diffbev_engine.report.experiment import LAST_ROWS, LOSSES, Experiment

_NOTHING = "–"
_SHOWN_SETTINGS = 60


def summary_text(runs: Sequence[Experiment], figures: Sequence[str] = ()) -> str:
    """The whole summary as Markdown.

    Args:
        runs: at least one; differences are against the first.
        figures: paths of pictures relative to the summary, shown at its end.
    """
    sections = [
        [f"# Comparison: {', '.join(_cell(run.name) for run in runs)}", "", *_sources(runs)],
        ["## Best mIoU", "", *_best_table(runs)],
        [f"## Losses, mean of the last {LAST_ROWS} training rows", "", *_loss_table(runs)],
        ["## IoU by class at the best step, percent", "", *_class_table(runs)],
    ]
    if len(runs) > 1:
        sections.append(["## Differences", "", *_differences(runs), *_settings_table(runs)])
    notes = [f"- {_cell(run.name)}: {note}" for run in runs for note in run.notes]
    if notes:
        sections.append(["## Notes", "", *notes])
    if figures:
        sections.append(["## Figures", "", *(f"![{Path(path).stem}]({path})" for path in figures)])
    return "\n\n".join("\n".join(section).rstrip() for section in sections) + "\n"


def summary_json(runs: Sequence[Experiment]) -> dict[str, Any]:
    """The same numbers for programs; shares are 0 to 1."""
    return {"experiments": [_run_json(run) for run in runs]}


def _run_json(run: Experiment) -> dict[str, Any]:
    losses = {name: run.last_loss(name) for name in LOSSES}
    return {
        "name": run.name,
        "metrics": str(run.source),
        "state": run.state,
        "last_step": run.metrics.last_step,
        "best_mIoU": run.best_miou,
        "best_step": run.best.step if run.best else None,
        "best_checkpoint": str(run.best_checkpoint) if run.best_checkpoint else None,
        "best_IoU": {name: run.best_iou(name) for name in CLASSES},
        "last_losses": {
            name: loss and {"mean": loss.mean, "rows": loss.rows} for name, loss in losses.items()
        },
        "notes": run.notes,
    }


def _sources(runs: Sequence[Experiment]) -> list[str]:
    return [f"- **{_cell(run.name)}**: `{run.source}`, {_state(run)}" for run in runs]


def _state(run: Experiment) -> str:
    last = f"logged up to step {run.metrics.last_step:,}"
    if run.state is None:
        return last
    planned = run.run.max_iters if run.run else None
    return f"{last}{f' of {planned:,}' if planned is not None else ''} ({run.state})"


def _best_table(runs: Sequence[Experiment]) -> list[str]:
    rows = []
    for run in runs:
        evaluations = run.metrics.series("mIoU")
        last = (
            f"{points(evaluations.values[-1], 2)} at {evaluations.steps[-1]:,}"
            if len(evaluations)
            else _NOTHING
        )
        rows.append(
            [
                _cell(run.name),
                points(run.best_miou, 2),
                f"{run.best.step:,}" if run.best else _NOTHING,
                f"`{run.best_checkpoint}`" if run.best_checkpoint else "not kept" if run.best else _NOTHING,
                last,
                str(len(evaluations)),
            ]
        )
    heads = ("experiment", "best mIoU (%)", "step", "checkpoint", "last mIoU (%)", "evaluations")
    return _table(heads, rows, ":--", "--:", "--:", ":--", "--:", "--:")


def _loss_table(runs: Sequence[Experiment]) -> list[str]:
    rows = []
    for run in runs:
        losses = [run.last_loss(name) for name in LOSSES]
        counted = max((loss.rows for loss in losses if loss), default=0)
        cells = [f"{loss.mean:.4g}" if loss else "not logged" for loss in losses]
        rows.append([_cell(run.name), *cells, str(counted)])
    return [
        *_table(("experiment", *LOSSES, "rows"), rows, ":--", *["--:"] * (len(LOSSES) + 1)),
        "",
        "`loss` is the weighted sum; the other losses are unweighted. Weighted sums with different "
        "terms or weights are not comparable, so compare the individual losses.",
    ]


def _class_table(runs: Sequence[Experiment]) -> list[str]:
    others = [f"{_cell(run.name)} − {_cell(runs[0].name)}" for run in runs[1:]]
    heads = ["class", *(_cell(run.name) for run in runs), *others]
    rows = []
    for name in CLASSES:
        values = [run.best_iou(name) for run in runs]
        rows.append([name, *(points(value, 2) for value in values), *_gains(values)])
    means = [run.best_miou for run in runs]
    bold = [f"**{cell}**" for cell in ("mIoU", *(points(mean, 2) for mean in means), *_gains(means))]
    return _table(heads, [*rows, bold], ":--", *["--:"] * (len(heads) - 1))


def _gains(values: Sequence[float | None]) -> list[str]:
    first = values[0]
    return [
        _NOTHING if first is None or value is None else points(value - first, 2, signed=True)
        for value in values[1:]
    ]


def _differences(runs: Sequence[Experiment]) -> list[str]:
    first = runs[0]
    lines = []
    for run in runs[1:]:
        lines += [f"- {sentence}" for sentence in _difference(first, run)]
    return lines


def _difference(first: Experiment, run: Experiment) -> Iterable[str]:
    pair = f"**{_cell(run.name)}** against **{_cell(first.name)}**"
    if first.best_miou is None or run.best_miou is None:
        yield f"{pair}: mIoU can be compared once both have been evaluated."
        return
    yield f"{pair}: best mIoU {points(run.best_miou - first.best_miou, 2, signed=True)} points."
    gains = {
        name: 100 * (theirs - ours)
        for name in CLASSES
        if (ours := first.best_iou(name)) is not None and (theirs := run.best_iou(name)) is not None
    }
    if gains:
        most, least = max(gains, key=lambda name: gains[name]), min(gains, key=lambda name: gains[name])
        better = sum(gain > 0 for gain in gains.values())
        yield (
            f"{pair}: better in {better} of {len(gains)} classes; highest difference {most} "
            f"{gains[most]:+.2f}, lowest {least} {gains[least]:+.2f}."
        )
    before, after = dict(_pairs(first)), dict(_pairs(run))
    common = before.keys() & after.keys()
    if common:
        step = max(common)
        gain = 100 * (after[step] - before[step])
        yield (
            f"{pair}: mIoU {gain:+.2f} points at step {step:,}, the latest iteration at which both were "
            f"evaluated."
        )


def _pairs(run: Experiment) -> Iterable[tuple[int, float]]:
    series = run.metrics.series("mIoU")
    return zip(series.steps, series.values, strict=True)


def _settings_table(runs: Sequence[Experiment]) -> list[str]:
    """Settings that are not alike in all runs."""
    if not all(run.settings for run in runs):
        unknown = ", ".join(_cell(run.name) for run in runs if not run.settings)
        return ["", f"Configurations are not compared: no readable run.json for {unknown}."]
    keys = sorted(set().union(*(run.settings for run in runs)))
    rows = []
    for key in keys:
        values = [run.settings.get(key, "not set") for run in runs]
        if len(set(values)) > 1:
            rows.append([f"`{key}`", *(_cell(value) for value in values)])
    if not rows:
        return ["", "The configurations are the same."]
    heads = ("setting", *(_cell(run.name) for run in runs))
    table = _table(heads, rows[:_SHOWN_SETTINGS], ":--", *[":--"] * len(runs))
    more = len(rows) - _SHOWN_SETTINGS
    rest = [f"… and {more} more; see the run.json of each run."] if more > 0 else []
    return ["", "Settings that differ (from run.json):", "", *table, *rest]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *alignment: str) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heads, alignment, *rows)]


def _cell(text: str) -> str:
    """Text that cannot break out of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
