"""A parser, and DensePose where one has it, put up by one command."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from annotate_kit import run
from PIL import Image

from pipeline.annotate import known_models
from pipeline.annotate.known_models import KNOWN, describe_onnx, tried
from pipeline.annotate.models import read_description
from pipeline.base.errors import DataError

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest_plugins = ("annotate_kit",)  # its fixtures


def write_onnx(path: Path, outputs: tuple[int, ...], size=(64, 48)) -> Path:
    """A model with an output of so many classes each. What is not near white (the sample's ground)
    is class 4, everything else class 0."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes, weights = [], []
    for i, count in enumerate(outputs):
        weight, bias = np.zeros((count, 3, 1, 1), np.float32), np.full(count, -99, np.float32)
        weight[0], bias[0] = 1, 0  # the brighter, the less anybody
        chosen = min(4, count - 1)
        weight[chosen], bias[chosen] = -1, 9
        weights += [
            numpy_helper.from_array(weight, f"w{i}"),
            numpy_helper.from_array(bias, f"b{i}"),
        ]
        nodes.append(
            helper.make_node("Conv", ["x", f"w{i}", f"b{i}"], [f"y{i}"], kernel_shape=[1, 1])
        )
    shape = lambda count: [1, count, *size]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape(3))],
        [
            helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, shape(count))
            for i, count in enumerate(outputs)
        ],
        weights,
    )
    opset = [helper.make_opsetid("", 13)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A mirror with the known parser, small; the cache is empty."""
    place = tmp_path / "mirror"
    place.mkdir()
    file = write_onnx(place / KNOWN[0].file, (18, 18, 2), (512, 512))
    small = dataclasses.replace(
        KNOWN[0],
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        size=file.stat().st_size,
    )
    monkeypatch.setattr(known_models, "KNOWN", (small,))
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "cache"))
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    serve = functools.partial(Handler, directory=place)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked, file
        server.shutdown()


def test_known_models_are_pinned_and_say_their_licence():
    for model in KNOWN:
        assert len(model.sha256) == 64 and model.size > 1e6 and "MIT" in model.licence
        assert "/main/" not in model.url, "a revision, not a branch"
    told = run("setup-annotators", "--list")
    assert told.exit_code == 0 and "267 MB" in told.stdout and KNOWN[0].url in told.stdout


def test_parser_is_fetched_once_and_annotate_takes_it_from_then_on(
    published, tmp_path, photo, recorded
):
    address, asked, _ = published
    first = run("setup-annotators", "--mirror", address)
    assert first.exit_code == 0, first.output
    assert "licence SCHP, MIT" in first.stderr and "of a drawn person's body" in first.stderr
    assert first.stdout.strip() == str(tmp_path / "cache/annotators/parser.json")
    about = read_description(Path(first.stdout.strip()))
    assert (about.height, about.width, about.output, about.colours) == (512, 512, 1, "BGR")
    assert run("setup-annotators", "--mirror", address).exit_code == 0
    assert len(asked) == 1, "a file with the right checksum is kept"

    Image.fromarray(photo).save(tmp_path / "me.png")
    Image.fromarray(photo).save(tmp_path / "shirt.png")
    order = ["annotate", tmp_path / "me.png", "--garments", tmp_path / "shirt.png"]
    assert run(*order, tmp_path / "by-model").exit_code == 0
    assert run(*order, tmp_path / "guessed", "--guess").exit_code == 0
    for name, source in (("by-model", "model"), ("guessed", "geometry")):
        told = json.loads((tmp_path / name / "annotations.json").read_text())
        assert told["upper_body/900000"]["sources"]["label_map"] == source


def test_another_file_than_the_known_one_is_refused(published, tmp_path):
    address, _, file = published
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    result = run("setup-annotators", "--mirror", address)
    assert result.exit_code == 1 and "SHA-256" in result.stderr
    assert not (tmp_path / "cache/annotators/parser.json").exists()


def test_without_a_network_the_ways_around_are_named(published):
    result = run("setup-annotators", "--mirror", "http://127.0.0.1:9")
    assert result.exit_code == 1 and "--from" in result.stderr and "Traceback" not in result.output


def test_files_of_a_folder_are_told_by_what_they_give(published, tmp_path):
    _, _, known = published
    place = tmp_path / "mine"
    place.mkdir()
    write_onnx(place / "densepose.onnx", (15, 25))
    known.rename(place / "renamed.onnx")
    (place / "notes.txt").write_text("not a model")
    result = run("setup-annotators", "--from", place)
    assert result.exit_code == 0, result.output
    assert "schp-atr: " in result.stderr and "detectron2's way is written down" in result.stderr
    dense = json.loads((tmp_path / "cache/annotators/dense.json").read_text())
    assert dense["kind"] == "dense" and (dense["output"], dense["foreground"]) == (1, 0)
    assert dense["scale"] == 1 and dense["height"] == 64


def test_what_a_file_does_not_say_is_asked_for(published, tmp_path):
    file = write_onnx(tmp_path / "twenty.onnx", (20,))
    with pytest.raises(DataError, match="--parse-classes"):
        describe_onnx(file)
    assert describe_onnx(file, "cihp")["classes"] == "cihp"
    with pytest.raises(DataError, match="outputs of 7 classes"):
        describe_onnx(write_onnx(tmp_path / "seven.onnx", (7,)))
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match="cannot be opened"):
        describe_onnx(tmp_path / "broken.onnx")


def test_a_folder_keeps_going_past_what_it_cannot_use(published, tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    write_onnx(place / "a.onnx", (18,))
    write_onnx(place / "b.onnx", (18,))
    (place / "c.onnx").write_bytes(b"no model")
    result = run("setup-annotators", "--from", place)
    assert result.exit_code == 1
    assert "b.onnx" in result.stderr and "second model" in result.stderr
    assert "c.onnx" in result.stderr and (tmp_path / "cache/annotators/parser.json").is_file()


def test_a_model_that_fails_its_trial_is_taken_by_nobody(published, tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    write_onnx(place / "a.onnx", (18,))
    [found] = known_models.take_from(place, tmp_path / "elsewhere")
    (tmp_path / "elsewhere/a.onnx").write_bytes(b"other bytes since")
    with pytest.raises(DataError, match="cannot be opened"):
        tried(found)
    assert not found.description.exists()


def test_a_model_that_finds_nobody_is_said_to(published, tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    file = write_onnx(place / "blind.onnx", (18,))
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(file))
    for tensor in model.graph.initializer:
        if tensor.name == "b0":
            tensor.CopyFrom(numpy_helper.from_array(np.eye(18, dtype=np.float32)[0] * 99, "b0"))
    onnx.save(model, str(file))
    result = run("setup-annotators", "--from", place, "--folder", tmp_path / "elsewhere")
    assert result.exit_code == 0 and "that is little" in result.stderr
    assert f"--parser {tmp_path / 'elsewhere/parser.json'}" in result.stderr
    [found] = list(known_models.take_from(place, tmp_path / "elsewhere"))
    assert tried(found).body < 0.5 and tried(found).doubtful
