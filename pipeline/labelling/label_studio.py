"""Label Studio's tasks: JSON with brush labels, whose pixels are packed as Label Studio packs them.

The packing is ``rle-pack`` of the JavaScript library thi.ng/umbrella, over four bytes a pixel: how
many values (32 bits), their width less one (5 bits), four lengths' widths less one (4 bits each);
then for each run a bit that says it is one, which of the four widths its length has (2 bits), the
length less one, and the value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from pipeline.base.names import MAX_SIDE
from pipeline.labelling.cvat import Shape
from pipeline.labelling.picture import LabelledPicture, label_colours

WORD, WIDTHS = 8, (3, 4, 8, 16)
"""Bits of a value, and of a run's length."""
LONGEST = 1 << WIDTHS[-1]


def task(picture: LabelledPicture, folder: str) -> dict[str, Any]:
    """One task: the picture, and its regions as a prediction, which a person accepts or mends.

    Args:
        folder: the export's folder below Label Studio's root of local files.
    """
    height, width = picture.photo.shape[:2]
    frame = {"original_width": width, "original_height": height, "image_rotation": 0}
    result = []
    for number, (label, region) in enumerate(picture.regions):
        value = {"format": "rle", "rle": encode_brush(region), "brushlabels": [label]}
        names = {"from_name": "label", "to_name": "image", "type": "brushlabels"}
        result.append({"id": f"region-{number}", **names, **frame, "value": value})
    place = f"/data/local-files/?d={folder}/images/{picture.name}.jpg"
    data = {"image": place, "person": picture.who.key}
    return {"data": data, "predictions": [{"model_version": "fittingroom", "result": result}]}


def encode_brush(region: np.ndarray) -> list[int]:
    """The bytes of a region, (H, W) bool, as Label Studio's ``rle``."""
    values = np.repeat(region.ravel().astype(np.uint8) * 255, 4)
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts = np.concatenate(([0], edges))
    lengths = np.diff(np.concatenate((starts, [values.size])))
    bits = [f"{values.size:032b}", f"{WORD - 1:05b}", *(f"{w - 1:04b}" for w in WIDTHS)]
    for start, length in zip(starts.tolist(), lengths.tolist()):
        for piece in _pieces(length):
            which = next(i for i, width in enumerate(WIDTHS) if piece <= 1 << width)
            bits.append(f"1{which:02b}{piece - 1:0{WIDTHS[which]}b}{values[start]:0{WORD}b}")
    text = "".join(bits)
    packed = np.packbits(np.frombuffer(text.encode(), np.uint8) - ord("0"))
    return packed.tolist()


def decode_brush(packed: list[int], size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of a region's bytes, its last channel where it is not 0.

    Raises:
        ValueError: bytes of another picture, or none that Label Studio packs.
    """
    bits = "".join(map("{:08b}".format, bytes(packed)))
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    size, word = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in WIDTHS]
    if size != 4 * size_hw[0] * size_hw[1] or word != WORD:
        raise ValueError(f"a brush of {size // 4} pixels")
    values = np.empty(size, np.uint8)
    done = 0
    while done < size:
        is_run = take(1)
        length = take(widths[take(2)]) + 1
        if done + length > size:
            raise ValueError("a brush with too many values")
        pieces = [take(WORD)] if is_run else [take(WORD) for _ in range(length)]
        values[done : done + length] = pieces
        done += length
    return values.reshape(*size_hw, 4)[..., 3] > 0


def read_tasks(text: bytes) -> Iterator[tuple[str, tuple[int, int], list[Shape]]]:
    """(file name, (H, W), shapes) of each task that somebody labelled, as ``cvat.read_images``
    gives them, from Label Studio's JSON export (not JSON-MIN).

    Raises:
        ValueError: no such JSON, or values that can't be.
    """
    try:
        for one in json.loads(text):
            done = [a for a in one.get("annotations", []) if not a.get("was_cancelled")]
            if not done:
                continue
            brushes = [r for r in done[-1]["result"] if r.get("type") == "brushlabels"]
            sizes = {(r["original_height"], r["original_width"]) for r in brushes}
            if len(sizes) != 1:
                continue
            size = sizes.pop()
            if not all(type(side) is int and 0 < side <= MAX_SIDE for side in size):
                raise ValueError(f"a picture of {size[0]} x {size[1]}")
            shapes: list[Shape] = [
                (r["value"]["brushlabels"][0], partial(decode_brush, r["value"]["rle"], size))
                for r in brushes
            ]
            yield str(one["data"]["image"]), size, shapes
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"no export of Label Studio ({type(error).__name__}: {error})") from None


def _pieces(length: int) -> list[int]:
    """A run in pieces whose lengths can be written."""
    whole, rest = divmod(length, LONGEST)
    return [LONGEST] * whole + [rest] * (rest > 0)


def files(tasks: list[dict[str, Any]], style: str) -> dict[str, bytes]:
    """``tasks.json`` to import, and ``config.xml``, the project's labelling interface."""
    labels = [
        f"    <Label value={quoteattr(name)} background={quoteattr(colour)}/>"
        for name, colour in label_colours(style).items()
    ]
    config = "\n".join(
        [
            "<View>",
            '  <Image name="image" value="$image" zoom="true"/>',
            '  <BrushLabels name="label" toName="image">',
            *labels,
            "  </BrushLabels>",
            "</View>\n",
        ]
    )
    return {"tasks.json": json.dumps(tasks).encode(), "config.xml": config.encode()}
