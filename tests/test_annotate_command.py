"""The command turns photos, and VITON-HD, into a dataset that all others take."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from annotate_kit import ANSWER, body_25, encoded, openpose_file, run
from PIL import Image
from tiny_dresscode import draw_person, write_person

from pipeline.annotate import keypoints as keypoints_module
from pipeline.base.labels import Category
from pipeline.dataset.encode import encode_keypoints
from pipeline.dataset.index import index_pairs
from pipeline.dataset.readers import read_dense, read_image, read_keypoints, read_label_map

pytest_plugins = ("annotate_kit",)  # its fixtures

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
    result = run(
        "annotate",
        pictures / "photos",
        pictures / "out",
        "--garments",
        pictures / "shirt.png",
        "--json",
    )
    assert (
        result.exit_code == 1 and "nobody was found" in result.stderr and "guessed" in result.stderr
    )
    told = json.loads(result.stdout)
    assert list(told["people"].values()) == ["900000"] and list(told["garments"].values()) == [
        "900002"
    ]
    [record] = index_pairs(pictures / "out", split="test_unpaired")
    assert read_image(record.image).shape == (1024, 768, 3) == read_image(record.garment).shape
    points = read_keypoints(record.keypoints, (1024, 768))
    assert np.isfinite(points[1:14, 0]).sum() >= 12
    assert read_label_map(record.label_map).any() and read_dense(record.dense).any()
    assert json.loads((pictures / "out/annotations.json").read_text())["upper_body/900000"][
        "sources"
    ] == {"keypoints": "mediapipe", "label_map": "geometry", "dense": "geometry"}
    assert (
        run(
            "preprocess",
            pictures / "out",
            pictures / "shards",
            "--split",
            "test_unpaired",
            "--size",
            "128x96",
            "--jobs",
            1,
        ).exit_code
        == 0
    )
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
    result = run(
        "annotate",
        pictures / "people",
        pictures / "out",
        "--garments",
        pictures / "shirt.png",
        "--openpose",
        pictures / "pose",
        "--parses",
        pictures / "parse",
        "--dense",
        pictures / "dense",
        "--whole",
    )
    assert result.exit_code == 0, result.output
    [record] = index_pairs(pictures / "out", split="test_unpaired")
    np.testing.assert_array_equal(
        read_label_map(record.label_map, (512, 384)), big(person["label_map"])
    )
    np.testing.assert_array_equal(read_dense(record.dense, (512, 384)), big(person["dense"]))
    np.testing.assert_allclose(
        read_keypoints(record.keypoints, (512, 384))[:14, :2], points[:14, :2], atol=0.6
    )


def test_command_runs_models_by_their_descriptions(pictures, recorded, description):
    parser, dense = description(".onnx"), description(".pt", "dense")
    result = run(
        "annotate",
        pictures / "photos/me.png",
        pictures / "out",
        "--garments",
        pictures / "shirt.png",
        "--parser",
        parser,
        "--dense-model",
        dense,
    )
    assert result.exit_code == 0, result.output
    [record] = index_pairs(pictures / "out", split="test_unpaired")
    assert set(np.unique(read_label_map(record.label_map))) == {0, 4}
    assert set(np.unique(read_dense(record.dense))) == {0, 4}


def test_command_says_how_to_get_mediapipe(pictures, monkeypatch):
    monkeypatch.setattr(keypoints_module, "find_python", lambda: None)
    result = run(
        "annotate", pictures / "photos", pictures / "out", "--garments", pictures / "shirt.png"
    )
    assert result.exit_code == 1 and "setup_photo.sh" in result.output
    assert not (pictures / "out").exists()


def test_command_leaves_nothing_behind_when_nobody_is_usable(pictures, recorded):
    result = run(
        "annotate",
        pictures / "photos/nobody.png",
        pictures / "out",
        "--garments",
        pictures / "shirt.png",
    )
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
            (root / part / f"image/{name}.jpg").write_bytes(
                (base / f"images/{number:06}_0.jpg").read_bytes()
            )
            (root / part / f"cloth/{name}.jpg").write_bytes(
                (base / f"images/{number:06}_1.jpg").read_bytes()
            )
            labels = read_label_map(base / f"label_maps/{number:06}_4.png")
            back = np.zeros(18, np.uint8)
            back[[4, 11, 12, 13, 14, 15]] = 5, 13, 16, 17, 14, 15
            (root / part / f"image-parse-v3/{name}.png").write_bytes(encoded(back[labels]))
            points = read_keypoints(base / f"keypoints/{number:06}_2.json", (256, 192))
            openpose_file(
                root / part / f"openpose_json/{name}_keypoints.json", body_25(np.nan_to_num(points))
            )
    (root / "train_pairs.txt").write_text("00001_00.jpg 00001_00.jpg\n00002_00.jpg 00001_00.jpg\n")
    (root / "test_pairs.txt").write_text("00891_00.jpg 01260_00.jpg\n01260_00.jpg 00891_00.jpg\n")
    return root


def test_vitonhd_becomes_upper_body(vitonhd, tmp_path):
    result = run("annotate", vitonhd, tmp_path / "out")
    assert result.exit_code == 0, result.output
    pairs = {
        split: [(r.person_id, r.garment_id) for r in index_pairs(tmp_path / "out", split=split)]
        for split in ("train", "test_paired", "test_unpaired")
    }
    assert pairs["train"] == [("000001", "000001"), ("000002", "000002")]
    assert pairs["test_paired"] == [("000891", "000891"), ("001260", "001260")]
    assert pairs["test_unpaired"] == [("000891", "001260"), ("001260", "000891")]
    record = index_pairs(tmp_path / "out", split="test_unpaired")[0]
    assert record.image.read_bytes() == (vitonhd / "test/image/00891_00.jpg").read_bytes()
    np.testing.assert_array_equal(
        read_label_map(record.label_map),
        read_label_map(tmp_path / "dc/upper_body/label_maps/000000_4.png"),
    )
    mine, true = (
        read_keypoints(p, (256, 192))
        for p in (record.keypoints, tmp_path / "dc/upper_body/keypoints/000000_2.json")
    )
    np.testing.assert_allclose(mine[:14], true[:14], atol=0.02)
    assert run("check", tmp_path / "out").exit_code == 0


def test_vitonhd_counts_broken_people_against_max_skips(vitonhd, tmp_path):
    (vitonhd / "test/openpose_json/00891_00_keypoints.json").unlink()
    result = run("annotate", vitonhd, tmp_path / "out")
    assert (
        result.exit_code == 1
        and "00891_00_keypoints.json" in result.output
        and not (tmp_path / "out").exists()
    )
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
    rows = json.loads(encode_keypoints(points, (1024, 768)))["keypoints"]
    assert rows[0] == [-1, -1, 0, -1] and rows[2][:2] == [192, 256]


def test_silhouette_of_the_record_is_a_person():
    mask = cv2.imdecode(np.frombuffer(base64.b64decode(ANSWER["silhouette_png"]), np.uint8), 0)
    assert 0.05 < (mask > 127).mean() < 0.6
