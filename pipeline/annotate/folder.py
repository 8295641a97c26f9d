"""Writes people and garments as a folder in Dress Code's layout, which appears whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.base.places import ORIGINS
from pipeline.base.storage import write_json
from pipeline.dataset.encode import (
    encode_dense,
    encode_jpeg,
    encode_keypoints,
    encode_label_map,
    encode_pairs,
)
from pipeline.dataset.person import Person
from pipeline.dataset.pose import render_skeleton

FIRST_ID = 900_000
"""Far from the dataset's ids, which end at 053791."""


class DatasetFolder:
    """A new folder; ``with DatasetFolder(out) as folder`` gives it its name at the end of the
    block, or not at all.

    Args:
        out: must not exist, or be empty.

    Raises:
        DataError: there is something.
    """

    def __init__(self, out: Path):
        self.out = Path(out)
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise DataError(
                self.out,
                "exists and is not empty",
                "a new folder",
                "Choose another name, or delete it",
            )
        self.root = self.out.with_name(f".{self.out.name}.part")
        self.record: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> DatasetFolder:
        try:
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.mkdir(parents=True)
        except OSError as error:
            raise DataError(
                self.out, f"cannot be made ({error.strerror})", "a place that can be written"
            ) from None
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is not None:
            shutil.rmtree(self.root, ignore_errors=True)
            return
        write_json(self.root / ORIGINS, self.record)
        if self.out.exists():
            self.out.rmdir()
        self.root.replace(self.out)

    def write_person(self, person: Person, photo: bytes | None = None) -> None:
        """All files of one person but the garment.

        Args:
            person: with keypoints, in pixels of the dataset's frame, and with a photo.
            photo: a JPEG file's bytes, which are kept as they are; else the person's is encoded.
        """
        size_hw = load_manifest().image_hw
        category, person_id = person.category, person.who.person_id
        if photo is None:
            assert person.photo is not None
            photo = encode_jpeg(person.photo)
        assert person.keypoints is not None
        self._put("image", category, person_id, photo)
        self._put("keypoints", category, person_id, encode_keypoints(person.keypoints, size_hw))
        skeleton = render_skeleton(person.keypoints, size_hw)
        self._put("skeleton", category, person_id, encode_jpeg(skeleton))
        if person.label_map is not None:
            self._put("label_map", category, person_id, encode_label_map(person.label_map))
        if person.dense_i is not None:
            self._put("dense", category, person_id, encode_dense(person.dense_i))

    def write_garment(self, category: Category, garment_id: str, image: np.ndarray | bytes) -> None:
        """The garment's picture, (H, W, 3) uint8 RGB or a JPEG file's bytes."""
        self._put(
            "garment",
            category,
            garment_id,
            image if isinstance(image, bytes) else encode_jpeg(image),
        )

    def write_list(self, category: Category, split: str, rows: list[tuple[str, str]]) -> None:
        """A pair list of (person id, garment id)."""
        name = load_manifest().lists[split]
        self._write(self.root / str(category) / name, encode_pairs(rows))

    def _put(self, modality: str, category: Category, identity: str, data: bytes) -> None:
        self._write(load_manifest().path(self.root, modality, category, identity), data)

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)  # the whole folder gets its name later
