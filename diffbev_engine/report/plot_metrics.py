"""Seven figures and a summary that compare runs, from their ``metrics.csv`` alone.

Each PNG keeps the numbers that it shows, see ``plot_data``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from diffbev_engine.core.files import make_writable_dir, write_text
from diffbev_engine.report.class_bars import draw_class_iou
from diffbev_engine.report.curves import draw_learning_rate, draw_loss, draw_miou
from diffbev_engine.report.experiment import Experiment
from diffbev_engine.report.plotted import class_plot, column_plot
from diffbev_engine.report.style import FORMATS, font_note, paper_style, save_figure
from diffbev_engine.report.summary import summary_text

_FIGURES: dict[str, Callable[[Sequence[Experiment]], Figure]] = {
    "loss": lambda runs: draw_loss(runs, "loss"),
    "mIoU": draw_miou,
    "Lwce": lambda runs: draw_loss(runs, "Lwce"),
    "Ldepth": lambda runs: draw_loss(runs, "Ldepth"),
    "Ldiff": lambda runs: draw_loss(runs, "Ldiff"),
    "lr": draw_learning_rate,
    "class_IoU": draw_class_iou,
}


def plot_metrics(
    runs: Sequence[Experiment],
    output_dir: Path,
    formats: Sequence[str] = (),
    say: Callable[[str], None] = lambda _line: None,
) -> list[Path]:
    """Write ``plots/<name>_comparison.png`` for seven names, and ``summary.md``.

    Args:
        runs: what is compared, in the order of the legends.
        output_dir: made if missing.
        formats: ``pdf`` or ``svg`` next to the PNG files.
        say: receives one line per file.

    Returns:
        Every file that was written, the summary last.

    Raises:
        DiffBEVError: the folder cannot be written.
    """
    plots = make_writable_dir(output_dir / "plots", "folder of plots")
    suffixes = [suffix for suffix in FORMATS if suffix == "png" or suffix in formats]
    written: list[Path] = []
    if note := font_note([run.name for run in runs]):
        say(f"note: {note}")
    with paper_style():
        for name, draw in _FIGURES.items():
            figure = draw(runs)
            log_y = any(axes.get_yscale() == "log" for axes in figure.axes)
            if name == "class_IoU":
                plot = class_plot(runs, plots)
            else:
                plot = column_plot(runs, name, plots, log_y=log_y)
            written += save_figure(figure, plots / f"{name}_comparison", suffixes, plot)
            for path in written[-len(suffixes) :]:
                say(f"✓ Generated: {path}")
    summary = output_dir / "summary.md"
    pictures = [f"plots/{name}_comparison.png" for name in _FIGURES]
    write_text(summary, summary_text(runs, pictures))
    say(f"✓ Generated: {summary}")
    return [*written, summary]
