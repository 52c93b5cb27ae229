"""A data loading process that ended: what PyTorch says of it, and what to do."""

import re
from dataclasses import dataclass

_SAID = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? [\d, ]+\) "
    r"(?:is killed by signal: (?P<signal>[^.]+)|exited unexpectedly)"
)
_ADVICE = {
    "Killed": "Probably the host ran out of memory: reduce data.workers_per_gpu or data.samples_per_gpu, "
    "close other programs, or raise the memory limit of the container or job.",
    "Bus error": "Probably shared memory (/dev/shm) is full: start the container with a larger --shm-size, "
    "or reduce data.workers_per_gpu.",
}
_ADVICE_ELSE = "Try data.workers_per_gpu=0, which shows the error of the process itself."


@dataclass(frozen=True)
class DeadLoader:
    """One message of PyTorch, taken apart."""

    said: str
    signal: str
    """As strsignal names it: ``Killed``, ``Bus error``; "" where it exited by itself."""

    @property
    def message(self) -> str:
        """What to tell the user."""
        verb = "was killed" if self.signal else "ended"
        advice = _ADVICE.get(self.signal, _ADVICE_ELSE)
        return f"a data loading process {verb}: {self.said}. {advice}"


def dead_loader(message: str) -> DeadLoader | None:
    """The process that a message reports as dead; ``None`` if it is about something else."""
    found = _SAID.search(message)
    return DeadLoader(found[0], found["signal"] or "") if found else None
