"""Scores of one mask against the annotations of its person: the definitions behind docs/masks.md.

Shares lie between 0 and 1. A score that the person gives no ground for (no arm is bare, no label
map) is NaN or left out, never 0.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.base.labels import Atr, Category, Joint
from pipeline.inspect.score_zones import TINY, Zones, find_zones, within
from pipeline.masks.rules import BOTTOMS

RING_PX, WINDOW_PX = 6, 9
"""Width of the ring, and of the window of ``hug``, in a picture of 1024 rows."""
LEAST_ZONE = 0.03
"""Square body units below which a zone is not scored: a few hundred pixels of wrist say nothing."""
_SQUARE = np.ones((3, 3), np.uint8)


def score_mask(
    category: Category | str,
    keypoints: np.ndarray,
    dense_i: np.ndarray | None,
    label_map: np.ndarray,
    mask: np.ndarray,
    render: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, float]:
    """How good a mask is.

    Args:
        category: garment category.
        keypoints: (18, >= 2) x, y in pixels of the label map, NaN where missing.
        dense_i: (H, W) uint8 DensePose parts, or None.
        label_map: (H, W) uint8 ATR classes.
        mask: (H, W) bool, True = hidden.
        render: gives the mask for another label map of the same person; needed for ``cf``, which
            costs several masks.

    Returns:
        leak: share of the garment that stays visible.
        ring: share of what lies within 6 px (of 1024 rows) around the garment, identity aside, that
            stays visible.
        id: share of identity that stays visible: face, hair, hat, glasses, hands, shoes, bag, and
            the other garment (for the upper body also legs, for the lower body arms and the whole
            head).
        id_min: the same for the worst of these parts; id_hair, id_face ...: for each of them.
        excess: hidden background and identity, relative to the garment's area; can exceed 1: it
            mostly tells how small the garment is.
        spill: the same in square body units (about the width of the shoulders).
        hug: largest share of the garment's free outline that lies at one distance (a window of 9
            px) from the mask's outline: at 1 the mask is the garment grown, and tells its shape.
        cf: mean change (1 - IoU) of the mask when the same body wears another garment. Only with
            ``render``.
        cov_arm, cov_neck, cov_torso, cov_leg, cov_pelvis, cov_bone, cov_gap: hidden share of what
            another garment may cover; NaN for a zone of less than .03 square body units.
        area: hidden share of the picture. pieces: separate parts of the mask.
        joints_missing: of the 18. joints_outside: joints of shoulders, arms, hips and legs that lie
            off the person.
    """
    mask = np.asarray(mask, bool)
    row = _mask_scores(mask)
    row["joints_missing"] = float(np.isnan(np.asarray(keypoints)[:, 0]).sum())
    row["joints_outside"] = float(joints_outside(keypoints, label_map))
    zones = find_zones(category, keypoints, dense_i, label_map)
    if zones is None:
        return row
    scores = _garment_scores(zones, mask) | _identity_scores(zones, mask)
    scores["hug"] = hug(zones, mask)
    if render is not None:
        scores["cf"] = change(zones, mask, render)
    tiny = LEAST_ZONE * zones.body.unit**2
    for name, zone in zones.covered.items():
        size = _count(zone)
        scores["cov_" + name] = _count(zone & mask) / size if size > tiny else float("nan")
    return scores | row


def _count(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))


def _share(part: np.ndarray, whole: int) -> float:
    return _count(part) / whole if whole else float("nan")


def _mask_scores(mask: np.ndarray) -> dict[str, float]:
    pieces = cv2.connectedComponents(mask.view(np.uint8), connectivity=8, ltype=cv2.CV_16U)[0] - 1
    return {"area": _count(mask) / mask.size, "pieces": float(pieces)}


def _box(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(max(y - margin, 0), y + height + margin), slice(
        max(x - margin, 0), x + width + margin
    )


def _garment_scores(zones: Zones, mask: np.ndarray) -> dict[str, float]:
    garment, visible = zones.garment, ~mask
    area = _count(garment)
    box = _box(garment, int(RING_PX * zones.scale) + 3)
    distance = cv2.distanceTransform((~garment[box]).view(np.uint8), cv2.DIST_L2, 5)
    ring = (
        (distance > 0) & (distance <= RING_PX * zones.scale) & ~zones.identity[box]
        if area
        else garment
    )
    hidden = mask & (zones.identity | (zones.labels == Atr.BACKGROUND))
    spill = _count(hidden) / zones.body.unit**2
    return {
        "leak": _share(garment & visible, area),
        "ring": _share(ring & visible[box], _count(ring)) if area else float("nan"),
        "excess": _share(hidden, area),
        "spill": spill,
    }


def _identity_scores(zones: Zones, mask: np.ndarray) -> dict[str, float]:
    visible, tiny = ~mask, TINY * zones.scale**2
    sizes = {name: _count(part) for name, part in zones.parts.items()}
    parts = {
        name: _share(zones.parts[name] & visible, size)
        for name, size in sizes.items()
        if size > tiny
    }
    return {
        "id": _share(zones.identity & visible, _count(zones.identity)),
        "id_min": min(parts.values(), default=1.0),
        **{"id_" + name: value for name, value in parts.items()},
    }


def hug(zones: Zones, mask: np.ndarray) -> float:
    """Largest share of the garment's free outline at one distance from the mask's outline; NaN
    without outlines."""
    box = _box(zones.garment | mask, 2)
    garment, free_of = zones.garment[box], ~(zones.identity | zones.garment)[box]
    height, width = mask.shape
    inner = np.zeros(mask.shape, bool)
    inner[2 : height - 2, 2 : width - 2] = True
    outline = _outline(garment)
    outline &= cv2.dilate(free_of.view(np.uint8), _SQUARE).view(bool) & inner[box]
    edge = _outline(mask[box])
    if not outline.any() or not edge.any():
        return float("nan")
    distance = cv2.distanceTransform((~edge).view(np.uint8), cv2.DIST_L2, 5)[outline] / zones.scale
    counts = np.histogram(distance, np.arange(400))[0]
    return float(np.convolve(counts, np.ones(WINDOW_PX), "valid").max() / len(distance))


def _outline(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of the mask that touch others; the end of the picture is none."""
    eroded = cv2.erode(mask.view(np.uint8), _SQUARE, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return mask & (eroded == 0)


def change(zones: Zones, mask: np.ndarray, render: Callable[[np.ndarray], np.ndarray]) -> float:
    """Mean change of the mask when the body wears other garments; NaN where none differs from what
    is worn."""
    area, changes = _count(zones.garment), []
    for labels in zones.redressed().values():
        if _count(labels != zones.labels) >= 0.02 * area:
            other = np.asarray(render(labels), bool)
            changes.append(1 - _count(mask & other) / max(_count(mask | other), 1))
    return float(np.mean(changes)) if changes else float("nan")


def joints_outside(keypoints: np.ndarray, label_map: np.ndarray) -> int:
    """Joints from neck to ankles that lie off the person, a few pixels aside."""
    height, width = label_map.shape
    margin = max(1, round(0.012 * height))
    outside = 0
    for x, y in np.asarray(keypoints, np.float64)[Joint.NECK : Joint.R_EYE, :2]:
        if np.isnan(x) or np.isnan(y):
            continue
        if not (-margin <= x < width + margin and -margin <= y < height + margin):
            outside += 1
            continue
        row, column = int(y), int(x)
        near = label_map[
            max(row - margin, 0) : row + margin + 1, max(column - margin, 0) : column + margin + 1
        ]
        outside += not near.any()
    return outside


def oddities(
    category: Category | str,
    keypoints: np.ndarray,
    label_map: np.ndarray | None,
    dense_i: np.ndarray | None = None,
    annotated: np.ndarray | None = None,
) -> list[str]:
    """What is strange about a person's annotations, in words; empty where nothing is.

    Tells a label map that almost lacks the garment of its category, a garment under another
    category's name (a skirt called upper clothes), joints off the person, and DensePose that sees
    another person than the label map.

    Args:
        annotated: all joints of a person of whom a part is shown, (18, 3); ``keypoints`` are then
            those in the part.
    """
    found = []
    joints = np.asarray(keypoints if annotated is None else annotated)
    missing = int(np.isnan(joints[1:14, 0]).sum())
    if missing > 4:
        found.append(f"{missing} of 13 body joints missing")
    if label_map is None:
        return found
    outside = joints_outside(keypoints, label_map)
    if outside:
        found.append(f"{outside} joints off the person")
    zones = find_zones(category, keypoints, dense_i, label_map)
    if zones is not None:
        found += _garment_oddities(zones)
        if dense_i is not None:
            both, person = _count((dense_i > 0) & (label_map > 0)), _count(dense_i > 0)
            if both < 0.5 * person:
                found.append("DensePose and label map show the person in different places")
    return found


def _garment_oddities(zones: Zones) -> list[str]:
    labels, hips, unit = zones.labels, zones.body.hips[1], zones.body.unit
    area, found = _count(zones.garment) / unit**2, []
    if area < 0.15:
        found.append("almost no garment of the category in the label map")
    below = slice(max(int(hips + 0.5 * unit), 0), None)
    above = slice(0, max(int(hips - 0.8 * unit), 0))
    tops_below = _count(labels[below] == Atr.UPPER_CLOTHES) / unit**2
    bottoms_above = _count(within(labels[above], BOTTOMS)) / unit**2
    bottoms = _count(within(labels, BOTTOMS)) / unit**2
    if zones.category is not Category.DRESSES and tops_below > 0.8 and bottoms < 0.3:
        found.append("a skirt or trousers may be called upper clothes")
    if bottoms_above > 0.5:
        found.append("upper clothes or a dress may be called trousers")
    dress = _count(labels == Atr.DRESS) / unit**2
    if zones.category is not Category.DRESSES and dress > 0.5:
        found.append("a dress in a category without dresses")
    return found
