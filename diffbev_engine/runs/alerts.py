"""``alerts.jsonl``: what went wrong or right with a run, and when; for screens and notifications.

One line per alert, appended by the process that watches the run (:mod:`watch`).  Facts, not sentences:
:func:`alert_words` says them in both languages.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.format import UNKNOWN, byte_size, count, duration, points
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.regular_file import read_end
from diffbev_engine.core.secrets import masked, masked_values
from diffbev_engine.core.state_file import Amount, UnixTime, convert

_LARGEST = 1 << 20
"""Bytes read from the end: some five thousand alerts."""


class AlertKind(str, Enum):
    """What happened."""

    STALLED = "stalled"
    CONTINUES = "continues"
    """It makes progress again."""
    TROUBLE = "trouble"
    """Something is wrong although it continues: a checkpoint waits for the disk."""
    NOT_FINITE = "not_finite"
    DIVERGING = "diverging"
    DISK_LOW = "disk_low"
    NEW_BEST = "new_best"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    OOM = "oom"
    DIVERGED = "diverged"
    DEAD = "dead"
    NOT_NOTIFIED = "not_notified"
    """A notification was not delivered."""
    NOT_TRACKED = "not_tracked"
    """A tracker does not take the rows of ``metrics.csv``; it is tried again."""


GOOD = frozenset({AlertKind.CONTINUES, AlertKind.NEW_BEST, AlertKind.FINISHED})
"""Worth knowing, but no reason to act."""


@dataclass(frozen=True)
class Alert:
    """One line of the file; ``None`` and empty where a field does not apply."""

    time: UnixTime
    kind: AlertKind
    step: int | None = None
    message: str = ""
    """The words of the run: why it failed or stalled."""
    column: str = ""
    """The loss that is not finite."""
    value: float | None = None
    """The loss now; the new best mIoU, 0 to 1."""
    before: float | None = None
    """The usual loss; the best mIoU before."""
    free: Amount | None = None
    """Bytes that the disk has left."""
    seconds: Amount | None = None
    """Without progress."""
    about: AlertKind | None = None
    """What the notification that was not delivered was about."""


def append_alerts(path: Path, alerts: Iterable[Alert]) -> None:
    """Add lines to ``path``; a disk that cannot be written loses them, and ends nothing."""
    lines = "".join(json.dumps(_plain(alert), ensure_ascii=False) + "\n" for alert in alerts)
    if lines:
        with suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(lines)


def _plain(alert: Alert) -> dict[str, object]:
    plain = masked_values(asdict(alert)) | {"about": alert.about.value if alert.about else None}
    return {name: value for name, value in plain.items() if value not in (None, "")}


def read_alerts(path: Path) -> tuple[Alert, ...]:
    """The alerts in ``path``, the oldest first; lines that are none are passed over."""
    try:
        content = read_end(path, _LARGEST)
    except OSError:
        return ()
    found = []
    for line in content.splitlines():
        if line[:1] != b"{":
            continue
        try:
            alert = convert(json.loads(line), Alert)
        except (ValueError, RecursionError):
            continue
        if alert is not None:
            found.append(alert)
    return tuple(found)


def alert_words(alert: Alert) -> Bilingual:
    """One sentence, without the name of the run."""
    step, why = count(alert.step), masked(plain(alert.message))
    column = plain(alert.column)
    zh_why, en_why = (f"：{why}", f": {why}") if why else ("", "")
    if alert.kind is AlertKind.STALLED:
        return Bilingual(f"已停滞，停在第 {step} 次迭代{zh_why}", f"stalled at iteration {step}{en_why}")
    if alert.kind is AlertKind.CONTINUES:
        took = alert.seconds
        return Bilingual(
            f"恢复进展，第 {step} 次迭代（停滞 {duration(took, 'zh')}）",
            f"makes progress again, at iteration {step} (stalled for {duration(took)})",
        )
    if alert.kind is AlertKind.TROUBLE:
        return Bilingual(f"第 {step} 次迭代出现问题{zh_why}", f"problem at iteration {step}{en_why}")
    if alert.kind is AlertKind.NOT_FINITE:
        return Bilingual(
            f"第 {step} 次迭代 {column} 出现 NaN 或无穷大",
            f"{column} is NaN or infinite at iteration {step}",
        )
    if alert.kind is AlertKind.DIVERGING:
        before, now = _loss(alert.before), _loss(alert.value)
        return Bilingual(
            f"损失发散，第 {step} 次迭代由 {before} 升至 {now}",
            f"loss is diverging, from {before} to {now} at iteration {step}",
        )
    if alert.kind is AlertKind.DISK_LOW:
        free = byte_size(alert.free)
        return Bilingual(
            f"磁盘仅剩 {free}，检查点可能无法保存",
            f"only {free} of disk space left; checkpoints may fail to save",
        )
    if alert.kind is AlertKind.NEW_BEST:
        return _new_best(alert)
    if alert.kind is AlertKind.NOT_NOTIFIED:
        event = alert.about.value if alert.about else "?"
        return Bilingual(
            f"{event} 的通知未送达{zh_why}", f"notification of {event} was not delivered{en_why}"
        )
    if alert.kind is AlertKind.NOT_TRACKED:
        return Bilingual(f"实验跟踪工具未收到指标{zh_why}", f"a tracker does not get the metrics{en_why}")
    return _end(alert, step, zh_why, en_why)


def _loss(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"


def _new_best(alert: Alert) -> Bilingual:
    value, step = points(alert.value), count(alert.step)
    if alert.before is None or alert.value is None:
        return Bilingual(f"首个 mIoU：{value}，第 {step} 次迭代", f"first mIoU {value} at iteration {step}")
    more = points(alert.value - alert.before, signed=True)
    return Bilingual(
        f"mIoU 新高 {value}（{more}），第 {step} 次迭代",
        f"new best mIoU {value} ({more}) at iteration {step}",
    )


_ENDS = {
    AlertKind.FINISHED: Bilingual("训练完成", "finished"),
    AlertKind.INTERRUPTED: Bilingual("已中断", "interrupted"),
    AlertKind.FAILED: Bilingual("失败", "failed"),
    AlertKind.OOM: Bilingual("显存不足", "out of GPU memory"),
    AlertKind.DIVERGED: Bilingual("已发散", "diverged"),
    AlertKind.DEAD: Bilingual("进程已终止", "its process is gone"),
}


def _end(alert: Alert, step: str, zh_why: str, en_why: str) -> Bilingual:
    end = _ENDS[alert.kind]
    if alert.step is None:
        return Bilingual(f"{end.zh}{zh_why}", f"{end.en}{en_why}")
    return Bilingual(f"{end.zh}，第 {step} 次迭代{zh_why}", f"{end.en} at iteration {step}{en_why}")
