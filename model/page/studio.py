"""What the page can show and do, without any of the web: galleries, previews, dressed people."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch

from model.data.dataset import to_image
from model.tryon.predictor import Dresser, composite, network_inputs
from model.tryon.sources import DatasetSource, Sitter, fitted, resized
from pipeline.annotate.keypoints import SETUP, Pose
from pipeline.annotate.person import SIZE_HW, Finder, UnusablePhoto, annotate
from pipeline.annotate.photos import decode_photo, frame_garment
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.dataset.index import PairRecord, index_pairs
from pipeline.inspect.overlays import draw_keypoints, mask_overlay
from pipeline.masks.render import apply_mask

SPLITS = ("test_unpaired", "test_paired", "train")
"""The gallery shows the first of them that a category has."""
THUMBNAIL_HW, SHOWN_HW = (256, 192), (512, 384)


class Unknown(Exception):
    """An id that is in no gallery."""


@dataclass(frozen=True)
class Order:
    """What somebody asked for: of person and garment either the id in a gallery or an uploaded
    file's bytes."""

    category: Category
    style: str = "standard"
    person_id: str | None = None
    person: bytes | None = None
    garment_id: str | None = None
    garment: bytes | None = None


class Studio:
    """A network and the pictures to use it on.

    Args:
        dresser: the network on its device; None shows masks alone.
        data: folder in Dress Code's layout for the gallery, or None.
        find_pose: joints of uploaded photos; None refuses them.
        parser, dense_finder: models for uploaded photos, or None.
        network_hw: size at which the network works.
        most_pixels: of an uploaded picture.
    """

    def __init__(
        self,
        dresser: Dresser | None,
        data: Path | None = None,
        *,
        find_pose: Callable[[np.ndarray], Pose] | None = None,
        parser: Finder | None = None,
        dense_finder: Finder | None = None,
        network_hw: tuple[int, int] = (512, 384),
        most_pixels: int = 24_000_000,
    ):
        self.dresser, self.find_pose, self.network_hw = dresser, find_pose, network_hw
        self.parser, self.dense_finder, self.most_pixels = parser, dense_finder, most_pixels
        self.source = DatasetSource(data) if data is not None else None
        self.people: dict[str, PairRecord] = {}
        self.garments: dict[str, Category] = {}
        if data is not None:
            self._index(Path(data))
        self.thumbnail = lru_cache(2048)(self._thumbnail)  # some 10 KB each

    def _index(self, root: Path) -> None:
        for category in Category:
            for split in SPLITS:
                try:
                    records = [r for r in index_pairs(root, (category,), split) if not r.absent]
                except DataError:
                    continue
                for record in records:
                    self.people.setdefault(record.key, record)
                    self.garments.setdefault(f"{category}/{record.garment_id}", category)
                if records:
                    break
        if not self.people:
            raise DataError(
                root,
                "nobody to show",
                "people in a pair list",
                "Name a folder in Dress Code's layout",
            )

    def gallery(self, kind: str, category: Category) -> list[str]:
        """Ids of "person" or "garment" of a category, in the list's order."""
        items = self.people if kind == "person" else self.garments
        return [key for key in items if key.startswith(f"{category}/")]

    def _thumbnail(self, kind: str, key: str) -> bytes:
        """A small JPEG of a picture in the gallery. Raises Unknown."""
        image = self._picture(kind, key)
        return _jpeg(resized(image, THUMBNAIL_HW), 85)

    def _picture(self, kind: str, key: str) -> np.ndarray:
        if self.source is None or key not in (self.people if kind == "person" else self.garments):
            raise Unknown(key)
        return self.source.sitter(key).photo if kind == "person" else self.source.garment(key)

    def sitter(self, order: Order) -> tuple[Sitter, tuple[str, ...]]:
        """The person with annotations, and sentences about what limits the result.

        Raises:
            Unknown: no such id. DataError: a photo that cannot be used.
        """
        if order.person is None:
            if self.source is None or order.person_id not in self.people:
                raise Unknown(order.person_id)
            return self.source.sitter(order.person_id), ()
        if self.find_pose is None:
            raise UnusablePhoto(
                "no_annotator",
                "photo",
                "this page cannot find joints in photos of yours",
                "",
                f"{SETUP}, then start the page again",
            )
        photo = decode_photo(order.person, "photo", self.most_pixels)
        found = annotate(
            photo,
            self.find_pose(photo),
            order.category,
            parser=self.parser,
            dense_finder=self.dense_finder,
            size_hw=SIZE_HW,
        )
        return Sitter(found.image, found.keypoints, found.label_map, found.dense), found.notes

    def garment(self, order: Order) -> np.ndarray:
        """(h, w, 3) uint8 at the network's size. Raises as ``sitter``."""
        if order.garment is None:
            return fitted(self._picture("garment", str(order.garment_id)), self.network_hw)
        return frame_garment(
            decode_photo(order.garment, "garment", self.most_pixels), self.network_hw
        )

    def preview(self, order: Order) -> dict:
        """Everything but the network: the person's picture and its layers as data URIs. Raises as
        ``sitter``."""
        sitter, notes = self.sitter(order)
        small = sitter if sitter.photo.shape[0] <= SHOWN_HW[0] else sitter.at(SHOWN_HW)
        mask = small.mask(order.category, order.style)
        return {
            "size": list(mask.shape),
            "hidden": round(float(mask.mean()), 4),
            "notes": list(notes),
            "person": _uri(_jpeg(small.photo), "jpeg"),
            "keypoints": _uri(_jpeg(draw_keypoints(small.photo, small.keypoints)), "jpeg"),
            "mask": _uri(_jpeg(mask_overlay(small.photo, mask)), "jpeg"),
            "agnostic": _uri(_jpeg(apply_mask(small.photo, mask)), "jpeg"),
        }

    def dress(self, order: Order) -> dict:
        """The person in the garment: PNGs as data URIs, before and after, of one size. Raises as
        ``sitter``."""
        began = time.monotonic()
        if self.dresser is None:
            raise UnusablePhoto(
                "no_network", "network", "this page has no network", "", "Start it with weights"
            )
        sitter, notes = self.sitter(order)
        garment = self.garment(order)
        small = sitter.at(self.network_hw)
        inputs = network_inputs(
            small.photo, garment, small.mask(order.category, order.style), small.keypoints
        )
        ready = time.monotonic()
        output = to_image(self.dresser(*(values[None] for values in inputs))[0])
        made = time.monotonic()
        size_hw = sitter.photo.shape[:2]
        picture = composite(
            sitter.photo, resized(output, size_hw), sitter.mask(order.category, order.style)
        )
        return {
            "size": list(size_hw),
            "notes": list(notes),
            "before": _uri(_jpeg(sitter.photo), "jpeg"),
            "after": _uri(_png(picture), "png"),
            "garment": _uri(_jpeg(garment), "jpeg"),
            "seconds": {
                "prepare": round(ready - began, 3),
                "network": round(made - ready, 3),
                "finish": round(time.monotonic() - made, 3),
            },
        }

    def warm_up(self) -> None:
        """Runs the network once on nothing, so that the first person does not wait longer than
        others."""
        if self.dresser is not None:
            empty = torch.zeros(1, 3, *self.network_hw)
            self.dresser(torch.cat([empty, empty], 1), empty, empty)


def _jpeg(image: np.ndarray, quality: int = 92) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


__all__ = ["Order", "Studio", "Unknown"]
