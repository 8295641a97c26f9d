"""People of a folder in Dress Code's layout."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.base.places import ORIGINS, no_dataset
from pipeline.base.storage import read_json
from pipeline.dataset.identity import Identity
from pipeline.dataset.index import PairRecord, find_record
from pipeline.dataset.person import Person, read_person
from pipeline.dataset.readers import read_image, read_thumbnail
from pipeline.people.source import PERSON, People, check_kind, parse_name

MODALITY = {"person": "image", "garment": "garment"}


@lru_cache(maxsize=4)
def origins_of(root: Path) -> dict[str, dict[str, str]]:
    """``category/person`` -> annotation -> what it comes from, as ``annotate`` left it beside the
    files; nothing of the dataset itself."""
    path = root / ORIGINS
    if not path.is_file():
        return {}
    told = {k: v.get("sources") for k, v in read_json(path).items() if isinstance(v, dict)}
    return {key: sources for key, sources in told.items() if isinstance(sources, dict)}


class DatasetPeople(People):
    """People of a folder in Dress Code's layout, read when they are wanted.

    Args:
        root: the folder.
        records: who is in the sequence; by name everybody is found whose files are there.
        size_hw: everything is resized to this; None takes each photo's own size.

    Raises:
        DataError: no such folder.
    """

    def __init__(
        self,
        root: Path,
        records: Sequence[PairRecord] = (),
        size_hw: tuple[int, int] | None = None,
    ):
        self.root, self.records, self._size_hw = Path(root), list(records), size_hw
        if not self.root.is_dir():
            raise DataError(
                self.root,
                "not a folder" if self.root.exists() else "no such folder",
                "a folder in Dress Code's layout",
                "Name the folder that holds the categories' folders",
            )
        if not any((self.root / category).is_dir() for category in Category):
            raise no_dataset(self.root, [category.value for category in Category])

    @property
    def stored_styles(self) -> tuple[str, ...]:
        return ()

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._size_hw or load_manifest().image_hw

    @property
    def names(self) -> list[Identity]:
        return [record.identity for record in self.records]

    def __len__(self) -> int:
        return len(self.records)

    def part(self, rows: Sequence[int]) -> DatasetPeople:
        return DatasetPeople(self.root, [self.records[i] for i in rows], self._size_hw)

    def __getitem__(self, i: int) -> Person:
        return read_person(self.records[i], self._size_hw)

    def load(self, i: int, pictures: bool = False) -> Person:
        shown = ("photo", "garment") if pictures else ("photo",)
        person = read_person(
            self.records[i], self._size_hw, pictures=shown, reduced=not pictures, tolerant=True
        )
        person.sources = origins_of(self.root).get(person.who.key, {})
        return person

    def locate(self, kind: str, name: str, hint: Category | None = None) -> tuple[Category, str]:
        found = self.parse(name)
        check_kind(kind, name)
        if found is None:
            raise DataError(
                name,
                f"is no {kind} of this folder"
                if not Path(name).is_file()
                else "is a photo without annotations",
                "an id such as 000123 or upper_body/000123",
                "Photos from elsewhere get their annotations from the annotate command",
            )
        wanted, identity = found
        places = (wanted,) if wanted else (hint, *Category)
        for category in dict.fromkeys(filter(None, places)):
            if self._path(kind, category, identity).is_file():
                return category, identity
        raise DataError(
            self.root,
            f"no {kind} {identity} in {wanted or 'any category'}",
            "",
            "Give an id that the folder holds",
        )

    def person(self, name: str, hint: Category | None = None) -> Person:
        category, identity = self.locate(PERSON, name, hint)
        record = find_record(self.root, Identity(category, "", identity, identity))
        person = read_person(record, pictures=("photo",))
        person.sources = self.origins(f"{category}/{identity}")
        return person

    def origins(self, name: str, hint: Category | None = None) -> dict[str, str]:
        return origins_of(self.root).get("/".join(self.locate(PERSON, name, hint)), {})

    def garment(
        self, name: str, size_hw: tuple[int, int] | None = None, hint: Category | None = None
    ) -> np.ndarray:
        return read_image(self._path("garment", *self.locate("garment", name, hint)), size_hw)

    def thumbnail(self, kind: str, name: str, size_hw: tuple[int, int]) -> np.ndarray:
        """(H, W, 3) uint8 RGB: a small picture of a "person" or "garment", for which nothing else
        is read. Raises DataError."""
        return read_thumbnail(self._path(kind, *self.locate(kind, name)), size_hw)

    def parse(self, name: str) -> tuple[Category | None, str] | None:
        """As ``People.parse``; a file inside the folder is called by its path, too."""
        found = parse_name(name)
        if found is None:
            path = Path(name) if Path(name).is_file() else self.root / name
            inside = path.is_file() and path.resolve().is_relative_to(self.root.resolve())
            found = parse_name(f"{path.parent.parent.name}/{path.name}") if inside else None
        return found

    def _path(self, kind: str, category: Category, identity: str) -> Path:
        return load_manifest().path(self.root, MODALITY[kind], category, identity)
