"""``load_from`` takes what fits, names what does not, and never starts from other weights in silence."""

import pytest
import torch
from safetensors.torch import save_file

from diffbev_engine.config.load import load_settings
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.models.load_from import PACKAGED, load_from, read_weights
from diffbev_engine.models.model import build_model


def _network(settings, seed):
    torch.manual_seed(seed)
    model = build_model(settings.model, settings.data.image_size)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


def test_every_weight_becomes_that_of_the_file(tiny_settings, tmp_path):
    source, model = _network(tiny_settings, 1), _network(tiny_settings, 2)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    load_from(model, str(tmp_path / "w.safetensors"))
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_of_a_run_that_averaged_its_weights_the_average_is_taken(tiny_settings, tmp_path):
    last, average = _network(tiny_settings, 1).state_dict(), _network(tiny_settings, 2).state_dict()
    torch.save({"model": last, "ema": average}, tmp_path / "a.pth")
    torch.save({"model": last, "ema": {}}, tmp_path / "b.pth")
    for name, expected in (("a", average), ("b", last)):
        found = read_weights(str(tmp_path / f"{name}.pth"))
        assert found.keys() == expected.keys()
        assert all(torch.equal(tensor, expected[key]) for key, tensor in found.items())


def test_a_part_that_the_file_lacks_keeps_its_own_weights_and_is_named(
    tiny_settings, diffusion_settings, tmp_path, caplog
):
    baseline, model = _network(tiny_settings, 1), _network(diffusion_settings, 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(baseline.state_dict(), tmp_path / "w.safetensors")
    with caplog.at_level("INFO"):
        load_from(model, str(tmp_path / "w.safetensors"))
    after = model.state_dict()
    assert torch.equal(after["head.classifier.weight"], baseline.state_dict()["head.classifier.weight"])
    own = [name for name in after if name.startswith("diffusion.")]
    assert own
    assert all(torch.equal(after[name], before[name]) for name in own)
    assert f"not in it, and as they would be without it: diffusion ({len(own)} tensors)" in caplog.text
    load_from(baseline, str(_saved(model, tmp_path / "d.safetensors")))
    assert "not in this network, and left out: diffusion (" in caplog.text


def _saved(model, path):
    save_file(model.state_dict(), path)
    return path


def test_weights_of_another_network_are_refused_and_change_nothing(tiny_settings, tmp_path):
    model = _network(tiny_settings, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights = dict(before) | {"head.classifier.weight": torch.zeros(14, 3, 1, 1)}
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match=r"1 of \d+ tensors have other shapes \(head\.classifier\.weight is"):
        load_from(model, str(tmp_path / "w.safetensors"))
    save_file({"layer.weight": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="holds nothing of this network"):
        load_from(model, str(tmp_path / "x.safetensors"))
    with pytest.raises(DiffBEVError, match=r"load_from: there is no file nothing\.pth"):
        load_from(model, "nothing.pth")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("weights", "preset"),
    [("demo/baseline", "baseline/lss_swin_demo"), ("demo/diffbev", "diffbev/diffbev_lss_swin_demo")],
)
def test_the_weights_of_the_demo_are_those_of_its_whole_networks(weights, preset):
    settings = load_settings(preset)
    model = build_model(settings.model, settings.data.image_size)
    found = read_weights(weights)
    assert found.keys() == model.state_dict().keys()
    load_from(model, weights)
    assert all(torch.isfinite(tensor).all() for tensor in found.values() if tensor.is_floating_point())
    assert sum(path.stat().st_size for path in PACKAGED.values()) < 2.5e6
