"""Weather and time of day: what they do to pictures."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from diffbev_engine.synth.actors import Actor, Motion
from diffbev_engine.synth.camera import CameraRays, View, look
from diffbev_engine.synth.ground import make_texture
from diffbev_engine.synth.itinerary import arrange
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.lamps import lamp_pools
from diffbev_engine.synth.light import WEATHER, Light, draw_light
from diffbev_engine.synth.markings import wear_off
from diffbev_engine.synth.names import scene_names
from diffbev_engine.synth.raster import blank_raster
from diffbev_engine.synth.rig import make_rig, transform
from diffbev_engine.synth.scenery import lamp
from diffbev_engine.synth.shading import make_studio, photograph
from diffbev_engine.synth.solids import Body, Material, box
from diffbev_engine.synth.world import World, build_site

SHAPE = (180, 320)
GREY = (0.5, 0.5, 0.5)


class Stage:
    """A grey plane with a few objects, looked at from the ego vehicle at the world's origin."""

    def __init__(self, *placed: tuple[Body, float, float]) -> None:
        site = build_site(0, "scene-0061", 2, False, (0.0, 0.0))
        line = dataclasses.replace(site.street.centreline, start=(0.0, 0.0, 0.0), curvatures=(), lengths=())
        site = dataclasses.replace(site, street=dataclasses.replace(site.street, centreline=line))
        actors = tuple(Actor(body, Motion(x, y), "vehicle.moving") for body, x, y in placed)
        self.world = World(site, actors)
        self.solids = self.world.solids_at(0.0)
        ground = blank_raster(np.array([[-90.0, -90], [90, 90]]), 0.0, 0.1, (110, 110, 110, 0))
        self.texture = make_texture(ground, np.random.default_rng(0))
        rig = make_rig("n101", SHAPE)
        self.focal = float(rig.intrinsics[0, 0])
        pose = transform(np.array([1.0, 0, 0, 0]), np.zeros(3)) @ rig.ego_from_camera
        self.rays = CameraRays(pose, rig.intrinsics, SHAPE)

    def picture(self, light: Light) -> tuple[np.ndarray, View]:
        studio = make_studio(light, self.texture, self.world, np.random.default_rng(0))
        view = look(self.solids, self.rays, self.world.annotated)
        return photograph(view, self.solids, studio, self.focal), view

    def ground(self, image: np.ndarray, x: float, y: float) -> float:
        """Brightness of the picture at a place on the ground, metres."""
        k = self.rays._intrinsics @ self.rays._camera_from_world[:3]
        u, v, w = k @ [x, y, 0.0, 1.0]
        return float(image[int(v / w), int(u / w)].mean())


def _car() -> Body:
    solid = box((-2, -0.9, 0), (2, 0.9, 1.5), GREY, Material.CAR_BODY)
    return Body("vehicle.car", (1.8, 4.0, 1.5), (solid,))


def _house() -> Body:
    return Body("", (4.0, 30.0, 12.0), (box((-15, -2, 0), (15, 2, 12.0), GREY),))


def _light(kind: str, azimuth: float = 0.0, elevation: float = 45.0) -> Light:
    light = draw_light(np.random.default_rng(1), kind)
    up, around = np.radians(elevation), np.radians(azimuth)
    to_sun = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    return dataclasses.replace(light, to_sun=to_sun)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_kind_of_weather_comes_as_often_as_stated(tmp_path: Path, seed: int):
    recordings, _ = arrange(SynthJob(tmp_path, scenes=60, seed=seed))
    drawn = Counter(recording.weather for recording in recordings)
    for kind, weather in WEATHER.items():
        assert drawn[kind] / 60 == pytest.approx(weather.share, abs=0.055)
    assert sum(weather.share for weather in WEATHER.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("scenes", [2, 8, 24])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_validation_meets_no_weather_that_training_lacks(tmp_path: Path, seed: int, scenes: int):
    recordings, _ = arrange(SynthJob(tmp_path, scenes=scenes, seed=seed))
    train, val = scene_names(scenes)
    kinds = {part: {r.weather for r in recordings if r.scene in part} for part in (train, val)}
    assert kinds[val] <= kinds[train]
    assert len(kinds[train]) >= {2: 1, 8: 3, 24: 5}[scenes]


def test_exposures_differ_between_scenes():
    lights = [draw_light(np.random.default_rng(seed), "overcast") for seed in range(30)]
    levels = [float(np.mean(light.sky_light + light.sun * light.to_sun[2])) for light in lights]
    assert max(levels) > 1.4 * min(levels)


def test_night_is_darker_than_noon_and_noisier():
    stage = Stage((_car(), 15.0, 3.0))
    noon, night = (stage.picture(_light(kind))[0] for kind in ("sunny", "night"))
    assert night.mean() < 0.5 * noon.mean()
    assert _light("night").gain > 3 * _light("sunny").gain


def test_at_night_the_own_headlights_light_the_road_ahead_not_beside():
    stage = Stage((_car(), 40.0, 12.0))
    night, _ = stage.picture(_light("night"))
    assert stage.ground(night, 9.0, 0.0) > 1.5 * stage.ground(night, 40.0, 0.0)
    assert stage.ground(night, 14.0, 0.0) > 1.5 * stage.ground(night, 14.0, 7.5)


def test_tail_lights_shine_at_night_while_the_body_is_dark():
    stage = Stage((_car(), 30.0, 0.0))
    night, view = stage.picture(_light("night"))
    red = night[..., 2][view.objects]
    assert red.max() > 0.9
    assert np.median(red) < 0.4
    assert night[..., 2].max() > 1.5 * night[..., 0].max()


def test_a_street_lamp_lights_the_ground_below_it_most():
    stage = Stage((lamp(np.random.default_rng(0)), 20.0, 0.0), (_car(), 60.0, 20.0))
    pools = lamp_pools(stage.solids)
    below, away, far = pools.at(np.zeros(3), np.array([[20.0, 20.0, 60.0], [1.6, 12.0, 60.0]], np.float32))
    assert below > 2 * away > 0
    assert far == 0


def test_fog_swallows_what_is_far():
    stage = Stage((_car(), 8.0, 2.0), (_car(), 45.0, -2.0))
    for kind, low, high in (("fog", 0.0, 0.75), ("sunny", 0.75, 1.01)):
        light = _light(kind)
        image, view = stage.picture(light)
        clear, _ = stage.picture(dataclasses.replace(light, haze_length=1e9))
        actor = stage.world.table.actor[view.hits.solid]
        contrast = [
            np.abs(picture - light.horizon)[view.objects & (actor == 1)].mean() for picture in (image, clear)
        ]
        assert low < contrast[0] / contrast[1] < high


@pytest.mark.parametrize(("azimuth", "shaded"), [(90.0, -3.0), (-90.0, 3.0)])
def test_shadows_fall_away_from_the_sun(azimuth: float, shaded: float):
    # The car's outline ends 0.9 m to either side; at 30 degrees its shadow is 2.6 m wide.
    stage = Stage((_car(), 12.0, 0.0))
    image, _ = stage.picture(_light("sunny", azimuth, 30.0))
    assert stage.ground(image, 12.0, shaded / 1.6) < 0.7 * stage.ground(image, 12.0, -shaded)


def test_a_house_shades_the_car_beside_it():
    alone, beside = (Stage((_car(), 12.0, 0.0), *more) for more in ((), ((_house(), 12.0, 8.0),)))
    light = _light("sunny", 135.0, 30.0)  # from behind and left
    images = [stage.picture(light) for stage in (alone, beside)]
    car = [image[view.objects & (view.hits.solid == 0)].mean() for image, view in images]
    assert car[1] < 0.7 * car[0]


def test_worn_paint_shows_the_road_and_new_paint_does_not():
    corners = np.array([[0.0, 0.0], [40.0, 10.0]])
    left = []
    for wear in (0.0, 0.5, 1.0):
        raster = blank_raster(corners, 0.0, 0.05, (80, 80, 80, 20))
        before = raster.image.copy()
        raster.line(np.array([[2.0, 5.0], [38.0, 5.0]]), 0.5, (200, 200, 200, 10))
        painted = raster.image[..., 0] != 80
        wear_off(raster, before, wear, np.random.default_rng(0))
        assert (raster.image[~painted] == [80, 80, 80, 20]).all()
        left.append(raster.image[painted][:, 0].mean() - 80)
    assert left[0] > 100
    assert left[0] > left[1] > left[2] > 10
    assert left[2] < 0.6 * left[0]
