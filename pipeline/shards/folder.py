"""Stage 4, pack: HDF5 shards of some hundred people each, and a folder of them as one sequence.

The format is told in docs/shards.md; what becomes of one picture or mask in ``shard_format``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.storage import read_json
from pipeline.dataset.person import Identity, Person
from pipeline.shards.format import FORMAT, FORMAT_VERSION, ShardInfo
from pipeline.shards.reader import REMAKE, ShardReader
from pipeline.shards.writer import ShardWriter

__all__ = [
    "ShardFolder",
    "ShardInfo",
    "ShardReader",
    "ShardWriter",
    "read_index",
]

INDEX_NAME = "index.json"
OPEN_FILES = 128  # at once in one process; the usual limit for all its files is 1,024
KEPT_READERS = 1024  # with their small tables, 50 KB each; opening a file again is then quick


class ShardFolder:
    """Everybody in a folder of shards, as one sequence, in the index's order.

    Holds a few numbers a shard; files are opened when they are read, at most ``OPEN_FILES`` at a
    time. May be sent to other processes and forked.

    Args:
        folder: what ``preprocess`` wrote.
        categories: which to take; all by default.

    Raises:
        DataError: no finished index there, or no such category.
    """

    def __init__(self, folder: Path | str, categories: Sequence[Category] | None = None):
        self.folder = Path(folder)
        self.index = read_index(self.folder)
        self.configuration = self.index["configuration"]
        wanted = {str(c) for c in categories or Category}
        self.shards = [s for s in self.index["shards"] if s["category"] in wanted and s["samples"]]
        if not self.shards:
            raise DataError(
                self.folder,
                f"no shards of {', '.join(sorted(wanted))}",
                remedy="Run preprocess for this category",
            )
        self._ends = np.cumsum([s["samples"] for s in self.shards])
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()
        self._open: OrderedDict[int, ShardReader] = OrderedDict()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, i: int) -> Person:
        reader, row = self.reader(i)
        return reader[row]

    @property
    def size_hw(self) -> tuple[int, int]:
        return tuple(self.configuration["size_hw"])

    @property
    def split(self) -> str:
        return self.configuration["split"]

    @property
    def styles(self) -> tuple[str, ...]:
        return tuple(self.configuration["styles"])

    @property
    def flows(self) -> bool:
        """Whether the shards hold flows of drawn people."""
        return bool(self.configuration.get("flows", False))

    @cached_property
    def names(self) -> list[Identity]:
        """Who is in the folder, in order. Reads every shard's ids once."""
        return [who for number in range(len(self.shards)) for who in self._shard(number).names]

    def reader(self, i: int) -> tuple[ShardReader, int]:
        """The shard that holds sample ``i`` and its row there, for reading only a part of it."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self.folder} holds {len(self)} people, no number {i}")
        i %= len(self)
        number = int(np.searchsorted(self._ends, i, side="right"))
        return self._shard(number), i - int(self._ends[number]) + self.shards[number]["samples"]

    def readers(self) -> Iterator[ShardReader]:
        """Every shard, one after the other."""
        return (self._shard(number) for number in range(len(self.shards)))

    def _shard(self, number: int) -> ShardReader:
        reader = self._readers.pop(number, None) or self._new_reader(number)
        self._readers[number] = reader
        self._open[number] = reader
        self._open.move_to_end(number)
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        if len(self._readers) > KEPT_READERS:
            self._readers.popitem(last=False)
        return reader

    def _new_reader(self, number: int) -> ShardReader:
        reader, expected = (
            ShardReader(self.folder / self.shards[number]["file"]),
            self.shards[number]["samples"],
        )
        if len(reader) != expected:
            raise DataError(
                reader.path, f"{len(reader)} people", f"{expected} as its index says", REMAKE
            )
        return reader

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_readers": OrderedDict(), "_open": OrderedDict()}


def read_index(folder: Path | str) -> dict:
    """The index of a finished folder: ``configuration``, ``shards``, ``skipped``; see
    docs/shards.md.

    Raises:
        DataError: no such folder, an unfinished one, or no such index.
    """
    path = Path(folder) / INDEX_NAME
    if not path.is_file():
        found = f"no {INDEX_NAME}: preprocess has not finished here"
        if not Path(folder).is_dir():
            found = "not a folder" if Path(folder).exists() else "no such folder"
        raise DataError(
            folder, found, remedy="Run preprocess into this folder until it ends with its summary"
        )
    index = read_json(path)
    if index.get("format") != f"{FORMAT}s" or index.get("format_version") != FORMAT_VERSION:
        raise DataError(
            path,
            f"format {index.get('format')!r}, version {index.get('format_version')!r}",
            f"{FORMAT}s, version {FORMAT_VERSION}",
            "Preprocess the dataset again, into a new folder",
        )
    try:
        _check_index(index)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            path,
            f"is damaged ({type(error).__name__}: {error})",
            remedy="Delete it and run preprocess again: finished shards are kept",
        ) from error
    return index


def _check_index(index: dict) -> None:
    configuration = index["configuration"]
    for key in ("size_hw", "split", "styles", "images"):
        configuration[key]
    for shard in index["shards"]:
        Category(shard["category"])
        if Path(shard["file"]).name != shard["file"]:
            raise ValueError(f"shard outside of its folder: {shard['file']}")
        if not (
            isinstance(shard["samples"], int)
            and shard["samples"] >= 0
            and shard["sha256"]
            and shard["bytes"]
        ):
            raise ValueError(f"shard {shard['file']}")
