"""Pose pictures: both styles as published, and what happens at the edges."""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.base.labels import MIRROR_JOINTS, Category, Joint
from pipeline.dataset.pose import COLOURS, LIMBS, render_pose, render_skeleton

STANDING = np.array(
    [
        (88, 0),
        (88, 30),
        (66, 30),
        (61, 70),
        (61, 104),
        (110, 30),
        (116, 68),
        (116, 103),
        (74, 105),
        (73, 159),
        (76, 204),
        (101, 105),
        (100, 157),
        (96, 204),
        (82, 0),
        (93, 0),
        (76, 0),
        (100, 0),
    ],
    np.float32,
)


@pytest.fixture
def standing() -> np.ndarray:
    return np.column_stack([STANDING, np.full(18, 0.9, np.float32)])


def without(keypoints: np.ndarray, *joints: int) -> np.ndarray:
    out = keypoints.copy()
    out[list(joints)] = np.nan, np.nan, 0
    return out


def plain_pose(keypoints: np.ndarray) -> np.ndarray:
    """The published description, step by step on whole canvases."""
    canvas = np.zeros((256, 192, 3), np.uint8)
    for joint, (x, y, score) in enumerate(keypoints):
        if score >= 0.01:
            cv2.circle(canvas, (int(x), int(y)), 4, COLOURS[joint], -1)
    for limb, (a, b) in enumerate(LIMBS):
        if min(keypoints[a, 2], keypoints[b, 2]) < 0.01:
            continue
        d = keypoints[a] - keypoints[b]
        with_limb = canvas.copy()
        middle = tuple(int(v) for v in (keypoints[a, :2] + keypoints[b, :2]) / 2)
        angle = int(np.degrees(np.arctan2(d[1], d[0])))
        polygon = cv2.ellipse2Poly(middle, (int(np.hypot(d[0], d[1]) / 2), 4), angle, 0, 360, 1)
        cv2.fillConvexPoly(with_limb, polygon, COLOURS[limb])
        canvas = cv2.addWeighted(canvas, 0.4, with_limb, 0.6, 0)
    return canvas


def test_pose_follows_the_published_recipe_pixel_for_pixel(standing):
    np.testing.assert_array_equal(render_pose(standing, (256, 192)), plain_pose(standing))


def test_a_limb_on_black_is_153_in_the_pose_and_255_in_the_skeleton(standing):
    pose, skeleton = render_pose(standing, (256, 192)), render_skeleton(standing * (4, 4, 1))
    thigh = (np.mean(STANDING[[Joint.R_HIP, Joint.R_KNEE]], 0)).astype(int)
    assert pose[thigh[1], thigh[0]].max() == 153
    assert skeleton[4 * thigh[1], 4 * thigh[0]].max() == 255


def test_pose_lights_several_times_the_share_of_the_skeleton(standing):
    lit = [
        (picture.max(2) > 0).mean()
        for picture in (render_pose(standing, (256, 192)), render_skeleton(standing * (4, 4, 1)))
    ]
    assert lit[0] > 3 * lit[1] > 0


@pytest.mark.parametrize("draw", [render_pose, render_skeleton])
def test_a_missing_joint_takes_its_limbs_with_it(standing, draw):
    elbow = without(standing * (2, 2, 1), Joint.R_ELBOW)
    picture = draw(elbow, (512, 384))
    for joint in (Joint.R_ELBOW,):
        colour = np.array(COLOURS[joint])
        assert not (picture == colour).all(2).any()
    full = draw(standing * (2, 2, 1), (512, 384))
    arm = np.s_[70:200, 110:130]
    assert full[arm].any() and not picture[80:195, 115:128].any()


def test_score_thresholds_differ_between_the_styles(standing):
    faint = standing.copy()
    faint[:, 2] = 0.005
    assert not render_pose(faint, (256, 192)).any()
    assert render_skeleton(faint, (256, 192)).any()


@pytest.mark.parametrize("draw", [render_pose, render_skeleton])
def test_nobody_found_is_a_black_picture(draw):
    nobody = np.tile(np.array([np.nan, np.nan, 0], np.float32), (18, 1))
    picture = draw(nobody, (64, 48))
    assert picture.shape == (64, 48, 3) and picture.dtype == np.uint8 and not picture.any()


@pytest.mark.parametrize("draw", [render_pose, render_skeleton])
def test_joints_beyond_the_edge_are_drawn_as_far_as_they_are_seen(standing, draw):
    shifted = standing + np.array([-95, -40, 0], np.float32)
    assert draw(shifted, (256, 192)).any()
    assert not draw(standing + np.array([-900, 0, 0], np.float32), (256, 192)).any()


def test_pose_grows_in_proportion(standing):
    small, large = render_pose(standing, (256, 192)), render_pose(standing * (4, 4, 1), (1024, 768))
    shares = (small.max(2) > 0).mean(), (large.max(2) > 0).mean()
    assert abs(shares[0] - shares[1]) < 0.01


def test_the_input_is_left_alone(standing):
    before = standing.copy()
    render_pose(standing, (256, 192))
    render_skeleton(standing, (256, 192))
    np.testing.assert_array_equal(standing, before)


def test_mirroring_the_joints_keeps_each_side_its_colours(standing):
    mirrored = standing[MIRROR_JOINTS].copy()
    mirrored[:, 0] = 191 - mirrored[:, 0]
    drawn = render_pose(mirrored, (256, 192))
    assert (drawn != render_pose(standing, (256, 192))[:, ::-1]).any()
    column, row = (int(v) for v in mirrored[Joint.R_WRIST, :2])
    hand = drawn[row + 2, column].astype(float)  # mirrored left wrist, now the right one: cyan
    assert hand[0] < 60 and min(hand[1], hand[2]) > 140


def test_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(18, 3\)"):
        render_pose(np.zeros((17, 3)), (64, 48))


def test_skeletons_of_real_people_are_drawn_again_pixel_for_pixel(real_people):
    checked = 0
    for category in Category:
        for path in sorted((real_people / str(category) / "skeletons").glob("*_5.jpg"))[:20]:
            rows = json.loads(
                (path.parents[1] / "keypoints" / path.name.replace("_5.jpg", "_2.json")).read_text()
            )
            keypoints = np.array(rows["keypoints"], np.float64)[:, :3] * (2, 2, 1)
            stream = io.BytesIO()
            Image.fromarray(render_skeleton(keypoints)).save(stream, "JPEG", quality=95)
            np.testing.assert_array_equal(
                np.asarray(Image.open(stream)), np.asarray(Image.open(path))
            )
            checked += 1
    assert checked
