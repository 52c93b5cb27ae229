"""What the figures of ``system.csv`` are called on screens. Imports nothing heavy."""

from diffbev_engine.runs.system_figures import SystemFigure
from diffbev_tui.i18n import tr

_WORDS = {
    "used_mib": "memory",
    "load": "load",
    "power_w": "power",
    "temperature_c": "temperature",
    "clock_mhz": "clock",
    "data_wait_percent": "data_wait",
    "host_used_mib": "host_memory",
    "swap_used_mib": "host_swap",
    "disk_free_mib": "host_disk",
    "cpu_percent": "host_cpu",
    "loader_workers": "workers",
    "loader_cpu_percent": "host_loader",
}


def figure_label(figure: SystemFigure) -> str:
    """``GPU0 memory``, ``disk free``."""
    word = tr("gpu." + _WORDS[figure.kind])
    return word if figure.gpu is None else f"GPU{figure.gpu} {word}"
