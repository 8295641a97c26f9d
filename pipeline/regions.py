"""The region that another garment may cover, drawn on a small canvas from the body and what the maps show.

Shapes follow the body more than the garment that is worn, and margins grow along the body, so that the garment's
outline cannot be read from the mask's.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.geometry import LIMB_PARTS, LIMBS, Body, draw_limb, draw_polygon, fixed
from pipeline.labels import Joint
from pipeline.protect import HEAD_LINE
from pipeline.rules import ARM_PARTS, HAND_PARTS, LEG_PARTS, TRUNK_PARTS, Rule, label_table

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


def render_region(body: Body, rule: Rule, dense: np.ndarray | None, worn: np.ndarray | None,
                  size_hw: tuple[int, int]) -> np.ndarray:
    """(h, w) uint8, 128 and more inside: all that a garment may cover.

    Args:
        body: joints on the canvas.
        rule: shapes and margins.
        dense: (h, w) uint8 DensePose parts on the canvas, or None.
        worn: (h, w) uint8, 255 where the label map shows the garment or skin that it may cover, or None.
        size_hw: height and width of the canvas.
    """
    canvas = np.zeros(size_hw, np.uint8)
    if dense is not None and rule.parts:
        canvas = grown(pick(dense, rule.parts), rule.part_margin * body.unit)
    if rule.arms:
        draw_arms(canvas, body, rule, dense)
    if rule.trunk:
        draw_polygon(canvas, trunk_outline(body, rule))
    if worn is not None:
        draw_grown(canvas, worn, body, rule)
    if rule.legs:
        cv2.fillConvexPoly(canvas, fixed_hull(legs_outline(body, rule, dense, worn)), 255, shift=4)
    canvas = cv2.GaussianBlur(canvas, (7, 7), 0)
    return cv2.max(canvas, grown(worn, RING)) if worn is not None else canvas


def draw_arms(canvas: np.ndarray, body: Body, rule: Rule, dense: np.ndarray | None) -> None:
    """Draws both arms; one that is only guessed is left out where DensePose doesn't see it, down from where it ends."""
    radii = [r * body.unit for r in rule.arms]
    for limb, parts in zip(LIMBS[:2], LIMB_PARTS[:2]):
        visible = 3
        for row in (2, 1):
            if dense is not None and not body.known[limb[row]] and not pick(dense, parts[row - 1]).any():
                visible = row
        draw_limb(canvas, body.joints[list(limb[:visible])], radii[:visible])


def trunk_outline(body: Body, rule: Rule) -> list[np.ndarray]:
    """Corners of the region between neck and hem, in order around it."""
    u, side, up = body.unit, body.side, body.up
    shoulder, waist, hip, hem = (m * u for m in rule.trunk)
    right, left, right_hip, left_hip = (body.joints[j] for j in
                                        (Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.R_HIP, Joint.L_HIP))
    neck = body.shoulders + up * (HEAD_LINE + 0.03) * u
    middle = 0.4 * body.shoulders + 0.6 * body.hips
    return [neck - side * .24 * u, neck + side * .24 * u, left + side * shoulder + up * .1 * u,
            middle + side * (.36 * u + waist), left_hip + side * hip, left_hip + side * hip - up * hem,
            right_hip - side * hip - up * hem, right_hip - side * hip, middle - side * (.36 * u + waist),
            right - side * shoulder + up * .1 * u]


def fixed_hull(points: np.ndarray) -> np.ndarray:
    return cv2.convexHull(fixed(points))


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
    points = []
    for sign in (-1, 1):
        upper, lower = (reach(shape[a:a + height], middle, sign) for a in (top, thigh - height))
        slope = min(max((lower - upper) / (thigh - height - top), 0), STEEPEST) * rule.flare[1]
        widest = lower + slope * (hem - thigh)
        if legs is not None:
            widest = max(widest, reach(legs[thigh - height:thigh], middle, sign) + rule.flare[0] * (hem - thigh))
        points.append((middle + sign * widest, hem))
    return points


def reach(band: np.ndarray, middle: float, sign: int) -> float:
    """How far a shape reaches from ``middle`` to one side (sign -1 left, 1 right), in pixels."""
    columns = np.flatnonzero(band.any(0))
    return 0.0 if not len(columns) else max(float(sign * (columns[-1 if sign > 0 else 0] - middle)), 0.0)


def draw_grown(canvas: np.ndarray, worn: np.ndarray, body: Body, rule: Rule) -> None:
    """Grows what is worn by a margin that increases away from the neck, changing ``canvas``.

    Below the hips of a category with legs, their outline takes this part.
    """
    u, (x, y) = body.unit, body.joints[Joint.NECK]
    height, width = worn.shape
    down = np.clip((np.arange(height) - y) / (1.7 * u), 0, 1) * 0.8
    aside = np.minimum(np.abs(np.arange(width) - x) / u, 1.5) * 0.5
    base, gain = rule.grow[0] * u, (rule.grow[1] - rule.grow[0]) * u
    margin = np.maximum(base + gain * (down[:, None] + aside).astype(np.float32), RING)
    if rule.legs:
        margin[max(int(body.hips[1] - (0 if rule.trunk else .5 * u)), 0):] = RING
    distance = cv2.distanceTransform(cv2.bitwise_not(worn), cv2.DIST_L2, 3)
    canvas[distance <= margin] = 255
