"""The door: people of a dataset or of shards, all of them or some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.base.places import INDEX_NAME
from pipeline.dataset.identity import Identity
from pipeline.dataset.index import PairRecord, index_pairs
from pipeline.people.in_dataset import DatasetPeople
from pipeline.people.in_shards import ShardPeople
from pipeline.people.source import People


def open_people(
    path: Path | str | Sequence[Path],
    categories: Sequence[Category] = tuple(Category),
    split: str | None = None,
    size_hw: tuple[int, int] | None = None,
    limit: int | None = None,
    ids: Sequence[str] = (),
) -> People:
    """The people of a dataset or, where there is an index.json, of shards.

    Args:
        path: either folder, or several folders of shards.
        categories: which to take.
        split: of a dataset; None means train or, with ``ids``, all splits. A folder of shards has
            its own.
        size_hw: the size at which a dataset is read; None for each photo's own. Shards have theirs.
        limit: at most so many per category.
        ids: only these: ``000123`` or ``dresses/000123``; each must be there.

    Raises:
        DataError: neither a dataset nor shards, nobody there, or an id that is not.
    """
    people: People
    if not isinstance(path, (str, Path)) or (Path(path) / INDEX_NAME).is_file():
        people = _of_split(ShardPeople(path), split)
    else:
        records = _records(Path(path), categories, split, any_split=bool(ids))
        people = DatasetPeople(Path(path), records, size_hw)
    rows = _wanted(people.names, categories, limit if not ids else None, ids)
    if not rows:
        raise DataError(
            _told(path),
            f"nobody of {', '.join(map(str, categories))}",
            remedy="Choose another --category or --split",
        )
    return people.part(rows)


def _of_split(people: ShardPeople, split: str | None) -> People:
    """Those of the folders that hold ``split``; None takes all."""
    held = [folder.split for folder in people.folders]
    if split in (None, *held):
        return people.part(
            [i for i, (number, _) in enumerate(people.rows) if split in (None, held[number])]
        )
    raise DataError(
        _told(people.paths),
        f"shards of {', '.join(sorted(set(held)))}",
        str(split),
        "Leave out --split, or name another folder",
    )


def _told(path: Path | str | Sequence[Path]) -> str:
    return str(path) if isinstance(path, (str, Path)) else ", ".join(map(str, path))


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
    names: Sequence[Identity], categories: Sequence[Category], limit: int | None, ids: Sequence[str]
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


def dataset_twin(root: Path, who: Sequence[Identity]) -> dict[str, PairRecord]:
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
