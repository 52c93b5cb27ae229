"""The runbook as its author wrote it: bash blocks and success criteria by step, from the file itself."""

import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

WORKSPACE_ROOT = "/media/ldk950413/data0/DiffBEV"
NUSCENES_ROOT = "/media/ldk950413/data0/nuScenes"

_HEADING = re.compile(r"^(?:### Step ([\d.]+):|### (问题\d+):|## (最终输出检查清单)|#{1,3} )", re.MULTILINE)
_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CRITERIA = re.compile(r"\*\*成功判据\*\*:(.*?)(?=^\*\*|^---|^```|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One step, known problem or checklist."""

    name: str
    """``2.4``, ``问题3`` or ``最终输出检查清单``."""
    blocks: list[str] = field(default_factory=list)
    criteria: list[str] = field(default_factory=list)


def runbook_text() -> str:
    """The file as it ships in the package."""
    return (resources.files("diffbev_engine.runbook") / "data/runbook.zh.md").read_text(encoding="utf-8")


def read_runbook(workspace: Path, nuscenes_root: Path) -> list[Step]:
    """All steps in the order of the runbook, its two roots replaced."""
    text = runbook_text().replace(WORKSPACE_ROOT, str(workspace)).replace(NUSCENES_ROOT, str(nuscenes_root))
    # A comment in a block may look like a heading: blocks are hidden while headings are sought.
    headings = list(_HEADING.finditer(_BLOCK.sub(lambda match: "`" * len(match[0]), text)))
    steps = []
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        name = heading[1] or heading[2] or heading[3]
        body = text[heading.end() : following.start() if following else len(text)]
        if name:
            steps.append(Step(name, _BLOCK.findall(body), _criteria(body)))
    return steps


def _criteria(body: str) -> list[str]:
    found = _CRITERIA.search(body)
    if found is None:
        return []
    lines = [line.strip().removeprefix("- ") for line in found[1].splitlines()]
    return [line for line in lines if line]
