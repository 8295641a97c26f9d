"""Where people and garments for try-on come from: a folder in Dress Code's layout, shards, picture
files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.dataset.index import index_pairs
from pipeline.dataset.readers import (
    read_dense,
    read_image,
    read_keypoints,
    read_label_map,
    resize_map,
)
from pipeline.masks.render import render_agnostic_mask
from pipeline.shards.folder import ShardFolder

WHITE = 255
ORIENTATION_TAG = 274  # EXIF
TURNS = {3: 2, 6: 3, 8: 1}  # orientation -> quarter turns to the left
NAME = re.compile(r"(?:(?P<category>[a-z_]+)/)?(?P<id>\d+)(?:_[01])?(?:\.jpg)?")


@dataclass
class Sitter:
    """A person with annotations, all at one size.

    Attributes:
        photo: (H, W, 3) uint8 RGB.
        keypoints: (18, 3) in pixels of the photo; NaN, NaN, 0 where missing.
        label_map, dense: (H, W) uint8 or None.
        stored: masks that come with the person, by (category, style).
    """

    photo: np.ndarray
    keypoints: np.ndarray
    label_map: np.ndarray | None = None
    dense: np.ndarray | None = None
    stored: dict[tuple[Category, str], np.ndarray] = field(default_factory=dict)

    def at(self, size_hw: tuple[int, int]) -> Sitter:
        """The same person at another size."""
        old = self.photo.shape[:2]
        if old == tuple(size_hw):
            return self
        keypoints = self.keypoints.copy()
        keypoints[:, :2] *= np.array([size_hw[1] / old[1], size_hw[0] / old[0]], np.float32)
        label_map, dense = (
            None if m is None else resize_map(m, size_hw) for m in (self.label_map, self.dense)
        )
        return Sitter(
            resized(self.photo, size_hw),
            keypoints,
            label_map,
            dense,
            {
                key: resize_map(mask.view(np.uint8), size_hw).view(bool)
                for key, mask in self.stored.items()
            },
        )

    def mask(self, category: Category, style: str) -> np.ndarray:
        """(H, W) bool, True = hidden, for a garment of ``category``."""
        if (category, style) in self.stored:
            return self.stored[category, style]
        if self.label_map is None and self.dense is None:
            raise DataError(
                "this person",
                f"neither label map nor DensePose for a mask of {category}",
                "one of them",
                "Add the file, or choose a category that the shards hold masks of",
            )
        return render_agnostic_mask(category, self.keypoints, self.dense, self.label_map, style)


@dataclass(frozen=True)
class Piece:
    """One garment to put on: an id or a picture file, and its category (None: the folder that holds
    the id)."""

    garment: str
    category: Category | None = None


@dataclass(frozen=True)
class Order:
    """One person and what to wear, put on one after the other."""

    person: str
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """A file name without suffix."""
        words = [self.person, *(p.garment for p in self.pieces)]
        return "_".join(
            re.sub(r"[^\w-]+", "-", Path(w).stem if "." in w else w).strip("-") for w in words
        )

    @property
    def paired(self) -> bool:
        """Whether the person puts on what the photo shows: one garment, of the person's own id."""
        person, garment = parse_name(self.person), parse_name(self.pieces[0].garment)
        return (
            len(self.pieces) == 1
            and person is not None
            and garment is not None
            and person[1] == garment[1]
        )


def parse_name(text: str) -> tuple[Category | None, str] | None:
    """(category or None, id) of ``000123``, ``dresses/000123`` or ``000123_0.jpg``; None for
    anything else."""
    match = NAME.fullmatch(text)
    if not match or (match["category"] and match["category"] not in set(map(str, Category))):
        return None
    return (Category(match["category"]) if match["category"] else None), match["id"]


class DatasetSource:
    """People and garments of a folder in Dress Code's layout, read when they are wanted."""

    def __init__(self, root: Path):
        self.root = Path(root)
        if not self.root.is_dir():
            raise DataError(
                self.root,
                "not a folder" if self.root.exists() else "no such folder",
                "a folder in Dress Code's layout",
                "Name the folder that holds the categories' folders",
            )

    def locate(
        self, modality: str, name: str, hint: Category | None = None
    ) -> tuple[Category, str]:
        """(category, id) of the folder that holds the person's "image" or a "garment". Raises
        DataError."""
        wanted, identity = self._parsed(name)
        for category in dict.fromkeys(
            filter(None, (wanted, *(() if wanted else (hint, *Category))))
        ):
            if self._path(modality, category, identity).is_file():
                return category, identity
        where = f"{wanted or 'any category'}"
        raise DataError(
            self.root,
            f"no {'person' if modality == 'image' else 'garment'} {identity} in {where}",
            "",
            "Give an id that the folder holds",
        )

    def sitter(self, name: str, hint: Category | None = None) -> Sitter:
        """The person at the photo's own size. Raises DataError."""
        category, identity = self.locate("image", name, hint)
        path = lambda modality: self._path(modality, category, identity)
        photo = read_image(path("image"), framed=True)
        size_hw = photo.shape[:2]
        label_map = (
            read_label_map(path("label_map"), size_hw) if path("label_map").is_file() else None
        )
        dense = read_dense(path("dense"), size_hw) if path("dense").is_file() else None
        if label_map is None and dense is None:
            raise DataError(
                path("label_map"),
                "no such file, and no DensePose either",
                "one of them",
                "Copy one of them from the dataset, or make them with the annotate command",
            )
        return Sitter(photo, read_keypoints(path("keypoints"), size_hw), label_map, dense)

    def garment(self, name: str, hint: Category | None = None) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the garment's picture as it is stored."""
        return read_image(self._path("garment", *self.locate("garment", name, hint)))

    def orders(self, split: str, categories: Sequence[Category], limit: int | None) -> list[Order]:
        """The pairs of a split."""
        return [
            Order(
                f"{r.category}/{r.person_id}", (Piece(f"{r.category}/{r.garment_id}", r.category),)
            )
            for r in index_pairs(self.root, categories, split, limit)
            if not r.absent
        ]

    def _parsed(self, name: str) -> tuple[Category | None, str]:
        found = parse_name(name)
        if found is None:
            path = Path(name)
            inside = path.resolve().is_relative_to(self.root.resolve()) and path.is_file()
            found = parse_name(f"{path.parent.parent.name}/{path.name}") if inside else None
        if found is None:
            raise DataError(
                name,
                "is no person of this folder"
                if not Path(name).is_file()
                else "is a photo without annotations",
                "an id such as 000123 or upper_body/000123",
                "Photos from elsewhere get their annotations from the annotate command",
            )
        return found

    def _path(self, modality: str, category: Category, identity: str) -> Path:
        return load_manifest().path(self.root, modality, category, identity)


class ShardSource:
    """People and garments of folders that ``preprocess`` wrote."""

    def __init__(self, folders: Sequence[Path]):
        self.folders = [ShardFolder(folder) for folder in folders]
        self.rows = [
            (folder, at, record)
            for folder in self.folders
            for at, record in enumerate(folder.records)
        ]

    def locate(
        self, modality: str, name: str, hint: Category | None = None
    ) -> tuple[Category, str]:
        """(category, id) of a person ("image") or "garment". Raises DataError."""
        record = self._row(modality, name, hint)[2]
        return Category(
            record.category
        ), record.person_id if modality == "image" else record.garment_id

    def sitter(self, name: str, hint: Category | None = None) -> Sitter:
        """The person at the shard's size. Raises DataError."""
        folder, at, record = self._row("image", name, hint)
        reader, at = folder.reader(at)
        stored = {
            (Category(record.category), style): reader.mask(at, style) for style in reader.styles
        }
        return Sitter(
            reader.person(at), reader.keypoints(at), reader.label_map(at), reader.dense(at), stored
        )

    def garment(self, name: str, hint: Category | None = None) -> np.ndarray:
        """(H, W, 3) uint8 RGB at the shard's size."""
        folder, at, _ = self._row("garment", name, hint)
        reader, at = folder.reader(at)
        return reader.garment(at)

    def orders(
        self, split: str | None, categories: Sequence[Category], limit: int | None
    ) -> list[Order]:
        """The pairs of the shards, at most ``limit`` per category."""
        taken = dict.fromkeys(Category, 0)
        found = []
        for folder, _, record in self.rows:
            category = Category(record.category)
            if (
                category in categories
                and (split in (None, folder.split))
                and (not limit or taken[category] < limit)
            ):
                taken[category] += 1
                found.append(
                    Order(
                        f"{category}/{record.person_id}",
                        (Piece(f"{category}/{record.garment_id}", category),),
                    )
                )
        return found

    def _row(self, modality: str, name: str, hint: Category | None):
        found = parse_name(name)
        kind = "person" if modality == "image" else "garment"
        if found is None:
            raise DataError(
                name, f"is no {kind} of these shards", "an id such as 000123 or upper_body/000123"
            )
        category, identity = found
        rows = [
            row
            for row in self.rows
            if getattr(row[2], f"{kind}_id") == identity
            and category in (None, Category(row[2].category))
        ]
        rows.sort(key=lambda row: row[2].category != hint)
        if not rows:
            raise DataError(
                ", ".join(str(f.folder) for f in self.folders),
                f"no {kind} {name}",
                "",
                "Give an id that the shards hold",
            )
        return rows[0]


def resolve(source: DatasetSource | ShardSource, order: Order) -> Order:
    """The order with every category known.

    Raises:
        DataError: a picture file without a category, or an id with the category of another folder.
    """
    pieces = []
    for piece in order.pieces:
        category = piece.category
        if category is None:
            if is_picture_file(piece.garment):
                raise DataError(
                    piece.garment,
                    "a garment picture whose category is not known",
                    "",
                    "Say with --category upper_body, lower_body or dresses what it is",
                )
            category = source.locate("garment", piece.garment)[0]
        elif not is_picture_file(piece.garment):
            lies = source.locate("garment", piece.garment, category)[0]
            if lies != category:
                raise DataError(
                    piece.garment,
                    f"a garment of {lies}",
                    f"one of {category}",
                    "Leave the category out, or name another garment",
                )
        pieces.append(replace(piece, category=category))
    return replace(order, pieces=tuple(pieces))


def garment_picture(
    source: DatasetSource | ShardSource, piece: Piece, size_hw: tuple[int, int]
) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a piece at ``size_hw``: from the source, or any picture file, fitted
    on white."""
    image = (
        read_upright(piece.garment)
        if is_picture_file(piece.garment)
        else source.garment(piece.garment, piece.category)
    )
    return fitted(image, size_hw)


def is_picture_file(name: str) -> bool:
    """Whether a name means a file rather than an id."""
    return parse_name(name) is None or Path(name).is_file()


def read_upright(path: str | Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of any JPEG or PNG, turned as its EXIF tag says, transparency on
    white."""
    image = read_image(Path(path))
    with Image.open(path) as header:
        turns = TURNS.get(header.getexif().get(ORIENTATION_TAG, 1), 0)
    return np.ascontiguousarray(np.rot90(image, turns))


def fitted(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The whole picture at ``size_hw``, in proportion, centred, the rest white."""
    height, width = image.shape[:2]
    scale = min(size_hw[0] / height, size_hw[1] / width)
    inner = tuple(min(side, max(1, round(n * scale))) for n, side in zip((height, width), size_hw))
    if all(side - n <= 1 for n, side in zip(inner, size_hw)):
        return resized(image, size_hw)
    out = np.full((*size_hw, 3), WHITE, np.uint8)
    top, left = ((side - n) // 2 for n, side in zip(inner, size_hw))
    out[top : top + inner[0], left : left + inner[1]] = resized(image, inner)
    return out


def resized(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 at another size: areas averaged where it shrinks, cubic where it grows."""
    if image.shape[:2] == tuple(size_hw):
        return image
    shrinks = image.shape[0] >= size_hw[0]
    return cv2.resize(
        image, size_hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
