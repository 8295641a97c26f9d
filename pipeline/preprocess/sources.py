"""The files that a shard was made of, so that a photo or a label map that was replaced later is
noticed.

Two fingerprints of a shard's files: what the file system says of them (size and time of change,
some microseconds a file), kept beside the shards, on this machine alone; and a hash of what they
hold, in the index. Where the first is another one, the second decides.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.base.errors import DataError
from pipeline.base.storage import read_json, write_json
from pipeline.dataset.flows import flow_path
from pipeline.dataset.index import PairRecord

SEEN_NAME = ".sources.json"
NAMED = 3
BLOCK = 1 << 20


def files_of(pair: PairRecord, flows: bool = False) -> Iterator[Path]:
    """The files that a person's part of a shard is made of."""
    yield pair.image
    yield pair.garment
    yield pair.keypoints
    yield from (path for path in (pair.label_map, pair.dense) if path)
    yield from (path for _, path in pair.mended)
    if flows and pair.paired:
        yield flow_path(pair.image)


def seen(pairs: Iterable[PairRecord], flows: bool = False) -> str:
    """A fingerprint of sizes and times of change, wherever the dataset lies and in whatever order
    the people come."""
    return _joined(b"".join(_seen(path) for path in files_of(pair, flows)) for pair in pairs)


def _seen(path: Path) -> bytes:
    try:
        facts = os.stat(path)
    except OSError:
        return f"{path.name} none\n".encode()
    return f"{path.name} {facts.st_size} {facts.st_mtime_ns}\n".encode()


def held(pairs: Iterable[PairRecord], flows: bool = False) -> str:
    """A fingerprint of all that the files hold: the same on every machine, in any order."""
    return _joined(b"".join(_held(path) for path in files_of(pair, flows)) for pair in pairs)


def _held(path: Path) -> bytes:
    told = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                told.update(block)
    except OSError:
        return f"{path.name} none\n".encode()
    return path.name.encode() + told.digest()


def _joined(people: Iterable[bytes]) -> str:
    each = sorted(hashlib.blake2b(person, digest_size=16).digest() for person in people)
    return hashlib.blake2b(b"".join(each), digest_size=16).hexdigest()


def newer_than(shard: Path, pairs: Iterable[PairRecord], root: Path, flows: bool) -> list[str]:
    """The files that changed after the shard was written, the first few, relative to the dataset;
    a file that was replaced by an older one is not among them."""
    try:
        written = shard.stat().st_mtime_ns
    except OSError:
        return []
    found = []
    for pair in pairs:
        for path in files_of(pair, flows):
            try:
                if path.stat().st_mtime_ns > written:
                    found.append(path.relative_to(root).as_posix())
            except (OSError, ValueError):
                continue
            if len(found) == NAMED:
                return found
    return found


def read_seen(folder: Path) -> dict[str, str]:
    """Shard -> what was seen of its files; {} where nothing is known."""
    try:
        content = read_json(folder / SEEN_NAME)
    except DataError:
        return {}
    return {name: text for name, text in content.items() if isinstance(text, str)}


def write_seen(folder: Path, told: dict[str, str], scratch: Path) -> None:
    """Keeps what was seen of each shard's files. Raises DataError."""
    write_json(folder / SEEN_NAME, told, scratch)
