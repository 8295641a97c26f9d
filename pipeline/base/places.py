"""What a folder is, by what lies in it: so that a command can say what it was given in place of
what it needs, and writes into nothing that belongs to something else."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from pipeline.base.errors import DataError
from pipeline.base.labels import Category

INDEX_NAME, PROGRESS_NAME = "index.json", ".progress"
"""In a folder of shards: written when all are whole; notes and unfinished parts of a run."""


ORIGINS = "annotations.json"
"""Where ``annotate`` tells what each annotation of a dataset comes from."""


class Holds(Enum):
    """What a folder holds, in words."""

    NOWHERE = "no such folder"
    FILE = "a file, not a folder"
    DATASET = "a dataset in Dress Code's layout"
    SHARDS = "a folder of shards"
    UNFINISHED = "shards that preprocess has not finished"
    RUN = "a training run"
    EMPTY = "an empty folder"
    OTHER = "neither shards nor a dataset"


def place_of(folder: Path) -> Holds:
    """What lies in a folder; a dataset into which shards were written is a dataset."""
    if not folder.is_dir():
        return Holds.FILE if folder.exists() else Holds.NOWHERE
    if any((folder / category / "images").is_dir() for category in Category):
        return Holds.DATASET
    if (folder / INDEX_NAME).is_file():
        return Holds.SHARDS
    if (folder / PROGRESS_NAME).is_dir():
        return Holds.UNFINISHED
    if any(folder.glob("*.pt")) or (folder / "log.jsonl").is_file():
        return Holds.RUN
    return Holds.OTHER if any(folder.iterdir()) else Holds.EMPTY


def no_shards(folder: Path) -> DataError:
    """For a folder without an index, where shards are wanted."""
    place, below = place_of(folder), shards_below(folder)
    if below:
        found = f"no shards itself, but folders of them: {', '.join(p.name for p in below)}"
        return DataError(folder, found, "one of them", f"Give {below[0]}")
    remedy = {
        Holds.DATASET: "Preprocess it into another folder, and give that one",
        Holds.UNFINISHED: "Give preprocess this folder again: it goes on where it stopped",
        Holds.RUN: "Give the folder that preprocess wrote; weights are its best.pt",
    }.get(place, "preprocess DATA OUT writes such a folder: check the path")
    return DataError(folder, place.value, "a folder that preprocess has finished", remedy)


def no_dataset(folder: Path, categories: list[str]) -> DataError:
    """For a folder without those categories' folders, where a dataset is wanted."""
    place, below = place_of(folder), shards_below(folder)
    found = f"no folder {' or '.join(f'{category}/' for category in categories)}"
    remedy = "Name the folder that holds the categories' folders"
    if below:
        found = f"folders of shards: {', '.join(path.name for path in below)}"
        remedy = f"If shards are meant, give {below[0]}"
    elif place is Holds.SHARDS:
        found = place.value
        remedy = "Name the dataset here; shards go where a command takes SHARDS or --shards"
    elif place in (Holds.EMPTY, Holds.RUN):
        found = place.value
    return DataError(folder, found, "Dress Code's layout", remedy)


def shards_below(folder: Path) -> list[Path]:
    """Folders of shards right below a folder, by name."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if (path / INDEX_NAME).is_file())


def refuse_to_write(folder: Path, *others: Holds) -> None:
    """DataError where a folder is one of these already: what is written would lie among it."""
    place = place_of(folder)
    if place in others:
        raise DataError(folder, place.value, "a folder of its own", "Choose another name")
