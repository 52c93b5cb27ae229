"""``stop.json``: which process was asked to save and stop, so that nobody asks it twice."""

import json
import socket
import time
from dataclasses import asdict, dataclass

from diffbev_engine.core.files import write_text
from diffbev_engine.core.state_file import Decoded, UnixTime, decode_file
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.process import ProcessIdentity


@dataclass(frozen=True)
class Asked:
    """The content of ``stop.json``."""

    process: ProcessIdentity
    requested: UnixTime = 0.0
    by: str = ""
    """The host of whoever asked."""


def decode_stop_request(folder: RunFolder) -> Decoded[Asked]:
    """The newest request, or what is wrong with the file."""
    return decode_file(folder.stop_request, Asked)


def record_stop_request(folder: RunFolder, process: ProcessIdentity) -> None:
    """Note that ``process`` is being asked to stop."""
    asked = Asked(process, time.time(), socket.gethostname())
    write_text(folder.stop_request, json.dumps(asdict(asked), indent=1) + "\n")


def asked_to_stop(folder: RunFolder, process: ProcessIdentity) -> bool:
    """Whether ``process`` has been sent the signal to save and stop."""
    asked = decode_stop_request(folder).value
    return asked is not None and asked.process == process
