"""One shard, read: checked header, then one person's picture, mask or map at a time."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.dataset.person import Identity, Person
from pipeline.shards.format import (
    FORMAT,
    FORMAT_VERSION,
    KEYPOINT_SHAPE,
    MAX_SAMPLES,
    MAX_SIDE,
    ShardInfo,
    columns,
)

REMAKE = "Run preprocess again with the same options: it makes damaged shards anew"


class ShardReader:
    """One shard, opened at the first read and again in every process that it is sent to.

    Args:
        path: a file that ``ShardWriter`` wrote.

    Raises:
        DataError: missing, cut off, damaged, or no such file. Reads raise it too.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._process = 0
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

    def close(self) -> None:
        """Closes the file; the next read opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file, self._datasets = None, {}

    def __getstate__(self) -> dict:
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
        return out

    def _decoded(self, name: str, i: int, *out: np.ndarray):
        i = self._row(i)
        start, end = self._offsets[name][i : i + 2]
        with self._telling(
            f"{self._columns[name].what} of {self._person_ids[i].decode()} can't be read"
        ):
            return self._columns[name].decode(
                self._bytes(name, int(start), int(end)), self.size_hw, *out
            )

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
        if (
            self._file is None or self._process != os.getpid()
        ):  # a forked process must not share the parent's file
            # No chunk cache: every chunk is one picture, and read whole.
            self._file, self._process = h5py.File(self.path, "r", rdcc_nbytes=0), os.getpid()
            self._datasets = {}
        return self._file

    def _dataset(self, name: str) -> h5py.Dataset:
        """A dataset of the open file; looking one up takes longer than reading from it."""
        file = self._open()
        if name not in self._datasets:
            self._datasets[name] = file[name]
        return self._datasets[name]

    def _read_header(self) -> None:
        file = self._open()
        attributes = file.attrs
        if attributes.get("format") != FORMAT:
            raise ValueError("not a shard")
        if (version := int(attributes["format_version"])) != FORMAT_VERSION:
            raise ValueError(f"format version {version}, this software reads {FORMAT_VERSION}")
        height, width = (int(n) for n in attributes["size_hw"])
        if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
            raise ValueError(f"size {height}x{width}")
        self.info = ShardInfo(
            Category(attributes["category"]),
            str(attributes["split"]),
            (height, width),
            str(attributes["images"]),
            tuple(str(s) for s in attributes["styles"]),
            int(attributes["mask_version"]),
            str(attributes["source"]),
            str(attributes["software"]),
            str(attributes["licence"]),
            bool(attributes.get("flows", False)),
        )
        self._columns = columns(self.info.images, self.info.styles, self.info.flows)
        self._read_tables(file, int(attributes["samples"]))

    def _read_tables(self, file: h5py.File, samples: int) -> None:
        """The small tables, held in memory: ids, joints, offsets; each checked against the file."""
        if not 0 <= samples <= MAX_SAMPLES:
            raise ValueError(f"{samples} samples")
        self._person_ids = dataset(file, "person_id", "S", (samples,))[:]
        self._garment_ids = dataset(file, "garment_id", "S", (samples,))[:]
        self._keypoints = dataset(file, "keypoints", "f", (samples, *KEYPOINT_SHAPE))[:].astype(
            np.float32, copy=False
        )
        if self.info.images == "raw":
            for name in ("person", "garment"):
                dataset(file, f"{name}/pixels", "u", (samples, *self.size_hw, 3))
        self._offsets = {
            name: dataset(file, f"{name}/offsets", "i", (samples + 1,))[:] for name in self._columns
        }
        largest = (
            6 * self.size_hw[0] * self.size_hw[1] + 65536
        )  # no encoder makes more of one picture
        self._places: dict[
            str, int | None
        ] = {}  # byte of the file where a flat dataset begins; None: in pieces
        for name, offsets in self._offsets.items():
            lengths = np.diff(offsets)
            if offsets[0] != 0 or (lengths < 0).any() or (lengths > largest).any():
                raise ValueError(f"{name}/offsets are damaged")
            flat = dataset(file, f"{name}/bytes", "u", (int(offsets[-1]),))
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


def dataset(file: h5py.File, name: str, kind: str, shape: tuple[int, ...]) -> h5py.Dataset:
    """A dataset of the given numpy kind and shape whose data lie in this very file. Raises
    ValueError, KeyError."""
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.shape != shape or found.dtype.kind != kind:
        raise ValueError(f"{name} is not as expected: type {kind}, shape {shape}")
    if found.is_virtual or found.external or found.file.filename != file.filename:
        raise ValueError(f"{name} points to another file")
    return found
