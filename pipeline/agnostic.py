"""Agnostic masks: which pixels of a person are hidden before another garment is put on.

A mask is drawn on a canvas of 256 rows (the region that a garment of the category may cover, from the body alone),
enlarged once, and met there with the label map: the garment's own pixels are always hidden, what must stay never is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from pipeline.geometry import LIMBS, Body, draw_hull, draw_limb, draw_polygon, find_body, round_points
from pipeline.labels import Atr, Category, Joint

MASK_VERSION = 1
"""Goes up whenever a mask changes for the same input; shards record it."""
STYLES = ("standard", "recipe", "tight", "loose")
CANVAS_ROWS = 256

ARMS = (Atr.LEFT_ARM, Atr.RIGHT_ARM)
LEGS = (Atr.LEFT_LEG, Atr.RIGHT_LEG)
HEAD = (Atr.HAT, Atr.HAIR, Atr.SUNGLASSES)
SHOES = (Atr.LEFT_SHOE, Atr.RIGHT_SHOE)
BOTTOMS = (Atr.SKIRT, Atr.PANTS)
TRUNK_PARTS = (1, 2)
ARM_PARTS = tuple(range(15, 23))
LEG_PARTS = tuple(range(7, 15))


@dataclass(frozen=True)
class Rule:
    """What one style hides for one category. Lengths are in body units.

    Attributes:
        garment: labels that are always hidden.
        keep: labels that never are.
        skin: bare skin that the garment may cover: hidden, with the garment's margin.
        neck: height over the shoulders up to which neck and chest are hidden; None leaves the whole head alone.
        arms: radius at shoulder, elbow and wrist; empty for none.
        trunk: margin beside shoulders, waist and hips, and the hem below the hips; empty for none.
        legs: margin beside waist, hips, knees and ankles; empty for none.
        parts: DensePose parts that belong to the region.
        part_margin: how far they are grown.
        grow: how far the garment's own pixels are grown.
    """

    garment: tuple[int, ...]
    keep: tuple[int, ...]
    skin: tuple[int, ...] = ()
    neck: float | None = None
    arms: tuple[float, ...] = ()
    trunk: tuple[float, ...] = ()
    legs: tuple[float, ...] = ()
    parts: tuple[int, ...] = ()
    part_margin: float = 0.05
    grow: float = 0.05


_STANDARD = {
    Category.UPPER_BODY: Rule(
        garment=(Atr.UPPER_CLOTHES,), keep=(*HEAD, *BOTTOMS, *SHOES, *LEGS, Atr.BAG), skin=ARMS, neck=0.25,
        arms=(0.20, 0.26, 0.36), trunk=(0.10, 0.10, 0.30, 0.30), parts=TRUNK_PARTS + ARM_PARTS),
    Category.LOWER_BODY: Rule(
        garment=BOTTOMS, keep=(*HEAD, Atr.UPPER_CLOTHES, Atr.HEAD, *ARMS, *SHOES, Atr.BAG), skin=LEGS,
        legs=(0.10, 0.30, 0.35, 0.25), parts=LEG_PARTS),
    Category.DRESSES: Rule(
        garment=(Atr.DRESS, Atr.UPPER_CLOTHES, *BOTTOMS), keep=(*HEAD, *SHOES, Atr.BAG), skin=ARMS + LEGS, neck=0.25,
        arms=(0.17, 0.18, 0.20), trunk=(0.05, 0.08, 0.15, 0.30), legs=(0.10, 0.30, 0.30, 0.20),
        parts=TRUNK_PARTS + ARM_PARTS + LEG_PARTS),
}


def _style_rules(rule: Rule, category: Category) -> dict[str, Rule]:
    scaled = lambda factor: {name: tuple(v * factor for v in getattr(rule, name)) for name in ("trunk", "legs")}
    return {
        "standard": rule,
        "recipe": replace(rule, keep=(), garment=() if category is Category.UPPER_BODY else rule.garment),
        "tight": replace(rule, **scaled(0.4), arms=tuple(r * 0.8 for r in rule.arms)),
        "loose": replace(rule, **scaled(1.6), arms=tuple(r * 1.5 for r in rule.arms), grow=0.12),
    }


RULES: dict[tuple[Category, str], Rule] = {
    (category, style): rule
    for category in Category for style, rule in _style_rules(_STANDARD[category], category).items()}


def render_agnostic_mask(category: Category | str, keypoints: np.ndarray, dense_i: np.ndarray | None,
                         label_map: np.ndarray | None, style: str = "standard") -> np.ndarray:
    """(H, W) bool, True = hidden: the region to be redrawn with another garment of ``category``."""
    return render_agnostic_masks(category, keypoints, dense_i, label_map, (style,))[style]


def render_agnostic_masks(category: Category | str, keypoints: np.ndarray, dense_i: np.ndarray | None,
                          label_map: np.ndarray | None, styles: Iterable[str] = STYLES) -> dict[str, np.ndarray]:
    """Style -> mask, as ``render_agnostic_mask`` gives them; sharing the work."""
    scene = Scene(Category(category), keypoints, dense_i, label_map)
    return {style: scene.render(RULES[scene.category, style]) for style in styles}


def apply_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the agnostic image, a copy of ``image`` that is black where ``mask`` is True."""
    return cv2.copyTo(image, (~mask).view(np.uint8))


class Scene:
    """One person's maps on the full frame and on the canvas."""

    def __init__(self, category: Category, keypoints: np.ndarray, dense: np.ndarray | None, labels: np.ndarray | None):
        self.category, self.labels, self.dense = category, labels, dense
        self.shape = (labels if labels is not None else dense).shape
        self.scale = min(1.0, CANVAS_ROWS / self.shape[0])
        self.size = (max(1, round(self.shape[1] * self.scale)), max(1, round(self.shape[0] * self.scale)))
        small = lambda m: None if m is None else cv2.resize(m, self.size, interpolation=cv2.INTER_NEAREST_EXACT)
        self.small_labels, self.small_dense = small(labels), small(dense)
        self.body = find_body(keypoints[:, :2] * self.scale, self.size[::-1], self.small_dense, self.small_labels)

    def render(self, rule: Rule) -> np.ndarray:
        canvas = np.zeros(self.size[::-1], np.uint8)
        if self.body is not None:
            draw_region(canvas, self.body, rule, self.small_dense, self.small_labels)
        region = cv2.resize(canvas, self.shape[::-1], interpolation=cv2.INTER_LINEAR)
        if self.labels is None:
            return region > 127
        table = np.full(256, 128, np.uint8)
        table[list(rule.keep)] = 255
        table[list(rule.garment)] = 0
        limit = cv2.LUT(self.labels, table)
        if rule.keep:
            self._keep_hands(limit)
            if rule.neck is not None:
                self._keep_face(limit, rule.neck)
        return np.minimum(region, 254) >= limit

    def _keep_hands(self, limit: np.ndarray) -> None:
        if self.dense is None:
            return
        hands = cv2.bitwise_and(cv2.inRange(self.dense, 3, 4), cv2.inRange(self.labels, 14, 15))
        limit[hands > 0] = 255

    def _keep_face(self, limit: np.ndarray, height: float) -> None:
        body, line = self.body, np.zeros(self.size[::-1], np.uint8)
        if body is None:
            limit[self.labels == Atr.HEAD] = 255
            return
        middle, far = body.shoulders + body.up * height * body.unit, 9 * max(self.size)
        draw_polygon(line, [middle - body.side * far, middle + body.side * far,
                            middle + body.side * far + body.up * far, middle - body.side * far + body.up * far])
        line = cv2.resize(line, self.shape[::-1], interpolation=cv2.INTER_LINEAR)
        limit[(self.labels == Atr.HEAD) & (line > 127)] = 255


def draw_region(canvas: np.ndarray, body: Body, rule: Rule, dense: np.ndarray | None,
                labels: np.ndarray | None) -> None:
    """Draws everything that a garment may cover, changing ``canvas``; from the body, then from the label map."""
    u, k = body.unit, body.joints
    if rule.arms:
        for limb in LIMBS[:2]:
            draw_limb(canvas, k[list(limb)], [r * u for r in rule.arms])
    if rule.trunk:
        beside, waist, hips, hem = (m * u for m in rule.trunk)
        side, up = body.side, body.up
        right, left, right_hip, left_hip = k[Joint.R_SHOULDER], k[Joint.L_SHOULDER], k[Joint.R_HIP], k[Joint.L_HIP]
        draw_hull(canvas, np.array([right - side * beside + up * .1 * u, right + side * .2 * u + up * rule.neck * u,
            left - side * .2 * u + up * rule.neck * u, left + side * beside + up * .1 * u,
            left_hip + side * hips - up * hem, right_hip - side * hips - up * hem]))
    if dense is not None:
        draw_grown(canvas, dense, rule.parts, rule.part_margin * u)
    if labels is not None:
        draw_grown(canvas, labels, rule.garment + rule.skin, max(rule.grow * u, 2.5))
    if rule.legs:
        draw_legs(canvas, body, rule, labels)


def draw_legs(canvas, body, rule, labels):
    u, k = body.unit, body.joints
    waist, hips, knees, ankles = (m * u for m in rule.legs)
    side, up = body.side, body.up
    rows = [Joint.R_HIP, Joint.L_HIP, Joint.R_KNEE, Joint.L_KNEE, Joint.R_ANKLE, Joint.L_ANKLE]
    middle = body.hips + up * .35 * u
    points = [round_points(k[rows], [hips, hips, knees, knees, ankles, ankles])]
    points = np.concatenate([*points, [middle - side * (.35 * u + waist), middle + side * (.35 * u + waist)]])
    draw_hull(canvas, points)


def draw_grown(canvas: np.ndarray, labels: np.ndarray, ids: tuple[int, ...], margin: float) -> None:
    """Fills where ``labels`` holds one of ``ids``, grown by ``margin`` pixels, changing ``canvas``."""
    if not ids:
        return
    table = np.zeros(256, np.uint8)
    table[list(ids)] = 255
    size = 2 * round(margin) + 1
    grown = cv2.dilate(cv2.LUT(labels, table), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    cv2.max(canvas, grown, dst=canvas)
