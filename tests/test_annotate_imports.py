"""What other programs and models found in a photo is taken as it is, safely."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from annotate_kit import DATA, SIZE_HW, body_25, encoded, openpose_file

from pipeline.annotate.densepose import load_dump, parts_from_dump
from pipeline.annotate.models import read_description
from pipeline.annotate.parses import read_parse
from pipeline.annotate.poses import read_pose
from pipeline.base.errors import DataError
from pipeline.base.labels import Atr
from pipeline.dataset.label_sets import TABLES, split_sides, translate

pytest_plugins = ("annotate_kit",)  # its fixtures

# Imports


@pytest.mark.parametrize("layout", [lambda p: p, body_25])
def test_openpose_layouts_give_the_same_joints(tmp_path, joints, layout):
    pose = read_pose(openpose_file(tmp_path / "a.json", layout(joints)), SIZE_HW)
    np.testing.assert_allclose(pose.keypoints, joints, rtol=1e-5)


def test_openpose_takes_the_largest_of_several_and_counts_them(tmp_path, joints):
    small = joints * (0.3, 0.3, 1)
    pose = read_pose(openpose_file(tmp_path / "a.json", small, joints), SIZE_HW)
    assert pose.people == 2
    np.testing.assert_allclose(pose.keypoints, joints, rtol=1e-5)


def test_openpose_missing_joint_and_relative_coordinates(tmp_path, joints):
    joints[4] = 0
    relative = joints / (SIZE_HW[1], SIZE_HW[0], 1)
    pose = read_pose(openpose_file(tmp_path / "a.json", relative), SIZE_HW)
    assert np.isnan(pose.keypoints[4, :2]).all() and pose.keypoints[4, 2] == 0
    np.testing.assert_allclose(pose.keypoints[5], joints[5], rtol=1e-5)


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "JSON"),
        ("{}", '"people"'),
        ("[]", "a list"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "1 joints"),
        (json.dumps({"people": [{"pose_keypoints_2d": [9999.0] * 54}]}), "outside"),
        ('{"people": [{"pose_keypoints_2d": [' + ", ".join(["NaN"] * 54) + "]}]}", "no numbers"),
    ],
)
def test_broken_openpose_file_is_refused(tmp_path, text, words):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_pose(path, SIZE_HW)


def test_lip_classes_become_the_datasets():
    table = np.array(TABLES["lip"])
    assert [int(table[i]) for i in (5, 7, 9, 10, 12, 13)] == [4, 4, 6, 7, 5, 11]
    labels = np.zeros((40, 60), np.uint8)
    labels[10:20, 5:10], labels[10:20, 50:55] = 17, 16  # right leg on the picture's left
    labels[20:30, 5:10], labels[20:30, 50:55] = 8, 8
    mapped = translate(labels, TABLES["lip"])
    assert mapped[25, 7] == Atr.RIGHT_LEG and mapped[25, 52] == Atr.LEFT_LEG
    assert mapped.max() < 18
    assert TABLES["cihp"][10] == Atr.HEAD and TABLES["lip"][10] == Atr.DRESS


def test_glove_without_arms_goes_by_the_half_of_the_picture():
    labels = np.zeros((20, 30), np.uint8)
    labels[5:8, 2:5] = 100
    split_sides(labels, 100, (Atr.LEFT_ARM, Atr.RIGHT_ARM))
    assert set(np.unique(labels)) == {0, Atr.RIGHT_ARM}


def test_parse_of_another_size_is_refused(tmp_path):
    path = tmp_path / "p.png"
    path.write_bytes(encoded(np.zeros((10, 10), np.uint8)))
    with pytest.raises(DataError, match="this very photo"):
        read_parse(path, (20, 20))


class _Fake:
    """Builds a dump with classes of the names that DensePose's results have."""

    def __init__(self):
        self.module = types.ModuleType("densepose.structures.chart_result")
        self.module.DensePoseChartResult = type(
            "DensePoseChartResult", (), {"__module__": self.module.__name__}
        )

    def rows(self, labels: np.ndarray) -> list[dict]:
        sys.modules.setdefault("densepose", types.ModuleType("densepose"))
        sys.modules.setdefault("densepose.structures", types.ModuleType("densepose.structures"))
        sys.modules[self.module.__name__] = self.module
        results = []
        for values in (np.zeros_like(labels), labels):
            result = self.module.DensePoseChartResult()
            result.labels, result.uv = torch.from_numpy(values), torch.zeros(2, *labels.shape)
            results.append(result)
        boxes = torch.tensor(
            [[0.0, 0, 5, 5], [30.0, 40, 30 + labels.shape[1], 40 + labels.shape[0]]]
        )
        return [
            {
                "file_name": "/data/a.jpg",
                "scores": torch.tensor([0.3, 0.9]),
                "pred_boxes_XYXY": boxes,
                "pred_densepose": results,
            }
        ]

    def close(self):
        for name in ("densepose", "densepose.structures", self.module.__name__):
            sys.modules.pop(name, None)


@pytest.fixture
def dump_rows():
    fake = _Fake()
    labels = np.random.default_rng(0).integers(0, 25, (50, 20)).astype(np.uint8)
    yield labels, fake.rows(labels)
    fake.close()


def _plain(rows, path):
    path.write_bytes(pickle.dumps(rows))


def _old(rows, path):
    torch.save(rows, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, _old, _plain])
def test_every_kind_of_densepose_dump_is_read_without_torch(tmp_path, dump_rows, save):
    labels, rows = dump_rows
    save(rows, tmp_path / "dump.pkl")
    read = load_dump(tmp_path / "dump.pkl")
    parts = parts_from_dump(read, Path("photos/a.png"), (200, 100))
    np.testing.assert_array_equal(parts[40:90, 30:50], labels)
    assert parts.sum() == labels.sum()
    cut = parts_from_dump(read, Path("a.jpg"), (60, 40))
    np.testing.assert_array_equal(cut[40:, 30:], labels[:20, :10])
    with pytest.raises(DataError, match="no entry for b.jpg"):
        parts_from_dump(read, Path("b.jpg"), (200, 100))


def test_dump_of_numpy_arrays_is_read(tmp_path):
    path = tmp_path / "dump.pkl"
    path.write_bytes(pickle.dumps([{"file_name": "a.jpg", "x": np.arange(6.0).reshape(2, 3)}]))
    np.testing.assert_array_equal(load_dump(path)[0]["x"].value, np.arange(6.0).reshape(2, 3))


class _Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/fittingroom-was-here",)


class _Sneaky:
    def __reduce__(self):
        return getattr, ("text", "upper")


@pytest.mark.parametrize("thing", [_Evil(), _Sneaky(), np.array([_Evil()], object)])
@pytest.mark.parametrize("save", [torch.save, _old, _plain])
def test_dump_that_wants_to_run_code_is_refused(tmp_path, thing, save):
    marker = Path("/tmp/fittingroom-was-here")
    marker.unlink(missing_ok=True)
    save([{"file_name": "a.jpg", "x": thing}], tmp_path / "dump.pkl")
    with pytest.raises(DataError, match="not a dump that is safe to read"):
        load_dump(tmp_path / "dump.pkl")
    assert not marker.exists()


def test_damaged_dumps_are_refused(tmp_path, dump_rows):
    _old(dump_rows[1], tmp_path / "dump.pkl")
    whole = (tmp_path / "dump.pkl").read_bytes()
    for size in (0, 10, len(whole) // 3, len(whole) // 2):
        (tmp_path / "cut.pkl").write_bytes(whole[:size])
        with pytest.raises(DataError):
            load_dump(tmp_path / "cut.pkl")


@pytest.mark.parametrize("save", [torch.save, _old, _plain])
def test_spoilt_dumps_end_in_a_clear_error_or_an_array(tmp_path, dump_rows, save):
    path, rng = tmp_path / "dump.pkl", np.random.default_rng(1)
    save(dump_rows[1], path)
    whole, refused = np.frombuffer(path.read_bytes(), np.uint8), 0
    for _ in range(60):
        spoilt = whole.copy()
        spoilt[rng.integers(0, len(whole), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(spoilt.tobytes())
        try:
            assert parts_from_dump(load_dump(path), Path("a.jpg"), (200, 100)).shape == (200, 100)
        except DataError:
            refused += 1
    assert refused > 0


def test_annotating_needs_no_torch():
    code = (
        "import sys, pipeline.annotate.job, pipeline.annotate.vitonhd, pipeline.annotate.models; "
        "sys.exit(any(name.split('.')[0] in ('torch', 'model') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[1]).returncode == 0


# Models


def half_red() -> np.ndarray:
    image = np.zeros((128, 96, 3), np.uint8)
    image[:, 48:, 0] = 255
    return image


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_model_finds_its_classes(description, suffix):
    from model.tryon.annotator import open_finder

    labels = open_finder(description(suffix), "label_map")(half_red())
    assert labels.shape == (128, 96)
    assert (labels[:, :46] == 0).all() and (labels[:, 50:] == 4).all()


def test_onnx_runs_without_its_runtime(description, monkeypatch):
    from model.tryon.annotator import open_finder
    from pipeline.annotate import models

    monkeypatch.setattr(models, "find_spec", lambda name: None)
    assert (open_finder(description(".onnx"), "label_map")(half_red())[:, 50:] == 4).all()


@pytest.mark.parametrize(
    "changes, column",
    [({"colours": "BGR"}, 0), ({"resize": "pad", "width": 64}, 4), ({"foreground": 0}, 4)],
)
def test_description_decides_how_the_model_is_fed(description, changes, column):
    from model.tryon.annotator import open_finder

    path = description(".pt", **changes)
    labels = open_finder(path, "label_map")(half_red())
    assert (labels[:, 50:] == column).all() and (labels[:, :46] == 0).all()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"height": None}, "incomplete"),
        ({"height": "64"}, "whole number"),
        ({"std": [0, 1, 1]}, "other than 0"),
        ({"colours": "GRB"}, "RGB or BGR"),
        ({"classes": [0, 99]}, "0 to 17"),
        ({"sise": 3}, "unknown entries sise"),
        ({"model": "nothing.onnx"}, "no such file"),
        ({"classes": "coco"}, "atr, lip"),
    ],
)
def test_wrong_description_is_refused(description, changes, words):
    with pytest.raises(DataError, match=words):
        read_description(description(".pt", **changes))


def test_model_that_is_none_is_refused(description, tmp_path):
    from model.tryon.annotator import open_finder

    path = description(".pt")
    (tmp_path / "model.pt").write_bytes(b"nothing")
    with pytest.raises(DataError, match="TorchScript"):
        open_finder(path, "label_map")
    with pytest.raises(DataError, match="kind label_map"):
        open_finder(path, "dense")
