"""Photos from elsewhere: upright, whole, with joints, and honest about what was guessed."""

from __future__ import annotations

import pickle
import sys

import cv2
import numpy as np
import pytest
from annotate_kit import ANSWER, SIZE_HW, encoded
from PIL import Image

from pipeline.annotate import keypoints as keypoints_module
from pipeline.annotate.keypoints import (
    LANDMARKS,
    MediaPipe,
    count_people,
    find_python,
    joints_from_landmarks,
)
from pipeline.annotate.person import UnusablePhoto, annotate
from pipeline.annotate.photos import Frame, decode_photo, frame_garment, person_frame, whole_frame
from pipeline.base.errors import DataError
from pipeline.base.labels import GARMENT_LABELS, Atr, Category, Joint, is_in
from pipeline.masks.render import render_agnostic_mask

pytest_plugins = ("annotate_kit",)  # its fixtures

# Photos


def test_photo_is_turned_as_its_orientation_tag_says():
    image = Image.fromarray(np.zeros((300, 400, 3), np.uint8))
    image.paste((255, 0, 0), (0, 0, 400, 100))
    tag = Image.Exif()
    tag[274] = (
        6  # the camera was turned: the top of the stored picture is the right of what was seen
    )
    seen = decode_photo(encoded(image, "JPEG", exif=tag), "turned.jpg")
    assert seen.shape == (400, 300, 3)
    assert seen[200, 290, 0] > 200 and seen[200, 10, 0] < 50


def test_transparent_picture_comes_out_on_white():
    image = Image.new("RGBA", (300, 400), (10, 20, 30, 0))
    image.paste((200, 0, 0, 255), (100, 100, 200, 300))
    seen = decode_photo(encoded(image), "cut.png")
    assert (seen[0, 0] == 255).all() and seen[200, 150].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    "data, words",
    [
        (b"GIF89a" + bytes(99), "not a readable JPEG or PNG"),
        (encoded(np.zeros((90, 400, 3), np.uint8)), "too small"),
        (encoded(np.zeros((200, 1000, 3), np.uint8)), "too long"),
        (encoded(np.zeros((400, 400, 3), np.uint8), "JPEG")[:-400], "truncated"),
        (encoded(np.zeros((400, 400), np.uint16)), "mode I"),
    ],
)
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


@pytest.mark.parametrize(
    "box", [(10, 5, 90, 395), (0, 0, 640, 400), (500, 100, 640, 400), (300, 150, 340, 260)]
)
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
    assert (
        cut[int(y), int(x)] == 7
        and frame.cut_image(image, SIZE_HW)[int(y), int(x), 0] == 210
        and score == 1
    )
    rows, columns = np.nonzero(cut)
    assert abs(columns.mean() - x) < 2 and abs(rows.mean() - y) < 2
    assert np.isnan(frame.move_points(points, SIZE_HW)[5, 0]), "outside of the frame"


def test_garment_on_plain_ground_fills_the_frame_and_keeps_its_colour():
    image = np.full((600, 800, 3), 250, np.uint8)
    image[200:300, 350:450] = (200, 30, 30)
    framed = frame_garment(image, SIZE_HW)
    thing = framed[..., 1] < 100
    assert thing.any(0).sum() > 0.8 * SIZE_HW[1]
    assert (framed[0, 0] == 250).all()


# Keypoints


def test_landmarks_become_the_joints_of_their_names():
    rows = np.zeros((33, 3))
    rows[:, 0], rows[:, 1], rows[:, 2] = np.arange(33) * 2, np.arange(33), 1
    points = joints_from_landmarks(rows, SIZE_HW)
    assert points[Joint.R_WRIST].tolist() == [32, 16, 1] and points[Joint.L_ANKLE].tolist() == [
        54,
        27,
        1,
    ]
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


@pytest.mark.skipif(
    find_python() is None, reason="no Python with MediaPipe: scripts/setup_photo.sh makes one"
)
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
    assert count_people([rows, rows * (0.2, 0.2, 1)], [person, np.roll(person, 150, 1)]) == 1, (
        "too small"
    )
    assert count_people([rows, rows * (1, 1, 0.5)], [person, np.roll(person, 150, 1)]) == 1, (
        "unsure"
    )
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


# Guesses


@pytest.mark.parametrize("category", list(Category))
def test_guessed_maps_hide_most_of_the_garment_and_keep_head_and_feet(recorded, photo, category):
    person = annotate(photo, recorded(photo), category, size_hw=SIZE_HW)
    assert (
        any("guessed" in note for note in person.notes)
        and person.sources["label_map"] == "geometry"
    )
    mask = render_agnostic_mask(category, person.keypoints, person.dense_i, person.label_map)
    assert 0.05 < mask.mean() < 0.6
    assert is_in(person.label_map, GARMENT_LABELS[category])[mask].any()
    feet = is_in(person.label_map, (Atr.LEFT_SHOE, Atr.RIGHT_SHOE))
    assert feet.any() and not mask[feet].any()
    for joint, part in ((Joint.R_ELBOW, (16, 18, 20, 22)), (Joint.L_KNEE, (8, 10, 12, 14))):
        x, y = person.keypoints[joint, :2].astype(int)
        assert person.dense_i[y, x] in part


def test_parsers_map_is_used_as_it_is(recorded, photo):
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[60:480, 120:260] = Atr.UPPER_CLOTHES
    person = annotate(
        photo, recorded(photo), Category.UPPER_BODY, label_map=labels, size_hw=SIZE_HW
    )
    assert set(np.unique(person.label_map)) == {0, Atr.UPPER_CLOTHES}
    assert person.notes == [] and person.sources["label_map"] == "import"
    # Guessed parts beside a parser's map hide hands that the map alone keeps.
    assert person.dense_i is None and person.sources["dense"] == "none"


def test_parsers_empty_map_is_noticed(recorded, photo):
    person = annotate(
        photo, recorded(photo), Category.UPPER_BODY, label_map=np.zeros(SIZE_HW, np.uint8)
    )
    assert "the parser saw nobody" in person.notes[0] and person.label_map.any()


@pytest.mark.parametrize(
    "change, kind",
    [
        (lambda p: p * 0, "no_person"),
        (lambda p: np.full_like(p, 255), "two_people"),
        (lambda p: cv2.resize(p, (100, 133)), "too_small"),
    ],
)
def test_unusable_photo_is_told_by_kind(recorded, photo, change, kind):
    image = change(photo)
    with pytest.raises(UnusablePhoto) as error:
        annotate(image, recorded(image), Category.UPPER_BODY)
    assert error.value.kind == kind and pickle.loads(pickle.dumps(error.value)).kind == kind
