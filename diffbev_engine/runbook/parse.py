"""Runbook files: TOML to phases, steps and problems, with errors that name the file and the key.

The packaged files (``data/*.toml``) and ``runbook.toml`` of a workspace have the same form::

    [[phase]]
    id = "7"
    title = "Own ablation"                     # or { zh = "…", en = "…" }

    [[phase.step]]
    id = "7.1"
    title = "Train without depth"
    run = "bash scripts/ablation.sh"           # several: [[phase.step.command]] with run = …
    after = ["3.2"]
    checks = [{ type = "path_exists", path = "runs/ablation/best_mIoU.pth" }]

    [[step]]                                   # one more step of an existing phase
    phase = "1"
    …
"""

import difflib
import re
import types
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from diffbev_engine.core.bilingual import Bilingual, same
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.plain_text import plain
from diffbev_engine.findings.command import own_command
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.runbook.checks import files, output  # noqa: F401 – they register checks
from diffbev_engine.runbook.checks.check import CHECK_TYPES, Check
from diffbev_engine.runbook.model import Command, Equivalent, Phase, Problem, Step

T = TypeVar("T")
Table = Mapping[str, Any]
_REGULAR_EXPRESSIONS = ("pattern", "logs")
_GLOBS = ("files_at_least",)


@dataclass(frozen=True)
class Place:
    """Where in which file: ``runbook.toml: phase 7, step 7.1, checks[0]``."""

    file: str
    where: tuple[str, ...] = ()
    packaged: bool = False
    """Whether it is ours: then a test has compiled its expressions, which takes as long as all else here."""

    def inside(self, part: str) -> "Place":
        """A place within this one."""
        return Place(self.file, (*self.where, part), self.packaged)

    def error(self, message: str) -> UsageError:
        """The error to raise about this place."""
        return UsageError(": ".join([self.file, *([", ".join(self.where)] if self.where else []), message]))


def parse_phases(content: Table, place: Place) -> list[Phase]:
    """The phases of a file.

    Raises:
        UsageError: naming file and key, what is expected and what was found.
    """
    return [_phase(table, place) for table in tables(content, "phase", place)]


def parse_loose_steps(content: Table, place: Place) -> list[tuple[str, Step]]:
    """Steps that a file adds to phases of the runbook, as (phase, step)."""
    found = []
    for table in tables(content, "step", place):
        here = _named("step", table, place)
        phase = table.get("phase")
        if not isinstance(phase, str):
            raise here.error('phase must name the phase that the step belongs to, e.g. phase = "1"')
        found.append((phase, _step({key: table[key] for key in table if key != "phase"}, place)))
    return found


def parse_problems(content: Table, place: Place) -> list[Problem]:
    """The known problems of a file."""
    problems = []
    for table in tables(content, "problem", place):
        here = _named("problem", table, place)
        own = {
            "commands": tuple(_commands(table, here)),
            "remedies": tuple(
                _remedy(remedy, here.inside(f"remedy {number}"))
                for number, remedy in enumerate(tables(table, "remedy", here), start=1)
            ),
        }
        problems.append(build(Problem, _without(table, "remedy", "command"), here, own))
    return problems


def tables(content: Table, key: str, place: Place) -> list[Table]:
    """The array of tables called ``key``; empty if there is none."""
    found = content.get(key, [])
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        raise place.error(f"{key} must be written as [[{key}]]")
    return found


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    """Of a type, computed once: there are hundreds of tables of a dozen types."""
    return get_type_hints(kind)


def build(kind: type[T], table: Table, place: Place, given: Mapping[str, Any] | None = None) -> T:
    """Make a frozen dataclass of a table; ``given`` fields are not taken from it."""
    hints = _hints(cast(Hashable, kind))
    own = {field.name: field for field in fields(kind) if field.name not in (given or {})}  # type: ignore[arg-type]
    for key in table:
        if key not in own:
            near = difflib.get_close_matches(key, own, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(own)}"
            raise place.error(f"unknown key {key!r}; {hint}")
    values = dict(given or {})
    for name, field in own.items():
        if name in table:
            values[name] = _value(hints[name], table[name], place.inside(name))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise place.error(f"{name} is missing")
    return kind(**values)


@dataclass(frozen=True)
class _RemedyTable:
    """``[[problem.remedy]]``."""

    text: Bilingual
    command: str = ""
    """Shell that does it, if one line can."""
    setting: str = ""
    """The ``key=value`` of the configuration that does it."""
    when: tuple[str, ...] = ()


def _remedy(table: Table, place: Place) -> Remedy:
    """A command of this program is run without a shell; other commands are for a person to paste."""
    given = build(_RemedyTable, table, place)
    argv = own_command(given.command)
    return Remedy(
        given.text,
        argv=argv,
        shell="" if argv else given.command,
        overrides=(given.setting,) if given.setting else (),
        when=given.when,
    )


_LONGEST_ID = 64


def _named(kind: str, table: Table, place: Place) -> Place:
    """The place of a phase, step or problem, whose id names files: it must not lead elsewhere."""
    name = table.get("id", "?")
    here = place.inside(f"{kind} {plain(str(name), longest=_LONGEST_ID)}")
    if isinstance(name, str) and not (
        0 < len(name) <= _LONGEST_ID and name.isprintable() and name[0] != "." and "/" not in name
    ):
        raise here.error(
            f"id must be a name of at most {_LONGEST_ID} characters without '/', not beginning with a dot"
        )
    return here


def _phase(table: Table, place: Place) -> Phase:
    here = _named("phase", table, place)
    steps = tuple(_step(step, here) for step in tables(table, "step", here))
    return build(Phase, _without(table, "step"), here, {"steps": steps, "source": None})


def _step(table: Table, place: Place) -> Step:
    here = _named("step", table, place)
    listed = table.get("checks", [])
    if not isinstance(listed, list):
        raise here.error('checks must be a list of tables: checks = [{ type = "exit_code" }]')
    checks = tuple(_check(check, here.inside(f"checks[{number}]")) for number, check in enumerate(listed))
    given: dict[str, Any] = {
        "commands": tuple(_commands(table, here)),
        "checks": checks or (CHECK_TYPES["exit_code"](),),
        "equivalent": None,
    }
    if "equivalent" in table:
        given["equivalent"] = build(Equivalent, table["equivalent"], here.inside("equivalent"))
    if not given["commands"]:
        raise here.error('no command: write run = "…", or [[phase.step.command]] with run = "…"')
    rest = dict(_without(table, "command", "checks", "equivalent", "run"))
    if "put_off_until" in rest:  # its name in older files
        rest.setdefault("deferred_until", rest.pop("put_off_until"))
    rest.setdefault("criterion", {"zh": "全部检查通过", "en": "every check holds"})
    return build(Step, rest, here, given)


def _commands(table: Table, place: Place) -> list[Command]:
    several = [
        build(Command, command, place.inside(f"command {number}"))
        for number, command in enumerate(tables(table, "command", place), start=1)
    ]
    if "run" not in table:
        return several
    if several:
        raise place.error("has both run and [[command]]: keep one of them")
    return [build(Command, {"run": table["run"]}, place)]


def _check(table: Any, place: Place) -> Check:
    if not isinstance(table, Mapping) or "type" not in table:
        raise place.error('a check is a table with a type, e.g. { type = "path_exists", path = "…" }')
    name = table["type"]
    if not isinstance(name, str) or name not in CHECK_TYPES:
        near = difflib.get_close_matches(str(name), CHECK_TYPES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(CHECK_TYPES))}"
        raise place.error(f"unknown type {name!r}; {hint}")
    check = build(CHECK_TYPES[name], _without(table, "type"), place)
    pattern = getattr(check, "pattern", "")
    if name not in _GLOBS:
        _valid_expression(pattern, place.inside("pattern"))
    return check


def _value(hint: Any, value: Any, place: Place) -> Any:
    options = [option for option in _options(hint) if option is not type(None)]
    if options == [Bilingual]:
        return _text(value, place)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise place.error(f"must be one of {', '.join(map(repr, get_args(hint)))}, not {value!r}")
        return value
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        if not isinstance(value, list) or not all(isinstance(item, inner) for item in value):
            raise place.error(f"must be a list of {_WORDS[inner]}, not {value!r}")
        if place.where[-1] == "logs":
            for item in value:
                _valid_expression(item, place)
        return tuple(value)
    if options == [float] and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, options[0]) or (isinstance(value, bool) and options != [bool]):
        raise place.error(f"must be {_WORDS[options[0]]}, not {value!r}")
    return _all_visible(value, place) if isinstance(value, str) else value


def _all_visible(text: str, place: Place) -> str:
    """``text``, if what a reader sees of it is all that it says: commands are shown before they run."""
    hidden = next((letter for letter in text if not letter.isprintable() and letter not in "\n\t"), "")
    if hidden:
        raise place.error(f"has an invisible character (U+{ord(hidden):04X}); remove it")
    return text


_WORDS = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def _options(hint: Any) -> list[Any]:
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def _text(value: Any, place: Place) -> Bilingual:
    if isinstance(value, str):
        return same(_plain(value))
    if (
        isinstance(value, Mapping)
        and set(value) == {"zh", "en"}
        and all(isinstance(v, str) for v in value.values())
    ):
        return Bilingual(value["zh"].strip("\n"), value["en"].strip("\n")).map(_plain)
    raise place.error('must be text in quotes, or both languages: { zh = "…", en = "…" }')


def _plain(text: str) -> str:
    return plain(text, keep="\n\t")


def _valid_expression(pattern: str, place: Place) -> None:
    if place.packaged:
        return
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise place.error(f"{pattern!r} is no regular expression: {error}") from error


def _without(table: Table, *keys: str) -> Table:
    return {key: table[key] for key in table if key not in keys}
