"""Weight decay leaves norms and position tables alone."""

from diffbev_engine.models.model import build_model
from diffbev_engine.models.settings import ModelSettings
from diffbev_engine.train.optimizer import decay_groups


def test_norms_and_position_tables_are_spared():
    settings = ModelSettings().without_pretrained()
    model = build_model(settings, (64, 96))
    decayed, spared = decay_groups(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    spared_names = {names[id(parameter)] for parameter in spared}
    decayed_names = {names[id(parameter)] for parameter in decayed}

    assert spared_names | decayed_names == set(names.values())
    assert not spared_names & decayed_names
    assert {name for name in names.values() if "relative_position_bias_table" in name} <= spared_names
    assert {name for name in names.values() if ".norm1." in name} <= spared_names
    assert "head.classifier.weight" in decayed_names
    assert all(
        "norm" in name or "table" in name or parameter.ndim == 1
        for name, parameter in ((names[id(parameter)], parameter) for parameter in spared)
    )
