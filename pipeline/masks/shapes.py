"""The region that another garment may cover, drawn on a small canvas from the body and what the
maps show.

Shapes follow the body more than the garment that is worn, and margins grow along the body, so that
the garment's outline cannot be read from the mask's.
"""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np

from pipeline.base.labels import Joint
from pipeline.masks.body import (
    BITS,
    LIMB_PARTS,
    LIMBS,
    Body,
    bounded,
    draw_limb,
    draw_polygon,
    fixed,
)
from pipeline.masks.protect import HEAD_LINE
from pipeline.masks.rules import ARM_PARTS, HAND_PARTS, LEG_PARTS, TRUNK_PARTS, Rule, label_table

SQUARE = np.ones((3, 3), np.uint8)
SPECK = 5
"""Pieces of garment that this many cells are as wide and as high as are hidden, but not grown far;
nor are threads."""
INSIDE = 254
"""Value of the region on the canvas: below 255, which no region reaches."""
RING = 3.0
"""Cells of the canvas that a garment is grown at least: 12 pixels of a picture with 1024 rows."""
FRAGMENT = 0.03
"""A piece below this share of the largest is hidden where it is garment, but does not shape the
region around it."""
ISLAND = 0.015
"""A cut-off piece above this share of the largest stays: its size in cells would decide over too
much of a mask."""
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
    """What the label map shows of the garment and of skin that it may cover; kept, because several
    styles need it.

    Attributes:
        shape: (h, w) uint8, 255 at garment and skin.
    """

    def __init__(self, shape: np.ndarray, source: np.ndarray):
        self.shape, self._source = shape, source
        self._even: dict[int, np.ndarray] = {}

    @cached_property
    def source(self) -> np.ndarray:
        """(h, w) uint8, 255 at what is grown by more than a few pixels."""
        source = cv2.morphologyEx(self._source, cv2.MORPH_OPEN, SQUARE)
        outlines, _ = cv2.findContours(source, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        specks = [outline for outline in outlines if max(cv2.boundingRect(outline)[2:]) <= SPECK]
        return cv2.drawContours(source, specks, -1, 0, -1) if specks else source

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

    def even(self, margin: float = RING) -> np.ndarray:
        """(h, w) uint8: the shape, grown evenly, by at least the least that a garment is grown."""
        margin = round(max(margin, RING))
        if margin not in self._even:
            self._even[margin] = cv2.min(grown(self.shape, margin), INSIDE)
        return self._even[margin]


class Drawing:
    """Draws one person's regions, keeping what several styles share.

    Args:
        body: joints on the canvas.
        dense: (h, w) uint8 DensePose parts on the canvas, or None.
        size_hw: height and width of the canvas.
    """

    def __init__(self, body: Body, dense: np.ndarray | None, size_hw: tuple[int, int]):
        self.body, self.dense, self.size_hw = body, dense, size_hw
        self._parts: dict[tuple, np.ndarray] = {}
        self._legs: dict[tuple, Legs] = {}

    def region(self, rule: Rule, worn: Worn | None) -> np.ndarray:
        """(h, w) uint8, 128 to 254 inside: all that a garment may cover.

        Args:
            rule: shapes and margins.
            worn: what the label map shows, or None.
        """
        body, dense = self.body, self.dense
        even = rule.grow[0] * body.unit if rule.grow[0] == rule.grow[1] else 0.0
        if worn is not None and even and not (rule.parts or rule.arms or rule.trunk or rule.legs):
            return worn.even(even)
        canvas = self._grown_parts(rule)
        if rule.arms:
            draw_arms(canvas, body, rule, dense, worn is not None)
        if rule.trunk:
            draw_polygon(canvas, trunk_outline(body, rule), INSIDE)
        if worn is not None and not even:
            draw_grown(canvas, worn, body, rule)
        if rule.legs:
            outline = legs_outline(body, rule, self._leg_shape(rule, worn))
            cv2.fillConvexPoly(canvas, cv2.convexHull(fixed(outline)), INSIDE, shift=BITS)
        canvas = cv2.blur(canvas, (5, 5))  # rounds corners, and smooths the steps of enlarging
        return canvas if worn is None else cv2.max(canvas, worn.even(even))

    def _grown_parts(self, rule: Rule) -> np.ndarray:
        """(h, w) uint8, a new canvas with DensePose's parts of the rule."""
        if self.dense is None or not rule.parts:
            return np.zeros(self.size_hw, np.uint8)
        if (key := (rule.parts, rule.part_margin, rule.trunk_end)) not in self._parts:
            if (seen := (rule.parts, rule.trunk_end)) not in self._parts:
                self._parts[seen] = cv2.LUT(self.dense, label_table(rule.parts, INSIDE))
                end = max(round(self.body.hips[1] + rule.trunk_end * self.body.unit), 0)
                if end < len(self.dense):
                    below = set(rule.parts).difference(TRUNK_PARTS)
                    self._parts[seen][end:] = cv2.LUT(self.dense[end:], label_table(below, INSIDE))
            self._parts[key] = grown(self._parts[seen], rule.part_margin * self.body.unit)
        return self._parts[key].copy()

    @cached_property
    def _below(self) -> np.ndarray:
        """(h, w) uint8: DensePose's legs and trunk below the hips."""
        assert self.dense is not None
        legs = pick(self.dense, LEG_PARTS + TRUNK_PARTS)
        legs[: max(int(self.body.hips[1]), 0)] = 0
        return legs

    @cached_property
    def _not_arms(self) -> np.ndarray:
        """(h, w) uint8: 255 off DensePose's arms and hands, and off a few pixels around them."""
        assert self.dense is not None
        return cv2.bitwise_not(grown(pick(self.dense, ARM_PARTS + HAND_PARTS), 2))

    def _leg_shape(self, rule: Rule, worn: Worn | None) -> Legs:
        key = bool(rule.trunk), id(worn)
        if key not in self._legs:
            if self.dense is None:
                shape = np.zeros((1, 1), np.uint8) if worn is None else worn.shape
            else:
                shape = self._below
                if worn is not None:
                    arms_off = (
                        cv2.bitwise_and(worn.shape, self._not_arms) if rule.trunk else worn.shape
                    )
                    shape = cv2.max(shape, arms_off)
            self._legs[key] = Legs(self.body, shape, bool(rule.trunk))
        return self._legs[key]


def draw_arms(
    canvas: np.ndarray, body: Body, rule: Rule, dense: np.ndarray | None, labelled: bool
) -> None:
    """Draws both arms; one that is only guessed is left out where DensePose doesn't see it, down
    from where it ends.

    Without a label map it is left out wherever DensePose looks, without DensePose if a label map
    shows what there is.
    """
    radii = [r * body.unit for r in rule.arms]
    for limb, parts in zip(LIMBS[:2], LIMB_PARTS[:2]):
        visible = 3
        for row in (2, 1):
            if body.known[limb[row]]:
                continue
            if labelled if dense is None else not labelled or not pick(dense, parts[row - 1]).any():
                visible = row
        draw_limb(canvas, body.joints[list(limb[:visible])], radii[:visible], INSIDE)


def trunk_outline(body: Body, rule: Rule) -> np.ndarray:
    """(10, 2) corners of the region between neck and hem, in order around it."""
    beside, waist, hips, hem = rule.trunk
    right, left, right_hip, left_hip = body.joints[
        [Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.R_HIP, Joint.L_HIP]
    ]
    middle = 0.4 * body.shoulders + 0.6 * body.hips
    anchors = np.array(
        (
            body.shoulders,
            body.shoulders,
            left,
            middle,
            left_hip,
            left_hip,
            right_hip,
            right_hip,
            middle,
            right,
        )
    )
    half, neck = 0.36 + waist, HEAD_LINE + 0.03
    offsets = np.array(
        (
            (-0.24, neck),
            (0.24, neck),
            (beside, 0.1),
            (half, 0),
            (hips, 0),
            (hips, -hem),
            (-hips, -hem),
            (-hips, 0),
            (-half, 0),
            (-beside, 0.1),
        )
    )  # along side and up
    return anchors + offsets @ np.array((body.side, body.up)) * body.unit


def legs_outline(body: Body, rule: Rule, legs: Legs) -> np.ndarray:
    """(N, 2) points whose convex hull is the region of the legs, from waist to ankles."""
    u, k = body.unit, body.joints.tolist()
    waist, *margins = (m * u for m in rule.legs)
    x, y = (body.hips if rule.trunk else body.hips + body.up * 0.38 * u).tolist()
    points = [(x - 0.35 * u - waist, y), (x + 0.35 * u + waist, y)]
    for joints, margin in zip(((8, 11), (9, 12), (10, 13)), margins):
        for j in joints:
            points += [(k[j][0] - margin, k[j][1]), (k[j][0] + margin, k[j][1])]
    edge = legs.edge
    if not len(edge):
        return np.array(points)
    points += flare_points(body, rule, legs)
    swayed = np.empty((2, *edge.shape))
    down = np.minimum(np.maximum((edge[:, 1] - body.hips[1]) / (2.8 * u), 0), 1)
    shift = u * (rule.sway[0] + (rule.sway[1] - rule.sway[0]) * down)
    swayed[:, :, 1] = edge[:, 1]
    swayed[0, :, 0], swayed[1, :, 0] = edge[:, 0] - shift, edge[:, 0] + shift
    return np.concatenate([points, swayed.reshape(-1, 2)])


class Legs:
    """Legs and what is worn on them, for one or several rules; a dress only below the hips, without
    the arms beside it.

    Args:
        body: joints on the canvas.
        shape: (h, w) uint8, legs and what is worn on them.
        below: whether only what lies below the hips counts.

    Attributes:
        edge: (N, 2) float64 corners of the outlines.
        ankles, thigh: their rows.
        run: rows over which a skirt's widening is seen.
        upper, lower: how far the shape reaches from the hips to the left and right, at the first
            and the last of these rows. None if there is nothing to see.
    """

    def __init__(self, body: Body, shape: np.ndarray, below: bool):
        k = body.joints
        self.ankles = float(k[10, 1] + k[13, 1]) / 2
        top, knees = max(int(body.hips[1]), 0), (k[9, 1] + k[12, 1]) / 2
        self.thigh = int((body.hips[1] + knees) / 2)
        self.edge = outline_points(shape[top:] if below else shape)
        if below:
            self.edge[:, 1] += top
        self.upper: tuple[float, float] | None = None
        height = (self.thigh - top) // 3
        if height >= 1 and len(self.edge):
            rows, middle = slice(self.thigh - height, self.thigh), float(body.hips[0])
            self.upper, self.lower = (
                reaches(shape[top : top + height], middle),
                reaches(shape[rows], middle),
            )
            self.run = self.thigh - height - top

    def ease(self, body: Body) -> float:
        """How far what is worn reaches beyond the bones of the thighs, on the side where it does
        less, in body units.

        Seen above the middle of the thighs alone, so that it does not change with the length of a
        garment.
        """
        if self.upper is None:
            return 0.0
        middle, x = float(body.hips[0]), body.joints[8:13, 0].tolist()
        thighs = (x[0] + x[1]) / 2 - middle, (x[3] + x[4]) / 2 - middle
        return min(self.lower[0] + min(thighs), self.lower[1] - max(thighs)) / body.unit


def outline_points(shape: np.ndarray) -> np.ndarray:
    """(N, 2) float64: corners of the outlines of a uint8 shape, small pieces left out."""
    if not shape.size:
        return np.zeros((0, 2))
    contours, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    areas = [cv2.contourArea(c) for c in contours]
    large = [c[:, 0] for c, area in zip(contours, areas) if area >= FRAGMENT * max(areas)]
    return np.concatenate(large).astype(np.float64) if large else np.zeros((0, 2))


def flare_points(body: Body, rule: Rule, legs: Legs) -> list[tuple[float, float]]:
    """Where the sides of a skirt may be far below the thigh: as wide as skirts usually are,
    whatever the legs do, wider where the garment stands out from the thighs, or as wide as it
    becomes if it goes on as it does above the thigh."""
    if legs.upper is None:
        return []
    middle, hips = body.hips.tolist()
    usual, share, lowest = rule.flare
    if rule.ample:
        least, gain, most = rule.ample
        usual = max(usual, min(usual + gain * (legs.ease(body) - least), most))
    hem = hips + lowest * (legs.ankles - hips)
    points = []
    for sign, a, b in zip((-1, 1), legs.upper, legs.lower):
        slope = min(max((b - a) / legs.run, 0.0), STEEPEST) * share
        widest = max(b + slope * (hem - legs.thigh), usual * body.unit)
        points.append((middle + sign * widest, hem))
    return points


def reaches(band: np.ndarray, middle: float) -> tuple[float, float]:
    """How far a uint8 shape reaches from ``middle`` to the left and to the right, in pixels."""
    x, _, width, _ = cv2.boundingRect(band) if band.size else (0, 0, 0, 0)
    return (max(middle - x, 0.0), max(x + width - 1 - middle, 0.0)) if width else (0.0, 0.0)


def draw_grown(canvas: np.ndarray, worn: Worn, body: Body, rule: Rule) -> None:
    """Grows what is worn by a margin that increases away from the neck, changing ``canvas``.

    Below the hips of a category with legs, their outline takes this part.
    """
    u, (x, y) = body.unit, body.joints[Joint.NECK].tolist()
    above = len(canvas)
    if rule.legs:
        above = bounded(body.hips[1] - (0 if rule.trunk else 0.5 * u), 0, above)
        np.maximum(canvas[above:], worn.even()[above:], out=canvas[above:])
    base, gain = rule.grow[0] * u, (rule.grow[1] - rule.grow[0]) * u
    (rows, columns), distance = worn.box, worn.distance
    height = min(rows.start + len(distance), above) - rows.start
    if height <= 0:
        return
    part = canvas[rows.start : rows.start + height, columns]
    down = (np.arange(rows.start, rows.start + height, dtype=np.float32) - y) / np.float32(1.7 * u)
    down = np.minimum(np.maximum(down, 0), 1)
    aside = (
        np.abs(np.arange(columns.start, columns.start + part.shape[1], dtype=np.float32) - x) / u
    )
    margin = (base + gain * 0.8 * down)[:, None] + gain * 0.5 * np.minimum(aside, 1.5)
    near = cv2.compare(distance[:height], np.maximum(margin, np.float32(RING)), cv2.CMP_LE)
    np.maximum(part, cv2.min(near, INSIDE), out=part)


def drop_islands(region: np.ndarray, limit: np.ndarray, wanted: np.ndarray) -> None:
    """Takes away small pieces of background that what is kept cuts off from the rest, changing
    ``region``.

    Args:
        region: (h, w) uint8 as ``Drawing.region`` gives it.
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
