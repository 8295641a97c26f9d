"""Agnostic masks: which pixels of a person are hidden before another garment is put on.

A mask is drawn on a canvas of 256 rows (the region that a garment of the category may cover),
enlarged once, and met
there with the label map: the garment's own pixels are always hidden, what must stay never is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import cv2
import numpy as np

from pipeline.base.labels import Atr, Category
from pipeline.masks.body import bounded, find_body
from pipeline.masks.evidence import corrected
from pipeline.masks.peers import knows, render_peer_mask
from pipeline.masks.protect import head_rows, protect
from pipeline.masks.rules import HAND_PARTS, HEAD_PARTS, RULES, UNLABELLED, Rule
from pipeline.masks.shapes import Drawing, Worn, drop_islands, pick
from pipeline.masks.styles import PEER_STYLES, STYLES

MASK_VERSION = 10
"""Goes up whenever a mask changes for the same input; shards record it."""
CANVAS_ROWS = 256
HIDE, REGION, KEEP = 0, 128, 255
"""A pixel is hidden where the enlarged region (0 to 254) reaches its limit: always, inside the
region, never."""


def render_agnostic_mask(
    category: Category | str,
    keypoints: np.ndarray,
    dense_i: np.ndarray | None,
    label_map: np.ndarray | None,
    style: str = "standard",
) -> np.ndarray:
    """Where a person is hidden so that any garment of ``category`` can be put on.

    Args:
        category: garment category.
        keypoints: (18, >= 2) x, y in pixels of the maps; NaN where a joint is missing. Points far
            outside the picture count as missing. Any number may be missing.
        dense_i: (H, W) uint8 DensePose parts, or None.
        label_map: (H, W) uint8 ATR classes, or None; at least one of the two maps is there.
        style: one that ``RULES`` knows for the category, or one of ``PEER_STYLES``; a peer's that
            does not know the category gives the mask of "standard".

    Returns:
        (H, W) bool, True = hidden. With a label map the garment's pixels are all True (not in the
        style "recipe" for the upper body, which looks at no labels, nor in peers' styles). Inputs
        are not changed.

    Raises:
        ValueError: no map at all, maps of different sizes, or an unknown style.
    """
    return render_agnostic_masks(category, keypoints, dense_i, label_map, (style,))[style]


def render_agnostic_masks(
    category: Category | str,
    keypoints: np.ndarray,
    dense_i: np.ndarray | None,
    label_map: np.ndarray | None,
    styles: Iterable[str] = STYLES,
) -> dict[str, np.ndarray]:
    """Style -> mask, each as ``render_agnostic_mask`` gives it, for less work than one by one."""
    category, styles = Category(category), tuple(styles)
    known = (*(style for c, style in RULES if c is category), *PEER_STYLES)
    for style in styles:
        if style not in known:
            raise ValueError(f"no mask style {style!r}; there are {', '.join(known)}.")
    scene = Scene(keypoints, dense_i, label_map, RULES[category, "standard"])
    masks = np.empty(
        (len(styles), *scene.shape), bool
    )  # one block: fewer pages to fetch than one by one
    for style, mask in zip(styles, masks):
        if style in PEER_STYLES and knows(style, category):
            mask[:] = render_peer_mask(style, category, keypoints, dense_i, label_map)
        else:
            scene.render(_rule_of(category, style, label_map is not None), mask)
    return dict(zip(styles, masks))


def _rule_of(category: Category, style: str, labelled: bool) -> Rule:
    rule = RULES[category, "standard" if style in PEER_STYLES else style]
    if not labelled and (rule is RULES[category, "standard"] or not rule.parts):
        return UNLABELLED[category]
    return rule


def apply_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the agnostic image, a copy of ``image`` that is black where ``mask`` is
    True."""
    return cv2.copyTo(image, np.logical_not(mask).view(np.uint8))


class Scene:
    """One person's maps in full size and on the canvas, and what the styles of one category have in
    common."""

    def __init__(
        self,
        keypoints: np.ndarray,
        dense: np.ndarray | None,
        labels: np.ndarray | None,
        trust: Rule | None = None,
    ):
        whole = labels if labels is not None else dense
        if whole is None:
            raise ValueError("a mask needs a label map or DensePose; both are missing.")
        if dense is not None and labels is not None and dense.shape != labels.shape:
            raise ValueError(
                f"label map {labels.shape} and DensePose {dense.shape} differ in size."
            )
        self.labels, self.dense = labels, dense
        self.shape: tuple[int, int] = whole.shape
        self.scale = min(1.0, CANVAS_ROWS / self.shape[0])
        width, height = (
            max(1, round(self.shape[1] * self.scale)),
            max(1, round(self.shape[0] * self.scale)),
        )
        self.canvas = height, width
        self.small_labels = None if labels is None else self._small(labels)
        self.small_dense = None if dense is None else self._small(dense)
        self.body = find_body(
            np.asarray(keypoints)[:, :2] * self.scale,
            self.canvas,
            self.small_dense,
            self.small_labels,
        )
        self.drawing = (
            None if self.body is None else Drawing(self.body, self.small_dense, self.canvas)
        )
        if self.body is not None and trust is not None and labels is not None:
            assert self.small_labels is not None
            self.labels = corrected(labels, self.small_labels, self.small_dense, self.body, trust)
            if self.labels is not labels:
                self.small_labels = self._small(self.labels)
        self._limits: dict[tuple, np.ndarray] = {}
        self._garments: dict[tuple, np.ndarray] = {}
        self._seen: dict[tuple, Worn] = {}

    def render(self, rule: Rule, mask: np.ndarray) -> None:
        """Fills the (H, W) bool ``mask``."""
        limit = self._limit(rule)
        if limit is None:
            mask.fill(False)
        else:
            np.equal(limit, HIDE, out=mask)
        if self.drawing is not None:
            worn = (
                self._worn(rule) if self.labels is not None and rule.garment + rule.skin else None
            )
            region = self.drawing.region(rule, worn)
            if worn is not None and limit is not None and rule.parts and rule.keep:
                drop_islands(region, self._small(limit), worn.shape)
            self._enlarge(region, limit if self.labels is None or rule.keep else None, mask, rule)

    def _small(self, whole: np.ndarray) -> np.ndarray:
        """A map on the canvas; the same for a map of half the size that was made smaller by nearest
        neighbours."""
        (height, width), (rows, columns) = self.shape, self.canvas
        step = height // rows
        if (rows * step, columns * step) == (height, width):
            first = (step - 1) // 2  # halving keeps odd rows: row 0 of 512 is row 1 of 1024
            return whole[first::step, first::step].copy()
        return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)

    def _enlarge(
        self, region: np.ndarray, limit: np.ndarray | None, mask: np.ndarray, rule: Rule
    ) -> None:
        """Hides where the enlarged region reaches its limit, changing ``mask``; only around the
        region if it can."""
        (height, width), (rows, columns) = self.shape, self.canvas
        times = 1
        box: tuple[slice, ...] = slice(None), slice(None)
        if height % rows == 0 == width % columns and height // rows == width // columns:
            times = height // rows
            x, y, across, down = cv2.boundingRect(region)
            cells = slice(max(y - 1, 0), y + down + 1), slice(max(x - 1, 0), x + across + 1)
            region = region[cells]
            height, width = region.shape[0] * times, region.shape[1] * times
            box = tuple(slice(part.start * times, part.stop * times) for part in cells)
        hidden = mask[box]
        large = hidden.view(np.uint8)  # no room is needed but the mask's own
        garment = hidden.copy() if limit is None and rule.garment else None
        cv2.resize(region, (width, height), dst=large, interpolation=cv2.INTER_LINEAR)
        np.greater_equal(large, REGION if limit is None else limit[box], out=hidden)
        if garment is not None:
            np.logical_or(hidden, garment, out=hidden)

    def _limit(self, rule: Rule) -> np.ndarray | None:
        """(H, W) uint8: how much region it takes to hide each pixel; None where it is the same
        everywhere.

        Styles that keep the same things share it; one that keeps nothing takes any with its
        garment.
        """
        key: tuple
        if self.labels is None:
            key = rule.keep_parts, bool(rule.trunk)
        elif rule.keep:
            key = rule.garment, rule.keep, rule.keep_skin
        elif not rule.garment:
            return None
        else:
            key = next((k for k in self._limits if k[0] == rule.garment), (rule.garment,))
        if key not in self._limits:
            self._limits[key] = (
                self._label_limit(rule) if self.labels is not None else self._dense_limit(rule)
            )
        return self._limits[key]

    def _label_limit(self, rule: Rule) -> np.ndarray:
        assert self.labels is not None
        table = np.full(256, REGION, np.uint8)
        table[list(rule.keep)] = KEEP
        table[list(rule.garment)] = HIDE
        limit = cv2.LUT(self.labels, table)
        if self.body is not None and rule.keep:
            protect(
                limit, KEEP, self.labels, self.dense, self.body, 1 / self.scale, rule, self._hands
            )
        return limit

    @cached_property
    def _hands(self) -> tuple[slice, ...] | None:
        """Rows and columns of the picture that hold DensePose's hands."""
        if self.small_dense is None:
            return None
        x, y, width, height = cv2.boundingRect(cv2.inRange(self.small_dense, *HAND_PARTS))
        first, last = (
            np.array((y - 2, x - 2)) / self.scale,
            np.array((y + height + 2, x + width + 2)) / self.scale,
        )
        return tuple(slice(max(int(a), 0), int(b)) for a, b in zip(first, last))

    def _dense_limit(self, rule: Rule) -> np.ndarray:
        assert self.dense is not None
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
        key = rule.garment, rule.skin, rule.also, rule.keep_skin
        if key not in self._seen:
            labels, body = self.small_labels, self.body
            assert labels is not None and body is not None
            if rule.garment not in self._garments:
                self._garments[rule.garment] = pick(labels, rule.garment)
            worn = self._garments[rule.garment]
            if rule.also:
                worn = worn.copy()
                hips = bounded(body.hips[1], 0, len(worn))
                upper, lower = (label in rule.garment for label in (Atr.UPPER_CLOTHES, Atr.PANTS))
                rows = slice(0 if upper else hips, None if lower else hips)
                if labels[rows].size:
                    np.maximum(worn[rows], pick(labels[rows], rule.also), out=worn[rows])
            both = worn
            if rule.skin:
                both = pick(labels, rule.skin)
                protect(both, 0, labels, self.small_dense, body, 1.0, rule)
                both = cv2.max(worn, both)
            self._seen[key] = Worn(both)
        return self._seen[key]
