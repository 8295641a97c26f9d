"""Stage 4, pack: people -> one HDF5 file. The format is told in docs/shards.md."""

from __future__ import annotations

import io
import json
from pathlib import Path

import h5py
import numpy as np

from pipeline.base.names import WHOLE
from pipeline.base.storage import write_whole
from pipeline.dataset.person import Person
from pipeline.shards.checksums import (
    ATTRIBUTES,
    attribute_checksum,
    checksum,
    digest,
    sample_checksums,
    table_checksum,
)
from pipeline.shards.format import (
    CROP_VALUES,
    FORMAT,
    FORMAT_VERSION,
    KEYPOINT_SHAPE,
    ShardInfo,
    columns,
)


class ShardWriter:
    """Collects people and puts them under a name as one whole file.

    The file is built in memory (some 100 KB a person as JPEG at 512 x 384) and written at the end:
    so a full disc is an ordinary error, and equal people give equal bytes. Used as a context; an
    error inside leaves no file.

    Args:
        path: final name.
        info: what all people share.
        scratch: folder for the unfinished file, on the same file system.
    """

    def __init__(self, path: Path, info: ShardInfo, scratch: Path | None = None):
        self.path, self.info, self.scratch = Path(path), info, scratch
        self._columns = columns(info.images, info.styles, info.flows)
        self._encoded: dict[str, list[np.ndarray]] = {name: [] for name in self._columns}
        self._ids: list[tuple[str, str]] = []
        self._keypoints: list[np.ndarray] = []
        self._crops: list[tuple[int, ...]] = []
        self._pixel_checksums: dict[str, list[int]] = {}
        self.digest = ""
        self._buffer = io.BytesIO()
        self._file = h5py.File(self._buffer, "w")
        self._pixels = [
            self._create_pixels(name) for name in ("person", "garment") if info.images == "raw"
        ]

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            write_whole(self.path, self.finish(), self.scratch)
        elif self._file:
            self._file.close()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, person: Person) -> None:
        """Appends one person, masks included. Raises ValueError where something lacks or does not
        fit the shard."""
        self._check(person)
        values = {
            "person": person.photo,
            "garment": person.garment,
            "label_map": person.label_map,
            "dense": person.dense_i,
            "flow": person.flow,
            **{f"mask/{s}": person.masks[s] for s in self.info.styles},
        }
        encoded = {name: column.encode(values[name]) for name, column in self._columns.items()}
        for name, data in encoded.items():
            self._encoded[name].append(data)
        for pixels in self._pixels:
            pixels.resize(len(self) + 1, axis=0)
            name = pixels.name.split("/")[1]
            picture = np.ascontiguousarray(values[name])
            pixels[len(self)] = picture
            self._pixel_checksums.setdefault(name, []).append(checksum(picture))
        assert person.keypoints is not None  # _check has looked
        self._keypoints.append(person.keypoints)
        if person.crop is not None:
            self._crops.append(person.crop.values)
        self._ids.append((person.who.person_id, person.who.garment_id))

    def finish(self) -> memoryview:
        """The whole file's bytes; nothing can be added afterwards. ``digest`` then tells the shard
        from others."""
        file, tables = self._file, self._tables()
        for name, table in tables.items():
            file[name] = table
        for name, parts in self._encoded.items():
            file[f"{name}/bytes"] = np.concatenate(parts) if parts else np.zeros(0, np.uint8)
            self._encoded[name] = []
        checksums = {name: table_checksum(table) for name, table in tables.items()}
        checksums[ATTRIBUTES] = attribute_checksum(self.info, len(self))
        self.digest = digest(checksums)
        self._write_attributes(checksums)
        file.close()
        return self._buffer.getbuffer()

    def _tables(self) -> dict[str, np.ndarray]:
        """All that a reader holds in memory: offsets, checksums of samples, joints, ids."""
        tables: dict[str, np.ndarray] = {}
        for name, parts in self._encoded.items():
            offsets = np.zeros(len(parts) + 1, np.int64)
            np.cumsum([len(part) for part in parts], out=offsets[1:])
            tables[f"{name}/offsets"] = offsets
            tables[f"{name}/crc32"] = sample_checksums(parts)
        for pixels in self._pixels:
            name = pixels.name.split("/")[1]
            tables[f"{name}/crc32"] = np.array(self._pixel_checksums.get(name, []), np.uint32)
        joints = np.array(self._keypoints, np.float32).reshape(-1, *KEYPOINT_SHAPE)
        tables["keypoints"] = joints
        if self.info.frame != WHOLE:
            tables["crop"] = np.array(self._crops, np.int32).reshape(-1, CROP_VALUES)
        for at, name in enumerate(("person_id", "garment_id")):
            ids = [ids[at].encode() for ids in self._ids]
            tables[name] = np.array(ids, "S") if ids else np.zeros(0, "S1")
        return tables

    def _create_pixels(self, name: str) -> h5py.Dataset:
        size = (*self.info.size_hw, 3)
        return self._file.create_dataset(
            f"{name}/pixels", (0, *size), np.uint8, maxshape=(None, *size), chunks=(1, *size)
        )

    def _write_attributes(self, checksums: dict[str, int]) -> None:
        info = self.info
        self._file.attrs.update(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "category": str(info.category),
                "split": info.split,
                "size_hw": np.array(info.size_hw, np.int64),
                "images": info.images,
                "styles": list(info.styles),
                "mask_version": info.mask_version,
                "samples": len(self),
                "source": info.source,
                "software": info.software,
                "licence": info.licence,
                **({"flows": True} if info.flows else {}),
                **({"frame": info.frame} if info.frame != WHOLE else {}),
                "checksums": json.dumps(checksums, sort_keys=True),
            }
        )

    def _check(self, person: Person) -> None:
        size, name = self.info.size_hw, person.who.person_id
        if missing := set(self.info.styles) - set(person.masks):
            raise ValueError(f"{name} has no mask {', '.join(sorted(missing))}")
        needed = {
            "photo": (person.photo, (*size, 3)),
            "garment": (person.garment, (*size, 3)),
            "keypoints": (person.keypoints, KEYPOINT_SHAPE),
            **{style: (mask, size) for style, mask in person.masks.items()},
        }
        for what, (array, shape) in needed.items():
            if array is None:
                raise ValueError(f"{name} has no {what}")
            _check_shape(name, what, array, shape)
        for what, labels in (("label map", person.label_map), ("DensePose map", person.dense_i)):
            if labels is not None:
                _check_shape(name, what, labels, size)
        if (person.crop is None) != (self.info.frame == WHOLE):
            shown = "the whole photo" if person.crop is None else "a part of the photo"
            raise ValueError(f"{name} shows {shown}, the shard is of frame {self.info.frame}")
        if person.flow is not None:
            _check_shape(name, "flow", person.flow, (*size, 2))


def _check_shape(name: str, what: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{what} of {name} has shape {array.shape}, expected {shape}")
