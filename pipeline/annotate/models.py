"""A parser or DensePose model that the user brings, told by a small JSON file what it eats and what
it gives.

The description names the model's file, its input and its classes; docs/photos.md explains every
entry. This module prepares pictures and reads outputs; ONNX files run here, TorchScript in
``model.annotator``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.files import ReadError, brief, read_bytes
from pipeline.base.labels import N_ATR, N_DENSE
from pipeline.dataset.label_sets import GLOVE, SOCKS, TABLES, translate

Runner = Callable[[np.ndarray], list[np.ndarray]]
"""(1, 3, h, w) or (1, h, w, 3) float32 -> the model's outputs as arrays."""
KINDS = {"label_map": N_ATR, "dense": N_DENSE}
LONGEST_NAME = 255
DOCS = "docs/photos.md tells what a description holds"


@dataclass(frozen=True)
class Description:
    """What a model file is.

    Attributes:
        model: the file, relative to the description.
        kind: "label_map" or "dense".
        height, width: of the input, in pixels.
        resize: "stretch" the picture to that size, or "pad" it in proportion, at the top left.
        colours: "RGB" or "BGR".
        layout: "NCHW" or "NHWC".
        scale: pixel values are multiplied by it first (1/255 by default).
        mean, std: then, for each channel in the model's order, (value - mean) / std.
        output: which output holds the classes, counted from 0: scores for each class, or class
            numbers.
        foreground: another output whose scores tell body from background (class 0); DensePose has
            one.
        classes: a name of ``label_sets.TABLES``, or the dataset's class for each of the model's.
    """

    model: Path
    kind: str
    height: int
    width: int
    resize: str = "stretch"
    colours: str = "RGB"
    layout: str = "NCHW"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    output: int = 0
    foreground: int | None = None
    classes: tuple[int, ...] = ()


_CHOICES = {
    "kind": tuple(KINDS),
    "resize": ("stretch", "pad"),
    "colours": ("RGB", "BGR"),
    "layout": ("NCHW", "NHWC"),
}


def read_description(path: Path) -> Description:
    """The description in a JSON file.

    Raises:
        DataError: an entry is missing, unknown, or has a value that means nothing; the model's file
            is not there.
    """
    path = Path(path)
    try:
        content = json.loads(read_bytes(path, "keypoints"))
    except (ValueError, RecursionError) as error:
        raise ReadError(
            "unreadable", path, f"not readable as JSON ({brief(error)})", "a description", DOCS
        ) from None
    names = {f.name for f in fields(Description)}
    needed = {"model", "kind", "height", "width"}
    if not isinstance(content, dict) or not needed <= set(content):
        raise DataError(
            path, "an incomplete description", "entries " + ", ".join(sorted(needed)), DOCS
        )
    if unknown := sorted(set(map(str, content)) - names):
        known = "entries among " + ", ".join(sorted(names))
        raise DataError(path, f"unknown entries {', '.join(unknown)}", known, DOCS)
    if not isinstance(content["model"], str) or not 0 < len(content["model"]) <= LONGEST_NAME:
        found = f"model is {str(content['model'])[:40]!r}"
        raise DataError(path, found, "the name of a file beside it", DOCS)
    model = path.parent / content["model"]
    if not model.is_file():
        raise DataError(model, "no such file", "the model that the description names", DOCS)
    return Description(**_checked(path, content) | {"model": model})


def _checked(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    def wrong(name: str, expected: str) -> DataError:
        return DataError(path, f"{name} is {str(content.get(name))[:40]!r}", expected, DOCS)

    for name, choices in _CHOICES.items():
        if content.get(name, choices[0]) not in choices:
            raise wrong(name, " or ".join(choices))
    whole = lambda value, low, high: type(value) is int and low <= value <= high
    for name, low, high in (("height", 8, 4096), ("width", 8, 4096), ("output", 0, 99)):
        if not whole(content.get(name, low), low, high):
            raise wrong(name, f"a whole number from {low} to {high}")
    if content.get("foreground") is not None and not whole(content["foreground"], 0, 99):
        raise wrong("foreground", "a whole number or nothing")
    number = lambda value: type(value) in (int, float) and -1e6 < value < 1e6
    for name in ("mean", "std"):
        values = content.get(name, [1, 1, 1])
        if not (isinstance(values, list) and len(values) == 3 and all(map(number, values))) or (
            name == "std" and 0 in values
        ):
            raise wrong(name, "three numbers" + (" other than 0" if name == "std" else ""))
    if not number(content.get("scale", 1)):
        raise wrong("scale", "a number")
    kind, classes = (
        content["kind"],
        content.get("classes", "atr" if content["kind"] == "label_map" else None),
    )
    if not isinstance(classes, (str, list, type(None))):
        raise wrong("classes", f"{', '.join(TABLES)}, or a list of numbers")
    table = TABLES.get(classes) if isinstance(classes, str) else tuple(classes or range(N_DENSE))
    allowed = (
        {*range(KINDS[kind]), GLOVE, SOCKS} if isinstance(classes, str) else set(range(KINDS[kind]))
    )
    if (
        table is None
        or not all(type(c) in (int, *_ENUMS) and int(c) in allowed for c in table)
        or len(table) > 99
    ):
        raise wrong("classes", f"{', '.join(TABLES)}, or numbers from 0 to {KINDS[kind] - 1}")
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
    return plain | {"classes": tuple(int(c) for c in table)}


_ENUMS = tuple({type(c) for c in TABLES["lip"]} - {int})


class Finder:
    """A model as a function from pictures to labels.

    Args:
        description: of the model.
        run: executes it.
    """

    def __init__(self, description: Description, run: Runner):
        self.description, self.run = description, run

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W) uint8 of an (H, W, 3) uint8 RGB picture, in the dataset's classes.

        Raises:
            DataError: the model fails, or its output is not what the description says.
        """
        about = self.description
        values, inner = self._input(image)
        try:
            outputs = [np.asarray(o) for o in self.run(values)]
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                about.model,
                f"fails ({brief(error)})",
                f"a model for {about.height} x {about.width}",
                DOCS,
            ) from None
        labels = self._classes(outputs, about.output, inner, image.shape[:2])
        if about.foreground is not None:
            labels[self._classes(outputs, about.foreground, inner, image.shape[:2]) == 0] = 0
        if labels.max() >= len(about.classes):
            raise DataError(
                about.model, f"class {labels.max()}", f"{len(about.classes)} classes", DOCS
            )
        return translate(labels, about.classes)

    def _input(self, image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """The model's input, and (height, width) of the picture within it."""
        about, size = self.description, (self.description.height, self.description.width)
        inner = size
        if about.resize == "pad":
            scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
            inner = tuple(min(s, max(1, round(n * scale))) for n, s in zip(image.shape[:2], size))
        shrinks = image.shape[0] >= inner[0]
        small = cv2.resize(
            image, inner[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        canvas: np.ndarray = np.zeros((*size, 3), np.float32)
        canvas[: inner[0], : inner[1]] = small[..., ::-1] if about.colours == "BGR" else small
        canvas = (canvas * about.scale - np.array(about.mean, np.float32)) / np.array(
            about.std, np.float32
        )
        values = canvas.transpose(2, 0, 1) if about.layout == "NCHW" else canvas
        return np.ascontiguousarray(values[None], np.float32), inner

    def _classes(
        self, outputs: list[np.ndarray], which: int, inner: tuple[int, int], size_hw
    ) -> np.ndarray:
        """(H, W) uint8 class numbers: scores are enlarged before the highest is taken, so that
        edges are smooth."""
        about = self.description
        if which >= len(outputs):
            raise DataError(about.model, f"{len(outputs)} outputs", f"an output {which}", DOCS)
        values = outputs[which]
        values = (
            values[0] if values.ndim == 4 or (values.ndim == 3 and values.shape[0] == 1) else values
        )
        if values.ndim == 3 and about.layout == "NHWC":
            values = values.transpose(2, 0, 1)
        if values.ndim not in (2, 3) or values.shape[0] > 256 and values.ndim == 3:
            raise DataError(
                about.model,
                f"an output of shape {outputs[which].shape}",
                "scores (1, classes, h, w) or class numbers (1, h, w)",
                DOCS,
            )
        height, width = values.shape[-2:]
        rows, columns = (
            round(height * inner[0] / about.height),
            round(width * inner[1] / about.width),
        )
        values = values[..., : max(1, rows), : max(1, columns)]
        if values.ndim == 2:
            labels = values.astype(np.float32).round().clip(0, 255).astype(np.uint8)
            return cv2.resize(labels, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        best, labels = np.full(size_hw, -np.inf, np.float32), np.zeros(size_hw, np.uint8)
        for number, plane in enumerate(values.astype(np.float32)):  # plane by plane: little memory
            large = cv2.resize(plane, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
            better = large > best
            best[better], labels[better] = large[better], number
        return labels


def open_onnx(path: Path, threads: int = 0) -> Runner:
    """Runs an ONNX file: by ONNX Runtime where it is installed, else by OpenCV. Raises
    DataError."""
    path = Path(path)
    try:
        if find_spec("onnxruntime") is None:
            network = cv2.dnn.readNetFromONNX(str(path))
            names = network.getUnconnectedOutLayersNames()

            def run(values: np.ndarray) -> list[np.ndarray]:
                network.setInput(values)
                return list(network.forward(names))

            return run
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        session = onnxruntime.InferenceSession(
            str(path), options, providers=onnxruntime.get_available_providers()
        )
        name = session.get_inputs()[0].name
        return lambda values: session.run(None, {name: values})
    except Exception as error:  # both libraries raise their own kinds
        raise DataError(
            path, f"cannot be opened as ONNX ({brief(error)})", "an ONNX model", DOCS
        ) from None
