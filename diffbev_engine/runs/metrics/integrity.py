"""What is wrong with a ``metrics.csv``, and what to do: one answer for checks, doctor and screens.

Imports nothing heavy.
"""

from enum import Enum
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.runs.metrics.dialect import HEAD, column_names, encoding_of, header_of, lines_of
from diffbev_engine.runs.metrics.table import MetricsTable
from diffbev_engine.runs.status import RunState, read_status

_SHOWN_CHARACTERS, _SHOWN_NAMES = 60, 8


class Fault(str, Enum):
    """Why nothing of a ``metrics.csv`` can be used."""

    MISSING = "missing"
    REFUSED = "refused"
    """The system does not let it be read."""
    EMPTY = "empty"
    NO_ROWS = "no_rows"
    """A header and nothing else: the run has just started."""
    FOREIGN = "foreign"
    """Another program wrote it, without a column that counts steps."""
    DAMAGED = "damaged"


class MetricsError(DiffBEVError):
    """Nothing of a ``metrics.csv`` can be used."""

    def __init__(self, fault: Fault, text: Bilingual) -> None:
        super().__init__(text.en)
        self.fault = fault
        self.text = text


def remarks(table: MetricsTable) -> list[Bilingual]:
    """What a reader of the numbers has to know, one sentence each."""
    found = []
    if table.unreadable:
        found.append(
            Bilingual(
                f"metrics.csv 中有 {table.unreadable} 行无法读取，已跳过；"
                f"第一处在第 {table.first_unreadable} 行。",
                f"{table.unreadable} unreadable lines in metrics.csv were skipped, "
                f"the first is line {table.first_unreadable}.",
            )
        )
    if table.garbled:
        found.append(
            Bilingual(
                f"metrics.csv 中有 {table.garbled} 个单元格不是有效数值，按空白处理。",
                f"{table.garbled} cells of metrics.csv are not valid numbers and count as blank.",
            )
        )
    if table.wider:
        found.append(
            Bilingual(
                f"metrics.csv 中有 {table.wider} 行比表头宽，多出的单元格未读取。",
                f"{table.wider} rows of metrics.csv are wider than its header; extra cells were not read.",
            )
        )
    if table.superseded:
        found.append(
            Bilingual(
                f"略去了 {table.superseded} 行：恢复训练后重新记录过。",
                f"{table.superseded} rows that a resumed run logged again were skipped.",
            )
        )
    if table.percent:
        found.append(
            Bilingual(
                "文件中的 IoU 以百分数记录，已换算。",
                "IoU is logged in percent in this file; it was converted.",
            )
        )
    found += [
        Bilingual(f"{ours} 取自 {theirs} 列。", f"{ours} is read from the column {theirs}.")
        for ours, theirs in table.renamed.items()
    ]
    return found


def damage(path: Path, table: MetricsTable) -> Bilingual | None:
    """What is wrong with a file that can be read: most of its rows cannot, or it ends before its run did."""
    if table.unreadable > len(table):
        return Bilingual(
            f"{path} 已损坏：{table.unreadable} 行无法读取",
            f"{path} is damaged: {table.unreadable} rows cannot be read",
        )
    status = read_status(path.parent / "status.json")
    if status is not None and status.state is RunState.FINISHED and table.last_step < status.step:
        return Bilingual(
            f"{path} 被截断：到第 {table.last_step} 次迭代为止，而训练完成了 {status.step} 次",
            f"{path} is truncated: it ends at iteration {table.last_step}, "
            f"but the run completed {status.step}",
        )
    return None


def not_opened(path: Path, error: OSError) -> MetricsError:
    """Why the system does not open the file."""
    parent = path.parent
    if not parent.is_dir():
        return MetricsError(
            Fault.MISSING,
            Bilingual(
                f"没有实验目录 {parent}。请检查路径，或在该目录中训练："
                f"`diffbev-engine train CONFIG --work-dir {parent}`",
                f"no run directory {parent}. Check the path, or train into it: "
                f"`diffbev-engine train CONFIG --work-dir {parent}`",
            ),
        )
    if isinstance(error, FileNotFoundError):
        return MetricsError(
            Fault.MISSING,
            Bilingual(
                f"{parent} 中没有 metrics.csv。训练启动时会写入该文件：请确认这是实验目录，"
                "并查看其中最新的 train_*.log 是否有错误。",
                f"no metrics.csv in {parent}. Training writes it when it starts. Check that this is a run "
                "directory, and check the latest train_*.log there for errors.",
            ),
        )
    reason = error.strerror or error
    return MetricsError(
        Fault.REFUSED, Bilingual(f"无法读取 {path}：{reason}。", f"cannot read {path}: {reason}.")
    )


def without_header(path: Path) -> MetricsError:
    """Why no line of the file is a header.

    Raises:
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        head = file.read(HEAD)
    text = "\n".join(lines_of(head, encoding_of(head))).strip()
    if not head.strip():
        return MetricsError(
            Fault.EMPTY,
            Bilingual(
                f"{path} 为空。请查看同目录中最新的 train_*.log 是否有错误。",
                f"{path} is empty. Check the latest train_*.log in the same directory for errors.",
            ),
        )
    first = text.partition("\n")[0][:_SHOWN_CHARACTERS]
    if not text:
        return damaged(
            path,
            Bilingual(
                "只有零字节，系统崩溃会造成这种情况",
                "it contains only zero bytes, as a system crash leaves them",
            ),
        )
    if header_of(first) is not None:
        return no_rows(path)
    table = any(delimiter in first for delimiter in ",;\t|{")  # of numbers, or lines of JSON
    if not table or not first.replace("\t", "").isprintable() or "\ufffd" in first:
        return damaged(
            path, Bilingual(f"没有表头，开头为 {first!r}", f"it has no header and begins with {first!r}")
        )
    return _foreign(path, text.partition("\n")[0])


def _foreign(path: Path, first: str) -> MetricsError:
    names = column_names(first)
    has = ", ".join(names[:_SHOWN_NAMES]) + (", …" if len(names) > _SHOWN_NAMES else "")
    begins = repr(first[:_SHOWN_CHARACTERS])
    there = (
        Bilingual(f"现有列：{has}", f"its columns: {has}")
        if names
        else Bilingual(f"开头为 {begins}", f"it begins with {begins}")
    )
    do = Bilingual(
        "请将记录迭代次数的列改名为 `step`",
        "Rename the column that counts iterations to `step`",
    )
    if "epoch" in (name.lower() for name in names):
        do = Bilingual(
            "轮次 (epoch) 不是迭代次数：请添加 `step` 列（轮次 × 每轮迭代次数）",
            "An epoch is not an iteration: add a column `step` (epoch × iterations per epoch)",
        )
    return MetricsError(
        Fault.FOREIGN,
        Bilingual(
            f"{path}：其他程序写的 metrics.csv，需要 `step` 列；{there.zh}。{do.zh}，或移走该文件。",
            f"{path}: metrics.csv of another program; needs a `step` column; {there.en}. {do.en}, "
            "or move the file away.",
        ),
    )


def no_rows(path: Path) -> MetricsError:
    """The run has just started."""
    return MetricsError(
        Fault.NO_ROWS,
        Bilingual(
            f"{path} 只有表头，还没有数据行。训练在第 log_config.interval 次迭代写入第一行：请稍候，"
            "或查看同目录中最新的 train_*.log 是否有错误。",
            f"{path} has a header but no row yet. Training writes the first row at iteration "
            "log_config.interval. Wait for it, or check the latest train_*.log in the same directory for "
            "errors.",
        ),
    )


def damaged(path: Path, what: Bilingual) -> MetricsError:
    """Nothing can be read of what was a ``metrics.csv``."""
    return MetricsError(
        Fault.DAMAGED,
        Bilingual(
            f"{path} 已损坏：{what.zh}。请从备份恢复；或用 --resume 恢复训练，会保留原文件并写入新文件。",
            f"{path} is damaged: {what.en}. Restore it from a backup, or continue the run with --resume, "
            "which keeps this file aside and starts a new one.",
        ),
    )
