"""On-disk cache of the table index: load, validate, rebuild.

The index lies next to the tables it was made from, under ``cache_dir`` when one is given,
or under the user's cache folder when the tables are on a read-only disk.
"""

import hashlib
import logging
import os
import time
from dataclasses import fields
from pathlib import Path

import numpy as np

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import atomic_path, make_writable_dir, sweep_abandoned
from diffbev_engine.core.npz import open_npz
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.nuscenes.index import TableIndex, build_index
from diffbev_engine.nuscenes.index_check import check_columns
from diffbev_engine.nuscenes.json_tables import ROW_TYPES

_log = logging.getLogger(__name__)

_FORMAT = 1  # count up when the columns or their meaning change
_FILE_NAME = ".diffbev_index.npz"
_EDGE_BYTES = 1 << 20
_LARGEST = 8 << 30


def open_index(folder: Path, cache_dir: Path | None = None) -> TableIndex:
    """Load the index of one version folder, or build and keep it.

    An index that is damaged, or older than its tables, is built again; one log line says so.

    Raises:
        DiffBEVError: tables are missing or damaged, or ``cache_dir`` cannot be written.
    """
    fingerprint = _fingerprint(folder)
    places, problems = _places(folder, cache_dir), []
    for path in places:
        index, problem = _load(path, fingerprint)
        if index is not None:
            return index
        if problem:
            problems.append((path, problem))
    for path, problem in problems:
        _log.warning("table index %s %s: building it again", path, problem)
    start = time.monotonic()
    _log.info("reading the nuScenes tables of %s (once)", folder)
    index = build_index(folder)
    _log.info("read the nuScenes tables of %s in %.1f s", folder, time.monotonic() - start)
    if cache_dir is not None:
        make_writable_dir(cache_dir, "cache folder")
    _keep(index, fingerprint, places)
    return index


def _places(folder: Path, cache_dir: Path | None) -> list[Path]:
    """Where the index may lie, best first."""
    root = folder.parent.resolve()
    path_digest = hashlib.blake2b(os.fsencode(root), digest_size=6).hexdigest()
    name = f"{root.name}-{folder.name}-{path_digest}.npz"
    if cache_dir is not None:
        return [cache_dir / name]
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diffbev"
    return [folder / _FILE_NAME, user_cache / name]


def _fingerprint(folder: Path) -> np.ndarray:
    """One line for each table: name, size, time of change, hash of its first and last megabyte.

    Size and time catch every ordinary change for nothing.  The hash is for tables that were
    swapped with their time kept (``cp -p``, ``rsync -t``, ``tar``): tokens are random, so
    another table of the same size differs within its first rows.  Hashing whole tables
    would cost seconds on every start.
    """
    lines, missing = [f"format {_FORMAT}"], []
    for table in ROW_TYPES:
        path = folder / f"{table}.json"
        try:
            stat = path.stat()
            lines.append(f"{table} {stat.st_size} {stat.st_mtime_ns} {_edge_digest(path, stat.st_size)}")
        except FileNotFoundError:
            missing.append(path.name)
        except OSError as error:
            raise DiffBEVError(f"cannot read nuScenes table {path}: {error.strerror or error}") from error
    if missing:
        raise DiffBEVError(
            f"{folder} lacks {', '.join(missing)}. Extract the nuScenes metadata archive again, or choose "
            f"another version."
        )
    return np.array([line.encode() for line in lines])


def _edge_digest(path: Path, size: int) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open_regular(path) as file:
        digest.update(file.read(_EDGE_BYTES))
        file.seek(max(_EDGE_BYTES, size - _EDGE_BYTES))
        digest.update(file.read(_EDGE_BYTES))
    return digest.hexdigest()


def _load(path: Path, fingerprint: np.ndarray) -> tuple[TableIndex | None, str]:
    """The index, or None and what is wrong with it (nothing when there is no file)."""
    names = [field.name for field in fields(TableIndex)]
    try:
        with open_regular(path) as file, open_npz(file, _LARGEST) as archive:
            most = file.seek(0, 2)  # it is not packed
            stored = archive.array("fingerprint", most)
            if not np.array_equal(stored, fingerprint):
                return None, f"is older than its tables ({_changed_tables(stored, fingerprint)} changed)"
            index = TableIndex(**{name: archive.array(name, most) for name in names})
            check_columns(index)
            return index, ""
    except FileNotFoundError:
        return None, ""
    except ValueError as error:
        return None, f"is damaged ({error})"
    except OSError as error:
        return None, f"cannot be read ({error.strerror or error})"


def _changed_tables(stored: np.ndarray, fingerprint: np.ndarray) -> str:
    before = set(stored.tolist()) if stored.dtype.kind == "S" else set()
    changed = [line.decode().split()[0] for line in fingerprint.tolist() if line not in before]
    return ", ".join(changed) or "something"


def _keep(index: TableIndex, fingerprint: np.ndarray, places: list[Path]) -> None:
    """Write the index to the first writable location; failure is not an error (cache only)."""
    columns = {field.name: getattr(index, field.name) for field in fields(TableIndex)}
    reasons = []
    for path in places:
        try:
            if _meant_to_be_read_only(path.parent):
                raise PermissionError(0, "the folder is read-only")
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep_abandoned(path.parent)
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.savez(file, fingerprint=fingerprint, **columns)
            return
        except OSError as error:
            reasons.append(f"{path.parent}: {error.strerror or error}")
    _log.warning(
        "the table index could not be cached; all tables will be read again next time (%s)",
        "; ".join(reasons),
    )


def _meant_to_be_read_only(folder: Path) -> bool:
    """True when nobody has write permission; root could write there all the same."""
    return folder.is_dir() and not folder.stat().st_mode & 0o222
