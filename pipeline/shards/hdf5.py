"""A shard as an HDF5 file, opened with care: what it asks for is looked at before it is
believed."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

MAX_ATTRIBUTES, MAX_ATTRIBUTE_VALUES = 64, 64
MAX_ATTRIBUTE_BYTES = 1 << 16
PLAIN = (h5py.h5t.STRING, h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM)
MAX_TABLE_BYTES = 64 << 20
"""A table is held in memory: joints of 100,000 people take 22 MB."""
MAX_CHUNK_BYTES = 16 << 20
"""HDF5 reads and unpacks whole chunks, however little of one is wanted."""
MAX_ID_BYTES = 64
MAX_NAMES = 1000
HEAP, HEAP_HEAD, TAIL_BYTES = b"GCOL", 16, 1 << 16
TEXT_TYPE, TEXT_TYPE_ROOM = bytes.fromhex("1901010010000000100000000100000000000800"), 24
"""A text of any length, UTF-8, ended by a zero, as h5py writes it; and its room with padding."""
REFERENCE = ((0, 4), (4, 12))


def open_shard(path: Path) -> h5py.File:
    """The file, to be read; without a lock where the file system refuses one, as many network file
    systems do: nobody writes into a shard. Raises OSError, ValueError."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for ever
        raise ValueError("not a regular file")
    with open(path, "rb") as file:
        check_texts(file)
    # No chunk cache: every chunk is one picture, and read whole.
    try:
        return h5py.File(path, "r", rdcc_nbytes=0)
    except OSError:
        # Not at once: HDF5 refuses a second opening in one process, such as a notebook's, that
        # disagrees about locks.
        return h5py.File(path, "r", rdcc_nbytes=0, locking=False)


def check_texts(file: IO[bytes]) -> None:
    """Raises ValueError where an attribute's text lies in no heap of the file, claims more bytes
    than its heap holds, or where a heap's chain of texts does not end.

    HDF5 takes the memory first, up to 4 GB for one flipped bit, and finds out afterwards; a text
    of a wrong size can keep it in a loop. In a shard all of it lies at the end of the file (HDF5's
    format specification, "Global Heap" and "Attribute Message"): heaps of signature, version and
    size, then number, count and size before each text; attributes of a type, a shape, and for each
    text its length, its heap's address and its number there.
    """
    size = file.seek(0, os.SEEK_END)
    begin = max(0, size - TAIL_BYTES)
    file.seek(begin)
    tail = file.read()
    heaps = {}
    for place in _places(tail, HEAP):
        held = int.from_bytes(tail[place + 8 : place + 16], "little")
        _check_chain(tail[place : place + min(held, size)])
        heaps[begin + place] = held
    for place in _places(tail, TEXT_TYPE):
        space = place + TEXT_TYPE_ROOM
        ranks, bounded = tail[space + 1 : space + 2] == b"\1", tail[space + 2 : space + 3] == b"\1"
        count = int.from_bytes(tail[space + 8 : space + 16], "little") if ranks else 1
        first = space + 8 + (8 + 8 * bounded) * ranks
        for at in range(first, first + 16 * min(count, MAX_ATTRIBUTE_VALUES), 16):
            length, address = (
                int.from_bytes(tail[at + a : at + b], "little") for a, b in REFERENCE
            )
            if length > heaps.get(address, 0):
                raise ValueError(f"a text of {length:,} bytes that lies in no heap")


def _places(data: bytes, mark: bytes) -> Iterator[int]:
    place = data.find(mark)
    while place >= 0:
        yield place
        place = data.find(mark, place + 1)


def _check_chain(heap: bytes) -> None:
    """Raises ValueError unless the texts of a heap follow each other up to its end. Number 0 is
    free room, whose size counts its own head."""
    at = HEAP_HEAD
    while at + HEAP_HEAD <= len(heap):
        number = int.from_bytes(heap[at : at + 2], "little")
        size = int.from_bytes(heap[at + 8 : at + 16], "little")
        step = size if number == 0 else HEAP_HEAD + -(-size // 8) * 8
        if step < HEAP_HEAD or at + step > len(heap):
            raise ValueError(f"a text of {size:,} bytes in a heap of {len(heap):,}")
        at += step


def read_attributes(file: h5py.File) -> dict[str, Any]:
    """The file's attributes, few and short. Raises ValueError, OSError."""
    attributes = file.attrs
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(f"{len(attributes)} attributes")
    found = {}
    for name in attributes:
        about = attributes.get_id(name)
        kind, space = about.get_type(), about.get_space()
        plain = kind.get_class() in PLAIN and kind.get_size() <= MAX_ATTRIBUTE_BYTES
        if not plain:  # of other types HDF5 follows pointers without looking where they lead
            raise ValueError(f"attribute {name[:40]!r} is neither text nor numbers")
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
