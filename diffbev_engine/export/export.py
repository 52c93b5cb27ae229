"""``export``: write a network as ONNX or as a program of ``torch.export``, after comparing it."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from diffbev_engine import __version__
from diffbev_engine.core.errors import DiffBEVError, UsageError, first_line
from diffbev_engine.core.extras import require
from diffbev_engine.core.files import write_bytes
from diffbev_engine.dataset.sample import network_intrinsics
from diffbev_engine.evaluate.counts import THRESHOLD
from diffbev_engine.export.deployable import Deployable
from diffbev_engine.predict.camera import Camera
from diffbev_engine.predict.prediction import TrainedModel

Format = Literal["torch", "onnx"]
SUFFIXES: dict[Format, str] = {"torch": ".pt2", "onnx": ".onnx"}
TOLERANCE = 2e-3
"""Largest difference in probability that is accepted: half a step of 8 bits."""
FLIPPED_TOLERANCE = 1e-5
"""Largest share of decisions that may differ: of cells so close to the threshold that rounding decides."""
LARGEST_BATCH = 1024
_OPSET = 18
_PACKAGES = ("onnx", "onnxscript", "onnxruntime", "torch")
_AHEAD = 1.2
"""Focal length of the cameras that are compared, in image widths, where training recorded none."""
Outputs = tuple[np.ndarray, ...]
Run = Callable[[dict[str, Tensor]], Outputs]


@dataclass(frozen=True)
class Exported:
    """A file that was written, and how far it is from the network."""

    path: Path
    difference: float
    """Largest, in probability."""
    flipped: int
    """Cells and classes that are decided otherwise."""
    decisions: int
    """Of so many."""
    size: int
    """Bytes."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "path": str(self.path)}


def export_model(
    trained: TrainedModel,
    path: Path,
    kind: Format,
    *,
    batch: int | None = 1,
    steps: int | None = None,
    camera: Camera | None = None,
) -> Exported:
    """Write the network of ``trained`` to ``path``; it can no longer predict afterwards.

    Args:
        trained: on the CPU.
        path: replaced if it exists.
        kind: ``onnx``, or ``torch`` for ``torch.export.load`` and AOTInductor.
        batch: images at a time; ``None``: any number.
        steps: DDIM steps; ``None``: as in its settings.
        camera: the only one that it shall be for; ``None``: intrinsics become an input.

    Raises:
        UsageError: packages that are missing, steps of a network that has none, a camera that does not fit.
        DiffBEVError: the file would not compute what the network computes, or cannot be written.
    """
    if kind == "onnx":
        require("export to ONNX", _PACKAGES, "onnx")
    network = _deployable(trained, steps, camera)
    about = {
        **network.about(),
        "batch": batch or "dynamic",
        "intrinsics": None if camera is None else _matrix(trained, camera).tolist(),
        "checkpoint_sha256": trained.sha256,
        "diffbev_version": __version__,
        "torch_version": torch.__version__,
    }
    cases = _cases(trained, network, batch, camera)
    try:
        with _quiet(), torch.no_grad():
            expected = [_arrays(network(**inputs)) for inputs in cases]
            network.make_portable()
            make = _onnx if kind == "onnx" else _torch
            content, run = make(network, cases[0], batch, about)
            found = [run(inputs) for inputs in cases]
    except DiffBEVError:
        raise
    except Exception as error:  # whatever an exporter meets in a backbone that nobody tried
        raise DiffBEVError(f"this network cannot be exported as {kind}: {first_line(error)[:300]}") from error
    difference, flipped, decisions = _compare(expected, found)
    if not (difference <= TOLERANCE and flipped <= max(1, FLIPPED_TOLERANCE * decisions)):
        raise DiffBEVError(
            f"the {kind} program differs from the network by {difference:.2g} in probability and in "
            f"{flipped} of {decisions:,} decisions, more than the {TOLERANCE:g} and {FLIPPED_TOLERANCE:.0e} "
            "that are accepted. Nothing was written."
        )
    try:
        write_bytes(path, content)
    except OSError as error:
        raise DiffBEVError(f"cannot write {path}: {error.strerror or error}.") from error
    return Exported(path, difference, flipped, decisions, len(content))


def foreign_operators(content: bytes) -> list[str]:
    """What of an ONNX file some runtimes cannot do, or do wrongly in silence.

    Operators outside ONNX's own domain, ScatterND and ScatterElements (some versions of TensorRT ignore
    their reduction), and tensors in double precision.
    """
    import onnx

    model = onnx.load_from_string(content)
    graphs = [model.graph, *model.functions]
    nodes = [node for graph in graphs for node in graph.node]
    found = {f"{node.domain}.{node.op_type}" for node in nodes if node.domain not in ("", "ai.onnx")}
    found |= {node.op_type for node in nodes if node.op_type.startswith("Scatter")}
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    kinds = [value.type.tensor_type.elem_type for value in values]
    kinds += [tensor.data_type for tensor in model.graph.initializer]
    kinds += [
        onnx.helper.get_attribute_value(attribute)
        for node in nodes
        if node.op_type == "Cast"
        for attribute in node.attribute
        if attribute.name == "to"
    ]
    return sorted(found) + (["DOUBLE"] if onnx.TensorProto.DOUBLE in kinds else [])


def _deployable(trained: TrainedModel, steps: int | None, camera: Camera | None) -> Deployable:
    diffusion = trained.settings.model.diffusion
    if steps is not None and (diffusion is None or diffusion.process == "none"):
        raise UsageError("--steps: this network denoises nothing, so it has no steps. Leave it out.")
    intrinsics = None if camera is None else torch.from_numpy(_matrix(trained, camera))
    count = steps or (diffusion.steps if diffusion is not None else 1)
    return Deployable(trained.model.float().eval(), count, intrinsics)


def _matrix(trained: TrainedModel, camera: Camera) -> np.ndarray:
    """Of the camera at the size that the network takes, (3, 3) float32."""
    if camera.size is None:
        raise UsageError("the calibration does not say for which image size it is. Give one that does.")
    return network_intrinsics(camera.matrix, camera.size, trained.settings.data.image_size)


def _cases(
    trained: TrainedModel, network: Deployable, batch: int | None, camera: Camera | None
) -> list[dict[str, Tensor]]:
    """Inputs to compare with: two pictures and, where any camera may come, two cameras."""
    height, width = trained.settings.data.image_size
    if camera is not None:
        cameras = [torch.from_numpy(_matrix(trained, camera))] * 2
    else:
        cameras = [
            torch.tensor([[f * width, 0, width / 2], [0, f * width, height / 2], [0, 0, 1]])
            for f in (_AHEAD, _AHEAD / 1.5)
        ]
    # Two sizes where any is promised; none of 1, which an exporter takes for a constant.
    return [network.example(batch or 2 + seed, each, seed) for seed, each in enumerate(cameras)]


def _torch(
    network: Deployable, inputs: dict[str, Tensor], batch: int | None, about: dict[str, Any]
) -> tuple[bytes, Run]:
    file = io.BytesIO()
    about_file = {"diffbev.json": json.dumps(about)}
    torch.export.save(_program(network, inputs, batch), file, extra_files=about_file)
    content = file.getvalue()
    loaded = torch.export.load(io.BytesIO(content)).module()
    return content, lambda given: _arrays(loaded(**given))


def _onnx(
    network: Deployable, inputs: dict[str, Tensor], batch: int | None, about: dict[str, Any]
) -> tuple[bytes, Run]:
    import onnxruntime

    program = torch.onnx.export(
        _program(network, inputs, batch),
        input_names=network.input_names,
        output_names=["probability", "depth"],
        dynamic_shapes=_dynamic(inputs, batch),  # gives the axis its name
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value if isinstance(value, str) else json.dumps(value))
    content = model.SerializeToString()
    foreign = foreign_operators(content)
    if foreign:
        raise DiffBEVError(
            f"the ONNX program would need {', '.join(foreign)}, which not every runtime has. Choose another "
            "model.backbone, or --format torch."
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(given: dict[str, Tensor]) -> Outputs:
        return tuple(session.run(None, {name: tensor.numpy() for name, tensor in given.items()}))

    return content, run


def _program(
    network: Deployable, inputs: dict[str, Tensor], batch: int | None
) -> torch.export.ExportedProgram:
    return torch.export.export(network, (), inputs, dynamic_shapes=_dynamic(inputs, batch))


def _dynamic(inputs: dict[str, Tensor], batch: int | None) -> dict[str, Any] | None:
    if batch is not None:
        return None
    any_number = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    return {name: {0: any_number} for name in inputs}


def _arrays(outputs: Sequence[Tensor]) -> Outputs:
    return tuple(output.numpy() for output in outputs)


def _compare(expected: list[Outputs], found: list[Outputs]) -> tuple[float, int, int]:
    """Largest difference of the outputs (or NaN), decisions that differ, and how many there are."""
    differences = [
        np.abs(a - b).max()
        for these, those in zip(expected, found, strict=True)
        for a, b in zip(these, those, strict=True)
    ]
    pairs = [(these[0], those[0]) for these, those in zip(expected, found, strict=True)]
    flipped = sum(int(((a > THRESHOLD) != (b > THRESHOLD)).sum()) for a, b in pairs)
    return float(np.max(differences)), flipped, sum(a.size for a, _ in pairs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say to their own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
