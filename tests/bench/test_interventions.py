"""Interventions score what they say, and the untouched network as its evaluation does."""

import json

import pytest
import torch
from click.testing import CliRunner

from diffbev_engine.bench.interventions import INTERVENTIONS, intervene
from diffbev_engine.cli.bench_interventions import command
from diffbev_engine.core.errors import UsageError
from diffbev_engine.dataset.order import ALONE
from diffbev_engine.evaluate.run import evaluate_checkpoint
from diffbev_engine.train.distributed import Processes

SINGLE = Processes(torch.device("cpu"), ALONE)


@pytest.mark.parametrize("target", ["feature", "layout"])
def test_the_untouched_network_scores_as_evaluated_and_each_intervention_changes_it(
    tiny_settings,
    diffusion_settings,
    saved,
    target,
):
    content = diffusion_settings.model_dump()
    content["model"]["diffusion"] |= {"target": target, "condition": "O"}
    settings = type(tiny_settings).model_validate(content)
    config, checkpoint = saved(settings)
    found = json.loads(CliRunner().invoke(command, [str(config), str(checkpoint), "--json"]).stdout)
    evaluated = evaluate_checkpoint(settings, checkpoint, "val", SINGLE).rows[0].first
    assert found["miou"].keys() == INTERVENTIONS.keys()
    assert found["miou"]["as trained"]["fov"] == evaluated.masks["fov"].miou > 0
    others = [found["miou"][name]["fov"] for name in INTERVENTIONS if name != "as trained"]
    assert all(other != evaluated.masks["fov"].miou for other in others)


@pytest.mark.parametrize("process", [None, "none"])
def test_without_diffusion_there_is_nothing_to_intervene_in(
    tiny_settings,
    diffusion_settings,
    tmp_path,
    process,
):
    content = diffusion_settings.model_dump()
    content["model"]["diffusion"]["process"] = process
    settings = type(tiny_settings).model_validate(content) if process else tiny_settings
    with pytest.raises(UsageError, match="no diffusion"):
        intervene(settings, tmp_path / "none.pth", "val", SINGLE)
