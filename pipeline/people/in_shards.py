"""People of folders of shards, with the masks that are stored there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.places import INDEX_NAME
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import GUESSED, Person
from pipeline.dataset.readers import resize_image
from pipeline.people.source import GARMENT, PERSON, People, check_kind, parse_name
from pipeline.shards.folder import ShardFolder, read_index
from pipeline.shards.reader import ShardReader


@lru_cache(maxsize=16)
def _open_folder(folder: Path, index_changed: int) -> ShardFolder:
    """A folder of shards, opened once in each process; ``index_changed`` makes a rewritten one
    another."""
    return ShardFolder(folder)


class ShardPeople(People):
    """People of folders that ``preprocess`` wrote.

    Args:
        folders: one folder or several, of one size.
        rows: (number of the folder, sample there) of each person, or None for all.
    """

    def __init__(
        self, folders: Path | str | Sequence[Path], rows: Sequence[tuple[int, int]] | None = None
    ):
        self.paths = [Path(p) for p in ([folders] if isinstance(folders, (str, Path)) else folders)]
        if rows is None:
            rows = [(n, i) for n, folder in enumerate(self.folders) for i in range(len(folder))]
        self.rows = list(rows)

    @property
    def folders(self) -> list[ShardFolder]:
        found = []
        for path in self.paths:
            index = path / INDEX_NAME
            found.append(_open_folder(path, index.stat().st_mtime_ns if index.exists() else 0))
        return found

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.folders[0].size_hw

    @property
    def frame(self) -> str:
        return self.folders[0].frame

    @property
    def stored_styles(self) -> tuple[str, ...]:
        """Styles that every folder has."""
        folders = self.folders
        return tuple(s for s in folders[0].styles if all(s in f.styles for f in folders))

    @property
    def names(self) -> list[Identity]:
        names = [folder.names for folder in self.folders]
        return [names[number][i] for number, i in self.rows]

    @property
    def mask_versions(self) -> set[int]:
        """Versions of the renderer that drew the stored masks."""
        return {reader.info.mask_version for f in self.folders for reader in f.readers()}

    @property
    def skipped(self) -> int:
        """How many people preprocessing left out."""
        return sum(len(read_index(path).get("skipped", [])) for path in self.paths)

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, rows: Sequence[int]) -> ShardPeople:
        return ShardPeople(self.paths, [self.rows[i] for i in rows])

    def __getitem__(self, i: int) -> Person:
        number, row = self.rows[i]
        return self.folders[number][row]

    def load(self, i: int, pictures: bool = False) -> Person:
        """As ``People.load``, with all stored masks."""
        reader, row = self._reader(i)
        person = Person(reader.who(row), crop=reader.crop(row), sources=self._origins(i))

        def read(function: Callable[..., Any], *arguments) -> np.ndarray | None:
            try:
                return function(row, *arguments)
            except DataError as error:
                person.problems.append(str(error))
                return None

        person.keypoints = read(reader.keypoints)
        for name, label, function in (
            ("label_map", "label map", reader.label_map),
            ("dense_i", "DensePose", reader.dense),
        ):
            before = len(person.problems)
            setattr(person, name, read(function))
            if getattr(person, name) is None and len(person.problems) == before:
                person.missing.append(label)
        masks = {style: read(reader.mask, style) for style in reader.styles}
        person.masks = {style: mask for style, mask in masks.items() if mask is not None}
        person.photo = read(reader.photo)
        if pictures:
            person.garment = read(reader.garment)
        return person

    def locate(self, kind: str, name: str, hint: Category | None = None) -> tuple[Category, str]:
        who = self.names[self._find(kind, name, hint)]
        return who.category, who.person_id if kind == PERSON else who.garment_id

    def person(self, name: str, hint: Category | None = None) -> Person:
        i = self._find(PERSON, name, hint)
        reader, row = self._reader(i)
        person = reader.read(row, garment=False)
        person.sources = self._origins(i)
        return person

    def origins(self, name: str, hint: Category | None = None) -> dict[str, str]:
        return self._origins(self._find(PERSON, name, hint))

    def garment(
        self, name: str, size_hw: tuple[int, int] | None = None, hint: Category | None = None
    ) -> np.ndarray:
        reader, row = self._reader(self._find(GARMENT, name, hint))
        return resize_image(reader.garment(row), size_hw or reader.size_hw)

    def parse(self, name: str) -> tuple[Category | None, str] | None:
        return parse_name(name)

    def _origins(self, i: int) -> dict[str, str]:
        """What the maps come from, where the index tells that they are guessed."""
        who = self.names[i]
        return {"label_map": GUESSED} if (self.rows[i][0], who.key) in self._guessed else {}

    @cached_property
    def _guessed(self) -> set[tuple[int, str]]:
        """(number of the folder, key) of people whose label map follows from joints alone."""
        return {
            (number, f"{shard['category']}/{person_id}")
            for number, folder in enumerate(self.folders)
            for shard in folder.shards
            for person_id in shard.get("guessed", ())
        }

    def _reader(self, i: int) -> tuple[ShardReader, int]:
        number, row = self.rows[i]
        return self.folders[number].reader(row)

    @cached_property
    def _places(self) -> dict[tuple[str, Category, str], int]:
        """(kind, category, id) -> the first row with it."""
        found: dict[tuple[str, Category, str], int] = {}
        for i, who in enumerate(self.names):
            found.setdefault((PERSON, who.category, who.person_id), i)
            found.setdefault((GARMENT, who.category, who.garment_id), i)
        return found

    def _find(self, kind: str, name: str, hint: Category | None) -> int:
        parsed = parse_name(name)
        check_kind(kind, name)
        if parsed is None:
            raise DataError(
                name, f"is no {kind} of these shards", "an id such as 000123 or upper_body/000123"
            )
        wanted, identity = parsed
        places = (wanted,) if wanted else (hint, *Category)
        for category in filter(None, places):
            if (row := self._places.get((kind, category, identity))) is not None:
                return row
        raise DataError(
            ", ".join(map(str, self.paths)),
            f"no {kind} {name}",
            "",
            "Give an id that the shards hold",
        )
