import pytest

from diffbev_engine.core.errors import UsageError
from diffbev_engine.nuscenes import split_scenes as lists
from diffbev_engine.nuscenes.splits import explain_empty_side, resolve_split

TRAINVAL = sorted(lists.OFFICIAL_TRAIN | lists.OFFICIAL_VAL)
MINI = sorted(lists.OFFICIAL_MINI_TRAIN | lists.OFFICIAL_MINI_VAL)


def _sides(assignment: dict[str, str]) -> tuple[set[str], set[str]]:
    return tuple(
        {scene for scene, side in assignment.items() if side == wanted} for wanted in ("train", "val")
    )


def test_official_lists_are_those_of_the_devkit():
    devkit = pytest.importorskip("nuscenes.utils.splits")
    assert set(devkit.train) == lists.OFFICIAL_TRAIN
    assert set(devkit.val) == lists.OFFICIAL_VAL
    assert set(devkit.mini_train) == lists.OFFICIAL_MINI_TRAIN
    assert set(devkit.mini_val) == lists.OFFICIAL_MINI_VAL


def test_official_split_of_trainval_and_of_mini():
    train, val = _sides(resolve_split("official", TRAINVAL, "v1.0-trainval"))
    assert (len(train), len(val)) == (700, 150)
    train, val = _sides(resolve_split("official", MINI, "v1.0-mini"))
    assert (train, val) == (lists.OFFICIAL_MINI_TRAIN, lists.OFFICIAL_MINI_VAL)


def test_pon_split_has_its_published_counts():
    assignment = resolve_split("pon", TRAINVAL, "v1.0-trainval")
    train, val = _sides(assignment)
    assert (len(train), len(val)) == (698, 148)
    assert set(TRAINVAL) - set(assignment) == {"scene-0410", "scene-0641", "scene-0805", "scene-0910"}
    assert len(val & lists.OFFICIAL_TRAIN) == 116
    assert len(train & lists.OFFICIAL_VAL) == 117


def test_pon_split_of_mini():
    train, val = _sides(resolve_split("pon", MINI, "v1.0-mini"))
    assert val == {"scene-0757", "scene-0796"}
    assert train == set(MINI) - val


def test_explicit_split_keeps_only_the_named_scenes():
    scenes = ("scene-0061", "scene-0523", "scene-0916")
    assignment = resolve_split(" scene-0916=val, scene-0523=train ", scenes, "v1.0-mini")
    assert assignment == {"scene-0523": "train", "scene-0916": "val"}


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("ponn", "'ponn'"),
        ("", "''"),
        ("scene-0523=train,scene-0916", "'scene-0916'"),
        ("scene-0523=train,", "''"),
        ("scene-0523=test", "'scene-0523=test'"),
        ("=train", "'=train'"),
        ("scene-0524=train", "scene-0523"),  # the nearest scene is offered
        ("scene-0523=train,scene-0523=val", "both"),
    ],
)
def test_malformed_split_is_a_usage_error_that_names_the_item(spec: str, named: str):
    with pytest.raises(UsageError, match=named):
        resolve_split(spec, ("scene-0523", "scene-0916"), "v1.0-mini")


def test_empty_side_is_explained_with_a_split_that_works():
    scenes = ("scene-0523", "scene-0916")
    assignment = resolve_split("pon", scenes, "v1.0-mini")
    message = explain_empty_side("pon", scenes, assignment)
    assert message is not None
    assert "leaves val empty" in message
    suggested = message.rpartition(" ")[2]
    assert explain_empty_side(suggested, scenes, resolve_split(suggested, scenes, "v1.0-mini")) is None


def test_unknown_scenes_leave_both_sides_empty():
    message = explain_empty_side(
        "official", ("demo-1", "demo-2"), resolve_split("official", ("demo-1",), "x")
    )
    assert message is not None
    assert "train and val empty" in message


def test_one_scene_cannot_be_split():
    message = explain_empty_side("pon", ("scene-0001",), {"scene-0001": "val"})
    assert message is not None
    assert "add scenes" in message
