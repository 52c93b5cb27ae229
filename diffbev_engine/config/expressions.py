"""Expressions of configuration files, evaluated on the syntax tree; nothing is ever run.

Allowed are literals, lists, tuples, dicts, ``dict(key=value, **earlier)``, earlier names,
arithmetic on numbers and ``+`` between strings.
"""

import ast
import difflib
import math
import warnings
from collections.abc import Callable, Mapping

from diffbev_engine.config.values import Entry, Origin, Value, collection

_MAX_NESTING = 80
_MAX_INTEGER = 2**63
_MAX_EXPONENT = 64
_MAX_STRING = 100_000

_OPERATORS: dict[type[ast.operator], Callable[[int | float, int | float], object]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Pow: lambda left, right: left**right,
}

_IN_WORDS: dict[type[ast.AST], str] = {
    ast.Attribute: "access to an attribute",
    ast.Subscript: "access to an item",
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.JoinedStr: "an f-string",
    ast.Set: "a set",
    ast.Starred: "unpacking with *",
    ast.IfExp: "a condition",
    ast.Compare: "a comparison",
    ast.BoolOp: "a logical expression",
    ast.Import: "an import",
    ast.ImportFrom: "an import",
    ast.FunctionDef: "a function",
    ast.ClassDef: "a class",
    ast.If: "an if statement",
    ast.For: "a loop",
    ast.While: "a loop",
    ast.AugAssign: "an assignment with an operator",
    ast.AnnAssign: "a type annotation",
    ast.Delete: "a del statement",
}


def parse_syntax(text: str, source: str) -> ast.Module:
    """The syntax tree of ``text``.

    Raises:
        UsageError: naming ``source`` and the line, if it is not Python syntax.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape such as "\d" stays the text it is
            return ast.parse(text)
    except SyntaxError as error:
        raise Origin(source, error.lineno).error(f"not valid Python syntax: {error.msg}.") from None
    except ValueError as error:  # a null byte, before Python 3.12
        raise Origin(source).error(f"not valid Python syntax: {error}.") from None
    except (RecursionError, MemoryError):
        raise Origin(source).error("nested too deeply to be a configuration file.") from None


def refuse(node: ast.AST, where: Origin) -> Exception:
    """The error for syntax that data does not need."""
    what = _IN_WORDS.get(type(node), "this kind of expression or statement")
    if isinstance(node, ast.Call):
        what = f"the call of {_quote(node.func)}"
    return where.error(
        f"{what} is not allowed: configuration files are data and are never run. Write numbers, strings, "
        "True, False, None, lists, tuples, dict(key=value) and names assigned above."
    )


def _quote(node: ast.AST) -> str:
    """The beginning of ``node`` as source text, for messages."""
    try:
        return ast.unparse(node)[:60]
    except (RecursionError, ValueError):
        return "this expression"


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
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return self._signed(node)
            case ast.BinOp():
                return self._binary(node)
        raise refuse(node, self.origin(node))

    def _constant(self, node: ast.Constant) -> Value:
        value = node.value
        if value is None or isinstance(value, bool | str):
            return Value(value, self.origin(node))
        if isinstance(value, int | float):
            return self._number(value, node)
        raise self.origin(node).error(f"{_quote(node)} is neither a real number nor a string.")

    def _name(self, node: ast.Name) -> Value:
        entry = self._names.get(node.id)
        if entry is not None:
            return entry.value
        near = difflib.get_close_matches(node.id, [*self._names, "True", "False", "None"], n=1)
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
                raise self.origin(key).error(f"the key {_quote(key)} is not a string.")
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
            raise self.origin(node).error(f"** needs a dict, {_quote(node)} is none.")
        return data

    def _signed(self, node: ast.UnaryOp) -> Value:
        number = self._operand(self.value(node.operand), node)
        return self._number(-number if isinstance(node.op, ast.USub) else number, node)

    def _binary(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left.data, str) and isinstance(right.data, str):
            if len(left.data) + len(right.data) > _MAX_STRING:
                raise self.origin(node).error(f"a string of more than {_MAX_STRING} characters; shorten it.")
            return Value(left.data + right.data, self.origin(node))
        operator = _OPERATORS.get(type(node.op))
        if operator is None:
            raise self.origin(node).error("only the operators + - * / // ** are supported.")
        base, other = self._operand(left, node), self._operand(right, node)
        if isinstance(node.op, ast.Pow) and abs(other) > _MAX_EXPONENT:
            raise self.origin(node).error(f"an exponent beyond {_MAX_EXPONENT}; write the number itself.")
        try:
            return self._number(operator(base, other), node)
        except ZeroDivisionError:
            raise self.origin(node).error("a division by zero.") from None
        except OverflowError:
            raise self.origin(node).error("the result is too large.") from None

    def _operand(self, value: Value, node: ast.expr) -> int | float:
        if isinstance(value.data, int | float) and not isinstance(value.data, bool):
            return value.data
        raise self.origin(node).error(
            f"arithmetic works on numbers only, and + also joins strings; {_quote(node)} is neither."
        )

    def _number(self, number: object, node: ast.expr) -> Value:
        if isinstance(number, int) and abs(number) < _MAX_INTEGER:
            return Value(number, self.origin(node))
        if isinstance(number, float) and math.isfinite(number):
            return Value(number, self.origin(node))
        raise self.origin(node).error("not a finite real number of at most 64 bits.")
