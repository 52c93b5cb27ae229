"""Which scene is recorded where, when and by which vehicle."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.light import weather_at
from diffbev_engine.synth.names import LOCATIONS, generator, scene_names
from diffbev_engine.synth.plan import AHEAD, ARM_REACH, BEHIND
from diffbev_engine.synth.rig import FLEETS, VEHICLES
from diffbev_engine.synth.world import MAX_EGO_SPEED, SAMPLE_PERIOD

_FIRST_DAY_US = 1_600_000_000_000_000  # microseconds; any day after nuScenes was recorded
_LOG_SPACING_US = 86_400_000_000
_SCENE_SPACING_US = 60_000_000
_GOLDEN = 0.6180339887


@dataclass(frozen=True)
class Recording:
    """The circumstances of one scene."""

    scene: str
    location: str
    vehicle: str
    logfile: str
    start: int
    """Timestamp of the first key-frame, microseconds."""
    centre: tuple[float, float]
    """World position around which the scene's street is laid, metres."""
    weather: str
    """A key of ``light.WEATHER``."""

    @property
    def mirrored(self) -> bool:
        """Left-hand traffic, as in Singapore."""
        return self.location.startswith("singapore")


@dataclass(frozen=True)
class Canvas:
    """The map of one location: tiles of ``cell`` metres, one scene each."""

    columns: int
    rows: int
    cell: float

    @property
    def edge(self) -> tuple[float, float]:
        """Width and height in metres."""
        return self.columns * self.cell, self.rows * self.cell


def arrange(job: SynthJob) -> tuple[list[Recording], dict[str, Canvas]]:
    """Return the recordings in the order of their names, and the canvas of every location in use.

    Locations, vehicles and weather take turns within training and validation alike, so none gives
    away the split.  Left-hand and right-hand traffic have fleets of their own.
    """
    train, val = scene_names(job.scenes)
    places = {name: index for index, name in enumerate((*train, *val))}
    turns = {name: index for part in (train, val) for index, name in enumerate(part)}
    of_location = {name: LOCATIONS[places[name] % len(LOCATIONS)] for name in sorted(places)}
    counts = Counter(of_location.values())
    canvases = {location: _canvas(job, counts[location]) for location in LOCATIONS if counts[location]}
    recordings = []
    met: Counter[str] = Counter()
    weather_start = float(generator(job.seed, "world", "weather").uniform())
    for number, (name, location) in enumerate(of_location.items()):
        canvas, tile = canvases[location], met[location]
        met[location] += 1
        vehicle = _vehicle(location, places[name])
        day = LOCATIONS.index(location) * len(VEHICLES) + VEHICLES.index(vehicle)
        start = _FIRST_DAY_US + day * _LOG_SPACING_US + number * _SCENE_SPACING_US
        column, row = tile % canvas.columns, tile // canvas.columns
        centre = ((column + 0.5) * canvas.cell, (row + 0.5) * canvas.cell)
        # Multiples of the golden ratio spread evenly, however few there are; and validation
        # follows the same turns as training, so it meets nothing that training lacks.
        weather = weather_at((weather_start + _GOLDEN * turns[name]) % 1.0)
        logfile = f"{vehicle}-synth-{location}"
        recordings.append(Recording(name, location, vehicle, logfile, start, centre, weather))
    return recordings, canvases


def _vehicle(location: str, turn: int) -> str:
    """Return the vehicle that records the ``turn``-th scene, at its location."""
    fleet = FLEETS[int(location.startswith("singapore"))]
    return fleet[(turn // len(LOCATIONS) + LOCATIONS.index(location)) % len(fleet)]


def _canvas(job: SynthJob, scenes: int) -> Canvas:
    length = BEHIND + AHEAD + MAX_EGO_SPEED * SAMPLE_PERIOD * job.samples_per_scene
    # The street may run in any direction, bend, and has arms on both sides.
    cell = float(np.ceil(np.hypot(length, 2 * ARM_REACH) + 20))
    columns = int(np.ceil(np.sqrt(scenes)))
    return Canvas(columns, int(np.ceil(scenes / columns)), cell)
