"""CVAT's own format, "CVAT for images 1.1": one XML file, masks as runs of pixels in a box.

Source: docs.cvat.ai, "XML annotation format" and "Run-length encoding".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np

from pipeline.base.names import MAX_SIDE
from pipeline.dataset.crop import bounds_of
from pipeline.labelling.picture import LabelledPicture, label_colours

DRAWN = ("mask", "polygon")
Shape = tuple[str, Callable[[], np.ndarray]]


def image_element(picture: LabelledPicture, number: int) -> bytes:
    """The ``<image>`` of one picture, with a ``<mask>`` for each region; the mask lies on top."""
    height, width = picture.photo.shape[:2]
    about = {"id": number, "name": f"{picture.name}.jpg", "width": width, "height": height}
    image = ElementTree.Element("image", _texts(about))
    for level, (label, region) in enumerate(picture.regions):
        shape = {"label": label, "source": "file", "occluded": 0, **encode_mask(region)}
        ElementTree.SubElement(image, "mask", _texts({**shape, "z_order": level}))
    return ElementTree.tostring(image)


def encode_mask(region: np.ndarray) -> dict[str, str | int]:
    """The box of a region, (H, W) bool with a pixel in it, and the runs inside: row by row, the
    first one of pixels outside of the region (0 where there are none)."""
    found = bounds_of(region)
    assert found is not None  # regions without a pixel are left out
    top, left, bottom, right = found
    box = region[top:bottom, left:right]
    flat = np.concatenate(([False], box.ravel()))
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate(([0], changes, [box.size])))
    height, width = box.shape
    counts = ", ".join(map(str, runs.tolist()))
    return {"rle": counts, "left": left, "top": top, "width": width, "height": height}


def decode_mask(rle: str, box: tuple[int, int, int, int], size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of what ``encode_mask`` writes.

    Args:
        box: left, top, width, height.

    Raises:
        ValueError: the runs do not fill the box, or it does not lie in the picture.
    """
    left, top, width, height = box
    runs = [int(text) for text in rle.split(",")]
    inside = left >= 0 and top >= 0 and left + width <= size_hw[1] and top + height <= size_hw[0]
    if not inside or min(runs) < 0 or sum(runs) != width * height:
        raise ValueError("a mask whose runs do not fit its box")
    region = np.zeros(size_hw, bool)
    values = np.arange(len(runs)) % 2 == 1
    region[top : top + height, left : left + width] = np.repeat(values, runs).reshape(height, width)
    return region


def read_images(text: bytes) -> Iterator[tuple[str, tuple[int, int], list[Shape]]]:
    """(file name, (H, W), shapes in the order in which they lie) of each picture of an XML file;
    shapes are (label, function that draws the region): masks and polygons, others are left out.

    Raises:
        ValueError: no such XML, or values that can't be.
    """
    words = text.decode("utf-8-sig")  # in another encoding entities would go unseen
    if "<!DOCTYPE" in words or "<!ENTITY" in words:
        raise ValueError("XML with entities")
    try:
        root = ElementTree.fromstring(words)
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML ({error})") from None
    for image in root.iter("image"):
        size = (int(image.get("height", 0)), int(image.get("width", 0)))
        if not all(0 < side <= MAX_SIDE for side in size):
            raise ValueError(f"a picture of {size[0]} x {size[1]}")
        shapes = sorted(image, key=lambda shape: int(shape.get("z_order", 0)))
        drawn: list[Shape] = [
            (s.get("label", ""), partial(_draw, s, size)) for s in shapes if s.tag in DRAWN
        ]
        yield image.get("name", ""), size, drawn


def _draw(shape: ElementTree.Element, size_hw: tuple[int, int]) -> np.ndarray:
    if shape.tag == "mask":
        left, top, width, height = (
            int(shape.get(k, -1)) for k in ("left", "top", "width", "height")
        )
        return decode_mask(shape.get("rle", ""), (left, top, width, height), size_hw)
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
    corners = np.array([[float(x), float(y)] for x, y in pairs])
    if not np.isfinite(corners).all() or np.abs(corners).max() > 2 * MAX_SIDE:
        raise ValueError("a polygon far outside of the picture")
    region = np.zeros(size_hw, np.uint8)
    cv2.fillPoly(region, [np.rint(corners).astype(np.int32)], 1)
    return region > 0


def files(images: list[bytes], style: str) -> dict[str, bytes]:
    """``annotations.xml``, and ``labels.json`` for the "Raw" page of CVAT's label editor."""
    task = ElementTree.Element("task")
    for name, text in (("name", "masks"), ("size", str(len(images))), ("mode", "annotation")):
        ElementTree.SubElement(task, name).text = text
    labels = ElementTree.SubElement(task, "labels")
    colours = label_colours(style)
    for name, colour in colours.items():
        label = ElementTree.SubElement(labels, "label")
        for key, text in (("name", name), ("color", colour), ("type", "mask")):
            ElementTree.SubElement(label, key).text = text
        ElementTree.SubElement(label, "attributes")
    head = b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    meta = b"<meta>" + ElementTree.tostring(task) + b"</meta>\n"
    raw = [
        {"name": name, "color": colour, "type": "mask", "attributes": []}
        for name, colour in colours.items()
    ]
    return {
        "annotations.xml": head + meta + b"\n".join(images) + b"\n</annotations>\n",
        "labels.json": json.dumps(raw, indent=1).encode(),
    }


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}
