"""One file -> one checked array. Whatever the file holds: an array as promised, or a DataError.

Sizes are read from headers and bounded before anything is allocated, nothing is unpickled, and
photos with an orientation tag (EXIF) are refused, because annotations refer to them as shown.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.base.errors import DataError
from pipeline.base.files import (
    PICTURES,
    ReadError,
    brief,
    check_upright,
    class_numbers,
    decode_jpeg,
    decode_png,
    picture_header,
    read_bytes,
)
from pipeline.base.labels import N_ATR, N_DENSE, N_JOINTS
from pipeline.base.manifest import load_manifest

MAX_UV_PIXELS = 2048 * 1536
MAX_NPY_HEADER = 10_000


def read_image(
    path: Path | str,
    size_hw: tuple[int, int] | None = None,
    *,
    reduced: bool = False,
    framed: bool = False,
) -> np.ndarray:
    """A photo as RGB.

    Args:
        path: JPEG or PNG; grey ones are expanded to RGB, transparency is put on white, CMYK is
            refused.
        size_hw: resized to this, by averaging areas; the aspect may change.
        reduced: let the JPEG decoder halve the picture where it is at least twice ``size_hw``: 1.6
            times as fast, 55 dB against the full way. Off by default.
        framed: refuse another aspect than the dataset's (4 : 3) and an orientation tag: all
            annotations refer to the photo as it is shown.

    Returns:
        (H, W, 3) uint8 RGB, contiguous. Elsewhere an orientation tag is ignored.

    Raises:
        DataError: missing, empty, cut off, corrupted, too large or another kind of file.
    """
    path = Path(path)
    data = read_bytes(path)
    stored_hw, format_name, mode = picture_header(path, data, PICTURES)
    if framed:
        check_upright(path, data)
        check_aspect(path, stored_hw)
    if format_name in ("JPEG", "MPO"):
        shrink = 2 if reduced and size_hw and _halves(stored_hw, size_hw) else 1
        image = decode_jpeg(path, data, stored_hw, mode, shrink)
    else:
        image = decode_png(path, data)
    if size_hw is not None:
        image = resize_image(image, size_hw)
    if format_name in ("JPEG", "MPO"):
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # after shrinking: fewer pixels
    return image


def read_thumbnail(path: Path | str, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a photo at a small size, decoded no larger than needed.

    For people to look at: its pixels are near those of ``read_image``, not the same. Raises
    DataError as ``read_image``.
    """
    path = Path(path)
    data = read_bytes(path)
    stored_hw, format_name, mode = picture_header(path, data, PICTURES)
    if format_name not in ("JPEG", "MPO"):
        return read_image(path, size_hw)
    fits = [n for n in (8, 4, 2) if all(s >= n * t for s, t in zip(stored_hw, size_hw))]
    image = decode_jpeg(path, data, stored_hw, mode, fits[0] if fits else 1)
    return cv2.cvtColor(resize_image(image, size_hw), cv2.COLOR_BGR2RGB)


def _halves(stored_hw: tuple[int, int], size_hw: tuple[int, int]) -> bool:
    return stored_hw[0] >= 2 * size_hw[0] and stored_hw[1] >= 2 * size_hw[1]


def read_label_map(path: Path | str, size_hw: tuple[int, int] | None = None) -> np.ndarray:
    """Human parsing classes of one person.

    Args:
        path: Dress Code ``*_4.png``: palette PNG whose INDEX is the class (the palette's colours
            mean nothing); a grey PNG of class numbers is read too.
        size_hw: resized to this, nearest pixel.

    Returns:
        (H, W) uint8, values of ``labels.Atr``, 0-17.

    Raises:
        DataError: missing, corrupted, another mode, another aspect than the dataset's, a value
            above 17.
    """
    return _read_map(Path(path), size_hw, N_ATR - 1, ("P", "L"), "a palette PNG of class numbers")


def read_dense(path: Path | str, size_hw: tuple[int, int] | None = None) -> np.ndarray:
    """DensePose part labels of one person.

    Args:
        path: Dress Code ``*_5.png``, mode L.
        size_hw: resized to this, nearest pixel.

    Returns:
        (H, W) uint8, values of ``labels.DensePart``, 0-24.

    Raises:
        DataError: missing, corrupted, another mode, another aspect than the dataset's, a value
            above 24.
    """
    return _read_map(Path(path), size_hw, N_DENSE - 1, ("L",), "a grey PNG of part numbers")


def read_mask(path: Path | str, size_hw: tuple[int, int] | None = None) -> np.ndarray:
    """A mask that was mended outside of this program.

    Args:
        path: grey PNG; white (128 and more) is hidden. One that knows 0 and 1 alone has 1 = hidden.
        size_hw: resized to this, nearest pixel.

    Returns:
        (H, W) bool, True = hidden.

    Raises:
        DataError: missing, corrupted, another mode, another aspect than the dataset's.
    """
    levels = _read_map(Path(path), size_hw, 255, ("L", "1"), "a grey PNG, white = hidden")
    return levels >= (1 if levels.max() <= 1 else 128)


def _read_map(
    path: Path, size_hw: tuple[int, int] | None, largest: int, modes: tuple[str, ...], what: str
) -> np.ndarray:
    data = read_bytes(path, "map")
    hw, _, mode = picture_header(path, data, ("PNG",))
    if mode not in modes:
        raise ReadError(
            "mode",
            path,
            f"a PNG of mode {mode}",
            f"{what} (mode {' or '.join(modes)})",
            "Export the numbers, not their colours",
        )
    check_aspect(path, hw)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            labels = class_numbers(data, np.array(image, dtype=np.uint8))
    except Exception as error:
        raise ReadError(
            "unreadable", path, f"corrupted or truncated ({brief(error)})", "a whole PNG"
        ) from None
    if labels.shape != hw:
        raise ReadError("shape", path, f"an array of shape {labels.shape}", f"{hw[0]} x {hw[1]}")
    highest = int(labels.max())
    if highest > largest:
        raise ReadError(
            "values",
            path,
            f"label {highest}",
            f"0 to {largest}",
            "Export the class numbers again, or leave the person out",
        )
    return resize_map(labels, size_hw)


def resize_map(labels: np.ndarray, size_hw: tuple[int, int] | None) -> np.ndarray:
    """A map of labels at another size: nearest pixel, in the way that agrees with Pillow's."""
    if size_hw is None or labels.shape[:2] == tuple(size_hw):
        return labels
    return cv2.resize(labels, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def resize_image(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 at another size: areas averaged where it shrinks, cubic where it grows."""
    if image.shape[:2] == tuple(size_hw):
        return image
    shrinks = image.shape[0] >= size_hw[0] and image.shape[1] >= size_hw[1]
    return cv2.resize(
        image, size_hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )


def has_aspect(hw: tuple[int, int]) -> bool:
    """Whether height : width is the dataset's (4 : 3) to a pixel."""
    height, width = load_manifest().image_hw
    return abs(hw[0] * width - hw[1] * height) <= max(height, width)


def check_aspect(path: Path, hw: tuple[int, int]) -> None:
    """ReadError unless ``has_aspect``; any size of that shape will do."""
    if not has_aspect(hw):
        height, width = load_manifest().image_hw
        raise ReadError(
            "size",
            path,
            f"{hw[0]} x {hw[1]} (height x width)",
            f"{height} x {width}, or another size of that shape",
            "Take the file as published, or crop photo and maps alike",
        )


def read_keypoints(path: Path | str, size_hw: tuple[int, int]) -> np.ndarray:
    """Joint positions of one person, scaled to an image of ``size_hw``.

    Args:
        path: Dress Code ``*_2.json``; stored in a frame 512 high and 384 wide, whatever the photo's
            size.
        size_hw: height and width of the target image in pixels.

    Returns:
        (18, 3) float32 in the order of ``labels.Joint``: x, y in pixels of the target image, score
        (0.1 to about 1.08 in the dataset). A joint that was not found is NaN, NaN, 0. The stored
        fourth column is ignored: it numbers detections, not joints.

    Raises:
        DataError: not that structure, not 18 joints, a coordinate that is no finite number or far
            outside the frame.
    """
    path = Path(path)
    frame_h, frame_w = load_manifest().keypoint_hw
    rows = _parse_keypoints(path, read_bytes(path, "keypoints"))
    missing = (rows[:, 2] <= 0) | (rows[:, 0] < 0) & (rows[:, 1] < 0)
    seen = rows[~missing]
    outside = (seen[:, :2] < -0.1 * np.array([frame_w, frame_h])) | (
        seen[:, :2] > 1.1 * np.array([frame_w, frame_h])
    )
    if outside.any():
        x, y = seen[outside.any(axis=1)][0, :2]
        raise ReadError(
            "frame",
            path,
            f"a joint at x {x:g}, y {y:g}",
            f"coordinates in a frame {frame_w} wide and {frame_h} high",
            "Scale the coordinates to that frame, whatever the photo's size",
        )
    rows[:, 0] *= size_hw[1] / frame_w
    rows[:, 1] *= size_hw[0] / frame_h
    rows[missing] = math.nan, math.nan, 0
    return rows.astype(np.float32)


def _parse_keypoints(path: Path, data: bytes) -> np.ndarray:
    """(18, 3) float64 as stored: x, y, score; finite."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReadError(
            "unreadable", path, f"not readable as JSON ({brief(error)})", "JSON"
        ) from None
    rows = content.get("keypoints") if isinstance(content, dict) else None
    layout = f'{{"keypoints": [[x, y, score, id], ... {N_JOINTS} rows]}}'
    if not isinstance(rows, list):
        raise ReadError("shape", path, 'no list called "keypoints"', layout)
    if len(rows) != N_JOINTS:
        raise ReadError(
            "shape", path, f"{len(rows)} joints", f"{N_JOINTS} in the order of OpenPose COCO-18"
        )
    for number, row in enumerate(rows):
        if not (
            isinstance(row, list)
            and len(row) in (3, 4)
            and all(type(v) in (int, float) for v in row)
        ):
            raise ReadError(
                "shape", path, f"row {number} is {str(row)[:40]}", "four numbers: x, y, score, id"
            )
        if not all(_is_finite(v) for v in row[:3]):
            raise ReadError(
                "values",
                path,
                f"row {number} is {str(row)[:40]}",
                "finite numbers, and -1, -1, 0, -1 for a joint that was not found",
            )
    return np.array([row[:3] for row in rows], np.float64)


def _is_finite(value: float) -> bool:
    return -1e9 < value < 1e9  # also false for NaN; Python's whole numbers may exceed any float


def read_dense_uv(path: Path | str) -> np.ndarray:
    """DensePose surface coordinates of one person.

    Args:
        path: Dress Code ``*_5_uv.npz`` with one array ``uv``.

    Returns:
        (2, H, W) float32, U then V, about -0.03 to 1.02; 0 on the background.

    Raises:
        DataError: not such an archive, another shape or type, values that are not finite or far
            from 0 to 1.
    """
    path = Path(path)
    data = read_bytes(path, "uv")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open("uv.npy") as member:
            shape, fortran, dtype = _npy_header(member)
            _check_uv_header(path, shape, dtype)
            size = math.prod(shape) * dtype.itemsize
            raw = member.read(size)  # never more, whatever the archive unpacks to
            if len(raw) != size or member.read(1):
                raise ReadError(
                    "unreadable",
                    path,
                    "an array of another length than its header says",
                    "a whole array",
                )
    except DataError:
        raise
    except Exception as error:  # zlib, zipfile, header parsing
        raise ReadError(
            "unreadable",
            path,
            f"not a readable .npz with an array uv ({brief(error)})",
            "uv, float32 (2, H, W)",
        ) from None
    uv = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C").astype(np.float32)
    low, high = float(uv.min()), float(uv.max())
    if not (low > -1 and high < 2):  # false for NaN too
        raise ReadError("values", path, f"values from {low:g} to {high:g}", "about 0 to 1")
    return uv


def _npy_header(member) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    width = 2 if version == (1, 0) else 4
    length = member.read(width)
    size = int.from_bytes(length, "little")
    if size > MAX_NPY_HEADER:  # numpy would read it all before it looks
        raise ValueError(f"a header of {size:,} bytes")
    header = io.BytesIO(length + member.read(size))
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(header)
    return np.lib.format.read_array_header_2_0(header)


def _check_uv_header(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if dtype.kind != "f" or dtype.itemsize not in (2, 4, 8):
        raise ReadError("shape", path, f"an array of type {dtype}"[:80], "float32")
    if len(shape) != 3 or shape[0] != 2 or min(shape) < 1:
        raise ReadError("shape", path, f"an array of shape {shape}"[:80], "(2, height, width)")
    if shape[1] * shape[2] > MAX_UV_PIXELS:
        raise ReadError(
            "size", path, f"{shape[1]} x {shape[2]} pixels", f"at most {MAX_UV_PIXELS:,}"
        )
