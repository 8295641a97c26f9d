"""Photos from elsewhere become a dataset: upright, whole, annotated, and honest about what was guessed."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tiny_dresscode import draw_person, write_person

from cli import main
from pipeline.agnostic import render_agnostic_mask
from pipeline.annotate import keypoints as keypoints_module
from pipeline.annotate.densepose import load_dump, parts_from_dump
from pipeline.annotate.folder import keypoint_file
from pipeline.annotate.imports import TABLES, read_openpose, read_parse, split_sides, translate
from pipeline.annotate.keypoints import LANDMARKS, MediaPipe, count_people, find_python, joints_from_landmarks
from pipeline.annotate.models import read_description
from pipeline.annotate.person import UnusablePhoto, annotate
from pipeline.annotate.photos import Frame, decode_photo, frame_garment, person_frame, whole_frame
from pipeline.dresscode import index_pairs
from pipeline.errors import DataError
from pipeline.labels import GARMENT_LABELS, Atr, Category, Joint, is_in
from pipeline.readers import read_dense, read_image, read_keypoints, read_label_map

DATA = Path(__file__).parent / "data"
ANSWER = json.loads((DATA / "mediapipe_answer.json").read_text())
SIZE_HW = (512, 384)
FAKE_WORKER = '''
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
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\\n" + b"".join(s.tobytes() for _, s in people))
    sys.stdout.buffer.flush()
'''
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


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return read_image(DATA / "photo.jpg")


def run(*words):
    result = CliRunner().invoke(main, [str(w) for w in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def encoded(image, kind="PNG", **options) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


# Photos


def test_photo_is_turned_as_its_orientation_tag_says():
    image = Image.fromarray(np.zeros((300, 400, 3), np.uint8))
    image.paste((255, 0, 0), (0, 0, 400, 100))
    tag = Image.Exif()
    tag[274] = 6  # the camera was turned: the top of the stored picture is the right of what was seen
    seen = decode_photo(encoded(image, "JPEG", exif=tag), "turned.jpg")
    assert seen.shape == (400, 300, 3)
    assert seen[200, 290, 0] > 200 and seen[200, 10, 0] < 50


def test_transparent_picture_comes_out_on_white():
    image = Image.new("RGBA", (300, 400), (10, 20, 30, 0))
    image.paste((200, 0, 0, 255), (100, 100, 200, 300))
    seen = decode_photo(encoded(image), "cut.png")
    assert (seen[0, 0] == 255).all() and seen[200, 150].tolist() == [200, 0, 0]


@pytest.mark.parametrize("data, words", [
    (b"GIF89a" + bytes(99), "not a readable JPEG or PNG"),
    (encoded(np.zeros((90, 400, 3), np.uint8)), "too small"),
    (encoded(np.zeros((200, 1000, 3), np.uint8)), "too long"),
    (encoded(np.zeros((400, 400, 3), np.uint8), "JPEG")[:-400], "truncated"),
    (encoded(np.zeros((400, 400), np.uint16)), "mode I"),
])
def test_unusable_picture_is_refused_with_the_reason(data, words):
    with pytest.raises(DataError, match=words):
        decode_photo(data, "x.jpg")


def test_picture_with_too_many_pixels_is_refused_from_its_header(monkeypatch):
    data = encoded(np.zeros((1000, 1000, 3), np.uint8))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(DataError, match="at most 0.5 million"):
        decode_photo(data, "x.png", most_pixels=500_000)


@pytest.mark.parametrize("size_hw", [(300, 900), (900, 300), (401, 299), (1024, 768)])
def test_whole_frame_keeps_every_pixel_of_a_photo(size_hw):
    frame = whole_frame(size_hw)
    assert frame.left <= 0 and frame.top <= 0
    assert frame.left + frame.width >= size_hw[1] and frame.top + frame.height >= size_hw[0]
    assert abs(frame.height * 3 - frame.width * 4) <= 4


@pytest.mark.parametrize("box", [(10, 5, 90, 395), (0, 0, 640, 400), (500, 100, 640, 400), (300, 150, 340, 260)])
def test_person_frame_never_cuts_the_person(box):
    frame = person_frame((400, 640), box)
    assert frame.left <= box[0] and frame.top <= box[1]
    assert frame.left + frame.width >= box[2] and frame.top + frame.height >= box[3]
    assert abs(frame.height * 3 - frame.width * 4) <= 4


def test_person_frame_stays_on_the_photo_where_there_is_room():
    frame = person_frame((1000, 2000), (1700, 200, 1900, 800))
    assert frame.left >= 0 and frame.top >= 0
    assert frame.left + frame.width <= 2000 and frame.top + frame.height <= 1000


def test_picture_map_and_points_are_cut_alike():
    labels = np.zeros((300, 500), np.uint8)
    labels[120:140, 300:330] = 7
    image = np.repeat((labels * 30)[..., None], 3, 2)
    points = np.full((18, 3), np.nan, np.float32)
    points[4] = 315, 130, 1
    points[5] = 2, 2, 1
    frame = Frame(200, 50, 240, 320)
    cut = frame.cut_map(labels, SIZE_HW)
    x, y, score = frame.move_points(points, SIZE_HW)[4]
    assert cut[int(y), int(x)] == 7 and frame.cut_image(image, SIZE_HW)[int(y), int(x), 0] == 210 and score == 1
    rows, columns = np.nonzero(cut)
    assert abs(columns.mean() - x) < 2 and abs(rows.mean() - y) < 2
    assert np.isnan(frame.move_points(points, SIZE_HW)[5, 0]), "outside of the frame"


def test_garment_on_plain_ground_fills_the_frame_and_keeps_its_colour():
    image = np.full((600, 800, 3), 250, np.uint8)
    image[200:300, 350:450] = (200, 30, 30)
    framed = frame_garment(image, SIZE_HW)
    thing = (framed[..., 1] < 100)
    assert thing.any(0).sum() > 0.8 * SIZE_HW[1]
    assert (framed[0, 0] == 250).all()


# Keypoints


def test_landmarks_become_the_joints_of_their_names():
    rows = np.zeros((33, 3))
    rows[:, 0], rows[:, 1], rows[:, 2] = np.arange(33) * 2, np.arange(33), 1
    points = joints_from_landmarks(rows, SIZE_HW)
    assert points[Joint.R_WRIST].tolist() == [32, 16, 1] and points[Joint.L_ANKLE].tolist() == [54, 27, 1]
    assert points[Joint.NECK].tolist() == [23, 11.5, 1]
    assert len(set(LANDMARKS.values())) == 17


def test_hidden_and_outside_landmarks_are_missing():
    rows = np.tile((50.0, 50.0, 0.9), (33, 1))
    rows[16, 2], rows[28, 1] = 0.1, 600
    points = joints_from_landmarks(rows, SIZE_HW)
    assert np.isnan(points[[Joint.R_WRIST, Joint.R_ANKLE], 0]).all()
    assert np.isfinite(points[Joint.L_WRIST]).all()


def test_recorded_mediapipe_agrees_with_the_dataset(recorded, photo):
    pose = recorded(photo)
    true = np.array(ANSWER["true_keypoints"])[:, :2] * (SIZE_HW[1] / 384)
    known = np.array(ANSWER["true_keypoints"])[:, 2] > 0
    far = np.hypot(*(pose.keypoints[:, :2] - true).T)[known & np.isfinite(pose.keypoints[:, 0])]
    assert pose.people == 1 and np.mean(far) < 0.03 * SIZE_HW[0]
    assert pose.silhouette.shape == SIZE_HW


@pytest.mark.skipif(find_python() is None, reason="no Python with MediaPipe: scripts/setup_photo.sh makes one")
def test_real_mediapipe_finds_one_two_and_nobody(photo):
    with MediaPipe() as find:
        true = np.array(ANSWER["true_keypoints"])
        far = np.hypot(*(find(photo).keypoints[:, :2] - true[:, :2]).T)[true[:, 2] > 0]
        assert np.nanmean(far) < 0.03 * SIZE_HW[0]
        assert find(np.concatenate([photo, photo], 1)).people == 2
        assert find(np.full((512, 384, 3), 200, np.uint8)).people == 0


def test_shadow_found_beside_a_person_is_no_second_person():
    rows = np.array(ANSWER["landmarks"])
    person = np.zeros(SIZE_HW, np.uint8)
    person[50:450, 100:250] = 255
    assert count_people([rows, rows * (0.2, 0.2, 1)], [person, np.roll(person, 150, 1)]) == 1, "too small"
    assert count_people([rows, rows * (1, 1, 0.5)], [person, np.roll(person, 150, 1)]) == 1, "unsure"
    assert count_people([rows, rows], [person, person]) == 1, "the same pixels"
    assert count_people([rows, rows], [person, np.roll(person, 150, 1)]) == 2


def test_worker_that_dies_is_told_as_such(photo):
    with pytest.raises(DataError, match="without an answer"):
        MediaPipe("/bin/true")(photo)


def test_worker_that_hangs_is_given_up(tmp_path, photo, monkeypatch):
    (tmp_path / "sleep.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(keypoints_module, "WORKER", tmp_path / "sleep.py")
    monkeypatch.setattr(keypoints_module, "LONGEST_WAIT", 0.5)
    with pytest.raises(DataError, match="without an answer"):
        MediaPipe(sys.executable)(photo)


def test_worker_is_started_again_after_it_died(recorded, photo):
    assert recorded(photo).people == 1
    recorded._process.kill()
    recorded._process.wait()
    assert recorded(photo).people == 1


# Imports


def openpose_file(path: Path, *people: np.ndarray) -> Path:
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": p.ravel().tolist()} for p in people]}))
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


@pytest.mark.parametrize("layout", [lambda p: p, body_25])
def test_openpose_layouts_give_the_same_joints(tmp_path, joints, layout):
    pose = read_openpose(openpose_file(tmp_path / "a.json", layout(joints)), SIZE_HW)
    np.testing.assert_allclose(pose.keypoints, joints, rtol=1e-5)


def test_openpose_takes_the_largest_of_several_and_counts_them(tmp_path, joints):
    small = joints * (0.3, 0.3, 1)
    pose = read_openpose(openpose_file(tmp_path / "a.json", small, joints), SIZE_HW)
    assert pose.people == 2
    np.testing.assert_allclose(pose.keypoints, joints, rtol=1e-5)


def test_openpose_missing_joint_and_relative_coordinates(tmp_path, joints):
    joints[4] = 0
    relative = joints / (SIZE_HW[1], SIZE_HW[0], 1)
    pose = read_openpose(openpose_file(tmp_path / "a.json", relative), SIZE_HW)
    assert np.isnan(pose.keypoints[4, :2]).all() and pose.keypoints[4, 2] == 0
    np.testing.assert_allclose(pose.keypoints[5], joints[5], rtol=1e-5)


@pytest.mark.parametrize("text, words", [
    ("{", "JSON"), ("[]", '"people"'), ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "1 joints"),
    (json.dumps({"people": [{"pose_keypoints_2d": [9999.0] * 54}]}), "outside"),
    ('{"people": [{"pose_keypoints_2d": [' + ", ".join(["NaN"] * 54) + "]}]}", "no numbers"),
])
def test_broken_openpose_file_is_refused(tmp_path, text, words):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_openpose(path, SIZE_HW)


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
        self.module.DensePoseChartResult = type("DensePoseChartResult", (), {"__module__": self.module.__name__})

    def rows(self, labels: np.ndarray) -> list[dict]:
        sys.modules.setdefault("densepose", types.ModuleType("densepose"))
        sys.modules.setdefault("densepose.structures", types.ModuleType("densepose.structures"))
        sys.modules[self.module.__name__] = self.module
        results = []
        for values in (np.zeros_like(labels), labels):
            result = self.module.DensePoseChartResult()
            result.labels, result.uv = torch.from_numpy(values), torch.zeros(2, *labels.shape)
            results.append(result)
        boxes = torch.tensor([[0.0, 0, 5, 5], [30.0, 40, 30 + labels.shape[1], 40 + labels.shape[0]]])
        return [{"file_name": "/data/a.jpg", "scores": torch.tensor([0.3, 0.9]), "pred_boxes_XYXY": boxes,
                 "pred_densepose": results}]

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
    code = "import sys, pipeline.annotate.job, pipeline.annotate.vitonhd, pipeline.annotate.models; " \
           "sys.exit(any(name.split('.')[0] in ('torch', 'model') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[1]).returncode == 0


# Guesses


@pytest.mark.parametrize("category", list(Category))
def test_guessed_maps_hide_most_of_the_garment_and_keep_head_and_feet(recorded, photo, category):
    person = annotate(photo, recorded(photo), category, size_hw=SIZE_HW)
    assert any("guessed" in note for note in person.notes) and person.sources["label_map"] == "geometry"
    mask = render_agnostic_mask(category, person.keypoints, person.dense, person.label_map)
    assert 0.05 < mask.mean() < 0.6
    assert is_in(person.label_map, GARMENT_LABELS[category])[mask].any()
    feet = is_in(person.label_map, (Atr.LEFT_SHOE, Atr.RIGHT_SHOE))
    assert feet.any() and not mask[feet].any()
    for joint, part in ((Joint.R_ELBOW, (16, 18, 20, 22)), (Joint.L_KNEE, (8, 10, 12, 14))):
        x, y = person.keypoints[joint, :2].astype(int)
        assert person.dense[y, x] in part


def test_parsers_map_is_used_as_it_is(recorded, photo):
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[60:480, 120:260] = Atr.UPPER_CLOTHES
    person = annotate(photo, recorded(photo), Category.UPPER_BODY, label_map=labels, size_hw=SIZE_HW)
    assert set(np.unique(person.label_map)) == {0, Atr.UPPER_CLOTHES}
    assert person.notes == () and person.sources["label_map"] == "import"
    assert (person.dense[person.label_map == 0] == 0).all()


def test_parsers_empty_map_is_noticed(recorded, photo):
    person = annotate(photo, recorded(photo), Category.UPPER_BODY, label_map=np.zeros(SIZE_HW, np.uint8))
    assert "the parser saw nobody" in person.notes[0] and person.label_map.any()


@pytest.mark.parametrize("change, kind", [
    (lambda p: p * 0, "no_person"), (lambda p: np.full_like(p, 255), "two_people"),
    (lambda p: cv2.resize(p, (100, 133)), "too_small"),
])
def test_unusable_photo_is_told_by_kind(recorded, photo, change, kind):
    image = change(photo)
    with pytest.raises(UnusablePhoto) as error:
        annotate(image, recorded(image), Category.UPPER_BODY)
    assert error.value.kind == kind and pickle.loads(pickle.dumps(error.value)).kind == kind


# Models


@pytest.fixture
def description(tmp_path):
    """Writes a model that calls everything brighter than the middle class 2 of 3, everything else class 0."""
    def write(suffix: str, kind: str = "label_map", **changes) -> Path:
        path = tmp_path / f"model{suffix}"
        _onnx_model(path) if suffix == ".onnx" else _torch_model(path)
        content = {"model": path.name, "kind": kind, "height": 64, "width": 48, "classes": [0, 7, 4],
                   "mean": [0.5] * 3, "std": [0.5] * 3} | changes
        (tmp_path / f"{kind}.json").write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
        return tmp_path / f"{kind}.json"
    return write


_WEIGHT, _BIAS = np.zeros((3, 3, 1, 1), np.float32), np.array([0, -9, 0], np.float32)
_WEIGHT[2, 0] = 1  # class 2 where the first channel is above its mean


def _onnx_model(path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], kernel_shape=[1, 1])
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 48])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 64, 48])],
        [numpy_helper.from_array(_WEIGHT, "w"), numpy_helper.from_array(_BIAS, "b")])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


def _torch_model(path: Path) -> None:
    network = torch.nn.Conv2d(3, 3, 1)
    network.weight.data, network.bias.data = torch.from_numpy(_WEIGHT), torch.from_numpy(_BIAS)
    torch.jit.save(torch.jit.script(network.eval()), str(path))


def half_red() -> np.ndarray:
    image = np.zeros((128, 96, 3), np.uint8)
    image[:, 48:, 0] = 255
    return image


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_model_finds_its_classes(description, suffix):
    from model.annotator import open_finder

    labels = open_finder(description(suffix), "label_map")(half_red())
    assert labels.shape == (128, 96)
    assert (labels[:, :46] == 0).all() and (labels[:, 50:] == 4).all()


def test_onnx_runs_without_its_runtime(description, monkeypatch):
    from model.annotator import open_finder
    from pipeline.annotate import models

    monkeypatch.setattr(models, "find_spec", lambda name: None)
    assert (open_finder(description(".onnx"), "label_map")(half_red())[:, 50:] == 4).all()


@pytest.mark.parametrize("changes, column", [({"colours": "BGR"}, 0), ({"resize": "pad", "width": 64}, 4),
                                             ({"foreground": 0}, 4)])
def test_description_decides_how_the_model_is_fed(description, changes, column):
    from model.annotator import open_finder

    path = description(".pt", **changes)
    labels = open_finder(path, "label_map")(half_red())
    assert (labels[:, 50:] == column).all() and (labels[:, :46] == 0).all()


@pytest.mark.parametrize("changes, words", [
    ({"height": None}, "incomplete"), ({"height": "64"}, "whole number"), ({"std": [0, 1, 1]}, "other than 0"),
    ({"colours": "GRB"}, "RGB or BGR"), ({"classes": [0, 99]}, "0 to 17"), ({"sise": 3}, "unknown entries sise"),
    ({"model": "nothing.onnx"}, "no such file"), ({"classes": "coco"}, "atr, lip"),
])
def test_wrong_description_is_refused(description, changes, words):
    with pytest.raises(DataError, match=words):
        read_description(description(".pt", **changes))


def test_model_that_is_none_is_refused(description, tmp_path):
    from model.annotator import open_finder

    path = description(".pt")
    (tmp_path / "model.pt").write_bytes(b"nothing")
    with pytest.raises(DataError, match="TorchScript"):
        open_finder(path, "label_map")
    with pytest.raises(DataError, match="kind label_map"):
        open_finder(path, "dense")


# The command


@pytest.fixture
def pictures(tmp_path, photo):
    """Two photos, one of them without anybody; one garment."""
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo).save(tmp_path / "photos/me.png")
    Image.fromarray(photo * 0).save(tmp_path / "photos/nobody.png")
    garment = np.full((400, 400, 3), 255, np.uint8)
    garment[50:350, 100:300] = (20, 90, 200)
    Image.fromarray(garment).save(tmp_path / "shirt.png")
    return tmp_path


def test_command_writes_a_dataset_that_preprocess_takes(pictures, recorded):
    result = run("annotate", pictures / "photos", pictures / "out", "--garments", pictures / "shirt.png", "--json")
    assert result.exit_code == 1 and "nobody was found" in result.stderr and "guessed" in result.stderr
    told = json.loads(result.stdout)
    assert list(told["people"].values()) == ["900000"] and list(told["garments"].values()) == ["900002"]
    [record] = index_pairs(pictures / "out", split="test_unpaired")
    assert read_image(record.image).shape == (1024, 768, 3) == read_image(record.garment).shape
    points = read_keypoints(record.keypoints, (1024, 768))
    assert np.isfinite(points[1:14, 0]).sum() >= 12
    assert read_label_map(record.label_map).any() and read_dense(record.dense).any()
    assert json.loads((pictures / "out/annotations.json").read_text())["upper_body/900000"]["sources"] == {
        "keypoints": "mediapipe", "label_map": "geometry", "dense": "geometry"}
    assert run("preprocess", pictures / "out", pictures / "shards", "--split", "test_unpaired", "--size", "128x96",
               "--jobs", 1).exit_code == 0
    assert run("check", pictures / "out").exit_code == 0


def test_command_takes_what_other_programs_found(pictures, joints):
    person = draw_person(Category.UPPER_BODY, 5)
    for folder in ("pose", "parse", "dense", "people"):
        (pictures / folder).mkdir()
    Image.fromarray(person["image"]).resize((384, 512)).save(pictures / "people/a.jpg", quality=95)
    points = np.array(person["keypoints"])[:, :3]
    openpose_file(pictures / "pose/a_keypoints.json", body_25(points))
    big = lambda labels: cv2.resize(labels, (384, 512), interpolation=cv2.INTER_NEAREST_EXACT)
    (pictures / "parse/a.png").write_bytes(encoded(big(person["label_map"])))
    (pictures / "dense/a.png").write_bytes(encoded(big(person["dense"])))
    result = run("annotate", pictures / "people", pictures / "out", "--garments", pictures / "shirt.png", "--openpose",
                 pictures / "pose", "--parses", pictures / "parse", "--dense", pictures / "dense", "--whole")
    assert result.exit_code == 0, result.output
    [record] = index_pairs(pictures / "out", split="test_unpaired")
    np.testing.assert_array_equal(read_label_map(record.label_map, (512, 384)), big(person["label_map"]))
    np.testing.assert_array_equal(read_dense(record.dense, (512, 384)), big(person["dense"]))
    np.testing.assert_allclose(read_keypoints(record.keypoints, (512, 384))[:14, :2], points[:14, :2], atol=0.6)


def test_command_runs_models_by_their_descriptions(pictures, recorded, description):
    parser, dense = description(".onnx"), description(".pt", "dense")
    result = run("annotate", pictures / "photos/me.png", pictures / "out", "--garments", pictures / "shirt.png",
                 "--parser", parser, "--dense-model", dense)
    assert result.exit_code == 0, result.output
    [record] = index_pairs(pictures / "out", split="test_unpaired")
    assert set(np.unique(read_label_map(record.label_map))) == {0, 4}
    assert set(np.unique(read_dense(record.dense))) == {0, 4}


def test_command_says_how_to_get_mediapipe(pictures, monkeypatch):
    monkeypatch.setattr(keypoints_module, "find_python", lambda: None)
    result = run("annotate", pictures / "photos", pictures / "out", "--garments", pictures / "shirt.png")
    assert result.exit_code == 1 and "setup_photo.sh" in result.output
    assert not (pictures / "out").exists()


def test_command_leaves_nothing_behind_when_nobody_is_usable(pictures, recorded):
    result = run("annotate", pictures / "photos/nobody.png", pictures / "out", "--garments", pictures / "shirt.png")
    assert result.exit_code == 1 and "no usable person" in result.output
    assert sorted(p.name for p in pictures.iterdir()) == ["photos", "shirt.png"]


def test_command_never_writes_into_a_folder_with_something_in_it(pictures, recorded):
    result = run("annotate", pictures / "photos", pictures, "--garments", pictures / "shirt.png")
    assert result.exit_code == 1 and "not empty" in result.output


# VITON-HD


@pytest.fixture
def vitonhd(tmp_path) -> Path:
    """Three people drawn by hand in VITON-HD's layout."""
    source, root = tmp_path / "dc", tmp_path / "viton"
    names = {"train": ["00001_00", "00002_00"], "test": ["00891_00", "01260_00"]}
    for part, people in names.items():
        for folder in ("image", "cloth", "image-parse-v3", "openpose_json"):
            (root / part / folder).mkdir(parents=True)
        for number, name in enumerate(people):
            write_person(source, Category.UPPER_BODY, f"{number:06}", seed=number)
            base = source / "upper_body"
            (root / part / f"image/{name}.jpg").write_bytes((base / f"images/{number:06}_0.jpg").read_bytes())
            (root / part / f"cloth/{name}.jpg").write_bytes((base / f"images/{number:06}_1.jpg").read_bytes())
            labels = read_label_map(base / f"label_maps/{number:06}_4.png")
            back = np.zeros(18, np.uint8)
            back[[4, 11, 12, 13, 14, 15]] = 5, 13, 16, 17, 14, 15
            (root / part / f"image-parse-v3/{name}.png").write_bytes(encoded(back[labels]))
            points = read_keypoints(base / f"keypoints/{number:06}_2.json", (256, 192))
            openpose_file(root / part / f"openpose_json/{name}_keypoints.json", body_25(np.nan_to_num(points)))
    (root / "train_pairs.txt").write_text("00001_00.jpg 00001_00.jpg\n00002_00.jpg 00001_00.jpg\n")
    (root / "test_pairs.txt").write_text("00891_00.jpg 01260_00.jpg\n01260_00.jpg 00891_00.jpg\n")
    return root


def test_vitonhd_becomes_upper_body(vitonhd, tmp_path):
    result = run("annotate", vitonhd, tmp_path / "out")
    assert result.exit_code == 0, result.output
    pairs = {split: [(r.person_id, r.garment_id) for r in index_pairs(tmp_path / "out", split=split)]
             for split in ("train", "test_paired", "test_unpaired")}
    assert pairs["train"] == [("000001", "000001"), ("000002", "000002")]
    assert pairs["test_paired"] == [("000891", "000891"), ("001260", "001260")]
    assert pairs["test_unpaired"] == [("000891", "001260"), ("001260", "000891")]
    record = index_pairs(tmp_path / "out", split="test_unpaired")[0]
    assert record.image.read_bytes() == (vitonhd / "test/image/00891_00.jpg").read_bytes()
    np.testing.assert_array_equal(read_label_map(record.label_map),
                                  read_label_map(tmp_path / "dc/upper_body/label_maps/000000_4.png"))
    mine, true = (read_keypoints(p, (256, 192)) for p in (
        record.keypoints, tmp_path / "dc/upper_body/keypoints/000000_2.json"))
    np.testing.assert_allclose(mine[:14], true[:14], atol=0.02)
    assert run("check", tmp_path / "out").exit_code == 0


def test_vitonhd_counts_broken_people_against_max_skips(vitonhd, tmp_path):
    (vitonhd / "test/openpose_json/00891_00_keypoints.json").unlink()
    result = run("annotate", vitonhd, tmp_path / "out")
    assert result.exit_code == 1 and "00891_00_keypoints.json" in result.output and not (tmp_path / "out").exists()
    result = run("annotate", vitonhd, tmp_path / "out", "--max-skips", 1)
    assert result.exit_code == 0 and "1 left out" in result.output
    assert [r.person_id for r in index_pairs(tmp_path / "out", split="test_paired")] == ["001260"]


def test_vitonhd_names_cannot_leave_the_folder(vitonhd, tmp_path):
    (vitonhd / "test_pairs.txt").write_text("../../etc/passwd.jpg 00891_00.jpg\n")
    result = run("annotate", vitonhd, tmp_path / "out")
    assert result.exit_code == 1 and "test_pairs.txt:1" in result.output


def test_missing_joint_is_stored_as_the_dataset_does():
    points = np.full((18, 3), (np.nan, np.nan, 0), np.float32)
    points[2] = 384, 512, 0.9
    rows = json.loads(keypoint_file(points, (1024, 768)))["keypoints"]
    assert rows[0] == [-1, -1, 0, -1] and rows[2][:2] == [192, 256]


def test_silhouette_of_the_record_is_a_person():
    mask = cv2.imdecode(np.frombuffer(base64.b64decode(ANSWER["silhouette_png"]), np.uint8), 0)
    assert 0.05 < (mask > 127).mean() < 0.6
