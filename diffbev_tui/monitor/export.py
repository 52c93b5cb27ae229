"""The charts in view as a file, written by the engine. Imports nothing heavy."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffbev_tui.monitor.chart_worker import ChartResult


def export_file(workspace: Path) -> Path:
    """What is offered as the name of the file."""
    return workspace / "reports" / "curves" / f"curves_{time.strftime('%Y%m%d_%H%M%S')}.png"


def export_command(
    result: ChartResult, names: Mapping[str, str], columns: Sequence[str], output: Path
) -> list[str]:
    """Arguments of ``diffbev-engine``.

    Args:
        result: what the charts show.
        names: of the runs, by letter.
        columns: the charts in view.
        output: the file; its ending is the format.
    """
    request = result.request
    first, last = result.steps
    return [
        *("runs", "export-curves", *(str(path) for _, path in request.runs)),
        *("--columns", ",".join(columns)),
        *("--names", ",".join(names.get(letter, letter) for letter, _ in request.runs)),
        *("--steps", f"{first:.0f}:{last:.0f}", "--smoothing", str(request.smoothing)),
        *("--output", str(output)),
        *(["--log-y"] if request.log_y else []),
    ]
