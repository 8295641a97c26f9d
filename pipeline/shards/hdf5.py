"""A shard as an HDF5 file, opened with care: what it asks for is looked at before it is
believed."""

from __future__ import annotations

import math
import stat
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MAX_ATTRIBUTES, MAX_ATTRIBUTE_VALUES = 64, 64
MAX_TABLE_BYTES = 64 << 20
"""A table is held in memory: joints of 100,000 people take 22 MB."""
MAX_CHUNK_BYTES = 16 << 20
"""HDF5 reads and unpacks whole chunks, however little of one is wanted."""
MAX_ID_BYTES = 64
MAX_NAMES = 1000


def open_shard(path: Path) -> h5py.File:
    """The file, to be read; without a lock where the file system refuses one, as many network file
    systems do: nobody writes into a shard. Raises OSError, ValueError."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for ever
        raise ValueError("not a regular file")
    # No chunk cache: every chunk is one picture, and read whole.
    try:
        return h5py.File(path, "r", rdcc_nbytes=0)
    except OSError:
        # Not at once: HDF5 refuses a second opening in one process, such as a notebook's, that
        # disagrees about locks.
        return h5py.File(path, "r", rdcc_nbytes=0, locking=False)


def read_attributes(file: h5py.File) -> dict[str, Any]:
    """The file's attributes, few and short. Raises ValueError, OSError."""
    attributes = file.attrs
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(f"{len(attributes)} attributes")
    found = {}
    for name in attributes:
        space = attributes.get_id(name).get_space()
        values = math.prod(space.get_simple_extent_dims()) if space.get_simple_extent_ndims() else 1
        if values > MAX_ATTRIBUTE_VALUES:
            raise ValueError(f"attribute {name[:40]!r} of {values:,} values")
        found[name] = attributes[name]
    return found


def dataset(
    file: h5py.File, own: frozenset[str], name: str, kind: str, shape: tuple[int, ...]
) -> h5py.Dataset:
    """A dataset of the given numpy kind and shape whose data lie in this very file, in pieces that
    can be read. ``own``: of ``own_names``. Raises ValueError, KeyError."""
    if name not in own:
        raise KeyError(f"no {name} in the file itself")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.shape != shape or found.dtype.kind != kind:
        raise ValueError(f"{name} is not as expected: type {kind}, shape {shape}")
    if found.is_virtual or found.external or found.file.filename != file.filename:
        raise ValueError(f"{name} points to another file")
    itemsize = found.dtype.itemsize
    if itemsize > (MAX_ID_BYTES if kind == "S" else 8):
        raise ValueError(f"{name} has entries of {itemsize:,} bytes")
    if found.chunks is not None:
        piece = math.prod(found.chunks) * itemsize
        whole_picture = math.prod(shape[1:]) * itemsize
        if piece > max(MAX_CHUNK_BYTES, whole_picture):
            raise ValueError(f"{name} lies in pieces of {piece:,} bytes")
    return found


def table(
    file: h5py.File, own: frozenset[str], name: str, kind: str, shape: tuple[int, ...]
) -> np.ndarray:
    """All of a small dataset, as ``dataset`` checks it; its array. Raises ValueError, KeyError."""
    found = dataset(file, own, name, kind, shape)
    size = math.prod(shape) * found.dtype.itemsize
    if size > MAX_TABLE_BYTES:
        raise ValueError(f"{name} would take {size:,} bytes")
    return found[()]


def own_names(file: h5py.File) -> frozenset[str]:
    """Names of what lies in this very file. Links to elsewhere are left out: they may lead to what
    can't be opened, such as a pipe. Raises ValueError where there are absurdly many."""
    names: list[str] = []

    def note(name: bytes, link) -> str | None:
        if link.type == h5py.h5l.TYPE_HARD:
            names.append(name.decode(errors="replace"))
        return None if len(names) <= MAX_NAMES else "too many"

    if file.id.links.visit(note, info=True):
        raise ValueError(f"more than {MAX_NAMES} datasets")
    return frozenset(names)
