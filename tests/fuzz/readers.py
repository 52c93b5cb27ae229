"""All readers of files from outside. Imports of what is heavy wait until a reader is used."""

from tests.fuzz import readers_config, readers_data, readers_runs, readers_ui, readers_weights
from tests.fuzz.reader import Reader

READERS: tuple[Reader, ...] = (
    *readers_runs.READERS,
    *readers_config.READERS,
    *readers_data.READERS,
    *readers_ui.READERS,
    *readers_weights.READERS,
)


def reader_named(name: str) -> Reader:
    """The reader of this name."""
    return next(one for one in READERS if one.name == name)
