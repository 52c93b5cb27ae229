"""What is exported computes what the network computes, in standard operators, or is not written."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.export import export
from diffbev_engine.export.export import export_model, foreign_operators
from diffbev_engine.predict.camera import Camera
from diffbev_engine.predict.prediction import load
from diffbev_engine.train.checkpoint import load_checkpoint
from tests.processes import PATIENCE_S, engine
from tests.tiny import save_weights, trained

_CAMERA = Camera(np.array([[160.0, 0.0, 96.0], [0.0, 160.0, 64.0], [0.0, 0.0, 1.0]]), (192, 128))


_LOADED = """
import sys
from pathlib import Path
import numpy as np, torch
folder, files = Path(sys.argv[1]), {"diffbev.json": ""}
program = torch.export.load(str(folder / "model.pt2"), extra_files=files).module()
probability, _ = program(image=torch.from_numpy(np.load(folder / "image.npy")))
np.save(folder / "probability.npy", probability.detach().numpy())
print(files["diffbev.json"])
"""
"""What another program does: it needs nothing of this one."""


@pytest.fixture
def checkpoint(tmp_path, tiny_settings):
    return save_weights(trained(tiny_settings), tmp_path / "run", tiny_settings)


@pytest.fixture
def layout_checkpoint(tmp_path, diffusion_settings):
    content = diffusion_settings.model_dump()
    content["model"]["diffusion"].update(target="layout", condition="O", self_condition=True, calibrated=True)
    settings = type(diffusion_settings).model_validate(content)
    return save_weights(trained(settings), tmp_path / "layout", settings)


def test_an_onnx_program_predicts_as_the_checkpoint_does_for_any_batch(layout_checkpoint, tmp_path):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    process = engine("export", layout_checkpoint, "--output", path, "--batch", "dynamic", "--steps", 1)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "decisions" in said

    content = path.read_bytes()
    assert foreign_operators(content) == []
    about = {item.key: item.value for item in onnx.load_from_string(content).metadata_props}
    model = load(layout_checkpoint, "cpu")
    assert about["checkpoint_sha256"] == model.sha256
    assert json.loads(about["classes"])[4] == "car"
    assert json.loads(about["image_size"]) == {"height": 64, "width": 96}
    assert json.loads(about["inputs"]) == ["image", "intrinsics", "noise"]

    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    matrix = _CAMERA.scaled_to(96, 64)
    model.model.diffusion.steps = 1
    expected = model.predict(image, matrix, name="one").probability
    noise = model.model.diffusion.evaluation_draws(["one"], 0, torch.device("cpu")).start.numpy()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        inputs = {
            "image": np.repeat(image.transpose(2, 0, 1)[None], batch, 0),
            "intrinsics": np.repeat(matrix[None].astype(np.float32), batch, 0),
            "noise": np.repeat(noise, batch, 0),
        }
        probability, depth = session.run(["probability", "depth"], inputs)
        assert np.abs(probability - expected).max() < 1e-3
        assert depth.sum(1) == pytest.approx(1, abs=1e-5)


def test_a_torch_program_for_one_camera_takes_the_image_alone(checkpoint, tmp_path):
    path, calibration = tmp_path / "model.pt2", tmp_path / "cameras.txt"
    calibration.write_text("1 PINHOLE 192 128 160 160 96.5 64.5\n")
    process = engine(
        "export", checkpoint, "--format", "torch", "--output", path, "--intrinsics", calibration, "--json"
    )
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert json.loads(said)["flipped"] == 0
    expected = load(checkpoint, "cpu")
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    np.save(tmp_path / "image.npy", image.transpose(2, 0, 1)[None])
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    own = expected.predict(image, _CAMERA.scaled_to(96, 64)).probability
    assert np.load(tmp_path / "probability.npy")[0] == pytest.approx(own, abs=1e-4)
    about = json.loads(done.stdout)
    assert about["inputs"] == ["image"]
    assert np.array(about["intrinsics"]) == pytest.approx(_CAMERA.scaled_to(96, 64))


def test_a_program_that_differs_is_not_written(checkpoint, tmp_path, monkeypatch):
    def wrong(network, *_):
        return b"a program", lambda given: tuple(output.numpy() + 0.01 for output in network(**given))

    monkeypatch.setattr(export, "_torch", wrong)
    with pytest.raises(DiffBEVError, match=r"differs from the network by 0.01 in probability.*Nothing was"):
        export_model(load(checkpoint, "cpu"), tmp_path / "model.pt2", "torch")
    assert not (tmp_path / "model.pt2").exists()


def test_what_cannot_be_exported_is_one_sentence(checkpoint, tmp_path, program, monkeypatch):
    code, said = program("export", checkpoint, "--format", "torch", "--steps", 3)
    assert (code, said.count("\n")) == (2, 1)
    assert "denoises nothing" in said
    assert program("export", checkpoint, "--batch", "some")[0] == 2
    assert "--output is the checkpoint" in program("export", checkpoint, "--output", checkpoint)[1]
    monkeypatch.setattr(export, "_PACKAGES", ("onnx_of_nobody",))
    with pytest.raises(UsageError, match=r'needs onnx_of_nobody: pip install "diffbev\[onnx\]"'):
        export_model(load(checkpoint, "cpu"), tmp_path / "model.onnx", "onnx")
    with pytest.raises(UsageError, match="does not say for which image size"):
        export_model(load(checkpoint, "cpu"), tmp_path / "a.pt2", "torch", camera=Camera(_CAMERA.matrix))


def test_the_weights_alone_keep_the_settings_that_rebuild_the_network(checkpoint, program):
    from safetensors import safe_open

    code, said = program("export", checkpoint, "--format", "safetensors")
    assert code == 0, said
    with safe_open(checkpoint.with_suffix(".safetensors"), "pt") as file:
        about, found = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = load_checkpoint(checkpoint)
    assert found.keys() == expected.model.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.model.items())
    assert json.loads(about["settings"]) == json.loads(json.dumps(expected.settings))
    assert program("export", checkpoint, "--format", "safetensors", "--steps", 1)[0] == 2


def test_operators_that_some_runtimes_lack_are_named():
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction="add"),
        helper.make_node("Cast", ["y"], ["z"], to=kinds.DOUBLE),
        helper.make_node("Swish", ["z"], ["w"], domain="com.microsoft"),
    ]
    values = [helper.make_tensor_value_info(name, kinds.FLOAT, [1]) for name in "xw"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    assert foreign_operators(helper.make_model(graph).SerializeToString()) == [
        "ScatterND",
        "com.microsoft.Swish",
        "DOUBLE",
    ]
