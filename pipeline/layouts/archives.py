"""People packed into single files: WebDataset's tar shards and Hugging Face's Parquet."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.base.errors import DataError
from pipeline.base.storage import write_whole
from pipeline.layouts.subject import Subject

Members = dict[str, Callable[[Subject], bytes]]

TAR_MEMBERS: Members = {
    "photo.jpg": Subject.photo_jpeg,
    "garment.jpg": Subject.garment_jpeg,
    "mask.png": Subject.mask_png,
    "agnostic.png": Subject.agnostic_png,
    "pose.png": Subject.pose_png,
}
TAR_OPTIONAL: Members = {
    "densepose.png": Subject.dense_png,
    "label_map.png": Subject.label_png,
}
PARQUET_IMAGES: Members = {
    "photo": Subject.photo_jpeg,
    "garment": Subject.garment_jpeg,
    "mask": Subject.mask_png,
    "agnostic": Subject.agnostic_png,
    "pose": Subject.pose_png,
}
PARQUET_OPTIONAL: Members = {"densepose": Subject.dense_png, "label_map": Subject.label_png}
IDENTITY = ("category", "person_id", "garment_id", "split")


def tar_sample(subject: Subject) -> list[tuple[str, bytes]]:
    """Member names and bytes of one person; ``.json`` holds identity and joints.

    Raises:
        DataError: a layer that is not optional has no source.
    """
    who = subject.person.who
    key = f"{who.category}-{who.person_id}-{who.garment_id}"
    members = [(f"{key}.{name}", make(subject)) for name, make in TAR_MEMBERS.items()]
    members += [(f"{key}.{name}", data) for name, data in _there(subject, TAR_OPTIONAL).items()]
    about = {**_identity(subject), "keypoints": _joints(subject)}
    return [*members, (f"{key}.json", json.dumps(about).encode())]


def write_tar(path: Path, samples: list[list[tuple[str, bytes]]]) -> None:
    """A tar file of equal bytes for equal samples. Raises DataError."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in (member for sample in samples for member in sample):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    write_whole(path, stream.getvalue())


def parquet_row(subject: Subject) -> dict[str, Any]:
    """One row: identity, joints, and pictures as Hugging Face's Image feature stores them.

    Raises:
        DataError: a layer that is not optional has no source.
    """
    row: dict[str, Any] = {**_identity(subject), "keypoints": _joints(subject)}
    for name, make in PARQUET_IMAGES.items():
        row[name] = {"bytes": make(subject), "path": None}
    there = _there(subject, PARQUET_OPTIONAL)
    for name in PARQUET_OPTIONAL:
        row[name] = {"bytes": there[name], "path": None} if name in there else None
    return row


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    """A Parquet file that ``datasets.load_dataset`` opens with its pictures decoded.

    Raises:
        DataError: pyarrow is not installed, or the file can't be written.
    """
    arrow, parquet = _pyarrow()
    picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    names = (*PARQUET_IMAGES, *PARQUET_OPTIONAL)
    columns = [(name, arrow.string()) for name in IDENTITY]
    columns += [("keypoints", arrow.list_(arrow.list_(arrow.float32())))]
    columns += [(name, picture) for name in names]
    features: dict[str, Any] = {name: {"dtype": "string", "_type": "Value"} for name in IDENTITY}
    number = {"dtype": "float32", "_type": "Value"}
    features["keypoints"] = {"feature": {"feature": number, "_type": "List"}, "_type": "List"}
    features |= {name: {"_type": "Image"} for name in names}
    about = json.dumps({"info": {"features": features}})
    schema = arrow.schema(columns, metadata={"huggingface": about})
    stream = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(rows, schema=schema), stream)
    write_whole(path, stream.getvalue())


def check_parquet() -> None:
    """DataError where pyarrow is missing: asked before the work, not after it."""
    _pyarrow()


def _pyarrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            "pyarrow",
            "is not installed",
            "pyarrow, which writes Parquet",
            "pip install 'fittingroom[parquet]'",
        ) from error
    return pyarrow, pyarrow.parquet


def _identity(subject: Subject) -> dict[str, str]:
    who = subject.person.who
    return {name: str(getattr(who, name)) for name in IDENTITY}


def _joints(subject: Subject) -> list[list[float | None]]:
    """18 x [x, y, score]; None where a joint is missing, which JSON and Parquet both know."""
    return [
        [None if value != value else round(float(value), 3) for value in row]
        for row in subject.keypoints
    ]


def _there(subject: Subject, members: Members) -> dict[str, bytes]:
    """The layers that this person has a source for."""
    found = {}
    for name, make in members.items():
        try:
            found[name] = make(subject)
        except DataError:
            continue
    return found
