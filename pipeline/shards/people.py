"""People to look at, from a dataset or from shards, read as far as they can be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.dataset.index import PairRecord, index_pairs
from pipeline.dataset.readers import read_dense, read_image, read_keypoints, read_label_map
from pipeline.shards.folder import ShardFolder, read_index


@dataclass(frozen=True)
class Who:
    """Names of one person, as lists and reports show them."""

    category: Category
    person_id: str
    garment_id: str
    split: str

    @property
    def key(self) -> str:
        return f"{self.category}/{self.person_id}"


@dataclass
class Person:
    """What could be read of one person.

    Attributes:
        keypoints, label_map, dense: as the readers give them; None where missing or unreadable.
        photo, garment: None if missing, unreadable or not asked for.
        stored: masks by style, where the person comes from a shard.
        missing: names of sources that are not there, though a mask may do without them.
        problems: what could not be read, and why. A person with any can't be used.
    """

    who: Who
    photo: np.ndarray | None = None
    garment: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    label_map: np.ndarray | None = None
    dense: np.ndarray | None = None
    stored: dict[str, np.ndarray] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def read(self, name: str, function: Callable, *arguments) -> Any:
        """Sets ``name`` to what ``function`` gives; a DataError becomes one of ``problems`` and
        leaves None."""
        try:
            setattr(self, name, function(*arguments))
        except DataError as error:
            self.problems.append(str(error))


class DatasetPeople:
    """People of a folder in Dress Code's layout.

    Args:
        records: who, with their files.
        size_hw: everything is resized to this.
    """

    stored_styles: tuple[str, ...] = ()

    def __init__(self, records: Sequence[PairRecord], size_hw: tuple[int, int]):
        self.records, self.size_hw = list(records), size_hw

    @property
    def names(self) -> list[Who]:
        return [Who(r.category, r.person_id, r.garment_id, r.split) for r in self.records]

    def part(self, rows: Sequence[int]) -> DatasetPeople:
        """Only these people: what is sent to a worker."""
        return DatasetPeople([self.records[i] for i in rows], self.size_hw)

    def load(self, i: int, pictures: bool = False) -> Person:
        """Person ``i``; photo and garment only with ``pictures``, though their absence is told in
        any case."""
        record, size = self.records[i], self.size_hw
        person = Person(Who(record.category, record.person_id, record.garment_id, record.split))
        person.read("keypoints", read_keypoints, record.keypoints, size)
        for name, label, path, reader in (
            ("label_map", "label map", record.label_map, read_label_map),
            ("dense", "DensePose", record.dense, read_dense),
        ):
            if path is None:
                person.missing.append(label)
            else:
                person.read(name, reader, path, size)
        for name, path in (("photo", record.image), ("garment", record.garment)):
            if pictures:
                person.read(name, read_image, path, size)
            elif not path.is_file():
                person.problems.append(str(DataError(path, "no such file", "it here")))
        return person


@lru_cache(maxsize=4)
def _open_folder(folder: Path, index_changed: int) -> ShardFolder:
    """A folder of shards, opened once in each process; ``index_changed`` makes a rewritten one
    another."""
    return ShardFolder(folder)


class ShardPeople:
    """People of a folder of shards, with the masks that are stored there.

    Args:
        folder: what ``preprocess`` wrote.
        rows: sample numbers, or None for all.
    """

    def __init__(self, folder: Path, rows: Sequence[int] | None = None):
        self.folder = Path(folder)
        self.rows = list(range(len(self.shards))) if rows is None else list(rows)

    @property
    def shards(self) -> ShardFolder:
        index = self.folder / "index.json"
        return _open_folder(self.folder, index.stat().st_mtime_ns if index.exists() else 0)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.shards.size_hw

    @property
    def stored_styles(self) -> tuple[str, ...]:
        return self.shards.styles

    @property
    def names(self) -> list[Who]:
        records = self.shards.records
        return [
            Who(Category(r.category), r.person_id, r.garment_id, r.split)
            for r in (records[i] for i in self.rows)
        ]

    @property
    def mask_versions(self) -> set[int]:
        """Versions of the renderer that drew the stored masks."""
        return {reader.info.mask_version for reader in self.shards.readers()}

    @property
    def skipped(self) -> int:
        """How many people preprocessing left out."""
        return len(read_index(self.folder).get("skipped", []))

    def part(self, rows: Sequence[int]) -> ShardPeople:
        """Only these people: what is sent to a worker."""
        return ShardPeople(self.folder, [self.rows[i] for i in rows])

    def load(self, i: int, pictures: bool = False) -> Person:
        """Person ``i`` with all stored masks; photo and garment only with ``pictures``."""
        reader, row = self.shards.reader(self.rows[i])
        record = reader.record(row)
        person = Person(
            Who(Category(record.category), record.person_id, record.garment_id, record.split)
        )
        person.read("keypoints", reader.keypoints, row)
        for name, label in (("label_map", "label map"), ("dense", "DensePose")):
            before = len(person.problems)
            person.read(name, getattr(reader, name), row)
            if getattr(person, name) is None and len(person.problems) == before:
                person.missing.append(label)
        for style in reader.styles:
            try:
                person.stored[style] = reader.mask(row, style)
            except DataError as error:
                person.problems.append(str(error))
        if pictures:
            person.read("photo", reader.person, row)
            person.read("garment", reader.garment, row)
        return person


People = DatasetPeople | ShardPeople


def open_people(
    path: Path,
    categories: Sequence[Category] = tuple(Category),
    split: str | None = None,
    size_hw: tuple[int, int] = (512, 384),
    limit: int | None = None,
    ids: Sequence[str] = (),
) -> People:
    """The people of a dataset or, where there is an index.json, of a folder of shards.

    Args:
        path: either folder.
        categories: which to take.
        split: of a dataset; None means train or, with ``ids``, all splits. A folder of shards has
            its own.
        size_hw: the size at which a dataset is read. Shards have their own.
        limit: at most so many per category.
        ids: only these: ``000123`` or ``dresses/000123``; each must be there.

    Raises:
        DataError: neither a dataset nor shards, nobody there, or an id that is not.
    """
    path = Path(path)
    if (path / "index.json").is_file():
        people: People = _shard_people(path, split)
    else:
        people = DatasetPeople(_records(path, categories, split, any_split=bool(ids)), size_hw)
    rows = _wanted(people.names, categories, limit if not ids else None, ids)
    if not rows:
        raise DataError(
            path,
            f"nobody of {', '.join(map(str, categories))}",
            remedy="Choose another --category or --split",
        )
    return people.part(rows)


def _shard_people(path: Path, split: str | None) -> ShardPeople:
    people = ShardPeople(path)
    if split and split != people.shards.split:
        raise DataError(
            path,
            f"shards of {people.shards.split}",
            split,
            "Leave out --split, or name another folder",
        )
    return people


def _records(
    root: Path, categories: Sequence[Category], split: str | None, any_split: bool
) -> list[PairRecord]:
    """Rows of the lists whose files are in this copy of the dataset; each person once over all
    splits."""
    if split is not None or not any_split:
        records = index_pairs(root, categories, split or "train")
        present = [r for r in records if not r.absent]
        return present or records  # nothing there at all: let each row tell what it misses
    found: dict[str, PairRecord] = {}
    error: DataError | None = None
    for name in load_manifest().lists:
        try:
            for record in index_pairs(root, categories, name):
                found.setdefault(record.key, record)
        except DataError as problem:  # a slice may lack a list
            error = error or problem
    if not found and error is not None:
        raise error
    return list(found.values())


def _wanted(
    names: Sequence[Who], categories: Sequence[Category], limit: int | None, ids: Sequence[str]
) -> list[int]:
    """Rows to take: of the categories, named by ``ids`` where there are any, at most ``limit`` a
    category."""
    rows = [i for i, who in enumerate(names) if who.category in categories]
    if ids:
        asked = {str(name).strip("/") for name in ids}
        rows = [i for i in rows if {names[i].key, names[i].person_id} & asked]
        there = {n for i in rows for n in (names[i].key, names[i].person_id)}
        if unknown := sorted(asked - there):
            raise DataError(
                unknown[0],
                "nobody of this id here",
                "an id such as 000123 or dresses/000123",
                "Look into the pair lists, or choose another --split",
            )
    if limit is not None:
        taken = dict.fromkeys(Category, 0)
        kept = []
        for i in rows:
            if taken[names[i].category] < limit:
                taken[names[i].category] += 1
                kept.append(i)
        rows = kept
    return rows


def dataset_twin(root: Path, who: Sequence[Who], size_hw: tuple[int, int]) -> dict[str, PairRecord]:
    """Records of a dataset for people of shards, by key; those that the dataset does not list are
    left out.

    Raises:
        DataError: no dataset there.
    """
    wanted = {w.key for w in who}
    found: dict[str, PairRecord] = {}
    for split in sorted({w.split for w in who}):
        categories = [c for c in Category if any(w.category == c and w.split == split for w in who)]
        for record in index_pairs(root, categories, split):
            if record.key in wanted:
                found.setdefault(record.key, record)
    return found
