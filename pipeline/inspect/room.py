"""Whether other people's garments would fit under a mask: the score ``room``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.base.labels import Category
from pipeline.inspect.score_zones import Zones, find_zones
from pipeline.people.source import People

ROWS = 256
"""Height at which donors' garments are kept: finer edges change the share by less than .001."""
DONORS = 24
"""Donors a category: each costs a tenth of a mask."""
LEAST_GARMENT = 500 / 1024**2
"""Share of a picture's squared height that a laid garment needs to count."""
SHOES = 0.05
"""Below the ankles by so many body units a hem has no room: shoes are there."""


@dataclass(frozen=True)
class Donor:
    """One person's garment, to be laid on other bodies.

    Attributes:
        key: ``category/person``.
        category: of the garment.
        garment: (256, W) uint8, 1 = garment.
        anchors: (2, 2) x, y of the two points that it is laid on by, in its pixels.
    """

    key: str
    category: Category
    garment: np.ndarray
    anchors: np.ndarray


def anchors_of(zones: Zones) -> np.ndarray:
    """(2, 2) x, y: middle of the shoulders and of the hips (upper body), hips and ankles (lower
    body), shoulders and ankles (dresses)."""
    body = zones.body
    shoulders, hips = body.shoulders, body.hips
    ankles = body.joints[[10, 13]].mean(0)
    pairs = {
        Category.UPPER_BODY: (shoulders, hips),
        Category.LOWER_BODY: (hips, ankles),
        Category.DRESSES: (shoulders, ankles),
    }
    return np.array(pairs[zones.category], np.float64)


def find_donors(people: People, most: int = DONORS) -> list[Donor]:
    """The first people of each category whose garment a label map shows, at most so many."""
    found: list[Donor] = []
    counts = dict.fromkeys(Category, 0)
    for i, who in enumerate(people.names):
        if counts[who.category] >= most:
            continue
        person = people.load(i)
        if person.label_map is None or person.keypoints is None:
            continue
        zones = find_zones(who.category, person.keypoints, person.dense_i, person.label_map)
        if zones is None or not zones.garment.any():
            continue
        scale = ROWS / zones.garment.shape[0]
        size = round(zones.garment.shape[1] * scale), ROWS
        garment = cv2.resize(zones.garment.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        found.append(Donor(who.key, who.category, garment, anchors_of(zones) * scale))
        counts[who.category] += 1
    return found


def room(key: str, zones: Zones, mask: np.ndarray, donors: Sequence[Donor]) -> float:
    """Mean share of the donors' garments, laid on this body by shift and scale, that would not fit
    under the mask; what must stay visible is left out. NaN without donors of the category.

    Args:
        key: ``category/person`` of this person, who is no donor of its own.
        zones: of this person.
        mask: (H, W) bool, True = hidden.
    """
    free = ~zones.identity
    mine, outside = anchors_of(zones), []
    if zones.category is not Category.UPPER_BODY:
        free[max(int(mine[1, 1] + SHOES * zones.body.unit), 0) :] = False
    least = LEAST_GARMENT * mask.shape[0] ** 2
    for donor in donors:
        if donor.key == key or donor.category is not zones.category:
            continue
        theirs = donor.anchors
        length = np.linalg.norm(theirs[1] - theirs[0])
        scale = np.linalg.norm(mine[1] - mine[0]) / max(float(length), 1.0)
        shift = mine[0] - scale * theirs[0]
        move = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        size = mask.shape[1], mask.shape[0]
        garment = cv2.warpAffine(donor.garment, move, size, flags=cv2.INTER_NEAREST) > 0
        garment &= free
        area = np.count_nonzero(garment)
        if area > least:
            outside.append(np.count_nonzero(garment & ~mask) / area)
    return float(np.mean(outside)) if outside else float("nan")
