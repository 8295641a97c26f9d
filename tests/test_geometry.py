"""Bodies are completed sensibly; shapes land where they should."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.base.labels import MIRROR_JOINTS, Joint
from pipeline.masks.body import TEMPLATE, draw_limb, draw_polygon, find_body

SIZE = (256, 192)


def figure(unit: float = 40.0, x: float = 96.0, y: float = 30.0) -> np.ndarray:
    """(18, 3) keypoints of the standing figure."""
    return np.concatenate([TEMPLATE * unit + (x, y), np.ones((18, 1))], 1)


def lose(keypoints: np.ndarray, *joints: int) -> np.ndarray:
    changed = keypoints.copy()
    changed[list(joints)] = (np.nan, np.nan, 0)
    return changed


def test_unit_is_the_shoulder_width_of_a_person_seen_from_the_front():
    body = find_body(figure(), SIZE)
    assert body.unit == pytest.approx(40, rel=0.05) and body.known.all()
    assert body.side == pytest.approx((1, 0)) and body.up == pytest.approx((0, -1))


def test_turned_person_keeps_the_unit_through_the_torso():
    keypoints = figure()
    keypoints[[2, 5], 0] = 94, 98
    assert find_body(keypoints, SIZE).unit == pytest.approx(0.55 * 1.7 * 40, rel=0.02)


@pytest.mark.parametrize("joint", list(range(1, 14)))
def test_any_single_missing_joint_is_found_again_on_a_standing_figure(joint):
    keypoints = figure()
    body = find_body(lose(keypoints, joint), SIZE)
    assert not body.known[joint]
    assert np.hypot(*(body.joints[joint] - keypoints[joint, :2])) < 0.35 * 40


@pytest.mark.parametrize("back", [False, True])
def test_missing_shoulder_and_hips_follow_a_person_seen_from_behind(back):
    keypoints = figure()
    if back:
        keypoints = keypoints[MIRROR_JOINTS]
    body = find_body(lose(keypoints, Joint.L_SHOULDER, Joint.R_HIP), SIZE)
    assert np.hypot(*(body.joints[Joint.L_SHOULDER] - keypoints[Joint.L_SHOULDER, :2])) < 8
    assert np.hypot(*(body.joints[Joint.R_HIP] - keypoints[Joint.R_HIP, :2])) < 12
    assert body.up @ (0, -1) > 0.9


def test_missing_wrist_mirrors_the_other_arm():
    keypoints = figure()
    keypoints[Joint.R_WRIST, :2] = keypoints[Joint.R_ELBOW, :2] + (-30, 5)
    body = find_body(lose(keypoints, Joint.L_WRIST), SIZE)
    assert body.joints[Joint.L_WRIST] - keypoints[Joint.L_ELBOW, :2] == pytest.approx(
        (30, 5), abs=2
    )


def test_missing_elbow_and_wrist_are_taken_from_densepose():
    keypoints, dense = figure(), np.zeros(SIZE, np.uint8)
    x, y = keypoints[Joint.L_SHOULDER, :2].astype(int)
    dense[y - 3 : y + 4, x : x + 40] = 15  # an arm stretched out to the side
    dense[y - 3 : y + 4, x + 40 : x + 70] = 19
    body = find_body(lose(keypoints, Joint.L_ELBOW, Joint.L_WRIST), SIZE, dense)
    assert body.joints[Joint.L_ELBOW] == pytest.approx((x + 40, y), abs=3)
    assert body.joints[Joint.L_WRIST] == pytest.approx((x + 70, y), abs=4)


def test_without_joints_the_figure_fills_the_silhouette():
    person = np.zeros(SIZE, np.uint8)
    person[10:226, 70:130] = 1
    body = find_body(np.full((18, 2), np.nan), SIZE, None, person)
    assert body.unit == pytest.approx(40, rel=0.1) and 90 < body.joints[Joint.NECK, 0] < 110
    assert find_body(np.full((18, 2), np.nan), SIZE, None, np.zeros(SIZE, np.uint8)) is None


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e12, -1e12])
def test_joints_far_outside_count_as_missing(value):
    keypoints = figure()
    keypoints[Joint.L_HIP, :2] = value
    body = find_body(keypoints, SIZE)
    assert not body.known[Joint.L_HIP] and np.isfinite(body.joints[1:14]).all()


def test_find_body_leaves_its_input_alone():
    keypoints = lose(figure(), 3, 8)
    before = keypoints.copy()
    find_body(keypoints, SIZE)
    assert np.array_equal(keypoints, before, equal_nan=True)


def test_limb_is_as_thick_as_its_radii_and_has_round_ends():
    canvas = np.zeros((100, 100), np.uint8)
    draw_limb(canvas, np.array([(50.0, 20.0), (50.0, 80.0)]), (5, 15))
    widths = (canvas > 0).sum(1)
    assert widths[20] == pytest.approx(11, abs=2) and widths[80] == pytest.approx(31, abs=2)
    assert (np.diff(widths[20:80].astype(int)) >= 0).all()
    assert canvas[93, 50] and not canvas[97, 50] and canvas[16, 50] and not canvas[12, 50]


def test_drawing_far_outside_the_canvas_neither_fails_nor_wraps():
    canvas = np.zeros((50, 50), np.uint8)
    draw_limb(canvas, np.array([(1e9, 1e9), (2e9, 1e9)]), (3, 3))
    draw_polygon(canvas, [(-1e9, -1e9), (-1e9, -2e9), (-2e9, -1e9)])
    assert not canvas.any()


def test_body_without_hips_stands_upright():
    keypoints = np.concatenate([TEMPLATE * 40 + (96, 40), np.ones((18, 1))], 1)
    keypoints[1, 1] += 4  # the neck lies a little below the line of the shoulders
    keypoints[[8, 11]] = np.nan
    body = find_body(keypoints, (256, 192))
    assert body is not None and body.hips[1] > 80
