"""Every place where bytes of others enter: what reads them, and what may come of it.

A surface is a reader, a small whole file for it, and what its answer promises. Whatever the bytes
are, the reader gives a valid answer or a ``DataError`` (an upload: a status below 500).
"""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np

from pipeline.annotate.dense_pictures import read_dense_picture
from pipeline.annotate.densepose import load_dump, parts_from_dump
from pipeline.annotate.models import Description, read_description
from pipeline.annotate.parses import read_parse
from pipeline.annotate.photos import decode_photo
from pipeline.annotate.poses import read_pose
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.dataset.flows import read_flow
from pipeline.dataset.index import read_exclude, read_pairs
from pipeline.dataset.readers import (
    read_dense,
    read_dense_uv,
    read_image,
    read_keypoints,
    read_label_map,
)
from pipeline.labelling.unpack import unpack
from pipeline.people.in_dataset import origins_of
from pipeline.shards.checksums import content_checksum
from pipeline.shards.folder import read_index
from pipeline.shards.reader import ShardReader

HW = (128, 96)
"""Height and width of the pictures among the seeds."""


@dataclass(frozen=True)
class Surface:
    """One kind of foreign bytes.

    Attributes:
        name: also of its folder in the corpus.
        file: the name that such a file bears.
        read: from a path to what the program makes of it.
        valid: whether an answer is one that the reader promises.
        reseal: makes checksums right again after a change, so that what lies behind them is
            reached.
    """

    name: str
    file: str
    read: Callable[[Path], Any]
    valid: Callable[[Any], bool]
    reseal: Callable[[bytes], bytes] = field(default=lambda data: data)


# What the readers promise


def _is_image(a: np.ndarray) -> bool:
    return a.dtype == np.uint8 and a.ndim == 3 and a.shape[2] == 3 and a.size > 0


def _is_map(highest: int) -> Callable[[np.ndarray], bool]:
    return lambda a: a.dtype == np.uint8 and a.ndim == 2 and a.size > 0 and a.max() <= highest


def _is_keypoints(a: np.ndarray) -> bool:
    missing = np.isnan(a[:, 0])
    return (
        a.shape == (18, 3)
        and a.dtype == np.float32
        and np.isfinite(a[~missing]).all()
        and np.isnan(a[missing, :2]).all()
        and (a[missing, 2] == 0).all()
    )


def _is_uv(a: np.ndarray) -> bool:
    return (
        a.dtype == np.float32
        and a.ndim == 3
        and a.shape[0] == 2
        and a.size > 0
        and np.isfinite(a).all()
    )


def _is_pose(pose) -> bool:
    points = pose.keypoints
    return points.shape == (18, 3) and bool(np.isfinite(points[~np.isnan(points[:, 0])]).all())


# What reads them


def _read_shard(path: Path) -> list:
    reader = ShardReader(path)
    return [reader.read(i) for i in range(min(len(reader), 4))]


def _are_people(people: list) -> bool:
    for person in people:
        hw = person.photo.shape[:2]
        same = all(mask.shape == hw and mask.dtype == bool for mask in person.masks.values())
        if not (_is_image(person.photo) and _is_keypoints(person.keypoints) and same):
            return False
    return True


def _read_index(path: Path) -> dict:
    return read_index(path.parent)


def _reseal_index(data: bytes) -> bytes:
    with suppress(ValueError, TypeError, RecursionError, AttributeError):
        content = json.loads(data)
        content["checksum"] = content_checksum(content)
        return json.dumps(content).encode()
    return data


def _reseal_png(data: bytes) -> bytes:
    """The chunks of a PNG with their checksums made right."""
    out, at = data[:8], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + length]
        if len(body) < length + 4:
            break
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return out + data[at:]


def _read_weights(path: Path):
    from model.network.checkpoint import load_network

    return load_network(path)


def _is_network(network) -> bool:
    return all(bool(p.isfinite().all()) or p.numel() > 0 for p in network.parameters())


def _read_run(path: Path):
    from model.training.run_state import read_checkpoint

    return read_checkpoint(path)


def _read_options(path: Path) -> dict:
    """What ``train --config`` makes of a file, each option checked as ``train`` checks it."""
    from commands.train import command

    words = [str(path.parent), str(path.parent / "run"), "--config", str(path)]
    with command.make_context("train", words, resilient_parsing=False) as context:
        return context.params


@cache
def _page():
    from starlette.testclient import TestClient

    from model.page.app import build_app
    from model.page.studio import Studio

    app = build_app(Studio(None, None, network_hw=HW, most_pixels=1_000_000))
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=True)


BOUNDARY = "edge"


def _post(path: Path) -> int:
    """The status of an upload whose body the file is."""
    head = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    return _page().post("/api/preview", content=path.read_bytes(), headers=head).status_code


def _unpacked(path: Path):
    out = path.with_name(f"{path.stem}_png")
    try:
        return unpack(path)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _dump(path: Path) -> np.ndarray:
    return parts_from_dump(load_dump(path), Path("me.jpg"), HW, path)


def _orders(path: Path) -> list:
    from model.tryon.orders import read_orders

    return read_orders(path)


_ANY = lambda _: True
_PNG = _reseal_png
SURFACES = {
    surface.name: surface
    for surface in (
        Surface("image", "000000_0.jpg", read_image, _is_image),
        Surface(
            "keypoints",
            "000000_2.json",
            lambda path: read_keypoints(path, (512, 384)),
            _is_keypoints,
        ),
        Surface("label_map", "000000_4.png", read_label_map, _is_map(17), _PNG),
        Surface("dense", "000000_5.png", read_dense, _is_map(24), _PNG),
        Surface("dense_uv", "000000_5_uv.npz", read_dense_uv, _is_uv),
        Surface("flow", "000000_flow.png", read_flow, lambda a: a.ndim == 3, _PNG),
        Surface("shard", "upper_body-00000.h5", _read_shard, _are_people),
        Surface("index", "index.json", _read_index, lambda c: isinstance(c, dict), _reseal_index),
        Surface("torch", "weights.pt", _read_weights, _is_network),
        Surface("safetensors", "weights.safetensors", _read_weights, _is_network),
        Surface("run", "last.pt", _read_run, lambda c: isinstance(c, dict)),
        Surface("options", "recipe.yaml", _read_options, lambda c: isinstance(c, dict)),
        Surface(
            "description", "parser.json", read_description, lambda d: isinstance(d, Description)
        ),
        Surface(
            "pairs", "train_pairs.txt", lambda path: read_pairs(path, Category.UPPER_BODY), _ANY
        ),
        Surface("exclude", "out.txt", read_exclude, lambda s: isinstance(s, frozenset)),
        Surface("orders", "orders.txt", _orders, _ANY),
        Surface("pose", "me_keypoints.json", lambda path: read_pose(path, HW), _is_pose),
        Surface("dump", "dump.pkl", _dump, _is_map(24)),
        Surface("parse", "me.png", lambda path: read_parse(path, HW), _is_map(17), _PNG),
        Surface(
            "dense_picture", "me.png", lambda path: read_dense_picture(path, HW), _is_map(24), _PNG
        ),
        Surface("photo", "me.jpg", lambda path: decode_photo(path.read_bytes(), path), _is_image),
        Surface("cvat", "annotations.xml", _unpacked, _ANY),
        Surface("label_studio", "project.json", _unpacked, _ANY),
        Surface("origins", "annotations.json", lambda path: _origins(path), _ANY),
        Surface("upload", "body.bin", _post, lambda status: 200 <= status < 500),
    )
}


def _origins(path: Path) -> dict:
    origins_of.cache_clear()  # which remembers folders
    return origins_of(path.parent)


def try_bytes(surface: Surface, data: bytes, folder: Path | None = None) -> str:
    """``answer``, the kind of the DataError, or ``BAD ...`` for anything that must not happen.

    Args:
        folder: where the file is put; what stands beside it (a model) is put there too.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as place:
            return try_bytes(surface, data, Path(place))
    path = folder / surface.file
    path.write_bytes(data)
    if surface.name == "description":
        (folder / "model.onnx").touch()
    try:
        answer = surface.read(path)
    except DataError as error:
        named = str(path) in str(error) or str(path.parent) in str(error)
        kind = str(getattr(error, "kind", "error"))
        return kind if named or surface.name in UNNAMED else f"BAD no file in: {error}"[:300]
    except click.ClickException:
        return "usage"
    except BaseException as error:  # whatever comes here is what is looked for
        return f"BAD {type(error).__name__}: {error}"[:300]
    return "answer" if surface.valid(answer) else f"BAD answer {answer!r}"[:300]


UNNAMED = ("torch", "safetensors", "run", "options", "pairs", "orders")
"""Surfaces whose messages may name an entry of the file alone."""
