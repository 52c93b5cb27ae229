"""Options and arguments that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

from diffbev_engine.config.presets_index import preset_names, setting_keys
from diffbev_engine.core.cameras import WORDS, standard_cameras
from diffbev_engine.core.gpu.select import number_like_nvidia_smi

Number = TypeVar("Number", int, float)


def separated(text: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    """Numbers separated by commas; none if one of them is not of this kind."""
    try:
        return () if "_" in text else tuple(kind(part) for part in text.split(","))  # Python reads 1_0 as 10
    except ValueError:
        return ()


class WholeNumbers(click.ParamType):
    """Whole numbers separated by commas.

    Args:
        least: The smallest that is allowed.
        what: What they are, for a message: "… is not WHAT".
    """

    name = "n,n,…"

    def __init__(self, least: int, what: str) -> None:
        self._least = least
        self._what = what

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers in their order, each once."""
        if isinstance(value, tuple):
            return value
        numbers = separated(str(value), int)
        if not numbers or min(numbers) < self._least:
            self.fail(f"{value!r} is not {self._what}", param, ctx)
        return tuple(dict.fromkeys(numbers))


class _Cameras(click.ParamType):
    name = "cameras"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return standard_cameras(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _complete_config(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Presets, and files as the shell completes them."""
    presets = [name.removesuffix(".py") for name in preset_names()]
    return [
        *(CompletionItem(name) for name in presets if name.startswith(begun)),
        CompletionItem(begun, type="file"),
    ]


def _complete_setting(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    return [CompletionItem(f"{key}=") for key in setting_keys() if key.startswith(begun)]


config_argument = click.argument("config", shell_complete=_complete_config)

anyway_option = click.option(
    "--anyway", is_flag=True, help="Start although a precondition is not met; recorded in run.json."
)

set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=_complete_setting,
    help="Override one setting, e.g. --set data.samples_per_gpu=2; may be repeated.",
)


def _order_gpus(_ctx: click.Context, _param: click.Parameter, ids: tuple[int, ...]) -> tuple[int, ...]:
    if ids:
        number_like_nvidia_smi()
    return ids


gpu_ids_option = click.option(
    "--gpu-ids",
    type=WholeNumbers(0, "a GPU number or a comma-separated list of them"),
    metavar="IDS",
    default=(),
    callback=_order_gpus,
    help="GPU ids as shown by nvidia-smi; with CUDA_VISIBLE_DEVICES, positions in its list. "
    "[default: the first GPU, or the CPU if there is none]",
)


rounds_option = click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Repetitions, of which the median is reported.",
)

device_option = click.option(
    "--device",
    default="",
    metavar="cpu|cuda:N",
    help="Default: the first GPU, or the CPU where there is none.",
)


def read_seeds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[int, ...]:
    """Different seeds, separated by commas; none where the option is left out."""
    if text is None:
        return ()
    seeds = separated(text, int)
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise click.BadParameter(f"{text!r} is not a comma-separated list of different seeds, such as 0,1,2")
    return seeds


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")

nuscenes_root_option = click.option(
    "--nuscenes-root",
    type=click.Path(path_type=Path),
    required=True,
    help="nuScenes directory (with samples/, maps/ and v1.0-…/).",
)

version_option = click.option(
    "--version", help="nuScenes version, e.g. v1.0-trainval. [default: detected if there is only one]"
)

cameras_option = click.option(
    "--cameras",
    type=_Cameras(),
    metavar="front|all|CAM_…,CAM_…",
    default="all",
    show_default=True,
    help=f"{WORDS[0].upper()}{WORDS[1:]}.",
)

workers_option = click.option(
    "--workers", type=click.IntRange(min=0), help="Number of worker processes. [default: one per CPU core]"
)

data_root_option = click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    required=True,
    help="Data root created by `prepare` (img_dir/, ann_bev_dir/, …).",
)
