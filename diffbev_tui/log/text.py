"""The lines above the log: which file, what of it is shown, what was found. No Textual."""

from rich.cells import cell_len
from rich.text import Text

from diffbev_engine.core.format import byte_size, count, percent
from diffbev_tui.i18n import tr
from diffbev_tui.log.open_log import OpenLog
from diffbev_tui.log.scan import FileScan


def about_file(log: OpenLog, place: str, top: int, *, wrap: bool) -> Text:
    """``train.log  1/3  all lines  the last 4.0 of 210 MiB``.

    Args:
        log: what is shown.
        place: which of how many logs.
        top: byte of the file at which the first visible line begins.
        wrap: whether long lines are.
    """
    text = Text()
    text.append(f"{log.path.name}  ", "bold")
    text.append(f"{place}  {tr('log.level_' + log.wanted.level)}")
    if log.only is not None:
        text.append("".join(f"  & {one}" for one in log.wanted.texts if one), "bold")
        text.append(f"  {_found(log.only, 'log.lines')}")
    if log.window is not None:
        share = percent(top / log.tail.size if log.tail.size else None, 0)
        text.append(f"  {tr('log.part', share=share, size=byte_size(log.tail.size))}", "bold")
    elif log.only is not None and len(log.only.kept) < log.only.count and log.only.finished:
        text.append(f"  {tr('log.newest_lines', count=count(len(log.only.kept)))}", "bold")
    elif log.only is None and log.tail.begin:
        end, size = byte_size(log.tail.size - log.tail.begin), byte_size(log.tail.size)
        text.append(f"  {tr('log.only_the_end', end=end, size=size)}", "bold")
    text.append("" if wrap else f"  {tr('log.not_wrapped')}")
    text.append(f"  {tr('log.begun_anew')}" if log.tail.starts else "")
    return text


def about_search(log: OpenLog, hit: int | None) -> Text:
    """``/oom  3 of 312 matches``; while it reads ``/oom  312 matches, 40% of 210 MiB read``."""
    text = Text()
    if log.search is not None:
        number = log.search.number(hit) if hit is not None else 0
        place = f"{count(number)}/" if number else ""
        text.append(f"/{log.needle}  {place}{_found(log.search, 'log.matches')}", "bold")
    return text


def _found(scan: FileScan, words: str) -> str:
    found = tr(words, count=count(scan.count))
    if scan.error:
        return f"{found}  {tr('log.stopped', why=scan.error)}"
    if scan.finished:
        return found
    share = percent(scan.read / scan.size if scan.size else 0.0, 0)
    return tr("log.so_far", found=found, share=share, size=byte_size(scan.size or None))


def in_rows(parts: list[Text], width: int) -> Text:
    """Parts that say something, as many in a row as fit."""
    rows: list[Text] = []
    for part in (part for part in parts if part):
        if rows and cell_len(rows[-1].plain) + 3 + cell_len(part.plain) <= width:
            rows[-1].append("   ").append_text(part)
        else:
            rows.append(part)
    return Text("\n").join(rows)
