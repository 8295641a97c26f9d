"""Photos as people have them, upright and in the dataset's shape of 3 wide to 4 high; nobody is cut
off."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from pipeline.annotate import modern_pictures
from pipeline.base.arrays import check_picture
from pipeline.base.errors import DataError
from pipeline.base.files import (
    MAX_PIXELS,
    PICTURES,
    ReadError,
    brief,
    check_jpeg_is_whole,
    picture_header,
    read_bytes,
)
from pipeline.dataset.readers import has_aspect, resize_image, resize_map

ASPECT = 4 / 3
"""Height over width of every picture in the dataset."""
LEAST_PIXELS = 200
"""Photos with a shorter side are refused: enlarged, they teach and show nothing."""
LARGEST_RATIO = 4.0
"""Panoramas are refused: padded to 3 : 4 they would mostly be padding."""
PLAIN_LEVELS = 16
MARGIN = 0.05
"""Free space around a person, in heights of the person: about the dataset's."""
ENDINGS = (".jpg", ".jpeg", ".png", *modern_pictures.ENDINGS)


def list_pictures(place: Path) -> list[Path]:
    """The picture files in a folder, by name; or the one file that ``place`` is.

    Raises:
        DataError: nothing there, or no picture in it.
    """
    place = Path(place)
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise DataError(place, "no such file or folder", "pictures")
    found = sorted(
        p for p in place.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith(".")
    )
    if not found:
        raise DataError(
            place,
            "no picture in it",
            "files that end in " + ", ".join(ENDINGS),
            "Convert others to JPEG first",
        )
    return found


def read_photo(path: Path, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """``decode_photo`` of a file."""
    return decode_photo(read_bytes(Path(path)), path, most_pixels)


def decode_photo(data: bytes, name: Path | str, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A photo as it was meant to be seen.

    Args:
        data: a JPEG or PNG file; WebP, AVIF and HEIC where Pillow or its plug-in reads them.
        name: what errors call it.
        most_pixels: larger ones are refused from their header, before anything is decoded.

    Returns:
        (H, W, 3) uint8 RGB: turned as its orientation tag says, transparency on white, grey and
        CMYK as RGB.

    Raises:
        DataError: another kind of file, damaged, too small, too large or too long.
    """
    path = Path(str(name))
    hw, kind, mode = _header(path, data)
    if hw[0] * hw[1] > most_pixels:
        raise ReadError(
            "size",
            path,
            f"{hw[1]} x {hw[0]} pixels",
            f"at most {most_pixels / 1e6:g} million",
            "Make the picture smaller",
        )
    if min(hw) < LEAST_PIXELS:
        raise ReadError(
            "size",
            path,
            f"a picture of {hw[1]} x {hw[0]} pixels: too small",
            f"at least {LEAST_PIXELS} on each side",
            "Take a larger picture",
        )
    if max(hw) > LARGEST_RATIO * min(hw):
        raise ReadError(
            "size",
            path,
            f"a picture of {hw[1]} x {hw[0]} pixels: too long",
            "a picture nearer to 3 : 4",
            "Crop it around the person or the garment",
        )
    if mode.startswith(("I", "F")):
        raise ReadError(
            "mode", path, f"a picture of mode {mode}", "8 bits a channel", "Convert it to RGB"
        )
    if kind in ("JPEG", "MPO"):
        check_jpeg_is_whole(path, data, hw)
    try:
        with Image.open(io.BytesIO(data), formats=(*PICTURES, kind)) as image:
            return _flat(ImageOps.exif_transpose(image))
    except Exception as error:  # decoders of foreign files fail in every way
        raise ReadError(
            "unreadable", path, f"corrupted or truncated ({brief(error)})", "a whole picture"
        ) from None


def _header(path: Path, data: bytes) -> tuple[tuple[int, int], str, str]:
    """((height, width), format, mode), the size looked at before the file is opened."""
    kind = modern_pictures.kind_of(data)
    if kind is None:
        return picture_header(path, data, PICTURES)
    modern_pictures.check_can_open(path, kind)
    height, width = modern_pictures.announced_size(data, kind)
    if not 0 < height * width <= MAX_PIXELS:
        raise ReadError(
            "size", path, f"{height} x {width} pixels", f"at most {MAX_PIXELS:,} pixels"
        )
    return picture_header(path, data, (kind,))


def _flat(image: Image.Image) -> np.ndarray:
    if "A" in image.mode or "transparency" in image.info:
        layered, ground = image.convert("RGBA"), Image.new("RGB", image.size, "white")
        ground.paste(layered, mask=layered)
        return np.array(ground)
    return np.array(image.convert("RGB"))


@dataclass(frozen=True)
class Frame:
    """A rectangle of 3 : 4 over a photo, in the photo's whole pixels; it may reach beyond the
    photo.

    Attributes:
        left, top, width, height: of the rectangle.
    """

    left: int
    top: int
    width: int
    height: int

    def cut_image(
        self, image: np.ndarray, size_hw: tuple[int, int], fill: tuple[int, ...] | None = None
    ) -> np.ndarray:
        """(h, w, 3) uint8: the photo inside the frame. Beyond the photo: ``fill``, or its edge,
        softened."""
        border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
        padded, outside = self._pad(image, border, fill or 0), None
        shrinks = padded.shape[0] >= size_hw[0]
        result = cv2.resize(
            padded, size_hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        )
        if fill is None:
            inside = self._pad(np.full(image.shape[:2], 255, np.uint8), cv2.BORDER_CONSTANT, 0)
            outside = cv2.resize(inside, size_hw[::-1], interpolation=cv2.INTER_AREA) < 255
        if outside is not None and outside.any():
            reach = size_hw[0] // 12 | 1
            result[outside] = cv2.blur(result, (reach, reach))[outside]
        return result

    def cut_map(self, labels: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
        """(h, w) uint8: a map of the photo inside the frame, nearest pixel; 0 beyond the photo."""
        return resize_map(self._pad(labels, cv2.BORDER_CONSTANT, 0), size_hw)

    def move_points(self, keypoints: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
        """(18, 3) float32: keypoints of the photo in pixels of the cut-out; those outside of it are
        missing."""
        scale = np.array(size_hw[::-1]) / (self.width, self.height)
        moved = keypoints.astype(np.float32, copy=True)
        moved[:, :2] = (keypoints[:, :2] - (self.left, self.top)) * scale
        inside = ((moved[:, :2] >= 0) & (moved[:, :2] < size_hw[::-1])).all(1)
        moved[~inside] = np.nan, np.nan, 0
        return moved

    def _pad(self, image: np.ndarray, border: int, value) -> np.ndarray:
        height, width = image.shape[:2]
        right, bottom = self.left + self.width, self.top + self.height
        inner = image[max(0, self.top) : max(0, bottom), max(0, self.left) : max(0, right)]
        return cv2.copyMakeBorder(
            inner,
            max(0, -self.top),
            max(0, bottom - height),
            max(0, -self.left),
            max(0, right - width),
            border,
            value=value,
        )


def whole_frame(size_hw: tuple[int, int]) -> Frame:
    """The smallest frame around a whole photo, centred."""
    return _frame(size_hw, (0, 0, size_hw[1], size_hw[0]), 0)


def person_frame(size_hw: tuple[int, int], box: tuple[float, float, float, float]) -> Frame:
    """The frame that a person fills as in the dataset, moved over as much of the photo as there is.

    The space around the person is taken from the photo; where the photo ends at the person, so does
    the frame.

    Args:
        size_hw: the photo's.
        box: left, top, right, bottom of the person in the photo.
    """
    margin = MARGIN * (box[3] - box[1])
    ends = (0, 0, size_hw[1], size_hw[0])
    wider = [min(box[i], max(ends[i], box[i] - margin)) for i in (0, 1)]
    wider += [max(box[i], min(ends[i], box[i] + margin)) for i in (2, 3)]
    return _frame(size_hw, tuple(wider), 0)


def _frame(size_hw, box, margin: float) -> Frame:
    left, top, right, bottom = box
    height = max(bottom - top + 2 * margin, (right - left + 2 * margin) * ASPECT, 8)
    width = round(height / ASPECT)
    height = round(width * ASPECT)
    start = lambda low, high, size, length: round(
        np.clip(
            (low + high - length) / 2,
            *((0, size - length) if size >= length else (size - length, 0)),
        )
    )
    fits = lambda at, low, high, length: int(min(max(at, np.ceil(high) - length), np.floor(low)))
    return Frame(
        fits(start(left, right, size_hw[1], width), left, right, width),
        fits(start(top, bottom, size_hw[0], height), top, bottom, height),
        width,
        height,
    )


def read_garment(
    source: Path | str | bytes,
    size_hw: tuple[int, int],
    *,
    name: str = "garment",
    most_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """(h, w, 3) uint8 RGB: any picture of a garment, upright, in the frame as the dataset's are.

    Args:
        source: a JPEG or PNG file, or the bytes of one.
        size_hw: of the result.
        name: what errors call bytes.
        most_pixels: larger pictures are refused.

    Raises:
        DataError: as ``decode_photo``.
    """
    if isinstance(source, bytes):
        return frame_garment(decode_photo(source, name, most_pixels), size_hw)
    return frame_garment(read_photo(Path(source), most_pixels), size_hw)


def fit_garment(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 RGB: a garment's picture of a dataset at another size.

    Pictures of the dataset's shape lie in the frame already; any other is put into it. Raises
    ValueError for arrays of another kind.
    """
    check_picture(image, "garment")
    if has_aspect(image.shape[:2]):
        return resize_image(image, size_hw)
    return frame_garment(image, size_hw)


def has_plain_ground(image: np.ndarray) -> bool:
    """Whether (H, W, 3) uint8 has one colour along most of its border, as pictures of garments in
    shops have it; a photo of somebody in a room or a street has not."""
    return bool(np.percentile(_off_ground(image).max(1), 80) < PLAIN_LEVELS)


def _off_ground(image: np.ndarray) -> np.ndarray:
    """(n, 3): how far the border's pixels are from their median."""
    edge = _border(image)
    return np.abs(edge - np.median(edge, 0))


def _border(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).astype(np.int16)


def frame_garment(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8: a picture of a garment, whole, on its own ground, filling the frame where
    the ground is plain.

    A cluttered ground is left as it is; the dataset's garments lie on white.
    """
    ground = np.median(_border(image), 0)
    box = (0, 0, image.shape[1], image.shape[0])
    if has_plain_ground(image):
        thing = (np.abs(image.astype(np.int16) - ground.astype(np.int16)).max(2) > 24).astype(
            np.uint8
        )
        x, y, width, height = cv2.boundingRect(
            cv2.morphologyEx(thing, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        )
        if min(width, height) > 0.1 * min(image.shape[:2]):
            box = (x, y, x + width, y + height)
    frame = _frame(image.shape[:2], box, MARGIN * (box[3] - box[1]))
    return frame.cut_image(image, size_hw, tuple(int(v) for v in ground))
