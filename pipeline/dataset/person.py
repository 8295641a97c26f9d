"""A person in memory: what there is of photo, garment, joints, label map and DensePose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import GARMENT_LABELS, Category, is_in
from pipeline.base.manifest import load_manifest
from pipeline.dataset.crop import Crop
from pipeline.dataset.identity import Identity
from pipeline.dataset.index import PairRecord
from pipeline.dataset.readers import (
    read_dense,
    read_image,
    read_keypoints,
    read_label_map,
    resize_image,
    resize_map,
)

Read = TypeVar("Read")
PICTURES = ("photo", "garment")
LEAST_GARMENT = 0.01
"""Share of the person below which a garment counts as missing from a label map."""


GUESSED = "geometry"
"""Source of a map that no program has seen in the photo: it follows from joints and colours."""


@dataclass
class Person:
    """What there is of one person, all at one size (height, width).

    Attributes:
        who: the names.
        photo: (H, W, 3) uint8 RGB; None where missing, unreadable or not asked for.
        garment: (H, W, 3) uint8 RGB, the in-shop picture, as ``photo``; it may be of another size.
        keypoints: (18, 3) float32 in the order of ``labels.Joint``: x, y in pixels of the photo,
            score; a joint that was not found is NaN, NaN, 0. None where there are none.
        label_map: (H, W) uint8 of ``labels.Atr``, or None.
        dense_i: (H, W) uint8 of ``labels.DensePart``, or None.
        crop: which part of the photo all this is; None for the whole. Joints beyond it keep their
            places, out there.
        masks: style -> (H, W) bool, True = hidden, for ``who.category``: those that were stored
            with the person. ``person_masks`` draws what is not here.
        flow: (H, W, 2) uint16, where on the garment's picture each pixel comes from: codes of
            ``dataset.flows``; None where nothing is known, as of real photos.
        missing: names of maps that are not there, though a mask may do without one of them.
        problems: what could not be read, and why. A person with any can't be used.
        notes: what limits the annotations, in sentences.
        sources: annotation -> what it comes from, where not from a dataset; ``GUESSED`` for a map
            that was made of joints and colours alone.
    """

    who: Identity
    photo: np.ndarray | None = None
    garment: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    label_map: np.ndarray | None = None
    dense_i: np.ndarray | None = None
    crop: Crop | None = None
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    flow: np.ndarray | None = None
    missing: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def category(self) -> Category:
        return self.who.category

    @property
    def size_hw(self) -> tuple[int, int]:
        """Of photo and maps. Raises ValueError where there is none of them."""
        for picture in (self.photo, self.label_map, self.dense_i, *self.masks.values()):
            if picture is not None:
                return picture.shape[0], picture.shape[1]
        raise ValueError(f"{self.who.key} has neither photo nor maps")

    def cut(self, crop: Crop, size_hw: tuple[int, int]) -> Person:
        """A part of the person's photo, with all that belongs to it, at ``size_hw``; the garment
        stays as it is. Nothing is changed here."""
        cut_map = lambda map_: None if map_ is None else crop.map(map_, size_hw)
        return replace(
            self,
            crop=crop,
            photo=None if self.photo is None else crop.image(self.photo, size_hw),
            keypoints=None if self.keypoints is None else crop.joints(self.keypoints, size_hw),
            label_map=cut_map(self.label_map),
            dense_i=cut_map(self.dense_i),
            masks={style: crop.map(mask, size_hw) for style, mask in self.masks.items()},
            flow=cut_map(self.flow),
        )

    def at(self, size_hw: tuple[int, int]) -> Person:
        """The same person at another size; the garment stays as it is. Nothing is changed here."""
        old = self.size_hw
        if old == tuple(size_hw):
            return self
        keypoints = None
        if self.keypoints is not None:
            keypoints = self.keypoints.copy()
            keypoints[:, :2] *= np.array([size_hw[1] / old[1], size_hw[0] / old[0]], np.float32)
        masks = {
            style: resize_map(mask.view(np.uint8), size_hw).view(bool)
            for style, mask in self.masks.items()
        }
        return replace(
            self,
            photo=None if self.photo is None else resize_image(self.photo, size_hw),
            keypoints=keypoints,
            label_map=None if self.label_map is None else resize_map(self.label_map, size_hw),
            dense_i=None if self.dense_i is None else resize_map(self.dense_i, size_hw),
            masks=masks,
            flow=None if self.flow is None else resize_map(self.flow, size_hw),
        )


def require_map(
    label_map: np.ndarray | None, dense_i: np.ndarray | None, place: Path | str
) -> None:
    """A mask needs a label map or DensePose: DataError where both are None.

    Args:
        place: the file or person that the error names.
    """
    if label_map is None and dense_i is None:
        raise DataError(
            place,
            "neither label map nor DensePose",
            "one of them",
            "Copy one of them from the dataset, or make them with the annotate command",
        )


def garment_share(category: Category, label_map: np.ndarray) -> float:
    """Share, 0 to 1, of the person that the label map calls the category's garment."""
    garment = np.count_nonzero(is_in(label_map, GARMENT_LABELS[category]))
    return int(garment) / max(1, int(np.count_nonzero(label_map)))


def require_garment(category: Category, label_map: np.ndarray | None, place: Path | str) -> None:
    """A label map has to show the garment that its category is about: DataError where it does not.

    Such a map calls the garment something else (two are known in the dataset), or is another
    person's: what the network would learn of it is wrong.
    """
    if label_map is None:
        return
    share = garment_share(category, label_map)
    if share < LEAST_GARMENT:
        names = " or ".join(label.name.lower() for label in GARMENT_LABELS[category])
        raise DataError(
            place,
            f"{names} covers {share:.1%} of the person",
            f"the garment of {category}",
            "Correct the label map, or leave the person out: check --exclude lists such people",
        )


def read_person(
    record: PairRecord,
    size_hw: tuple[int, int] | None = None,
    *,
    pictures: Sequence[str] = PICTURES,
    reduced: bool = False,
    tolerant: bool = False,
) -> Person:
    """One person of a dataset, read from the files.

    Args:
        record: which files.
        size_hw: everything is resized to this; None takes the photo's own size, and the garment's.
        pictures: which of "photo" and "garment" to read.
        reduced: let the JPEG decoder halve large pictures, see ``readers.read_image``.
        tolerant: whatever can't be read becomes one of ``problems``, and None; a picture that is
            not read has to be there all the same.

    Raises:
        DataError: a file is missing or bad, or there is neither label map nor DensePose; not with
            ``tolerant``.
    """
    person = Person(record.identity)

    def read(reader: Callable[..., Read], *arguments, **options) -> Read | None:
        try:
            return reader(*arguments, **options)
        except DataError as error:
            if not tolerant:
                raise
            person.problems.append(str(error))
            return None

    for name, path in (("photo", record.image), ("garment", record.garment)):
        if name in pictures:
            framed = name == "photo"  # annotations refer to the photo, so its shape is fixed
            picture = read(read_image, path, size_hw, reduced=reduced, framed=framed)
            setattr(person, name, picture)
        elif tolerant and not path.is_file():
            person.problems.append(str(DataError(path, "no such file", "it here")))
    if size_hw is None:
        size_hw = load_manifest().image_hw if person.photo is None else person.photo.shape[:2]
    person.keypoints = read(read_keypoints, record.keypoints, size_hw)
    if record.label_map is not None:
        person.label_map = read(read_label_map, record.label_map, size_hw)
    else:
        person.missing.append("label map")
    if record.dense is not None:
        person.dense_i = read(read_dense, record.dense, size_hw)
    else:
        person.missing.append("DensePose")
    if not tolerant:
        require_map(person.label_map, person.dense_i, _label_map_place(record))
    return person


def _label_map_place(record: PairRecord) -> Path:
    """Where the label map would lie."""
    missing = load_manifest().path(Path(), "label_map", record.category, record.person_id)
    return record.image.parents[2] / missing
