"""Whatever makes pictures of dressed people: a network, a folder that another program filled, and
plain ways to compare them with."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from model.data.dataset import Row, to_image
from model.evaluation.arrival import cut_out
from model.tryon.predictor import TryOn
from model.tryon.step import Step, prepare_step
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import REGION
from pipeline.dataset.crop import bounds_of
from pipeline.dataset.person import Person
from pipeline.dataset.readers import read_image, resize_image

PICTURE_TYPES = (".png", ".jpg", ".jpeg")
BESIDE = ("-panel", "-explain")
"""Endings of what ``try-on`` writes beside a result."""


@dataclass(frozen=True)
class Shown:
    """One row of the shards, as a method gets it.

    Attributes:
        photo, garment: (H, W, 3) uint8 RGB. mask: (H, W) bool, True = hidden.
        annotated: gives the person with joints, maps and stored masks as the shards hold them.
    """

    row: Row
    photo: np.ndarray
    garment: np.ndarray
    mask: np.ndarray
    annotated: Callable[[], Person] | None = None

    @property
    def paired(self) -> bool:
        return self.row.person_id == self.row.garment_id


class Method(Protocol):
    """Makes pictures.

    Attributes:
        name: in tables. facts: what its figures depend on, as plain values.
    """

    name: str
    facts: dict[str, Any]

    def draw(self, batch: dict[str, Any], people: Sequence[Shown]) -> list[np.ndarray | None]:
        """(H, W, 3) uint8 for each of the people; None for whom it has none."""
        ...


GIVEN = "given"
"""Name of the mask that a row comes with, whatever its style."""


class Network:
    """A trained network. One that knows parts of photos alone sees the part of a whole photo that
    the row's category is about, and its picture is put back there."""

    def __init__(self, predictor: TryOn):
        self.predictor = predictor
        self.name = predictor.facts["file"]
        self.facts = {"weights": {k: v for k, v in predictor.facts.items() if k != "config"}}

    def draw(self, batch: dict[str, Any], people: Sequence[Shown]) -> list[np.ndarray | None]:
        steps = self._steps(people)
        output = self.predictor(*self._inputs(batch, steps))
        if not steps:
            return [to_image(image) for image in output]
        return [step.finish(image, raw=True) for step, image in zip(steps, output)]

    def inputs(self, batch: dict[str, Any], people: Sequence[Shown]) -> list[torch.Tensor]:
        """What the network takes for a batch: reference, garment, agnostic; on the CPU."""
        return self._inputs(batch, self._steps(people))

    def _inputs(self, batch: dict[str, Any], steps: list[Step]) -> list[torch.Tensor]:
        if not steps:
            return [batch[name] for name in ("reference", "garment", "agnostic")]
        return [torch.stack(parts) for parts in zip(*(step.inputs for step in steps))]

    def _steps(self, people: Sequence[Shown]) -> list[Step]:
        """Steps on the parts of whole photos; none where the network sees a row as it is."""
        if self.predictor.frame != REGION:
            return []
        found = []
        for shown in people:
            person = shown.annotated() if shown.annotated else None
            if person is None or person.crop is not None:
                return []
            person.photo, person.masks[GIVEN] = shown.photo, shown.mask
            garment = resize_image(shown.garment, self.predictor.network_hw)
            category = shown.row.category
            found.append(prepare_step(person, garment, category, GIVEN, frame=REGION))
        return found


@dataclass
class ResultFolder:
    """Pictures that any program wrote, found by the ids in their names.

    A picture's name is the person's id (``048392`` or ``048392_0``), or person and garment
    (``048392_048400``), as ``try-on`` or other projects write them; folders above it may name the
    category, and ``paired`` or ``unpaired``. Pictures of another size are brought to the shards'.

    Raises:
        DataError: no such folder, no pictures in it, or two for one person.
    """

    folder: Path
    name: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    _places: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise DataError(self.folder, "no such folder", "a folder of pictures")
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() in PICTURE_TYPES and not path.stem.endswith(BESIDE):
                self._places[path.stem].append(path)
        if not self._places:
            raise DataError(self.folder, "no pictures", "PNG or JPEG files", "Name another folder")
        self.name = self.name or self.folder.name
        count = sum(map(len, self._places.values()))
        self.facts |= {"folder": self.folder.name, "pictures": count, "resized_from": []}

    def require(self, rows: Sequence[Row]) -> int:
        """How many of the rows have a picture here; DataError where none has."""
        count = sum(self.find(row) is not None for row in rows)
        if rows and not count:
            row, some = rows[0], next(iter(self._places.values()))[0].name
            raise DataError(
                self.folder,
                f"no picture of any of the {len(rows):,} people; there is {some}",
                f"names such as {row.person_id}_{row.garment_id}.png, person and garment",
                "Give shards of the pair list that the pictures were made from",
            )
        return count

    def draw(self, batch: dict[str, Any], people: Sequence[Shown]) -> list[np.ndarray | None]:
        return [self._read(shown) for shown in people]

    def as_written(self, shown: Shown) -> np.ndarray | None:
        """The picture at its own size; None where there is none."""
        path = self.find(shown.row)
        return None if path is None else read_image(path)

    def _read(self, shown: Shown) -> np.ndarray | None:
        path = self.find(shown.row)
        if path is None:
            return None
        picture = read_image(path)
        size = shown.photo.shape[:2]
        told = "{}x{}".format(*picture.shape[:2])
        if picture.shape[:2] != size and told not in self.facts["resized_from"]:
            self.facts["resized_from"].append(told)
        return resize_image(picture, size)

    def find(self, row: Row) -> Path | None:
        """The picture of a row; None where there is none. Raises DataError where there are two."""
        person, garment = row.person_id, row.garment_id
        stems = (
            f"{row.category}-{person}_{row.category}-{garment}",
            f"{person}_{garment}",
            f"{person}_0_{garment}_1",
            f"{person}_0",
            person,
        )
        for stem in stems:
            found = [p for p in self._places.get(stem, ()) if self._is_of(p, row)]
            if len(found) > 1:
                names = " and ".join(str(p.relative_to(self.folder)) for p in found[:2])
                remedy = "Name a folder that holds one of them"
                raise DataError(self.folder, f"{names} for {row.key}", "one picture", remedy)
            if found:
                return found[0]
        return None

    def _is_of(self, path: Path, row: Row) -> bool:
        """Whether the folders above a picture contradict the row."""
        above = path.relative_to(self.folder).parts[:-1]
        categories = {str(c) for c in Category} & set(above)
        if categories and str(row.category) not in categories:
            return False
        pairing = {"paired", "unpaired"} & {re.sub("^test_", "", part) for part in above}
        return (
            not pairing or ("paired" if row.person_id == row.garment_id else "unpaired") in pairing
        )


@dataclass
class Plain:
    """A way that any network has to beat."""

    name: str
    fill: Callable[[Shown], np.ndarray | None]
    facts: dict[str, Any] = field(default_factory=lambda: {"baseline": True})

    def draw(self, batch: dict[str, Any], people: Sequence[Shown]) -> list[np.ndarray | None]:
        return [self.fill(shown) for shown in people]


def fill_mean(shown: Shown) -> np.ndarray:
    """The person with the garment's mean colour in the mask."""
    result = shown.photo.copy()
    result[shown.mask] = shown.garment[cut_out(shown.garment)].mean(0).round()
    return result


def fit_box(shown: Shown) -> np.ndarray:
    """The person with the garment's bounding box stretched over the mask's."""
    result = shown.photo.copy()
    if not shown.mask.any():
        return result
    cloth, hidden = _box(cut_out(shown.garment)), _box(shown.mask)
    size = (hidden[1].stop - hidden[1].start, hidden[0].stop - hidden[0].start)
    fitted = cv2.resize(shown.garment[cloth], size, interpolation=cv2.INTER_AREA)
    canvas = result.copy()
    canvas[hidden] = fitted
    result[shown.mask] = canvas[shown.mask]
    return result


def unchanged(shown: Shown) -> np.ndarray | None:
    """The photo as it is, with the old garment; None for a paired row, whose truth it is."""
    return None if shown.paired else shown.photo


def _box(region: np.ndarray) -> tuple[slice, slice]:
    found = bounds_of(region)
    assert found is not None  # whoever asks has looked
    top, left, bottom, right = found
    return slice(top, bottom), slice(left, right)


def baselines() -> list[Plain]:
    """Mean colour, the garment fitted by its box, and the person unchanged."""
    return [
        Plain("garment's mean colour", fill_mean),
        Plain("garment fitted by its box", fit_box),
        Plain("person unchanged", unchanged),
    ]
