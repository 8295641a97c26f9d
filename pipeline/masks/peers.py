"""Mask recipes of other try-on projects, drawn as their published descriptions say.

Each is drawn with whole pixels in the frame that its project uses, and scaled from there to the
picture by nearest neighbours. Pillow draws lines and ellipses, because the originals use it. Some
were made for upper bodies alone: ``knows`` tells, and elsewhere ``standard`` stands in.

A recipe that counts in the 20 classes of LIP or CIHP meets Dress Code's 18 ATR classes so: coat is
upper clothes, jumpsuit and dress are dress; glove, socks and neck have no class of their own. ATR's
"head" holds face, neck and bare chest; what lies above the line where the chin is
(``protect.HEAD_LINE`` over the shoulders) is their face, what lies below is neck, which those
recipes hide. A recipe that reads ATR takes the label whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from pipeline.base.labels import Atr, Category, Joint, is_in
from pipeline.masks.body import find_body
from pipeline.masks.protect import head_rows
from pipeline.masks.rules import (
    ARM_PARTS,
    ARMS,
    BOTTOMS,
    FOOT_PARTS,
    HAIR_AND_HAT,
    HAND_PARTS,
    LEG_PARTS,
    LEGS,
    SHOES,
    TRUNK_PARTS,
)

_TOPS = (Atr.UPPER_CLOTHES, Atr.DRESS)
_RIGHT = (Joint.R_SHOULDER, Joint.R_ELBOW, Joint.R_WRIST)
_LEFT = (Joint.L_SHOULDER, Joint.L_ELBOW, Joint.L_WRIST)


@dataclass(frozen=True)
class Figure:
    """One person in a recipe's frame.

    Attributes:
        category: garment category.
        joints: (18, 2) float64 x, y in pixels; NaN where missing.
        dense: (h, w) uint8 DensePose parts; zeros where there is no map.
        labels: (h, w) uint8 ATR classes; zeros where there is no map.
    """

    category: Category
    joints: np.ndarray
    dense: np.ndarray
    labels: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.labels.shape  # type: ignore[return-value]

    def or_else(self, value: float) -> np.ndarray:
        """(18, 2) float64: the joints, missing ones at (value, value)."""
        return np.where(np.isnan(self.joints), value, self.joints)

    def face(self) -> np.ndarray:
        """(h, w) bool: the part of the head's label that the 20-class sets call face."""
        head = self.labels == Atr.HEAD
        body = find_body(self.joints, self.shape, self.dense, self.labels)
        if body is None:
            return head
        above, rows = head_rows(*self.shape, body, 1.0)
        head[:rows] &= above > 0
        head[rows:] = False
        return head


class Drawing:
    """A black canvas and Pillow's pencil; positions and lengths in pixels."""

    def __init__(self, shape: tuple[int, int]):
        self._picture = Image.new("L", shape[::-1], 0)
        self._pencil = ImageDraw.Draw(self._picture)

    def line(self, points, width: int, joint: str | None = None) -> None:
        places = [(float(x), float(y)) for x, y in points]
        self._pencil.line(places, 255, int(width), joint)

    def polygon(self, points) -> None:
        self._pencil.polygon([(float(x), float(y)) for x, y in points], 255, 255)

    def ellipse(self, centre, left: float, up: float, right: float, down: float) -> None:
        x, y = centre
        self._pencil.ellipse((x - left, y - up, x + right, y + down), 255, 255)

    def box(self, centre, left: float, up: float, right: float, down: float) -> None:
        x, y = centre
        self._pencil.rectangle((x - left, y - up, x + right, y + down), 255, 255)

    def disc(self, centre, radius: float) -> None:
        self.ellipse(centre, radius, radius, radius, radius)

    def drawn(self) -> np.ndarray:
        """(h, w) bool."""
        return np.array(self._picture) > 0


def _grown(where: np.ndarray, side: int, times: int) -> np.ndarray:
    """(h, w) bool, dilated so often by a square of ones."""
    return cv2.dilate(where.astype(np.uint8), np.ones((side, side), np.uint8), iterations=times) > 0


def _missing(point: np.ndarray) -> bool:
    return bool(point[0] <= 1 and point[1] <= 1)


# Dress Code's own loader, and LaDI-VTON's, which changes three numbers of it.


@dataclass(frozen=True)
class _Loader:
    """Numbers of a loader: the arms' line, how often they and the core grow in tall pictures."""

    line: int
    arms_grow: bool
    tall_core: int


def _dresscode(figure: Figure) -> np.ndarray:
    return _by_loader(figure, _Loader(line=30, arms_grow=True, tall_core=20))


def _ladi(figure: Figure) -> np.ndarray:
    return _by_loader(figure, _Loader(line=45, arms_grow=False, tall_core=5))


_LOADER_CORE = {
    Category.UPPER_BODY: (Atr.UPPER_CLOTHES,),
    Category.LOWER_BODY: (Atr.PANTS, *LEGS),
    Category.DRESSES: (Atr.DRESS, *LEGS),
}
_LOADER_FIXED = (*HAIR_AND_HAT, *SHOES, Atr.BAG, Atr.SCARF)
_LOADER_ALSO_FIXED: dict[Category, tuple[int, ...]] = {
    Category.UPPER_BODY: BOTTOMS,
    Category.LOWER_BODY: (Atr.UPPER_CLOTHES, *ARMS),
    Category.DRESSES: (),
}


def _by_loader(figure: Figure, loader: _Loader) -> np.ndarray:
    labels, tall = figure.labels, figure.shape[0] > 512
    core = is_in(labels, _LOADER_CORE[figure.category])
    fixed = is_in(labels, _LOADER_FIXED + _LOADER_ALSO_FIXED[figure.category])
    head = is_in(labels, (*HAIR_AND_HAT, Atr.HEAD))
    if figure.category is Category.LOWER_BODY:
        fixed |= head
    else:
        arms = _loader_arms(figure, loader)
        if tall and loader.arms_grow:
            arms = _grown(arms, 10, 5)
        core |= arms
        fixed |= is_in(labels, ARMS) & ~arms
        above = _above_shoulders(figure)
        fixed |= head & above
        core |= head & ~above
    return _grown(core, loader.tall_core if tall else 5, 5) & ~fixed


def _loader_arms(figure: Figure, loader: _Loader) -> np.ndarray:
    """(h, w) bool: one line over both arms; joints as 16-bit numbers without sign, missing ones far
    outside."""
    points = figure.or_else(-1.0 * figure.shape[0] / 512)
    places = points.astype(np.int64).astype(np.uint16).astype(float)

    def arm(limb: tuple[Joint, ...], whole: bool) -> list[np.ndarray]:
        shoulder, elbow, wrist = limb
        chain = [shoulder] if not whole and _missing(points[elbow]) else [shoulder, elbow]
        return [places[joint] for joint in (*chain, *((wrist,) if whole else ()))]

    right = not _missing(points[Joint.R_WRIST])
    left = not right or not _missing(points[Joint.L_WRIST])  # looked at only if the right is there
    drawing = Drawing(figure.shape)
    drawing.line([*reversed(arm(_LEFT, left)), *arm(_RIGHT, right)], loader.line, "curve")
    return drawing.drawn()


def _above_shoulders(figure: Figure) -> np.ndarray:
    """(h, w) bool: above the line through the shoulders, raised by 20 pixels of 512 rows."""
    height, width = figure.shape
    points = figure.or_else(-1.0 * height / 512)
    (x, y), (far, other) = points[Joint.R_SHOULDER], points[Joint.L_SHOULDER]
    slope = (other - y) / (far - x) if abs(far - x) > 1e-9 else 0.0
    line = y + slope * (np.arange(width) - x) - 20 * height / 512
    return np.arange(height)[:, None] < np.trunc(line)[None]


# OOTDiffusion, with the arms of its Dress Code model.

OOTD_LINE = 45
"""Width of its arms on Dress Code; its model for half bodies takes 60."""
_NECK = 18
"""Its parser's own class; Dress Code's maps don't have it."""
_OOTD_CORE = {
    Category.UPPER_BODY: _TOPS,
    Category.LOWER_BODY: (*BOTTOMS, *LEGS),
    Category.DRESSES: (*_TOPS, *BOTTOMS),
}
_OOTD_HEAD = (Atr.HAT, Atr.SUNGLASSES, Atr.HEAD)


def _ootd(figure: Figure) -> np.ndarray:
    labels = figure.labels
    also = _LOADER_ALSO_FIXED[figure.category]
    fixed = is_in(labels, (*_OOTD_HEAD, *SHOES, Atr.BAG, *also))
    core = _grown(is_in(labels, _OOTD_CORE[figure.category]), 5, 5)
    if figure.category is not Category.LOWER_BODY:
        arms = np.zeros(figure.shape, bool)
        for limb, label in ((_RIGHT, Atr.RIGHT_ARM), (_LEFT, Atr.LEFT_ARM)):
            skin = labels == label
            arm = _ootd_arm(figure, limb)
            arms |= skin if arm is None else arm
            if arm is not None:
                fixed |= skin & ~arm
        neck = _grown(labels == _NECK, 5, 1) & ~is_in(labels, _OOTD_HEAD)
        core |= neck | _grown(arms, 5, 4)
    return _largest(core & ~fixed)


def _ootd_arm(figure: Figure, limb: tuple[Joint, ...]) -> np.ndarray | None:
    """(h, w) bool: the line of one arm, its wrist pushed out; None where the wrist is missing."""
    shoulder, elbow, wrist = figure.or_else(0.0)[list(limb)]
    if _missing(wrist):
        return None
    hand = elbow + 1.2 * (wrist - elbow)
    places = np.maximum(np.trunc((shoulder, elbow, hand)), 0)
    drawing = Drawing(figure.shape)
    drawing.line(places, OOTD_LINE, "curve")
    drawing.disc(shoulder, OOTD_LINE // 2)
    return drawing.drawn()


def _largest(region: np.ndarray) -> np.ndarray:
    """(h, w) bool: the largest piece of a region, its holes filled."""
    pieces, _ = cv2.findContours(
        region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    filled = np.zeros(region.shape, np.uint8)
    if pieces:
        cv2.drawContours(filled, [max(pieces, key=cv2.contourArea)], -1, 1, -1)
    return filled > 0


# CatVTON's masker; one parse stands in for both of its own.

_CAT_GARMENT = {
    Category.UPPER_BODY: _TOPS,
    Category.LOWER_BODY: (*BOTTOMS, Atr.DRESS),
    Category.DRESSES: (*_TOPS, *BOTTOMS),
}
_CAT_PARTS = {
    Category.UPPER_BODY: TRUNK_PARTS + ARM_PARTS,
    Category.LOWER_BODY: LEG_PARTS,
    Category.DRESSES: TRUNK_PARTS + ARM_PARTS + LEG_PARTS,
}
_CAT_WEAK = (*HAIR_AND_HAT, Atr.BAG, *SHOES, Atr.SCARF)
_CAT_ALSO_WEAK: dict[Category, tuple[int, ...]] = {
    Category.UPPER_BODY: (*LEGS, *BOTTOMS),
    Category.LOWER_BODY: (*ARMS, Atr.HEAD, Atr.UPPER_CLOTHES),
    Category.DRESSES: (),
}


def _odd(number: int) -> int:
    return number + 1 - number % 2


def _catvton(figure: Figure) -> np.ndarray:
    labels, dense, category = figure.labels, figure.dense, figure.category
    near, far = _odd(max(figure.shape) // 250), _odd(max(figure.shape) // 25)
    ends = _grown(is_in(dense, HAND_PARTS + FOOT_PARTS), near, 1)
    strong = ends & is_in(labels, ARMS + LEGS) | figure.face()
    weak = strong | is_in(labels, _CAT_WEAK + _CAT_ALSO_WEAK[category])
    parts = is_in(dense, _CAT_PARTS[category]).astype(np.uint8)
    quarter = cv2.resize(parts, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_NEAREST)
    grown = _grown(quarter, near, 2).astype(np.uint8)
    body = cv2.resize(grown, figure.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    region = _hulls((labels != Atr.BACKGROUND) & ~weak | body) & ~weak
    soft = cv2.GaussianBlur(region.astype(np.uint8) * 255, (far, far), 0)
    hidden = (soft >= 25) | is_in(labels, _CAT_GARMENT[category])
    return _grown(hidden & ~strong, near, 1)


def _hulls(region: np.ndarray) -> np.ndarray:
    """(h, w) bool: each piece replaced by its convex hull."""
    pieces, _ = cv2.findContours(
        region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    canvas = np.zeros(region.shape, np.uint8)
    for piece in pieces:
        cv2.fillPoly(canvas, [cv2.convexHull(piece)], 1)
    return canvas > 0


# DAFlow's and HR-VITON's agnostic pictures of VITON and VITON-HD: upper bodies alone.

_LOWER_BACK = (*BOTTOMS, *LEGS, *SHOES)


def _widened(points: np.ndarray) -> np.ndarray:
    """(18, 2): the hips moved apart about their middle, until they are as far apart as the
    shoulders."""
    points = points.copy()
    right, left = points[Joint.R_HIP], points[Joint.L_HIP]
    apart = float(np.linalg.norm(left - right))
    wanted = float(np.linalg.norm(points[Joint.L_SHOULDER] - points[Joint.R_SHOULDER]))
    if apart > 0:
        middle, hips = (right + left) / 2, [Joint.R_HIP, Joint.L_HIP]
        points[hips] = middle + (points[hips] - middle) / apart * wanted
    return points


def _drawable(points: np.ndarray, joint: int) -> bool:
    """Whether a joint and the one before it are there, which these recipes tell by (0, 0)."""
    return bool(points[joint].any() and points[joint - 1].any())


def _daflow(figure: Figure) -> np.ndarray:
    points = _widened(figure.or_else(0.0))
    right, left, right_hip, left_hip = (
        points[j] for j in (Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.R_HIP, Joint.L_HIP)
    )
    drawing = Drawing(figure.shape)
    drawing.line((right, left), 70)
    for shoulder in (right, left):
        drawing.ellipse(shoulder, 40, 40, 50, 40)
    for joint in (*_RIGHT[1:], *_LEFT[1:]):
        if _drawable(points, joint):
            drawing.line((points[joint - 1], points[joint]), 100)
            if joint in (Joint.R_ELBOW, Joint.L_ELBOW):
                drawing.disc(points[joint], 40)
    for hip in (right_hip, left_hip):
        drawing.ellipse(hip, 30, 60, 30, 60)
    drawing.line((right, right_hip), 60)
    drawing.line((left, left_hip), 60)
    drawing.line((right_hip, left_hip), 120)
    seen = [hip for hip in (left_hip, right_hip) if not (hip[0] < 1 and hip[1] < 1)]
    drawing.polygon([right, left, *seen])
    drawing.box(points[Joint.NECK], 40, 40, 40, 40)
    back = is_in(figure.labels, (Atr.HAIR, Atr.SUNGLASSES, *_LOWER_BACK)) | figure.face()
    return is_in(figure.labels, _TOPS) | drawing.drawn() & ~back


def _hr_viton(figure: Figure) -> np.ndarray:
    points = _widened(figure.or_else(0.0))
    right, left, right_hip, left_hip = (
        points[j] for j in (Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.R_HIP, Joint.L_HIP)
    )
    r = int(np.linalg.norm(left - right) / 16) + 1
    drawing = Drawing(figure.shape)
    for hip in (right_hip, left_hip):
        drawing.ellipse(hip, 3 * r, 6 * r, 3 * r, 6 * r)
    drawing.line((right, right_hip), 6 * r)
    drawing.line((left, left_hip), 6 * r)
    drawing.line((right_hip, left_hip), 12 * r)
    drawing.polygon((right, left, left_hip, right_hip))
    drawing.box(points[Joint.NECK], 5 * r, 9 * r, 5 * r, 0)
    drawing.line((right, left), 12 * r)
    for limb in (_RIGHT, _LEFT):
        _draw_arm(drawing, points, limb, r, wrist=5)
    back = is_in(figure.labels, (Atr.SUNGLASSES, *_LOWER_BACK)) | figure.face()
    for limb, label in ((_LEFT, Atr.LEFT_ARM), (_RIGHT, Atr.RIGHT_ARM)):
        arm = Drawing(figure.shape)
        _draw_arm(arm, points, limb, r, wrist=4)
        back |= (figure.labels == label) & ~arm.drawn()
    return drawing.drawn() & ~back


def _draw_arm(
    drawing: Drawing, points: np.ndarray, limb: tuple[Joint, ...], r: int, wrist: int
) -> None:
    """Shoulder, lines and discs of one arm; ``wrist`` times ``r`` is the radius of the last."""
    drawing.ellipse(points[limb[0]], 5 * r, 6 * r, 5 * r, 6 * r)
    for joint, radius in ((limb[1], 5), (limb[2], wrist)):
        if _drawable(points, joint):
            drawing.line((points[joint - 1], points[joint]), 10 * r)
            drawing.disc(points[joint], radius * r)


@dataclass(frozen=True)
class _Recipe:
    """How a style is drawn: the height and width of its frame, or None for the picture's own."""

    draw: Callable[[Figure], np.ndarray]
    frame_hw: tuple[int, int] | None = None
    categories: tuple[Category, ...] = tuple(Category)


_UPPER = (Category.UPPER_BODY,)
_RECIPES = {
    "daflow": _Recipe(_daflow, (256, 192), _UPPER),
    "dresscode": _Recipe(_dresscode),
    "ladi": _Recipe(_ladi),
    "ootd": _Recipe(_ootd, (512, 384)),
    "catvton": _Recipe(_catvton),
    "hr-viton": _Recipe(_hr_viton, (1024, 768), _UPPER),
}


def knows(style: str, category: Category) -> bool:
    """Whether a peer's recipe says what to hide for a category; ``standard`` stands in if not."""
    return category in _RECIPES[style].categories


def render_peer_mask(
    style: str,
    category: Category,
    keypoints: np.ndarray,
    dense: np.ndarray | None,
    labels: np.ndarray | None,
) -> np.ndarray:
    """A person's mask as another project draws it.

    Args:
        style: one of ``PEER_STYLES``, for a category that it knows.
        category: garment category.
        keypoints: (18, >= 2) x, y in pixels of the maps; NaN where missing.
        dense: (H, W) uint8 DensePose parts, or None.
        labels: (H, W) uint8 ATR classes, or None. A map that is missing counts as empty, so that a
            recipe then hides and keeps what its joints alone say; at least one map is there.

    Returns:
        (H, W) bool, True = hidden.
    """
    recipe = _RECIPES[style]
    whole = labels if labels is not None else dense
    assert whole is not None
    shape = whole.shape
    height, width = frame = recipe.frame_hw or shape
    scale = width / shape[1], height / shape[0]
    joints = np.array(keypoints[:, :2], np.float64) * scale
    joints[~(np.abs(joints / (width, height)) < 8).all(1)] = np.nan  # senseless, or not finite
    maps = [
        np.zeros(frame, np.uint8) if map_ is None else _resized(map_, frame)
        for map_ in (dense, labels)
    ]
    return _resized(recipe.draw(Figure(category, joints, *maps)).view(np.uint8), shape) > 0


def _resized(map_: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    if map_.shape == tuple(size_hw):
        return map_
    return cv2.resize(map_, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
