"""The pictures of one person for the report: a JPEG with photo and garment, a PNG with all drawn
layers.

Two files a person, whatever the number of layers: the page shows parts of them and lays them over
    each other.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

from pipeline.base.errors import DataError
from pipeline.base.labels import GARMENT_LABELS, N_ATR, N_DENSE, is_in
from pipeline.dataset.person import Person
from pipeline.inspect import overlays
from pipeline.inspect.inspection import Question
from pipeline.inspect.score_zones import find_zones
from pipeline.masks.person import person_masks

GUTTER = 8
"""Empty pixels between tiles, so that enlarging one does not show the edge of the next."""
DENSE_FROM = N_ATR
"""Palette entry of DensePose part 0; the label map's classes come first, 0 is transparent."""
_MARKS = (
    overlays.HIDDEN,
    overlays.MASK_LINE,
    overlays.GARMENT_LINE,
    overlays.LEAK,
    overlays.IDENTITY,
    overlays.ONLY_A,
    overlays.ONLY_B,
    overlays.BOTH,
)
HIDDEN, MASK_LINE, GARMENT_LINE, LEAK, IDENTITY, ONLY_A, ONLY_B, BOTH = range(
    DENSE_FROM + N_DENSE, DENSE_FROM + N_DENSE + len(_MARKS)
)
PALETTE = np.concatenate([overlays.ATR_COLOURS, overlays.DENSE_COLOURS, np.array(_MARKS, np.uint8)])

LAYERS = ("labels", "dense", "mask", "lines", "problems")
"""Tiles of the PNG, from the left; with a second style ``mask2``, ``lines2``, ``problems2``,
``difference`` follow."""
COMPARED_LAYERS = (*LAYERS, "mask2", "lines2", "problems2", "difference")

_THIN = {"lines", "problems", "lines2", "problems2"}  # may be one pixel wide


def layer_names(question: Question) -> tuple[str, ...]:
    """Names of the PNG's tiles."""
    return COMPARED_LAYERS if question.against else LAYERS


@dataclass
class Pictures:
    """Encoded pictures of one person.

    Attributes:
        jpeg: photo and garment side by side; None where both are missing.
        png: the layers side by side, transparent where there is nothing.
        joints: x and y of the 18 joints in thousandths of the picture's height; None for a missing
            one.
        labels, parts: [class, x, y] where names can stand, same unit.
        lacks: names of pictures that are not there: photo, garment, labels, dense, mask.
        problems: what could not be read or drawn.
    """

    jpeg: bytes | None
    png: bytes
    joints: list[list[int] | None]
    labels: list[list[int]]
    parts: list[list[int]]
    lacks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def tile_size(size_hw: tuple[int, int], height: int) -> tuple[int, int]:
    """(height, width) of one picture in the report: never larger than its source."""
    rows = min(height, size_hw[0])
    return rows, max(1, round(size_hw[1] * rows / size_hw[0]))


def make_pictures(
    person: Person, question: Question, size_hw: tuple[int, int], height: int
) -> Pictures:
    """Everything that the page shows of one person.

    Args:
        person: loaded with its photos; whatever is missing leaves an empty tile.
        question: the style, and the second one to compare with.
        size_hw: size of the person's sources.
        height: of the pictures, in pixels.
    """
    size = tile_size(size_hw, height)
    layers, lacks, problems = _layers(person, question, size_hw)
    photos = {"photo": person.photo, "garment": person.garment}
    lacks += [name for name, picture in photos.items() if picture is None]
    jpeg = None if all(p is None for p in photos.values()) else _jpeg(list(photos.values()), size)
    png = _png(dict(zip(layer_names(question), layers)), size)
    return Pictures(
        jpeg,
        png,
        _joints(person.keypoints, size_hw[0]),
        name_places(person.label_map),
        name_places(person.dense_i),
        lacks,
        problems,
    )


def _layers(
    person: Person, question: Question, size_hw: tuple[int, int]
) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Palette entries of every layer at full size, what is lacking, and what went wrong."""
    empty, lacks, problems = np.zeros(size_hw, np.uint8), [], list(person.problems)
    layers = [
        empty if person.label_map is None else person.label_map,
        empty
        if person.dense_i is None
        else np.where(person.dense_i > 0, person.dense_i + DENSE_FROM, 0),
    ]
    lacks += [
        name
        for name, source in (("labels", person.label_map), ("dense", person.dense_i))
        if source is None
    ]
    try:
        masks = person_masks(person, question.styles)
    except Exception as error:  # as in judge: told, not thrown
        told = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
        problems += [] if problems else [told]
        return layers + [empty] * (len(layer_names(question)) - 2), [*lacks, "mask"], problems
    for style in question.styles:
        layers += _mask_layers(person, masks[style])
    if question.against:
        layers.append(_difference(masks[question.style], masks[question.against]))
    return layers, lacks, problems


def _mask_layers(person: Person, mask: np.ndarray) -> list[np.ndarray]:
    """The mask's area, the outlines, the problem pixels: palette entries."""
    width = max(1, mask.shape[0] // 400)
    area = np.where(mask, np.uint8(HIDDEN), np.uint8(0))
    lines, problems = np.zeros(mask.shape, np.uint8), np.zeros(mask.shape, np.uint8)
    lines[overlays.outline(mask, width)] = MASK_LINE
    if person.label_map is not None:
        garment = is_in(person.label_map, GARMENT_LABELS[person.who.category])
        lines[overlays.outline(garment, width)] = GARMENT_LINE
        problems[garment & ~mask] = LEAK
        problems[mask & identity_region(person)] = IDENTITY
    return [area, lines, problems]


def identity_region(person: Person) -> np.ndarray:
    """(H, W) bool of a person with a label map: what a mask should leave visible; nothing without
    keypoints."""
    labels = person.label_map
    assert labels is not None
    zones = None
    if person.keypoints is not None:
        zones = find_zones(person.who.category, person.keypoints, person.dense_i, labels)
    return np.zeros(labels.shape, bool) if zones is None else zones.identity


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.select([first & second, first, second], [BOTH, ONLY_A, ONLY_B], 0).astype(np.uint8)


def _png(layers: dict[str, np.ndarray], size: tuple[int, int]) -> bytes:
    """Tiles side by side as a palette PNG. Thin marks survive shrinking: the larger entry of a
    pixel's area wins."""
    height, width = size
    strip = np.zeros((height, len(layers) * (width + GUTTER) - GUTTER), np.uint8)
    for number, (name, layer) in enumerate(layers.items()):
        layer = np.ascontiguousarray(layer, np.uint8)
        if layer.shape != size:
            if name in _THIN:
                layer = cv2.dilate(
                    layer, np.ones((math.ceil(layer.shape[0] / height),) * 2, np.uint8)
                )
            layer = cv2.resize(layer, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        start = number * (width + GUTTER)
        strip[:, start : start + width] = layer
    image = Image.fromarray(strip, "P")
    image.putpalette(PALETTE.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0, compress_level=7)
    return buffer.getvalue()


def _jpeg(pictures: Sequence[np.ndarray | None], size: tuple[int, int]) -> bytes:
    height, width = size
    strip = np.full((height, len(pictures) * (width + GUTTER) - GUTTER, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        if picture is not None:
            small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            strip[:, number * (width + GUTTER) :][:, :width] = small
    ok, data = cv2.imencode(
        ".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 84]
    )
    if not ok:
        raise ValueError("a picture could not be encoded")
    return data.tobytes()


def _joints(keypoints: np.ndarray | None, height: int) -> list[list[int] | None]:
    if keypoints is None:
        return [None] * 18
    return [
        [round(float(x) / height * 1000), round(float(y) / height * 1000)]
        if np.isfinite(x)
        else None
        for x, y in keypoints[:, :2]
    ]


def name_places(ids: np.ndarray | None, smallest: float = 0.0006) -> list[list[int]]:
    """Where the names of a map's regions can stand.

    Args:
        ids: (H, W) uint8 map, 0 = background, or None.
        smallest: regions below this share of the picture stay without a name.

    Returns:
        [id, x, y] for each id, the largest region first: the middle of its thickest place, in
        thousandths of the picture's height.
    """
    if ids is None:
        return []
    step = max(1, ids.shape[0] // 128)
    small = np.ascontiguousarray(ids[::step, ::step])
    places = []
    counts = np.bincount(ids.ravel(), minlength=1)
    for number in sorted(
        np.nonzero(counts[1:] >= smallest * ids.size)[0] + 1, key=lambda i: -counts[i]
    ):
        region = (small == number).astype(np.uint8)
        if region.any():
            depth = cv2.distanceTransform(
                cv2.copyMakeBorder(region, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3
            )
            y, x = np.unravel_index(int(depth.argmax()), depth.shape)
            places.append(
                [int(number), *(round(1000 * (v - 0.5) / small.shape[0]) for v in (x, y))]
            )
    return places
