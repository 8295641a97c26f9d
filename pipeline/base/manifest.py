"""What the dataset should look like: layout, frames, names, splits, known bad pairs, licence.

The facts stand in ``data_manifest.json`` alone; this module reads them into frozen dataclasses.
"""

from __future__ import annotations

import json
import site
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.base.errors import DataError
from pipeline.base.labels import Category

FILE_NAME = "data_manifest.json"


@lru_cache(maxsize=256)
def _folder(root: Path, pattern: str, category: Category) -> Path:
    """A modality's folder: five paths a person are made, and most of the time went here."""
    return Path(root) / pattern.format(category=category.value)


@dataclass(frozen=True)
class IdRange:
    """Running numbers of one category and split, both ends included."""

    first: int
    last: int
    count: int

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.first <= number <= self.last


@dataclass(frozen=True)
class KnownIssue:
    """A person of the published dataset with something wrong."""

    category: Category
    person_id: str
    kind: str
    what: str

    @property
    def key(self) -> str:
        return f"{self.category}/{self.person_id}"


@dataclass(frozen=True)
class Recipe:
    """The subset that fine-tuning uses by default."""

    people_per_category: int
    split: str
    size_hw: tuple[int, int]


@dataclass(frozen=True)
class Licence:
    notice: str
    terms: str
    url: str
    how_to_get: str


@dataclass(frozen=True)
class Manifest:
    """Facts about the expected data.

    Attributes:
        image_hw: height, width of photos and maps in pixels.
        keypoint_hw: height, width of the frame that stored coordinates refer to.
        layout: modality -> path below the root, with ``{category}`` and ``{id}``.
        required: modalities without which a person is unusable; of ``one_of`` at least one must be
            there.
        lists: split -> file name of the pair list, in each category's folder and at the root.
        train, test: category -> its running numbers.
    """

    dataset: str
    image_hw: tuple[int, int]
    keypoint_hw: tuple[int, int]
    layout: Mapping[str, str]
    required: tuple[str, ...]
    one_of: tuple[str, ...]
    lists: Mapping[str, str]
    category_index: Mapping[Category, int]
    train: Mapping[Category, IdRange]
    test: Mapping[Category, IdRange]
    joints: tuple[str, ...]
    label_names: tuple[str, ...]
    dense_names: tuple[str, ...]
    known_issues: tuple[KnownIssue, ...]
    recipe: Recipe
    licence: Licence

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.lists)

    @property
    def people(self) -> int:
        """People in the whole dataset."""
        return sum(r.count for ranges in (self.train, self.test) for r in ranges.values())

    def path(self, root: Path, modality: str, category: Category, person_id: str) -> Path:
        """Where a file lies; ``modality`` is a key of ``layout``."""
        folder, _, name = self.layout[modality].rpartition("/")
        return _folder(root, folder, category) / name.format(id=person_id)

    def ids(self, category: Category, split: str) -> IdRange:
        """Running numbers of a category's people in a split, such as ``test_unpaired``."""
        return (self.train if split == "train" else self.test)[category]


def manifest_path() -> Path:
    """The manifest beside the code, or where an installation put it."""
    places = [
        Path(__file__).resolve().parents[2],
        Path(sys.prefix) / "share/fittingroom",
        Path(site.getuserbase()) / "share/fittingroom",
    ]
    for folder in places:
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise DataError(
        FILE_NAME,
        "not found",
        f"it in one of {', '.join(map(str, places))}",
        "Install the package again",
    )


@cache
def load_manifest() -> Manifest:
    """The facts of ``data_manifest.json``; read once."""
    path = manifest_path()
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            path,
            f"not a readable manifest ({error!r})",
            remedy="Restore the file that came with the software",
        ) from error


def _parse(raw: dict[str, Any]) -> Manifest:
    by_category = {Category(name): facts for name, facts in raw["categories"].items()}
    recipe = raw["recipe"]
    return Manifest(
        dataset=raw["dataset"],
        image_hw=_size(raw["image_size"]),
        keypoint_hw=_size(raw["keypoint_frame"]),
        layout=MappingProxyType(raw["layout"]),
        required=tuple(raw["required"]),
        one_of=tuple(raw["one_of"]),
        lists=MappingProxyType(raw["lists"]),
        category_index=MappingProxyType({c: facts["index"] for c, facts in by_category.items()}),
        train=MappingProxyType({c: IdRange(**facts["train"]) for c, facts in by_category.items()}),
        test=MappingProxyType({c: IdRange(**facts["test"]) for c, facts in by_category.items()}),
        joints=tuple(raw["joints"]),
        label_names=tuple(raw["label_names"]),
        dense_names=tuple(raw["dense_names"]),
        known_issues=tuple(
            KnownIssue(Category(i["category"]), i["person"], i["kind"], i["what"])
            for i in raw["known_issues"]
        ),
        recipe=Recipe(recipe["people_per_category"], recipe["split"], _size(recipe)),
        licence=Licence(**raw["licence"]),
    )


def _size(raw: dict[str, Any]) -> tuple[int, int]:
    return raw["height"], raw["width"]
