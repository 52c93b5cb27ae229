"""How figures of a report look: fit for a paper, for black-and-white print and for every eye.

Runs differ in colour (Okabe and Ito's palette, told apart with any colour blindness), in line style
and in marker, so that each of the three alone names the run.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, ScalarFormatter
from PIL.PngImagePlugin import PngInfo

from diffbev_engine.core.files import atomic_path
from diffbev_engine.report.plot_data import PNG_KEY, Plot, to_text

FORMATS = ("png", "pdf", "svg")
INK, GREY = "#202020", "#6b6b6b"
_OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_LINES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "||||", "oo")
_DPI = 200
_CHINESE = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "SimHei")
_FIRST_CJK = 0x2E80
# A file of the same numbers is the same file: no dates, fixed identifiers.
_METADATA: dict[str, dict[str, Any]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


@dataclass(frozen=True)
class RunStyle:
    """How one run is drawn in every figure."""

    colour: str
    line: Any
    marker: str
    hatch: str


def run_style(number: int) -> RunStyle:
    """The style of run ``number``, counted from 0; styles repeat only after hundreds of runs."""
    return RunStyle(
        _OKABE_ITO[number % len(_OKABE_ITO)],
        _LINES[number % len(_LINES)],
        _MARKERS[number % len(_MARKERS)],
        _HATCHES[number % len(_HATCHES)],
    )


@contextmanager
def paper_style() -> Iterator[None]:
    """Fonts, lines and vector text of all figures made and saved in the enclosed block."""
    settings: Any = {
        "font.family": ["DejaVu Sans", *_chinese_fonts()],
        "font.size": 9.0,
        "axes.titlesize": 10.0,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e2e2e2",
        "grid.linewidth": 0.6,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "lines.linewidth": 1.6,
        "lines.markersize": 4.5,
        "hatch.linewidth": 0.7,
        "legend.frameon": False,
        "pdf.fonttype": 42,  # text stays text, as publishers ask
        "svg.hashsalt": "diffbev",
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def font_note(names: Sequence[str]) -> str | None:
    """What to tell the user when no installed font has the Chinese letters of a name."""
    unprintable = [name for name in names if any(ord(letter) >= _FIRST_CJK for letter in name)]
    if not unprintable or _chinese_fonts():
        return None
    return (
        f"no installed font has the letters of {unprintable[0]!r}, figures show boxes: "
        f"install one, such as {_CHINESE[0]} (package fonts-noto-cjk), or use Latin names"
    )


def _chinese_fonts() -> list[str]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in _CHINESE if name in installed]


def new_figure(width: float = 6.3, height: float = 3.5) -> tuple[Figure, Axes]:
    """An empty figure, inches, as wide as the text of an A4 page; call it within ``paper_style``."""
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def save_figure(figure: Figure, path: Path, formats: Sequence[str], plot: Plot | None = None) -> list[Path]:
    """Write ``figure`` once a format; ``path`` has no suffix yet. PNG files keep the numbers of ``plot``."""
    written = []
    for suffix in formats:
        target = path.with_name(f"{path.name}.{suffix}")
        with atomic_path(target) as temporary:
            options: dict[str, Any] = {"metadata": _METADATA[suffix]}
            if plot is not None and suffix == "png":
                options["pil_kwargs"] = {"pnginfo": _png_text(plot)}
            figure.savefig(temporary, format=suffix, dpi=_DPI, **options)
        written.append(target)
    return written


def _png_text(plot: Plot) -> PngInfo:
    about = PngInfo()
    if text := to_text(plot):
        about.add_itxt(PNG_KEY, text, zip=True)
    return about


def label_steps(axes: Axes, last_step: int) -> None:
    """A linear axis of training steps from 0, in thousands for long runs."""
    axes.set_xlim(0, last_step * 1.02 or 1)
    if last_step >= 10_000:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step / 1000:g}k" if step else "0"))
    axes.set_xlabel("training step")


def use_log_axis(axes: Axes) -> None:
    """A logarithmic axis with plain numbers, also between the powers of ten."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    decades = high / low if low > 0 else float("inf")
    numbers = (1.0, 2.0, 5.0) if decades < 1e3 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(10, subs=numbers))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if decades < 1e5:
        plain = ScalarFormatter()
        plain.set_scientific(False)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
