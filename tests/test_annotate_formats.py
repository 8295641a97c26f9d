"""Files that other tools leave behind are read for what they are, or refused with the reason."""

from __future__ import annotations

import io
import json
import shutil

import cv2
import numpy as np
import pytest
from annotate_kit import openpose_file
from PIL import Image

from pipeline import open_people
from pipeline.annotate.dense_pictures import (
    find_dense_picture,
    most_frequent,
    parula,
    read_dense_picture,
    read_drawing,
)
from pipeline.annotate.densepose import parts_from_dump
from pipeline.annotate.parses import read_parse
from pipeline.annotate.photos import decode_photo
from pipeline.annotate.poses import read_pose
from pipeline.annotate.vitonhd import convert
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.dataset.frames import Silhouette, frame_that_fits
from pipeline.dataset.label_sets import likely_set

SIZE_HW = (400, 300)


@pytest.fixture
def joints():
    rows = np.random.default_rng(5).uniform(20, 280, (18, 3))
    rows[:, 2] = 0.9
    return rows


@pytest.fixture(scope="module")
def person(sample_dataset):
    """One upper body of the sample with everything, at 512 x 384."""
    people = open_people(sample_dataset, [Category.UPPER_BODY], size_hw=(512, 384))
    found = (people.load(i, pictures=True) for i in range(len(people.names)))
    return next(p for p in found if np.isfinite(p.keypoints[2:14, 0]).all())


def written(path, content):
    path.write_text(json.dumps(content))
    return path


def flat(rows):
    return [float(v) for v in np.ravel(rows)]


# Poses


def old_key(joints):
    return {"version": 1.0, "people": [{"pose_keypoints": flat(joints)}]}


def candidate_subset(joints):
    order = np.random.default_rng(1).permutation(18)
    candidate = [[*map(float, joints[j]), int(i)] for i, j in enumerate(order)]
    places = [int(np.flatnonzero(order == j)[0]) for j in range(18)]
    return {"candidate": candidate, "subset": [[*places, 16.2, 18]]}


def dwpose(joints):
    shares = joints[:, :2] / (SIZE_HW[1], SIZE_HW[0])
    return {"bodies": {"candidate": shares.tolist(), "subset": [list(range(18))]}, "hands": []}


def dwpose_list(joints):
    doubled = joints * (2, 2, 1)
    people = [{"pose_keypoints_2d": flat(doubled)}]
    return [{"people": people, "canvas_height": 2 * SIZE_HW[0], "canvas_width": 2 * SIZE_HW[1]}]


def ootd(joints):
    pairs = joints[:, :2] * (384 / SIZE_HW[1], 512 / SIZE_HW[0])
    return {"pose_keypoints_2d": pairs.tolist()}


def dresscode(joints):
    rows = joints * (384 / SIZE_HW[1], 512 / SIZE_HW[0], 1)
    return {"keypoints": [[*map(float, row), i] for i, row in enumerate(rows)]}


@pytest.mark.parametrize("form", [old_key, candidate_subset, dwpose, dwpose_list, ootd, dresscode])
def test_every_pose_file_in_circulation_gives_the_same_joints(tmp_path, joints, form):
    pose = read_pose(written(tmp_path / "a.json", form(joints)), SIZE_HW)
    np.testing.assert_allclose(pose.keypoints[:, :2], joints[:, :2], atol=0.02)
    assert pose.people == 1 and (pose.keypoints[:, 2] > 0).all()


@pytest.mark.parametrize(
    "content, missing",
    [
        ({"pose_keypoints_2d": [[9.0, 9.0]] * 4 + [[0, 0]] + [[9.0, 9.0]] * 13}, 4),
        ({"keypoints": [[9, 9, 1, 0]] * 7 + [[-1, -1, 0, -1]] + [[9, 9, 1, 0]] * 10}, 7),
        (
            {"candidate": [[9.0, 9.0, 1, 0]], "subset": [[0] * 11 + [-1] + [0] * 6 + [9, 17]]},
            11,
        ),
    ],
)
def test_missing_joints_are_missing_in_every_form(tmp_path, content, missing):
    pose = read_pose(written(tmp_path / "a.json", content), SIZE_HW)
    lost = np.isnan(pose.keypoints[:, 0])
    assert lost[missing] and lost.sum() == 1


@pytest.mark.parametrize("parts", [(1, 2, 5, 6), (1, 2, 3, 4)])
def test_a_part_seen_twice_is_no_second_person(tmp_path, joints, parts):
    ghost = np.zeros((18, 3))
    ghost[list(parts)] = joints[list(parts)] + (4, 4, -0.7)
    pose = read_pose(openpose_file(tmp_path / "a.json", joints, ghost), SIZE_HW)
    assert pose.people == 1
    np.testing.assert_allclose(pose.keypoints, joints, rtol=1e-5)


def test_two_whole_people_are_two(tmp_path, joints):
    other = joints * (0.5, 0.5, 1)
    assert read_pose(openpose_file(tmp_path / "a.json", joints, other), SIZE_HW).people == 2


@pytest.mark.parametrize(
    "content, words",
    [
        ({"candidate": [[1, 2, 1, 0]], "subset": [[5] * 18]}, "joint 5"),
        ({"candidate": "x", "subset": []}, "no list"),
        ({"keypoints": [[1, 2, 3]] * 17}, "17 joints"),
        ({"keypoints": [{}] * 18}, "without a score"),
        ({"bodies": {"candidate": [[1]], "subset": [[0] * 18]}}, "too short"),
        ({"pose_keypoints_2d": [["a", "b"]] * 18}, "no numbers"),
        ({"something": []}, "people"),
        ([1, 2], "a list"),
    ],
)
def test_a_strange_pose_file_is_refused_in_a_line(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        read_pose(written(tmp_path / "a.json", content), SIZE_HW)


# Frames


@pytest.mark.parametrize("scale, frame", [(0.5, (256, 192)), (2.0, (1024, 768)), (1 / 384, (1, 1))])
def test_joints_of_another_frame_are_told_with_the_size_that_fits(person, scale, frame):
    region = Silhouette(person.label_map > 0)
    points = person.keypoints[1:14, :2]
    assert frame_that_fits(points, (512, 384), region) is None
    shrunk = points / (384, 512) if frame == (1, 1) else points * scale
    assert frame_that_fits(shrunk, (512, 384), region) == frame


# Label maps


def in_lip(label_map, keep_shoes=True):
    """The same map in LIP's numbers, as SCHP writes them."""
    table = np.zeros(18, np.uint8)
    lip = {2: 2, 4: 5, 5: 12, 6: 9, 7: 6, 11: 13, 12: 16, 13: 17, 14: 14, 15: 15}
    lip |= {9: 18, 10: 19} if keep_shoes else {}
    for atr, number in lip.items():
        table[atr] = number
    return table[label_map]


def stored(path, labels):
    Image.fromarray(labels).save(path)
    return path


def test_lip_numbers_given_as_atr_are_told_by_name(tmp_path, person):
    path = stored(tmp_path / "a.png", in_lip(person.label_map))
    with pytest.raises(DataError, match="LIP and CIHP: pass --parse-classes"):
        read_parse(path, (512, 384), "atr", person.keypoints)
    path = stored(tmp_path / "b.png", in_lip(person.label_map, keep_shoes=False))
    with pytest.raises(DataError, match="--parse-classes lip"):
        read_parse(path, (512, 384), "atr", person.keypoints)
    assert (read_parse(path, (512, 384), "lip", person.keypoints) > 0).any()


def test_right_maps_of_everybody_are_taken_for_what_they_are(sample_dataset):
    for category in Category:
        people = open_people(sample_dataset, [category], size_hw=(512, 384))
        for i in range(len(people.names)):
            mine = people.load(i)
            if mine.label_map is not None:
                assert likely_set(mine.label_map, mine.keypoints) == "atr"
                assert likely_set(in_lip(mine.label_map), mine.keypoints, "lip") == "lip"


# DensePose pictures


def test_iuv_and_index_pictures_give_the_parts(tmp_path, person):
    parts = person.dense_i
    surface = np.where(parts[..., None] > 0, 90, 0).astype(np.uint8)
    iuv = np.dstack([surface, surface, parts])  # OpenCV's first channel is the file's last
    for name, pixels in (
        ("a_IUV.png", iuv),
        ("b.png", parts),
        ("c.png", np.dstack([parts] * 3)),
    ):
        path = stored(tmp_path / name, pixels)
        assert (read_dense_picture(path, (512, 384)) == parts).all()


@pytest.mark.parametrize("over_grey", [False, True])
def test_drawings_are_decoded_through_jpeg(tmp_path, person, over_grey):
    parts = person.dense_i
    drawing = parula()[parts]
    if over_grey:
        grey = cv2.cvtColor(person.photo, cv2.COLOR_RGB2GRAY)[..., None]
        mixed = 0.7 * drawing + 0.3 * grey
        drawing = np.where(parts[..., None] > 0, mixed, grey).astype(np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(drawing).save(path, quality=90)
    found = read_dense_picture(path, (512, 384))
    body = parts > 0
    assert (found[body] == parts[body]).mean() > 0.9
    assert ((found > 0) & body).sum() / ((found > 0) | body).sum() > 0.9


def test_numbers_of_people_are_not_taken_for_parts(tmp_path, person):
    path = stored(tmp_path / "a.png", (person.dense_i > 0).astype(np.uint8))
    with pytest.raises(DataError, match="INDS"):
        read_dense_picture(path, (512, 384))


def test_a_photo_is_no_drawing(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3)).astype(np.uint8)
    with pytest.raises(DataError, match="no DensePose drawing"):
        read_dense_picture(stored(tmp_path / "a.png", noise), SIZE_HW)


def test_a_single_stray_pixel_is_cleaned_away():
    parts = np.full((20, 20), 2, np.uint8)
    parts[10, 10] = 17
    assert (most_frequent(parts, 5) == 2).all()
    assert not read_drawing(np.zeros((20, 20, 3), np.uint8)).any()


def test_dense_pictures_are_found_by_the_names_that_tools_give_them(tmp_path):
    for name in ("me_IUV.png", "you_densepose.jpg", "her_5.png"):
        (tmp_path / name).write_bytes(b"x")
        stem = name.split("_")[0]
        assert find_dense_picture(tmp_path, tmp_path / f"{stem}.jpg").name == name
    with pytest.raises(DataError, match="_IUV.png"):
        find_dense_picture(tmp_path, tmp_path / "nobody.jpg")


class Held:
    """What the dump's reader leaves behind for a tensor or result."""

    def __init__(self, **values):
        self.__dict__.update(values)


def entry(name, *boxes):
    """A dump's entry: (box, score) of people whose box is all torso."""
    labels = [np.full((int(b[3] - b[1]), int(b[2] - b[0])), 2) for b, _ in boxes]
    return {
        "file_name": name,
        "scores": Held(value=np.array([s for _, s in boxes])),
        "pred_boxes_XYXY": Held(value=np.array([b for b, _ in boxes], float)),
        "pred_densepose": [Held(labels=Held(value=v)) for v in labels],
    }


def on_box(box):
    points = np.full((18, 3), 1.0)
    points[:, 0] = np.linspace(box[0] + 5, box[2] - 5, 18)
    points[:, 1] = np.linspace(box[1] + 5, box[3] - 5, 18)
    return points


LARGE, SMALL = (10, 10, 150, 390), (200, 50, 280, 150)


def test_of_several_people_the_one_with_the_joints_is_taken(tmp_path):
    rows = [entry("/x/two.jpg", (SMALL, 0.995), (LARGE, 0.98))]
    parts = parts_from_dump(rows, tmp_path / "two.jpg", SIZE_HW, keypoints=on_box(LARGE))
    assert parts[200, 80] == 2 and parts[100, 240] == 0
    assert parts_from_dump(rows, tmp_path / "two.jpg", SIZE_HW)[100, 240] == 2  # the surest


def test_paths_of_windows_are_read(tmp_path):
    rows = [entry(r"C:\data\imgs\one.jpg", (LARGE, 0.9))]
    assert parts_from_dump(rows, tmp_path / "one.jpg", SIZE_HW).any()


def test_of_two_entries_of_one_name_the_one_with_the_joints_is_taken(tmp_path):
    rows = [entry("/other/one.jpg", (SMALL, 0.99)), entry("/mine/one.jpg", (LARGE, 0.9))]
    parts = parts_from_dump(rows, tmp_path / "one.jpg", SIZE_HW, keypoints=on_box(LARGE))
    assert parts[200, 80] == 2 and parts[100, 240] == 0
    with pytest.raises(DataError, match="fit alike"):
        parts_from_dump(rows, tmp_path / "one.jpg", SIZE_HW)


def test_joints_on_nobody_are_told(tmp_path):
    rows = [entry("/x/one.jpg", (SMALL, 0.99))]
    with pytest.raises(DataError, match="lie on nobody"):
        parts_from_dump(rows, tmp_path / "one.jpg", SIZE_HW, keypoints=on_box((10, 200, 99, 390)))


# Photos


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_webp_and_avif_are_read_whatever_they_are_called(kind):
    picture = np.zeros((300, 220, 3), np.uint8)
    picture[:150] = (200, 30, 30)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind, quality=95)
    found = decode_photo(stream.getvalue(), "shirt.jpg")
    assert found.shape == picture.shape and np.abs(found.astype(int) - picture).mean() < 6


@pytest.mark.parametrize("lossless", [False, True])
def test_an_absurdly_large_webp_is_refused_before_it_is_opened(lossless):
    stream = io.BytesIO()
    image = Image.new("RGB", (300, 400))
    image.putalpha(128) if not lossless else None
    image.save(stream, "WEBP", lossless=lossless)
    data = bytearray(stream.getvalue())
    if data[12:16] == b"VP8X":
        data[24:30] = b"\xff" * 6
        with pytest.raises(DataError, match="16777216 x 16777216"):
            decode_photo(bytes(data), "a.webp")
    else:
        assert decode_photo(bytes(data), "a.webp").shape == (400, 300, 3)


def test_heic_says_what_it_is(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    data = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\x00" * 64
    with pytest.raises(DataError, match="this is HEIC.*pillow-heif"):
        decode_photo(data, "me.jpg")


# VITON-HD


@pytest.fixture
def viton(tmp_path, sample_dataset):
    """A VITON-HD folder, written by ``export-data`` out of the sample."""
    from click.testing import CliRunner

    from cli import main

    out = tmp_path / "viton"
    words = ["--layout", "viton-hd", "--category", "upper_body", "--limit", "1", "--jobs", "1"]
    done = CliRunner().invoke(main, ["export-data", str(sample_dataset), str(out), *words])
    assert done.exit_code == 0, done.output
    return out


def test_viton_hds_drawings_become_parts_and_absent_people_are_passed_over(
    viton, tmp_path, sample_dataset
):
    with (viton / "train_pairs.txt").open("a") as pairs:
        pairs.write("09999_00.jpg 09999_00.jpg\n" * 3)
    done = convert(viton, tmp_path / "out")
    assert done.absent == 3 and not done.skipped and done.people == 2
    mine = open_people(tmp_path / "out", [Category.UPPER_BODY], size_hw=(1024, 768)).load(0)
    true = open_people(sample_dataset, [Category.UPPER_BODY], size_hw=(1024, 768)).load(0)
    body = true.dense_i > 0
    assert (mine.dense_i[body] == true.dense_i[body]).mean() > 0.9


def test_viton_hd_without_drawings_gets_no_guessed_parts(viton, tmp_path):
    for part in ("train", "test"):
        shutil.rmtree(viton / part / "image-densepose")
    convert(viton, tmp_path / "out")
    person = open_people(tmp_path / "out", [Category.UPPER_BODY], size_hw=(512, 384)).load(0)
    assert person.dense_i is None and not person.problems
