"""Pictures of the 18 joints: the style that the DAFlow checkpoint knows, and the one of Dress
Code's ``skeletons/``.

Both follow OpenPose's drawing (Cao et al., 2017): one colour per joint, one polygon per limb. They
differ in canvas, order and blending; a network trained on one has never seen the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2),
    (1, 5),
    (2, 3),
    (3, 4),
    (5, 6),
    (6, 7),
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
    (1, 0),
    (0, 14),
    (14, 16),
    (0, 15),
    (15, 17),
)
"""Joint rows that are joined, in the order of drawing; limb i has colour i."""

COLOURS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 255),
    (0, 85, 255),
    (0, 170, 255),
    (0, 255, 255),
    (0, 255, 170),
    (0, 255, 85),
    (0, 255, 0),
    (85, 255, 0),
    (170, 255, 0),
    (255, 255, 0),
    (255, 170, 0),
    (255, 85, 0),
    (255, 0, 0),
    (255, 0, 85),
    (255, 0, 170),
    (255, 0, 255),
    (170, 0, 255),
    (85, 0, 255),
)
"""RGB, as in the saved files; joint i has colour i."""

_POSE_ROWS = 256  # the checkpoint's canvas: radius and half-width are 4 per 256 rows
_POSE_THRESHOLD = 0.01
_LIMB_WEIGHT = 0.6
_SKELETON_ROWS = 1024


def _limb_polygon(start: Sequence[float], end: Sequence[float], half_width: int) -> np.ndarray:
    """Outline of one limb: an ellipse around its middle, in whole pixels and degrees."""
    (ax, ay), (bx, by) = start, end
    half_length = int(math.hypot(ay - by, ax - bx) / 2)
    angle = int(math.degrees(math.atan2(ay - by, ax - bx)))
    middle = (int((ax + bx) / 2), int((ay + by) / 2))
    return np.asarray(cv2.ellipse2Poly(middle, (half_length, half_width), angle, 0, 360, 1))


def _present(keypoints: np.ndarray, threshold: float) -> np.ndarray:
    """(18,) bool: joints that have a place and a score above the threshold (``inf`` and NaN count
    as missing)."""
    return np.isfinite(keypoints[:, :2]).all(1) & (keypoints[:, 2] >= threshold)


def joints_inside(keypoints: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(18, 3) float32: joints as a detector finds them in a picture, those beyond its border
    missing (NaN, NaN, 0). The input is not changed."""
    found = keypoints.copy()
    places = keypoints[:, :2]
    inside = (places >= -0.5) & (places < (size_hw[1], size_hw[0]))
    found[~inside.all(1)] = (np.nan, np.nan, 0)
    return found


def _joints(keypoints: np.ndarray, threshold: float) -> tuple[list[list[float]], list[bool]]:
    """x, y of all joints, and which are there: lists, as single numbers of an array are slow to
    work with."""
    keypoints = np.asarray(keypoints, np.float64)
    if keypoints.shape != (18, 3):
        raise ValueError(f"keypoints have shape {keypoints.shape}, expected (18, 3)")
    return keypoints[:, :2].tolist(), _present(keypoints, threshold).tolist()


def render_pose(keypoints: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Pose picture in the style that the official DAFlow checkpoint was trained on (256 x 192;
    others in proportion).

    Circles first, then limbs, each blended: 0.4 x the canvas before it + 0.6 x the canvas with it.
        A limb on black is
    153 bright. Radius and half-width are 4 per 256 rows, rounded to whole pixels.

    Args:
        keypoints: (18, 3) x, y in pixels of ``size_hw``, score; NaN, NaN, 0 where missing. Not
            changed. To mirror a person swap the joints (``labels.MIRROR_JOINTS``) and draw again:
            each side has its own colours.
        size_hw: height and width of the picture.

    Returns:
        (H, W, 3) uint8 RGB on black. A joint with a score below 0.01 is left out, and so are its
        limbs.
    """
    canvas = np.zeros((*size_hw, 3), np.uint8)
    draw_pose(canvas, keypoints)
    return canvas


def draw_pose(canvas: np.ndarray, keypoints: np.ndarray) -> None:
    """Draws what ``render_pose`` gives onto a canvas, (H, W, 3) uint8, C-contiguous, that is
    black."""
    points, present = _joints(keypoints, _POSE_THRESHOLD)
    radius = max(1, round(4 * len(canvas) / _POSE_ROWS))
    _draw_joints(canvas, points, present, radius)
    for (a, b), colour in zip(LIMBS, COLOURS):
        if present[a] and present[b]:
            _blend_polygon(canvas, _limb_polygon(points[a], points[b], radius), colour)


def _draw_joints(
    canvas: np.ndarray, points: list[list[float]], present: list[bool], radius: int
) -> None:
    for (x, y), there, colour in zip(points, present, COLOURS):
        if there:
            cv2.circle(canvas, (int(x), int(y)), radius, colour, -1)


def _blend_polygon(canvas: np.ndarray, polygon: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Mixes a filled polygon into the canvas; only its bounding box is touched, as outside nothing
    changes."""
    left, top, width, height = cv2.boundingRect(polygon)
    box = canvas[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    if box.size:
        before = box.copy()
        cv2.fillConvexPoly(canvas, polygon, colour)
        cv2.addWeighted(before, 1 - _LIMB_WEIGHT, box, _LIMB_WEIGHT, 0, box)


def render_skeleton(keypoints: np.ndarray, size_hw: tuple[int, int] = (1024, 768)) -> np.ndarray:
    """Pose picture in the style of Dress Code's ``skeletons/`` files: opaque limbs, circles of
    radius 5 over them.

    At 1024 x 768 and JPEG quality 95 this gives the dataset's own files pixel for pixel; other
    sizes are in proportion.

    Args:
        keypoints: (18, 3) x, y in pixels of ``size_hw``, score; a score of 0 or less, or NaN, means
            missing.
        size_hw: height and width of the picture.

    Returns:
        (H, W, 3) uint8 RGB on black.
    """
    points, present = _joints(keypoints, np.nextafter(0, 1))
    scale = size_hw[0] / _SKELETON_ROWS
    half_width, radius = max(1, round(4 * scale)), max(1, round(5 * scale))
    canvas = np.zeros((*size_hw, 3), np.uint8)
    for (a, b), colour in zip(LIMBS, COLOURS):
        if present[a] and present[b]:
            cv2.fillConvexPoly(canvas, _limb_polygon(points[a], points[b], half_width), colour)
    _draw_joints(canvas, points, present, radius)
    return canvas
