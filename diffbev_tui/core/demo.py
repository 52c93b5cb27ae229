"""A synthetic workspace with everything done up to the smoke test."""

import json
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from diffbev_engine.errors import DiffBEVError
from diffbev_engine.files import write_text
from diffbev_engine.runbook.text import Language
from diffbev_engine.runs.process import ProcessIdentity, identify, identity_from
from diffbev_tui.core.engine import engine_command, start_apart

_LOG, _RECORD = "setup.log", "setup.json"


def make_demo(out: Path) -> Path:
    """Make the world and the workspace below ``out`` and run phases 0 and 1; what is done is kept.

    Returns:
        The workspace.

    Raises:
        DiffBEVError: it failed, and has said why on the terminal.
    """
    if subprocess.run(engine_command("demo", "--out", out, "--setup-only"), check=False).returncode:
        raise DiffBEVError(f"the demo in {out} could not be set up; see above.")
    return demo_workspace(out)


def demo_workspace(out: Path) -> Path:
    """The workspace of the demo in ``out``."""
    return out / "DiffBEV"


@dataclass(frozen=True)
class DemoSetup:
    """A set-up that goes on, with or without the UI."""

    out: Path
    log: Path
    since: float
    """Unix time."""
    identity: ProcessIdentity
    process: "subprocess.Popen[bytes] | None"
    """``None`` for one that was started before, by a UI that was left."""

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.process.poll() is not None if self.process else not self.identity.alive

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` where that is not known: repeat it, what is done is kept."""
        return self.process.poll() if self.process else None


def set_up_demo(out: Path, language: Language) -> DemoSetup:
    """Set the demo in ``out`` up in a session of its own, or watch the set-up that goes on there.

    Raises:
        OSError: the folder cannot be written.
    """
    log, since = out / _LOG, time.time()
    known = _going_on(out)
    if known is not None:
        return DemoSetup(out, log, log.stat().st_ctime, known, None)
    out.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    command = engine_command("demo", "--out", out, "--setup-only", "--lang", language)
    process = start_apart(command, log, cwd=out)
    identity = identify(process.pid)
    write_text(out / _RECORD, json.dumps(asdict(identity)))
    return DemoSetup(out, log, since, identity, process)


def _going_on(out: Path) -> ProcessIdentity | None:
    with suppress(OSError, ValueError):
        found = identity_from(json.loads((out / _RECORD).read_text(encoding="utf-8")))
        if found is not None and found.alive and (out / _LOG).exists():
            return found
    return None
