"""One garment put on one person: what the network gets, and what its picture becomes.

Every way to try on (the command, lists and outfits, the page, ``TryOn.dress``) goes through here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from torch import Tensor

from model.data.dataset import to_image
from model.data.people import network_inputs
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import REGION, WHOLE
from pipeline.dataset.crop import Crop, bounds_of
from pipeline.dataset.person import Person
from pipeline.dataset.readers import resize_image
from pipeline.masks.person import person_masks
from pipeline.masks.region import cut_region

SEAM_ROWS = 64
"""The seam is a 64th of the picture's height wide."""
SHADING = 24.0
"""Levels of 255: up to this a difference across the seam is shading, to be evened out; from twice
this it is another thing beside the mask (a hand before a shirt), which must not tint the result."""


@dataclass(frozen=True)
class Step:
    """One garment about to be put on.

    Attributes:
        picture: (H, W, 3) uint8 RGB, the person before, at the result's size.
        mask: (H, W) bool of that size, True = hidden.
        inputs: what the network takes, see ``people.network_inputs``.
        crop: the part of the picture that the network sees; None for all of it.
    """

    picture: np.ndarray
    mask: np.ndarray
    inputs: tuple[Tensor, Tensor, Tensor]
    crop: Crop | None = None

    @property
    def seen_mask(self) -> np.ndarray:
        """(h, w) bool: the mask of what the network sees."""
        return self.mask if self.crop is None else self.crop.cut(self.mask)

    def finish(self, output: Tensor, raw: bool = False) -> np.ndarray:
        """(H, W, 3) uint8 RGB of the network's output (3, h, w).

        Args:
            raw: the network's own picture, enlarged, instead of the composite; around its part
                the person's.
        """
        own = to_image(output)
        if self.crop is None:
            own = resize_image(own, self.picture.shape[:2])
        else:
            own = self.crop.put_back(own, self.picture)
        return own if raw else composite(self.picture, own, self.mask)


def prepare_step(
    person: Person,
    garment: np.ndarray,
    category: Category,
    style: str = "standard",
    *,
    small: Person | None = None,
    picture: np.ndarray | None = None,
    frame: str = WHOLE,
) -> Step:
    """A step with masks from the person's annotations; ``worn.after`` makes them those of an
    earlier step's result.

    Args:
        person: at the result's size, with a photo.
        garment: (h, w, 3) uint8 RGB at the network's size.
        category: of the garment.
        style: of the masks.
        small: the same person at the network's size, where that is made already.
        picture: the result of the step before, where there was one.
        frame: of ``names.FRAMES``, what the network sees. Of a person who is a part already it
            sees that.

    Raises:
        DataError: photo, keypoints or both maps are missing.
    """
    if person.photo is None or person.keypoints is None:
        missing = "photo" if person.photo is None else "keypoints"
        raise DataError(person.who.key, f"no {missing}", "a person with photo and keypoints")
    network_hw = garment.shape[0], garment.shape[1]
    if picture is not None:  # masks look at what is worn now
        person = replace(person, photo=picture)
        small = small and replace(small, photo=resize_image(picture, small.size_hw))
    if frame == REGION and person.crop is None:
        return _region_step(person, garment, category, style, network_hw)
    small = small or person.at(network_hw)
    assert person.photo is not None and small.photo is not None and small.keypoints is not None
    hidden = person_masks(small, (style,), category)[style]
    return Step(
        person.photo,
        person_masks(person, (style,), category)[style],
        network_inputs(small.photo, garment, hidden, small.keypoints),
    )


def _region_step(
    person: Person,
    garment: np.ndarray,
    category: Category,
    style: str,
    network_hw: tuple[int, int],
) -> Step:
    """A step of a network that sees the part around the garment."""
    region = cut_region(person, (style,), network_hw, category)
    part, crop = region.person, region.person.crop
    assert person.photo is not None and part.photo is not None
    assert crop is not None and part.keypoints is not None
    inputs = network_inputs(part.photo, garment, region.masks[style], part.keypoints)
    return Step(person.photo, region.whole[style], inputs, crop)


def composite(
    photo: np.ndarray, result: np.ndarray, mask: np.ndarray, seam_px: int | None = None
) -> np.ndarray:
    """The photo with the hidden region redrawn; every visible pixel is the photo's own, to the bit.

    At the seam the result's colours are shifted towards the photo's by what the two differ by on
    the visible side, fading out over ``seam_px`` into the hidden region. Nothing of the hidden
    photo is used: it shows the old garment.

    Args:
        photo, result: (H, W, 3) uint8 RGB of one size.
        mask: (H, W) bool, True = hidden.
        seam_px: width of the seam; None for a 64th of the height.
    """
    seam = max(1, photo.shape[0] // SEAM_ROWS) if seam_px is None else seam_px
    out = photo.copy()
    if not mask.any():
        return out
    if mask.all() or seam < 1:
        out[mask] = result[mask]
        return out
    depth = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 5)
    top, left, bottom, right = _bounds(mask, 3 * seam)
    box = np.s_[top:bottom, left:right]
    visible = (~mask[box]).astype(np.float32)
    difference = (photo[box].astype(np.float32) - result[box]) * visible[..., None]
    spread = lambda values: cv2.GaussianBlur(
        values, (0, 0), seam / 2, borderType=cv2.BORDER_REPLICATE
    )
    near = (
        spread(difference) / np.maximum(spread(visible), 1e-4)[..., None]
    )  # mean over the visible pixels around
    fade = np.clip(1 - depth[box] / (seam + 1), 0, 1)[..., None]
    alike = np.clip(2 - np.abs(near).max(2, keepdims=True) / SHADING, 0, 1)
    shifted = result[box] + near * alike * fade
    out[box][mask[box]] = shifted[mask[box]].round().clip(0, 255).astype(np.uint8)
    return out


def _bounds(mask: np.ndarray, margin: int) -> tuple[int, int, int, int]:
    """top, left, bottom, right of the hidden region, with a margin, inside of the picture."""
    found = bounds_of(mask)
    assert found is not None  # an empty mask has nothing to compose
    top, left, bottom, right = found
    return (
        max(0, top - margin),
        max(0, left - margin),
        min(mask.shape[0], bottom + margin),
        min(mask.shape[1], right + margin),
    )
