"""What the photo says where labels and joints leave it open.

Around the waist nothing but colour tells a shirt whose hem is called trousers from high-waisted
trousers. A piece of other clothes is garment where its colours are the garment's own rather than
those that the other clothes have where they cannot be garment, and where the photo changes less
along the border of the labels than on the piece's other side: there is one hem, not two.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.masks.body import Body, bounded
from pipeline.masks.rules import BOTTOMS, Rule, label_table

STEP = 2
"""The canvas is looked at in every second row and column: colours need no finer one."""
WAIST, CHEST = 0.45, 0.50
"""Over the hips, in body units: from the one down upper clothes may be a lower garment, from the
other up they are upper clothes for certain."""
THIGHS = 0.35
"""Below the hips: other clothes may be an upper garment above it, and are not below."""
LEAST_KNOWN = 0.05
"""Square body units, of the garment and of the other clothes, below which colours are not known."""
LEAST_PIECE = 0.04
"""Square body units below which a piece is too small to have borders."""
WINDOW = 0.16
"""Side, in body units, of the window whose colours are looked at together: prints are larger than
pixels."""
LEVELS = 32, 32, 12
"""Of a and b in Lab, which fill half of their range, and of lightness."""
COLOURS = LEVELS[0] * LEVELS[1] * LEVELS[2]
_HALF = np.clip(np.arange(256) - 64, 0, 127)
_STEPS = np.stack(
    (
        np.arange(256) * LEVELS[2] // 256,
        _HALF * LEVELS[0] // 128 * (LEVELS[1] * LEVELS[2]),
        _HALF * LEVELS[1] // 128 * LEVELS[2],
    ),
    axis=-1,
).astype(np.int32)[None]
"""(1, 256, 3): what each channel of Lab adds to the number of a pixel's colour."""
_NEAR = np.exp(-0.5 * np.subtract.outer(*2 * (np.arange(LEVELS[2]),)) ** 2).astype(np.float32)
_NEAR /= _NEAR.sum(1)
"""(levels, levels): how much of each level of lightness runs into each other."""
RARE = 1e-5
"""Share of a garment that a colour has which was not seen there."""
MOST = 3.0
"""What one pixel can say at most, as the logarithm of how much likelier its colour is."""
LEAST_GAP, CLEAR_GAP = 0.1, 3.0
"""Between windows of the garment and of the other clothes: below the one their colours are the
same, above the other they have little in common."""
SOFTER, SOFTER_IF_CLEAR = 0.4, 1.5
"""Contrast along the labels' border over that on the piece's other side, at most. A shirt that
lies in shade over white shorts has .83, a wrong label on it .2; prints are restless, but where
the gap is clear nothing more is needed than no second hem."""
AROUND = np.ones((3, 3), np.uint8)
BORDER = 5
"""Side of the window that a border's two sides are averaged in."""


def of_the_garment(
    labels: np.ndarray, photo: np.ndarray, body: Body, rule: Rule
) -> np.ndarray | None:
    """Where other clothes look like the garment and hang together with it.

    Args:
        labels: (h, w) uint8 ATR classes on the canvas.
        photo: (h, w, 3) uint8 RGB of any size.
        body: joints on the canvas.
        rule: whose ``doubt`` are the classes that may be wrong.

    Returns:
        (h, w) uint8, 255 there; None where there is nothing of the kind, or colours do not tell.
    """
    small, unit = np.ascontiguousarray(labels[::STEP, ::STEP]), body.unit / STEP
    others, own = (cv2.LUT(small, label_table(names)) for names in (rule.doubt, rule.garment))
    certain, open_ = others.copy(), others.copy()
    hips = body.hips[1] / STEP
    if rule.garment == BOTTOMS:
        certain[bounded(hips - CHEST * unit, 0, len(small)) :] = 0
        open_[: bounded(hips - WAIST * unit, 0, len(small))] = 0
    else:
        thighs = bounded(hips + THIGHS * unit, 0, len(small))
        certain[:thighs], open_[thighs:] = 0, 0
    inside, certain = cv2.erode(own, AROUND), cv2.erode(certain, AROUND)
    if min(map(cv2.countNonZero, (inside, certain, open_))) < LEAST_KNOWN * unit**2:
        return None
    x, y, width, height = cv2.boundingRect(cv2.max(own, others))
    box = slice(y, y + height), slice(x, x + width)
    own, others, inside, certain, open_ = (a[box] for a in (own, others, inside, certain, open_))
    lab = _in_lab(photo, box, small.shape)
    evidence = _evidence(lab, inside, certain)
    window = max(3, round(WINDOW * unit) | 1)
    garment = _quantile(_mean(evidence, inside, window)[inside > 0], 0.1)
    other = _quantile(_mean(evidence, certain, window)[certain > 0], 0.9)
    if (gap := garment - other) < LEAST_GAP:
        return None
    likelier = _mean(evidence, open_, window) > (garment + other) / 2
    alike = cv2.morphologyEx(_drawn(likelier & (open_ > 0)), cv2.MORPH_OPEN, AROUND)
    softer = SOFTER_IF_CLEAR if gap >= CLEAR_GAP else SOFTER
    least = LEAST_PIECE * unit**2
    if cv2.countNonZero(alike) < least:
        return None
    small[:] = 0
    small[box] = _of_one_piece(alike, own, others, lab, least, softer)
    if not small.any():
        return None
    return cv2.resize(small, labels.shape[::-1], interpolation=cv2.INTER_NEAREST)


def _in_lab(photo: np.ndarray, box: tuple[slice, slice], shape: tuple[int, ...]) -> np.ndarray:
    """uint8: this box of the photo, were the photo of this shape, in Lab."""
    sides = zip(box, photo.shape[:2], shape)
    there = tuple(slice(s.start * of // at, s.stop * of // at) for s, of, at in sides)
    size = box[1].stop - box[1].start, box[0].stop - box[0].start
    return cv2.cvtColor(
        cv2.resize(photo[there], size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB
    )


def _evidence(lab: np.ndarray, garment: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(h, w) float32, -MOST to MOST: the logarithm of how much likelier each pixel's colour is on
    the garment than on the other clothes."""
    lightness, a, b = cv2.split(cv2.LUT(lab, _STEPS))
    level = a + b + lightness
    own, other = (_shares(level[where > 0])[level] + RARE for where in (garment, others))
    return np.clip(np.log(own / other), -MOST, MOST)


def _shares(level: np.ndarray) -> np.ndarray:
    """(colours,) float32: share of each colour, which runs into its neighbours."""
    counts = np.bincount(level, minlength=COLOURS).astype(np.float32) / len(level)
    by_lightness = counts.reshape(-1, LEVELS[2]) @ _NEAR  # several times as quick as a narrow blur
    return cv2.GaussianBlur(by_lightness.reshape(LEVELS), (5, 5), 1).ravel()


def _drawn(where: np.ndarray) -> np.ndarray:
    """uint8: 255 where True."""
    return where.view(np.uint8) * np.uint8(255)


def _quantile(values: np.ndarray, share: float) -> float:
    """Several times as quick as ``np.quantile`` for a few thousand values."""
    place = bounded(share * len(values), 0, len(values) - 1)
    return float(np.partition(values, place)[place])


def _mean(values: np.ndarray, where: np.ndarray, side: int) -> np.ndarray:
    """float32: means over those pixels of a square window that are in ``where``, uint8."""
    weight = (where > 0).astype(np.float32)
    weighted = cv2.blur(values * (weight if values.ndim == 2 else weight[..., None]), (side, side))
    total = np.maximum(cv2.blur(weight, (side, side)), 1e-3)
    return weighted / (total if values.ndim == 2 else total[..., None])


def _of_one_piece(
    alike: np.ndarray,
    own: np.ndarray,
    others: np.ndarray,
    lab: np.ndarray,
    least: float,
    softer: float,
) -> np.ndarray:
    """(h, w) uint8: the pieces of ``alike`` that go over into the garment rather than into the rest
    of the other clothes."""
    number, pieces, sizes, _ = cv2.connectedComponentsWithStats(alike)
    found, rest = np.zeros_like(alike), cv2.subtract(others, alike)
    colours = lab.astype(np.float32)
    for i in range(1, number):
        if sizes[i, cv2.CC_STAT_AREA] < least:
            continue
        piece = _drawn(pieces == i)
        to_garment, to_rest = (_contrast(colours, piece, side) for side in (own, rest))
        if to_garment <= softer * to_rest and np.isfinite(to_garment):
            found |= piece
    return found


def _contrast(colours: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Median difference of the colours on the two sides of a border; infinity without one."""
    border = cv2.min(cv2.dilate(a, AROUND), cv2.dilate(b, AROUND)) > 0
    if not border.any():
        return float("inf")
    sides = (_mean(colours, side, BORDER)[border] for side in (a, b))
    return float(np.median(np.linalg.norm(np.subtract(*sides), axis=1)))
