import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.nuscenes.maps import load_map, map_path

SQUARE = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]
HOLE = [(4.0, 4.0), (6.0, 4.0), (6.0, 6.0), (4.0, 6.0)]
BOW_TIE = [(0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (0.0, 10.0)]


class MapFile:
    """Writes a small map expansion."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.content: dict[str, Any] = {
            **{name: [] for name in ("node", "polygon", "drivable_area", "ped_crossing", "walkway")},
            "carpark_area": [],
            "lane": [{"token": "of no interest"}],
            "version": "1.3",
        }

    def add(self, layer: str, exterior: list[tuple[float, float]], *holes: list[tuple[float, float]]) -> None:
        token = f"polygon-{len(self.content['polygon'])}"
        polygon = {
            "token": token,
            "exterior_node_tokens": self._nodes(exterior),
            "holes": [{"node_tokens": self._nodes(hole)} for hole in holes],
        }
        self.content["polygon"].append(polygon)
        if layer == "drivable_area" and self.content[layer]:
            self.content[layer][0]["polygon_tokens"].append(token)
        elif layer == "drivable_area":
            self.content[layer].append({"token": "area", "polygon_tokens": [token]})
        else:
            self.content[layer].append({"token": f"{layer}-{token}", "polygon_token": token})

    def write(self, location: str) -> Path:
        path = map_path(self.root, location)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.content))
        return path

    def _nodes(self, ring: list[tuple[float, float]]) -> list[str]:
        nodes = self.content["node"]
        start = len(nodes)
        nodes += [{"token": f"node-{start + i}", "x": x, "y": y} for i, (x, y) in enumerate(ring)]
        return [node["token"] for node in nodes[start:]]


@pytest.fixture
def map_file(tmp_path: Path) -> MapFile:
    return MapFile(tmp_path)


def test_polygons_keep_their_holes(map_file: MapFile):
    map_file.add("drivable_area", SQUARE, HOLE)
    map_file.add("walkway", HOLE)
    map_file.write("holes")
    drivable, _, walkway, _ = load_map(map_file.root, "holes").layers
    assert drivable.polygons[0].equals(shapely.Polygon(SQUARE, [HOLE]))
    assert walkway.polygons[0].equals(shapely.Polygon(HOLE))


def test_a_drivable_area_has_several_polygons(map_file: MapFile):
    map_file.add("drivable_area", SQUARE)
    map_file.add("drivable_area", HOLE)
    map_file.write("several")
    assert len(map_file.content["drivable_area"]) == 1
    assert len(load_map(map_file.root, "several").layers[0].polygons) == 2


def test_invalid_polygons_are_skipped_and_counted(map_file: MapFile):
    map_file.add("walkway", BOW_TIE)
    map_file.add("walkway", SQUARE[:2])
    map_file.add("walkway", SQUARE)
    map_file.write("invalid")
    found = load_map(map_file.root, "invalid")
    assert [polygon.area for polygon in found.layers[2].polygons] == [100.0]
    assert (found.layers[2].skipped, found.skipped) == (2, 2)


def test_a_hole_without_area_is_no_hole(map_file: MapFile):
    map_file.add("walkway", SQUARE, HOLE[:2], HOLE)
    map_file.write("thin")
    assert load_map(map_file.root, "thin").layers[2].polygons[0].area == 96.0


def test_an_empty_layer_is_unlabelled_and_an_invalid_one_is_not(map_file: MapFile):
    map_file.add("drivable_area", SQUARE)
    map_file.add("walkway", BOW_TIE)
    map_file.write("empty")
    assert load_map(map_file.root, "empty").unlabelled == ("ped_crossing", "carpark")


def test_near_finds_polygons_in_file_order(map_file: MapFile):
    for x in range(0, 100, 10):
        map_file.add("walkway", [(x + dx, dy) for dx, dy in HOLE])
    map_file.write("row")
    layer = load_map(map_file.root, "row").layers[2]
    assert layer.near(shapely.box(12, 0, 46, 10)).tolist() == [1, 2, 3, 4]
    assert layer.near(shapely.box(500, 0, 600, 10)).tolist() == []


def test_the_version_is_recorded(map_file: MapFile):
    map_file.write("new")
    del map_file.content["version"]
    map_file.write("first")
    assert load_map(map_file.root, "new").version == "1.3"
    assert load_map(map_file.root, "first").version == "1.0"


def test_a_missing_map_says_what_to_download_and_where(tmp_path: Path):
    with pytest.raises(DiffBEVError) as caught:
        load_map(tmp_path, "boston-seaport")
    message = str(caught.value)
    assert str(tmp_path / "maps" / "expansion" / "boston-seaport.json") in message
    assert "map expansion v1.3" in message


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: len(text) // 2], "truncated"),
        (lambda text: text.replace('"node-1"', '"gone"', 1), "'node-1' is not in the file"),
        (lambda text: text.replace('"x": 0.0', '"x": "zero"', 1), "Expected `float`"),
        (lambda text: text.replace('"polygon"', '"shape"'), "missing required field `polygon`"),
    ],
)
def test_a_damaged_map_is_named(map_file: MapFile, damage, reason: str):
    map_file.add("walkway", SQUARE)
    path = map_file.write("damaged")
    path.write_text(damage(path.read_text()))
    with pytest.raises(DiffBEVError) as caught:
        load_map(map_file.root, "damaged")
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


def test_real_polygons_equal_those_of_the_devkit(nuscenes_sample: Path):
    map_api = pytest.importorskip("nuscenes.map_expansion.map_api")
    theirs = map_api.NuScenesMap(str(nuscenes_sample), "boston-seaport")
    ours = load_map(nuscenes_sample, "boston-seaport")
    assert ours.unlabelled == ("carpark",)
    records = {
        "drivable_area": [token for area in theirs.drivable_area for token in area["polygon_tokens"]],
        "ped_crossing": [area["polygon_token"] for area in theirs.ped_crossing],
        "walkway": [area["polygon_token"] for area in theirs.walkway],
    }
    for layer, tokens in zip(ours.layers, records.values(), strict=False):
        expected = [theirs.extract_polygon(token) for token in tokens]
        expected = [polygon for polygon in expected if polygon.is_valid]
        assert len(layer.polygons) == len(expected) > 0
        assert np.all(shapely.equals_exact(layer.polygons, expected, tolerance=0.0))
