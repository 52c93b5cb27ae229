"""Expressions of configuration files, evaluated on the syntax tree; nothing is ever run.

Allowed are literals, lists, tuples, dicts, ``dict(key=value, **earlier)``, earlier names, their items
(``size[0]``), settings of the bases (``_base_.data.image_size``), arithmetic on numbers, ``+`` between
strings or lists, ``*`` between a list and a number, and ``|`` between dicts.
"""

import ast
import difflib
import math
import re
from collections.abc import Callable, Mapping

from diffbev_engine.config.refused import quote, refuse
from diffbev_engine.config.source import TEMPLATE
from diffbev_engine.config.values import MAX_SIZE, Entry, Origin, Value, collection

_MAX_NESTING = 80
_MAX_INTEGER = 2**63
_MAX_EXPONENT = 64
_MAX_STRING = 100_000
_TEMPLATE = re.compile(r"\{\{.*\}\}", re.DOTALL)
_OTHER_SPELLINGS = {"true": "True", "false": "False", "null": "None", "none": "None", "nil": "None"}
BASE = "_base_"

_OPERATORS: dict[type[ast.operator], Callable[[int | float, int | float], object]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: lambda left, right: left % right,
    ast.Pow: lambda left, right: left**right,
}


class Expressions:
    """Evaluates the expressions of one file against the names that are known so far."""

    def __init__(self, source: str, names: Mapping[str, Entry], *, lines: bool = True) -> None:
        """Take ``names`` as a live view: entries added later are seen by later expressions.

        Without ``lines`` places are the source alone, as for text that is no file.
        """
        self._source = source
        self._names = names
        self._lines = lines
        self._nesting = 0

    def origin(self, node: ast.expr | ast.stmt | ast.keyword) -> Origin:
        """Where ``node`` is written."""
        return Origin(self._source, node.lineno if self._lines else None)

    def value(self, node: ast.expr) -> Value:
        """Evaluate ``node``.

        Raises:
            UsageError: naming file and line, if the expression is not data.
        """
        if self._nesting >= _MAX_NESTING:
            raise self.origin(node).error("an expression nested too deeply; split it.")
        self._nesting += 1
        try:
            return self._dispatch(node)
        finally:
            self._nesting -= 1

    def _dispatch(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._name(node)
            case ast.List():
                return collection([self.value(item) for item in node.elts], self.origin(node))
            case ast.Tuple():
                return collection(tuple(self.value(item) for item in node.elts), self.origin(node))
            case ast.Dict():
                return self._dict_display(node)
            case ast.Call(func=ast.Name(id="dict")):
                return self._dict_call(node)
            case ast.Subscript():
                return self._item(node)
            case ast.Attribute() if _root(node) == BASE:
                return self._attribute(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return self._signed(node)
            case ast.BinOp():
                return self._binary(node)
            case ast.Set(elts=[ast.Set(elts=[inner])]):  # {{ inner }}
                raise self.origin(node).error(_about_template("{{" + quote(inner) + "}}"))
        raise refuse(node, self.origin(node))

    def _constant(self, node: ast.Constant) -> Value:
        value = node.value
        if isinstance(value, str) and _TEMPLATE.search(value):
            raise self.origin(node).error(_about_template(value))
        if value is None or isinstance(value, bool | str):
            return Value(value, self.origin(node))
        if isinstance(value, int | float):
            return self._number(value, node)
        raise self.origin(node).error(f"{quote(node)} is neither a real number nor a string.")

    def _name(self, node: ast.Name) -> Value:
        entry = self._names.get(node.id)
        if entry is not None:
            return entry.value
        other = _OTHER_SPELLINGS.get(node.id)
        names = [*self._names, "True", "False", "None"]
        near = [other] if other else difflib.get_close_matches(node.id, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ". Put quotes around it if it is a string."
        raise self.origin(node).error(f"the name {node.id} is not assigned above{hint}")

    def _dict_display(self, node: ast.Dict) -> Value:
        entries: dict[str, Entry] = {}
        written: set[str] = set()
        for key, item in zip(node.keys, node.values, strict=True):
            if key is None:  # **earlier: keys that follow it may override it
                entries.update(self._unpacked(item))
                continue
            name = self.value(key).data
            if not isinstance(name, str):
                raise self.origin(key).error(f"the key {quote(key)} is not a string.")
            if name in written:
                raise self.origin(key).error(f"the key {name} appears twice.")
            written.add(name)
            entries[name] = Entry(self.value(item), self.origin(key))
        return collection(entries, self.origin(node))

    def _dict_call(self, node: ast.Call) -> Value:
        if node.args:
            raise self.origin(node).error("dict(...) takes key=value and **earlier only.")
        entries: dict[str, Entry] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                new = self._unpacked(keyword.value)
            else:
                new = {keyword.arg: Entry(self.value(keyword.value), self.origin(keyword))}
            for name in new:
                if name in entries:
                    raise self.origin(keyword).error(
                        f"the key {name} appears twice; {{**earlier, '{name}': value}} overrides one key."
                    )
            entries.update(new)
        return collection(entries, self.origin(node))

    def _unpacked(self, node: ast.expr) -> dict[str, Entry]:
        data = self.value(node).data
        if not isinstance(data, dict):
            raise self.origin(node).error(f"** needs a dict, and {quote(node)} is not one.")
        return data

    def _attribute(self, node: ast.Attribute) -> Value:
        group = self.value(node.value)
        entry = group.data.get(node.attr) if isinstance(group.data, dict) else None
        if entry is None:
            raise self.origin(node).error(f"the bases have no setting {quote(node).removeprefix('_base_.')}.")
        return entry.value

    def _item(self, node: ast.Subscript) -> Value:
        if isinstance(node.slice, ast.Slice):
            raise refuse(node.slice, self.origin(node))
        if "environ" in quote(node.value):
            raise refuse(node, self.origin(node))
        group, key = self.value(node.value).data, self.value(node.slice).data
        if isinstance(group, dict) and isinstance(key, str) and key in group:
            return group[key].value
        if isinstance(group, list | tuple) and type(key) is int and -len(group) <= key < len(group):
            return group[key]
        raise self.origin(node).error(f"{quote(node.value)} has no item {key!r}.")

    def _signed(self, node: ast.UnaryOp) -> Value:
        number = self._operand(self.value(node.operand), node)
        return self._number(-number if isinstance(node.op, ast.USub) else number, node)

    def _binary(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        joined = self._joined(left, node.op, right, node)
        if joined is not None:
            return joined
        operator = _OPERATORS.get(type(node.op))
        if operator is None:
            raise self.origin(node).error("only the operators + - * / // % ** and | are supported.")
        base, other = self._operand(left, node), self._operand(right, node)
        if isinstance(node.op, ast.Pow) and abs(other) > _MAX_EXPONENT:
            raise self.origin(node).error(f"an exponent beyond {_MAX_EXPONENT}; write the number itself.")
        try:
            return self._number(operator(base, other), node)
        except ZeroDivisionError:
            raise self.origin(node).error("a division by zero.") from None
        except OverflowError:
            raise self.origin(node).error("the result is too large.") from None

    def _joined(self, left: Value, op: ast.operator, right: Value, node: ast.BinOp) -> Value | None:
        """Strings or lists joined, a list repeated, dicts merged; ``None`` for anything else."""
        where, first, second = self.origin(node), left.data, right.data
        if isinstance(op, ast.Add):
            if isinstance(first, str) and isinstance(second, str):
                if len(first) + len(second) > _MAX_STRING:
                    raise where.error(f"a string of more than {_MAX_STRING} characters; shorten it.")
                return Value(first + second, where)
            if isinstance(first, list) and isinstance(second, list):
                return collection(first + second, where)
            if isinstance(first, tuple) and isinstance(second, tuple):
                return collection(first + second, where)
        if isinstance(op, ast.Mult):
            if isinstance(second, list | tuple):
                first, second = second, first
            if isinstance(first, list | tuple) and isinstance(second, int) and not isinstance(second, bool):
                if len(first) * second > MAX_SIZE:
                    raise where.error(f"a list of more than {MAX_SIZE} values; shorten it.")
                return collection(first * second, where)
        if isinstance(op, ast.BitOr) and isinstance(first, dict) and isinstance(second, dict):
            return collection({**first, **second}, where)
        return None

    def _operand(self, value: Value, node: ast.expr) -> int | float:
        if isinstance(value.data, int | float) and not isinstance(value.data, bool):
            return value.data
        raise self.origin(node).error(
            f"arithmetic works on numbers only, and + also joins strings; {quote(node)} is neither."
        )

    def _number(self, number: object, node: ast.expr) -> Value:
        if isinstance(number, int) and abs(number) < _MAX_INTEGER:
            return Value(number, self.origin(node))
        if isinstance(number, float) and math.isfinite(number):
            return Value(number, self.origin(node))
        raise self.origin(node).error("not a finite real number of at most 64 bits.")


def _root(node: ast.AST) -> str:
    """The name that a chain of attributes and items begins with; empty if it begins with no name."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _about_template(text: str) -> str:
    """Why ``{{ … }}`` is not expanded, and what its kinds are written as."""
    inner = text.partition("{{")[2].partition("}}")[0].strip()
    if inner.startswith("$"):
        return f'{TEMPLATE} Write the value itself, or override it: --set data_root="$DATA_ROOT".'
    if inner.startswith("file"):
        return f"{TEMPLATE} The run directory is given by --work-dir."
    if inner.startswith(BASE):
        return f"{TEMPLATE} Write {inner[:60]} without braces."
    return f"{TEMPLATE} Write the value itself."
