"""A part of a photo as a picture of its own, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.dataset.readers import resize_image, resize_map


def bounds_of(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """First row, first column, and the row and column after the last ones, of what is True in an
    (H, W) bool; None where nothing is."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


@dataclass(frozen=True)
class Crop:
    """A part of a photo, in whole pixels of it.

    Attributes:
        photo_hw: height and width of the photo.
        top, left: the part's first row and column; height, width: of the part.

    Raises:
        ValueError: the part is empty, or not inside of the photo.
    """

    photo_hw: tuple[int, int]
    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        rows = 0 <= self.top < self.top + self.height <= self.photo_hw[0]
        columns = 0 <= self.left < self.left + self.width <= self.photo_hw[1]
        if not (rows and columns):
            raise ValueError(f"a crop outside of its photo: {self}")

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut off."""
        return (self.height, self.width) == tuple(self.photo_hw)

    @property
    def values(self) -> tuple[int, int, int, int, int, int]:
        """Photo's height and width, top, left, height, width: a line of a shard's table."""
        return (*self.photo_hw, self.top, self.left, self.height, self.width)

    @classmethod
    def of(cls, values) -> Crop:
        """The crop of ``values``. Raises ValueError."""
        height, width, *rest = (int(n) for n in values)
        return cls((height, width), *rest)

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """The part of a picture or map of the photo's size: a view."""
        rows = slice(self.top, self.top + self.height)
        return picture[rows, self.left : self.left + self.width]

    def image(self, photo: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
        """(H, W, 3) uint8: the part of a photo at ``size_hw``."""
        return resize_image(np.ascontiguousarray(self.cut(photo)), size_hw)

    def map(self, labels: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
        """(H, W): the part of a map or mask at ``size_hw``, nearest pixels."""
        part = np.ascontiguousarray(self.cut(labels))
        if part.dtype == bool:
            return resize_map(part.view(np.uint8), size_hw).view(bool)
        return resize_map(part, size_hw)

    def joints(self, keypoints: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
        """(18, 3) float32: joints in pixels of the part at ``size_hw``; those beyond it keep their
        places, out there: masks need to know where a body goes on."""
        moved = keypoints.copy()
        moved[:, 0] = (moved[:, 0] - self.left) * (size_hw[1] / self.width)
        moved[:, 1] = (moved[:, 1] - self.top) * (size_hw[0] / self.height)
        return moved

    def put_back(self, part: np.ndarray, photo: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8: a copy of the photo with ``part``, of any size, in the crop's place."""
        out = photo.copy()
        self.cut(out)[:] = resize_image(part, (self.height, self.width))
        return out
