"""What somebody wears: cut out as a garment of its own, and told anew after each piece of an
outfit."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from model.tryon.step import Step
from pipeline.annotate.photos import frame_garment
from pipeline.base.errors import DataError
from pipeline.base.labels import GARMENT_LABELS, Atr, Category, DensePart, is_in
from pipeline.dataset.person import Person, require_garment

SPECK = 0.02
"""Of the largest part's pixels: smaller ones are no part of the garment."""
OCCLUDERS = (Atr.HAIR, Atr.LEFT_ARM, Atr.RIGHT_ARM, Atr.BAG, Atr.SCARF, Atr.BELT, Atr.SUNGLASSES)
"""Labels of what hangs or is held before a garment."""
FILL_PX, RIM_PX = 9, 6
"""Of 1,024: how far around a filling colours are looked for, and how wide an edge lends none."""
GARMENT_WEIGHT = 0.5
"""From this weight on a pixel of a result shows the garment."""
COVERED = {
    Category.UPPER_BODY: (Atr.UPPER_CLOTHES, Atr.DRESS),
    Category.LOWER_BODY: (Atr.SKIRT, Atr.PANTS, Atr.DRESS),
    Category.DRESSES: (Atr.UPPER_CLOTHES, Atr.SKIRT, Atr.PANTS, Atr.DRESS),
}
"""Labels of clothes that are gone where a garment of the category was put on."""
NEW_LABEL = {
    Category.UPPER_BODY: Atr.UPPER_CLOTHES,
    Category.LOWER_BODY: Atr.PANTS,
    Category.DRESSES: Atr.DRESS,
}


def _skin_table() -> np.ndarray:
    """(25,) uint8: DensePose part -> the label of its bare skin. None for the trunk: whether skin
    or something else came there nobody has told, and a label would keep it from the next mask."""
    table = np.zeros(len(DensePart), np.uint8)
    for part in DensePart:
        side = "LEFT" if "LEFT" in part.name else "RIGHT"
        if "ARM" in part.name or "HAND" in part.name:
            table[part] = Atr[f"{side}_ARM"]
        elif "LEG" in part.name:
            table[part] = Atr[f"{side}_LEG"]
    return table


SKIN = _skin_table()


def worn_garment(person: Person, category: Category, size_hw: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 RGB: the garment of a category that a person wears, on white, in the frame.

    Its pixels are those that the label map tells. What lies before it (a hand, hair, a bag) is
    filled from around. It keeps the pose and the folds of the photo: a network that knows flat
    garments makes less of it.

    Raises:
        DataError: no photo or label map, or nothing of that category is worn.
    """
    key = person.who.key
    if person.photo is None or person.label_map is None:
        missing = "photo" if person.photo is None else "label map"
        raise DataError(key, f"no {missing}", "one, to cut out what is worn", "Annotate the photo")
    require_garment(category, person.label_map, key)
    found = _large_parts(is_in(person.label_map, GARMENT_LABELS[category]))
    hidden = _before(found, person.label_map)
    picture = np.full_like(person.photo, 255)
    picture[found] = person.photo[found]
    if hidden.any():
        scale = person.photo.shape[0] / 1024
        radius, rim = max(3, round(FILL_PX * scale)), max(1, round(RIM_PX * scale))
        # Neither the white around it nor the garment's edge, which has a little of what lies
        # before it, may lend their colour.
        edge = np.ones((3, 3), np.uint8)
        near = cv2.dilate(hidden.view(np.uint8), edge, iterations=rim)
        filled = cv2.inpaint(picture, near, radius, cv2.INPAINT_TELEA)
        place = near.view(bool) & (hidden | found)
        picture[place] = filled[place]
    return frame_garment(picture, size_hw)


def _large_parts(region: np.ndarray) -> np.ndarray:
    """(H, W) bool: the region without specks, which label maps have at every edge."""
    _, numbers, facts, _ = cv2.connectedComponentsWithStats(region.view(np.uint8))
    areas = facts[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the ground
    return (areas >= max(1, SPECK * areas.max()))[numbers]


def _before(garment: np.ndarray, label_map: np.ndarray) -> np.ndarray:
    """(H, W) bool: hands, hair, bags and the like that lie before the garment: garment on both
    sides of them, along the row or the column."""

    def within(axis: int) -> np.ndarray:
        first = np.maximum.accumulate(garment, axis)
        last = np.flip(np.maximum.accumulate(np.flip(garment, axis), axis), axis)
        return first & last

    return is_in(label_map, OCCLUDERS) & (within(0) | within(1))


def after(person: Person, step: Step, weight: np.ndarray, category: Category) -> Person:
    """The person with the labels of a result, so that the next piece's mask is drawn on it.

    Args:
        person: at the result's size.
        step: that was taken.
        weight: (h, w) float of what the network saw: the garment's weight, 0 to 1.
        category: of the garment that was put on.

    Returns:
        Where the garment has weight within the mask, its label; where older clothes of its place
        were, bare skin as DensePose tells, or ground; everything else as it was. Without a label
        map the person is returned as given.
    """
    if person.label_map is None:
        return person
    large: np.ndarray = np.zeros(step.mask.shape, np.float32)
    place = large if step.crop is None else step.crop.cut(large)
    place[:] = cv2.resize(weight.astype(np.float32), place.shape[::-1])
    shown = step.mask & (large > GARMENT_WEIGHT)
    labels = person.label_map.copy()
    gone = step.mask & is_in(labels, COVERED[category])
    labels[gone] = 0 if person.dense_i is None else SKIN[person.dense_i[gone]]
    labels[shown] = NEW_LABEL[category]
    return replace(person, label_map=labels, masks={})
