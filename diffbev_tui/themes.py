"""Two themes from the Okabe-Ito palette, which people with colour-blindness can tell apart."""

from collections.abc import Iterable
from typing import Any

from textual.app import App
from textual.theme import Theme

DARK = Theme(
    name="diffbev",
    primary="#56B4E9",
    secondary="#0072B2",
    accent="#E69F00",
    success="#2BB58F",
    warning="#F0E442",
    error="#E8703A",
    foreground="#D8DEE4",
    background="#0F1419",
    surface="#161C23",
    panel="#1E2630",
    dark=True,
)
LIGHT = Theme(
    name="diffbev-light",
    primary="#0072B2",
    secondary="#56B4E9",
    accent="#B36B00",
    success="#00755A",
    warning="#8A7500",
    error="#B84A00",
    foreground="#1A1F24",
    background="#FBFBF8",
    surface="#F1F2EE",
    panel="#E4E6E0",
    dark=False,
)


def begin_with_theme(app: App[Any], name: str) -> None:
    """Give an app that does not run yet its theme; an unknown one is ``DARK``.

    Set later, it would have all styles parsed a second time, which is a tenth of the time that a start takes.
    """
    for theme in (DARK, LIGHT):
        app.register_theme(theme)
    app.set_reactive(App.theme, name if name in app.available_themes else DARK.name)
    app.set_class(app.current_theme.dark, "-dark-mode", update=False)
    app.set_class(not app.current_theme.dark, "-light-mode", update=False)
    app.stylesheet.set_variables(app.get_css_variables())


def theme_names(available: Iterable[str]) -> list[str]:
    """Our own first, then the others by name."""
    own = [DARK.name, LIGHT.name]
    return [*own, *sorted(set(available) - set(own))]
