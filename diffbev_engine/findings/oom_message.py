"""The figures in out-of-memory messages of GPUs, in the forms that libraries and platforms write."""

import math
import re
from dataclasses import asdict, dataclass

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.format import mib_size
from diffbev_engine.core.gpu.processes import GpuProcess, own_among

_SIZE = r"(?<![\d.,])(\d{1,3}(?:,\d{3}){1,6}|\d{1,20}(?:\.\d{1,6})?) ?(bytes|B|[KMGT]i?B)\b"
_MIB = {"bytes": 2**-20, "B": 2**-20, "K": 2**-10, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
_REQUESTED = (
    r"Tried to allocate ",
    r"Requested {1,20}: ",  # cudaMallocAsync
    r"Failed to CUDA [cm]alloc (?:async )?",  # NCCL
    r"(?:while trying to allocate|Failed to allocate request for|Out of memory allocating) ",  # XLA, CuPy
)
_TENSOR = re.compile(
    r"OOM when allocating tensor with shape\[(\d{1,18}(?:,\d{1,18}){0,15})\] and type (\w+) on \S*GPU:(\d+)",
    re.I,
)
_ITEM = {"half": 2, "bfloat16": 2, "float": 4, "double": 8, "int32": 4, "int64": 8}
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
    allowed: float | None = None
    """What a memory fraction allows PyTorch, where it is less than the GPU has."""

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
        asked, free = mib_size(self.requested, 2), mib_size(self.free, 2)
        gpu = "GPU" if self.gpu is None else f"GPU {self.gpu}"
        total, held = mib_size(self.capacity, 2), mib_size(self.allocated, 2)
        lines = [
            Bilingual(
                f"{gpu}：请求 {asked}，空闲 {free}，总量 {total}，PyTorch 已分配 {held}",
                f"{gpu}: requested {asked}, {free} free of {total}, {held} allocated by PyTorch",
            )
        ]
        if self.allowed is not None:
            limit = mib_size(self.allowed, 2)
            lines.append(
                Bilingual(
                    f"PyTorch 被限制为 {limit}（显存比例），GPU 仍有空闲",
                    f"a memory fraction limits PyTorch to {limit}; the GPU itself has room",
                )
            )
        if self.others_matter:
            zh = "、".join(f"进程 {pid} 占用 {mib_size(size, 2)}" for pid, size in self.others)
            en = ", ".join(f"process {pid} holds {mib_size(size, 2)}" for pid, size in self.others)
            lines.append(Bilingual(zh, en))
        if self.fragmented:
            size = mib_size(self.reserved_unallocated, 2)
            lines.append(
                Bilingual(
                    f"PyTorch 已保留但未使用 {size}，请先尝试 expandable_segments",
                    f"{size} is reserved by PyTorch but unallocated; try expandable_segments first",
                )
            )
        if self.spilled:
            lines.append(
                Bilingual(
                    "分配量超过显存：Windows 已换出到主机内存",
                    "more memory allocated than the GPU has: Windows spilled to host memory",
                )
            )
        return lines


def parse_oom(text: str) -> OutOfMemory | None:
    """The last out-of-memory message with figures in ``text``; ``None`` if there is none."""
    found = [match for form in _REQUESTED for match in re.finditer(form + _SIZE, text)]
    tensors = list(_TENSOR.finditer(text))
    last = max((*found, *tensors), key=lambda match: match.start(), default=None)
    if last is None:
        return None
    if last in tensors:
        return OutOfMemory(_tensor_mib(last), gpu=int(last[3]))
    message = _message_around(text, last.start())
    gpu = re.search(r"GPU (\d+)|on device (\d+)", message)
    listed = re.findall(r"Process (\d+) has " + _SIZE, message)
    capacity = _size(
        message, r"total capac\w{1,9} of " + _SIZE, _SIZE + r" total capac", r"Device limit {1,20}: " + _SIZE
    )
    allowed = _size(
        message, _SIZE + r" allowed", r"max allowed: " + _SIZE, r"memory fraction\)\s{1,40}: " + _SIZE
    )
    return OutOfMemory(
        requested=_mib(last[1], last[2]),
        gpu=int(gpu[1] or gpu[2]) if gpu else None,
        capacity=capacity,
        free=_size(
            message, r"of which " + _SIZE + r" is free", _SIZE + r" free", r"Free \(.{1,40}\): " + _SIZE
        ),
        listed=tuple((int(pid), _mib(number, unit)) for pid, number, unit in listed),
        this_process=_size(message, r"this process has " + _SIZE),
        allocated=_size(
            message,
            _SIZE + r" is allocated by PyTorch",
            _SIZE + r" already allocated",
            r"Currently allocated {1,20}: " + _SIZE,
            r"MPS allocated: " + _SIZE,
            r"allocated so far: " + _SIZE,
        ),
        private_pools=_size(message, r"with " + _SIZE + r" allocated in private pools"),
        reserved_unallocated=_unallocated(message),
        allowed=None if allowed is None or allowed > (capacity or allowed) else allowed,
    )


def _message_around(text: str, start: int) -> str:
    """One message: from the line that begins it to the next line of a log or traceback."""
    begin = text.rfind("\n", 0, start) + 1
    block = text.rfind("Allocation on device", max(0, start - 400), start)
    if "Tried to allocate" not in text[begin : start + 20] and block >= 0:
        begin = block
    message = text[max(begin, start - 400) :][:2400]
    again = re.search(r"\n\d{4}-\d\d-\d\d |\nTraceback", message)
    return message[: again.start()] if again else message


def _tensor_mib(match: re.Match[str]) -> float:
    return math.prod(map(int, match[1].split(","))) * _ITEM.get(match[2].lower(), 4) / 2**20


def _unallocated(message: str) -> float | None:
    """Reserved but unallocated; before torch 2.1 the difference of two figures."""
    size = _size(message, _SIZE + r" is reserved by PyTorch but unallocated")
    if size is not None:
        return size
    reserved = _size(message, _SIZE + r" reserved in total by PyTorch")
    allocated = _size(message, _SIZE + r" already allocated")
    return None if reserved is None or allocated is None else max(0.0, reserved - allocated)


def _size(message: str, *forms: str) -> float | None:
    """The first of these figures that the message has, in MiB."""
    for form in forms:
        if match := re.search(form, message):
            return _mib(match[1], match[2])
    return None


def _mib(number: str, unit: str) -> float:
    return float(number.replace(",", "")) * _MIB[unit if unit in _MIB else unit[0]]
