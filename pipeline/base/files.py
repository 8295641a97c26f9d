"""Foreign files, opened with care: bounded before they are read, sizes taken from headers before
they are decoded."""

from __future__ import annotations

import io
import re
import stat
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.base.errors import DataError

MAX_PIXELS = 50_000_000
"""Larger pictures are refused: 64 times the dataset's, 150 MB decoded."""
MAX_BYTES = {"image": 64 << 20, "map": 16 << 20, "keypoints": 1 << 20, "uv": 16 << 20}
"""Largest file of each kind that is opened."""
MAX_SCANS, MAX_SCANNED_PIXELS = 100, 10**9
"""Scans of a progressive JPEG (ten are usual), and scans times pixels: many over a large picture
take minutes."""

MAX_CHUNKS = 100_000
"""Of a PNG; encoders make one for every 8 KB or more."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_AFTER_CODED_DATA = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A JPEG's next marker: within coded data 0xFF is escaped with a zero, doubled as filling, or a
restart."""
_MAY_FOLLOW = frozenset([0xC4, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)])
"""Markers that can end coded data: tables, another scan, the height, comments, application data,
the end."""

_SHRUNK = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
ORIENTATION, MAX_TAG_AT = 274, 1 << 17
"""EXIF's tag, and within how many bytes of a file's begin it is looked for."""

PICTURES = ("JPEG", "PNG")
"""Formats of photos. Not WebP: opening one allocates its canvas before its size can be looked
at."""

DOWNLOAD = "Copy or download the file again, or leave the person out"


class ReadError(DataError):
    """DataError of one file, with the kind of defect: ``missing``, ``unreadable``, ``mode``,
    ``size``, ``shape``, ``values``, ``frame`` or ``turned``."""

    def __init__(
        self, kind: str, path: Path | str, found: str, expected: str = "", remedy: str = DOWNLOAD
    ):
        super().__init__(path, found, expected, remedy)
        self.kind = kind
        self.args = (
            kind,
            str(path),
            found,
            expected,
            remedy,
        )  # what unpickling calls the class with


def read_bytes(path: Path, kind: str = "image") -> bytes:
    """Content of a regular file of at most ``MAX_BYTES[kind]``; ReadError for anything else."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # a pipe would block for ever
            raise ReadError("unreadable", path, "not a regular file", "a file")
        if facts.st_size > MAX_BYTES[kind]:
            raise ReadError(
                "size", path, f"{facts.st_size:,} bytes", f"at most {MAX_BYTES[kind]:,}"
            )
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        found, remedy = "no such file", DOWNLOAD
        if other := _under_another_ending(path):
            found = f"no such file, but {other.name} lies there"
            remedy = f"Make it {path.name}, a file of that kind"
        raise ReadError("missing", path, found, "it here", remedy) from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        why = getattr(error, "strerror", None) or error
        raise ReadError(
            "unreadable", path, f"cannot be read ({why})", remedy="Check the disc and the rights"
        ) from None
    if not data:
        raise ReadError("unreadable", path, "an empty file", "content")
    return data


def _under_another_ending(path: Path) -> Path | None:
    endings = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".webp")
    others = (path.with_suffix(e) for e in endings if e != path.suffix)
    return next((p for p in others if p.is_file()), None)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture from its header alone; DataError as ``read_image``."""
    path = Path(path)
    return picture_header(path, read_bytes(path), PICTURES)[0]


def picture_header(
    path: Path, data: bytes, formats: tuple[str, ...]
) -> tuple[tuple[int, int], str, str]:
    """((height, width), format, mode) without decoding; refuses what is too large to decode, and a
    PNG in which a bit has flipped."""
    if data.startswith(PNG_SIGNATURE):
        check_png_is_whole(path, data)
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            (width, height), format_name, mode = image.size, str(image.format), image.mode
    except Image.DecompressionBombError:
        raise ReadError(
            "size", path, "a picture of absurd size", f"at most {MAX_PIXELS:,} pixels"
        ) from None
    except (
        Exception
    ) as error:  # decoders of foreign files fail in every way; each means the same here
        raise ReadError(
            "unreadable",
            path,
            f"not a readable {' or '.join(formats)} file ({brief(error)})",
            "a whole picture",
        ) from None
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ReadError(
            "size", path, f"{height} x {width} pixels", f"at most {MAX_PIXELS:,} pixels"
        )
    return (height, width), format_name, mode


def decode_jpeg(
    path: Path, data: bytes, stored_hw: tuple[int, int], mode: str, shrink: int = 1
) -> np.ndarray:
    """(H, W, 3) uint8 BGR, decoded to a ``shrink``-th (1, 2, 4, 8) of height and width."""
    if mode not in ("RGB", "L"):
        raise ReadError("mode", path, f"a JPEG of mode {mode}", "RGB", "Convert it to RGB")
    check_jpeg_is_whole(path, data, stored_hw)
    image = imdecode(path, data, _SHRUNK[shrink] | cv2.IMREAD_IGNORE_ORIENTATION)
    shape = tuple(-(-n // shrink) for n in stored_hw)
    if image.shape[:2] != shape:
        raise ReadError(
            "unreadable", path, "a JPEG that contradicts itself about its size", "one size"
        )
    return image


def check_upright(path: Path, data: bytes) -> None:
    """ReadError of kind ``turned`` where a photo bears an orientation tag (EXIF) other than 1.

    Annotations lie on the photo as it is shown, its pixels as they are stored.
    """
    if b"Exif" not in data[:MAX_TAG_AT]:
        return
    try:
        with Image.open(io.BytesIO(data)) as image:
            tag = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a broken tag turns nothing
        return
    if tag not in (0, 1):
        raise ReadError(
            "turned",
            path,
            f"an orientation tag of {tag}: it is shown turned or mirrored",
            "pixels stored upright",
            "Write the photo upright and without the tag, or leave the person out",
        )


def check_jpeg_is_whole(path: Path, data: bytes, stored_hw: tuple[int, int]) -> None:
    """ReadError if a JPEG ends before its end marker or is overwritten in the midst (decoders fill
    the rest with grey, some without a word), or has absurdly many scans.

    Within coded data 0xFF is always escaped, so the last start of a scan and the end marker can be
    searched for.
    """
    last_scan = data.rfind(b"\xff\xda")
    if data.rfind(b"\xff\xd9") < last_scan:
        raise ReadError("unreadable", path, "a truncated JPEG (no end marker)", "a whole picture")
    header = int.from_bytes(data[last_scan + 2 : last_scan + 4], "big")
    marker = _AFTER_CODED_DATA.search(data, last_scan + 2 + header)
    if marker is None or marker[0][1] not in _MAY_FOLLOW:
        raise ReadError(
            "unreadable", path, "a corrupted JPEG (its coded data breaks off)", "a whole picture"
        )
    scans = data.count(b"\xff\xda")
    if scans > MAX_SCANS or scans * stored_hw[0] * stored_hw[1] > MAX_SCANNED_PIXELS:
        raise ReadError("unreadable", path, f"a JPEG of {scans} scans", "some ten scans")


def check_png_is_whole(path: Path, data: bytes) -> None:
    """ReadError unless every chunk of a PNG is there and has its checksum. Decoders look at some of
    them only, and of one flipped bit make another picture."""
    at, number, name = len(PNG_SIGNATURE), 0, b""
    while name != b"IEND":
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data) or number > MAX_CHUNKS:
            raise ReadError("unreadable", path, "a damaged PNG (truncated)", "a whole picture")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            shown = name.decode("ascii", "replace")
            found = f"a damaged PNG (the checksum of its part {shown!r} differs)"
            raise ReadError("unreadable", path, found, "a whole picture")
        at, number = end + 4, number + 1


def class_numbers(data: bytes, values: np.ndarray) -> np.ndarray:
    """The numbers that a grey PNG of 2 or 4 bits holds, from what Pillow makes of it: it spreads
    them over 0 to 255. Other PNGs' values come back as they are."""
    depth, colour_type = data[24], data[25]
    spread = {2: 85, 4: 17}.get(depth, 1) if colour_type == 0 else 1
    return values // np.uint8(spread) if spread > 1 else values


def imdecode(path: Path, data: bytes, flags: int) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except Exception:  # cv2.error, MemoryError
        image = None
    if image is None:
        raise ReadError(
            "unreadable", path, "corrupted or truncated picture data", "a whole picture"
        )
    return image


def decode_png(path: Path, data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a PNG, whose truncation Pillow notices and OpenCV does not always."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.load()
            if image.mode.startswith(("I", "F")):
                raise ReadError(
                    "mode",
                    path,
                    f"a picture of mode {image.mode}",
                    "8 bits a channel",
                    "Convert it to RGB",
                )
            if "A" in image.mode or "transparency" in image.info:
                with_alpha, canvas = image.convert("RGBA"), Image.new("RGB", image.size, "white")
                canvas.paste(with_alpha, mask=with_alpha)
                return np.array(canvas)
            return np.array(image.convert("RGB"))
    except DataError:
        raise
    except Exception as error:
        raise ReadError(
            "unreadable", path, f"corrupted or truncated ({brief(error)})", "a whole picture"
        ) from None


def brief(error: Exception) -> str:
    """The error in a few words, the same each time: without the address of whatever could not be
    read."""
    words = re.sub(r" ?<[^<>]* at 0x[0-9a-f]+>", "", " ".join(str(error).split()))
    return words[:80] or type(error).__name__
