"""Agnostic masks: which pixels of a person are hidden before another garment is put on.

A mask is drawn on a canvas of 256 rows (the region that a garment of the category may cover),
enlarged once, and met
there with the label map: the garment's own pixels are always hidden, what must stay never is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from pipeline.base.labels import GARMENT_LABELS, Category
from pipeline.masks.layers import HIDE, REGION, Layers
from pipeline.masks.peers import knows, render_peer_mask
from pipeline.masks.rules import RULES, UNLABELLED, Rule
from pipeline.masks.shapes import draw_shapes, drop_islands
from pipeline.masks.styles import PEER_STYLES, STYLES

MASK_VERSION = 12
"""Goes up whenever a mask changes for the same input; shards record it."""


MISLABELLED = 0.2
"""Share of a garment under the class of other clothes from which on it is worth telling."""


def render_agnostic_mask(
    category: Category | str,
    keypoints: np.ndarray,
    dense_i: np.ndarray | None,
    label_map: np.ndarray | None,
    style: str = "standard",
    photo: np.ndarray | None = None,
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
        photo: (h, w, 3) uint8 RGB, as the maps are or smaller, or None. Its colours tell more of a
            garment that bears the class of other clothes.

    Returns:
        (H, W) bool, True = hidden. With a label map the garment's pixels are all True (not in the
        style "recipe" for the upper body, which looks at no labels, nor in peers' styles). Inputs
        are not changed.

    Raises:
        ValueError: no map at all, maps of different sizes, a photo of another
            shape, or an unknown style.
    """
    sources = keypoints, dense_i, label_map
    return render_agnostic_masks(category, *sources, (style,), photo)[style]


def render_agnostic_masks(
    category: Category | str,
    keypoints: np.ndarray,
    dense_i: np.ndarray | None,
    label_map: np.ndarray | None,
    styles: Iterable[str] = STYLES,
    photo: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Style -> mask, each as ``render_agnostic_mask`` gives it, for less work than one by one."""
    category, styles = Category(category), tuple(styles)
    known = (*(style for c, style in RULES if c is category), *PEER_STYLES)
    for style in styles:
        if style not in known:
            raise ValueError(f"no mask style {style!r}; there are {', '.join(known)}.")
    layers = Layers(keypoints, dense_i, label_map, RULES[category, "standard"], photo)
    masks = np.empty(
        (len(styles), *layers.shape), bool
    )  # one block: fewer pages to fetch than one by one
    for style, mask in zip(styles, masks):
        if style in PEER_STYLES and knows(style, category):
            mask[:] = render_peer_mask(style, category, keypoints, dense_i, label_map)
        else:
            render(layers, _rule_of(category, style, label_map is not None), mask)
    return dict(zip(styles, masks))


def mislabelled_share(
    category: Category | str,
    keypoints: np.ndarray,
    dense_i: np.ndarray | None,
    label_map: np.ndarray,
    photo: np.ndarray | None = None,
) -> float:
    """Share, 0 to 1, of the garment that bears the class of other clothes, as the masks see it.

    Args: as of ``render_agnostic_mask``; the label map has to be there.
    """
    rule = RULES[Category(category), "standard"]
    layers = Layers(keypoints, dense_i, label_map, rule, photo)
    if layers.labels is label_map or layers.labels is None:
        return 0.0
    garment = np.isin(layers.labels, GARMENT_LABELS[Category(category)])
    moved = garment & (layers.labels != label_map)
    return int(np.count_nonzero(moved)) / max(1, int(np.count_nonzero(garment)))


def _rule_of(category: Category, style: str, labelled: bool) -> Rule:
    rule = RULES[category, "standard" if style in PEER_STYLES else style]
    if not labelled and (rule is RULES[category, "standard"] or not rule.parts):
        return UNLABELLED[category]
    return rule


def apply_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the agnostic image, a copy of ``image`` that is black where ``mask`` is
    True. Raises ValueError where the two differ in size."""
    if mask.shape != image.shape[:2]:
        raise ValueError(f"mask {mask.shape} and picture {image.shape[:2]} differ in size.")
    return cv2.copyTo(image, np.logical_not(mask).view(np.uint8))


def render(layers: Layers, rule: Rule, mask: np.ndarray) -> None:
    """Fills the (H, W) bool ``mask`` with what a rule hides of a person."""
    limit = layers.limit(rule)
    if limit is None:
        mask.fill(False)
    else:
        np.equal(limit, HIDE, out=mask)
    if layers.body is None:
        return
    region = draw_region(layers, rule)
    if limit is not None and layers.labels is not None and rule.parts and rule.keep:
        wanted = layers.worn(*worn_of(rule))
        drop_islands(region, layers.small(limit), wanted)
    keeps = layers.labels is None or rule.keep
    _enlarge(region, limit if keeps else None, mask, layers.canvas, bool(rule.garment))


def worn_of(rule: Rule) -> tuple[Any, ...]:
    """What ``Layers.worn`` takes."""
    return rule.garment, rule.also, rule.skin, rule.keep_skin


def draw_region(layers: Layers, rule: Rule) -> np.ndarray:
    """(h, w) uint8 on the canvas, 128 to 254 inside: all that a garment may cover."""
    body = layers.body
    assert body is not None
    labelled = layers.labels is not None and bool(rule.garment + rule.skin)
    margin = round(rule.grow * body.unit)
    if labelled and not (rule.parts or rule.arms or rule.trunk or rule.legs):
        return layers.worn_grown(margin, *worn_of(rule)).copy()
    canvas = layers.parts_grown(rule.parts, rule.trunk_end, rule.part_margin).copy()
    draw_shapes(canvas, body, rule, layers.small_dense, labelled)
    canvas = cv2.blur(canvas, (5, 5))  # rounds corners, and smooths the steps of enlarging
    return cv2.max(canvas, layers.worn_grown(margin, *worn_of(rule))) if labelled else canvas


def _enlarge(
    region: np.ndarray,
    limit: np.ndarray | None,
    mask: np.ndarray,
    canvas: tuple[int, int],
    always: bool,
) -> None:
    """Hides where the enlarged region reaches its limit, changing ``mask``; only around the region
    if it can. Without a limit what is hidden already stays so, if ``always``."""
    (height, width), (rows, columns) = mask.shape, canvas
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
    garment = hidden.copy() if limit is None and always else None
    cv2.resize(region, (width, height), dst=large, interpolation=cv2.INTER_LINEAR)
    np.greater_equal(large, REGION if limit is None else limit[box], out=hidden)
    if garment is not None:
        np.logical_or(hidden, garment, out=hidden)
