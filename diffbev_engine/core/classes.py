"""The 14 BEV classes of the nuScenes benchmark of Roddick and Cipolla (PON, CVPR 2020).

The order fixes the bits of a label PNG, the channels of the logits and the columns of
``metrics.csv``.
"""

CLASSES: tuple[str, ...] = (
    "drivable_area",
    "ped_crossing",
    "walkway",
    "carpark",
    "car",
    "truck",
    "bus",
    "trailer",
    "construction_vehicle",
    "pedestrian",
    "motorcycle",
    "bicycle",
    "traffic_cone",
    "barrier",
)
NUM_CLASSES = len(CLASSES)

MAP_LAYERS: tuple[str, ...] = ("drivable_area", "ped_crossing", "walkway", "carpark_area")
"""Layers of the nuScenes map expansion behind classes 0 to 3, in class order."""

OBJECT_CLASSES: tuple[str, ...] = CLASSES[len(MAP_LAYERS) :]
"""Classes that are annotated as boxes, not on the map."""

# Share of visible cells in the training part of the PON split, per class.
CLASS_PRIORS: tuple[float, ...] = (
    0.44679,
    0.02407,
    0.14491,
    0.02994,
    0.02086,
    0.00477,
    0.00156,
    0.00189,
    0.00084,
    0.00119,
    0.00019,
    0.00012,
    0.00031,
    0.00176,
)

CLASS_COLOURS: tuple[str, ...] = (
    "#a6cee3",
    "#1f78b4",
    "#b2df8a",
    "#33a02c",
    "#fb9a99",
    "#e31a1c",
    "#fdbf6f",
    "#ff7f00",
    "#cab2d6",
    "#6a3d9a",
    "#7e772e",
    "#00ff00",
    "#0000ff",
    "#00ffff",
)
IGNORE_COLOUR = "#303030"

# nuScenes detection mapping; categories that are missing here belong to no class and
# their footprints are ignored rather than scored.
CATEGORY_TO_CLASS: dict[str, str] = {
    "vehicle.car": "car",
    "vehicle.truck": "truck",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.trailer": "trailer",
    "vehicle.construction": "construction_vehicle",
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.police_officer": "pedestrian",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.bicycle": "bicycle",
    "movable_object.trafficcone": "traffic_cone",
    "movable_object.barrier": "barrier",
}

CAMERAS: tuple[str, ...] = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
)
