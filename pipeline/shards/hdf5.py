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
HEAP, HEAP_HEAD, MAX_HEAP = b"GCOL", 16, 1 << 20
SUPERBLOCK_0, ROOT_ADDRESS = b"\x89HDF\r\n\x1a\n\0", 64
PREFIX, MESSAGE, ATTRIBUTE_HEAD, MAX_HEADER = 16, 8, 8, 1 << 20
"""Bytes before a header's messages, before each one's content, and before an attribute's name."""
ATTRIBUTE, CONTINUATION = 0x0C, 0x10


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
    of a wrong size can keep it in a loop. What is read here is what h5py writes by default (HDF5's
    format specification: superblock 0, object header 1, attribute message 1, global heap); of
    other forms nothing is said.
    """
    size = file.seek(0, os.SEEK_END)
    heaps: dict[int, int] = {}
    for message in _attribute_messages(file, size):
        for length, address in _references(message):
            if length and length > heaps.setdefault(address, _heap_size(file, address, size)):
                raise ValueError(f"a text of {length:,} bytes that lies in no heap")


def _attribute_messages(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Those of the root's object header, in whichever blocks it has."""
    start = _read(file, 0, ROOT_ADDRESS + 8)
    if not start.startswith(SUPERBLOCK_0):
        return
    address = int.from_bytes(start[ROOT_ADDRESS:], "little")
    prefix = _read(file, address, PREFIX)
    if prefix[:1] != b"\1":
        return
    blocks = [(address + PREFIX, int.from_bytes(prefix[8:12], "little"))]
    for number, (address, length) in enumerate(blocks):
        if length > MAX_HEADER or number > MAX_ATTRIBUTES or address + length > size:
            raise ValueError("an object header that is damaged")
        block, at = _read(file, address, length), 0
        while at + MESSAGE <= length:
            kind, long = (int.from_bytes(block[at + n : at + n + 2], "little") for n in (0, 2))
            content = block[at + MESSAGE : at + MESSAGE + long]
            if kind == ATTRIBUTE:
                yield content
            elif kind == CONTINUATION:
                where = content[:8], content[8:16]
                blocks.append(
                    (int.from_bytes(where[0], "little"), int.from_bytes(where[1], "little"))
                )
            at += MESSAGE + long


def _references(message: bytes) -> Iterator[tuple[int, int]]:
    """(length, heap's address) of each text of an attribute; none of one that is no text."""
    version = message[0] if message else 0
    sizes = [int.from_bytes(message[n : n + 2], "little") for n in (2, 4, 6)]
    if version == 1:
        sizes = [-(-n // 8) * 8 for n in sizes]  # name, type and shape are padded
    begin = ATTRIBUTE_HEAD + (version == 3)  # which tells the name's encoding
    kind = message[begin + sizes[0] : begin + sizes[0] + 1]
    if not kind or kind[0] & 0x0F != h5py.h5t.VLEN:
        return
    first = begin + sum(sizes)
    for at in range(first, min(len(message) - 11, first + 16 * MAX_ATTRIBUTE_VALUES), 16):
        reference = message[at : at + 12]
        yield int.from_bytes(reference[:4], "little"), int.from_bytes(reference[4:], "little")


def _heap_size(file: IO[bytes], address: int, size: int) -> int:
    """Bytes of the heap at an address, its chain looked through; 0 where there is none."""
    head = _read(file, address, HEAP_HEAD) if address < size else b""
    if not head.startswith(HEAP):
        return 0
    held = int.from_bytes(head[8:], "little")
    if held > min(size - address, MAX_HEAP):
        raise ValueError(f"a heap of {held:,} bytes")
    _check_chain(_read(file, address, held))
    return held


def _read(file: IO[bytes], address: int, length: int) -> bytes:
    file.seek(address)
    return file.read(length)


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
