"""Options that take several values after one name, as ``--indices 0 10 20``."""

from collections.abc import Iterable

import click


class VariadicOption(click.Option):
    """An option that takes every word up to the next option; its value is a tuple."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{**kwargs, "multiple": True})  # type: ignore[arg-type]


class VariadicCommand(click.Command):
    """A command whose :class:`VariadicOption` may be followed by several values.

    ``--indices 0 10`` is read as ``--indices 0 --indices 10``; both forms work.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the names of variadic options before each of their values."""
        names = {
            name
            for param in self.params
            if isinstance(param, VariadicOption)
            for name in (*param.opts, *param.secondary_opts)
        }
        return super().parse_args(ctx, list(_repeated(args, names)))


def _repeated(args: Iterable[str], names: set[str]) -> Iterable[str]:
    current, fresh = None, False
    for word in args:
        name, has_value, _ = word.partition("=")
        if word.startswith("-") and word != "-":
            current, fresh = (name, not has_value) if name in names else (None, False)
            yield word
        elif current is None or fresh:
            yield word
            fresh = False
        else:
            yield from (current, word)
