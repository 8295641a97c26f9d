"""Labels are evidence, not law: clothes that bear the wrong class, where body or photo tell better.

Parsers give a garment the class of another, whole or in part. A class that a category protects is
believed only where such clothes can be: trousers and skirts not on the chest, upper clothes not
far down on both legs, and a garment of the category has to be somewhere. What is left, around the
waist, the photo may tell (``colours``).
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.base.labels import Atr
from pipeline.masks import colours
from pipeline.masks.body import LIMBS, Body, bounded, draw_limb
from pipeline.masks.rules import ARM_PARTS, BOTTOMS, LEG_PARTS, LEGS, TRUNK_PARTS, Rule, label_table

LEAST_GARMENT = 0.12
"""Square body units of the garment's class below which it is missing: a tenth of what people wear
who wear little."""
LEAST_ALIEN = 0.10
"""Square body units of another class in impossible places that show an error: less is the ragged
edge between two classes, or a blot."""
ON_LEGS = 0.20
"""Below the joints of the hips, in body units: nine in ten upper garments end above it."""
ON_CHEST = 0.65
"""Above the joints of the hips, in body units: high waists end below it."""
WAIST, HEM = 0.45, 0.12
"""How far over the hips a lower garment begins, and below them an upper one ends, when a wrong
label hides where it does."""
PIECE = 0.2
"""Share of that which makes one piece guilty, with all that hangs together with it."""
ON_BODY = 0.5
"""Share of a piece that has to lie on the body there: sleeves beside a skirt do not."""
EDGE = np.ones((5, 5), np.uint8)
"""Pixels at a piece's edge that the small canvas misses."""
LEG_RADIUS = 0.14
"""Half the width of a leg around its bones, where no DensePose shows it."""


def corrected(
    labels: np.ndarray,
    small: np.ndarray,
    dense: np.ndarray | None,
    body: Body,
    rule: Rule,
    photo: np.ndarray | None = None,
) -> np.ndarray:
    """A label map in which the garment has its own class wherever a wrong one is seen.

    Args:
        labels: (H, W) uint8 ATR classes; not changed.
        small: (h, w) uint8, the same on the canvas.
        dense: (h, w) uint8 DensePose parts on the canvas, or None.
        body: joints on the canvas.
        rule: whose ``doubt`` are the classes that may be wrong.
        photo: (h, w, 3) uint8 RGB of any size; None: body and labels alone decide.

    Returns:
        (H, W) uint8: ``labels`` itself where nothing is wrong.
    """
    if not rule.doubt or not rule.garment:
        return labels
    wrong = _wrong(small, dense, body, rule)
    if photo is not None:
        wrong = _with_alike(wrong, small, photo, body, rule)
    if wrong is None:
        return labels
    wrong = cv2.resize(wrong, labels.shape[::-1], interpolation=cv2.INTER_NEAREST)
    wrong = cv2.min(cv2.dilate(wrong, EDGE), cv2.LUT(labels, label_table(rule.doubt)))
    mended = labels.copy()
    mended[wrong > 0] = rule.garment[-1]
    return mended


def _with_alike(
    wrong: np.ndarray | None, small: np.ndarray, photo: np.ndarray, body: Body, rule: Rule
) -> np.ndarray | None:
    """What body or photo show to be garment, (h, w) uint8, or None."""
    if wrong is not None:
        small = small.copy()
        small[wrong > 0] = rule.garment[-1]
    alike = colours.of_the_garment(small, photo, body, rule)
    return alike if wrong is None else wrong if alike is None else cv2.max(wrong, alike)


def _wrong(
    small: np.ndarray, dense: np.ndarray | None, body: Body, rule: Rule
) -> np.ndarray | None:
    """(h, w) uint8, 255 at other classes that are garment; None where there are none."""
    least = LEAST_ALIEN * body.unit**2
    alien = cv2.LUT(small, label_table(rule.doubt))
    if cv2.countNonZero(alien) < least:
        return None
    lower = rule.garment == BOTTOMS
    rows = slice(_row(body, ON_LEGS, small), None) if lower else slice(_row(body, -ON_CHEST, small))
    impossible = np.zeros_like(alien)
    if not impossible[rows].size:  # the hips lie at the picture's edge
        return None
    impossible[rows] = cv2.min(alien[rows], _where_it_cannot_be(small, dense, body, lower, rows))
    own = cv2.LUT(small, label_table((*rule.garment, Atr.DRESS)))
    missing = cv2.countNonZero(own) < LEAST_GARMENT * body.unit**2
    if not missing and cv2.countNonZero(impossible) < least:
        return None
    if lower and _is_open_coat(impossible, small):
        return None
    _leave_out_other_places(alien, dense, body, lower)
    if missing:
        return alien
    _, pieces = cv2.connectedComponents(alien)
    seen = np.bincount(pieces[impossible > 0], minlength=pieces.max() + 1)
    whole = np.bincount(pieces[rows].ravel(), minlength=len(seen))
    guilty = (seen >= PIECE * least) & (seen > ON_BODY * whole)
    guilty[0] = False
    return guilty[pieces].astype(np.uint8) * 255 if guilty.any() else None


def _where_it_cannot_be(
    canvas: np.ndarray, dense: np.ndarray | None, body: Body, lower: bool, rows: slice
) -> np.ndarray:
    """uint8, of these rows: 255 at the parts of the body where the other class is wrong."""
    if dense is not None:
        return cv2.LUT(dense[rows], label_table(TRUNK_PARTS + (LEG_PARTS if lower else ARM_PARTS)))
    if not lower:
        return np.full_like(canvas[rows], 255)
    legs = np.zeros_like(canvas)
    for limb in LIMBS[2:]:
        draw_limb(legs, body.joints[list(limb)], (LEG_RADIUS * body.unit,) * 3)
    return legs[rows]


def _leave_out_other_places(
    alien: np.ndarray, dense: np.ndarray | None, body: Body, lower: bool
) -> None:
    """Takes away, in place, what is other clothes even where a label is wrong nearby."""
    arms = np.zeros_like(alien) if dense is None else cv2.LUT(dense, label_table(ARM_PARTS))
    if lower:
        alien[: _row(body, -WAIST, alien)] = 0
        alien[arms > 0] = 0
    else:
        hem = _row(body, HEM, alien)
        alien[hem:] = cv2.min(alien, arms)[hem:]


def _row(body: Body, below_hips: float, canvas: np.ndarray) -> int:
    return bounded(body.hips[1] + below_hips * body.unit, 0, len(canvas))


def _is_open_coat(alien: np.ndarray, labels: np.ndarray) -> bool:
    """Whether most rows that hold upper clothes show what is below a coat, or a bag, between two
    pieces of them."""
    rows = np.flatnonzero(alien.any(1))
    if not len(rows):
        return False
    below = cv2.LUT(labels, label_table((*BOTTOMS, Atr.DRESS, Atr.BAG, *LEGS)))
    first, last = alien[rows].argmax(1), alien.shape[1] - 1 - alien[rows, ::-1].argmax(1)
    columns = np.arange(alien.shape[1])
    between = (columns > first[:, None]) & (columns < last[:, None]) & (below[rows] > 0)
    return bool(between.any(1).mean() > 0.5)
