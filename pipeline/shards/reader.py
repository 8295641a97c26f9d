"""One shard, read: checked header, then one person's picture, mask or map at a time."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import MAX_SIDE, WHOLE
from pipeline.dataset.crop import Crop
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import Person
from pipeline.shards.checksums import (
    ATTRIBUTES,
    attribute_checksum,
    checksum,
    digest,
    table_checksum,
)
from pipeline.shards.format import (
    CROP_VALUES,
    FORMAT,
    KEYPOINT_SHAPE,
    MAX_SAMPLES,
    MAX_STYLES,
    READ_VERSIONS,
    ShardInfo,
    columns,
)
from pipeline.shards.hdf5 import dataset, open_shard, own_names, read_attributes, table

REMAKE = "Run preprocess again with the same options: it makes damaged shards anew"
_IDS = re.compile(rb"([!-.0-~]{1,64}(\n|\Z))*")
"""Ids with a line feed between them: ASCII without spaces and slashes."""


class ShardReader:
    """One shard, opened at the first read and again in every process that it is sent to.

    What is read is compared with its checksum: tables when the file is opened, samples each time;
    raw pictures the first time only, as summing one takes longer than reading it. Files of version
    1 have none.

    Args:
        path: a file that ``ShardWriter`` wrote.

    Attributes:
        digest: tells this shard from every other.

    Raises:
        DataError: missing, cut off, damaged, or no such file. Reads raise it too, also where
            another file has taken the shard's place meanwhile.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._process = 0
        self._stamp: tuple[int, ...] | None = None
        self._sound: set[tuple[str, int]] = set()
        self._places: dict[str, int | None] = {}
        with self._telling("is no readable shard"):
            self._read_header()

    def __len__(self) -> int:
        return len(self._person_ids)

    def __getitem__(self, i: int) -> Person:
        """Everything about person ``i``; negative numbers count from the end. Raises IndexError,
        DataError."""
        return self.read(i)

    def read(self, i: int, *, garment: bool = True) -> Person:
        """Person ``i`` with all stored masks; without the garment's picture where it is not asked
        for."""
        i = self._row(i)
        return Person(
            self.who(i),
            photo=self.photo(i),
            garment=self.garment(i) if garment else None,
            keypoints=self.keypoints(i),
            label_map=self.label_map(i),
            dense_i=self.dense(i),
            crop=self.crop(i),
            masks={style: self.mask(i, style) for style in self.styles},
            flow=self.flow(i) if garment else None,
        )

    @property
    def names(self) -> list[Identity]:
        """Who is in the shard, in order."""
        return [self.who(i) for i in range(len(self))]

    @property
    def styles(self) -> tuple[str, ...]:
        return self.info.styles

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.info.size_hw

    def who(self, i: int) -> Identity:
        """Ids, category and split of person ``i``."""
        i = self._row(i)
        return Identity(
            self.info.category,
            self.info.split,
            self._person_ids[i].decode(),
            self._garment_ids[i].decode(),
        )

    def photo(self, i: int, out: np.ndarray | None = None) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the person; written into ``out``, C-contiguous, or without it into
        new memory."""
        return self._picture("person", i, out)

    def garment(self, i: int, out: np.ndarray | None = None) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the garment alone; written like ``photo``."""
        return self._picture("garment", i, out)

    def mask(self, i: int, style: str) -> np.ndarray:
        """(H, W) bool, True = hidden. Raises DataError for a style that the shard has not."""
        if style not in self.styles:
            raise DataError(self.path, f"no masks of style {style!r}", " or ".join(self.styles))
        return self._decoded(f"mask/{style}", i)

    def keypoints(self, i: int) -> np.ndarray:
        """(18, 3) float32: x, y in pixels, score; NaN, NaN, 0 where a joint is missing."""
        return self._keypoints[self._row(i)].copy()

    def label_map(self, i: int) -> np.ndarray | None:
        """(H, W) uint8 of ``labels.Atr``; None where the dataset has none."""
        return self._decoded("label_map", i)

    def dense(self, i: int) -> np.ndarray | None:
        """(H, W) uint8 of ``labels.DensePart``; None where the dataset has none."""
        return self._decoded("dense", i)

    def flow(self, i: int) -> np.ndarray | None:
        """(H, W, 2) uint16, codes of ``dataset.flows``; None where nothing is known."""
        return self._decoded("flow", i) if self.info.flows else None

    def crop(self, i: int) -> Crop | None:
        """The part of the photo that is shown; None for all of it."""
        return Crop.of(self._crops[self._row(i)]) if len(self._crops) else None

    def close(self) -> None:
        """Closes the file; the next read opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file, self._datasets = None, {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_datasets": {}}  # an open HDF5 file can't travel

    def _row(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self.path} holds {len(self)} people, no number {i}")
        return i % len(self)

    def _picture(self, name: str, i: int, out: np.ndarray | None) -> np.ndarray:
        out = np.empty((*self.size_hw, 3), np.uint8) if out is None else out
        if self.info.images == "jpeg":
            return self._decoded(name, i, out)
        i = self._row(i)
        with self._telling(f"{name} {i} can't be read"):
            self._dataset(f"{name}/pixels").read_direct(out, i)
            if (name, i) not in self._sound:
                self._compare(name, i, np.ascontiguousarray(out))
                self._sound.add((name, i))
        return out

    def _decoded(self, name: str, i: int, *out: np.ndarray):
        i = self._row(i)
        start, end = self._offsets[name][i : i + 2]
        with self._telling(
            f"{self._columns[name].what} of {self._person_ids[i].decode()} can't be read"
        ):
            data = self._bytes(name, int(start), int(end))
            self._compare(name, i, data)
            return self._columns[name].decode(data, self.size_hw, *out)

    def _compare(self, name: str, i: int, data: np.ndarray) -> None:
        """ValueError where a sample's bytes are not those that were packed."""
        sums = self._checksums.get(name)
        if sums is not None and checksum(data) != sums[i]:
            raise ValueError("it differs from its checksum")

    def _bytes(self, name: str, start: int, end: int) -> np.ndarray:
        """A part of a flat dataset; where it lies in one piece read past HDF5, whose way takes
        three times as long."""
        place = self._places[name]
        if place is None or start == end:
            return (
                self._dataset(f"{name}/bytes")[start:end] if end > start else np.zeros(0, np.uint8)
            )
        data = np.empty(end - start, np.uint8)
        if os.preadv(self._open().id.get_vfd_handle(), [data.data], place + start) < len(data):
            raise ValueError("the file has been cut off")
        return data

    def _open(self) -> h5py.File:
        if self._file is not None and self._process == os.getpid():
            return self._file
        # a forked process must not share the parent's file
        self._file, self._process = open_shard(self.path), os.getpid()
        self._datasets = {}
        facts = os.fstat(self._file.id.get_vfd_handle())
        stamp = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if self._stamp not in (None, stamp):
            self._look_again()
        self._stamp = stamp
        return self._file

    def _look_again(self) -> None:
        """Another file lies in the shard's place: fine if it holds the same."""
        there = ShardReader(self.path)
        if there.digest != self.digest:
            self.close()
            raise DataError(
                self.path,
                "was replaced by another shard while it was read",
                remedy="Start again, with what lies there now",
            )
        self._places, self._sound = there._places, set()
        there.close()

    def _dataset(self, name: str) -> h5py.Dataset:
        """A dataset of the open file; looking one up takes longer than reading from it."""
        file = self._open()
        if name not in self._datasets:
            self._datasets[name] = file[name]
        return self._datasets[name]

    def _read_header(self) -> None:
        file = self._open()
        attributes = read_attributes(file)
        if attributes.get("format") != FORMAT:
            raise ValueError("not a shard")
        if (version := int(attributes["format_version"])) not in READ_VERSIONS:
            known = " and ".join(map(str, READ_VERSIONS))
            raise ValueError(f"format version {version}, this software reads {known}")
        height, width = (int(n) for n in attributes["size_hw"])
        if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
            raise ValueError(f"size {height}x{width}")
        styles = tuple(str(s) for s in attributes["styles"])
        if len(set(styles)) != len(styles) or len(styles) > MAX_STYLES:
            raise ValueError(f"{len(styles)} mask styles")
        self.info = ShardInfo(
            Category(attributes["category"]),
            str(attributes["split"]),
            (height, width),
            str(attributes["images"]),
            styles,
            int(attributes["mask_version"]),
            str(attributes["source"]),
            str(attributes["software"]),
            str(attributes["licence"]),
            bool(attributes.get("flows", False)),
            str(attributes.get("frame", WHOLE)),
        )
        self._columns = columns(self.info.images, self.info.styles, self.info.flows)
        samples = int(attributes["samples"])
        tables = self._read_tables(file, samples, summed=version > 1)
        sums = {name: table_checksum(values) for name, values in tables.items()}
        sums[ATTRIBUTES] = attribute_checksum(self.info, samples)
        if version > 1:
            _compare_all(sums, json.loads(attributes["checksums"]))
        self.digest = digest(sums)

    def _read_tables(self, file: h5py.File, samples: int, summed: bool) -> dict[str, np.ndarray]:
        """The small tables, held in memory: ids, joints, offsets, checksums of samples; each
        checked against the file."""
        if not 0 <= samples <= MAX_SAMPLES:
            raise ValueError(f"{samples} samples")
        own = own_names(file)
        self._person_ids = table(file, own, "person_id", "S", (samples,))
        self._garment_ids = table(file, own, "garment_id", "S", (samples,))
        for ids in (self._person_ids, self._garment_ids):
            if not _IDS.fullmatch(b"\n".join(ids.tolist())):
                raise ValueError("ids that are no plain text")
        joints = table(file, own, "keypoints", "f", (samples, *KEYPOINT_SHAPE))
        self._keypoints = joints.astype(np.float32, copy=False)
        self._crops = np.zeros((0, CROP_VALUES), np.int32)
        if self.info.frame != WHOLE:
            values = table(file, own, "crop", "i", (samples, CROP_VALUES))
            self._crops = values.astype(np.int32, copy=False)
            for row in self._crops:
                Crop.of(row)
        raw = ("person", "garment") if self.info.images == "raw" else ()
        for name in raw:
            dataset(file, own, f"{name}/pixels", "u", (samples, *self.size_hw, 3))
        self._offsets = {
            name: table(file, own, f"{name}/offsets", "i", (samples + 1,)).astype(
                np.int64, copy=False
            )
            for name in self._columns
        }
        self._find_places(file, own)
        self._checksums: dict[str, np.ndarray] = {}
        if summed:
            for name in (*raw, *self._columns):
                found = table(file, own, f"{name}/crc32", "u", (samples,))
                self._checksums[name] = found.astype(np.uint32, copy=False)
        return {
            "person_id": self._person_ids,
            "garment_id": self._garment_ids,
            "keypoints": self._keypoints,
            **({"crop": self._crops} if self.info.frame != WHOLE else {}),
            **{f"{name}/offsets": values for name, values in self._offsets.items()},
            **{f"{name}/crc32": values for name, values in self._checksums.items()},
        }

    def _find_places(self, file: h5py.File, own: frozenset[str]) -> None:
        """The byte of the file where each flat dataset begins; None for one in pieces."""
        # no encoder makes more of one picture
        largest = 6 * self.size_hw[0] * self.size_hw[1] + 65536
        self._places = {}
        for name, offsets in self._offsets.items():
            lengths = np.diff(offsets)
            if offsets[0] != 0 or (lengths < 0).any() or (lengths > largest).any():
                raise ValueError(f"{name}/offsets are damaged")
            flat = dataset(file, own, f"{name}/bytes", "u", (int(offsets[-1]),))
            self._places[name] = flat.id.get_offset() if flat.dtype == np.uint8 else None

    def _telling(self, what: str) -> _Telling:
        return _Telling(self.path, what)


class _Telling:
    """Turns whatever HDF5 or a decoder raises over damaged bytes into a DataError that names the
    shard."""

    def __init__(self, path: Path, what: str):
        self.path, self.what = path, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, _traceback):
        if isinstance(error, FileNotFoundError):
            raise DataError(self.path, "no such shard", remedy=REMAKE) from error
        if isinstance(error, Exception) and not isinstance(error, (DataError, MemoryError)):
            reason = " ".join(str(error).split())[:160]
            raise DataError(self.path, f"{self.what} ({reason})", remedy=REMAKE) from error


def _compare_all(found: Mapping[str, int], stored: Any) -> None:
    """ValueError that names the tables whose content is not what their checksum says."""
    if not isinstance(stored, dict):
        raise ValueError("its checksums are damaged")
    if wrong := [name for name, value in found.items() if stored.get(name) != value]:
        raise ValueError(f"{', '.join(wrong[:3])} differ from their checksums")
