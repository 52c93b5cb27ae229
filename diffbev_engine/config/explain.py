"""Error messages for invalid configurations: location, key, expected and actual value."""

import difflib
import reprlib
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from diffbev_engine.config.foreign import advice_for_group, advice_for_key, advice_for_value
from diffbev_engine.config.values import Origin, Value, plain

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class _About:
    """The documentation of a field, carried among its constraints."""

    description: str


@dataclass(frozen=True)
class _Problem:
    """One thing that is wrong, and what other frameworks' users write here instead, where that is known."""

    where: Origin
    what: str
    advice: str = ""


_UNKNOWN = "unknown key "
_KINDS: dict[object, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    Path: "a path in quotes",
    type(None): "None",
}


def problems(error: ValidationError, model: type[BaseModel], config: Value) -> list[str]:
    """One line for each problem that ``error`` found in ``config``, in the order of the places."""
    found: dict[Location, _Problem] = {}
    for item in error.errors(include_url=False):
        location = _without_branches(model, tuple(item["loc"]))
        kind = item["type"]
        if kind == "missing" and location and isinstance(location[-1], int):
            location, kind = location[:-1], "too_short"  # a tuple with too few values
        if kind == "extra_forbidden":
            found[location] = _unknown(model, location, config)
        elif kind == "missing":
            found[location] = _Problem(config.where, _missing(model, location))
        else:
            reason = str(item["ctx"]["error"]) if kind in ("value_error", "assertion_error") else None
            found[location] = _wrong(model, location, config, reason)
    problems = sorted(found.values(), key=lambda problem: (problem.where.source, problem.where.line or 0))
    lines: dict[tuple[str, str, str], list[str]] = {}
    for problem in problems:  # those of one line with one remedy are one problem
        alone = "" if problem.advice else problem.what
        lines.setdefault((str(problem.where), problem.advice, alone), []).append(problem.what)
    return [
        f"{where}: {_together(what)}" + (f". {advice}." if advice else "")
        for (where, advice, _), what in lines.items()
    ]


def _without_branches(model: type[BaseModel], location: Location) -> Location:
    """Without the name that pydantic gives to an alternative of a type, which no configuration has."""
    for depth, part in enumerate(location):
        if isinstance(part, str) and not _models_at(model, location[:depth]):
            return location[:depth]
    return location


def _together(what: list[str]) -> str:
    """``unknown key a`` and ``unknown key b`` as ``unknown keys a, b``."""
    keys = [text.removeprefix(_UNKNOWN) for text in what if text.startswith(_UNKNOWN)]
    if 1 < len(keys) == len(what):
        return f"unknown keys {', '.join(keys)}"
    return ", ".join(what)


def expected(annotation: Any, metadata: Sequence[object] = ()) -> str:
    """What a field of this type takes, as a user would say it: "a whole number above 0"."""
    annotation, metadata = _unwrap(annotation, metadata)
    options = _options(annotation)
    if len(options) > 1:
        return _one_of([expected(option, metadata) for option in options])
    if get_origin(annotation) is Literal:
        return _one_of([repr(value) for value in get_args(annotation)])
    if get_origin(annotation) in (tuple, list):
        return _sequence(annotation, metadata)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a group of settings, dict(key=value)"
    kind = _KINDS.get(annotation, str(getattr(annotation, "__name__", annotation)))
    return kind if annotation is type(None) else kind + _bounds(metadata)


def _unknown(model: type[BaseModel], location: Location, config: Value) -> _Problem:
    """An unknown key: what it is called here, else the nearest valid one, in its group before elsewhere."""
    key = str(location[-1])
    group = _models_at(model, location[:-1])
    siblings = [name for part in group for name in part.model_fields]
    where, message = _place(config, location, of_key=True), f"{_UNKNOWN}{dotted(location)}"
    advice = advice_for_key(dotted(location))
    if advice:
        return _Problem(where, message, advice)
    near = difflib.get_close_matches(key, siblings, n=1)
    advice = "" if near else advice_for_group(dotted(location))
    if advice:
        return _Problem(where, message, advice)
    if not near:
        everywhere = {str(path[-1]): dotted(path) for path in reversed(all_keys(model))}
        near = [everywhere[name] for name in difflib.get_close_matches(key, everywhere, n=1, cutoff=0.8)]
    if near:
        return _Problem(where, f"{message}; did you mean {near[0]}?")
    return _Problem(where, f"{message}; the keys here are {', '.join(siblings)}.")


def _missing(model: type[BaseModel], location: Location) -> str:
    key = dotted(location)
    annotation, metadata = _field_at(model, location)
    about = next((part.description for part in metadata if isinstance(part, _About)), "")
    what = expected(annotation, metadata)
    return f"{key} is missing, {what}. {about} Add it to the file, or use --set {key}=…"


def _wrong(model: type[BaseModel], location: Location, config: Value, reason: str | None) -> _Problem:
    if not location and reason:  # two settings that do not fit together
        return _Problem(config.where, f"{reason}.")
    value = value_at(config, location)
    shown = "" if value is None else f", found {_brief(plain(value))}"
    what = reason or f"expected {expected(*_field_at(model, location))}"
    advice = "" if reason else advice_for_value(dotted(location))
    return _Problem(_place(config, location), f"{dotted(location) or 'settings'}: {what}{shown}", advice)


def dotted(location: Location) -> str:
    """``data.image_size[0]`` for ``("data", "image_size", 0)``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _field_at(model: type[BaseModel], location: Location) -> tuple[Any, list[object]]:
    """Type and constraints of the setting at ``location``; ``Any`` where the model has none."""
    annotation: Any = model
    metadata: list[object] = []
    for part in location:
        options = _options(_unwrap(annotation, metadata)[0])
        annotation, metadata = next(
            (step for option in options if (step := _step(option, part)) is not None), (Any, [])
        )
    return annotation, metadata


def _step(annotation: Any, part: str | int) -> tuple[Any, list[object]] | None:
    """One step down, into a field of a model or an item of a tuple."""
    if isinstance(part, int):
        items = [item for item in get_args(annotation) if item is not Ellipsis]
        return (items[min(part, len(items) - 1)], []) if items else None
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(part)
        if field is not None:
            about = " ".join((field.description or "").replace("``", "").split())
            return field.annotation, [*field.metadata, _About(about)]
    return None


def _models_at(model: type[BaseModel], location: Location) -> list[type[BaseModel]]:
    options = _options(_unwrap(_field_at(model, location)[0], [])[0])
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]


def all_keys(model: type[BaseModel], above: Location = ()) -> list[Location]:
    """Every setting that ``model`` has, groups included."""
    keys: list[Location] = []
    for name in model.model_fields:
        keys.append((*above, name))
        for inner in _models_at(model, (name,)):
            keys += all_keys(inner, (*above, name))
    return keys


def value_at(config: Value, location: Location) -> Value | None:
    """The value of the setting at ``location``; ``None`` if the configuration does not have it."""
    value = config
    for part in location:
        if isinstance(part, str) and isinstance(value.data, dict) and part in value.data:
            value = value.data[part].value
        elif isinstance(part, int) and isinstance(value.data, list | tuple) and part < len(value.data):
            value = value.data[part]
        else:
            return None
    return value


def _place(config: Value, location: Location, *, of_key: bool = False) -> Origin:
    """Where the value at ``location`` was written, or its key, or the nearest thing around it."""
    parent = value_at(config, location[:-1])
    if of_key and parent is not None and isinstance(parent.data, dict):
        entry = parent.data.get(str(location[-1]))
        if entry is not None:
            return entry.where
    value = value_at(config, location)
    if value is None and location:
        return _place(config, location[:-1])
    return config.where if value is None else value.where


def _unwrap(annotation: Any, metadata: Sequence[object]) -> tuple[Any, list[object]]:
    """Take ``Annotated[...]`` apart into the bare type and all its constraints."""
    constraints = list(metadata)
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        for part in more:
            constraints += part.metadata if isinstance(part, FieldInfo) else [part]
    return annotation, constraints


def _options(annotation: Any) -> list[Any]:
    return list(get_args(annotation)) if get_origin(annotation) in (Union, types.UnionType) else [annotation]


def _sequence(annotation: Any, metadata: Sequence[object]) -> str:
    items = get_args(annotation)
    if get_origin(annotation) is tuple and items and items[-1] is not Ellipsis:
        count = str(len(items))
    else:
        least = next((part.min_length for part in metadata if isinstance(part, annotated_types.MinLen)), None)
        most = next((part.max_length for part in metadata if isinstance(part, annotated_types.MaxLen)), None)
        limits = [f"at least {least}" if least else "", f"at most {most}" if most is not None else ""]
        count = str(least) if least is not None and least == most else " and ".join(filter(None, limits))
    each = {expected(item): None for item in items if item is not Ellipsis}
    values = f"{count} values" if count else "values"
    return f"a list of {values}, each {_one_of(list(each))}" if each else f"a list of {values}"


def _bounds(metadata: Sequence[object]) -> str:
    words = []
    for part in metadata:
        match part:
            case annotated_types.Gt(gt=limit):
                words.append(f"above {limit:g}")
            case annotated_types.Ge(ge=limit):
                words.append(f"of at least {limit:g}")
            case annotated_types.Lt(lt=limit):
                words.append(f"below {limit:g}")
            case annotated_types.Le(le=limit):
                words.append(f"of at most {limit:g}")
    return " " + " and ".join(words) if words else ""


def _one_of(options: list[str]) -> str:
    return options[0] if len(options) == 1 else ", ".join(options[:-1]) + " or " + options[-1]


def _brief(value: object) -> str:
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    short.maxlevel = 2
    return short.repr(value)
