"""The region that another garment may cover, drawn on a small canvas from the body and what the
maps show.

Shapes follow the body more than the garment that is worn, and margins grow along the body, so that
the garment's outline cannot be read from the mask's.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.base.labels import Joint
from pipeline.masks.body import LIMB_PARTS, LIMBS, Body, draw_hull, draw_limb, draw_polygon
from pipeline.masks.protect import HEAD_LINE
from pipeline.masks.rules import Arms, Rule, Skirt, Trunk, label_table

SQUARE = np.ones((3, 3), np.uint8)
INSIDE = 254
"""Value of the region on the canvas: below 255, which no region reaches."""
RING = 3
"""Cells of the canvas that a garment is grown at least: 12 pixels of a picture with 1024 rows."""
ISLAND = 0.015
"""A cut-off piece above this share of the largest stays: its size in cells would decide over too
much of a mask."""
WAIST, HALF_WAIST = 0.6, 0.36
"""Where the waist is between shoulders and hips, and half its width in body units."""
WAIST_OVER_HIPS = 0.38
"""Where lower garments begin, in body units over the joints of the hips."""
NECKLINE, COLLAR, ABOVE_SHOULDER = HEAD_LINE + 0.03, 0.24, 0.1
"""Top of the region over the shoulders and half its width there, a collar's; and how far it reaches
over the joints of the shoulders."""


def pick(labels: np.ndarray, ids) -> np.ndarray:
    """(h, w) uint8: 255 where ``labels`` holds one of ``ids``, 0 elsewhere."""
    return cv2.LUT(labels, label_table(ids))


def grown(shape: np.ndarray, margin: float) -> np.ndarray:
    """A uint8 shape, dilated by ``margin`` pixels in every direction."""
    size = 2 * round(margin) + 1
    return cv2.dilate(shape, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def draw_shapes(
    canvas: np.ndarray, body: Body, rule: Rule, dense: np.ndarray | None, labelled: bool
) -> None:
    """Draws the arms, trunk and legs of a rule on a (h, w) uint8 canvas, changing it."""
    if rule.arms:
        draw_arms(canvas, body, rule.arms, dense, labelled)
    if rule.trunk:
        draw_polygon(canvas, trunk_outline(body, rule.trunk), INSIDE)
    if rule.legs:
        draw_hull(canvas, legs_outline(body, rule), INSIDE)


def draw_arms(
    canvas: np.ndarray, body: Body, arms: Arms, dense: np.ndarray | None, labelled: bool
) -> None:
    """Draws both arms; one that is only guessed is left out where DensePose doesn't see it, down
    from where it ends.

    Without a label map it is left out wherever DensePose looks, without DensePose if a label map
    shows what there is.
    """
    radii = [r * body.unit for r in (arms.shoulder, arms.elbow, arms.wrist)]
    for limb, parts in zip(LIMBS[:2], LIMB_PARTS[:2]):
        visible = 3
        for row in (2, 1):
            if body.known[limb[row]]:
                continue
            if labelled if dense is None else not labelled or not pick(dense, parts[row - 1]).any():
                visible = row
        draw_limb(canvas, body.joints[list(limb[:visible])], radii[:visible], INSIDE)


def trunk_outline(body: Body, trunk: Trunk) -> np.ndarray:
    """(10, 2) corners of the region between neck and hem, in order around it."""
    right, left, right_hip, left_hip = body.joints[
        [Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.R_HIP, Joint.L_HIP]
    ]
    middle = (1 - WAIST) * body.shoulders + WAIST * body.hips
    corners = (  # an anchor, and how far from it to the left and up
        (body.shoulders, -COLLAR, NECKLINE),
        (body.shoulders, COLLAR, NECKLINE),
        (left, trunk.shoulders, ABOVE_SHOULDER),
        (middle, HALF_WAIST + trunk.waist, 0),
        (left_hip, trunk.hips, 0),
        (left_hip, trunk.hips, -trunk.hem),
        (right_hip, -trunk.hips, -trunk.hem),
        (right_hip, -trunk.hips, 0),
        (middle, -HALF_WAIST - trunk.waist, 0),
        (right, -trunk.shoulders, ABOVE_SHOULDER),
    )
    anchors = np.array([anchor for anchor, _, _ in corners])
    offsets = np.array([(aside, up) for _, aside, up in corners])
    return anchors + offsets @ np.array((body.side, body.up)) * body.unit


def legs_outline(body: Body, rule: Rule) -> np.ndarray:
    """(N, 2) points whose convex hull is the region of the legs, from waist to ankles."""
    legs, u, joints = rule.legs, body.unit, body.joints
    assert legs is not None
    waist = body.hips if rule.trunk else body.hips + body.up * WAIST_OVER_HIPS * u
    half = (HALF_WAIST + legs.waist) * u
    points = [waist - (half, 0), waist + (half, 0)]
    for pair, margin in (
        ((Joint.R_HIP, Joint.L_HIP), legs.hips),
        ((Joint.R_KNEE, Joint.L_KNEE), legs.knees),
        ((Joint.R_ANKLE, Joint.L_ANKLE), legs.ankles),
    ):
        for joint in pair:
            points += [joints[joint] - (margin * u, 0), joints[joint] + (margin * u, 0)]
    if rule.skirt:
        points += skirt_points(body, rule.skirt)
    return np.array(points)


def skirt_points(body: Body, skirt: Skirt) -> list[np.ndarray]:
    """Both sides of a skirt."""
    ankles = (body.joints[Joint.R_ANKLE] + body.joints[Joint.L_ANKLE]) / 2
    sway = (skirt.follow * (ankles[0] - body.hips[0]), ankles[1] - body.hips[1])
    points = []
    for down, half in (
        (0.25, skirt.thighs),
        (0.5, skirt.knees),
        (0.75, skirt.shins),
        (1.0, skirt.ankles),
    ):
        middle = body.hips + np.multiply(down, sway)
        points += [middle - (half * body.unit, 0), middle + (half * body.unit, 0)]
    return points


def drop_islands(region: np.ndarray, limit: np.ndarray, wanted: np.ndarray) -> None:
    """Takes away small pieces of background that what is kept cuts off from the rest, changing
    ``region``.

    Args:
        region: (h, w) uint8, 128 to 254 inside.
        limit: (h, w) uint8: how much region it takes to hide each cell.
        wanted: (h, w) uint8, non-zero at garment and skin that it may cover: their pieces stay.
    """
    outlines, tree = cv2.findContours(
        cv2.compare(region, limit, cv2.CMP_GE), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    pieces = [
        outline for outline, row in zip(outlines, () if tree is None else tree[0]) if row[3] < 0
    ]  # no holes
    if len(pieces) < 2:
        return
    areas = [cv2.contourArea(piece) for piece in pieces]
    for piece, area in zip(pieces, areas):
        if area > ISLAND * max(areas):
            continue
        x, y, width, height = cv2.boundingRect(piece)
        island = np.zeros((height + 2, width + 2), np.uint8)
        cv2.drawContours(island, [piece], 0, 255, -1, offset=(1 - x, 1 - y))
        if not cv2.bitwise_and(wanted[y : y + height, x : x + width], island[1:-1, 1:-1]).any():
            top, left = max(y - 1, 0), max(x - 1, 0)
            part = region[top : y + height + 1, left : x + width + 1]
            around = cv2.dilate(island, SQUARE)[top - y + 1 :, left - x + 1 :]
            part[around[: part.shape[0], : part.shape[1]] > 0] = 0
