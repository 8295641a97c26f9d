"""Agnostic masks: which pixels of a person are hidden before another garment is put on.

A mask is drawn on a canvas of 256 rows (the region that a garment of the category may cover), enlarged once, and met
there with the label map: the garment's own pixels are always hidden, what must stay never is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import cv2
import numpy as np

from pipeline.geometry import find_body
from pipeline.labels import Category
from pipeline.protect import head_rows, protect
from pipeline.regions import Worn, pick, render_region
from pipeline.rules import HAND_PARTS, HEAD_PARTS, RULES, Rule

MASK_VERSION = 3
"""Goes up whenever a mask changes for the same input; shards record it."""
STYLES = ("standard", "recipe", "tight", "loose")
CANVAS_ROWS = 256
_SPECK = np.ones((5, 5), np.uint8)
"""Pieces of garment too small to hold this many cells are hidden, but not grown far."""
HIDE, REGION, KEEP = 0, 128, 255
"""A pixel is hidden where the enlarged region (0 to 254) reaches its limit: always, inside the region, never."""


def render_agnostic_mask(category: Category | str, keypoints: np.ndarray, dense_i: np.ndarray | None,
                         label_map: np.ndarray | None, style: str = "standard") -> np.ndarray:
    """Where a person is hidden so that any garment of ``category`` can be put on.

    Args:
        category: garment category.
        keypoints: (18, >= 2) x, y in pixels of the maps; NaN where a joint is missing. Points far outside the picture
            count as missing. Any number may be missing.
        dense_i: (H, W) uint8 DensePose parts, or None.
        label_map: (H, W) uint8 ATR classes, or None; at least one of the two maps is there.
        style: a style that ``RULES`` knows for the category.

    Returns:
        (H, W) bool, True = hidden. With a label map the garment's pixels are all True (not in the style "recipe" for
        the upper body, which looks at no labels). Inputs are not changed.

    Raises:
        ValueError: no map at all, maps of different sizes, or an unknown style.
    """
    return render_agnostic_masks(category, keypoints, dense_i, label_map, (style,))[style]


def render_agnostic_masks(category: Category | str, keypoints: np.ndarray, dense_i: np.ndarray | None,
                          label_map: np.ndarray | None, styles: Iterable[str] = STYLES) -> dict[str, np.ndarray]:
    """Style -> mask, each as ``render_agnostic_mask`` gives it, for less work than one by one."""
    category, styles = Category(category), tuple(styles)
    for style in styles:
        if (category, style) not in RULES:
            raise ValueError(f"no mask style {style!r}; there are {', '.join(s for c, s in RULES if c is category)}.")
    scene = Scene(keypoints, dense_i, label_map)
    return {style: scene.render(RULES[category, style], RULES[category, "standard"]) for style in styles}


def apply_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the agnostic image, a copy of ``image`` that is black where ``mask`` is True."""
    return cv2.copyTo(image, np.logical_not(mask).view(np.uint8))


class Scene:
    """One person's maps in full size and on the canvas, and what the styles of one category have in common."""

    def __init__(self, keypoints: np.ndarray, dense: np.ndarray | None, labels: np.ndarray | None):
        if dense is None and labels is None:
            raise ValueError("a mask needs a label map or DensePose; both are missing.")
        if dense is not None and labels is not None and dense.shape != labels.shape:
            raise ValueError(f"label map {labels.shape} and DensePose {dense.shape} differ in size.")
        self.labels, self.dense = labels, dense
        self.shape = (labels if labels is not None else dense).shape
        self.scale = min(1.0, CANVAS_ROWS / self.shape[0])
        width, height = max(1, round(self.shape[1] * self.scale)), max(1, round(self.shape[0] * self.scale))
        self.canvas = height, width
        small = lambda m: None if m is None else cv2.resize(m, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        self.small_labels, self.small_dense = small(labels), small(dense)
        self.body = find_body(np.asarray(keypoints)[:, :2] * self.scale, self.canvas, self.small_dense,
                              self.small_labels)
        self._limits: dict[tuple, np.ndarray] = {}
        self._seen: dict[tuple, Worn] = {}

    def render(self, rule: Rule, fallback: Rule) -> np.ndarray:
        """(H, W) bool mask; ``fallback`` is for a rule that shows nothing without a label map."""
        if self.labels is None and not rule.parts:
            rule = fallback
        limit = self._limit(rule)
        mask = limit == HIDE
        if self.body is not None:
            worn = self._worn(rule) if self.labels is not None and rule.garment + rule.skin else None
            self._enlarge(render_region(self.body, rule, self.small_dense, worn, self.canvas), limit, mask)
        return mask

    def _enlarge(self, region: np.ndarray, limit: np.ndarray, mask: np.ndarray) -> None:
        """Hides where the enlarged region reaches its limit, changing ``mask``; only around the region if it can."""
        (height, width), (rows, columns) = self.shape, self.canvas
        if height % rows or width % columns or height // rows != width // columns:
            np.greater_equal(cv2.resize(region, (width, height), interpolation=cv2.INTER_LINEAR), limit, out=mask)
            return
        times = height // rows
        x, y, across, down = cv2.boundingRect(region)
        left, top, right, bottom = max(x - 1, 0), max(y - 1, 0), min(x + across + 1, columns), min(y + down + 1, rows)
        size = (right - left) * times, (bottom - top) * times
        box = slice(top * times, bottom * times), slice(left * times, right * times)
        large = cv2.resize(region[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR)
        np.greater_equal(large, limit[box], out=mask[box])

    def _limit(self, rule: Rule) -> np.ndarray:
        """(H, W) uint8: how much region it takes to hide each pixel. Styles that keep the same things share it."""
        key = rule.garment, rule.keep, rule.keep_skin, rule.keep_parts
        if key not in self._limits:
            self._limits[key] = self._label_limit(rule) if self.labels is not None else self._dense_limit(rule)
        return self._limits[key]

    def _label_limit(self, rule: Rule) -> np.ndarray:
        if not rule.keep:
            return self._unprotected(rule)
        table = np.full(256, REGION, np.uint8)
        table[list(rule.keep)] = KEEP
        table[list(rule.garment)] = HIDE
        limit = cv2.LUT(self.labels, table)
        if self.body is not None:
            protect(limit, KEEP, self.labels, self.dense, self.body, 1 / self.scale, rule, self._hands)
        return limit

    def _unprotected(self, rule: Rule) -> np.ndarray:
        """The limit of a rule that keeps nothing: another style's with the same garment is quicker than a table."""
        for (garment, *_), limit in self._limits.items():
            if garment == rule.garment:
                return cv2.min(limit, REGION)
        table = np.full(256, REGION, np.uint8)
        table[list(rule.garment)] = HIDE
        return cv2.LUT(self.labels, table) if rule.garment else np.full(self.shape, REGION, np.uint8)

    @cached_property
    def _hands(self) -> tuple[slice, slice] | None:
        """Rows and columns of the picture that hold DensePose's hands."""
        if self.small_dense is None:
            return None
        x, y, width, height = cv2.boundingRect(cv2.inRange(self.small_dense, *HAND_PARTS))
        first, last = np.array((y - 2, x - 2)) / self.scale, np.array((y + height + 2, x + width + 2)) / self.scale
        return tuple(slice(max(int(a), 0), int(b)) for a, b in zip(first, last))

    def _dense_limit(self, rule: Rule) -> np.ndarray:
        table = np.full(256, REGION, np.uint8)
        table[list(rule.keep_parts)] = KEEP
        limit = cv2.LUT(self.dense, table)
        if rule.keep_parts and rule.trunk and self.body is not None:
            above, rows = head_rows(*self.shape, self.body, 1 / self.scale)
            head = pick(self.dense, HEAD_PARTS)
            if rows:
                head[:rows] = cv2.subtract(head[:rows], above)
            limit[head > 0] = REGION
        return limit

    def _worn(self, rule: Rule) -> Worn:
        """On the canvas: the garment, under whatever name, and skin that it may cover."""
        key = rule.garment, rule.skin, rule.also, rule.keep_skin, rule.grow_skin
        if key not in self._seen:
            labels = self.small_labels
            worn, skin = pick(labels, rule.garment), pick(labels, rule.skin)
            if rule.also:
                hips = int(np.clip(self.body.hips[1], 0, len(worn)))
                rows = slice(0, hips if not rule.legs else None) if rule.trunk else slice(hips, None)
                np.maximum(worn[rows], pick(labels, rule.also)[rows], out=worn[rows])
            protect(skin, 0, labels, self.small_dense, self.body, 1.0, rule)
            both = cv2.max(worn, skin)
            self._seen[key] = Worn(both, cv2.morphologyEx(both if rule.grow_skin else worn, cv2.MORPH_OPEN, _SPECK))
        return self._seen[key]
