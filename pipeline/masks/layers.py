"""One person's maps in full size and on the canvas, and what rules make of them: computed once for
each choice, and shared by all styles that choose the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, TypeVar

import cv2
import numpy as np

from pipeline.base.arrays import check_keypoints, check_map, check_picture
from pipeline.base.labels import Atr
from pipeline.masks.body import bounded, find_body
from pipeline.masks.evidence import corrected
from pipeline.masks.protect import head_rows, protect
from pipeline.masks.rules import HAND_PARTS, HEAD_PARTS, TRUNK_PARTS, Rule, label_table
from pipeline.masks.shapes import INSIDE, RING, grown, pick

CANVAS_ROWS = 256
HIDE, REGION, KEEP = 0, 128, 255
"""A pixel is hidden where the enlarged region (0 to 254) reaches its limit: always, inside the
region, never."""
Method = TypeVar("Method", bound=Callable[..., Any])


def remembered(method: Method) -> Method:
    """A method that computes once for each choice of arguments and keeps the result with its
    object; what it returns must not be changed."""

    @wraps(method)
    def look_up(self, *choice):
        key = method.__name__, choice
        if key not in self.memory:
            self.memory[key] = method(self, *choice)
        return self.memory[key]

    return look_up  # type: ignore[return-value]


def same_shape(photo: np.ndarray, whole: np.ndarray) -> bool:
    """Whether height and width stand to each other alike, as far as whole pixels allow."""
    (height, width), (rows, columns) = photo.shape[:2], whole.shape
    return abs(height * columns - width * rows) <= max(rows, columns)


class Layers:
    """What is known of one person.

    Args:
        keypoints: (18, >= 2) x, y in pixels of the maps; NaN where missing.
        dense: (H, W) uint8 DensePose parts, or None.
        labels: (H, W) uint8 ATR classes, or None.
        standard: the rule of the category whose ``doubt`` says which labels may be wrong.
        photo: (h, w, 3) uint8 RGB of any size, which may tell that they are; or None.

    Attributes:
        labels, dense: in full size; labels without those that body or photo show to be wrong.
        small_labels, small_dense: on the canvas.
        body: joints on the canvas; None where nobody is seen.
        shape, canvas: height and width.
        scale: of the canvas, at most 1.

    Raises:
        ValueError: no map at all, maps of different sizes, a photo of another shape, or arrays of
            another kind.
    """

    def __init__(
        self,
        keypoints: np.ndarray,
        dense: np.ndarray | None,
        labels: np.ndarray | None,
        standard: Rule,
        photo: np.ndarray | None = None,
    ):
        whole = labels if labels is not None else dense
        if whole is None:
            raise ValueError("a mask needs a label map or DensePose; both are missing.")
        check_keypoints(keypoints)
        for name, map_ in (("label map", labels), ("DensePose", dense)):
            if map_ is not None:
                check_map(map_, name)
        if photo is not None:
            check_picture(photo, "photo")
        if dense is not None and labels is not None and dense.shape != labels.shape:
            raise ValueError(
                f"label map {labels.shape} and DensePose {dense.shape} differ in size."
            )
        if photo is not None and not same_shape(photo, whole):
            raise ValueError(f"photo {photo.shape[:2]} and maps {whole.shape} differ in shape.")
        self.memory: dict[tuple[Any, ...], Any] = {}
        self.standard, self.labels, self.dense = standard, labels, dense
        self.shape: tuple[int, int] = whole.shape
        self.scale = min(1.0, CANVAS_ROWS / self.shape[0])
        height, width = (max(1, round(side * self.scale)) for side in self.shape)
        self.canvas = height, width
        self.small_labels = None if labels is None else self.small(labels)
        self.small_dense = None if dense is None else self.small(dense)
        joints = np.asarray(keypoints)[:, :2] * self.scale
        self.body = find_body(joints, self.canvas, self.small_dense, self.small_labels)
        if self.body is not None and labels is not None and self.small_labels is not None:
            maps = labels, self.small_labels, self.small_dense
            self.labels = corrected(*maps, self.body, standard, photo)
            if self.labels is not labels:
                self.small_labels = self.small(self.labels)

    def small(self, whole: np.ndarray) -> np.ndarray:
        """A map on the canvas; the same for a map of half the size that was made smaller by nearest
        neighbours."""
        (height, width), (rows, columns) = self.shape, self.canvas
        step = height // rows
        if (rows * step, columns * step) == (height, width):
            first = (step - 1) // 2  # halving keeps odd rows: row 0 of 512 is row 1 of 1024
            return whole[first::step, first::step].copy()
        return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)

    def limit(self, rule: Rule) -> np.ndarray | None:
        """(H, W) uint8: how much region it takes to hide each pixel; None where nothing is always
        hidden or kept. A rule that keeps nothing is told by ``HIDE`` alone."""
        if self.labels is None:
            return self._dense_limit(rule.keep_parts, rule.trunk is not None)
        if not rule.garment and not rule.keep:
            return None
        if not rule.keep and rule.garment == self.standard.garment:
            rule = self.standard  # hides the same, and is there already
        return self._label_limit(rule.garment, rule.keep, rule.keep_skin)

    @remembered
    def _label_limit(
        self, garment: tuple[int, ...], keep: tuple[int, ...], keep_skin: tuple[str, ...]
    ) -> np.ndarray:
        assert self.labels is not None
        table = np.full(256, REGION, np.uint8)
        table[list(keep)] = KEEP
        table[list(garment)] = HIDE
        limit = cv2.LUT(self.labels, table)
        if self.body is not None and keep:
            size = 1 / self.scale
            maps = self.labels, self.dense
            protect(limit, KEEP, *maps, self.body, size, keep_skin, garment, self._hands)
        return limit

    @remembered
    def _dense_limit(self, keep_parts: tuple[int, ...], neck_may_be_hidden: bool) -> np.ndarray:
        assert self.dense is not None
        table = np.full(256, REGION, np.uint8)
        table[list(keep_parts)] = KEEP
        limit = cv2.LUT(self.dense, table)
        if keep_parts and neck_may_be_hidden and self.body is not None:
            above, rows = head_rows(*self.shape, self.body, 1 / self.scale)
            head = pick(self.dense, HEAD_PARTS)
            if rows:
                head[:rows] = cv2.subtract(head[:rows], above)
            limit[head > 0] = REGION
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

    @remembered
    def garment(self, garment: tuple[int, ...], also: tuple[int, ...]) -> np.ndarray:
        """(h, w) uint8, on the canvas: the garment, under whatever name."""
        labels, body = self.small_labels, self.body
        assert labels is not None and body is not None
        worn = pick(labels, garment)
        if also:
            hips = bounded(body.hips[1], 0, len(worn))
            upper, lower = (label in garment for label in (Atr.UPPER_CLOTHES, Atr.PANTS))
            rows = slice(0 if upper else hips, None if lower else hips)
            if labels[rows].size:
                np.maximum(worn[rows], pick(labels[rows], also), out=worn[rows])
        return worn

    @remembered
    def worn(
        self,
        garment: tuple[int, ...],
        also: tuple[int, ...],
        skin: tuple[int, ...],
        keep_skin: tuple[str, ...],
    ) -> np.ndarray:
        """(h, w) uint8, on the canvas: the garment, and skin that it may cover."""
        worn = self.garment(garment, also)
        if not skin:
            return worn
        assert self.small_labels is not None and self.body is not None
        bare = pick(self.small_labels, skin)
        maps = self.small_labels, self.small_dense
        protect(bare, 0, *maps, self.body, 1.0, keep_skin, garment)
        return cv2.max(worn, bare)

    @remembered
    def worn_grown(self, margin: int, *worn: tuple[Any, ...]) -> np.ndarray:
        """(h, w) uint8: the same, grown by so many cells; ``worn`` as that method takes it."""
        return cv2.min(grown(self.worn(*worn), max(margin, RING)), INSIDE)

    @remembered
    def parts(self, parts: tuple[int, ...], trunk_end: float) -> np.ndarray:
        """(h, w) uint8, on the canvas: DensePose's parts, those of the trunk down to an end."""
        assert self.small_dense is not None and self.body is not None
        seen = cv2.LUT(self.small_dense, label_table(parts, INSIDE))
        end = max(round(self.body.hips[1] + trunk_end * self.body.unit), 0)
        if end < len(seen):
            below = set(parts).difference(TRUNK_PARTS)
            seen[end:] = cv2.LUT(self.small_dense[end:], label_table(below, INSIDE))
        return seen

    @remembered
    def parts_grown(self, parts: tuple[int, ...], trunk_end: float, margin: float) -> np.ndarray:
        """(h, w) uint8: the same, grown by a margin in body units; zeros without DensePose."""
        if self.small_dense is None or not parts:
            return np.zeros(self.canvas, np.uint8)
        assert self.body is not None
        return grown(self.parts(parts, trunk_end), margin * self.body.unit)
