"""DensePose parts and a label map from joints, silhouette and colours alone: rough, and said to be.

Parts follow limbs of usual thickness. Clothes and skin are told apart by the colour of the face,
seams by the joints: enough to know what may be hidden and what must stay, not enough to know what
    somebody wears.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.base.labels import Atr, Category, DensePart, Joint, is_in
from pipeline.masks.body import Body, draw_hull, draw_limb, find_body

NOTE = (
    "label map and body parts guessed from the joints: "
    "masks are rough, better ones need a parser's map"
)
ROWS = 512
"""Height of the canvas on which parts are drawn."""
ARM_RADII, LEG_RADII = (0.17, 0.14, 0.10), (0.30, 0.20, 0.12)
"""At root, middle and end, in body units: about an adult's."""
USUAL_HEM = 0.25
"""Where tops end, in body units over the hips, when colours do not tell."""
SKIN_DISTANCE = 11.0
"""Largest distance in a and b of CIE Lab from the face's colour that counts as skin."""

_LIMB_PARTS = (
    (DensePart.UPPER_LEG_RIGHT_FRONT, DensePart.LOWER_LEG_RIGHT_FRONT, LEG_RADII, (8, 9, 10)),
    (DensePart.UPPER_LEG_LEFT_FRONT, DensePart.LOWER_LEG_LEFT_FRONT, LEG_RADII, (11, 12, 13)),
    (DensePart.UPPER_ARM_RIGHT_OUTER, DensePart.LOWER_ARM_RIGHT_OUTER, ARM_RADII, (2, 3, 4)),
    (DensePart.UPPER_ARM_LEFT_OUTER, DensePart.LOWER_ARM_LEFT_OUTER, ARM_RADII, (5, 6, 7)),
)
_ARMS = {
    DensePart.UPPER_ARM_RIGHT_OUTER: Atr.RIGHT_ARM,
    DensePart.LOWER_ARM_RIGHT_OUTER: Atr.RIGHT_ARM,
    DensePart.RIGHT_HAND: Atr.RIGHT_ARM,
    DensePart.UPPER_ARM_LEFT_OUTER: Atr.LEFT_ARM,
    DensePart.LOWER_ARM_LEFT_OUTER: Atr.LEFT_ARM,
    DensePart.LEFT_HAND: Atr.LEFT_ARM,
}
_LEGS = {
    DensePart.UPPER_LEG_RIGHT_FRONT: Atr.RIGHT_LEG,
    DensePart.LOWER_LEG_RIGHT_FRONT: Atr.RIGHT_LEG,
    DensePart.UPPER_LEG_LEFT_FRONT: Atr.LEFT_LEG,
    DensePart.LOWER_LEG_LEFT_FRONT: Atr.LEFT_LEG,
}


def guess_parts(
    keypoints: np.ndarray, size_hw: tuple[int, int], silhouette: np.ndarray | None
) -> np.ndarray:
    """(H, W) uint8 DensePose parts, front side: every pixel of the silhouette belongs to the
    nearest limb.

    Args:
        keypoints: (18, 3) in pixels; NaN, NaN, 0 where missing.
        size_hw: of the picture.
        silhouette: (H, W) bool of the person; without it the limbs themselves, where both ends were
            found.
    """
    scale = min(1.0, ROWS / size_hw[0])
    small_hw = (max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale)))
    points = keypoints[:, :2].astype(np.float64) * scale
    region = (
        None
        if silhouette is None
        else cv2.resize(
            silhouette.astype(np.uint8), small_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT
        )
    )
    body = find_body(points, small_hw, None, region)
    if body is None:
        return np.zeros(size_hw, np.uint8)
    parts: np.ndarray = np.zeros(small_hw, np.uint8)
    _draw_body(parts, body, points, everything=region is not None)
    if region is not None and parts.any():
        parts = _spread(parts) * region
    return cv2.resize(parts, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _draw_body(parts: np.ndarray, body: Body, points: np.ndarray, everything: bool) -> None:
    unit, k = body.unit, body.joints
    seen = np.isfinite(points).all(1)
    draw_hull(
        parts,
        _circles(k[[2, 5, 8, 11]], np.array([0.12, 0.12, 0.27, 0.27]) * unit),
        int(DensePart.TORSO_FRONT),
    )
    for upper, lower, radii, (root, middle, end) in _LIMB_PARTS:
        for part, a, b, r in ((upper, root, middle, radii[:2]), (lower, middle, end, radii[1:])):
            if everything or (seen[a] and seen[b]):
                draw_limb(parts, k[[a, b]], [value * unit for value in r], int(part))
    ends = (
        (3, 4, DensePart.RIGHT_HAND, 0.17, 0.13),
        (6, 7, DensePart.LEFT_HAND, 0.17, 0.13),
        (9, 10, DensePart.RIGHT_FOOT, 0.20, 0.17),
        (12, 13, DensePart.LEFT_FOOT, 0.20, 0.17),
    )
    for middle, end, part, beyond, radius in ends:
        if everything or seen[end]:
            along = k[end] - k[middle]
            tip = k[end] + along / max(float(np.hypot(*along)), 1e-6) * beyond * unit
            draw_limb(parts, tip[None], [radius * unit], int(part))
    head = (
        np.nanmean(points[[0, 14, 15, 16, 17]], 0)
        if seen[[0, 14, 15, 16, 17]].any()
        else k[1] + body.up * 0.5 * unit
    )
    for part, turn in ((DensePart.HEAD_RIGHT, -1), (DensePart.HEAD_LEFT, 1)):
        crown, throat = (
            place + (body.up * up + body.side * turn * beside) * unit
            for place, up, beside in ((head, 0.08, 0.1), (k[1], 0.2, 0.06))
        )
        draw_limb(parts, np.array([crown, throat]), [0.26 * unit, 0.12 * unit], int(part))


def _circles(centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(N * 16, 2): points on circles, whose hull is a rounded shape."""
    angles = np.arange(16) * (2 * np.pi / 16)
    around = np.stack([np.cos(angles), np.sin(angles)], 1)
    return (centres[:, None] + around * radii[:, None, None]).reshape(-1, 2)


def _spread(parts: np.ndarray) -> np.ndarray:
    """Each empty pixel with the part that is nearest."""
    _, nearest = cv2.distanceTransformWithLabels(
        (parts == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(nearest.max()) + 1, np.uint8)
    table[nearest[parts > 0]] = parts[parts > 0]
    return table[nearest]


def guess_labels(
    image: np.ndarray, keypoints: np.ndarray, parts: np.ndarray, category: Category
) -> np.ndarray:
    """(H, W) uint8 label map: head, arms, legs and shoes that must stay, and clothes where the
    garment should be.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (18, 3) in its pixels.
        parts: (H, W) uint8 from ``guess_parts``.
        category: what the person is to be dressed with; it decides whether torso and thighs are one
            garment.
    """
    size_hw = parts.shape
    body = find_body(keypoints[:, :2].astype(np.float64), size_hw, parts)
    labels = np.zeros(size_hw, np.uint8)
    if body is None:
        return labels
    skin = find_skin(image, keypoints, parts, body)
    one_piece = category is Category.DRESSES
    above, height = (
        _height_over(body.shoulders, body, size_hw),
        _height_over(body.hips, body, size_hw),
    )
    top = Atr.DRESS if one_piece else Atr.UPPER_CLOTHES
    trunk = parts == DensePart.TORSO_FRONT
    labels[trunk] = top
    labels[trunk & skin & (above > -0.45)] = Atr.HEAD  # neck and bare chest
    hem = (
        -np.inf
        if one_piece
        else find_hem(image, body, height, (trunk | is_in(parts, _LEGS)) & ~skin)
    )
    labels[trunk & (height < hem)] = Atr.PANTS
    for part, arm in _ARMS.items():
        here = parts == part
        labels[here] = np.where(skin[here], arm, top)
        if part in (DensePart.RIGHT_HAND, DensePart.LEFT_HAND):
            labels[here] = arm
    for part, leg in _LEGS.items():
        here = parts == part
        labels[here] = np.where(skin[here], leg, np.where(height[here] >= hem, top, Atr.PANTS))
    labels[parts == DensePart.LEFT_FOOT] = Atr.LEFT_SHOE
    labels[parts == DensePart.RIGHT_FOOT] = Atr.RIGHT_SHOE
    head = (parts == DensePart.HEAD_LEFT) | (parts == DensePart.HEAD_RIGHT)
    labels[head] = np.where(skin[head] | (above[head] < 0.22), Atr.HEAD, Atr.HAIR)
    return labels


def _height_over(point: np.ndarray, body: Body, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) float32: how far each pixel lies over a point along the trunk, in body units."""
    rows, columns = np.ogrid[0 : size_hw[0], 0 : size_hw[1]]
    return (
        ((columns - point[0]) * body.up[0] + (rows - point[1]) * body.up[1]) / body.unit
    ).astype(np.float32)


def find_hem(image: np.ndarray, body: Body, height: np.ndarray, cloth: np.ndarray) -> float:
    """Height over the hips, in body units, at which the upper garment ends: where the colour
    changes most.

    Looked for from the middle of the thighs to the lower ribs; a usual waist where nothing changes.
    """
    step, reach = 0.04, 5
    bins = np.arange(-0.9, 1.1, step)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    where = cloth & (height > bins[0]) & (height < bins[-1] + step)
    at = ((height[where] - bins[0]) / step).astype(int).clip(0, len(bins) - 1)
    count = np.maximum(np.bincount(at, minlength=len(bins)), 1e-3)
    profile = np.stack(
        [np.bincount(at, lab[..., c][where], len(bins)) / count for c in range(3)], 1
    )
    best, hem = 9.0, USUAL_HEM
    for i in range(reach, len(bins) - reach):
        if count[i - reach : i + reach].min() < 1:
            continue
        change = float(
            np.linalg.norm(profile[i : i + reach].mean(0) - profile[i - reach : i].mean(0))
        )
        change *= np.exp(-(((bins[i] - USUAL_HEM) / 0.6) ** 2))
        if -0.7 <= bins[i] <= 0.75 and change > best:
            best, hem = change, float(bins[i])
    return hem


def find_skin(
    image: np.ndarray, keypoints: np.ndarray, parts: np.ndarray, body: Body
) -> np.ndarray:
    """(H, W) bool: pixels of the face's colour, or of the hands' where no face is in the
    picture."""
    lab = cv2.cvtColor(
        cv2.GaussianBlur(image, (0, 0), max(1.0, image.shape[0] / 256)), cv2.COLOR_RGB2LAB
    )
    lab = lab.astype(np.float32)
    samples: np.ndarray = np.zeros(parts.shape, np.uint8)
    face = keypoints[[Joint.NOSE, Joint.R_EYE, Joint.L_EYE], :2]
    if np.isfinite(face).all() and keypoints[Joint.NOSE, 1] > 0.1 * body.unit:
        middle = face[0]
        for eye in face[1:]:
            cheek = eye + (middle - eye) * (0.35, 1.0)
            cv2.circle(samples, tuple(int(v) for v in cheek), max(1, int(0.04 * body.unit)), 1, -1)
        cv2.circle(samples, tuple(int(v) for v in middle), max(1, int(0.05 * body.unit)), 1, -1)
    else:
        samples[(parts == DensePart.RIGHT_HAND) | (parts == DensePart.LEFT_HAND)] = 1
        inner = cv2.erode(
            samples, np.ones((3, 3), np.uint8), iterations=max(1, int(0.03 * body.unit))
        )
        samples = inner if inner.any() else samples
    if not samples.any():
        return np.zeros(parts.shape, bool)
    colour = np.median(lab[samples > 0], 0)
    apart = np.hypot(lab[..., 1] - colour[1], lab[..., 2] - colour[2])
    skin = (apart < SKIN_DISTANCE) & (np.abs(lab[..., 0] - colour[0]) < 75)
    return cv2.medianBlur(skin.astype(np.uint8), 7) > 0
