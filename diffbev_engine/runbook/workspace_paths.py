"""Where things are: the workspace, its data root, and what a command sees of them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual, filler
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.files import expanded
from diffbev_engine.core.secrets import masked
from diffbev_engine.core.toml import WORKSPACE_FILE, read_toml

PLACEHOLDERS = ("workspace", "nuscenes_root", "data_root")
_FAMILIAR = (WORKSPACE_FILE, "runbook.toml", "configs", ".diffbev")


@dataclass(frozen=True)
class WorkspacePaths:
    """The roots of the runbook, absolute."""

    workspace: Path
    nuscenes_root: Path
    demo: bool = False
    separate_data_root: Path | None = None
    """Where prepared data is kept apart from a nuScenes root that cannot be written."""
    more_runs: tuple[Path, ...] = ()
    """Directories with further runs, such as a shared disk: ``[runs] folders`` of ``workspace.toml``."""

    @property
    def data_root(self) -> Path:
        """The directory with ``img_dir`` and ``ann_bev_dir``; in the runbook the nuScenes root itself."""
        return self.separate_data_root or self.nuscenes_root

    def command(self, text: str) -> str:
        """Shell with the roots filled in, quoted where they hold blanks."""
        quoted = {name: shlex.quote(str(getattr(self, name))) for name in PLACEHOLDERS}
        return filler(quoted)(text).strip("\n")

    def shown_command(self, text: str) -> str:
        """The same to be read or recorded, not run: secrets in it are masked."""
        return masked(self.command(text))

    def words(self, text: Bilingual) -> Bilingual:
        """Text for people with the roots filled in."""
        return text.map(filler({name: str(getattr(self, name)) for name in PLACEHOLDERS}))

    def fill(self, text: str) -> str:
        """One string with the roots filled in, as they are."""
        return filler({name: str(getattr(self, name)) for name in PLACEHOLDERS})(text)

    def path(self, text: str) -> Path:
        """The path that a runbook file names; a relative one starts at the workspace."""
        return self.workspace / expanded(self.fill(text))

    def short(self, path: Path) -> str:
        """``path`` as people write it: relative to the workspace where it lies inside."""
        try:
            return str(path if path == self.workspace else path.relative_to(self.workspace))
        except ValueError:
            return str(path)

    def holds(self, path: Path) -> bool:
        """Whether ``path``, links followed, lies in the workspace or among its runs.

        A workspace may be somebody else's: what it links to elsewhere is none of its files.
        """
        try:
            target = path.resolve()
            return any(
                target.is_relative_to(folder.resolve()) for folder in (self.workspace, *self.run_folders)
            )
        except (OSError, RuntimeError):  # a circle of links
            return False

    @property
    def run_folders(self) -> tuple[Path, ...]:
        """Where runs are looked for."""
        return (self.workspace / "runs", *self.more_runs)

    @property
    def state_folder(self) -> Path:
        """What the runbook remembers of this workspace."""
        return self.workspace / ".diffbev"


def find_roots(workspace: Path | None) -> WorkspacePaths:
    """The roots of a workspace, of the current folder or the nearest one above it without a name.

    ``workspace.toml`` says where the data is (``nuscenes_root``) and whether this is a demo
    (``demo``); without the file the data is taken to lie next to the workspace, as in the runbook.

    Raises:
        UsageError: the folder does not exist, or the file is damaged.
    """
    folder = _nearest_workspace() if workspace is None else expanded(workspace).absolute()
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}. Make a workspace there with `diffbev-engine init {folder}`.")
    file = folder / WORKSPACE_FILE
    settings = read_toml(file) if file.exists() else {}
    settings = {**settings, **settings.get("workspace", {})} if _is_table(settings, "workspace") else settings
    named = {"nuscenes_root": "../nuScenes", "data_root": "", **settings}
    roots = {}
    for key in ("nuscenes_root", "data_root"):
        value = named[key]
        if not isinstance(value, str):
            raise UsageError(f"{file}: {key} must be a path in quotes, not {value!r}.")
        roots[key] = _without_dots(folder / expanded(value)) if value else None
    nuscenes_root = roots["nuscenes_root"] or folder
    more = _folders(file, folder, settings.get("runs", {}))
    return WorkspacePaths(folder, nuscenes_root, settings.get("demo") is True, roots["data_root"], more)


def _folders(file: Path, folder: Path, table: object) -> tuple[Path, ...]:
    names = table.get("folders", []) if isinstance(table, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise UsageError(f'{file}: write [runs] with folders = ["/path/of/runs"].')
    return tuple(_without_dots(folder / expanded(name)) for name in names)


def placeholders_of(text: str) -> set[str]:
    """Names in braces that look like placeholders: ``{name}``, but not ``${name}`` of the shell."""
    return set(re.findall(r"(?<!\$)\{([a-z_]+)\}", text))


def _nearest_workspace() -> Path:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / WORKSPACE_FILE).exists():
            return folder
    if any((here / name).exists() for name in _FAMILIAR):
        return here
    raise UsageError(
        f"{here} is not a workspace: no {WORKSPACE_FILE} in it or in a parent directory. Pass the "
        f"path of a workspace, or create one with `diffbev-engine init WORKSPACE --nuscenes-root "
        f"DIR`."
    )


def _is_table(settings: dict[str, object], key: str) -> bool:
    return isinstance(settings.get(key), dict)


def _without_dots(path: Path) -> Path:
    """``a/../b`` as ``b``, without following links: the user's own name for the folder stays."""
    import os.path

    return Path(os.path.normpath(path))
