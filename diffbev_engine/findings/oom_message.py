"""The out-of-memory messages of torch, in all the forms that its versions and platforms write."""

import re
from dataclasses import asdict, dataclass

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.gpu_processes import GpuProcess, own_among

_SIZE = r"([\d.]+) ?(bytes|B|KiB|MiB|GiB|TiB)"
_MIB = {"bytes": 2**-20, "B": 2**-20, "KiB": 2**-10, "MiB": 1.0, "GiB": 1024.0, "TiB": 1024.0**2}
_OTHERS_MATTER = 0.05
_FRAGMENTED = 0.10


@dataclass(frozen=True)
class OutOfMemory:
    """What one message says, in MiB; ``None`` where it does not."""

    requested: float
    gpu: int | None = None
    capacity: float | None = None
    free: float | None = None
    listed: tuple[tuple[int, float], ...] = ()
    """(pid, MiB) of the processes that the message names; in a container this one may be among them."""
    this_process: float | None = None
    allocated: float | None = None
    private_pools: float | None = None
    """Part of ``allocated`` that CUDA graphs hold."""
    reserved_unallocated: float | None = None

    @property
    def spilled(self) -> bool:
        """Whether more is allocated than the GPU has: Windows moved memory to the host before it ended."""
        return self.allocated is not None and self.capacity is not None and self.allocated > self.capacity

    @property
    def reserved(self) -> float | None:
        """MiB that PyTorch holds, used or not."""
        return None if self.allocated is None else self.allocated + (self.reserved_unallocated or 0.0)

    @property
    def own(self) -> float | None:
        """MiB that this process holds, its CUDA context included."""
        rest = [mib for pid, mib in self.listed if (pid, mib) not in self.others]
        return self.this_process if self.this_process is not None else rest[0] if rest else None

    @property
    def others(self) -> tuple[tuple[int, float], ...]:
        """Those listed that are not this process; a message names it separately unless in a container."""
        if self.this_process is not None:
            return self.listed
        hidden = [GpuProcess(pid, mib, None, None, None) for pid, mib in self.listed]
        least = self.reserved if self.reserved is not None or len(hidden) > 1 else 0.0
        return tuple((each.pid, each.mib or 0.0) for each in own_among(hidden, least=least) if not each.mine)

    @property
    def held_by_others(self) -> float:
        """MiB that other processes hold."""
        return sum(size for _, size in self.others)

    @property
    def others_matter(self) -> bool:
        """Whether other processes hold more than 5 % of the GPU."""
        return bool(self.capacity and self.held_by_others > _OTHERS_MATTER * self.capacity)

    @property
    def fragmented(self) -> bool:
        """Whether torch holds more unused memory than was asked for, and than 10 % of the GPU."""
        bound = max(self.requested, _FRAGMENTED * (self.capacity or 0))
        return (self.reserved_unallocated or 0) > bound

    def to_json(self) -> dict[str, object]:
        """Plain values, MiB."""
        derived = {"others": self.others, "fragmented": self.fragmented, "spilled": self.spilled}
        return asdict(self) | derived

    def say(self) -> list[Bilingual]:
        """What the message means, the first cause first."""
        asked, free = _shown(self.requested), _shown(self.free)
        gpu = "GPU" if self.gpu is None else f"GPU {self.gpu}"
        total = _shown(self.capacity)
        lines = [
            Bilingual(
                f"{gpu}：请求 {asked}，剩余 {free}，总量 {total}，torch已分配 {_shown(self.allocated)}",
                f"{gpu}: asked for {asked}, {free} free of {total}, torch holds {_shown(self.allocated)}",
            )
        ]
        if self.others_matter:
            zh = "、".join(f"进程 {pid} 占用 {_shown(size)}" for pid, size in self.others)
            en = ", ".join(f"process {pid} holds {_shown(size)}" for pid, size in self.others)
            lines.append(Bilingual(zh, en))
        if self.fragmented:
            size = _shown(self.reserved_unallocated)
            lines.append(
                Bilingual(
                    f"PyTorch 已保留但未使用 {size}，请先尝试 expandable_segments",
                    f"{size} is reserved by PyTorch but unallocated; try expandable_segments first",
                )
            )
        if self.spilled:
            lines.append(
                Bilingual(
                    "分配量超过显存：Windows已换出到主机内存",
                    "more memory allocated than the GPU has: Windows spilled to host memory",
                )
            )
        return lines


def parse_oom(text: str) -> OutOfMemory | None:
    """The last out-of-memory message in ``text``; ``None`` if there is none."""
    starts = [match.start() for match in re.finditer(r"Tried to allocate " + _SIZE, text)]
    if not starts:
        return None
    message = text[starts[-1] :][:2000]
    again = re.search(r"\n\d{4}-\d\d-\d\d |\nTraceback", message)
    message = message[: again.start()] if again else message
    requested = _size(r"Tried to allocate " + _SIZE, message)
    gpu = re.search(r"GPU (\d+)", message)
    listed = tuple(
        (int(pid), float(number) * _MIB[unit])
        for pid, number, unit in re.findall(r"Process (\d+) has " + _SIZE, message)
    )
    return OutOfMemory(
        requested=requested or 0.0,
        gpu=int(gpu[1]) if gpu else None,
        capacity=_size(r"total capac\w+ of " + _SIZE, message, _SIZE + r" total capac\w+"),
        free=_size(r"of which " + _SIZE + r" is free", message, _SIZE + r" free"),
        listed=listed,
        this_process=_size(r"this process has " + _SIZE, message),
        allocated=_size(_SIZE + r" is allocated by PyTorch", message, _SIZE + r" already allocated"),
        private_pools=_size(r"with " + _SIZE + r" allocated in private pools", message),
        reserved_unallocated=_unallocated(message),
    )


def _unallocated(message: str) -> float | None:
    """Reserved but unallocated; before torch 2.1 the difference of two figures."""
    size = _size(_SIZE + r" is reserved by PyTorch but unallocated", message)
    if size is not None:
        return size
    reserved = _size(_SIZE + r" reserved in total by PyTorch", message)
    allocated = _size(_SIZE + r" already allocated", message)
    return None if reserved is None or allocated is None else max(0.0, reserved - allocated)


def _size(pattern: str, message: str, *older: str) -> float | None:
    for form in (pattern, *older):
        if match := re.search(form, message):
            return float(match[1]) * _MIB[match[2]]
    return None


def _shown(mib: float | None) -> str:
    if mib is None:
        return "–"
    return f"{mib / 1024:.2f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
