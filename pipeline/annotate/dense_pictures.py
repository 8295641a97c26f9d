"""DensePose parts in pictures: index PNGs, IUV, and detectron2's coloured drawings.

A drawing has OpenCV's PARULA colour at int(part x 255 / 24), on black (VITON-HD, IDM-VTON) or over
the greyed photo with an alpha of 0.7 (detectron2's own ``dp_segm``), and mostly went through JPEG.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.base.errors import DataError
from pipeline.base.files import (
    ReadError,
    brief,
    class_numbers,
    decode_jpeg,
    picture_header,
    read_bytes,
)
from pipeline.base.labels import N_DENSE

ENDINGS = (
    ".png",
    "_5.png",
    "_IUV.png",
    "_dp_segm.png",
    "_densepose.png",
    ".jpg",
    "_densepose.jpg",
    "_INDS.png",
)
"""Names that belong to a photo, after its own, in the order in which they are looked for."""
BLACK = 24
"""Brightest channel of a drawing's black ground, after JPEG."""
ALPHA = 0.7
CLEAN = 5
"""Side in pixels of the window whose most frequent part each pixel gets."""
LEAST_PARTS = 3
"""Nobody is fewer parts: such a picture numbers people (INDS), or is something else."""


def find_dense_picture(folder: Path, photo: Path) -> Path:
    """The DensePose picture in ``folder`` that belongs to a photo.

    Raises:
        DataError: there is none.
    """
    for ending in ENDINGS:
        path = Path(folder) / f"{photo.stem}{ending}"
        if path.is_file():
            return path
    raise DataError(
        Path(folder) / f"{photo.stem}.png",
        "no such file",
        "one for each photo",
        f"Files are found by the photo's name with {', '.join(ENDINGS[:-1])}",
    )


def read_dense_picture(path: Path, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 DensePose parts, 0 to 24, from a picture of the photo's size.

    Args:
        path: an index PNG, an IUV PNG (I in OpenCV's first channel), or a drawing.
        size_hw: the photo's.

    Raises:
        DataError: another size, numbers that are no parts, or numbers of people.
    """
    path = Path(path)
    data = read_bytes(path)
    hw, kind, mode = picture_header(path, data, ("PNG", "JPEG"))
    if hw != tuple(size_hw):
        raise ReadError(
            "size",
            path,
            f"{hw[1]} x {hw[0]} pixels",
            f"the photo's {size_hw[1]} x {size_hw[0]}",
            "Run DensePose on this very photo, turned upright",
        )
    pixels = _pixels(path, data, hw, kind, mode)
    if pixels.ndim == 2:
        parts = _numbers(path, pixels)
    elif _is_same_in_all(pixels):
        parts = _numbers(path, pixels[..., 0])
    elif _is_iuv(pixels):
        parts = pixels[..., 2].copy()  # OpenCV's first channel is PNG's last
    else:
        parts = read_drawing(pixels)
        if not parts.any():
            raise ReadError(
                "values", path, "colours that are no DensePose drawing", _EXPECTED, _REMEDY
            )
    _check_person(path, parts)
    return parts


_EXPECTED = "part numbers 0 to 24, an IUV picture, or detectron2's drawing"
_REMEDY = "Export apply_net.py's dump, or the numbers themselves"


def _pixels(path: Path, data: bytes, hw: tuple[int, int], kind: str, mode: str) -> np.ndarray:
    """(H, W) uint8 numbers of modes P and L, or (H, W, 3) uint8 RGB."""
    if kind == "JPEG":
        return decode_jpeg(path, data, hw, mode)[..., ::-1]
    if mode not in ("P", "L", "RGB", "RGBA"):
        raise ReadError("mode", path, f"a PNG of mode {mode}", _EXPECTED, _REMEDY)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if mode in ("P", "L"):
                return class_numbers(data, np.array(image, np.uint8))
            return np.array(image.convert("RGB"), np.uint8)
    except Exception as error:
        raise ReadError(
            "unreadable", path, f"corrupted or truncated ({brief(error)})", "a whole PNG"
        ) from None


def _numbers(path: Path, numbers: np.ndarray) -> np.ndarray:
    if numbers.max() >= N_DENSE:
        raise ReadError("values", path, f"part {numbers.max()}", "0 to 24", _REMEDY)
    return np.ascontiguousarray(numbers)


def _is_same_in_all(pixels: np.ndarray) -> bool:
    """Part numbers in all three channels, as some loaders want them."""
    return bool(pixels.max() < N_DENSE and (pixels == pixels[..., :1]).all())


def _is_iuv(pixels: np.ndarray) -> bool:
    parts, surface = pixels[..., 2], pixels[..., :2]
    body = parts > 0
    flat = not surface[~body].any()
    return bool(parts.max() < N_DENSE and body.any() and flat and surface[body].max() >= N_DENSE)


def _check_person(path: Path, parts: np.ndarray) -> None:
    found = np.unique(parts[parts > 0])
    if len(found) and len(found) < LEAST_PARTS and (parts > 0).mean() > 0.01:
        numbers = ", ".join(map(str, found))
        raise ReadError(
            "values",
            path,
            f"all of the body is part {numbers}",
            "several parts",
            "INDS pictures number people: give the IUV picture that lies beside it",
        )


def parula() -> np.ndarray:
    """(25, 3) uint8 RGB: the drawing's colour of each part; background black."""
    level = (np.arange(N_DENSE) * 255 // (N_DENSE - 1)).astype(np.uint8)
    colours = cv2.applyColorMap(level[:, None], cv2.COLORMAP_PARULA)[:, 0, ::-1].copy()
    colours[0] = 0
    return colours


def read_drawing(pixels: np.ndarray) -> np.ndarray:
    """(H, W) uint8 DensePose parts of a drawing, on black or over the greyed photo.

    Args:
        pixels: (H, W, 3) uint8 RGB.
    """
    dark = pixels.max(2) <= BLACK
    grey = np.ptp(pixels.astype(np.int16), axis=2) <= 12
    if dark.mean() < 0.2 and grey.mean() < 0.2:
        return np.zeros(pixels.shape[:2], np.uint8)
    if dark.mean() >= 0.2 and (dark | ~grey).mean() > 0.9:
        parts = _nearest(pixels, parula(), ~dark)
    else:
        parts = _nearest_over_grey(pixels, parula(), ~grey)
    return most_frequent(parts, CLEAN)


def _nearest(pixels: np.ndarray, colours: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The part whose colour is nearest, 0 elsewhere; black is a colour too."""
    parts = np.zeros(where.shape, np.uint8)
    found = pixels[where].astype(np.float32)
    parts[where] = _argmin_distance(found, colours.astype(np.float32))
    return parts


def _nearest_over_grey(pixels: np.ndarray, colours: np.ndarray, where: np.ndarray) -> np.ndarray:
    """As ``_nearest``, whatever grey shines through."""
    parts = np.zeros(where.shape, np.uint8)
    found = pixels[where].astype(np.float32)
    tint = ALPHA * colours[1:].astype(np.float32)
    without_grey = lambda rgb: rgb - rgb.mean(-1, keepdims=True)
    parts[where] = 1 + _argmin_distance(without_grey(found), without_grey(tint))
    return parts


def _argmin_distance(found: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Index of the nearest colour for each row; |a - b|^2 without its constant part."""
    products = found @ colours.T
    return np.argmin((colours**2).sum(1) - 2 * products, axis=1).astype(np.uint8)


def most_frequent(parts: np.ndarray, side: int) -> np.ndarray:
    """(H, W) uint8: each pixel's most frequent part in a window of ``side`` pixels."""
    best: np.ndarray = np.zeros(parts.shape, np.uint8)
    most: np.ndarray = np.full(parts.shape, -1, np.float32)
    for part in np.unique(parts):
        count = cv2.boxFilter((parts == part).astype(np.float32), -1, (side, side))
        better = count > most
        best[better], most[better] = part, count[better]
    return best
