"""The report of a runbook as one HTML file with figures and style inside."""

import base64
import html

from diffbev_engine.core.format import duration, points
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.runbook import report_words as words
from diffbev_engine.runbook.present import STATE_WORDS, clock
from diffbev_engine.runbook.record import GLYPHS, StepState
from diffbev_engine.runbook.report import ReportContent
from diffbev_engine.runbook.view import StepView

_LARGEST_FIGURE = 5 << 20
_STYLE = """
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
h3 { margin: 1.6rem 0 .4rem; font-size: 1.05rem; }
table { border-collapse: collapse; }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
details { margin: .2rem 0; } summary { cursor: pointer; } summary small, .dim { color: #666; }
pre { background: #f4f4f2; padding: .6rem .8rem; overflow-x: auto; font-size: 13px; }
ul { margin: .3rem 0; padding-left: 1.4rem; list-style: none; }
.passed b { color: #00694a; } .failed b { color: #b03a00; } .running b { color: #00568f; }
.stale b { color: #8a6500; } .pending b, .skipped b { color: #666; }
figure { margin: 1rem 0; } img { max-width: 100%; border: 1px solid #ddd; }
figcaption { color: #666; font-size: 13px; }
@media print { details[open] { break-inside: avoid; } }
"""


def to_html(content: ReportContent) -> str:
    """The whole report."""
    language, view = content.language, content.view
    counts = " · ".join(
        f"{GLYPHS[state]} {STATE_WORDS[state][language]} {view.counts[state]}"
        for state in StepState
        if view.counts[state]
    )
    following = (
        f"{view.next.step.id} {view.next.step.title[language]}" if view.next else words.NOTHING[language]
    )
    body = [
        f"<h1>{_escape(words.TITLE[language])}</h1>",
        f'<p class="dim">{_escape(words.WRITTEN[language])} {clock(content.written)}</p>',
        _runs(content),  # what it was all for
        f"<h2>{_escape(words.PROGRESS[language])}</h2><p>{_escape(counts)}</p>",
        f"<p>{_escape(words.NEXT[language])}: <b>{_escape(following)}</b></p>",
        f"<h2>{_escape(words.STEPS[language])}</h2>",
    ]
    for phase in view.runbook.phases:
        body.append(f"<h3>{_escape(phase.id)} {_escape(phase.title[language])}</h3>")
        body += [_step(one, content) for one in view.of_phase(phase)]
    body += [_figures(content), _environment(content)]
    head = f'<meta charset="utf-8"><title>{_escape(words.TITLE[language])}</title><style>{_STYLE}</style>'
    lang = "zh-CN" if language == "zh" else "en"
    return (
        f'<!doctype html>\n<html lang="{lang}"><head>{head}</head>\n<body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _step(view: StepView, content: ReportContent) -> str:
    language, record, state = content.language, view.record, view.state
    facts = [STATE_WORDS[state][language]]
    if record.started and state is not StepState.PENDING:
        facts.append(clock(record.started))
    if record.seconds is not None:
        facts.append(duration(record.seconds, language, tenths=True))
    if record.reason:
        facts.append(record.reason[language])
    title = f"<b>{GLYPHS[state]} {_escape(view.step.id)}</b> {_escape(view.step.title[language])}"
    criterion = _lines(content.roots.words(view.step.criterion)[language])
    inside = [f"<p>{_escape(words.CRITERION[language])}: {criterion}</p>"]
    command = record.command or "\n".join(content.roots.shown_command(one.run) for one in view.step.commands)
    inside.append(f"<pre>{_escape(command)}</pre>")
    if record.checks:
        items = "".join(
            f"<li>{'✓' if one.passed else '✗'} {_escape(one.description[language])}"
            + (f" <code>{_escape(one.detail[language])}</code>" if one.detail else "")
            + "</li>"
            for one in record.checks
        )
        inside.append(f"<ul>{items}</ul>")
    if record.lines:
        inside.append(f"<pre>{_escape(chr(10).join(record.lines))}</pre>")
    more = []
    if record.exit_code is not None:
        more.append(f"{words.EXIT_CODE[language]} {record.exit_code}")
    if record.log:
        more.append(f"{words.LOG[language]} {record.log}")
    if record.problem:
        more.append(f"{words.PROBLEM[language]} {record.problem}")
    if more:
        inside.append(f'<p class="dim">{_escape(" · ".join(more))}</p>')
    opened = " open" if state is StepState.FAILED else ""
    summary = f"<summary>{title} <small>{_escape(' · '.join(facts))}</small></summary>"
    return f'<details class="{state.value}"{opened}>{summary}{"".join(inside)}</details>'


def _runs(content: ReportContent) -> str:
    if not content.runs:
        return ""
    head = "".join(f"<th>{_escape(cell)}</th>" for cell in words.RUN_COLUMNS[content.language].split("|"))
    rows = "".join(
        f"<tr><td>{_escape(run.name)}<td>{_escape(run.state)}<td>{_or_dash(run.step)}"
        f"<td>{points(run.best_miou, 2)}<td>{_or_dash(run.best_step)}</tr>"
        for run in content.runs
    )
    return f"<h2>{_escape(words.RUNS[content.language])}</h2><table><tr>{head}</tr>{rows}</table>"


def _figures(content: ReportContent) -> str:
    language = content.language
    parts = [f"<h2>{_escape(words.FIGURES[language])}</h2>"]
    if not content.figures:
        parts.append(f"<p>{_escape(words.NO_FIGURES[language])}</p>")
    for path in content.figures:
        try:
            data = base64.b64encode(read_bounded(path, _LARGEST_FIGURE)).decode()
        except OSError:  # deleted while the report was written
            continue
        shown = _escape(content.roots.short(path))
        image = f'<img alt="{shown}" src="data:image/png;base64,{data}">'
        parts.append(f"<figure>{image}<figcaption>{shown}</figcaption></figure>")
    if content.left_out:
        parts.append(f"<p>{content.left_out} {_escape(words.LEFT_OUT[language])}</p>")
    return "\n".join(parts)


def _environment(content: ReportContent) -> str:
    rows = "".join(f"<tr><td>{_escape(name)}<td>{_escape(value)}</tr>" for name, value in content.environment)
    return f"<h2>{_escape(words.ENVIRONMENT[content.language])}</h2><table>{rows}</table>"


def _escape(text: str) -> str:
    """Text for HTML, without what a terminal or a browser would obey."""
    return html.escape(plain(text, keep="\n\t"))


def _lines(text: str) -> str:
    return "<br>".join(_escape(line) for line in text.splitlines())


def _or_dash(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
