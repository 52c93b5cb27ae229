"""One location's map in the vector format of the nuScenes map expansion, version 1.3.

Every layer that nuscenes-devkit loads is present.  Geometry lives in ``node``, ``line`` and
``polygon``; the other layers refer to it by token.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from diffbev_engine.core.files import write_text
from diffbev_engine.synth.itinerary import Canvas
from diffbev_engine.synth.lanes import Lane, street_lanes
from diffbev_engine.synth.names import token
from diffbev_engine.synth.polygons import Polygon
from diffbev_engine.synth.street import LEFT, RIGHT, Interval, Street, free_intervals
from diffbev_engine.synth.world import Site

_LAYERS = (
    "polygon",
    "line",
    "node",
    "drivable_area",
    "road_segment",
    "road_block",
    "lane",
    "ped_crossing",
    "walkway",
    "stop_line",
    "carpark_area",
    "road_divider",
    "lane_divider",
    "traffic_light",
    "lane_connector",
)

Row = dict[str, Any]


class MapBuilder:
    """Collects the records of one location."""

    def __init__(self, seed: int, location: str, canvas: Canvas) -> None:
        """Start with empty layers."""
        self._key = (seed, location)
        self.content: dict[str, Any] = {layer: [] for layer in _LAYERS}
        self.content.update(version="1.3", canvas_edge=list(canvas.edge), connectivity={}, arcline_path_3={})

    def add_site(self, site: Site) -> None:
        """Add the streets around one scene."""
        polygons, street = site.polygons, site.street
        drivable = [
            self._record("drivable_area", polygon_tokens=[self._polygon(polygon) for polygon in group])
            for group in polygons.drivable()
        ]
        for walkway in polygons.walkways:
            self._record("walkway", polygon_token=self._polygon(walkway))
        for park in polygons.car_parks:
            self._record(
                "carpark_area", polygon_token=self._polygon(park), orientation=0.0, road_block_token=""
            )
        segments = self._add_segments(street, drivable[0])
        for polygon, crossing in zip(polygons.crossings, street.crossings, strict=True):
            at = (crossing.s[0] + crossing.s[1]) / 2
            record = self._record(
                "ped_crossing",
                polygon_token=self._polygon(polygon),
                road_segment_token=_segment_at(segments, at),
            )
            if crossing.over_street:
                self._add_stop_lines(street, crossing.s, record)
        self._add_dividers(street, segments)
        self._add_lights(street)
        for lane in street_lanes(street):
            self._add_lane(lane)

    def write(self, path: Path) -> None:
        """Write the map."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(self.content))

    def _record(self, layer: str, **fields: object) -> str:
        name = token(*self._key, layer, len(self.content[layer]))
        self.content[layer].append({"token": name, **fields})
        return name

    def _nodes(self, points: np.ndarray) -> list[str]:
        return [self._record("node", x=round(float(x), 4), y=round(float(y), 4)) for x, y in points]

    def _polygon(self, polygon: Polygon) -> str:
        holes = [{"node_tokens": self._nodes(hole)} for hole in polygon.holes]
        return self._record("polygon", exterior_node_tokens=self._nodes(polygon.exterior), holes=holes)

    def _line(self, points: np.ndarray) -> tuple[str, list[str]]:
        nodes = self._nodes(points)
        return self._record("line", node_tokens=nodes), nodes

    def _add_segments(self, street: Street, drivable: str) -> list[tuple[Interval, str]]:
        """Add road segments and, between the junctions, a road block for each direction."""
        junctions = [(j.s - j.mouth, j.s + j.mouth) for j in street.junctions]
        stretches = free_intervals(junctions, street.s, 0.5)
        segments = []
        for s in sorted(junctions + stretches):
            outline = street.centreline.strip(*s, -street.right.kerb, street.left.kerb)
            segment = self._record(
                "road_segment",
                polygon_token=self._polygon(Polygon(outline)),
                is_intersection=s in junctions,
                drivable_area_token=drivable,
            )
            segments.append((s, segment))
            for side in street.sides if s in stretches else ():
                block = street.centreline.strip(*s, side.sign * street.median / 2, side.sign * side.kerb)
                ends = [
                    self._line(
                        street.centreline.points(np.full(2, at), side.sign * np.array([0.0, side.kerb]))
                    )[0]
                    for at in s
                ]
                entry, leave = ends if side.sign == RIGHT else ends[::-1]
                self._record(
                    "road_block",
                    polygon_token=self._polygon(Polygon(block)),
                    from_edge_line_token=entry,
                    to_edge_line_token=leave,
                    road_segment_token=segment,
                )
        return segments

    def _add_stop_lines(self, street: Street, s: Interval, crossing: str) -> None:
        for sign, near in ((RIGHT, s[0] - 1.3), (LEFT, s[1] + 1.0)):
            outline = street.centreline.strip(
                near, near + 0.3, sign * street.median / 2, sign * street.lane_edge()
            )
            self._record(
                "stop_line",
                polygon_token=self._polygon(Polygon(outline)),
                stop_line_type="PED_CROSSING",
                ped_crossing_tokens=[crossing],
                traffic_light_tokens=[],
                road_block_token="",
            )

    def _add_dividers(self, street: Street, segments: list[tuple[Interval, str]]) -> None:
        for s, segment in segments:
            stations = street.centreline.stations(*s)
            line, _ = self._line(street.centreline.points(stations, 0.0))
            self._record("road_divider", line_token=line, road_segment_token=segment)
            for sign in (LEFT, RIGHT):
                for lane in range(1, street.lanes):
                    t = sign * (street.median / 2 + lane * street.lane_width)
                    line, nodes = self._line(street.centreline.points(stations, t))
                    dashes = [{"node_token": node, "segment_type": "SINGLE_DASHED_WHITE"} for node in nodes]
                    self._record("lane_divider", line_token=line, lane_divider_segments=dashes)

    def _add_lights(self, street: Street) -> None:
        for junction in street.junctions:
            for side in street.sides if len(junction.arms) == 2 else ():
                s = junction.s + side.sign * (junction.mouth + 0.3)
                turn = np.pi if side.sign == LEFT else 0.0
                x, y, heading = street.centreline.place(
                    np.array(s), np.array(side.sign * (side.walk_to + 0.2)), turn
                )
                ahead = np.array([[x, y], [x + np.cos(heading), y + np.sin(heading)]])
                colours = zip(("RED", "YELLOW", "GREEN"), (0.28, 0.0, -0.28), strict=True)
                items = [
                    {
                        "color": colour,
                        "shape": "CIRCLE",
                        "rel_pos": {"tx": 0.0, "ty": 0.0, "tz": z, "rx": 0.0, "ry": 0.0, "rz": 0.0},
                    }
                    for colour, z in colours
                ]
                self._record(
                    "traffic_light",
                    line_token=self._line(ahead)[0],
                    traffic_light_type="VERTICAL",
                    from_road_block_token="",
                    items=items,
                    pose={
                        "tx": float(x),
                        "ty": float(y),
                        "tz": 2.87,
                        "rx": 0.0,
                        "ry": 0.0,
                        "rz": float(heading),
                    },
                )

    def _add_lane(self, lane: Lane) -> None:
        """Add a lane or a lane connector with its centre line and its neighbours."""
        key = token(*self._key, "lane", *lane.key)
        polygon = self._polygon(Polygon(lane.outline))
        self.content["arcline_path_3"][key] = lane.path
        self.content["connectivity"][key] = {
            "incoming": [token(*self._key, "lane", *other) for other in lane.incoming],
            "outgoing": [token(*self._key, "lane", *other) for other in lane.outgoing],
        }
        if lane.connector:
            self.content["lane_connector"].append({"token": key, "polygon_token": polygon})
            return
        self.content["lane"].append(
            {
                "token": key,
                "polygon_token": polygon,
                "lane_type": "CAR",
                "from_edge_line_token": self._line(lane.entry)[0],
                "to_edge_line_token": self._line(lane.exit)[0],
                "left_lane_divider_segments": [],
                "right_lane_divider_segments": [],
            }
        )


def _segment_at(segments: list[tuple[Interval, str]], s: float) -> str:
    return next((segment for (low, high), segment in segments if low <= s <= high), "")
