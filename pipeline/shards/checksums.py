"""Checksums of a shard: of each table, of the attributes, and through its own table of each sample.

CRC-32 as in zip and PNG (``zlib.crc32``): every program has it, and it takes 10 µs for a photo. A
table is summed in one form, whatever type it has in the file: ids as ASCII with a line feed between
them, numbers little-endian as docs/shards.md gives their types.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.base.names import WHOLE
from pipeline.shards.format import ShardInfo

ATTRIBUTES = "attributes"
"""What the checksum of the file's attributes is called among those of the tables."""


def checksum(data: np.ndarray | bytes) -> int:
    """CRC-32 of bytes, or of an array's memory; the array is C-contiguous."""
    return zlib.crc32(data if isinstance(data, bytes) else data.data)


def sample_checksums(parts: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) uint32: the checksum of each sample's bytes; 0 for none."""
    return np.array([checksum(part) for part in parts], np.uint32)


def attribute_checksum(info: ShardInfo, samples: int) -> int:
    """Of what all samples share and their number, as JSON with sorted keys."""
    content = {
        "category": str(info.category),
        "split": info.split,
        "size_hw": list(info.size_hw),
        "images": info.images,
        "styles": list(info.styles),
        "mask_version": info.mask_version,
        "samples": samples,
        "source": info.source,
        "software": info.software,
        "licence": info.licence,
        "flows": info.flows,
        **({"frame": info.frame} if info.frame != WHOLE else {}),
    }
    return checksum(json.dumps(content, sort_keys=True, ensure_ascii=False).encode())


def table_checksum(table: np.ndarray) -> int:
    """Of ids (type S), or of numbers in the type that the format gives them."""
    if table.dtype.kind == "S":
        return checksum(b"\n".join(table.tolist()))
    return checksum(np.ascontiguousarray(table, table.dtype.newbyteorder("<")))


def digest(checksums: Mapping[str, int]) -> str:
    """16 hexadecimal digits that tell one shard from every other: of all its tables' checksums."""
    text = json.dumps(dict(checksums), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON object without its key ``checksum``, however the file is laid out."""
    rest = {key: value for key, value in content.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
