"""Everything about one scene that its seed decides, before any sensor observes it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from diffbev_engine.synth.actors import Actor, Cast, Motion, poses
from diffbev_engine.synth.caster import PlacedSolids, SolidTable, pack, place
from diffbev_engine.synth.names import generator
from diffbev_engine.synth.plan import plan_street
from diffbev_engine.synth.polygons import StreetPolygons, street_polygons
from diffbev_engine.synth.roadside_objects import fill_kerbs
from diffbev_engine.synth.street import RIGHT, Street
from diffbev_engine.synth.surroundings import add_surroundings
from diffbev_engine.synth.traffic import EGO_SIZE, add_people, add_traffic, fill_car_parks

SAMPLE_PERIOD = 0.5  # seconds between key-frames
MAX_EGO_SPEED = 8.5  # metres per second


@dataclass(frozen=True)
class Site:
    """The still part of a scene: its street on the map of a location."""

    street: Street
    polygons: StreetPolygons
    ego: Motion
    travel: float
    """Metres the ego vehicle drives."""


@dataclass(frozen=True)
class World:
    """A site with everything on it."""

    site: Site
    actors: tuple[Actor, ...]

    @cached_property
    def table(self) -> SolidTable:
        """The solids of all actors."""
        return pack([actor.body for actor in self.actors])

    @cached_property
    def annotated(self) -> np.ndarray:
        """(A,) bool: whether an actor is annotated."""
        return np.array([actor.annotated for actor in self.actors])

    @cached_property
    def sizes(self) -> np.ndarray:
        """(A, 3): width, length, height of the actors, metres."""
        return np.array([actor.body.size for actor in self.actors])

    def solids_at(self, time: float) -> PlacedSolids:
        """Return all solids in the world, seconds after the scene began."""
        motions = [actor.motion for actor in self.actors]
        return place(self.table, poses(self.site.street.centreline, motions, time))

    def ego_pose_at(self, time: float) -> np.ndarray:
        """Return x, y, heading of the ego vehicle."""
        return poses(self.site.street.centreline, [self.site.ego], time)[0]


def build_site(seed: int, scene: str, samples: int, mirrored: bool, centre: tuple[float, float]) -> Site:
    """Draw the street of a scene and lay it around ``centre`` (world metres)."""
    rng = generator(seed, scene, "street")
    speed = float(rng.uniform(4.0, MAX_EGO_SPEED))
    travel = speed * SAMPLE_PERIOD * samples
    street = plan_street(rng, travel, mirrored, heading=float(rng.uniform(-np.pi, np.pi)))
    points = np.concatenate([polygon.exterior for polygon in street_polygons(street).everything()])
    x, y = np.array(centre) - (points.min(axis=0) + points.max(axis=0)) / 2
    line = replace(street.centreline, start=(float(x), float(y), street.centreline.start[2]))
    street = replace(street, centreline=line)
    lane = int(rng.integers(street.lanes))
    ego = Motion(0.0, street.lane_centre(RIGHT, lane), speed_s=speed)
    return Site(street, street_polygons(street), ego, travel)


def populate(site: Site, seed: int, scene: str) -> World:
    """Put objects and scenery onto a site."""
    duration = site.travel / site.ego.speed_s
    cast = Cast(site.street.centreline, duration)
    cast.reserve(site.ego, EGO_SIZE, margin=0.4)
    fill_kerbs(site.street, cast, generator(seed, scene, "kerbs"))
    add_traffic(site.street, cast, site.ego, duration, generator(seed, scene, "traffic"))
    add_people(site.street, cast, duration, generator(seed, scene, "people"))
    fill_car_parks(site.street, cast, generator(seed, scene, "car parks"))
    add_surroundings(site.street, cast, generator(seed, scene, "surroundings"))
    return World(site, tuple(cast.actors))
