"""Python syntax that configuration files do not need: what it is called, and what to write instead."""

import ast

from diffbev_engine.config.values import Origin

_DATA = "Write numbers, strings, True, False, None, lists, tuples, dict(key=value) and names assigned above"
_VALUE = "Write the value itself"
_BASE = "Other configuration files are named by _base_ = ['../_base_/file.py']"

_REFUSED: dict[type[ast.AST], tuple[str, str]] = {
    ast.Attribute: (
        "access to an attribute",
        "Only settings of the bases are read so: _base_.data.image_size",
    ),
    ast.Lambda: ("a lambda", _VALUE),
    ast.ListComp: ("a comprehension", "Write the list itself"),
    ast.SetComp: ("a comprehension", "Write the list itself"),
    ast.DictComp: ("a comprehension", "Write the dict itself"),
    ast.GeneratorExp: ("a comprehension", "Write the list itself"),
    ast.JoinedStr: ("an f-string", "Join strings with +, such as root + '/nuScenes'"),
    ast.Set: ("a set", "Write a list"),
    ast.Starred: ("unpacking with *", "Join lists with +"),
    ast.Slice: ("a slice", "Write the list itself"),
    ast.IfExp: ("a condition", _VALUE),
    ast.Compare: ("a comparison", _VALUE),
    ast.BoolOp: ("a logical expression", _VALUE),
    ast.Import: (
        "an import",
        "Write the values themselves; --set key=value overrides what differs per machine",
    ),
    ast.ImportFrom: ("an import", _BASE),
    ast.With: ("a with statement", _BASE),
    ast.FunctionDef: ("a function", "Write the values themselves"),
    ast.ClassDef: ("a class", "Write a dict"),
    ast.If: ("an if statement", "Write one file per case with a common _base_"),
    ast.For: ("a loop", "Write the values themselves"),
    ast.While: ("a loop", "Write the values themselves"),
    ast.Delete: ("a del statement", "A dict with _delete_=True replaces the one of the base"),
}
_ENVIRONMENT = ("join", "getenv", "get", "expanduser", "expandvars")


def refuse(node: ast.AST, where: Origin) -> Exception:
    """The error for syntax that data does not need."""
    what, advice = _REFUSED.get(type(node), ("this kind of expression or statement", _DATA))
    match node:
        case ast.Call(func=function):
            what, advice = f"the call of {quote(function)}", _VALUE
            if isinstance(function, ast.Attribute) and function.attr in _ENVIRONMENT:
                advice = "Write the path itself, or override it with --set data_root=DIR"
        case ast.Subscript() if "environ" in quote(node):
            what, advice = (
                f"access to {quote(node)}",
                "Write the value itself, or override it with --set key=value",
            )
        case ast.ImportFrom(module=str(module)) if module.startswith(("mmengine", "mmcv")):
            what = "an import of read_base"
        case ast.AugAssign(target=ast.Name(id=name)):
            what = "an assignment with an operator"
            advice = f"Write {name} = {quote(ast.BinOp(ast.Name(name), node.op, node.value))}"
        case ast.AnnAssign(target=ast.Name(id=name)):
            what, advice = "a type annotation", f"Write {name} = {quote(node.value or node.annotation)}"
    return where.error(f"{what} is not allowed: configuration files are data and are never run. {advice}.")


def quote(node: ast.AST) -> str:
    """The beginning of ``node`` as source text, for messages."""
    try:
        return ast.unparse(node)[:60]
    except (RecursionError, ValueError):
        return "this expression"
