"""``failed_start.json``: why the newest start failed before training began. Imports nothing heavy."""

import json
import sys
import time
from dataclasses import asdict, dataclass

from diffbev_engine.core.files import write_text
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.secrets import masked, masked_command
from diffbev_engine.core.state_file import Decoded, UnixTime, decode_file
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.lock import current_launch
from diffbev_engine.runs.process import ProcessIdentity, identify


@dataclass(frozen=True)
class FailedStart:
    """The content of ``failed_start.json``; the next start that succeeds removes the file."""

    failed: UnixTime
    exit_code: int
    message: str
    log: str
    """File name of the log of that start."""
    command: tuple[str, ...]
    process: ProcessIdentity
    launch: str | None = None
    """The id of the detached start it belonged to."""

    @property
    def reason(self) -> str:
        """The message, safe to print."""
        return plain(self.message, keep="\n").strip()


def decode_failed_start(folder: RunFolder) -> Decoded[FailedStart]:
    """The newest start, if it failed before training began, or what is wrong with the file."""
    return decode_file(folder.failed_start, FailedStart)


def why_start_failed(folder: RunFolder) -> str | None:
    """The message of the newest start, if it failed before training began; safe to print."""
    start = decode_failed_start(folder).value
    return start.reason if start else None


def write_failed_start(folder: RunFolder, message: str, exit_code: int, log: str) -> None:
    """Record that this process could not start training.

    Raises:
        OSError: of the system.
    """
    command, process = tuple(masked_command(sys.argv)), identify()
    start = FailedStart(time.time(), exit_code, masked(message), log, command, process, current_launch())
    write_text(folder.failed_start, json.dumps(asdict(start), indent=1) + "\n")
