"""Stage 4, pack: HDF5 shards of some hundred people each, and a folder of them as one sequence.

The format is told in docs/shards.md; what becomes of one picture or mask in ``shard_format``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import FRAMES, MAX_SIDE, WHOLE
from pipeline.base.places import INDEX_NAME, no_shards
from pipeline.base.storage import read_json
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import Person
from pipeline.shards.checksums import content_checksum
from pipeline.shards.format import FORMAT, MAX_SAMPLES, READ_VERSIONS, ShardInfo
from pipeline.shards.reader import REMAKE, ShardReader
from pipeline.shards.writer import ShardWriter

__all__ = [
    "ShardFolder",
    "ShardInfo",
    "ShardReader",
    "ShardWriter",
    "read_index",
]

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
        self._seen: dict[str, int] = {}  # digest -> number of the shard that has it

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

    @property
    def frame(self) -> str:
        """Of ``names.FRAMES``: whole photos, or the parts around the garments."""
        return self.configuration.get("frame", WHOLE)

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
        """A shard, opened and held against the index: each in its place, and in one place only."""
        shard, options = self.shards[number], self.configuration
        path = self.folder / shard["file"]
        _check_size(path, shard["bytes"])
        reader = ShardReader(path)
        if len(reader) != shard["samples"]:
            expected_people = f"{shard['samples']} as its index says"
            raise DataError(path, f"{len(reader)} people", expected_people, REMAKE)
        info = reader.info
        facts = {
            "category": (str(info.category), shard["category"]),
            "split": (info.split, options["split"]),
            "size": (info.size_hw, tuple(options["size_hw"])),
            "images": (info.images, options["images"]),
            "mask styles": (info.styles, tuple(options["styles"])),
            "frame": (info.frame, self.frame),
        }
        for what, (found, expected) in facts.items():
            if found != expected:
                raise DataError(path, f"{what} {found}", f"{expected} as its index says", REMAKE)
        if shard.get("digest", reader.digest) != reader.digest:
            raise DataError(path, "another shard", "the one that its index names", REMAKE)
        first = self._seen.setdefault(reader.digest, number)
        if first != number and len(reader):
            same = f"the same people as {self.shards[first]['file']}"
            raise DataError(path, same, "people of its own", REMAKE)
        return reader

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": OrderedDict(), "_open": OrderedDict()}


def read_index(folder: Path | str) -> dict[str, Any]:
    """The index of a finished folder: ``configuration``, ``shards``, ``skipped``; see
    docs/shards.md.

    Raises:
        DataError: no such folder, an unfinished one, or no such index.
    """
    path = Path(folder) / INDEX_NAME
    if not path.is_file():
        raise no_shards(Path(folder))
    index = read_json(path)
    version = index.get("format_version")
    if index.get("format") != f"{FORMAT}s" or version not in READ_VERSIONS:
        raise DataError(
            path,
            f"format {str(index.get('format'))[:40]!r}, version {str(version)[:20]}",
            f"{FORMAT}s, version {' or '.join(map(str, READ_VERSIONS))}",
            "Preprocess the dataset again, into a new folder",
        )
    if version > 1 and index.get("checksum") != content_checksum(index):
        raise DataError(
            path,
            "is damaged, or was changed by hand (its checksum differs)",
            remedy="Delete it and run preprocess again",
        )
    try:
        _check_index(index)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            path,
            f"is damaged ({type(error).__name__}: {error})",
            remedy="Delete it and run preprocess again",
        ) from error
    return index


def _check_index(index: dict[str, Any]) -> None:
    """Raises KeyError, TypeError or ValueError unless all that readers use is as it should be."""
    configuration = index["configuration"]
    sides = configuration["size_hw"]
    if len(sides) != 2 or not all(type(n) is int and 0 < n <= MAX_SIDE for n in sides):
        raise ValueError(f"size_hw {str(sides)[:40]}")
    for key in ("split", "images"):
        if not isinstance(configuration[key], str):
            raise ValueError(key)
    if configuration.get("frame", WHOLE) not in FRAMES:
        raise ValueError("frame")
    if not _is_list(configuration["styles"], str) or not isinstance(index["people"], int):
        raise ValueError("styles or people")
    if not _is_list(index["shards"], dict) or not _is_list(index.get("skipped", []), dict):
        raise ValueError("shards or skipped")
    for shard in index["shards"]:
        _check_entry(shard)
    for key in ("file", "digest"):
        values = [shard[key] for shard in index["shards"] if key in shard and shard["samples"]]
        if len(set(values)) != len(values):
            raise ValueError("a shard twice")
    for entry in index.get("skipped", []):
        for key in ("shard", "category", "person_id", "garment_id", "file", "reason"):
            if not isinstance(entry[key], str):
                raise ValueError(f"skipped {key}")


def _check_entry(shard: dict[str, Any]) -> None:
    """As ``_check_index``, for one shard."""
    Category(shard["category"])
    name = shard["file"]
    if Path(name).name != name:
        raise ValueError(f"shard outside of its folder: {name[:80]}")
    if not (type(shard["samples"]) is int and 0 <= shard["samples"] <= MAX_SAMPLES):
        raise ValueError(f"shard {name[:80]}")
    if not (type(shard["bytes"]) is int and shard["bytes"] > 0):
        raise ValueError(f"shard {name[:80]}")
    if not _is_list(shard.get("guessed", []), str):
        raise ValueError(f"guessed people of shard {name[:80]}")
    if not isinstance(shard["sha256"], str) or not isinstance(shard.get("digest", ""), str):
        raise ValueError(f"shard {name[:80]}")


def _is_list(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _check_size(path: Path, expected: int) -> None:
    """DataError where a shard's file is not as long as its index says: it is another one."""
    try:
        size = path.stat().st_size
    except OSError:
        return  # the reader tells
    if size != expected:
        raise DataError(path, f"{size:,} bytes", f"{expected:,} as its index says", REMAKE)
