"""A person's joints, completed; and filled limbs and hulls on a small canvas.

All lengths are in body units, so that the same shapes fit a child, a far figure and every image
size. Points are (x, y) in pixels of the canvas, y down; "right" is the wearer's right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipeline.base.labels import Joint

BITS = 4
"""Bits after the point in OpenCV's drawing calls: a sixteenth of a pixel."""
TORSO_TO_UNIT = 0.55
"""Shoulder width over the distance from neck to hips, of a person seen from the front."""
LIMBS = (
    (Joint.R_SHOULDER, Joint.R_ELBOW, Joint.R_WRIST),
    (Joint.L_SHOULDER, Joint.L_ELBOW, Joint.L_WRIST),
    (Joint.R_HIP, Joint.R_KNEE, Joint.R_ANKLE),
    (Joint.L_HIP, Joint.L_KNEE, Joint.L_ANKLE),
)
"""Arms, then legs, right before left: root, middle and end."""
LIMB_PARTS = (
    ((16, 18), (20, 22), (3,)),
    ((15, 17), (19, 21), (4,)),
    ((7, 9), (11, 13), (6,)),
    ((8, 10), (12, 14), (5,)),
)
"""DensePose parts of each row of LIMBS: upper half, lower half, hand or foot."""
TEMPLATE = np.array(
    [
        (0, -0.60),
        (0, 0),
        (-0.5, 0.02),
        (-0.62, 0.9),
        (-0.64, 1.65),
        (0.5, 0.02),
        (0.62, 0.9),
        (0.64, 1.65),
        (-0.3, 1.7),
        (-0.3, 3.1),
        (-0.3, 4.45),
        (0.3, 1.7),
        (0.3, 3.1),
        (0.3, 4.45),
        (-0.1, -0.7),
        (0.1, -0.7),
        (-0.2, -0.65),
        (0.2, -0.65),
    ]
)
"""(18, 2): a standing person seen from the front, in body units around the neck."""
_TRUNK = (Joint.NECK, Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.R_HIP, Joint.L_HIP)


@dataclass(frozen=True)
class Body:
    """Joints and frame of one person on a canvas.

    Attributes:
        joints: (18, 2) float64 x, y; rows 1 to 13 are always finite, estimated where the source had
            none.
        known: (18,) bool, False where a joint was estimated.
        unit: one body unit in pixels: the width of the shoulders, seen from the front.
        side: (2,) unit vector from the right to the left shoulder.
        up: (2,) unit vector across it, towards the head.
        shoulders: (2,) midpoint of the shoulders.
        hips: (2,) midpoint of the hips.
    """

    joints: np.ndarray
    known: np.ndarray
    unit: float
    side: np.ndarray
    up: np.ndarray
    shoulders: np.ndarray
    hips: np.ndarray


def find_body(
    keypoints: np.ndarray,
    size_hw: tuple[int, int],
    dense: np.ndarray | None = None,
    person: np.ndarray | None = None,
) -> Body | None:
    """The person on a canvas, each missing joint estimated from what is left.

    Args:
        keypoints: (18, >= 2) x, y in pixels of the canvas; NaN where missing. Points far outside
            count as missing.
        size_hw: height and width of the canvas.
        dense: (H, W) uint8 DensePose parts on the canvas, or None.
        person: (H, W) uint8, non-zero where the label map sees a person, or None.

    Returns:
        Body, or None where neither joints nor maps show a person.
    """
    points = np.array(keypoints[:, :2], np.float64)
    known = _believable(points, size_hw)
    missing = not known[1:14].all()
    fitted = _fit_template(points, known, dense, person) if missing else points
    if fitted is None:
        return None
    if missing:
        _complete_trunk(points, known, fitted)
    body = _frame(points, known)
    if missing:
        centres = {} if dense is None else _part_centres(dense)
        for limb, parts, other in zip(LIMBS, LIMB_PARTS, (1, 0, 3, 2)):
            _complete_limb(body, limb, LIMBS[other], parts, centres, fitted)
    return body


def _believable(points: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(18,) bool: the joint is finite and not far outside the picture."""
    size = np.array(size_hw[::-1])
    return (np.abs(points / size - 0.5) < 0.75).all(1)  # NaN compares as False


def _frame(points: np.ndarray, known: np.ndarray) -> Body:
    right, left = points[2], points[5]
    shoulders, hips = (right + left) / 2, (points[8] + points[11]) / 2
    width = float(np.hypot(*(left - right)))
    side = (left - right) / width if width > 1e-3 else np.array((1.0, 0.0))
    up = np.array([side[1], -side[0]])
    if up @ (shoulders - hips) < 0:  # seen from behind
        up = -up
    torso = float(np.hypot(*(hips - points[1])))
    return Body(points, known, max(width, TORSO_TO_UNIT * torso, 1.0), side, up, shoulders, hips)


def _fit_template(
    points: np.ndarray, known: np.ndarray, dense: np.ndarray | None, person: np.ndarray | None
) -> np.ndarray | None:
    """(18, 2): the standing figure, turned, scaled and moved onto the joints of the trunk.

    Where too few of them are known it fills the person's silhouette, and without one it goes onto
    any two joints.
    """
    rows: list[int] = [j for j in _TRUNK if known[j]]
    if len(rows) < 3:
        for silhouette in (dense, person):
            if silhouette is not None and silhouette.any():
                return _fill_silhouette(silhouette)
        rows = [j for j in range(1, 14) if known[j]]
    if len(rows) < 2:
        return None
    fits = [_onto_joints(template, points, rows) for template in (TEMPLATE, TEMPLATE * (-1, 1))]
    seen = [j for j in range(1, 14) if known[j]]  # shoulders alone don't tell up from down
    errors = [np.abs(fit[seen] - points[seen]).sum() for fit in fits]
    return fits[0] if errors[0] <= errors[1] + 1e-6 else fits[1]  # the second is seen from behind


def _onto_joints(template: np.ndarray, points: np.ndarray, rows: list[int]) -> np.ndarray:
    """The similarity of least squares; a point is a complex number, so that one factor turns and
    scales."""
    source, target = template[rows] @ (1, 1j), points[rows] @ (1, 1j)
    centred = source - source.mean()
    factor = np.vdot(centred, target - target.mean()) / max(np.vdot(centred, centred).real, 1e-9)
    moved = (template @ (1, 1j) - source.mean()) * factor + target.mean()
    return np.stack([moved.real, moved.imag], 1)


def _fill_silhouette(silhouette: np.ndarray) -> np.ndarray:
    """The standing figure in a silhouette that ends above the chin, as the dataset's photos do."""
    x, y, width, height = cv2.boundingRect((silhouette > 0).astype(np.uint8))
    unit = max(height / 5.4, 1.0)
    return TEMPLATE * unit + (x + width / 2, y + 0.62 * unit)


def _complete_trunk(points: np.ndarray, known: np.ndarray, fitted: np.ndarray) -> None:
    """Fills neck, shoulders and hips, in place."""
    neck, right, left = Joint.NECK, Joint.R_SHOULDER, Joint.L_SHOULDER
    for a, b in ((right, left), (left, right)):
        if not known[a]:
            points[a] = 2 * points[neck] - points[b] if known[neck] and known[b] else fitted[a]
    if not known[neck]:
        points[neck] = (points[right] + points[left]) / 2
    for a, b in ((Joint.R_HIP, Joint.L_HIP), (Joint.L_HIP, Joint.R_HIP)):
        if not known[a]:
            points[a] = points[b] + fitted[a] - fitted[b] if known[b] else fitted[a]


def _part_centres(dense: np.ndarray) -> dict[int, tuple[float, float, float]]:
    """DensePose part -> centre x, centre y, area."""
    ys, xs = np.nonzero(dense)
    parts = dense[ys, xs]
    area = np.bincount(parts, minlength=256)
    x, y = np.bincount(parts, xs, 256), np.bincount(parts, ys, 256)
    return {int(p): (x[p] / area[p], y[p] / area[p], float(area[p])) for p in np.flatnonzero(area)}


def _centre(
    centres: dict[int, tuple[float, float, float]], parts: tuple[int, ...]
) -> np.ndarray | None:
    """Centre of several parts taken together, or None where they are not seen."""
    found = [centres[p] for p in parts if p in centres]
    total = sum(area for _, _, area in found)
    return (
        sum((np.array((x, y)) * area for x, y, area in found), np.zeros(2)) / total
        if total >= 6
        else None
    )


def _complete_limb(
    body: Body,
    limb: tuple[Any, ...],
    other: tuple[Any, ...],
    parts: tuple[Any, ...],
    centres: dict[int, tuple[float, float, float]],
    fitted: np.ndarray,
) -> None:
    """Fills the middle and the end of a limb, in place: from DensePose, the mirrored side, or the
    standing figure."""
    points, known = body.joints, body.known
    root, middle, end = limb
    upper, lower, tip = (_centre(centres, p) for p in parts)

    def mirrored(a: int, b: int, other_a: int, other_b: int) -> np.ndarray:
        if not (known[other_a] and known[other_b]):
            return fitted[b] - fitted[a]
        offset = points[other_b] - points[other_a]
        return offset - 2 * (offset @ body.side) * body.side

    if not known[middle]:
        if known[end]:
            points[middle] = (points[root] + points[end]) / 2
        elif upper is not None:
            points[middle] = 2 * upper - points[root]
        else:
            points[middle] = points[root] + mirrored(root, middle, other[0], other[1])
    if not known[end]:
        if lower is not None:
            points[end] = 2 * lower - points[middle]
        elif tip is not None:
            points[end] = tip
        else:
            points[end] = points[middle] + mirrored(middle, end, other[1], other[2])


def bounded(value: float, least: int, most: int) -> int:
    """A whole number between ``least`` and ``most``; for one number several times as quick as
    ``np.clip``."""
    return min(max(int(value), least), most)


def fixed(points) -> np.ndarray:
    """(N, 1, 2) int32 for OpenCV's drawing calls with ``shift=BITS``; far points are clipped, not
    wrapped."""
    scaled = np.asarray(points, np.float64).reshape(-1, 1, 2) * (1 << BITS)
    return np.rint(scaled).clip(-(1 << 19), 1 << 19).astype(np.int32)


def draw_polygon(canvas: np.ndarray, points, value: int = 255) -> None:
    """Fills a polygon of (x, y) points, changing ``canvas``."""
    cv2.fillPoly(canvas, [fixed(points)], value, shift=BITS)


def draw_hull(canvas: np.ndarray, points: np.ndarray, value: int = 255) -> None:
    """Fills the convex hull of (N, 2) points, changing ``canvas``."""
    cv2.fillConvexPoly(canvas, cv2.convexHull(fixed(points)), value, shift=BITS)


def draw_limb(canvas: np.ndarray, joints: np.ndarray, radii, value: int = 255) -> None:
    """Fills a limb through (N, 2) ``joints``, as thick at each as its radius says, changing
    ``canvas``."""
    places, one = np.clip(joints, -4096, 4096).tolist(), 1 << BITS
    for (x, y), radius in zip(places, radii):
        cv2.circle(
            canvas, (round(x * one), round(y * one)), round(radius * one), value, -1, shift=BITS
        )
    for (ax, ay), (bx, by), a, b in zip(places, places[1:], radii, radii[1:]):
        length = max(((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5, 1e-6)
        nx, ny = (ay - by) / length * one, (bx - ax) / length * one
        ax, ay, bx, by = ax * one, ay * one, bx * one, by * one
        corners = np.array(
            (
                (ax + nx * a, ay + ny * a),
                (bx + nx * b, by + ny * b),
                (bx - nx * b, by - ny * b),
                (ax - nx * a, ay - ny * a),
            )
        )
        cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], value, shift=BITS)
