"""What the page can show and do, without any of the web: galleries, previews, dressed people."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from model.tryon.explain import Explained, can_explain
from model.tryon.predictor import TryOn
from model.tryon.step import prepare_step
from pipeline.annotate.keypoints import SETUP, Pose
from pipeline.annotate.person import SIZE_HW, Finder, UnusablePhoto, annotate
from pipeline.annotate.photos import decode_photo, fit_garment, read_garment
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import DEFAULT_HW, SPLITS
from pipeline.dataset.index import PairRecord, index_pairs
from pipeline.dataset.person import Person
from pipeline.inspect.overlays import draw_keypoints, mask_overlay
from pipeline.masks.person import person_masks
from pipeline.masks.render import apply_mask
from pipeline.masks.styles import STANDARD
from pipeline.people.in_dataset import DatasetPeople

THUMBNAIL_HW, SHOWN_HW = (256, 192), DEFAULT_HW


class Unknown(Exception):
    """An id that is in no gallery."""


@dataclass(frozen=True)
class Selection:
    """What somebody asked for: of person and garment either the id in a gallery or an uploaded
    file's bytes."""

    category: Category
    style: str = STANDARD
    person_id: str | None = None
    person: bytes | None = None
    garment_id: str | None = None
    garment: bytes | None = None


class Studio:
    """A network and the pictures to use it on.

    Args:
        predictor: the network on its device; None shows masks alone.
        data: folder in Dress Code's layout for the gallery, or None.
        find_pose: joints of uploaded photos; None refuses them.
        parser, dense_finder: models for uploaded photos, or None.
        network_hw: size at which the network works.
        most_pixels: of an uploaded picture.
    """

    def __init__(
        self,
        predictor: TryOn | None,
        data: Path | None = None,
        *,
        find_pose: Callable[[np.ndarray], Pose] | None = None,
        parser: Finder | None = None,
        dense_finder: Finder | None = None,
        network_hw: tuple[int, int] = DEFAULT_HW,
        most_pixels: int = 24_000_000,
    ):
        self.predictor, self.find_pose, self.network_hw = predictor, find_pose, network_hw
        self.parser, self.dense_finder, self.most_pixels = parser, dense_finder, most_pixels
        self.source = DatasetPeople(data) if data is not None else None
        self.people: dict[str, PairRecord] = {}
        self.garments: dict[str, Category] = {}
        if data is not None:
            self._index(Path(data))
        self.thumbnail = lru_cache(2048)(self._thumbnail)  # some 10 KB each

    def _index(self, root: Path) -> None:
        for category in Category:
            for split in reversed(SPLITS):  # the first one that the category has
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
        """Ids of "person" or "garment" of a category, in the list's selection."""
        items = self.people if kind == "person" else self.garments
        return [key for key in items if key.startswith(f"{category}/")]

    def _thumbnail(self, kind: str, key: str) -> bytes:
        """A small JPEG of a picture in the gallery. Raises Unknown."""
        source = self._source_of(key, self.people if kind == "person" else self.garments)
        return _jpeg(source.thumbnail(kind, key, THUMBNAIL_HW), 85)

    def _source_of(self, key: str, gallery: Container[str]) -> DatasetPeople:
        if self.source is None or key not in gallery:
            raise Unknown(key)
        return self.source

    def person(self, selection: Selection) -> Person:
        """The person with annotations, and notes on what limits the result.

        Raises:
            Unknown: no such id. DataError: a photo that cannot be used.
        """
        if selection.person is None:
            key = str(selection.person_id)
            return self._source_of(key, self.people).person(key)
        if self.find_pose is None:
            raise UnusablePhoto(
                "no_annotator",
                "photo",
                "this page cannot find joints in photos of yours",
                "",
                f"{SETUP}, then start the page again",
            )
        photo = decode_photo(selection.person, "photo", self.most_pixels)
        return annotate(
            photo,
            self.find_pose(photo),
            selection.category,
            parser=self.parser,
            dense_finder=self.dense_finder,
            size_hw=SIZE_HW,
        )

    def garment(self, selection: Selection) -> np.ndarray:
        """(h, w, 3) uint8 at the network's size. Raises as ``person``."""
        if selection.garment is None:
            key = str(selection.garment_id)
            return fit_garment(self._source_of(key, self.garments).garment(key), self.network_hw)
        return read_garment(selection.garment, self.network_hw, most_pixels=self.most_pixels)

    def preview(self, selection: Selection) -> dict[str, Any]:
        """Everything but the network: the person's picture and its layers as data URIs. Raises as
        ``person``."""
        person = self.person(selection)
        small = person if person.size_hw[0] <= SHOWN_HW[0] else person.at(SHOWN_HW)
        mask = person_masks(small, (selection.style,), selection.category)[selection.style]
        assert small.photo is not None and small.keypoints is not None
        return {
            "size": list(mask.shape),
            "hidden": round(float(mask.mean()), 4),
            "notes": person.notes,
            "person": _uri(_jpeg(small.photo), "jpeg"),
            "keypoints": _uri(_jpeg(draw_keypoints(small.photo, small.keypoints)), "jpeg"),
            "mask": _uri(_jpeg(mask_overlay(small.photo, mask)), "jpeg"),
            "agnostic": _uri(_jpeg(apply_mask(small.photo, mask)), "jpeg"),
        }

    def dress(self, selection: Selection) -> dict[str, Any]:
        """The person in the garment: PNGs as data URIs, before and after, of one size. Raises as
        ``person``."""
        began = time.monotonic()
        if self.predictor is None:
            raise UnusablePhoto(
                "no_network", "network", "this page has no network", "", "Start it with weights"
            )
        person, garment = self.person(selection), self.garment(selection)
        step = prepare_step(
            person,
            garment,
            selection.category,
            selection.style,
            frame=self.predictor.frame,
        )
        ready = time.monotonic()
        layers = Explained(self.predictor, step) if can_explain(self.predictor) else None
        output = layers.output if layers else self.predictor.draw(step)
        made = time.monotonic()
        picture = step.finish(output)
        return {
            "size": list(person.size_hw),
            "notes": [*person.notes, *self._unlike(selection)],
            "layers": _layers(layers),
            "before": _uri(_jpeg(step.picture), "jpeg"),
            "after": _uri(_png(picture), "png"),
            "garment": _uri(_jpeg(garment), "jpeg"),
            "seconds": {
                "prepare": round(ready - began, 3),
                "network": round(made - ready, 3),
                "finish": round(time.monotonic() - made, 3),
            },
        }

    def _unlike(self, selection: Selection) -> list[str]:
        """Why a picture is unlike what the network was trained on, in words."""
        assert self.predictor is not None
        if selection.person is not None and self.predictor.facts.get("own"):
            return ["the network was trained on drawn people alone: photos come out rough"]
        return []

    def warm_up(self) -> None:
        """Runs the network once on nothing, so that the first person does not wait longer than
        others."""
        if self.predictor is not None:
            empty = torch.zeros(1, 3, *self.network_hw)
            self.predictor(torch.cat([empty, empty], 1), empty, empty)


def _layers(explained: Explained | None) -> dict[str, str]:
    """The layers behind a result that the page shows, as data URIs."""
    if explained is None:
        return {}
    columns = explained.columns()
    shown = {"warped": "warped garment", "weight": "its weight", "flow": "flow"}
    return {name: _uri(_jpeg(columns[head]), "jpeg") for name, head in shown.items()}


def _jpeg(image: np.ndarray, quality: int = 92) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


__all__ = ["Selection", "Studio", "Unknown"]
