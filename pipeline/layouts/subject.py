"""One person with everything that a layout may ask for, made when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.base.errors import DataError
from pipeline.base.labels import GARMENT_LABELS, is_in
from pipeline.dataset.encode import encode_keypoints
from pipeline.dataset.person import Person
from pipeline.dataset.pose import joints_inside, render_pose, render_skeleton
from pipeline.dataset.readers import resize_image, resize_map
from pipeline.inspect.overlays import ATR_COLOURS
from pipeline.layouts import encode
from pipeline.masks.person import person_masks
from pipeline.masks.render import apply_mask

GREY_VITON, GREY_OOTD = 128, 127
EXIF_ORIENTATION = 274


@dataclass
class Subject:
    """A person brought to the layout's size; every layer is made once, when it is read.

    A layer is a file's bytes. One that this person has no source for raises DataError.

    Args:
        person: read with its pictures.
        style: mask style; one that is stored in the shard is taken from there.
        size_hw: height and width of every layer.
        files: original photo and garment, where they are files; copied byte by byte where they
            have the layout's size already.
    """

    person: Person
    style: str
    size_hw: tuple[int, int]
    files: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def mask(self) -> np.ndarray:
        """(H, W) bool, True = hidden. Drawn or stored at the source's size, scaled by nearest."""
        mask = person_masks(self.person, (self.style,))[self.style]
        return resize_map(mask.view(np.uint8), self.size_hw) > 0

    @cached_property
    def scaled(self) -> Person:
        """The person at the layout's size; the garment's picture keeps its own."""
        try:
            return self.person.at(self.size_hw)
        except ValueError:
            raise self._lacks("photo, label map or DensePose map") from None

    @cached_property
    def photo_pixels(self) -> np.ndarray:
        return self._had(self.scaled.photo, "photo")

    @cached_property
    def garment_pixels(self) -> np.ndarray:
        return resize_image(self._had(self.person.garment, "garment"), self.size_hw)

    @cached_property
    def keypoints(self) -> np.ndarray:
        """(18, 3) float32 in pixels of the layout's size; of a part of a photo those in it."""
        joints = self._had(self.scaled.keypoints, "keypoints")
        return joints if self.person.crop is None else joints_inside(joints, self.size_hw)

    @cached_property
    def label_map(self) -> np.ndarray:
        return self._had(self.scaled.label_map, "label map")

    @cached_property
    def dense_i(self) -> np.ndarray:
        return self._had(self.scaled.dense_i, "DensePose map")

    @cached_property
    def cihp(self) -> np.ndarray:
        return encode.to_cihp(self.label_map, self.scaled.dense_i)

    # Layers: what a row of the table names.

    def photo_jpeg(self) -> bytes:
        return self._original("photo") or encode.jpeg(self.photo_pixels)

    def garment_jpeg(self) -> bytes:
        return self._original("garment") or encode.jpeg(self.garment_pixels)

    def photo_png(self) -> bytes:
        return encode.png(self.photo_pixels)

    def garment_png(self) -> bytes:
        return encode.png(self.garment_pixels)

    def mask_png(self) -> bytes:
        return encode.png(encode.grey_mask(self.mask))

    def mask_rgb_png(self) -> bytes:
        return encode.png(np.repeat(encode.grey_mask(self.mask)[..., None], 3, axis=2))

    def agnostic_png(self) -> bytes:
        return encode.png(apply_mask(self.photo_pixels, self.mask))

    def agnostic_grey_jpeg(self) -> bytes:
        return encode.jpeg(self._greyed(GREY_VITON))

    def agnostic_ootd_png(self) -> bytes:
        return encode.png(self._greyed(GREY_OOTD))

    def pose_png(self) -> bytes:
        return encode.png(render_pose(self.keypoints, self.size_hw))

    def skeleton_jpeg(self) -> bytes:
        return encode.jpeg(render_skeleton(self.keypoints, self.size_hw))

    def skeleton_png(self) -> bytes:
        return encode.png(render_skeleton(self.keypoints, self.size_hw))

    def dense_png(self) -> bytes:
        return encode.png(self.dense_i)

    def dense_drawing_jpeg(self) -> bytes:
        return encode.jpeg(encode.colour_parts(self.dense_i))

    def label_png(self) -> bytes:
        return encode.palette_png(self.label_map, ATR_COLOURS.tobytes())

    def cihp_png(self) -> bytes:
        return encode.palette_png(self.cihp, encode.CIHP_COLOURS)

    def cihp_agnostic_png(self) -> bytes:
        shown = np.where(self.mask, 0, self.cihp).astype(np.uint8)
        return encode.palette_png(shown, encode.CIHP_COLOURS)

    def garment_mask_png(self) -> bytes:
        return encode.png(encode.grey_mask(encode.garment_region(self.garment_pixels)))

    def garment_mask_jpeg(self) -> bytes:
        return encode.jpeg(encode.grey_mask(encode.garment_region(self.garment_pixels)))

    def worn_mask_jpeg(self) -> bytes:
        worn = is_in(self.label_map, GARMENT_LABELS[self.person.who.category])
        return encode.jpeg(encode.grey_mask(worn))

    def dresscode_json(self) -> bytes:
        return encode_keypoints(self.keypoints, self.size_hw)

    def body_25_json(self) -> bytes:
        return encode.body_25(self.keypoints)

    def ootd_json(self) -> bytes:
        return encode.ootd_joints(self.keypoints, self.size_hw)

    def _greyed(self, level: int) -> np.ndarray:
        picture = self.photo_pixels.copy()
        picture[self.mask] = level
        return picture

    def _had(self, layer: np.ndarray | None, name: str) -> np.ndarray:
        if layer is None:
            raise self._lacks(name)
        return layer

    def _original(self, name: str) -> bytes | None:
        """The file's own bytes, where it is an upright RGB JPEG of the layout's size."""
        path = self.files.get(name)
        if path is None:
            return None
        try:
            with Image.open(path) as picture:
                upright = picture.getexif().get(EXIF_ORIENTATION, 1) == 1
                as_it_is = picture.format == "JPEG" and picture.mode == "RGB" and upright
                if not as_it_is or picture.size != tuple(self.size_hw[::-1]):
                    return None
            return path.read_bytes()
        except (OSError, UnidentifiedImageError):
            return None

    def _lacks(self, what: str) -> DataError:
        return DataError(self.person.who.key, f"no {what}", "all that the layout's reader opens")
