"""Which trackers can be used here. Imports nothing heavy."""

from collections.abc import Iterable

from diffbev_engine.core.extras import missing
from diffbev_engine.train.settings import Tracker


def not_installed(trackers: Iterable[Tracker]) -> list[Tracker]:
    """Those whose package, which has their name, is missing."""
    return [tracker for tracker in trackers if missing([tracker])]
