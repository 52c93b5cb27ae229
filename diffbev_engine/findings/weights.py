"""The pretrained weights of the backbone: a file, the cache, or the network."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.findings.finding import Finding, error, ok, warning
from diffbev_engine.findings.plan import Plan

if TYPE_CHECKING:
    from diffbev_engine.models.weights_file import StateDict

_HUB = ("huggingface.co", 443)
_PATIENCE_S = 2.0
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def weights(plan: Plan) -> Iterator[Finding]:
    """A readable file, a cached download, or a hub that answers."""
    from diffbev_engine.models.load_from import read_weights
    from diffbev_engine.models.weights_file import read_state_dict

    backbone, source = plan.settings.model.backbone, plan.settings.load_from
    setting = "model.backbone.pretrained"
    if source:
        yield _file(lambda: read_weights(source), source)
        if backbone.pretrained is None:
            return
    if backbone.pretrained is None:
        yield warning(
            "weights",
            Bilingual("主干网络使用随机初始化权重", "the backbone starts from random weights"),
            setting,
            Bilingual(
                f"正式训练请用 --set {setting}=imagenet，或权重文件",
                f"for a real training --set {setting}=imagenet, or a file",
            ),
        )
    elif backbone.pretrained == "imagenet":
        yield _published(backbone.name, setting)
    else:
        path = Path(backbone.pretrained)
        yield _file(lambda: read_state_dict(path), path)


def _file(read: Callable[[], StateDict], path: Path | str) -> Finding:
    try:
        tensors = read()
    except DiffBEVError as problem:
        return error(
            "weights",
            Bilingual(str(problem), str(problem)),
            path,
            Bilingual("给出可读的权重文件", "give a readable file"),
        )
    return ok("weights", Bilingual(f"{len(tensors)} 个张量", f"{len(tensors)} tensors"), path)


def _published(name: str, setting: str) -> Finding:
    import timm

    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    hub_id = config.hf_hub_id if config else None
    url = config.url if config and isinstance(config.url, str) else None
    source = hub_id or url
    if not source:
        return error(
            "weights",
            Bilingual(f"timm 没有 {name} 的权重", f"timm has no weights of {name}"),
            setting,
            Bilingual("给出权重文件，或设为 None", "give a file, or None for random weights"),
        )
    cached = _cached(hub_id, url)
    if cached:
        return ok("weights", Bilingual("ImageNet 权重已缓存", "ImageNet weights are in the cache"), cached)
    local = Bilingual(
        f"在联网的机器上下载 {source} 的 model.safetensors，再 --set {setting}=文件路径",
        f"on a machine with network access download model.safetensors of {source}, then --set {setting}=PATH",
    )
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
    if offline or not _hub_answers():
        zh, en = (
            ("HF_HUB_OFFLINE 已设置", "HF_HUB_OFFLINE is set")
            if offline
            else ("无法连接权重网站", "the hub does not answer")
        )
        return error(
            "weights",
            Bilingual(f"{source} 不在缓存中，且{zh}", f"{source} is not in the cache, and {en}"),
            setting,
            local,
        )
    return warning(
        "weights",
        Bilingual(f"{source} 将在启动时下载", f"{source} will be downloaded at the start"),
        setting,
        local,
    )


def _cached(hub_id: str | None, url: str | None) -> str | None:
    """The file that timm would take without network."""
    import huggingface_hub
    import torch

    for name in _HUB_FILES if hub_id else ():
        found = huggingface_hub.try_to_load_from_cache(str(hub_id), name)
        if isinstance(found, str):
            return found
    downloaded = Path(torch.hub.get_dir()) / "checkpoints" / Path(url or "-").name
    return str(downloaded) if downloaded.is_file() else None


def _hub_answers() -> bool:
    endpoint = os.environ.get("HF_ENDPOINT", "").split("://")[-1].split("/")[0].partition(":")
    address = (endpoint[0], int(endpoint[2] or 443)) if endpoint[0] else _HUB
    try:
        with socket.create_connection(address, timeout=_PATIENCE_S):
            return True
    except OSError:
        return False
