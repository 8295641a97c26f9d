"""The region that another garment may cover, drawn on a small canvas from the body and what the maps show.

Shapes follow the body more than the garment that is worn, and margins grow along the body, so that the garment's
outline cannot be read from the mask's.
"""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np

from pipeline.geometry import BITS, LIMB_PARTS, LIMBS, Body, draw_limb, draw_polygon, fixed
from pipeline.labels import Joint
from pipeline.protect import HEAD_LINE
from pipeline.rules import ARM_PARTS, HAND_PARTS, LEG_PARTS, TRUNK_PARTS, Rule, label_table

INSIDE = 254
"""Value of the region on the canvas: below 255, which no region reaches."""
RING = 3.0
"""Cells of the canvas that a garment is grown at least: 12 pixels of a picture with 1024 rows."""
FRAGMENT = 0.03
"""A piece below this share of the largest is hidden where it is garment, but does not shape the region around it."""
HEM = 0.7
"""Where a skirt is taken to be widest, between hips (0) and ankles (1)."""
STEEPEST = 0.55
"""Widening per length that a skirt is taken to have at most below the thigh."""


def pick(labels: np.ndarray, ids) -> np.ndarray:
    """(h, w) uint8: 255 where ``labels`` holds one of ``ids``, 0 elsewhere."""
    return cv2.LUT(labels, label_table(ids))


def grown(shape: np.ndarray, margin: float) -> np.ndarray:
    """A uint8 shape, dilated by ``margin`` pixels in every direction."""
    size = 2 * round(margin) + 1
    return cv2.dilate(shape, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


class Worn:
    """What the label map shows of the garment and of skin that it may cover; kept, because several styles need it.

    Attributes:
        shape: (h, w) uint8, 255 at garment and skin.
        source: (h, w) uint8, 255 at what is grown by more than a few pixels.
    """

    def __init__(self, shape: np.ndarray, source: np.ndarray):
        self.shape, self.source = shape, source

    @cached_property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns that margins can reach."""
        x, y, width, height = cv2.boundingRect(self.source)
        far = len(self.source) // 10
        return slice(max(y - far, 0), y + height + far), slice(max(x - far, 0), x + width + far)

    @cached_property
    def distance(self) -> np.ndarray:
        """float32, in the box: pixels to the nearest of the source."""
        return cv2.distanceTransform(cv2.bitwise_not(self.source[self.box]), cv2.DIST_L2, 3)

    @cached_property
    def ring(self) -> np.ndarray:
        """(h, w) uint8: grown by the least that a garment is grown."""
        return cv2.min(grown(self.shape, RING), INSIDE)


def render_region(body: Body, rule: Rule, dense: np.ndarray | None, worn: Worn | None,
                  size_hw: tuple[int, int]) -> np.ndarray:
    """(h, w) uint8, 128 to 254 inside: all that a garment may cover.

    Args:
        body: joints on the canvas.
        rule: shapes and margins.
        dense: (h, w) uint8 DensePose parts on the canvas, or None.
        worn: what the label map shows, or None.
        size_hw: height and width of the canvas.
    """
    if dense is not None and rule.parts:
        canvas = grown(cv2.LUT(dense, label_table(rule.parts, INSIDE)), rule.part_margin * body.unit)
    else:
        canvas = np.zeros(size_hw, np.uint8)
    if rule.arms:
        draw_arms(canvas, body, rule, dense)
    if rule.trunk:
        draw_polygon(canvas, trunk_outline(body, rule), INSIDE)
    if worn is not None:
        draw_grown(canvas, worn, body, rule)
    if rule.legs:
        outline = legs_outline(body, rule, dense, worn.shape if worn else None)
        cv2.fillConvexPoly(canvas, cv2.convexHull(fixed(outline)), INSIDE, shift=BITS)
    canvas = cv2.blur(canvas, (5, 5))  # rounds corners, and smooths the steps of enlarging
    return canvas if worn is None else cv2.max(canvas, worn.ring)


def draw_arms(canvas: np.ndarray, body: Body, rule: Rule, dense: np.ndarray | None) -> None:
    """Draws both arms; one that is only guessed is left out where DensePose doesn't see it, down from where it ends."""
    radii = [r * body.unit for r in rule.arms]
    for limb, parts in zip(LIMBS[:2], LIMB_PARTS[:2]):
        visible = 3
        for row in (2, 1):
            if dense is not None and not body.known[limb[row]] and not pick(dense, parts[row - 1]).any():
                visible = row
        draw_limb(canvas, body.joints[list(limb[:visible])], radii[:visible], INSIDE)


def trunk_outline(body: Body, rule: Rule) -> np.ndarray:
    """(10, 2) corners of the region between neck and hem, in order around it."""
    beside, waist, hips, hem = rule.trunk
    right, left, right_hip, left_hip = body.joints[[Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.R_HIP, Joint.L_HIP]]
    middle = 0.4 * body.shoulders + 0.6 * body.hips
    anchors = np.array((body.shoulders, body.shoulders, left, middle, left_hip, left_hip, right_hip, right_hip, middle,
                        right))
    half, neck = 0.36 + waist, HEAD_LINE + 0.03
    offsets = np.array(((-.24, neck), (.24, neck), (beside, .1), (half, 0), (hips, 0), (hips, -hem), (-hips, -hem),
                        (-hips, 0), (-half, 0), (-beside, .1)))  # along side and up
    return anchors + offsets @ np.array((body.side, body.up)) * body.unit


def legs_outline(body: Body, rule: Rule, dense: np.ndarray | None, worn: np.ndarray | None) -> np.ndarray:
    """(N, 2) points whose convex hull is the region of the legs, from waist to ankles."""
    u, k = body.unit, body.joints
    waist, *margins = (m * u for m in rule.legs)
    across = np.array((1.0, 0.0))
    middle = body.hips if rule.trunk else body.hips + body.up * .38 * u
    points = [middle - across * (.35 * u + waist), middle + across * (.35 * u + waist)]
    for joints, margin in zip(((8, 11), (9, 12), (10, 13)), margins):
        for j in joints:
            points += [k[j] - across * margin, k[j] + across * margin]
    shape, legs = leg_shape(body, rule, dense, worn)
    edge = outline_points(shape)
    if len(edge):
        down = np.clip((edge[:, 1] - body.hips[1]) / (2.8 * u), 0, 1)[:, None]
        shift = u * (rule.sway[0] + (rule.sway[1] - rule.sway[0]) * down) * across
        points = np.concatenate([points, edge - shift, edge + shift])
        points = np.concatenate([points, np.reshape(flare_points(shape, legs, body, rule), (-1, 2))])
    return np.asarray(points)


def leg_shape(body: Body, rule: Rule, dense: np.ndarray | None, worn: np.ndarray | None):
    """(h, w) uint8: legs and what is worn on them; for a dress only below the hips, without the arms beside it."""
    top, legs = max(int(body.hips[1]), 0), None
    if dense is None:
        shape = np.zeros((1, 1), np.uint8) if worn is None else worn.copy()
    else:
        shape = pick(dense, LEG_PARTS + TRUNK_PARTS)
        shape[:top] = 0
        legs = shape
        if worn is not None:
            arms = grown(pick(dense, ARM_PARTS + HAND_PARTS), 2) if rule.trunk else np.zeros_like(worn)
            shape = cv2.max(shape, cv2.subtract(worn, arms))
    if rule.trunk:
        shape[:top] = 0
    return shape, legs


def outline_points(shape: np.ndarray) -> np.ndarray:
    """(N, 2) float64: corners of the outlines of a uint8 shape, small pieces left out."""
    contours, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    areas = [cv2.contourArea(c) for c in contours]
    large = [c[:, 0] for c, area in zip(contours, areas) if area >= FRAGMENT * max(areas)]
    return np.concatenate(large).astype(np.float64) if large else np.zeros((0, 2))


def flare_points(shape: np.ndarray, legs: np.ndarray | None, body: Body, rule: Rule) -> list[tuple[float, float]]:
    """Where the sides of a skirt may be far below the thigh: at least so much wider than the legs, and as wide as what
    is worn becomes if it goes on as it does above the thigh."""
    k = body.joints
    hips, knees, ankles = body.hips[1], (k[9, 1] + k[12, 1]) / 2, (k[10, 1] + k[13, 1]) / 2
    top, thigh = max(int(hips), 0), int((hips + knees) / 2)
    height = (thigh - top) // 3
    if height < 1:
        return []
    middle, hem = body.hips[0], hips + HEM * (ankles - hips)
    upper, lower = (reaches(shape[a:a + height], middle) for a in (top, thigh - height))
    bare = (0.0, 0.0) if legs is None else reaches(legs[thigh - height:thigh], middle)
    points = []
    for sign, a, b, leg in zip((-1, 1), upper, lower, bare):
        slope = min(max((b - a) / (thigh - height - top), 0.0), STEEPEST) * rule.flare[1]
        widest = max(b + slope * (hem - thigh), leg + rule.flare[0] * (hem - thigh) if leg else 0.0)
        points.append((middle + sign * widest, hem))
    return points


def reaches(band: np.ndarray, middle: float) -> tuple[float, float]:
    """How far a uint8 shape reaches from ``middle`` to the left and to the right, in pixels."""
    x, _, width, _ = cv2.boundingRect(band)
    return (max(middle - x, 0.0), max(x + width - 1 - middle, 0.0)) if width else (0.0, 0.0)


def draw_grown(canvas: np.ndarray, worn: Worn, body: Body, rule: Rule) -> None:
    """Grows what is worn by a margin that increases away from the neck, changing ``canvas``.

    Below the hips of a category with legs, their outline takes this part.
    """
    u, (x, y) = body.unit, body.joints[Joint.NECK].tolist()
    above = len(canvas)
    if rule.legs:
        above = int(np.clip(body.hips[1] - (0 if rule.trunk else .5 * u), 0, above))
        np.maximum(canvas[above:], worn.ring[above:], out=canvas[above:])
    base, gain = rule.grow[0] * u, (rule.grow[1] - rule.grow[0]) * u
    if not gain:
        even = np.minimum(grown(worn.source, max(base, RING)), np.uint8(INSIDE))
        np.maximum(canvas[:above], even[:above], out=canvas[:above])
        return
    (rows, columns), distance = worn.box, worn.distance
    height = min(rows.start + len(distance), above) - rows.start
    if height <= 0:
        return
    part = canvas[rows.start:rows.start + height, columns]
    down = np.clip((np.arange(rows.start, rows.start + height, dtype=np.float32) - y) / (1.7 * u), 0, 1)
    aside = np.abs(np.arange(columns.start, columns.start + part.shape[1], dtype=np.float32) - x) / u
    margin = np.maximum((base + gain * 0.8 * down)[:, None] + gain * 0.5 * np.minimum(aside, 1.5), np.float32(RING))
    near = (distance[:height] <= margin).view(np.uint8)
    np.maximum(part, near * np.uint8(INSIDE), out=part)
