"""What the tests of ``annotate`` share: a recorded MediaPipe, files of other programs, small
models."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from cli import main
from pipeline.annotate import keypoints as keypoints_module
from pipeline.annotate.keypoints import MediaPipe
from pipeline.dataset.readers import read_image
from tests.sandboxed import require_sandbox

DATA = Path(__file__).parent / "data"
ANSWER = json.loads((DATA / "mediapipe_answer.json").read_text())
SIZE_HW = (512, 384)
FAKE_WORKER = """
import base64, json, sys
import cv2, numpy as np
answer = json.load(open({answer!r}))
mask = cv2.imdecode(np.frombuffer(base64.b64decode(answer["silhouette_png"]), np.uint8), 0)
source = sys.stdin.buffer
for line in iter(source.readline, b""):
    head = json.loads(line)
    height, width = head["height"], head["width"]
    image = np.frombuffer(source.read(height * width * 3), np.uint8).reshape(height, width, 3)
    copies = {{0: 0, 255: 2}}.get(int(image.mean()), 1)
    rows = (np.array(answer["landmarks"]) * (width / 384, height / 512, 1)).tolist()
    shifted = (np.array(rows) + (width / 2, 0, 0)).tolist()
    silhouette = cv2.resize(mask, (width, height))
    people = [(rows, silhouette), (shifted, np.roll(silhouette, width // 2, 1))][:copies]
    told = {{"people": [p for p, _ in people], "height": height, "width": width}}
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\\n")
    sys.stdout.buffer.write(b"".join(s.tobytes() for _, s in people))
    sys.stdout.buffer.flush()
"""
"""Answers as MediaPipe did for photo.jpg; black pictures show nobody, white ones two people."""


@pytest.fixture(scope="session")
def fake_worker(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("worker") / "worker.py"
    path.write_text(FAKE_WORKER.format(answer=str(DATA / "mediapipe_answer.json")))
    return path


@pytest.fixture
def recorded(fake_worker, monkeypatch):
    """MediaPipe's recorded answer in place of MediaPipe."""
    monkeypatch.setattr(keypoints_module, "WORKER", fake_worker)
    monkeypatch.setenv("FITTINGROOM_MEDIAPIPE_PYTHON", sys.executable)
    with MediaPipe(sys.executable) as find:
        yield find


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    return read_image(DATA / "photo.jpg")


def run(*words):
    result = CliRunner().invoke(main, [str(w) for w in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def encoded(image, kind="PNG", **options) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        stream, kind, **options
    )
    return stream.getvalue()


def openpose_file(path: Path, *people: np.ndarray) -> Path:
    path.write_text(
        json.dumps({"people": [{"pose_keypoints_2d": p.ravel().tolist()} for p in people]})
    )
    return path


def body_25(points: np.ndarray) -> np.ndarray:
    """COCO-18 rows in BODY_25's places."""
    rows = np.zeros((25, 3))
    rows[:8], rows[9:19] = points[:8], points[8:]
    rows[8], rows[19:] = (points[8] + points[11]) / 2, 7
    return rows


@pytest.fixture
def joints() -> np.ndarray:
    rows = np.random.default_rng(3).uniform(20, 300, (18, 3))
    rows[:, 2] = 0.8
    return rows


@pytest.fixture
def description(tmp_path):
    """Writes a model that calls everything brighter than the middle class 2 of 3, everything else
    class 0."""

    def write(suffix: str, kind: str = "label_map", **changes) -> Path:
        path = tmp_path / f"model{suffix}"
        _onnx_model(path) if suffix == ".onnx" else _torch_model(path)
        content = {
            "model": path.name,
            "kind": kind,
            "height": 64,
            "width": 48,
            "classes": [0, 7, 4],
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
        } | changes
        (tmp_path / f"{kind}.json").write_text(
            json.dumps({k: v for k, v in content.items() if v is not None})
        )
        return tmp_path / f"{kind}.json"

    return write


_WEIGHT, _BIAS = np.zeros((3, 3, 1, 1), np.float32), np.array([0, -9, 0], np.float32)
_WEIGHT[2, 0] = 1  # class 2 where the first channel is above its mean


def _onnx_model(path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], kernel_shape=[1, 1])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 48])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 64, 48])],
        [numpy_helper.from_array(_WEIGHT, "w"), numpy_helper.from_array(_BIAS, "b")],
    )
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        str(path),
    )


def _torch_model(path: Path) -> None:
    network = torch.nn.Conv2d(3, 3, 1)
    network.weight.data, network.bias.data = torch.from_numpy(_WEIGHT), torch.from_numpy(_BIAS)
    require_sandbox()
    torch.jit.save(torch.jit.script(network.eval()), str(path))
