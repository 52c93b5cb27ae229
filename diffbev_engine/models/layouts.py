"""Layouts in which libraries store the weights of a network, converted to the names that timm reads.

For the Swin family these are the names of its authors, where patch merging ends a stage.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from diffbev_engine.models.weights_file import StateDict

_Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    """The names that one library gives to the tensors of a network."""

    library: str
    anchor: str
    """The name of one tensor: what precedes it in a file is the prefix of all names."""
    convert: Callable[[StateDict], StateDict]


def layouts(network: str, anchor: str, own: Mapping[str, str]) -> list[Layout]:
    """The layouts known for a timm network of class ``network``.

    Args:
        network: Name of the class.
        anchor: A tensor of the network under its timm name.
        own: Names of the tensors in our own checkpoints to their timm names.
    """
    timm, *others = _SWIN if network == "SwinTransformer" else (Layout("timm", anchor, dict),)

    def as_timm(state: StateDict) -> StateDict:
        return timm.convert({own.get(key, key): state[key] for key in state})

    return [timm, *others, Layout("DiffBEV", next(iter(own)), as_timm)]


def prefixes(state: Mapping[str, Tensor], layout: Layout) -> Iterator[str]:
    """What may precede the names of ``layout`` in a file, such as ``module.``; the shortest first."""
    found = {key.removesuffix(layout.anchor) for key in state if key.endswith(layout.anchor)}
    yield from sorted((prefix for prefix in found if not prefix or prefix.endswith(".")), key=len)


def same_order(network: str, state: Mapping[str, Tensor]) -> bool:
    """Whether names differ from timm's for ``network``, but the tensors are known to come in its order."""
    return any(key in state for key in _SAME_ORDER.get(network, ()))


_SAME_ORDER = {
    # EfficientNet-PyTorch and torchvision define their blocks in the order in which timm does.
    "EfficientNet": ("_conv_stem.weight", "features.0.0.weight"),
}


def _renamed(state: StateDict, rules: _Rules) -> StateDict:
    """``state`` with the first matching rule applied to each name, without buffers that are computed."""
    named: StateDict = {}
    for key, tensor in state.items():
        if key.endswith(("relative_position_index", "attn_mask")):
            continue
        matching = ((pattern, new) for pattern, new in rules if re.match(pattern, key))
        pattern, new = next(matching, ("", ""))
        named[re.sub(pattern, new, key, count=1)] = tensor
    return _with_final_norm(named)


def _with_final_norm(state: StateDict) -> StateDict:
    """Detectors number their output norms by stage; that of the last stage is the network's."""
    numbered = sorted(key for key in state if re.fullmatch(r"norm\d\.weight", key))
    if numbered and "norm.weight" not in state:
        last = numbered[-1].removesuffix(".weight")
        state = {re.sub(rf"^{last}\.", "norm.", key): tensor for key, tensor in state.items()}
    return state


def _swin_of_timm(state: StateDict) -> StateDict:
    """Names of timm, in which patch merging begins a stage, or those of the authors."""
    named = _renamed(state, ((r"head\.fc\.", "head."),))
    if any(key.startswith("layers.0.downsample.") for key in named):
        return named
    return {re.sub(r"^layers\.(\d{1,4})\.downsample", _earlier, key): tensor for key, tensor in named.items()}


def _earlier(match: re.Match[str]) -> str:
    return f"layers.{int(match[1]) - 1}.downsample"


def _swin_of_mm(state: StateDict) -> StateDict:
    """OpenMMLab: other names, and patch merging by ``unfold``, 2 x 2 pixels row by row, innermost."""
    named = _renamed(
        state,
        (
            (r"patch_embed\.projection\.", "patch_embed.proj."),
            (r"stages\.(\d+\.blocks\.\d+\.attn)\.w_msa\.", r"layers.\1."),
            (r"stages\.(\d+\.blocks\.\d+)\.ffn\.layers\.0\.0\.", r"layers.\1.mlp.fc1."),
            (r"stages\.(\d+\.blocks\.\d+)\.ffn\.layers\.1\.", r"layers.\1.mlp.fc2."),
            (r"stages\.", "layers."),
        ),
    )
    return {key: _pixels_outermost(value) if ".downsample." in key else value for key, value in named.items()}


def _pixels_outermost(merging: Tensor) -> Tensor:
    """``… x 4C`` with C outermost and pixels row by row to pixels outermost, column by column."""
    *rest, size = merging.shape
    pixels = merging.reshape(*rest, size // 4, 4).movedim(-1, -2)  # … x 4 x C
    return pixels[..., [0, 2, 1, 3], :].reshape(*rest, size)


def _swin_of_torchvision(state: StateDict) -> StateDict:
    def stage(match: re.Match[str]) -> str:
        number = int(match[1])  # 1, 3, 5, 7 are stages, 2, 4, 6 the patch merging that ends one
        if number % 2:
            return f"layers.{number // 2}.blocks."
        return f"layers.{number // 2 - 1}.downsample."

    named = _renamed(
        state, ((r"features\.0\.0\.", "patch_embed.proj."), (r"features\.0\.2\.", "patch_embed.norm."))
    )
    named = {re.sub(r"^features\.(\d{1,4})\.", stage, key): tensor for key, tensor in named.items()}
    return _renamed(named, ((r"(.*)\.mlp\.0\.", r"\1.mlp.fc1."), (r"(.*)\.mlp\.3\.", r"\1.mlp.fc2.")))


def _swin_of_transformers(state: StateDict) -> StateDict:
    """Hugging Face: names up to version 4, in which files are published, and those of version 5."""
    block = r"encoder\.(layers\.\d+\.blocks\.\d+)\."
    named = _renamed(
        state,
        (
            (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
            (r"embeddings\.norm\.", "patch_embed.norm."),
            (r"layernorm\.", "norm."),
            (block + r"layernorm_before\.", r"\1.norm1."),
            (block + r"layernorm_after\.", r"\1.norm2."),
            (block + r"attention\.(?:output\.dense|o_proj)\.", r"\1.attn.proj."),
            (block + r"attention\.(?:self\.|relative_position_bias\.)?", r"\1.attn."),
            (block + r"(?:intermediate\.dense|mlp\.fc1)\.", r"\1.mlp.fc1."),
            (block + r"(?:output\.dense|mlp\.fc2)\.", r"\1.mlp.fc2."),
            (r"encoder\.", ""),
        ),
    )
    for query, key, value in (("query", "key", "value"), ("q_proj", "k_proj", "v_proj")):
        for name in [name for name in named if f".attn.{query}." in name]:
            parts = [name.replace(query, part) for part in (query, key, value)]
            if all(part in named for part in parts):
                named[name.replace(query, "qkv")] = torch.cat([named.pop(part) for part in parts])
    return named


_SWIN = (
    Layout("timm or the authors", "patch_embed.proj.weight", _swin_of_timm),
    Layout("OpenMMLab", "patch_embed.projection.weight", _swin_of_mm),
    Layout("torchvision", "features.0.0.weight", _swin_of_torchvision),
    Layout(
        "Hugging Face transformers", "embeddings.patch_embeddings.projection.weight", _swin_of_transformers
    ),
)
