"""DensePose parts from the ``.pkl`` dumps of its official tool, read without unpickling a single
class.

A dump is a pickle, or what torch.save writes (an archive with a pickle in it, or the older stream
of pickles). Here the pickle's instructions are followed with a short list of inert stand-ins:
tensors become numpy arrays, results become plain records, every other name is refused. So nothing
in the file can run.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.files import ReadError, brief
from pipeline.base.labels import N_DENSE, Joint
from pipeline.dataset.frames import Silhouette

MAX_BYTES = 512 << 20
REMEDY = "Write the dump again with DensePose's apply_net.py dump, or export index PNGs"
_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_RECORDS = (
    "DensePoseResult",
    "DensePoseChartResult",
    "DensePoseChartResultWithConfidences",
    "Boxes",
)


class Record:
    """An object of a dump: its attributes, and nothing that it could do."""

    def __init__(self, *args, **kwargs):
        self.args = args
        self.__dict__.update(kwargs)

    def __setstate__(self, state):
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.__dict__.update({str(k): v for k, v in part.items()})


class _Dtype:
    def __init__(self, name, *_):
        self.dtype = np.dtype(str(name))
        if self.dtype.hasobject:
            raise pickle.UnpicklingError("an array of objects")

    def __setstate__(self, _):
        pass


class _Array:
    """Stands for a numpy array until its content is known."""

    def __init__(self, *_):
        self.value = None

    def __setstate__(self, state):
        _, shape, dtype, fortran, data = state
        data = data.encode("latin-1") if isinstance(data, str) else data
        self.value = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if fortran else "C")


class _Storage:
    """Numbers of a tensor; the older format delivers them after everything that refers to them."""

    def __init__(self, dtype: str, data: bytes | None = None):
        self.dtype, self.data = np.dtype(dtype), data


class _Tensor:
    def __init__(self, storage, offset, size, stride, *_):
        self.storage, self.offset, self.size, self.stride = (
            storage,
            int(offset),
            tuple(size),
            tuple(stride),
        )

    @property
    def value(self) -> np.ndarray:
        """The tensor as an array of its own; bounds are checked, as the file names any it likes."""
        flat = np.frombuffer(self.storage.data, self.storage.dtype)
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride))
        if math.prod(self.size) and not (
            self.offset >= 0 and last < len(flat) and min(self.stride, default=0) >= 0
        ):
            raise ValueError("a tensor reaches beyond its storage")
        steps = [s * flat.itemsize for s in self.stride]
        if math.prod(self.size) > len(flat):
            raise ValueError("a tensor is larger than its storage")
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.size, steps).copy()


class _Reader(pickle.Unpickler):
    def __init__(self, file, storage_of):
        super().__init__(file, encoding="latin-1")
        self.storage_of = storage_of

    def find_class(self, module: str, name: str):
        if module == "collections" and name == "OrderedDict":
            return collections.OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _Tensor
        if module == "torch.storage" and name == "_load_from_bytes":
            return _read_stream_bytes
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
            stand_in = {"dtype": _Dtype, "_reconstruct": _Array, "ndarray": _Array}.get(name)
            if stand_in:
                return stand_in
        if module.split(".")[0] in ("densepose", "detectron2") and name in _RECORDS:
            return type(name, (Record,), {})
        raise pickle.UnpicklingError(f"the file wants {module}.{name}, which is not loaded")

    def persistent_load(self, pid):
        kind, dtype, key, *_ = pid
        if kind != "storage" or not isinstance(dtype, str):
            raise pickle.UnpicklingError("an unknown kind of reference")
        return self.storage_of(dtype, str(key))


def _load(file: io.BytesIO, storage_of: Callable[[str, str], _Storage]):
    """The next pickle of the file, once its instructions are known to ask for no more than it
    holds: the unpickler takes memory for a length, or for a place in its memo, before it looks."""
    begin = file.tell()
    # ValueError where bytes are missing
    for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        if instruction.name.endswith("PUT") and not 0 <= int(argument or 0) <= count:
            raise pickle.UnpicklingError(f"a place {argument} after {count} instructions")
    file.seek(begin)
    return _Reader(file, storage_of).load()


def load_dump(path: Path) -> list[Any]:
    """The list in a dump; arrays behind ``.value``, objects as Records.

    Raises:
        DataError: not a dump, or one that wants other classes than DensePose's results.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError(
                "size",
                path,
                f"{path.stat().st_size:,} bytes",
                f"at most {MAX_BYTES:,}",
                "Dump fewer photos at a time",
            )
        data = path.read_bytes()
    except OSError as error:
        raise ReadError(
            "missing", path, f"cannot be read ({error.strerror})", "a DensePose dump", REMEDY
        ) from None
    try:
        content = (
            _read_archive(data)
            if zipfile.is_zipfile(io.BytesIO(data))
            else _read_stream(io.BytesIO(data))
        )
    except Exception as error:  # a damaged pickle fails in every way
        raise ReadError(
            "unreadable",
            path,
            f"not a dump that is safe to read ({brief(error)})",
            "DensePose results",
            REMEDY,
        ) from None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise ReadError(
            "shape", path, f"a {type(content).__name__}", "a list of results, one a photo", REMEDY
        )
    return content


def _read_archive(data: bytes):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > 2 * MAX_BYTES:
            raise ValueError("it unpacks to more than a gigabyte")
        main = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        base, loaded = main.removesuffix("data.pkl") + "data/", {}

        def storage_of(dtype: str, key: str) -> _Storage:
            if key not in loaded:
                loaded[key] = _Storage(dtype, archive.read(base + key))
            return loaded[key]

        return _load(io.BytesIO(archive.read(main)), storage_of)


def _read_stream(file: io.BytesIO):
    """A plain pickle, or torch's older format: magic number, version, system, content, keys, then
    raw storages."""
    storages: dict[str, _Storage] = {}

    def storage_of(dtype: str, key: str) -> _Storage:
        return storages.setdefault(key, _Storage(dtype))

    first = _load(file, storage_of)
    if first != _MAGIC:
        return first
    for _ in range(2):
        _load(file, storage_of)
    content = _load(file, storage_of)
    for key in _load(file, storage_of):
        storage = storages[str(key)]
        count = int.from_bytes(file.read(8), "little")
        storage.data = file.read(count * storage.dtype.itemsize)
        if len(storage.data) != count * storage.dtype.itemsize:
            raise EOFError("the file ends early")
    return content


def _read_stream_bytes(data: bytes) -> _Storage:
    if not isinstance(data, bytes):
        raise pickle.UnpicklingError("a storage that is no bytes")
    return _read_stream(io.BytesIO(data))


def parts_from_dump(
    rows: list[Any],
    photo: Path,
    size_hw: tuple[int, int],
    path: Path | str = "dump",
    keypoints: np.ndarray | None = None,
) -> np.ndarray:
    """(H, W) uint8 DensePose parts of one person in one photo; zeros where the dump has nobody.

    Of several instances, and of several entries for files of this name, the one on which most of
    the person's joints lie; without joints the surest.

    Args:
        rows: from ``load_dump``.
        photo: found by its file name, whatever folder and system the dump was made in.
        size_hw: the photo's.
        path: what errors call the dump.
        keypoints: (18, 3) of the person in pixels of the photo, NaN where missing.

    Raises:
        DataError: the photo does not occur, its entry cannot be understood, several entries fit
            alike, or the joints lie on nobody.
    """
    entries = [row for row in rows if _stem(row.get("file_name")) == Path(photo).stem]
    if not entries:
        raise DataError(path, f"no entry for {Path(photo).name}", "one for each photo", REMEDY)
    try:
        found = [_instances(row, size_hw) for row in entries]
    except (KeyError, AttributeError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            path,
            f"an entry that cannot be understood ({brief(error)})",
            "labels and boxes of DensePose's chart results",
            REMEDY,
        ) from None
    found = [instances for instances in found if instances]
    if not found:
        return np.zeros(size_hw, np.uint8)
    if keypoints is None or not np.isfinite(keypoints[:, 0]).any():
        if len(found) > 1:
            raise _ambiguous(path, photo, entries)
        return max(found[0], key=lambda instance: instance.score).parts
    best = [max(instances, key=lambda i: i.rank(keypoints)) for instances in found]
    best.sort(key=lambda i: i.rank(keypoints), reverse=True)
    if best[0].cover(keypoints) < LEAST_COVER:
        raise DataError(
            path,
            f"the joints of {Path(photo).name} lie on nobody that DensePose saw",
            "parts of the same person",
            "Run DensePose and the pose program on the same photo",
        )
    alike = len(best) > 1 and best[0].cover(keypoints) - best[1].cover(keypoints) < CLEARLY
    if alike and not np.array_equal(best[0].parts, best[1].parts):
        raise _ambiguous(path, photo, entries)
    return best[0].parts


LEAST_COVER = 0.5
"""Share of a person's joints that have to lie on its parts."""
CLEARLY = 0.1


@dataclass(frozen=True)
class Instance:
    """One person of a dump's entry.

    Attributes:
        parts: (H, W) uint8, in the photo.
        score: the detector's.
    """

    parts: np.ndarray
    score: float

    def cover(self, keypoints: np.ndarray) -> float:
        """Share of the joints below the head that lie on this person or just beside."""
        points = keypoints[: Joint.R_EYE, :2]
        points = points[np.isfinite(points[:, 0])]
        return Silhouette(self.parts > 0).share_on(points) if len(points) else 0.0

    def rank(self, keypoints: np.ndarray) -> tuple[float, float]:
        return round(self.cover(keypoints), 2), self.score


def _stem(name: object) -> str | None:
    """A file's name without folder and suffix, of either system's paths."""
    return PureWindowsPath(name).stem if isinstance(name, str) else None


def _ambiguous(path: Path | str, photo: Path, entries: list[Any]) -> DataError:
    places = ", ".join(str(row.get("file_name"))[:80] for row in entries[:3])
    return DataError(
        path,
        f"{len(entries)} entries for {Path(photo).name} ({places}) fit alike",
        "one for each photo",
        "Dump each folder by itself",
    )


def _instances(row: dict[str, Any], size_hw: tuple[int, int]) -> list[Instance]:
    results, boxes = row["pred_densepose"], np.asarray(row["pred_boxes_XYXY"].value)
    scores = np.asarray(row["scores"].value) if "scores" in row else np.ones(len(boxes))
    found = []
    for result, box, score in zip(results, boxes, scores):
        labels = np.asarray(result.labels.value)
        labels = labels[0] if labels.ndim == 3 else labels
        parts = np.zeros(size_hw, np.uint8)
        _paste(parts, labels, box)
        found.append(Instance(parts, float(score)))
    return found


def _paste(parts: np.ndarray, labels: np.ndarray, box: np.ndarray) -> None:
    if (
        labels.ndim != 2
        or labels.min() < 0
        or labels.max() >= N_DENSE
        or not np.isfinite(box[:2]).all()
    ):
        raise ValueError("labels outside 0 to 24")
    left, top = int(box[0]), int(box[1])
    inner = labels[max(0, -top) :, max(0, -left) :]
    top, left = max(0, top), max(0, left)
    inner = inner[: max(0, parts.shape[0] - top), : max(0, parts.shape[1] - left)]
    parts[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
