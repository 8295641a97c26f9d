"""The part of a photo that a garment's category is about, in the shape of a picture.

A network that sees only this part has more pixels for the garment: an upper body is 1.8 times as
large in it. Masks of our own styles are drawn on the whole person and cut out; peers' recipes,
whose measures are pixels of the picture that their networks saw, are drawn on the part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category, Joint
from pipeline.dataset.crop import Crop, bounds_of
from pipeline.dataset.person import Person
from pipeline.dataset.pose import joints_inside
from pipeline.dataset.readers import resize_map
from pipeline.masks.person import person_masks
from pipeline.masks.styles import PEER_STYLES, STANDARD, STYLES

HEAD = (Joint.NOSE, Joint.R_EYE, Joint.L_EYE, Joint.R_EAR, Joint.L_EAR)
ARMS = (
    Joint.NECK,
    Joint.R_SHOULDER,
    Joint.R_ELBOW,
    Joint.R_WRIST,
    Joint.L_SHOULDER,
    Joint.L_ELBOW,
    Joint.L_WRIST,
)
HIPS = (Joint.R_HIP, Joint.L_HIP)
LEGS = (Joint.R_KNEE, Joint.R_ANKLE, Joint.L_KNEE, Joint.L_ANKLE)
SHOWN: dict[Category, tuple[Joint, ...]] = {
    Category.UPPER_BODY: HEAD + ARMS + HIPS,
    Category.LOWER_BODY: HIPS + LEGS,
    Category.DRESSES: HEAD + ARMS + HIPS + LEGS,
}
"""Joints that a picture of the category shows: an upper body as VITON frames it, head to hips."""

MARGIN = 0.15
"""Of the part's height, above and below together, and as much of its width beside it."""


@dataclass(frozen=True)
class Region:
    """The part of a person's photo that a category is about.

    Attributes:
        person: the part, at the size that was asked for; ``person.crop`` says where it lies, and
            ``person.masks`` are those of ``masks`` where the category is the person's own.
        masks: style -> (h, w) bool of that size, True = hidden.
        whole: the same masks at the photo's size; nothing outside of the part is hidden.
    """

    person: Person
    masks: dict[str, np.ndarray]
    whole: dict[str, np.ndarray]


def cut_region(
    person: Person,
    styles: Sequence[str],
    size_hw: tuple[int, int],
    category: Category | None = None,
) -> Region:
    """The part of a whole person that a category is about, with its masks.

    Args:
        person: at the photo's size, with keypoints and at least one map. Stored masks are taken.
        size_hw: of the part; its aspect is the part's.
        category: of the garment; by default the person's own.

    Raises:
        DataError: keypoints or both maps are missing.
    """
    category = category or person.category
    if person.keypoints is None:
        raise DataError(person.who.key, "no keypoints", "a mask's sources")
    stored = person.masks if category == person.category else {}
    ours = [style for style in styles if style in stored or style not in PEER_STYLES]
    # All of our styles, so that the part is the same whichever is asked for.
    whole = person_masks(person, tuple(dict.fromkeys((*STYLES, *ours))), category)
    crop = region_of(category, person.keypoints, whole[STANDARD], size_hw, whole.values())
    part = replace(person, masks={}).cut(crop, size_hw)
    masks = {style: crop.map(whole[style], size_hw) for style in ours}
    assert part.keypoints is not None
    seen = replace(part, keypoints=joints_inside(part.keypoints, size_hw))
    rest = [style for style in styles if style not in masks]
    for style, mask in person_masks(seen, rest, category).items() if rest else ():
        masks[style], whole[style] = mask, np.zeros_like(whole[STANDARD])
        crop.cut(whole[style])[:] = resize_map(mask.view(np.uint8), (crop.height, crop.width)).view(
            bool
        )
    masks = {style: masks[style] for style in styles}
    if category == person.category:
        part.masks.update(masks)
    return Region(part, masks, {style: whole[style] for style in styles})


def region_of(
    category: Category,
    keypoints: np.ndarray,
    standard: np.ndarray,
    aspect_hw: tuple[int, int],
    masks: Iterable[np.ndarray] = (),
) -> Crop:
    """The part of a photo to dress a category in: its joints and its standard mask with a margin.

    Args:
        keypoints: (18, 3) in pixels of the photo; NaN where missing, and then not looked at.
        standard: (H, W) bool, the mask of the standard style, True = hidden.
        aspect_hw: height and width whose ratio the part has, to a pixel.
        masks: (H, W) bool of other styles: the part holds all that they hide.

    Returns:
        The smallest such part; shifted where it would leave the photo, and the whole photo where it
        would not fit into it.
    """
    photo_hw = standard.shape[0], standard.shape[1]
    shown = keypoints[list(SHOWN[category]), :2].astype(np.float64)
    shown = shown[((shown >= 0) & (shown < photo_hw[::-1])).all(1), ::-1]  # NaN is not
    joints = [(*shown.min(0), *(shown.max(0) + 1))] if len(shown) else []
    box = _around([*joints, bounds_of(standard)])
    if box is None:
        return Crop(photo_hw, 0, 0, *photo_hw)
    top, left, bottom, right = box
    ratio = aspect_hw[1] / aspect_hw[0]
    rows = max(bottom - top, (right - left) / ratio) * MARGIN / 2
    with_margin = top - rows, left - rows * ratio, bottom + rows, right + rows * ratio
    box = _around([with_margin, *map(bounds_of, masks)])
    assert box is not None
    return _framed(box, ratio, photo_hw)


def _around(boxes: Sequence[tuple[float, ...] | None]) -> tuple[float, ...] | None:
    """The smallest box, (top, left, bottom, right), around all that are there."""
    there = np.array([box for box in boxes if box is not None])
    return (*there[:, :2].min(0), *there[:, 2:].max(0)) if len(there) else None


def _framed(box: tuple[float, ...], ratio: float, photo_hw: tuple[int, int]) -> Crop:
    """The box grown to the ratio around its middle, in whole pixels, inside of the photo."""
    top, left, bottom, right = box
    height = int(np.ceil(max(bottom - top, (right - left) / ratio)))
    width = round(height * ratio)
    if height >= photo_hw[0] or width >= photo_hw[1]:
        return Crop(photo_hw, 0, 0, *photo_hw)
    first_row = round((top + bottom - height) / 2)
    first_column = round((left + right - width) / 2)
    return Crop(
        photo_hw,
        min(max(first_row, 0), photo_hw[0] - height),
        min(max(first_column, 0), photo_hw[1] - width),
        height,
        width,
    )
