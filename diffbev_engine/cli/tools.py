"""What the entry points ``tools/*.py`` of a workspace do: a command of the engine, in the same process.

Signals and exit codes are those of the command, as there is no other process between.
"""

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffbev_engine.cli.main import cli, main
from diffbev_engine.core.errors import DiffBEVError, ExitCode
from diffbev_engine.nuscenes.versions import RUNBOOK_VERSION
from diffbev_engine.workspace.workspace import Workspace, absolute, find_workspace

if TYPE_CHECKING:
    from diffbev_engine.config.settings import Settings


def run_tool(command: str, script: str, arguments: Sequence[str]) -> int:
    """Run ``command`` with the arguments that the runbook gives to its entry point.

    Args:
        command: of ``diffbev-engine``.
        script: file of the entry point; its workspace is the one that counts.
        arguments: as they came from the shell.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # ✓ must not end a run on an ASCII terminal
    if command not in cli.list_commands(click.Context(cli)):
        click.echo(f"error: this diffbev-engine has no command {command!r}; update it.", err=True)
        return ExitCode.USAGE
    prepare, finish = _ADAPTED.get(command, (_unchanged, _silent))
    code = _engine([command, *prepare(Path(script), list(arguments))])
    finish(code)
    return code


def _engine(arguments: list[str]) -> int:
    sys.argv = ["diffbev-engine", *arguments]
    try:
        main()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    return ExitCode.DONE


def _unchanged(_script: Path, arguments: list[str]) -> list[str]:
    return arguments


def _silent(_code: int) -> None:
    pass


def _show_settings(_script: Path, arguments: list[str]) -> list[str]:
    """Say what is trained, in a few lines; what is wrong with the arguments, the command itself will say."""
    parsed = _parsed("train", arguments)
    if parsed and _is_main_process():
        from diffbev_engine.config.load import load_settings

        try:
            settings = load_settings(str(parsed["config"]), parsed["overrides"])  # type: ignore[arg-type]
        except DiffBEVError:
            return arguments
        click.echo(_summary(str(parsed["config"]), settings))
    return arguments


def _summary(config: str, settings: "Settings") -> str:
    model, data = settings.model, settings.data
    height, width = data.image_size
    name = "DiffBEV" if model.diffusion else "LSS baseline"
    parts = [f"Ldepth x{model.depth_loss.weight:g}"] if model.depth_loss else []
    if model.diffusion:
        parts.append(f"Ldiff x{model.diffusion.weight:g}, condition {model.diffusion.condition}")
    return "\n".join(
        [
            f"配置 / config:     {config}",
            f"模型 / model:      {name}, {model.backbone.name}{''.join(f', {part}' for part in parts)}",
            f"数据 / data:       {settings.data_root} ({data.cameras} cameras, {height}x{width})",
            f"训练 / training:   {settings.runner.max_iters} iterations, batch {data.samples_per_gpu}, "
            f"{settings.precision}, evaluation every {settings.evaluation.interval}, "
            f"checkpoint every {settings.checkpoint_config.interval}",
        ]
    )


def _say_end_of_training(code: int) -> None:
    if not _is_main_process():
        return
    if code == ExitCode.DONE and not {"-h", "--help"} & set(sys.argv):
        click.echo("✓ 训练完成！")
    elif code == ExitCode.INTERRUPTED:
        click.echo("训练已中断，使用 --resume 恢复训练 / interrupted; resume with --resume", err=True)
    elif code != ExitCode.DONE:
        click.echo(f"✗ 训练失败，退出码 {code} / training failed, exit code {code}", err=True)


def _config_first(_script: Path, arguments: list[str]) -> list[str]:
    """``--config FILE`` as the positional argument that the command takes."""
    rest, config = [], []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--config":
            config = [value if equals else next(words, "")]
        else:
            rest.append(word)
    return [*config, *rest]


def _depth_of_the_workspace(script: Path, arguments: list[str]) -> list[str]:
    """The runbook's command with the version, data root and size of this workspace; each change is said."""
    parsed = _parsed("prepare-depth", arguments)
    workspace = _workspace_of(script)
    if not parsed or not workspace:
        return arguments
    return [
        *arguments,
        *_version_that_exists(workspace, parsed),
        *_separate_data_root(workspace, parsed),
        *_size_of_the_demo(workspace, parsed),
    ]


def _version_that_exists(workspace: Workspace, parsed: dict[str, object]) -> list[str]:
    """The runbook names v1.0-trainval; a root may hold v1.0-mini alone."""
    from diffbev_engine.nuscenes.versions import is_annotated, versions_in

    root, wanted = Path(str(parsed["nuscenes_root"])), parsed["version"]
    found = versions_in(root)
    usable = [name for name in found if is_annotated(root / name)]
    prepared = _prepared_version(workspace)
    chosen = prepared if prepared in usable else usable[0] if len(usable) == 1 else None
    if wanted != RUNBOOK_VERSION or chosen is None or (wanted in found and prepared in (None, wanted)):
        return []
    if chosen == wanted:
        return []
    why = f"the images were prepared from {chosen}" if wanted in found else f"{root} does not have it"
    click.echo(f"工作区使用 {chosen}（代替 {wanted}） / workspace uses {chosen} instead of {wanted}: {why}")
    return ["--version", chosen]


def _prepared_version(workspace: Workspace) -> str | None:
    """The version in ``prepare.json``; None where there is none."""
    from diffbev_engine.core.state_file import decode_file

    record = decode_file(workspace.data_root / "prepare.json", dict[str, Any]).value or {}
    version = record.get("version")
    return version if isinstance(version, str) else None


def _separate_data_root(workspace: Workspace, parsed: dict[str, object]) -> list[str]:
    """Paths below the nuScenes root, as the runbook writes them, moved to a separate data root."""
    moved = []
    for option, name in (("--output-dir", "output_dir"), ("--img-dir", "img_dir")):
        path = absolute(Path(str(parsed[name] or "")))
        if workspace.separate_data_root and path.is_relative_to(workspace.nuscenes_root):
            below = path.relative_to(workspace.nuscenes_root)
            moved += [option, str(workspace.data_root / below)]
    if moved:
        click.echo(f"数据根目录 / data root: {workspace.data_root}")
    return moved


def _size_of_the_demo(workspace: Workspace, parsed: dict[str, object]) -> list[str]:
    """A demo workspace trains on small images: its depth is made at their size."""
    size = _image_size(workspace)
    if size is None or size == (parsed["height"], parsed["width"]):
        return []
    height, width = size
    if not workspace.demo:
        click.echo(
            f"note: {workspace.diffbev_config} loads images at {height}x{width}, but depth is being "
            f"generated at {parsed['height']}x{parsed['width']}. Use --height {height} --width "
            f"{width}.",
            err=True,
        )
        return []
    click.echo(
        f"演示工作区：深度图大小为 {height}x{width}，与配置中的 image_size 一致 / demo workspace: depth is "
        f"made at {height}x{width}, the image_size of its configuration"
    )
    return ["--height", str(height), "--width", str(width)]


def _diagnosis_in_the_workspace(script: Path, arguments: list[str]) -> list[str]:
    """Without an output folder, that of the runbook: ``runs/diagnose`` of the workspace."""
    named = any(word.partition("=")[0] in ("--out-dir", "--output-dir") for word in arguments)
    workspace = None if named else _workspace_of(script)
    return [*arguments, "--output-dir", str(workspace.root / "runs/diagnose")] if workspace else arguments


def _workspace_of(script: Path) -> Workspace | None:
    try:
        return find_workspace(script.parent)
    except DiffBEVError as error:
        click.echo(f"note: {error}", err=True)
        return None


def _image_size(workspace: Workspace) -> tuple[int, int] | None:
    from diffbev_engine.config.load import load_settings

    try:
        return load_settings(workspace.diffbev_config).data.image_size
    except DiffBEVError:
        if workspace.demo:  # the default size would fit nothing here
            raise
        return None  # depth can be made without a configuration; training will complain


def _parsed(command: str, arguments: list[str]) -> dict[str, object] | None:
    """The parameters of a command; ``None`` for arguments that it will refuse, or for ``--help``."""
    parser = cli.get_command(click.Context(cli), command)
    assert parser is not None
    try:
        return parser.make_context(command, list(arguments), resilient_parsing=False).params
    except (click.ClickException, click.exceptions.Exit):
        return None


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


_ADAPTED: dict[str, tuple[Callable[[Path, list[str]], list[str]], Callable[[int], None]]] = {
    "train": (_show_settings, _say_end_of_training),
    "check-depth": (_config_first, _silent),
    "prepare-depth": (_depth_of_the_workspace, _silent),
    "diagnose": (_diagnosis_in_the_workspace, _silent),
}
