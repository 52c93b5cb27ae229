"""A synthetic world opens in nuscenes-devkit, which knows nothing of it."""

from pathlib import Path

import numpy as np
import pytest

from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.synthesize import synthesize

pytest.importorskip("nuscenes")

from nuscenes import NuScenes
from nuscenes.map_expansion.map_api import NuScenesMap

LAYERS = ["drivable_area", "ped_crossing", "walkway", "carpark_area"]


@pytest.fixture(scope="module")
def nusc(tmp_path_factory: pytest.TempPathFactory) -> NuScenes:
    root: Path = tmp_path_factory.mktemp("devkit") / "world"
    synthesize(SynthJob(root, "v1.0-trainval", scenes=4, samples_per_scene=2, image_size=(90, 160)))
    return NuScenes("v1.0-trainval", str(root), verbose=False)


@pytest.fixture(scope="module")
def maps(nusc: NuScenes) -> dict[str, NuScenesMap]:
    return {log["location"]: NuScenesMap(nusc.dataroot, log["location"]) for log in nusc.log}


def test_scenes_are_listed(nusc: NuScenes, capsys: pytest.CaptureFixture):
    nusc.list_scenes()
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("scene-0061", "scene-0103", "scene-0553", "scene-0757"))


def test_boxes_have_categories_and_attributes(nusc: NuScenes):
    for sample in nusc.sample:
        boxes = nusc.get_boxes(sample["data"]["CAM_FRONT"])
        assert len(boxes) == len(sample["anns"]) > 20
    attributes = {
        nusc.get("attribute", token)["name"].split(".")[0]
        for row in nusc.sample_annotation
        for token in row["attribute_tokens"]
    }
    assert attributes == {"vehicle", "pedestrian", "cycle"}


def test_the_point_cloud_maps_onto_the_image(nusc: NuScenes):
    for sample in nusc.sample:
        data = sample["data"]
        points, depths, image = nusc.explorer.map_pointcloud_to_image(data["LIDAR_TOP"], data["CAM_FRONT"])
        assert image.size == (160, 90)
        assert points.shape[1] == len(depths) > 1000
        assert 1 < depths.min() < depths.max() < 75


def test_velocities_are_constant(nusc: NuScenes):
    moving = [row for row in nusc.sample_annotation if row["next"] and row["attribute_tokens"]]
    speeds = np.array([np.linalg.norm(nusc.box_velocity(row["token"])) for row in moving])
    assert (speeds < 0.01).sum() > 20
    assert (speeds > 3).sum() > 5
    assert speeds.max() < 12


def test_maps_have_all_four_label_layers_with_valid_polygons(maps: dict[str, NuScenesMap]):
    assert len(maps) == 4
    for nusc_map in maps.values():
        records = nusc_map.get_records_in_patch((0, 0, *nusc_map.canvas_edge), LAYERS)
        assert all(records[layer] for layer in LAYERS)
        for layer in (*LAYERS, "lane", "road_segment", "road_block", "stop_line"):
            for record in getattr(nusc_map, layer):
                for token in record.get("polygon_tokens", [record.get("polygon_token")]):
                    assert nusc_map.extract_polygon(token).is_valid, layer
    walkways = [record for nusc_map in maps.values() for record in nusc_map.walkway]
    assert any(record["holes"] for record in walkways)


def test_the_ego_vehicle_drives_on_a_lane_of_the_map(nusc: NuScenes, maps: dict[str, NuScenesMap]):
    for scene in nusc.scene:
        location = nusc.get("log", scene["log_token"])["location"]
        nusc_map = maps[location]
        sample = nusc.get("sample", scene["first_sample_token"])
        pose = nusc.get("ego_pose", nusc.get("sample_data", sample["data"]["LIDAR_TOP"])["ego_pose_token"])
        x, y, _ = pose["translation"]
        layers = nusc_map.layers_on_point(x, y)
        assert layers["drivable_area"]
        assert layers["lane"]
        assert layers["walkway"] == ""
        lane = nusc_map.get_closest_lane(x, y)
        assert lane == layers["lane"]
        path = np.array(nusc_map.discretize_lanes([lane], 0.5)[lane])
        assert np.hypot(*(path[:, :2] - [x, y]).T).min() < 0.3
        yaw = 2 * np.arctan2(pose["rotation"][3], pose["rotation"][0])
        nearest = path[np.hypot(*(path[:, :2] - [x, y]).T).argmin(), 2]
        assert abs((nearest - yaw + np.pi) % (2 * np.pi) - np.pi) < 0.05
        mask = nusc.get("map", nusc.get("log", scene["log_token"])["map_token"])["mask"]
        assert mask.is_on_mask(x, y).all()


def test_lanes_follow_one_another(maps: dict[str, NuScenesMap]):
    followed = 0
    for nusc_map in maps.values():
        for lane in nusc_map.lane + nusc_map.lane_connector:
            end = nusc_map.discretize_lanes([lane["token"]], 0.5)[lane["token"]][-1]
            for token in nusc_map.get_outgoing_lane_ids(lane["token"]):
                start = nusc_map.discretize_lanes([token], 0.5)[token][0]
                np.testing.assert_allclose(start[:2], end[:2], atol=0.02)
                assert lane["token"] in nusc_map.get_incoming_lane_ids(token)
                followed += 1
    assert followed > 10
