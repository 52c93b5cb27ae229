"""The vector maps of nuScenes (map expansion): the four layers behind the map classes."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
import shapely

from diffbev_engine.core.classes import CLASSES, MAP_LAYERS
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import foreign_content, same_but_case
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.nuscenes.outlines import Outlines

_LARGEST = 512 << 20
"""Bytes; the largest of the four maps has 40 MB."""


@dataclass(frozen=True, eq=False)
class MapLayer:
    """One layer, such as ``walkway``, with a spatial index; world frame, metres."""

    polygons: np.ndarray
    """(P,) shapely polygons, all valid, in file order."""
    tree: shapely.STRtree
    """Index over ``polygons``."""
    skipped: int
    """Invalid polygons that were skipped."""
    annotated: bool
    """False where the file has no record of the layer: nothing is known, not even absence."""

    def near(self, area: shapely.Geometry) -> np.ndarray:
        """Indices of the polygons whose bounding box meets that of ``area``, in file order."""
        return np.sort(self.tree.query(area))

    def meeting(self, area: shapely.Geometry) -> np.ndarray:
        """The polygons that meet ``area``, in file order."""
        return self.polygons[np.sort(self.tree.query(area, predicate="intersects"))]


@dataclass(frozen=True, eq=False)
class MapLayers:
    """The layers of one location in the order of ``classes.MAP_LAYERS``."""

    path: Path
    version: str
    layers: tuple[MapLayer, ...]
    outlines: Outlines
    """The polygons of all layers, one layer after the other, for the exact raster."""
    missing: tuple[str, ...] = ()
    """Layers that the file does not have at all, as an older release or a conversion leaves them out."""

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """Classes that this map does not annotate: to be ignored, never taken as absent."""
        return tuple(name for name, layer in zip(CLASSES, self.layers, strict=False) if not layer.annotated)

    @property
    def skipped(self) -> int:
        """Invalid polygons of all layers."""
        return sum(layer.skipped for layer in self.layers)


class _Node(msgspec.Struct):
    token: str
    x: float
    y: float


class _Hole(msgspec.Struct):
    node_tokens: list[str]


class _Polygon(msgspec.Struct):
    token: str
    exterior_node_tokens: list[str]
    holes: list[_Hole]


class _Area(msgspec.Struct):
    """A record of any layer: drivable areas have several polygons, the others one."""

    polygon_token: str | None = None
    polygon_tokens: list[str] = []

    def tokens(self) -> list[str]:
        return self.polygon_tokens if self.polygon_token is None else [self.polygon_token]


class _MapFile(msgspec.Struct):
    node: list[_Node]
    polygon: list[_Polygon]
    drivable_area: list[_Area] | None = None
    ped_crossing: list[_Area] | None = None
    walkway: list[_Area] | None = None
    carpark_area: list[_Area] | None = None
    version: str = "1.0"  # the first release has no such key


def map_path(nuscenes_root: Path, location: str) -> Path:
    """Where the map expansion of a location is expected."""
    return nuscenes_root / "maps" / "expansion" / f"{location}.json"


@lru_cache(maxsize=4)
def load_map(nuscenes_root: Path, location: str) -> MapLayers:
    """Load the map of a location; kept for the next caller of this process (there are four).

    Raises:
        DiffBEVError: the file is missing or damaged; names it and where to get it.
    """
    path = map_path(nuscenes_root, location)
    try:
        content = msgspec.json.decode(read_bounded(path, _LARGEST), type=_MapFile)
        layers = _build_layers(content)
    except FileNotFoundError as error:
        raise DiffBEVError(f"no map of {location}: {_where_it_is(nuscenes_root, path)}") from error
    except OSError as error:
        raise DiffBEVError(f"cannot read the map {path}: {error.strerror or error}") from error
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError) as error:
        if foreign := foreign_content(path):
            raise DiffBEVError(f"the map {path} {foreign}.") from error
        reason = f"token {error} is not in the file" if isinstance(error, KeyError) else error
        raise DiffBEVError(
            f"the map {path} is damaged ({reason}). Extract the nuScenes map expansion v1.3 again."
        ) from error
    missing = tuple(name for name in MAP_LAYERS if getattr(content, name) is None)
    outlines = Outlines.of_polygons(np.concatenate([layer.polygons for layer in layers]))
    return MapLayers(path, content.version, layers, outlines, missing)


def _where_it_is(nuscenes_root: Path, path: Path) -> str:
    """What to do about a missing map: move the one that was extracted elsewhere, or download it."""
    maps = nuscenes_root / "maps"
    places = (maps, nuscenes_root / "expansion", nuscenes_root, *sorted(maps.glob("*/expansion")))
    elsewhere = [place / path.name for place in places if (place / path.name).is_file()]
    elsewhere += same_but_case(path)
    if elsewhere:
        return (
            f"{path} is missing, but {elsewhere[0]} exists. Move the map files into {path.parent} "
            "(did you extract them one directory too high?)."
        )
    return (
        f"{path} is missing. Download the nuScenes map expansion v1.3 (nuscenes.org/nuscenes#download) and "
        f"extract it into {maps}, which then contains the directory `expansion`."
    )


def _build_layers(content: _MapFile) -> tuple[MapLayer, ...]:
    node_index = {node.token: index for index, node in enumerate(content.node)}
    points = np.array([(node.x, node.y) for node in content.node], np.float64).reshape(-1, 2)
    records = {polygon.token: polygon for polygon in content.polygon}
    layers = []
    for name in MAP_LAYERS:
        areas: list[_Area] = getattr(content, name) or []
        rings = [_rings(records[token], node_index) for area in areas for token in area.tokens()]
        polygons = _build_polygons(rings, points)
        layers.append(
            MapLayer(
                polygons=polygons,
                tree=shapely.STRtree(polygons),
                skipped=len(rings) - len(polygons),
                annotated=bool(areas),
            )
        )
    return tuple(layers)


def _rings(polygon: _Polygon, node_index: dict[str, int]) -> list[list[int]]:
    """Node numbers of the exterior, then of each hole that has an area."""
    rings = [polygon.exterior_node_tokens, *(hole.node_tokens for hole in polygon.holes)]
    numbers = [[node_index[token] for token in ring] for ring in rings]
    return numbers[:1] + [hole for hole in numbers[1:] if len(hole) >= 3]


def _build_polygons(polygons: list[list[list[int]]], points: np.ndarray) -> np.ndarray:
    """Shapely polygons of all valid entries, built in one call; invalid ones are skipped."""
    closed = [rings for rings in polygons if len(rings[0]) >= 3]
    flat = [ring for rings in closed for ring in rings]
    if not flat:
        return np.empty(0, object)
    lengths = [len(ring) for ring in flat]
    coordinates = points[np.concatenate(flat)]
    linear = shapely.linearrings(coordinates, indices=np.repeat(np.arange(len(flat)), lengths))
    owner = np.repeat(np.arange(len(closed)), [len(rings) for rings in closed])
    built = shapely.polygons(linear, indices=owner)
    return built[shapely.is_valid(built)]
