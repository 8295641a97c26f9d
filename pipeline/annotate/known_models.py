"""Models of others for label maps and DensePose: fetched or taken from a folder, checked, and put
up beside the description that the program reads.

A known model is a row of ``KNOWN``: where it lies, its checksum, and what it eats. Any other ONNX
file is told by what it gives: 25 classes are DensePose's parts, 18 are ATR's, 20 LIP's or CIHP's.
"""

from __future__ import annotations

import shutil
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.annotate.models import Finder, open_onnx, read_description
from pipeline.base.download import ProgressBar, cache_folder, fetch
from pipeline.base.errors import DataError
from pipeline.base.files import brief
from pipeline.base.labels import N_ATR, N_DENSE, Category
from pipeline.base.storage import file_sha256, unwritable, whole, write_json
from pipeline.sample.scene import render_person
from pipeline.sample.wearer import describe_wearer

FILES = {"label_map": "parser.json", "dense": "dense.json"}
"""The description of each kind in the folder where models are put up."""
OPTIONS = {"label_map": "--parser", "dense": "--dense-model"}
LIP_CLASSES = 20
SIDE = 512
"""Pixels: of the input of a model that takes any size."""
TRIED_HW = (1024, 768)


@dataclass(frozen=True)
class KnownModel:
    """A published model.

    Attributes:
        name: ours.
        file: the publisher's.
        url: pinned to one revision.
        sha256: of the whole file.
        size: bytes.
        licence: what its publisher says of it, in a line.
        description: all that ``models.read_description`` asks for but the file.
    """

    name: str
    file: str
    url: str
    sha256: str
    size: int
    licence: str
    description: dict[str, Any] = field(repr=False)


SCHP_INPUT = {
    "colours": "BGR",
    "mean": [0.406, 0.456, 0.485],
    "std": [0.225, 0.224, 0.229],
}
"""SCHP (Self-Correction for Human Parsing): ImageNet's mean and deviation, blue first."""
DETECTRON_INPUT = {
    "colours": "BGR",
    "scale": 1,
    "mean": [103.53, 116.28, 123.675],
    "std": [1, 1, 1],
}
"""detectron2's models: ImageNet's mean of bytes, blue first."""
KNOWN = (
    KnownModel(
        "schp-atr",
        "parsing_atr.onnx",
        "https://huggingface.co/basso4/humanparsing/resolve/"
        "4fd18f98561bae00b5c24342c92307b4780b2a8d/parsing_atr.onnx",
        "04c7d1d070d0e0ae943d86b18cb5aaaea9e278d97462e9cfb270cbbe4cd977f4",
        266_859_305,
        "SCHP, MIT; trained on ATR, whose photos are for research",
        # Of SCHP's outputs the second is the one that its edges have refined.
        {"kind": "label_map", "height": 512, "width": 512, "output": 1, "classes": "atr"}
        | SCHP_INPUT,
    ),
)
"""No ONNX file of DensePose with a checksum is published; your own is taken from a folder."""


@dataclass(frozen=True)
class PutUp:
    """A model that is ready.

    Attributes:
        name: of a known model, or the file's name.
        description: the JSON file for ``--parser`` or ``--dense-model``.
        kind: "label_map" or "dense".
        size: bytes of the model.
        licence: a line; "unknown" for a file that is not known.
        told: what was assumed of it, empty for a known one.
        body, ground: of a drawn person, the share of the body that it found and of the ground that
            it left empty; NaN where it was not tried.
    """

    name: str
    description: Path
    kind: str
    size: int
    licence: str
    told: str = ""
    body: float = float("nan")
    ground: float = float("nan")

    @property
    def doubtful(self) -> bool:
        """It finds hardly anybody on a drawn person, or people everywhere."""
        return self.body < 0.5 or self.ground < 0.5


def models_folder() -> Path:
    """Where models are put up for ``annotate`` and ``serve`` to find them: in the cache folder."""
    return cache_folder() / "annotators"


def put_up_description(kind: str) -> Path | None:
    """The description of a model that was put up in ``models_folder``; None where there is none."""
    path = models_folder() / FILES[kind]
    return path if path.is_file() else None


def fetch_known(folder: Path, mirror: str | None = None) -> Iterator[PutUp]:
    """Downloads every known model into ``folder`` and writes its description.

    A file that is there with the right checksum is kept; an interrupted download is gone on with.

    Args:
        mirror: the address of a folder that holds files of the same names.

    Raises:
        DataError: a file can't be fetched or written, or has another checksum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for model in KNOWN:
        path = folder / model.file
        url = f"{mirror.rstrip('/')}/{model.file}" if mirror else model.url
        if not (path.is_file() and file_sha256(path) == model.sha256):
            try:
                bar = lambda there, total, name=model.name: ProgressBar(name, there, total)
                fetch(url, path, model.sha256, model.size, bar)
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                remedy = (
                    f"Fetch {model.url} on a machine with a network and give its folder with "
                    "--from, or name a mirror with --mirror"
                )
                reason = getattr(error, "reason", error)
                raise DataError(url, f"could not be reached ({reason})", "", remedy) from None
            except (OSError, ValueError) as error:
                raise DataError(path, f"could not be fetched ({brief(error)})") from None
        yield _describe(folder, model.description, model.file, model.name, model.licence)


def take_from(
    source: Path, folder: Path, classes: str | None = None
) -> Iterator[PutUp | DataError]:
    """Takes every ONNX file of ``source`` that finds label maps or parts, by name order.

    Args:
        classes: "lip" or "cihp": what a file of 20 classes numbers, which the file does not say.

    Yields:
        What was put up, or why a file was not.

    Raises:
        DataError: no ONNX file there.
    """
    files = sorted(p for p in source.iterdir() if p.suffix.lower() == ".onnx" and p.is_file())
    if not files:
        names = " or ".join(model.file for model in KNOWN)
        raise DataError(source, "no ONNX file", f"{names}, or another parser's or DensePose's")
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for file in files:
        try:
            known = next((m for m in KNOWN if m.sha256 == file_sha256(file)), None)
            about = known.description if known else describe_onnx(file, classes)
            if about["kind"] in taken:
                option = OPTIONS[about["kind"]]
                raise DataError(
                    file, "a second model of its kind", "one", f"Describe it and name it: {option}"
                )
            _copy(file, folder / file.name)
        except DataError as error:
            yield error
            continue
        taken.add(about["kind"])
        if known:
            yield _describe(folder, about, file.name, known.name, known.licence)
        else:
            net = "SCHP's" if about["kind"] == "label_map" else "detectron2's"
            told = f"the file does not tell how colours are prepared: {net} way is written down"
            yield _describe(folder, about, file.name, file.name, "unknown", told)


def describe_onnx(path: Path, classes: str | None = None) -> dict[str, Any]:
    """A description of an ONNX file from its input and from what it gives for an empty picture.

    Raises:
        DataError: it can't be run, or gives neither a parser's classes nor DensePose's parts.
    """
    if find_spec("onnxruntime") is None:
        remedy = "pip install onnxruntime, or write its description yourself (docs/photos.md)"
        raise DataError(
            path, "an ONNX file that is not known", "ONNX Runtime to look at it", remedy
        )
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        shape = session.get_inputs()[0].shape
    except Exception as error:  # the library raises its own kinds
        raise DataError(path, f"cannot be opened as ONNX ({brief(error)})") from None
    if len(shape) != 4:
        raise DataError(path, f"an input of shape {shape}", "pictures (1, 3, h, w)")
    nhwc = shape[3] == 3
    sides = [
        n if isinstance(n, int) and n >= 8 else SIDE for n in (shape[1:3] if nhwc else shape[2:])
    ]
    empty = np.zeros((1, *sides, 3) if nhwc else (1, 3, *sides), np.float32)
    channel = 3 if nhwc else 1
    try:
        counts = [o.shape[channel] if o.ndim == 4 else 0 for o in open_onnx(path)(empty)]
    except Exception as error:  # the library raises its own kinds
        raise DataError(path, f"fails on an empty picture ({brief(error)})") from None
    about = {"height": sides[0], "width": sides[1], "layout": "NHWC" if nhwc else "NCHW"}
    if N_DENSE in counts:
        coarse = [i for i, n in enumerate(counts) if n in (2, 15)]
        foreground = {"foreground": coarse[0]} if coarse else {}
        return (
            about
            | DETECTRON_INPUT
            | {"kind": "dense", "output": counts.index(N_DENSE)}
            | foreground
        )
    last = lambda count: len(counts) - 1 - counts[::-1].index(count)  # refined ones come later
    if N_ATR in counts:
        return about | SCHP_INPUT | {"kind": "label_map", "output": last(N_ATR), "classes": "atr"}
    if LIP_CLASSES in counts and classes:
        found = {"kind": "label_map", "output": last(LIP_CLASSES), "classes": classes}
        return about | SCHP_INPUT | found
    if LIP_CLASSES in counts:
        raise DataError(path, "20 classes", "LIP's or CIHP's", "Say which: --parse-classes lip")
    told = ", ".join(map(str, counts)) or "no"
    raise DataError(path, f"outputs of {told} classes", "18 or 20 (a parser) or 25 (DensePose)")


def tried(model: PutUp) -> PutUp:
    """The model with what it finds on a drawn person, whose truth is known.

    Raises:
        DataError: it can't be run, or gives something else than its description says; then the
            description is gone, and nobody takes the model.
    """
    about = read_description(model.description)
    picture, _, _ = render_person(describe_wearer(Category.UPPER_BODY, "000000"), TRIED_HW)
    body = picture.labels > 0
    try:
        found = Finder(about, open_onnx(about.model))(picture.photo) > 0
    except DataError:
        model.description.unlink()
        raise
    return replace(model, body=float(found[body].mean()), ground=float((~found)[~body].mean()))


def _describe(
    folder: Path, about: dict[str, Any], file: str, name: str, licence: str, told: str = ""
) -> PutUp:
    """Writes the description of a file that lies in the folder."""
    path = folder / FILES[about["kind"]]
    write_json(path, {"model": file} | about)
    return PutUp(name, path, about["kind"], (folder / file).stat().st_size, licence, told)


def _copy(source: Path, path: Path) -> None:
    """The file at ``path``, whole. Raises DataError where it can't be written."""
    if path.exists() and path.samefile(source):
        return
    try:
        with whole(path) as part:
            shutil.copyfile(source, part)
    except OSError as error:
        raise unwritable(path, error) from None
