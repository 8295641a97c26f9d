"""The same people photographed otherwise: before another ground, turned, smaller."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from model.data.augment import Augmentation, View, seen_through


@dataclass(frozen=True)
class FixedView(Augmentation):
    """One rotation and scale about the middle, the same for everybody; the garment stays.

    Args:
        degrees: counter-clockwise. scale: below 1 makes people smaller.
    """

    degrees: float = 0.0
    scale: float = 1.0

    def apply(self, photo, garment, mask, keypoints, label_map, rng) -> View:
        height, width = photo.shape[:2]
        middle = ((width - 1) / 2, (height - 1) / 2)
        matrix = np.eye(3)
        matrix[:2] = cv2.getRotationMatrix2D(middle, self.degrees, self.scale)
        return View(seen_through(matrix, photo, mask, keypoints), matrix)


DISTURBANCES: dict[str, Augmentation] = {
    "other background": Augmentation(backgrounds=1.0),
    "turned by 10 degrees": FixedView(angles=1.0, degrees=10.0),
    "smaller by a quarter": FixedView(angles=1.0, scale=0.75),
}
"""What is done to photo, mask and joints alike; the background changes where there is a label
map."""
